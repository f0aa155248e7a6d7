output "inbox" {
  description = "Drop files here."
  value       = "gs://${google_storage_bucket.this["inbox"].name}/"
}

output "output" {
  description = "Results appear here, under NAME/JOB_ID/; NAME is that of the dropped file."
  value       = "gs://${google_storage_bucket.this["output"].name}/"
}

output "topic" {
  description = "Announcements are published here: subscribe to it."
  value       = google_pubsub_topic.announcements.id
}

output "example_subscription" {
  description = "An example subscription, from which you can read announcements."
  value       = google_pubsub_subscription.example.id
}

output "ledger" {
  description = "The Firestore database that holds the jobs."
  value       = google_firestore_database.ledger.id
}

output "functions" {
  description = "The functions, by the names of their entry points in main.py."
  value       = { for key, function in google_cloudfunctions2_function.this : key => function.id }
}

output "service_accounts" {
  description = "The functions' service accounts. Grant these accounts access to anything else that the functions should reach."
  value       = { for key, account in google_service_account.function : key => account.email }
}

output "developer_api_key_secret" {
  description = "The secret into which you put the Developer API's key; null without that backend."
  value       = one([for secret in google_secret_manager_secret.developer_api_key : secret.id])
}

output "dashboard" {
  description = "The dashboard's address; null if there is no dashboard. Run dashboard_command before you open it in a browser."
  value       = one([for key, function in google_cloudfunctions2_function.this : function.service_config[0].uri if key == "dashboard"])
}

output "dashboard_command" {
  description = "A command. With access \"iam\" it serves the dashboard at http://localhost:8080 while it runs. With \"iap\" it switches the Identity-Aware Proxy on, once; null if the proxy is at a load balancer."
  value = one([
    for chosen in var.dashboard[*] : chosen.access == "iam" ?
    "gcloud run services proxy ${var.name}-dashboard --project ${var.project_id} --region ${var.region} --port 8080" :
    "gcloud beta run services update ${var.name}-dashboard --project ${var.project_id} --region ${var.region} --iap" if !local.balanced
  ])
}

output "charts" {
  description = "The dashboard of charts in Cloud Monitoring. Its last part is the ID in https://console.cloud.google.com/monitoring/dashboards/builder/ID."
  value       = google_monitoring_dashboard.this.id
}

output "labels" {
  description = "The label of all resources and batches, by which you can filter a bill."
  value       = local.labels
}

output "settings" {
  description = "The settings of the functions, without secrets. `batchdrop deployments add NAME --from-terraform .` reads them."
  value       = local.environment
}
