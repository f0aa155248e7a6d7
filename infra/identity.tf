# Who may do what. Each function, both services that call functions and the build have
# their own accounts. The table in docs/how-to/deploy.md is made from this file.

# --- the functions ------------------------------------------------------------

resource "google_service_account" "function" {
  for_each = local.functions

  project      = local.project
  account_id   = "${var.name}-${replace(each.key, "_", "-")}"
  display_name = "batchdrop: ${each.key}"
  description  = each.value.description
}

# Which functions need which rights.
locals {
  on_vertex = contains(var.backends, "vertex")

  project_roles = merge([
    for key, one in local.functions : merge(
      {
        "${key}/datastore.user" = {
          function  = key
          role      = "roles/datastore.user"
          condition = "resource.name == \"projects/${var.project_id}/databases/${google_firestore_database.ledger.name}\""
        }
      },
      !one.batches || !local.on_vertex ? {} : {
        # Required by Google's documentation of batch inference, for all locations.
        "${key}/aiplatform.user" = { function = key, role = "roles/aiplatform.user", condition = null }
      },
      # The pages count dead letters. No smaller role reads a metric, and no condition
      # narrows this one.
      key != "dashboard" ? {} : {
        "${key}/monitoring.viewer" = { function = key, role = "roles/monitoring.viewer", condition = null }
      },
    )
  ]...)

  topics = {
    announcements = google_pubsub_topic.announcements.name
    work          = google_pubsub_topic.work.name
  }

  bucket_roles = merge(flatten([
    for key, one in local.functions : [
      for bucket, roles in one.buckets : {
        for role in roles : "${key}/${bucket}/${role}" => { function = key, bucket = bucket, role = role }
      }
    ]
  ])...)
}

resource "google_project_iam_member" "function" {
  for_each = local.project_roles

  project = local.project
  role    = each.value.role
  member  = google_service_account.function[each.value.function].member

  dynamic "condition" {
    for_each = each.value.condition[*]
    content {
      title      = "The ledger alone"
      expression = condition.value
    }
  }
}

resource "google_storage_bucket_iam_member" "function" {
  for_each = local.bucket_roles

  bucket = google_storage_bucket.this[each.value.bucket].name
  role   = each.value.role
  member = google_service_account.function[each.value.function].member
}

resource "google_pubsub_topic_iam_member" "function" {
  for_each = merge([
    for key, one in local.functions : {
      for topic in one.publishes : "${key}/${topic}" => { function = key, topic = topic }
    }
  ]...)

  project = local.project
  topic   = local.topics[each.value.topic]
  role    = "roles/pubsub.publisher"
  member  = google_service_account.function[each.value.function].member
}

resource "google_secret_manager_secret_iam_member" "function" {
  for_each = { for key, one in local.functions : key => one if one.developer_key && contains(var.backends, "developer") }

  project   = local.project
  secret_id = google_secret_manager_secret.developer_api_key["this"].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.function[each.key].member
}

# Routes and prices, without which no command of a person's is carried out: for the
# functions that can't read all of the bucket.
resource "google_storage_bucket_iam_member" "configuration" {
  for_each = length(concat(var.routes_file[*], var.prices_file[*])) == 0 ? {} : merge(
    { for key, one in local.functions : key => google_service_account.function[key].member if !contains(keys(one.buckets), "work") },
    { for member in var.operators : member => member },
  )

  bucket = google_storage_bucket.this["work"].name
  role   = "roles/storage.objectViewer"
  member = each.value

  condition {
    title      = "Routes and prices alone"
    expression = join(" || ", [for folder in ["routes", "prices"] : "resource.name.startsWith(\"projects/_/buckets/${local.buckets.work}/objects/${folder}/\")"])
  }
}

# --- resources that exist already ------------------------------------------------

# Accounts that read the inbox read under the sources too; those that write to the output
# bucket write under the destinations too.
locals {
  hands   = merge({ for key, one in local.functions : key => one.buckets }, { vertex_agent = local.vertex_agent })
  members = merge({ for key, account in google_service_account.function : key => account.member }, { vertex_agent = local.agents["aiplatform.googleapis.com"] })

  # Accounts that read the inbox read staged files too.
  sources      = [for uri in var.sources : "${trimsuffix(uri, "/")}/" if !contains([local.buckets.inbox, local.buckets.work], try(split("/", uri)[2], ""))]
  destinations = distinct([for uri in concat(tolist(var.destinations), local.route_destinations) : "${trimsuffix(uri, "/")}/" if try(split("/", uri)[2], "") != local.buckets.output])

  elsewhere = merge({}, flatten([
    for who, buckets in local.hands : concat(
      [for uri in local.sources : { for role in buckets["inbox"] : "${who} ${role} ${uri}" => { who = who, uri = uri, role = role } } if contains(keys(buckets), "inbox")],
      [for uri in local.destinations : { for role in buckets["output"] : "${who} ${role} ${uri}" => { who = who, uri = uri, role = role } } if contains(keys(buckets), "output")],
    )
  ])...)

  # BigQuery's datasets. Those of Vertex AI are covered by its roles on the project.
  tables = {
    for name, right in var.datasets : name => {
      project = regex(local.bigquery, name)[0]
      dataset = regex(local.bigquery, name)[1]
      right   = right
    } if can(regex(local.bigquery, name))
  }
}

resource "google_storage_bucket_iam_member" "elsewhere" {
  for_each = local.elsewhere

  bucket = split("/", each.value.uri)[2]
  role   = each.value.role
  member = local.members[each.value.who]

  # All names may be listed: else a missing object would look like a forbidden one.
  # Objects can be read under the prefix alone.
  dynamic "condition" {
    for_each = [for prefix in [join("/", slice(split("/", each.value.uri), 3, length(split("/", each.value.uri))))] : prefix if prefix != ""]
    content {
      title      = "Under a prefix alone"
      expression = "resource.type == \"storage.googleapis.com/Bucket\" || resource.name.startsWith(\"projects/_/buckets/${split("/", each.value.uri)[2]}/objects/${condition.value}\")"
    }
  }

  depends_on = [google_project_service_identity.agent]
}

# A batch may have written its answers into a table.
resource "google_bigquery_dataset_access" "collect" {
  for_each = { for name, table in local.tables : name => table if table.right == "write" }

  project       = each.value.project
  dataset_id    = each.value.dataset
  role          = "roles/bigquery.dataViewer"
  user_by_email = google_service_account.function["collect"].email

  depends_on = [google_project_service.api]
}

# --- who calls them -----------------------------------------------------------

resource "google_service_account" "caller" {
  for_each = {
    eventarc  = "Delivers events to the functions"
    scheduler = "Calls the functions that have a schedule"
  }

  project      = local.project
  account_id   = "${var.name}-${each.key}"
  display_name = "batchdrop: ${each.key}"
  description  = each.value
}

resource "google_project_iam_member" "eventarc" {
  project = local.project
  role    = "roles/eventarc.eventReceiver"
  member  = google_service_account.caller["eventarc"].member
}

resource "google_cloud_run_v2_service_iam_member" "caller" {
  for_each = { for key, one in local.functions : key => local.triggers[one.trigger].caller if local.triggers[one.trigger].caller != null }

  project  = local.project
  location = var.region
  name     = google_cloudfunctions2_function.this[each.key].name
  role     = "roles/run.invoker"
  member   = google_service_account.caller[each.value].member
}

# --- who builds them ----------------------------------------------------------

resource "google_service_account" "build" {
  project      = local.project
  account_id   = "${var.name}-build"
  display_name = "batchdrop: build"
  description  = "Builds the functions' images"
}

resource "google_project_iam_member" "build" {
  for_each = {
    "roles/logging.logWriter" = null
    # Cloud Functions copies the zip into its own bucket, from which the build reads.
    "roles/storage.objectViewer" = "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-${data.google_project.this.number}-${var.region}\")"
  }

  project = local.project
  role    = each.key
  member  = google_service_account.build.member

  dynamic "condition" {
    for_each = each.value[*]
    content {
      title      = "Functions' sources alone"
      expression = condition.value
    }
  }
}

resource "google_artifact_registry_repository_iam_member" "build" {
  project    = local.project
  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.build.member
}

# --- people and programs that drop files --------------------------------------

resource "google_storage_bucket_iam_member" "uploader" {
  for_each = var.uploaders

  bucket = google_storage_bucket.this["inbox"].name
  role   = "roles/storage.objectCreator"
  member = each.key
}

# --- people and programs that see jobs, and those that act on them -------------

locals {
  # Who writes the ledger can make jobs of anything, as the functions can.
  ledger_roles = merge(
    { for member in var.readers : "${member}/datastore.viewer" => { member = member, role = "roles/datastore.viewer" } },
    { for member in var.operators : "${member}/datastore.user" => { member = member, role = "roles/datastore.user" } },
  )
}

resource "google_project_iam_member" "people" {
  for_each = local.ledger_roles

  project = local.project
  role    = each.value.role
  member  = each.value.member

  condition {
    title      = "The ledger alone"
    expression = "resource.name == \"projects/${var.project_id}/databases/${google_firestore_database.ledger.name}\""
  }
}

resource "google_storage_bucket_iam_member" "people" {
  for_each = setunion(var.readers, var.operators)

  bucket = google_storage_bucket.this["output"].name
  role   = "roles/storage.objectViewer"
  member = each.key
}

# --- people who look at the pages ----------------------------------------------

locals {
  iap = try(var.dashboard.access == "iap", false)

  # Of which service the Identity-Aware Proxy's assertions speak, and whether that is a
  # load balancer's. https://cloud.google.com/iap/docs/signed-headers-howto
  audience = coalesce(
    try(var.dashboard.audience, null),
    "/projects/${data.google_project.this.number}/locations/${var.region}/services/${var.name}-dashboard",
  )
  balanced = local.iap && strcontains(local.audience, "/backendServices/")

  # Those whom the pages know by an address. Nobody can ask who is in a group: its members
  # may look, and the pages take no command from them.
  person  = "^(?:(?:user|serviceAccount):([^\\s@:,]+@[^\\s@:,]+)|(domain:[^\\s@:,]+))$"
  readers = [for member in setunion(var.readers, var.operators) : try(coalesce(regex(local.person, member)...), null)]
  named = {
    # Whoever is not in a list of readers may not look. So there is none if a group may.
    readers   = anytrue([for address in local.readers : address == null]) ? [] : sort(local.readers)
    operators = sort(distinct(concat([for member in var.operators : coalesce(regex(local.person, member)...) if can(regex(local.person, member))], tolist(try(var.dashboard.operators, [])))))
  }
}

# Never everybody: Cloud Run refuses who is not in this list.
resource "google_cloud_run_v2_service_iam_member" "people" {
  for_each = local.iap ? { iap = local.agents["iap.googleapis.com"] } : { for member in setunion(var.readers, var.operators) : member => member if var.dashboard != null }

  project  = local.project
  location = var.region
  name     = google_cloudfunctions2_function.this["dashboard"].name
  role     = "roles/run.invoker"
  member   = each.value

  depends_on = [google_project_service_identity.agent]
}

# Whom the Identity-Aware Proxy lets through. One at a load balancer has a list of its own.
resource "google_iap_web_cloud_run_service_iam_member" "people" {
  for_each = { for member in setunion(var.readers, var.operators) : member => member if local.iap && !local.balanced }

  project                = local.project
  location               = var.region
  cloud_run_service_name = google_cloudfunctions2_function.this["dashboard"].name
  role                   = "roles/iap.httpsResourceAccessor"
  member                 = each.value
}

# --- Google's own accounts ----------------------------------------------------

# Cloud Storage publishes events of new objects through Pub/Sub.
resource "google_project_iam_member" "storage_agent" {
  project = local.project
  role    = "roles/pubsub.publisher"
  member  = data.google_storage_project_service_account.this.member
}

# Vertex AI reads staged files and the media that rows name, and writes the results.
locals {
  vertex_agent = local.on_vertex ? {
    inbox  = ["roles/storage.objectViewer"]
    work   = ["roles/storage.objectViewer"]
    output = ["roles/storage.objectUser"]
  } : {}
}

resource "google_storage_bucket_iam_member" "vertex_agent" {
  for_each = { for bucket, roles in local.vertex_agent : bucket => one(roles) }

  bucket = google_storage_bucket.this[each.key].name
  role   = each.value
  member = local.agents["aiplatform.googleapis.com"]

  depends_on = [google_project_service_identity.agent]
}

# Reading or writing a table is a BigQuery job, which runs in the project.
resource "google_project_iam_member" "vertex_agent" {
  for_each = toset(length(local.tables) > 0 ? ["roles/bigquery.jobUser"] : [])

  project = local.project
  role    = each.key
  member  = local.agents["aiplatform.googleapis.com"]

  depends_on = [google_project_service_identity.agent]
}

# A resource of its own: an _iam_member would remove other entries, such as authorized
# views.
resource "google_bigquery_dataset_access" "vertex_agent" {
  for_each = local.tables

  project       = each.value.project
  dataset_id    = each.value.dataset
  role          = each.value.right == "write" ? "roles/bigquery.dataEditor" : "roles/bigquery.dataViewer"
  user_by_email = trimprefix(local.agents["aiplatform.googleapis.com"], "serviceAccount:")

  depends_on = [google_project_service.api, google_project_service_identity.agent]
}

resource "google_kms_crypto_key_iam_member" "agent" {
  for_each = var.kms_key == null ? {} : merge(
    { for service in local.encrypting : service => local.agents[service] },
    { "storage.googleapis.com" = data.google_storage_project_service_account.this.member },
  )

  crypto_key_id = var.kms_key
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = each.value

  depends_on = [google_project_service_identity.agent]
}

# --- Cloud Build --------------------------------------------------------------

locals {
  # A plan reads the configuration of every resource.
  planning = [
    "roles/artifactregistry.reader",
    "roles/browser",
    "roles/cloudfunctions.viewer",
    "roles/cloudscheduler.viewer",
    "roles/datastore.viewer",
    "roles/iam.securityReviewer",
    "roles/iam.serviceAccountViewer",
    "roles/logging.logWriter",
    "roles/logging.viewer",
    "roles/monitoring.viewer",
    "roles/pubsub.viewer",
    "roles/run.viewer",
    "roles/secretmanager.viewer",
    "roles/serviceusage.serviceUsageViewer",
    "roles/storage.bucketViewer",
  ]

  # An apply changes it.
  applying = [
    "roles/artifactregistry.admin",
    "roles/cloudfunctions.admin",
    "roles/cloudscheduler.admin",
    "roles/datastore.owner",
    "roles/iam.serviceAccountAdmin",
    "roles/iam.serviceAccountUser",
    "roles/logging.configWriter",
    "roles/monitoring.editor",
    "roles/pubsub.admin",
    "roles/run.admin",
    "roles/secretmanager.admin",
    "roles/serviceusage.serviceUsageAdmin",
    "roles/storage.admin",
  ]

  building = {
    off   = []
    plan  = local.planning
    apply = concat(local.planning, local.applying, local.iap ? ["roles/iap.admin"] : [])
  }
}

resource "google_service_account" "cloud_build" {
  for_each = toset(var.cloud_build == "off" ? [] : ["this"])

  project      = local.project
  account_id   = "${var.name}-cloudbuild"
  display_name = "batchdrop: Cloud Build"
  description  = "Runs cloudbuild.yaml: tests, packages, and may ${var.cloud_build}"
}

resource "google_project_iam_member" "cloud_build" {
  for_each = toset(local.building[var.cloud_build])

  project = local.project
  role    = each.key
  member  = google_service_account.cloud_build["this"].member
}

# An account that may grant any role can get every role. This one may only grant those
# that a function, a caller or the build has here. A person changes its own roles.
resource "google_project_iam_member" "cloud_build_grants" {
  for_each = toset(var.cloud_build == "apply" ? ["this"] : [])

  project = local.project
  role    = "roles/resourcemanager.projectIamAdmin"
  member  = google_service_account.cloud_build["this"].member

  condition {
    title      = "The roles of this deployment"
    expression = "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly(${jsonencode(local.granted)})"
  }
}

locals {
  granted = [
    "roles/aiplatform.user",
    "roles/bigquery.jobUser",
    "roles/datastore.user",
    "roles/datastore.viewer",
    "roles/eventarc.eventReceiver",
    "roles/logging.logWriter",
    "roles/monitoring.viewer",
    "roles/pubsub.publisher",
    "roles/storage.objectViewer",
  ]
}

# A plan or an apply of a dataset's grants has to read them.
resource "google_bigquery_dataset_access" "cloud_build" {
  for_each = var.cloud_build == "off" ? {} : local.tables

  project       = each.value.project
  dataset_id    = each.value.dataset
  role          = var.cloud_build == "apply" ? "roles/bigquery.dataOwner" : "roles/bigquery.metadataViewer"
  user_by_email = google_service_account.cloud_build["this"].email

  depends_on = [google_project_service.api]
}

# The state and the zips.
resource "google_storage_bucket_iam_member" "cloud_build" {
  for_each = google_service_account.cloud_build

  bucket = var.deploy_bucket
  role   = "roles/storage.objectUser"
  member = each.value.member
}
