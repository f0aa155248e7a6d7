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
  model         = "gemini-3.8-flash"
  release       = "functions-0000000000000000000000000000000000000000000000000000000000000000.zip"
}

run "nothing_is_optional_by_default" {
  command = plan

  assert {
    condition     = length(google_secret_manager_secret.developer_api_key) == 0 && length(google_monitoring_notification_channel.email) == 0 && length(google_kms_crypto_key_iam_member.agent) == 0 && length(google_service_account.cloud_build) == 0
    error_message = "An optional part is there that nobody chose."
  }
  assert {
    condition     = toset(keys(google_cloudfunctions2_function.this)) == toset(["on_upload", "poll", "collect", "dashboard"])
    error_message = "The functions are not on_upload, poll, collect and dashboard."
  }
  assert {
    condition     = length(google_cloud_run_v2_service_iam_member.people) == 0 && length(google_iap_web_cloud_run_service_iam_member.people) == 0
    error_message = "Somebody whom nobody named may open the pages."
  }
}

run "pages_take_commands_from_those_whom_they_know" {
  command = plan
  variables {
    readers   = ["domain:example.com"]
    operators = ["user:ann@example.com", "serviceAccount:app@example-project.iam.gserviceaccount.com"]
  }

  assert {
    condition     = keys(google_cloud_run_v2_service_iam_member.people) == ["domain:example.com", "serviceAccount:app@example-project.iam.gserviceaccount.com", "user:ann@example.com"]
    error_message = "Not readers and operators may open the pages, or not they alone."
  }
  assert {
    condition     = google_cloudfunctions2_function.this["dashboard"].service_config[0].environment_variables["BATCHDROP_DASHBOARD_OPERATORS"] == "ann@example.com,app@example-project.iam.gserviceaccount.com"
    error_message = "The pages don't know the operators."
  }
  assert {
    condition     = google_cloudfunctions2_function.this["dashboard"].service_config[0].environment_variables["BATCHDROP_DASHBOARD_READERS"] == "ann@example.com,app@example-project.iam.gserviceaccount.com,domain:example.com"
    error_message = "The pages don't know the readers."
  }
  assert {
    condition     = output.dashboard_command == "gcloud run services proxy batchdrop-dashboard --project example-project --region us-central1 --port 8080"
    error_message = "The command opens something else."
  }
}

run "a_balancers_proxy_is_the_only_way_to_the_pages" {
  command = plan
  variables {
    dashboard = { access = "iap", audience = "/projects/123456789012/global/backendServices/42" }
    readers   = ["group:analysts@example.com"]
  }

  assert {
    condition     = google_cloudfunctions2_function.this["dashboard"].service_config[0].ingress_settings == "ALLOW_INTERNAL_AND_GCLB" && google_cloudfunctions2_function.this["dashboard"].service_config[0].environment_variables["BATCHDROP_DASHBOARD_AUDIENCE"] == "/projects/123456789012/global/backendServices/42"
    error_message = "There is a way past the balancer, or its assertions are not known."
  }
  assert {
    condition     = keys(google_cloud_run_v2_service_iam_member.people) == ["iap"] && length(google_iap_web_cloud_run_service_iam_member.people) == 0
    error_message = "Somebody may open the pages without the balancer's proxy."
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

run "alerts_and_pages_can_be_left_out" {
  command = plan
  variables {
    alerts    = false
    dashboard = null
    readers   = ["user:ann@example.com"]
  }

  assert {
    condition     = length(google_monitoring_alert_policy.this) == 0 && length(google_logging_metric.this) > 0
    error_message = "Leaving out the alerts leaves out something else, or not the alerts."
  }
  assert {
    condition     = !contains(keys(google_cloudfunctions2_function.this), "dashboard") && !contains(keys(google_service_account.function), "dashboard") && length(google_cloud_run_v2_service_iam_member.people) == 0
    error_message = "Something of the pages is there."
  }
  assert {
    condition     = output.dashboard == null && output.dashboard_command == null
    error_message = "Pages that are not there have an address."
  }
}

# Each of these is wrong, and each has to be refused.
run "what_is_wrong_is_refused" {
  command = plan
  variables {
    project_id          = "123456789012"                # a number is no id
    deploy_bucket       = "gs://example-project-deploy" # a bucket's name has no scheme
    model               = " "                           # nothing
    release             = "functions-latest.zip"        # not named by its content
    name                = "nineteen-characters"         # too long for a service account
    region              = "us"                          # a trigger needs one region
    model_location      = "moon"                        # nowhere
    uploaders           = ["allUsers"]                  # everybody
    readers             = ["allUsers"]                  # everybody
    operators           = ["ann@example.com"]           # without its kind
    max_uploads         = 0                             # nobody
    max_collects        = 1001                          # more than there can be
    work_days           = 29                            # shorter than results may take
    costs_days          = 0.5                           # half a day
    ledger_days         = 3                             # as short as what is looked for
    limits              = { max_rows = 0 }              # nothing at all
    policies            = { cancel_after = -1 }         # before it began
    rows                = { on_invalid = "ignore" }     # one of two
    results             = "some"                        # one of three
    failed_share        = 5                             # no percentage
    retries             = { retry = 4 }                 # more than there may be
    ceilings            = { max_cost = 0 }              # nothing at all
    estimates           = { answer_tokens = 0.5 }       # half a token
    subscription_filter = "attributes.object = \"a-name-that-goes-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on\""
    alert_emails        = ["oncall"]                     # no address
    kms_key             = "my-key"                       # not its full name
    routes_file         = "there-is-no-such-file.toml"   # not there
    prices_file         = "variables.tf"                 # no JSON
    cloud_build         = "destroy"                      # not one of three
    backends            = ["vertex", "openai"]           # one of two
    labels              = { batchdrop_job = "1" }        # the worker's own
    models              = ["gemini-4-argon,other"]       # two in one
    sources             = ["gs://rows/*"]                # a wildcard
    dashboard           = { audience = "/projects/1/x" } # of a proxy that isn't chosen
  }
  expect_failures = [
    var.project_id,
    var.deploy_bucket,
    var.model,
    var.release,
    var.name,
    var.region,
    var.model_location,
    var.uploaders,
    var.readers,
    var.operators,
    var.max_uploads,
    var.max_collects,
    var.work_days,
    var.costs_days,
    var.ledger_days,
    var.limits,
    var.policies,
    var.rows,
    var.results,
    var.failed_share,
    var.retries,
    var.ceilings,
    var.estimates,
    var.subscription_filter,
    var.alert_emails,
    var.kms_key,
    var.routes_file,
    var.prices_file,
    var.cloud_build,
    var.backends,
    var.labels,
    var.models,
    var.sources,
    var.dashboard,
  ]
}

run "more_that_is_wrong_is_refused" {
  command = plan
  variables {
    backends     = []                                 # none
    limits       = { part_rows = 0.5 }                # half a row
    policies     = { stalled_after = { ENDED = 60 } } # no state to stand in
    labels       = { team = "Search" }                # no capitals
    sources      = ["gs://rows/../secrets"]           # dots
    destinations = ["gs://results/a\" || true"]       # a quote, in what becomes a condition
    dashboard    = { access = "public" }              # for nobody knows whom
  }
  expect_failures = [
    var.backends,
    var.limits,
    var.policies,
    var.labels,
    var.sources,
    var.destinations,
    var.dashboard,
  ]
}

run "who_acts_on_the_pages_has_an_address" {
  command = plan
  variables {
    dashboard = { operators = ["group:oncall@example.com"] }
  }
  expect_failures = [var.dashboard]
}

run "a_dataset_of_vertex_is_only_read" {
  command = plan
  variables {
    datasets = { "projects/p/locations/l/datasets/1" = "write" }
  }
  expect_failures = [
    var.datasets,
  ]
}

run "results_dont_come_back_as_drops" {
  command = plan
  variables {
    destinations = ["gs://example-project-batchdrop-inbox/results"]
  }
  expect_failures = [var.destinations]
}

run "a_table_needs_vertex" {
  command = plan
  variables {
    backends = ["developer"]
    datasets = { "example-project.rows" = "read" }
  }
  expect_failures = [var.datasets]
}

run "patience_is_one_for_all_states" {
  command = plan
  variables {
    policies = { stalled_after = 3600 }
  }

  assert {
    condition     = google_cloudfunctions2_function.this["poll"].service_config[0].environment_variables["BATCHDROP_STALLED_AFTER"] == "3600"
    error_message = "The number isn't handed on as it is."
  }
}

run "what_lies_elsewhere_is_opened_by_prefix_and_patience_goes_by_state" {
  command = plan
  variables {
    policies     = { stalled_after = { PENDING = 259200, RUNNING = 86400 } }
    sources      = ["gs://rows/search", "gs://example-project-batchdrop-inbox/media"]
    destinations = ["gs://results"]
    datasets     = { "other.rows" = "read", "projects/p/locations/l/datasets/1" = "read" }
  }

  assert {
    condition     = alltrue([for grant in google_storage_bucket_iam_member.elsewhere : length(grant.condition) == (grant.bucket == "rows" ? 1 : 0)])
    error_message = "A prefix is opened with its whole bucket, or a bucket isn't opened."
  }
  assert {
    condition     = length(google_storage_bucket_iam_member.elsewhere) == 8
    error_message = "Two functions and Vertex AI read one place and write to another, where collect reads and writes; the inbox is open to them anyway."
  }
  assert {
    condition     = keys(google_bigquery_dataset_access.vertex_agent) == ["other.rows"]
    error_message = "Not BigQuery's datasets alone are opened."
  }
  assert {
    condition     = google_cloudfunctions2_function.this["poll"].service_config[0].environment_variables["BATCHDROP_STALLED_AFTER"] == "PENDING=259200,RUNNING=86400"
    error_message = "The states aren't handed on as the code reads them."
  }
}
