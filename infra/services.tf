# The APIs. A destroy leaves them on, because others may use them.
resource "google_project_service" "api" {
  for_each = toset(concat(length(local.tables) > 0 ? ["bigquery.googleapis.com"] : [], local.iap ? ["iap.googleapis.com"] : [], [
    "aiplatform.googleapis.com",
    "artifactregistry.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudfunctions.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "cloudscheduler.googleapis.com",
    "eventarc.googleapis.com",
    "firestore.googleapis.com",
    "iam.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "pubsub.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "storage.googleapis.com",
  ]))

  project            = var.project_id
  service            = each.key
  disable_on_destroy = false
}

locals {
  # The project, once its APIs are on: a resource that uses this waits for them.
  project = one(distinct(values(google_project_service.api)[*].project))
}

data "google_project" "this" {
  project_id = var.project_id
}

# Google's own accounts. Some are made on first use only, and a grant to an account that
# does not exist fails.
resource "google_project_service_identity" "agent" {
  provider = google-beta
  for_each = setunion(
    ["aiplatform.googleapis.com", "eventarc.googleapis.com", "pubsub.googleapis.com"],
    local.iap ? ["iap.googleapis.com"] : [],
    var.kms_key == null ? [] : local.encrypting,
  )

  project = local.project
  service = each.key
}

# Reading this one creates it.
data "google_storage_project_service_account" "this" {
  project = var.project_id
}

locals {
  # Services that use the key themselves.
  encrypting = [
    "artifactregistry.googleapis.com",
    "cloudfunctions.googleapis.com",
    "eventarc.googleapis.com",
    "firestore.googleapis.com",
    "pubsub.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
  ]

  # Their addresses in full, so that a plan shows who gets what.
  agents = {
    for service, domain in {
      "aiplatform.googleapis.com"       = "gcp-sa-aiplatform"
      "artifactregistry.googleapis.com" = "gcp-sa-artifactregistry"
      "cloudfunctions.googleapis.com"   = "gcf-admin-robot"
      "eventarc.googleapis.com"         = "gcp-sa-eventarc"
      "firestore.googleapis.com"        = "gcp-sa-firestore"
      "iap.googleapis.com"              = "gcp-sa-iap"
      "pubsub.googleapis.com"           = "gcp-sa-pubsub"
      "run.googleapis.com"              = "serverless-robot-prod"
      "secretmanager.googleapis.com"    = "gcp-sa-secretmanager"
    } :
    service => "serviceAccount:service-${data.google_project.this.number}@${domain}.iam.gserviceaccount.com"
  }
}
