# Jobs, announcements and the tick's lock.
resource "google_firestore_database" "ledger" {
  project                 = local.project
  name                    = var.name
  location_id             = var.region
  type                    = "FIRESTORE_NATIVE"
  database_edition        = "STANDARD"
  delete_protection_state = var.protect ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"
  deletion_policy         = "DELETE"

  dynamic "cmek_config" {
    for_each = var.kms_key[*]
    content {
      kms_key_name = cmek_config.value
    }
  }

  depends_on = [google_kms_crypto_key_iam_member.agent]
}

locals {
  costs  = ["compared", "currency", "day"]
  summed = ["micros", "estimated", "prompt_tokens", "answer_tokens"]
}

# Indexes of the ledger's queries over several fields. The emulator needs none of them;
# production refuses a query without its index.
resource "google_firestore_index" "this" {
  for_each = {
    # Reports add up these fields of what jobs have cost, by day, model, route and label.
    costs             = { collection = "costs", fields = concat(local.costs, local.summed) }
    costs_label       = { collection = "costs", fields = concat(["label_pairs[]"], local.costs, local.summed) }
    costs_model       = { collection = "costs", fields = concat(["model"], local.costs, local.summed) }
    costs_model_label = { collection = "costs", fields = concat(["label_pairs[]", "model"], local.costs, local.summed) }
    costs_route       = { collection = "costs", fields = concat(["route"], local.costs, local.summed) }
    costs_route_label = { collection = "costs", fields = concat(["label_pairs[]", "route"], local.costs, local.summed) }
    compared          = { collection = "costs", fields = ["backend", "model", "compared", "day"] }

    announced   = { collection = "announcements", fields = ["type", "created_at"] }
    cancelling  = { collection = "jobs", fields = ["phase", "cancel_at"] }
    deleting    = { collection = "jobs", fields = ["phase", "delete_at"] }
    due         = { collection = "jobs", fields = ["phase", "due"] }
    listed      = { collection = "jobs", fields = ["listed_as[]", "listed_at"] }
    named       = { collection = "jobs", fields = ["listed_at", "source.name"] }
    named_state = { collection = "jobs", fields = ["listed_as[]", "listed_at", "source.name"] }
    oldest      = { collection = "jobs", fields = ["phase", "batch.create_time"] }
    queued      = { collection = "jobs", fields = ["phase", "queue"] }
    stalling    = { collection = "jobs", fields = ["phase", "stall_at"] }
    unpublished = { collection = "announcements", fields = ["published_at", "set_aside_at", "created_at"] }
    waiting     = { collection = "jobs", fields = ["waiting_in", "created_at"] }
  }

  project    = local.project
  database   = google_firestore_database.ledger.name
  collection = each.value.collection

  dynamic "fields" {
    for_each = each.value.fields
    content {
      # Of a list, each item is found.
      field_path   = trimsuffix(fields.value, "[]")
      order        = endswith(fields.value, "[]") ? null : "ASCENDING"
      array_config = endswith(fields.value, "[]") ? "CONTAINS" : null
    }
  }
}

# Fields that no query looks at by themselves. An index on a time that only grows holds a
# collection to 500 writes a second, and every index costs at every write. What is said
# of a map holds for all that is in it. `phase`, `endpoint`, `queue`, `waiting_in` and `cancel_request` keep
# theirs: queries that compare several of them merge these.
resource "google_firestore_field" "unindexed" {
  for_each = merge([
    for collection, fields in {
      jobs = [
        "answers_at_risk", "answers_short", "batch", "cancel_at", "columns_lost",
        "delete_at", "deleted_at", "due", "error", "estimate", "gathered", "health", "history", "inputs", "lease", "listed_as",
        "manifest", "not_allowed", "not_found", "not_visible", "outcome", "parked", "part",
        "part_of", "parts", "parts_held", "poll_failed", "postponed", "progress", "put_off", "report", "reserved", "retry_of",
        "round", "round_held", "rounds", "row_errors", "rows", "running_since", "skipped", "source",
        "spec", "spec_from", "stalled", "unpublished", "used",
        "staging", "stall_at", "state_since", "duplicates", "updated_at", "waiting_for",
      ]
      ceilings      = ["micros", "routes"]
      announcements = ["attributes", "body", "created_at", "published_at", "set_aside_at"]
      costs = [
        "answer_tokens", "collected_at", "estimated", "job", "location", "micros", "no_cost",
        "part_of", "prices_as_of", "prompt_tokens", "round", "rows", "source", "usage", "v",
      ]
    } :
    { for field in fields : "${collection}.${field}" => { collection = collection, field = field } }
  ]...)

  project    = local.project
  database   = google_firestore_database.ledger.name
  collection = each.value.collection
  field      = each.value.field

  index_config {}
}

# Firestore deletes a document after its `expire_at`, which the code sets: on jobs that
# are done, published announcements, what a job has cost, and days with a ceiling once no
# job of the day is left.
resource "google_firestore_field" "expiring" {
  for_each = toset(["jobs", "announcements", "ceilings", "costs"])

  project    = local.project
  database   = google_firestore_database.ledger.name
  collection = each.key
  field      = "expire_at"

  index_config {}
  ttl_config {}
}
