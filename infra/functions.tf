# The functions of functions/main.py. To add one, add its entry here: its account, rights,
# trigger and alerts are derived from it.
locals {
  functions = merge(local.pages, {
    on_upload = {
      description = "Creates one batch job for each file that is dropped into the inbox"
      trigger     = "upload"
      schedule    = null
      # The maximum for an event's function. 1 GB takes about a minute.
      timeout     = 540
      memory      = "512Mi" # files are streamed: four at once needed 270 MB
      cpu         = "1"
      concurrency = 4 # the server has four threads for each CPU
      instances   = var.max_uploads
      buckets = {
        inbox  = ["roles/storage.objectViewer"]
        work   = ["roles/storage.objectUser"]
        output = ["roles/storage.objectCreator"] # reports of row errors
      }
      batches       = true
      developer_key = true
      publishes     = []
      environment   = {}
    }
    poll = {
      description = "Follows the batches, announces how they ended, and resumes jobs whose worker died"
      trigger     = "schedule"
      schedule    = "* * * * *"
      # Longer than TICK, by the time that one more job takes.
      timeout     = 600
      memory      = "512Mi" # 10,000 open jobs, and one file that is staged
      cpu         = "1"
      concurrency = 1 # one tick works; another finds the lock taken and returns
      instances   = 3 # a long tick, the one that takes its lock over, and one that returns
      buckets = {
        inbox = ["roles/storage.objectViewer"]
        work  = ["roles/storage.objectUser"]
        # It may overwrite a report that another worker began.
        output = ["roles/storage.objectUser"]
      }
      batches       = true
      developer_key = true
      publishes     = ["announcements", "work"]
      environment   = {}
    }
    collect = {
      description = "Writes a result for each line of a file whose batch has ended"
      trigger     = "work"
      schedule    = null
      timeout     = 540
      memory      = "1Gi" # answers are sorted in 256 MiB, the longest lines have 30 MB
      cpu         = "1"
      concurrency = 1 # one job; more instances take more jobs
      instances   = var.max_collects
      buckets = {
        work = ["roles/storage.objectUser"]
        # It reads answers, writes results, and can replace or delete neither.
        output = ["roles/storage.objectViewer", "roles/storage.objectCreator"]
      }
      batches       = false
      developer_key = true # answers are files at the Developer API
      publishes     = ["announcements"]
      environment   = {}
    }
  })

  # The pages, unless they are off.
  pages = {
    for chosen in var.dashboard[*] : "dashboard" => {
      description = "Shows jobs to people, and carries out their commands"
      trigger     = "people"
      schedule    = null
      timeout     = 60      # a page takes tenths of a second, and a first call some seconds
      memory      = "512Mi" # Python and Google's clients; no page holds a file
      cpu         = "1"
      concurrency = 4 # the server has four threads for each CPU
      instances   = 3 # twelve pages at once; open ones ask again every few seconds
      # Rows are what people asked, and what was answered. Without them no object is read.
      buckets = { for bucket in ["work", "output"] : bucket => ["roles/storage.objectViewer"] if chosen.rows }
      # A command is a write to the ledger; `poll` does the rest.
      batches       = false
      developer_key = false
      publishes     = []
      environment = merge(
        {
          BATCHDROP_DASHBOARD_ACCESS = chosen.access
          BATCHDROP_DASHBOARD_ROWS   = tostring(chosen.rows)
        },
        { for iap in ["iap"] : "BATCHDROP_DASHBOARD_AUDIENCE" => local.audience if chosen.access == iap },
        { for who, people in local.named : "BATCHDROP_DASHBOARD_${upper(who)}" => join(",", people) if length(people) > 0 },
        # The settings ask for a key where batches go to the Developer API. The pages call
        # no API.
        { for backend in var.backends : "GEMINI_API_KEY" => "not-set" if backend == "developer" },
      )
    }
  }

  # What calls a function. All callers are inside Google Cloud, except people.
  triggers = {
    upload = {
      ingress = "ALLOW_INTERNAL_ONLY"
      caller  = "eventarc"
      # A function that raises gets the event again later.
      retry = "RETRY_POLICY_RETRY"
      events = [{
        type    = "google.cloud.storage.object.v1.finalized"
        topic   = null
        filters = { bucket = google_storage_bucket.this["inbox"].name }
      }]
    }
    work = {
      ingress = "ALLOW_INTERNAL_ONLY"
      caller  = "eventarc"
      # The ledger brings a job again that is still due. A message that comes again all the
      # same (hashicorp/terraform-provider-google#14930) finds the job held, or done.
      retry = "RETRY_POLICY_DO_NOT_RETRY"
      events = [{
        type    = "google.cloud.pubsub.topic.v1.messagePublished"
        topic   = google_pubsub_topic.work.id
        filters = {}
      }]
    }
    schedule = {
      ingress = "ALLOW_INTERNAL_ONLY"
      caller  = "scheduler"
      retry   = null
      events  = []
    }
    people = {
      # `gcloud run services proxy` calls from a person's machine, and the Identity-Aware
      # Proxy guards the run.app address itself. One at a load balancer guards only that,
      # so nothing else may reach the function. Who may call it is in identity.tf.
      ingress = local.balanced ? "ALLOW_INTERNAL_AND_GCLB" : "ALLOW_ALL"
      caller  = null
      retry   = null
      events  = []
    }
  }

  # Durations that depend on each other and on the time-outs above.
  seconds = {
    LEASE           = 600 # at least the longest time-out: a live worker keeps its job
    CREATE_TIMEOUT  = 60  # below LEASE
    LIST_LAG        = 120
    TICK            = 240 # below poll's time-out, by the time that one job takes
    RECONCILE_EVERY = 60 * 60
    LEDGER_TTL      = var.ledger_days * 24 * 60 * 60
    COSTS_TTL       = var.costs_days * 24 * 60 * 60
    WORK_TTL        = var.work_days * 24 * 60 * 60 # as the bucket's own rule
    MISSED_WINDOW   = 3 * 24 * 60 * 60             # longer than Eventarc tries to deliver an event
  }

  environment = merge(
    {
      BATCHDROP_PROJECT      = var.project_id
      BATCHDROP_LOCATION     = coalesce(var.model_location, var.region)
      BATCHDROP_BACKEND      = var.backends[0]
      BATCHDROP_MODEL        = var.model
      BATCHDROP_INBOX        = google_storage_bucket.this["inbox"].name
      BATCHDROP_WORK         = "gs://${google_storage_bucket.this["work"].name}/staged"
      BATCHDROP_OUTPUT       = "gs://${google_storage_bucket.this["output"].name}"
      BATCHDROP_TOPIC        = google_pubsub_topic.announcements.name
      BATCHDROP_WORK_TOPIC   = google_pubsub_topic.work.name
      BATCHDROP_DATABASE     = google_firestore_database.ledger.name
      BATCHDROP_DEPLOYMENT   = var.name
      BATCHDROP_RESULTS      = var.results
      BATCHDROP_FAILED_SHARE = tostring(var.failed_share)
    },
    { for setting, value in local.seconds : "BATCHDROP_${setting}" => tostring(value) },
    { for choice, value in merge(var.limits, var.ceilings, var.estimates, local.policies, local.retries) : "BATCHDROP_${upper(choice)}" => tostring(value) if value != null },
    { for choice, value in { ON_INVALID = var.rows.on_invalid, MAX_INVALID = var.rows.max_invalid, FIX = var.rows.fix, UNKNOWN = var.rows.unknown } : "BATCHDROP_${choice}" => tostring(value) if value != null },
    { for config in [var.rows.generation_config] : "BATCHDROP_GENERATION_CONFIG" => jsonencode(config) if config != null },
    { for choice, values in local.lists : "BATCHDROP_${choice}" => join(",", values) if length(values) > 0 },
    { for paused in [var.paused] : "BATCHDROP_PAUSED" => "true" if paused },
    { for object in google_storage_bucket_object.routes : "BATCHDROP_ROUTES" => "gs://${object.bucket}/${object.name}" },
    { for object in google_storage_bucket_object.prices : "BATCHDROP_PRICES" => "gs://${object.bucket}/${object.name}" },
  )

  policies = merge(var.policies, {
    stalled_after = var.policies.stalled_after == null ? null : try(
      tostring(tonumber(var.policies.stalled_after)),
      join(",", [for state, after in var.policies.stalled_after : "${state}=${after}"]),
    )
  })
  retries = merge(var.retries, {
    # One that is left out is the code's; an empty one is, too.
    retry_on = try(length(var.retries.retry_on), 0) == 0 ? null : join(",", var.retries.retry_on)
  })
  lists = {
    LABELS       = [for key, value in var.labels : "${key}=${value}"]
    MODELS       = var.models
    SOURCES      = var.sources
    DESTINATIONS = var.destinations
    DATASETS     = keys(var.datasets)
  }
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
    min_instance_count               = 0 # nothing runs or costs money between calls
    max_instance_count               = each.value.instances
    ingress_settings                 = local.triggers[each.value.trigger].ingress
    environment_variables            = merge(local.environment, each.value.environment)

    # Who calls the Developer API has its key.
    dynamic "secret_environment_variables" {
      for_each = { for key, secret in google_secret_manager_secret.developer_api_key : key => secret if each.value.developer_key }
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
      event_type            = event_trigger.value.type
      pubsub_topic          = event_trigger.value.topic
      trigger_region        = var.region
      retry_policy          = local.triggers[each.value.trigger].retry
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

  # Without these the build fails, no event arrives, or the first call is denied.
  depends_on = [
    google_artifact_registry_repository_iam_member.build,
    google_kms_crypto_key_iam_member.agent,
    google_project_iam_member.build,
    google_project_iam_member.eventarc,
    google_project_iam_member.function,
    google_project_iam_member.storage_agent,
    google_project_service_identity.agent,
    google_secret_manager_secret_iam_member.function,
    google_storage_bucket_iam_member.configuration,
    google_storage_bucket_iam_member.elsewhere,
    google_storage_bucket_iam_member.function,
  ]
}

# The images of the functions.
resource "google_artifact_registry_repository" "images" {
  project       = local.project
  location      = var.region
  repository_id = "${var.name}-functions"
  description   = "Images of the functions"
  format        = "DOCKER"
  kms_key_name  = var.kms_key

  # Stored images cost money; a roll-back builds a new one.
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
