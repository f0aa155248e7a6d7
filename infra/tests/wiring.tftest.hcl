# What is known only after an apply:
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
  model         = "gemini-3.8-flash"
  release       = "functions-0000000000000000000000000000000000000000000000000000000000000000.zip"
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
    condition     = google_cloudfunctions2_function.this["collect"].event_trigger[0].pubsub_topic == google_pubsub_topic.work.id
    error_message = "collect doesn't hear the topic on which poll names jobs."
  }
  assert {
    condition     = google_pubsub_subscription.example.dead_letter_policy[0].dead_letter_topic == google_pubsub_topic.dead_letters.id
    error_message = "Dead letters go to another topic than the one that is watched."
  }
}
