# Storage events can't be filtered by a prefix. Drops, staged files and results are in
# three buckets, so that nothing that we write causes an upload event.
locals {
  buckets = { for purpose in ["inbox", "work", "output"] : purpose => "${var.project_id}-${var.name}-${purpose}" }
}

resource "google_storage_bucket" "this" {
  for_each = local.buckets

  project                     = local.project
  name                        = each.value
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !var.protect

  soft_delete_policy {
    retention_duration_seconds = 7 * 24 * 60 * 60
  }

  # Only staged copies are deleted, never a file of the user's.
  dynamic "lifecycle_rule" {
    for_each = each.key == "work" ? { Delete = var.work_days, AbortIncompleteMultipartUpload = 1 } : {}
    content {
      action {
        type = lifecycle_rule.key
      }
      condition {
        age            = lifecycle_rule.value
        matches_prefix = lifecycle_rule.key == "Delete" ? ["staged/"] : []
      }
    }
  }

  dynamic "encryption" {
    for_each = var.kms_key[*]
    content {
      default_kms_key_name = encryption.value
    }
  }

  depends_on = [google_kms_crypto_key_iam_member.agent]
}

# Routes change more often than code. The object's name is derived from its content, so
# that each change starts new instances, which read it.
resource "google_storage_bucket_object" "routes" {
  for_each = toset(var.routes_file[*])

  bucket       = google_storage_bucket.this["work"].name
  name         = "routes/${filesha256(each.value)}.toml"
  source       = each.value
  content_type = "application/toml"

  lifecycle {
    precondition {
      condition     = length(local.route_destinations) == length(regexall("gs://", local.routes)) && alltrue([for uri in local.route_destinations : can(regex(local.prefix, uri))])
      error_message = "routes_file: write each destination on a line of its own, as destination = \"gs://bucket/prefix/\", or nobody could be granted to write there."
    }
    precondition {
      condition     = length(setsubtract(local.route_backends, var.backends)) == 0
      error_message = "routes_file: a route's backend is not among the backends."
    }
  }
}

# The same for a price list of one's own.
resource "google_storage_bucket_object" "prices" {
  for_each = toset(var.prices_file[*])

  bucket       = google_storage_bucket.this["work"].name
  name         = "prices/${filesha256(each.value)}.json"
  source       = each.value
  content_type = "application/json"
}

# What Terraform must know of the routes. It reads no TOML, but finds what is written in
# the usual way; the preconditions above refuse anything else.
locals {
  # The lines that are no comments.
  routes = join("\n", [
    for line in flatten([for file in var.routes_file[*] : try(split("\n", file(file)), [])]) : line if !startswith(trimspace(line), "#")
  ])
  route_destinations = flatten(regexall("(?m)^\\s*destination\\s*=\\s*[\"'](gs://[^\"'\n]+)[\"']", local.routes))
  route_models       = flatten(regexall("(?m)^\\s*model\\s*=\\s*[\"']([^\"'\n]+)[\"']", local.routes))
  route_backends     = flatten(regexall("(?m)^\\s*backend\\s*=\\s*[\"'](vertex|developer)[\"']", local.routes))
}
