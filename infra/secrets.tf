# The Developer API's key. Add its value by hand (see docs/how-to/deploy.md), so that it is
# in no plan and no state.
resource "google_secret_manager_secret" "developer_api_key" {
  for_each = toset(contains(var.backends, "developer") ? ["this"] : [])

  project             = local.project
  secret_id           = "${var.name}-developer-api-key"
  deletion_protection = var.protect

  replication {
    user_managed {
      replicas {
        location = var.region

        dynamic "customer_managed_encryption" {
          for_each = var.kms_key[*]
          content {
            kms_key_name = customer_managed_encryption.value
          }
        }
      }
    }
  }

  depends_on = [google_kms_crypto_key_iam_member.agent]
}
