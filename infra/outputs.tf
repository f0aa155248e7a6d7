output "inbox" {
  description = "Drop files here."
  value       = "gs://${google_storage_bucket.this["inbox"].name}/"
}

output "output" {
  description = "Results appear here, under NAME/JOB_ID/."
  value       = "gs://${google_storage_bucket.this["output"].name}/"
}

output "topic" {
  description = "Announcements are published here: subscribe to it."
  value       = google_pubsub_topic.announcements.id
}

output "example_subscription" {
  description = "An example subscription, to look at announcements."
  value       = google_pubsub_subscription.example.id
}

output "ledger" {
  description = "The Firestore database that holds the jobs."
  value       = google_firestore_database.ledger.id
}

output "functions" {
  description = "The functions, by their names in main.py."
  value       = { for key, function in google_cloudfunctions2_function.this : key => function.id }
}

output "service_accounts" {
  description = "The functions' service accounts. Grant them access to anything else that they should reach."
  value       = { for key, account in google_service_account.function : key => account.email }
}

output "developer_api_key_secret" {
  description = "The secret into which you put the Developer API's key; null without that backend."
  value       = one([for secret in google_secret_manager_secret.developer_api_key : secret.id])
}

output "dashboard" {
  description = "The dashboard's address; null if it is off. No browser opens it without dashboard_command."
  value       = one([for key, function in google_cloudfunctions2_function.this : function.service_config[0].uri if key == "dashboard"])
}

output "dashboard_command" {
  description = "With access \"iam\": opens the dashboard at http://localhost:8080 while it runs. With \"iap\": switches the Identity-Aware Proxy on; null if a load balancer has it."
  value = one([
    for chosen in var.dashboard[*] : chosen.access == "iam" ?
    "gcloud run services proxy ${var.name}-dashboard --project ${var.project_id} --region ${var.region} --port 8080" :
    "gcloud beta run services update ${var.name}-dashboard --project ${var.project_id} --region ${var.region} --iap" if !local.balanced
  ])
}

output "charts" {
  description = "The charts in Cloud Monitoring, below https://console.cloud.google.com/monitoring/dashboards/builder/."
  value       = google_monitoring_dashboard.this.id
}

output "labels" {
  description = "The label of all resources and batches: filter a bill by it."
  value       = local.labels
}

output "settings" {
  description = "What the functions run with; no secret is in it. `batchdrop deployments add NAME --from-terraform .` reads it."
  value       = local.environment
}
