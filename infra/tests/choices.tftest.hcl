# What can be chosen, and what is refused, in Terraform's own words:
#   terraform -chdir=infra init -backend=false && terraform -chdir=infra test
mock_provider "google" {
  mock_data "google_project" {
    defaults = { number = "123456789012" }
  }
  mock_data "google_storage_project_service_account" {
    defaults = { member = "serviceAccount:service-123456789012@gs-project-accounts.iam.gserviceaccount.com" }
  }
}
mock_provider "google-beta" {}

variables {
  project_id    = "example-project"
  deploy_bucket = "example-project-batchdrop-deploy"
  model         = "gemini-2.5-flash"
  release       = "functions-0000000000000000000000000000000000000000000000000000000000000000.zip"
}

run "nothing_is_optional_by_default" {
  command = plan

  assert {
    condition     = length(google_secret_manager_secret.developer_api_key) == 0 && length(google_monitoring_notification_channel.email) == 0 && length(google_kms_crypto_key_iam_member.agent) == 0 && length(google_service_account.cloud_build) == 0
    error_message = "An optional part is there that nobody chose."
  }
  assert {
    condition     = toset(keys(google_cloudfunctions2_function.this)) == toset(["on_upload", "poll"])
    error_message = "The functions are not on_upload and poll."
  }
}

# Applied, as some addresses are known only then.
run "the_scheduler_calls_the_address_its_token_is_for" {
  assert {
    condition     = google_cloud_scheduler_job.this["poll"].http_target[0].uri == google_cloudfunctions2_function.this["poll"].service_config[0].uri
    error_message = "Scheduler doesn't call the run.app address."
  }
  assert {
    condition     = google_cloud_scheduler_job.this["poll"].http_target[0].oidc_token[0].audience == google_cloud_scheduler_job.this["poll"].http_target[0].uri
    error_message = "The token is for another address than the one that is called."
  }
  assert {
    condition     = google_pubsub_subscription.example.dead_letter_policy[0].dead_letter_topic == google_pubsub_topic.dead_letters.id
    error_message = "Dead letters go to another topic than the one that is watched."
  }
}

run "batches_run_in_the_region_unless_told_otherwise" {
  command = plan
  variables {
    region = "europe-west4"
  }

  assert {
    condition     = google_cloudfunctions2_function.this["poll"].service_config[0].environment_variables["BATCHDROP_LOCATION"] == "europe-west4"
    error_message = "The batches run elsewhere."
  }
}

run "alerts_can_be_left_out" {
  command = plan
  variables {
    alerts = false
  }

  assert {
    condition     = length(google_monitoring_alert_policy.this) == 0 && length(google_logging_metric.this) > 0
    error_message = "Leaving out the alerts leaves out something else, or not the alerts."
  }
}

run "a_project_number_is_no_id" {
  command = plan
  variables {
    project_id = "123456789012"
  }
  expect_failures = [var.project_id]
}

run "a_zip_is_named_by_its_content" {
  command = plan
  variables {
    release = "functions-latest.zip"
  }
  expect_failures = [var.release]
}

run "a_long_name_makes_no_service_account" {
  command = plan
  variables {
    name = "nineteen-characters"
  }
  expect_failures = [var.name]
}

run "nobody_uploads_anonymously" {
  command = plan
  variables {
    uploaders = ["allUsers"]
  }
  expect_failures = [var.uploaders]
}

run "nobody_looks_anonymously" {
  command = plan
  variables {
    dashboard_viewers = ["allAuthenticatedUsers"]
  }
  expect_failures = [var.dashboard_viewers]
}

run "a_trigger_needs_one_region" {
  command = plan
  variables {
    region = "us"
  }
  expect_failures = [var.region]
}

run "a_batch_outlives_a_week" {
  command = plan
  variables {
    work_days = 7
  }
  expect_failures = [var.work_days]
}

run "a_filter_has_256_bytes" {
  command = plan
  variables {
    subscription_filter = "attributes.object = \"a-name-that-goes-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on\""
  }
  expect_failures = [var.subscription_filter]
}

run "a_build_may_plan_apply_or_nothing" {
  command = plan
  variables {
    cloud_build = "destroy"
  }
  expect_failures = [var.cloud_build]
}

run "a_key_has_a_full_name" {
  command = plan
  variables {
    kms_key = "my-key"
  }
  expect_failures = [var.kms_key]
}

run "an_alert_goes_to_an_address" {
  command = plan
  variables {
    alert_emails = ["oncall"]
  }
  expect_failures = [var.alert_emails]
}
