# The topic of the announcements.
resource "google_pubsub_topic" "announcements" {
  project      = local.project
  name         = "${var.name}-announcements"
  kms_key_name = var.kms_key

  # Pub/Sub refuses a message that subscribers couldn't read.
  schema_settings {
    schema   = google_pubsub_schema.announcement.id
    encoding = "JSON"
  }

  depends_on = [google_kms_crypto_key_iam_member.agent]
}

# Which jobs to collect: poll names one in a message. Nothing is lost with a message, as a
# job that is still due is named again.
resource "google_pubsub_topic" "work" {
  project      = local.project
  name         = "${var.name}-work"
  kms_key_name = var.kms_key

  depends_on = [google_kms_crypto_key_iam_member.agent]
}

resource "google_pubsub_schema" "announcement" {
  project    = local.project
  name       = "${var.name}-announcement"
  type       = "PROTOCOL_BUFFER"
  definition = file("${path.module}/announcement.proto")
}

# An example of a subscription, with everything that a careful subscriber sets.
resource "google_pubsub_subscription" "example" {
  project                    = local.project
  name                       = "${var.name}-example"
  topic                      = google_pubsub_topic.announcements.id
  filter                     = var.subscription_filter
  enable_message_ordering    = true # by job
  ack_deadline_seconds       = 60
  message_retention_duration = "${7 * 24 * 60 * 60}s"

  # The default deletes a subscription that nobody has used for a month.
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

# Messages that a subscriber refused again and again.
resource "google_pubsub_topic" "dead_letters" {
  project      = local.project
  name         = "${var.name}-dead-letters"
  kms_key_name = var.kms_key

  depends_on = [google_kms_crypto_key_iam_member.agent]
}

# A topic keeps nothing: this subscription holds the dead letters.
resource "google_pubsub_subscription" "dead_letters" {
  project                    = local.project
  name                       = "${var.name}-dead-letters"
  topic                      = google_pubsub_topic.dead_letters.id
  message_retention_duration = "${31 * 24 * 60 * 60}s"

  expiration_policy {
    ttl = ""
  }
}

# Both are needed, or dead letters are silently not forwarded: one to publish them, one to
# acknowledge them on the subscription.
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
