# Cloud Scheduler calls the functions that have a schedule.
resource "google_cloud_scheduler_job" "this" {
  for_each = { for key, one in local.functions : key => one if one.trigger == "schedule" }

  project     = local.project
  region      = var.region
  name        = "${var.name}-${replace(each.key, "_", "-")}"
  description = each.value.description
  schedule    = each.value.schedule
  time_zone   = "Etc/UTC"

  # The function's time-out: with a shorter deadline, a run could overlap the next one.
  attempt_deadline = "${each.value.timeout}s"

  # No retries: the next run follows in a minute.
  retry_config {
    retry_count = 0
  }

  http_target {
    http_method = "POST"
    # The run.app address. The function refuses tokens for `url`, which is another one.
    uri = google_cloudfunctions2_function.this[each.key].service_config[0].uri

    oidc_token {
      service_account_email = google_service_account.caller["scheduler"].email
      audience              = google_cloudfunctions2_function.this[each.key].service_config[0].uri
    }
  }

  depends_on = [google_cloud_run_v2_service_iam_member.caller]
}
