# The functions of functions/main.py. To add one, add its entry here: its account, its
# rights, its trigger and its alerts follow.
locals {
  catalogue = {
    on_upload = {
      enabled     = true
      description = "Makes one batch job of each file that lands in the inbox"
      trigger     = "upload"
      schedule    = null
      # The longest that an event's function may have. 1 GB takes about a minute.
      timeout     = 540
      memory      = "512Mi" # files stream through: four at once were seen to need 270 MB
      cpu         = "1"
      concurrency = 4 # the server has four threads for each CPU
      instances   = var.max_uploads
      buckets = {
        inbox  = "roles/storage.objectViewer"
        work   = "roles/storage.objectUser"
        output = "roles/storage.objectCreator" # reports of bad lines
      }
      batches   = true
      announces = false
    }
    poll = {
      enabled     = true
      description = "Follows the batches, announces their ends, takes up what was left lying"
      trigger     = "schedule"
      schedule    = "* * * * *"
      # Room after TICK for the last job it took up.
      timeout     = 600
      memory      = "512Mi" # 10,000 open jobs, and one file that is staged
      cpu         = "1"
      concurrency = 1 # a tick works alone; the next one finds the lock and leaves
      instances   = 3 # a long tick, the one that overtakes it, and one that is turned away
      buckets = {
        inbox = "roles/storage.objectViewer"
        work  = "roles/storage.objectUser"
        # Vertex AI writes its results itself; those of the Developer API are collected.
        # And who repeats what another began may come upon its report, which may not end
        # in a right that is missing.
        output = "roles/storage.objectUser"
      }
      batches   = true
      announces = true
    }
    dashboard = {
      enabled     = var.dashboard
      description = "Shows the jobs to dashboard_viewers"
      trigger     = "people"
      schedule    = null
      timeout     = 60
      memory      = "512Mi"
      cpu         = "1"
      concurrency = 4
      instances   = 2
      buckets     = {}
      batches     = false
      announces   = false
    }
  }

  functions = { for key, one in local.catalogue : key => one if one.enabled }

  # What makes a function run. People come from anywhere, and IAM turns them away at the
  # door; everything else comes from within Google Cloud.
  triggers = {
    upload = {
      ingress = "ALLOW_INTERNAL_ONLY"
      caller  = "eventarc"
      events = [{
        type    = "google.cloud.storage.object.v1.finalized"
        topic   = null
        filters = { bucket = google_storage_bucket.this["inbox"].name }
      }]
    }
    announcement = {
      ingress = "ALLOW_INTERNAL_ONLY"
      caller  = "eventarc"
      events = [{
        type    = "google.cloud.pubsub.topic.v1.messagePublished"
        topic   = google_pubsub_topic.announcements.id
        filters = {}
      }]
    }
    schedule = {
      ingress = "ALLOW_INTERNAL_ONLY"
      caller  = "scheduler"
      events  = []
    }
    people = {
      ingress = "ALLOW_ALL"
      caller  = null
      events  = []
    }
  }

  # Durations that have to agree with each other and with the time-outs above.
  seconds = {
    LEASE           = 600 # at least the longest time-out: a live worker keeps its job
    CREATE_TIMEOUT  = 60  # below LEASE
    LIST_LAG        = 120
    TICK            = 240 # below poll's time-out, by the time that one job takes
    RECONCILE_EVERY = 60 * 60
    LEDGER_TTL      = var.ledger_days * 24 * 60 * 60
    MISSED_WINDOW   = 3 * 24 * 60 * 60 # longer than Eventarc tries to deliver an event
  }

  environment = merge(
    {
      BATCHDROP_PROJECT    = var.project_id
      BATCHDROP_LOCATION   = coalesce(var.model_location, var.region)
      BATCHDROP_BACKEND    = var.backends[0]
      BATCHDROP_MODEL      = var.model
      BATCHDROP_INBOX      = google_storage_bucket.this["inbox"].name
      BATCHDROP_WORK       = "gs://${google_storage_bucket.this["work"].name}/staged"
      BATCHDROP_OUTPUT     = "gs://${google_storage_bucket.this["output"].name}"
      BATCHDROP_TOPIC      = google_pubsub_topic.announcements.name
      BATCHDROP_DATABASE   = google_firestore_database.ledger.name
      BATCHDROP_DEPLOYMENT = var.name
    },
    { for setting, value in local.seconds : "BATCHDROP_${setting}" => tostring(value) },
    { for choice, value in merge(var.limits, local.policies) : "BATCHDROP_${upper(choice)}" => tostring(value) if value != null },
    { for choice, value in { ON_INVALID = var.rows.on_invalid, MAX_INVALID = var.rows.max_invalid, FIX = var.rows.fix, UNKNOWN = var.rows.unknown } : "BATCHDROP_${choice}" => tostring(value) if value != null },
    { for config in [var.rows.generation_config] : "BATCHDROP_GENERATION_CONFIG" => jsonencode(config) if config != null },
    { for choice, values in local.lists : "BATCHDROP_${choice}" => join(",", values) if length(values) > 0 },
    { for paused in [var.paused] : "BATCHDROP_PAUSED" => "true" if paused },
    { for object in google_storage_bucket_object.routes : "BATCHDROP_ROUTES" => "gs://${object.bucket}/${object.name}" },
  )

  policies = merge(var.policies, {
    stalled_after = var.policies.stalled_after == null ? null : try(
      tostring(tonumber(var.policies.stalled_after)),
      join(",", [for state, after in var.policies.stalled_after : "${state}=${after}"]),
    )
  })
  lists = {
    LABELS       = [for key, value in var.labels : "${key}=${value}"]
    MODELS       = var.models
    SOURCES      = var.sources
    DESTINATIONS = var.destinations
    DATASETS     = keys(var.datasets)
  }

  # What the code can do. A part that relies on it can be turned on no sooner.
  main = file("${path.module}/../functions/main.py")
  able = { for key in keys(local.catalogue) : key => strcontains(local.main, "\ndef ${key}(") }
}

resource "google_cloudfunctions2_function" "this" {
  for_each = local.functions

  project      = local.project
  name         = "${var.name}-${replace(each.key, "_", "-")}"
  location     = var.region
  description  = each.value.description
  kms_key_name = var.kms_key

  build_config {
    runtime           = "python313"
    entry_point       = each.key
    service_account   = google_service_account.build.id
    docker_repository = google_artifact_registry_repository.images.id
    source {
      storage_source {
        bucket = var.deploy_bucket
        object = "releases/${var.release}"
      }
    }
  }

  service_config {
    service_account_email            = google_service_account.function[each.key].email
    timeout_seconds                  = each.value.timeout
    available_memory                 = each.value.memory
    available_cpu                    = each.value.cpu
    max_instance_request_concurrency = each.value.concurrency
    min_instance_count               = 0 # nothing runs, and nothing is paid, between calls
    max_instance_count               = each.value.instances
    ingress_settings                 = local.triggers[each.value.trigger].ingress
    environment_variables            = local.environment

    # Settings ask for it in whatever function starts.
    dynamic "secret_environment_variables" {
      for_each = google_secret_manager_secret.developer_api_key
      content {
        key        = "GEMINI_API_KEY"
        project_id = local.project
        secret     = secret_environment_variables.value.secret_id
        version    = "latest"
      }
    }
  }

  dynamic "event_trigger" {
    for_each = local.triggers[each.value.trigger].events
    content {
      event_type     = event_trigger.value.type
      pubsub_topic   = event_trigger.value.topic
      trigger_region = var.region
      # Raising means: try again later.
      retry_policy          = "RETRY_POLICY_RETRY"
      service_account_email = google_service_account.caller["eventarc"].email

      dynamic "event_filters" {
        for_each = event_trigger.value.filters
        content {
          attribute = event_filters.key
          value     = event_filters.value
        }
      }
    }
  }

  lifecycle {
    precondition {
      condition     = local.able[each.key]
      error_message = "functions/main.py has no function ${each.key}: this version of the code can't do that yet."
    }
  }

  # Without these the build fails, events don't arrive, or the first call has no rights.
  depends_on = [
    google_artifact_registry_repository_iam_member.build,
    google_kms_crypto_key_iam_member.agent,
    google_project_iam_member.build,
    google_project_iam_member.eventarc,
    google_project_iam_member.function,
    google_project_iam_member.storage_agent,
    google_project_service_identity.agent,
    google_secret_manager_secret_iam_member.function,
    google_storage_bucket_iam_member.elsewhere,
    google_storage_bucket_iam_member.function,
  ]
}

# The images that the functions are built into.
resource "google_artifact_registry_repository" "images" {
  project       = local.project
  location      = var.region
  repository_id = "${var.name}-functions"
  description   = "Images of the functions"
  format        = "DOCKER"
  kms_key_name  = var.kms_key

  # Images are paid for as long as they lie here; a roll-back builds its own.
  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      tag_state  = "ANY"
      older_than = "${7 * 24 * 60 * 60}s"
    }
  }
  cleanup_policies {
    id     = "keep-latest"
    action = "KEEP"
    most_recent_versions {
      keep_count = 2
    }
  }

  depends_on = [google_kms_crypto_key_iam_member.agent]
}
