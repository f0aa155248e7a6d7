# Metrics that count log lines, a page of charts, and alerts with advice.
locals {
  services = [for function in values(google_cloudfunctions2_function.this) : function.name]

  # One log line of the worker, by its event id; a metric's labels are the line's fields.
  counted = {
    ticks       = { filter = "jsonPayload.event=\"tick.finished\"", labels = [] }
    ignored     = { filter = "jsonPayload.event=\"drop.ignored\" AND jsonPayload.reason:\"the name \"", labels = [] }
    claimed     = { filter = "jsonPayload.event=\"drop.claimed\"", labels = [] }
    submitted   = { filter = "jsonPayload.event=\"job.submitted\"", labels = [] }
    rejected    = { filter = "jsonPayload.event=\"job.rejected\"", labels = ["code"] }
    ended       = { filter = "jsonPayload.event=\"job.ended\"", labels = ["state"] }
    announced   = { filter = "jsonPayload.event=\"announcement.published\"", labels = ["type"] }
    unannounced = { filter = "jsonPayload.event=\"tick.job_failed\" AND jsonPayload.reason:\"announcement \"", labels = [] }
    parked      = { filter = "jsonPayload.event=\"job.parked\"", labels = ["phase"] }
    stalled     = { filter = "jsonPayload.event=\"job.stalled\"", labels = ["state"] }
    not_allowed = { filter = "(jsonPayload.event=\"job.postponed\" OR jsonPayload.event=\"collect.postponed\") AND jsonPayload.reason=\"not_allowed\"", labels = [] }
    woken       = { filter = "jsonPayload.event=\"collect.woken\"", labels = [] }
    collected   = { filter = "jsonPayload.event=\"collect.results\"", labels = [] }
    uncollected = { filter = "jsonPayload.event=\"collect.postponed\"", labels = ["reason"] }
    rows_failed = { filter = "jsonPayload.event=\"job.rows_failed\"", labels = [] }
    lost        = { filter = "jsonPayload.event=\"batch.lost\"", labels = [] }
    no_output   = { filter = "jsonPayload.event=\"batch.no_output\"", labels = [] }
    invisible   = { filter = "jsonPayload.event=\"batch.not_visible\"", labels = [] }
    missed      = { filter = "jsonPayload.event=\"drop.missed\"", labels = [] }
    duplicates  = { filter = "jsonPayload.event=\"batch.duplicate\"", labels = [] }
  }

  # A metric's name in PromQL, which requires its kind of resource.
  counts = {
    for key in keys(local.counted) : key =>
    "logging_googleapis_com:user_${replace(var.name, "-", "_")}_${key}{monitored_resource=\"cloud_run_revision\"}"
  }
  undelivered = "pubsub_googleapis_com:subscription_num_undelivered_messages{monitored_resource=\"pubsub_subscription\",subscription_id=\"${google_pubsub_subscription.dead_letters.name}\"}"
  requests    = "run_googleapis_com:request_count{monitored_resource=\"cloud_run_revision\",service_name=~\"${join("|", local.services)}\"}"
  latencies   = "run_googleapis_com:request_latencies_bucket{monitored_resource=\"cloud_run_revision\",service_name=~\"${join("|", local.services)}\"}"
  errors      = replace(local.requests, "}", ",response_code_class=\"5xx\"}")
  collects    = "run_googleapis_com:request_count{monitored_resource=\"cloud_run_revision\",service_name=\"${google_cloudfunctions2_function.this["collect"].name}\"}"

  alerts = {
    poll_silent = {
      title    = "poll is silent"
      severity = "CRITICAL"
      # No data counts as zero.
      query    = "(sum(increase(${local.counts.ticks}[10m])) or vector(0)) < 1"
      duration = "600s"
      advice   = "No tick of poll has ended for 20 minutes: no batch is followed, nothing is announced, and no dead worker is replaced. Look at the runs of the Cloud Scheduler job ${var.name}-poll, then at the log of the function of the same name. Nothing is lost: the next tick catches up."
    }
    collect_silent = {
      title    = "collect is silent"
      severity = "ERROR"
      # poll publishes wake-ups, and collect is not called for them.
      query    = "sum(increase(${local.counts.woken}[30m])) > 0 unless sum(increase(${local.collects}[30m])) > 0"
      duration = "900s"
      advice   = "poll publishes wake-ups on the topic ${google_pubsub_topic.work.name}, and the function ${var.name}-collect was not called for 45 minutes: jobs that have ended get no results. Look at the Eventarc trigger of the function, at its subscription on the topic, and at the role roles/run.invoker of the account ${var.name}-eventarc. Nothing is lost: poll wakes collect for a job until its results are written."
    }
    rows_failed = {
      title    = "rows fail"
      severity = "WARNING"
      query    = "sum(increase(${local.counts.rows_failed}[10m])) > 0"
      duration = "0s"
      advice   = "A job has ended, and a larger share of its rows than failed_share (${var.failed_share}, unless the job's route sets another) is failed or missing, or no row is ok. Blocked, truncated, malformed, empty and unclear rows do not count as failed. The log line with event job.rows_failed names the job; `failures` in its document has the most frequent errors with an example of each, and results.jsonl every row."
    }
    jobs_stalled = {
      title    = "jobs are stalled"
      severity = "ERROR"
      query    = join(" or ", [for key in ["parked", "stalled", "lost", "no_output", "invisible", "not_allowed"] : "sum(increase(${local.counts[key]}[10m])) > 0"])
      duration = "0s"
      advice   = <<-END
        At least one job makes no progress. A log line of the functions has one of these events, and names the job:

        - job.parked: no worker takes the job up until you resume or cancel it. The field `reason` says why: five workers in a row stopped on it, a step failed for three days, its file was read differently each time, what it needs was deleted again and again, or the counts of its results do not add up.
        - job.stalled: its next step has failed for two hours, its answers are about to be deleted, one of its rounds is unhealthy, or its batch has been in one state for longer than stalled_after.
        - batch.lost: the API has not known the batch for an hour.
        - batch.no_output: the batch has succeeded, and the API does not say where its answers are.
        - batch.not_visible: the API answers 404 for many batches at once.
        - job.postponed or collect.postponed with reason "not_allowed": a key, a bucket or a right of the functions is missing.

        `batchdrop show JOB` says what is wrong and what to do about it; so do `health` and `error` in the job's document.
      END
    }
    announcements_unpublished = {
      title    = "announcements are not published"
      severity = "ERROR"
      query    = "sum(increase(${local.counts.unannounced}[10m])) > 0"
      duration = "900s"
      advice   = "For 15 minutes Pub/Sub has refused at least one announcement, or not answered. Such announcements stay in the ledger, and poll publishes them as soon as Pub/Sub accepts them; one that it refuses ten times is set aside. The field `reason` of the log line with event tick.job_failed has Pub/Sub's message: usually a right on the topic is missing, or the schema ${google_pubsub_schema.announcement.name} does not allow the body."
    }
    dead_letters = {
      title    = "dead letters"
      severity = "WARNING"
      query    = "sum(${local.undelivered}) > 0"
      duration = "0s"
      advice   = "A subscriber refused an announcement ten times. Read it: `gcloud pubsub subscriptions pull ${google_pubsub_subscription.dead_letters.name} --limit 100`; the attribute job_id names the job. Fix the subscriber, then run `batchdrop announcements replay --job JOB --new`. Last, pull again with --auto-ack: the alert lasts as long as a message is left."
    }
    rejected_drops = {
      title    = "drops are rejected"
      severity = "WARNING"
      query    = "sum(increase(${local.counts.rejected}[10m])) > 0"
      duration = "0s"
      advice   = "A dropped file was rejected: no batch was created, and nothing was paid. The log line with event job.rejected has the job, a code and the reason; so has the announcement."
    }
    function_errors = {
      title    = "functions fail"
      severity = "ERROR"
      query    = "sum by (service_name) (increase(${local.errors}[10m])) > 2"
      duration = "0s"
      advice   = "A function answered with more than two errors in 10 minutes. Events are delivered again for 24 hours and ticks run every minute, so nothing is lost yet. Error Reporting shows the traces; \"... is not set\" means that a setting is missing. Jobs continue without ${var.name}-dashboard."
    }
  }
}

resource "google_logging_metric" "this" {
  for_each = local.counted

  project     = local.project
  name        = "${var.name}_${each.key}"
  description = "batchdrop: ${replace(each.key, "_", " ")}"
  filter      = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=(${join(" OR ", formatlist("\"%s\"", local.services))}) AND ${each.value.filter}"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    dynamic "labels" {
      for_each = each.value.labels
      content {
        key = labels.value
      }
    }
  }

  label_extractors = { for label in each.value.labels : label => "EXTRACT(jsonPayload.${label})" }
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.alert_emails

  project      = local.project
  display_name = "batchdrop: ${each.key}"
  type         = "email"
  labels       = { email_address = each.key }
}

resource "google_monitoring_alert_policy" "this" {
  for_each = var.alerts ? local.alerts : {}

  project               = local.project
  display_name          = "${var.name}: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = [for channel in google_monitoring_notification_channel.email : channel.id]

  conditions {
    display_name = each.value.title

    condition_prometheus_query_language {
      query               = each.value.query
      duration            = each.value.duration
      evaluation_interval = "60s"
      # A new metric is unknown for up to ten minutes, and a policy with an unknown
      # metric would be refused.
      disable_metric_validation = true
    }
  }

  alert_strategy {
    auto_close = "${24 * 60 * 60}s"
  }

  documentation {
    content   = each.value.advice
    mime_type = "text/markdown"
  }

  depends_on = [google_logging_metric.this]
}

resource "google_monitoring_dashboard" "this" {
  project = local.project
  dashboard_json = templatefile("${path.module}/dashboards/batchdrop.json.tftpl", {
    name        = var.name
    counts      = local.counts
    requests    = local.requests
    latencies   = local.latencies
    undelivered = local.undelivered
  })
}
