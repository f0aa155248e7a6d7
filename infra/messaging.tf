# What is announced: who listens subscribes to this topic.
resource "google_pubsub_topic" "announcements" {
  project      = local.project
  name         = "${var.name}-announcements"
  kms_key_name = var.kms_key

  # Pub/Sub itself turns away what listeners couldn't read.
  schema_settings {
    schema   = google_pubsub_schema.announcement.id
    encoding = "JSON"
  }

  depends_on = [google_kms_crypto_key_iam_member.agent]
}

resource "google_pubsub_schema" "announcement" {
  project    = local.project
  name       = "${var.name}-announcement"
  type       = "PROTOCOL_BUFFER"
  definition = file("${path.module}/announcement.proto")
}

# An example of a listener, with all that a careful one has.
resource "google_pubsub_subscription" "example" {
  project                    = local.project
  name                       = "${var.name}-example"
  topic                      = google_pubsub_topic.announcements.id
  filter                     = var.subscription_filter
  enable_message_ordering    = true # by job
  ack_deadline_seconds       = 60
  message_retention_duration = "${7 * 24 * 60 * 60}s"

  # Without this it is deleted after a month in which nobody asked.
  expiration_policy {
    ttl = ""
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letters.id
    max_delivery_attempts = 10
  }
}

# What a listener turned down again and again.
resource "google_pubsub_topic" "dead_letters" {
  project      = local.project
  name         = "${var.name}-dead-letters"
  kms_key_name = var.kms_key

  depends_on = [google_kms_crypto_key_iam_member.agent]
}

# A topic keeps nothing; this holds the dead letters until somebody looks.
resource "google_pubsub_subscription" "dead_letters" {
  project                    = local.project
  name                       = "${var.name}-dead-letters"
  topic                      = google_pubsub_topic.dead_letters.id
  message_retention_duration = "${31 * 24 * 60 * 60}s"

  expiration_policy {
    ttl = ""
  }
}

# Both are needed, or dead letters go nowhere without a word: one to put them there, one
# to take them off the subscription.
resource "google_pubsub_topic_iam_member" "dead_letters" {
  project = local.project
  topic   = google_pubsub_topic.dead_letters.name
  role    = "roles/pubsub.publisher"
  member  = local.agents["pubsub.googleapis.com"]

  depends_on = [google_project_service_identity.agent]
}

resource "google_pubsub_subscription_iam_member" "dead_letters" {
  project      = local.project
  subscription = google_pubsub_subscription.example.name
  role         = "roles/pubsub.subscriber"
  member       = local.agents["pubsub.googleapis.com"]

  depends_on = [google_project_service_identity.agent]
}
