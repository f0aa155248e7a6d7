# Storage events can't be filtered by a prefix, so what people drop, what the worker
# stages and what the service writes lie in three buckets: nothing that is written by us
# comes back as an upload.
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

  # Nothing of the user's is deleted: only staged copies have an end.
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

# Routes change more often than code: an object, named by what it holds, so that each
# change makes new instances read it.
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

# What has to be known here of the routes. Terraform reads no TOML; what is written in the
# usual way can be found all the same, and anything else is refused above.
locals {
  # Its lines, but for those that are comments.
  routes = join("\n", [
    for line in flatten([for file in var.routes_file[*] : try(split("\n", file(file)), [])]) : line if !startswith(trimspace(line), "#")
  ])
  route_destinations = flatten(regexall("(?m)^\\s*destination\\s*=\\s*[\"'](gs://[^\"'\n]+)[\"']", local.routes))
  route_models       = flatten(regexall("(?m)^\\s*model\\s*=\\s*[\"']([^\"'\n]+)[\"']", local.routes))
  route_backends     = flatten(regexall("(?m)^\\s*backend\\s*=\\s*[\"'](vertex|developer)[\"']", local.routes))
}
