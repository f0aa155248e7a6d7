# --- required -------------------------------------------------------------

variable "project_id" {
  description = "The Google Cloud project of all resources."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project's id (not its number): 6 to 30 lowercase letters, digits and hyphens."
  }
}

variable "model" {
  description = "The model of the batch jobs, such as gemini-3.8-flash."
  type        = string

  validation {
    condition     = length(trimspace(var.model)) > 0
    error_message = "model must name a model, such as gemini-3.8-flash."
  }
}

variable "deploy_bucket" {
  description = "The bucket that you created by hand. It holds Terraform's state and, under releases/, the zips of the functions."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$", var.deploy_bucket))
    error_message = "deploy_bucket must be a bucket's name, without gs://."
  }
}

variable "release" {
  description = "The zip that the functions run: functions-SHA256.zip, as pack.py names it, under releases/ in deploy_bucket."
  type        = string

  validation {
    # The name is derived from the content: changed content is another object, so that
    # the functions are built again.
    condition     = can(regex("^functions-[0-9a-f]{64}\\.zip$", var.release))
    error_message = "release must be named functions-SHA256.zip; `python3 infra/pack.py` makes it and prints its name."
  }
}

# --- optional -----------------------------------------------------------------

variable "name" {
  description = "The deployment's name: the beginning of all names, and a label of all batches. A second deployment in the same project needs another name."
  type        = string
  default     = "batchdrop"

  validation {
    # A service account's id has 30 characters at most, and -on-upload is 10 of them; a
    # Firestore database's id has 4 at least.
    condition     = can(regex("^[a-z][a-z0-9-]{2,16}[a-z0-9]$", var.name))
    error_message = "name must be 4 to 18 lowercase letters, digits and hyphens, a letter first."
  }
}

variable "region" {
  description = "The region of the buckets, the functions, the schedule and the ledger."
  type        = string
  default     = "us-central1"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be one region, such as us-central1: an event's trigger must be where its bucket is."
  }
}

variable "model_location" {
  description = "Where the batches run: a region, 'us', 'eu' or 'global'. Default: the value of region."
  type        = string
  default     = null

  validation {
    condition     = var.model_location == null || can(regex("^(global|us|eu|[a-z]+-[a-z]+[0-9]+)$", var.model_location))
    error_message = "model_location must be 'global', 'us', 'eu' or a region such as us-central1."
  }
}

variable "uploaders" {
  description = "Who may drop files: IAM members such as user:ann@example.com or serviceAccount:app@project.iam.gserviceaccount.com. They can neither read nor replace files."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.uploaders : can(regex("^(user|group|serviceAccount|domain|principal|principalSet):.+", member))])
    error_message = "uploaders are IAM members with their kind in front, such as user:ann@example.com; never allUsers or allAuthenticatedUsers, because every dropped file costs money."
  }
}

variable "readers" {
  description = "Who may see jobs and read results: IAM members, in the same form as uploaders. They may read this ledger and the objects in the output bucket, and nothing else."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.readers : can(regex("^(user|group|serviceAccount|domain|principal|principalSet):.+", member))])
    error_message = "readers are IAM members with their kind in front, such as group:analysts@example.com; never allUsers or allAuthenticatedUsers, because results are yours."
  }
}

variable "operators" {
  description = "Who may cancel, resume and rerun jobs, retry rows, and replay announcements: IAM members, in the same form as uploaders. They may read results, and write to this ledger: whoever does can make the functions do anything that these may do."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.operators : can(regex("^(user|group|serviceAccount|domain|principal|principalSet):.+", member))])
    error_message = "operators are IAM members with their kind in front, such as group:oncall@example.com; never allUsers or allAuthenticatedUsers, because whoever writes the ledger can spend money."
  }
}

variable "dashboard" {
  description = "The dashboard, which costs nothing while nobody looks at it; null: there is none. access: with \"iam\", readers and operators open it through `gcloud run services proxy`; with \"iap\", in any browser, through the Identity-Aware Proxy. rows: the pages show questions and answers of rows, and their account may read the objects with these. operators: addresses of people who may act on the pages although they are operators only as members of a group, because the pages cannot look up who is in a group. audience: only if the proxy is at a load balancer, /projects/NUMBER/global/backendServices/ID."
  type = object({
    access    = optional(string, "iam")
    audience  = optional(string)
    operators = optional(set(string), [])
    rows      = optional(bool, false)
  })
  default = {}

  validation {
    condition     = alltrue([for chosen in var.dashboard[*] : contains(["iam", "iap"], chosen.access)])
    error_message = "dashboard.access is \"iam\" or \"iap\"; there is no public one, because pages show names, errors and costs."
  }

  validation {
    condition     = alltrue([for chosen in var.dashboard[*] : chosen.audience == null || chosen.access == "iap" && can(regex("^/projects/[0-9]+(/[A-Za-z0-9-]+)+$", chosen.audience))])
    error_message = "dashboard.audience is such as /projects/NUMBER/global/backendServices/ID, and goes with access \"iap\" alone."
  }

  validation {
    condition     = alltrue(flatten([for chosen in var.dashboard[*] : [for address in chosen.operators : can(regex("^[^\\s@:,]+@[^\\s@:,]+$", address))]]))
    error_message = "dashboard.operators are addresses such as ann@example.com, without a kind in front; they come in through a group of readers or operators."
  }
}

variable "max_uploads" {
  description = "How many instances of on_upload may run at a time. Each handles four files at a time; further events wait."
  type        = number
  default     = 20

  validation {
    condition     = var.max_uploads >= 1 && var.max_uploads <= 1000 && floor(var.max_uploads) == var.max_uploads
    error_message = "max_uploads must be a whole number from 1 to 1000."
  }
}

variable "max_collects" {
  description = "How many instances of collect may run at a time. Each handles one job, or one part of a split job, at a time; further jobs wait."
  type        = number
  default     = 20

  validation {
    condition     = var.max_collects >= 1 && var.max_collects <= 1000 && floor(var.max_collects) == var.max_collects
    error_message = "max_collects must be a whole number from 1 to 1000."
  }
}

variable "work_days" {
  description = "Days after which the work bucket deletes an object, such as the staged rows of a file. What an open job still needs is copied anew when it is half as old. Dropped files in the inbox are never deleted."
  type        = number
  default     = 30

  validation {
    # A batch may queue for 72 hours and run for 24; its results need the copy after that.
    condition     = var.work_days >= 30 && floor(var.work_days) == var.work_days
    error_message = "work_days must be a whole number, 30 at least: a batch may read its staged copy days after the copy was made, and its results need it later."
  }
}

variable "ledger_days" {
  description = "Days for which the ledger keeps a job after its end, and an announcement after it was published."
  type        = number
  default     = 90

  validation {
    # A drop that the ledger has forgotten would look like one whose event never came.
    condition     = var.ledger_days >= 4 && floor(var.ledger_days) == var.ledger_days
    error_message = "ledger_days must be a whole number, 4 at least: the worker searches for missed events three days back."
  }
}

variable "costs_days" {
  description = "Days for which the ledger keeps what each job has cost, for the reports of `batchdrop costs`."
  type        = number
  default     = 400

  validation {
    condition     = var.costs_days >= 1 && floor(var.costs_days) == var.costs_days
    error_message = "costs_days must be a whole number, 1 at least."
  }
}

variable "subscription_filter" {
  description = "Filter of the example subscription. Default: everything except the successful end of a job without failed rows, because its results are announced next. Jobs without results (tables, datasets, results = \"off\") need another filter, such as \"\" for everything. A change deletes the subscription and creates a new one, because Pub/Sub can't change a filter."
  type        = string
  default     = "attributes.event != \"ended\" OR attributes.state != \"JOB_STATE_SUCCEEDED\" OR attributes.batch_rows = \"incomplete\" OR attributes.batch_rows = \"none\""

  validation {
    condition     = length(var.subscription_filter) <= 256
    error_message = "subscription_filter may have at most 256 bytes."
  }
}

variable "protect" {
  description = "Protects data from deletion: buckets that contain objects, the ledger, and the secret with the Developer API's key. Set it to false before you destroy the deployment."
  type        = bool
  default     = true
}

variable "paused" {
  description = "Stops submissions: files are claimed and staged, but no batch is created."
  type        = bool
  default     = false
}

variable "limits" {
  description = "Limits: max_active_jobs is the cap of a queue (a backend, a location and a model), the most unfinished batches at the API; the others are rows and bytes of a file, of a part of a split file, and of a day (UTC). If you leave out a limit of parts, the API's own applies; any other is then off."
  type = object({
    max_active_jobs   = optional(number)
    max_rows          = optional(number)
    max_bytes         = optional(number)
    part_rows         = optional(number)
    part_bytes        = optional(number)
    max_rows_per_day  = optional(number)
    max_bytes_per_day = optional(number)
  })
  default = {}

  validation {
    condition     = alltrue([for limit in values(var.limits) : limit == null || try(limit >= 1 && floor(limit) == limit, false)])
    error_message = "limits are whole numbers of at least 1; leave out a limit that you don't want."
  }
}

variable "policies" {
  description = "Seconds after which a running batch is cancelled (cancel_after), a batch that has ended is deleted at the API (delete_after), and a batch that stays in one state is announced as stalled (stalled_after; also by state, such as { PENDING = 259200, RUNNING = 86400 }). A policy that you leave out is off."
  type = object({
    cancel_after  = optional(number)
    delete_after  = optional(number)
    stalled_after = optional(any)
  })
  default = {}

  validation {
    condition = alltrue([
      for after in [var.policies.cancel_after, var.policies.delete_after] : after == null || try(after > 0 && after < 1e9, false)
    ])
    error_message = "policies are numbers of seconds above 0; leave out a policy that you don't want."
  }

  validation {
    # A number, or a map of numbers.
    condition = var.policies.stalled_after == null || try(
      tonumber(var.policies.stalled_after) > 0 && tonumber(var.policies.stalled_after) < 1e9,
      length(var.policies.stalled_after) > 0 && alltrue([
        for state, after in var.policies.stalled_after :
        after > 0 && after < 1e9 && contains(["UNSPECIFIED", "QUEUED", "PENDING", "RUNNING", "CANCELLING", "PAUSED", "UPDATING"], state)
      ]),
      false,
    )
    error_message = "policies.stalled_after is a number of seconds above 0, or a map of such numbers by state: UNSPECIFIED, QUEUED, PENDING, RUNNING, CANCELLING, PAUSED or UPDATING."
  }
}

variable "rows" {
  description = "How rows are checked: on_invalid \"reject\" rejects a file with row errors, \"skip\" leaves those rows out, at most max_invalid of them; fix = true repairs what needs no guess; unknown rejects or allows members that the API isn't known to have; generation_config is merged into every request."
  type = object({
    on_invalid        = optional(string)
    max_invalid       = optional(number)
    fix               = optional(bool)
    unknown           = optional(string)
    generation_config = optional(any)
  })
  default = {}

  validation {
    condition     = contains(["reject", "skip"], coalesce(var.rows.on_invalid, "reject"))
    error_message = "rows.on_invalid is \"reject\" or \"skip\"."
  }

  validation {
    condition     = contains(["reject", "allow"], coalesce(var.rows.unknown, "reject"))
    error_message = "rows.unknown is \"reject\" or \"allow\"."
  }
}

variable "results" {
  description = "Which results are written: \"on\", one for each line of the file; \"full\", the same with the API's whole response in each; \"off\", none, so that there are only the API's answers."
  type        = string
  default     = "on"

  validation {
    condition     = contains(["on", "full", "off"], var.results)
    error_message = "results is \"on\", \"full\" or \"off\"."
  }
}

variable "failed_share" {
  description = "The share of a job's rows, from 0 to 1, that may be failed or missing before its health says rows_failed and an alert is raised. Blocked, truncated, malformed and empty rows do not count."
  type        = number
  default     = 0.05

  validation {
    condition     = var.failed_share >= 0 && var.failed_share <= 1
    error_message = "failed_share is a number from 0 to 1."
  }
}

variable "retries" {
  description = "Which rows are sent again: retry is the most rounds, from 0 to 3, for rows that failed for a passing reason; retry_on names outcomes whose rows are sent again, too; retry_share is the share of a job's rows, from 0 to 1, above which none is. If you leave one out, the functions' default applies."
  type = object({
    retry       = optional(number)
    retry_on    = optional(set(string))
    retry_share = optional(number)
  })
  default = {}

  validation {
    condition     = contains([0, 1, 2, 3], coalesce(var.retries.retry, 0))
    error_message = "retries.retry is 0, 1, 2 or 3."
  }

  validation {
    condition     = length(setsubtract(coalesce(var.retries.retry_on, []), ["truncated", "blocked", "malformed", "empty"])) == 0
    error_message = "retries.retry_on has some of \"truncated\", \"blocked\", \"malformed\" and \"empty\"."
  }

  validation {
    condition     = coalesce(var.retries.retry_share, 0) >= 0 && coalesce(var.retries.retry_share, 0) <= 1
    error_message = "retries.retry_share is a number from 0 to 1."
  }
}

variable "ceilings" {
  description = "Ceilings on estimated cost, in the price list's currency: of a file (max_cost), and of all jobs of a day in UTC (max_cost_per_day). A ceiling that you leave out is off."
  type = object({
    max_cost         = optional(number)
    max_cost_per_day = optional(number)
  })
  default = {}

  validation {
    condition     = alltrue([for most in values(var.ceilings) : most == null || try(most > 0 && most < 1e9, false)])
    error_message = "ceilings are amounts above 0; leave out a ceiling that you don't want."
  }
}

variable "estimates" {
  description = "How many tokens the estimate of a job assumes for each answer (answer_tokens), and for the thoughts before it (thinking_tokens), unless the row sets a limit itself. If you leave one out, the functions' default applies."
  type = object({
    answer_tokens   = optional(number)
    thinking_tokens = optional(number)
  })
  default = {}

  validation {
    condition     = alltrue([for count in values(var.estimates) : count == null || try(count >= 0 && floor(count) == count, false)])
    error_message = "estimates are whole numbers."
  }
}

variable "labels" {
  description = "Labels of every batch, such as { team = \"search\" }. A file may add more."
  type        = map(string)
  default     = {}

  validation {
    # The API takes 64. The worker uses two.
    condition = length(var.labels) <= 62 && alltrue([
      for key, value in var.labels :
      can(regex("^[a-z][a-z0-9_-]{0,62}$", key)) && can(regex("^[a-z0-9_-]{0,63}$", value)) && !startswith(key, "batchdrop_")
    ])
    error_message = "labels are at most 62, of lowercase letters, digits, - and _, 63 characters at most, a letter first in a name; names that begin with batchdrop_ are reserved for the worker."
  }
}

# --- what a file may choose --------------------------------------------------

variable "models" {
  description = "Models that a file may choose by its metadata or manifest, in addition to `model`. The models of routes need not be listed."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for model in var.models : can(regex("^[A-Za-z0-9_@.-]+(/[A-Za-z0-9_@.-]+)*$", model))])
    error_message = "models are names such as gemini-4-argon, or publishers/anthropic/models/claude-sonnet-5-5."
  }
}

variable "sources" {
  description = "Prefixes (gs://) from which rows, and media that rows name, may come, in addition to the inbox. The buckets must already exist, in any project; the right to read under the prefixes is granted here."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for uri in var.sources : can(regex(local.prefix, uri)) && !strcontains("${uri}/", "/./") && !strcontains("${uri}/", "/../")])
    error_message = "sources are of the form gs://bucket or gs://bucket/prefix: no wildcards, no quotes, no commas, no folder that is empty or consists of dots."
  }
}

variable "destinations" {
  description = "Prefixes (gs://) to which a file's results may go, in addition to the output bucket. The buckets must already exist, in any project; the right to write under the prefixes is granted here. The destinations of routes need not be listed."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for uri in var.destinations : can(regex(local.prefix, uri)) && !strcontains("${uri}/", "/./") && !strcontains("${uri}/", "/../")])
    error_message = "destinations are of the form gs://bucket or gs://bucket/prefix: no wildcards, no quotes, no commas, no folder that is empty or consists of dots."
  }

  validation {
    condition     = length(setintersection([for uri in var.destinations : try(regex("^gs://([^/]+)", uri)[0], "")], [local.buckets.inbox, local.buckets.work])) == 0
    error_message = "destinations may be neither in the inbox, where results would be taken for drops, nor in the work bucket."
  }
}

variable "datasets" {
  description = "Datasets that a file may name, each with \"read\" (rows may come from it) or \"write\" (results may go there, too): project.dataset of BigQuery, or projects/P/locations/L/datasets/D of Vertex AI, which can only be read. They must already exist, in any project."
  type        = map(string)
  default     = {}

  validation {
    condition = alltrue([
      for name, right in var.datasets :
      can(regex(local.bigquery, name)) ? contains(["read", "write"], right) : can(regex("^projects/[a-z0-9.:-]+/locations/[a-z0-9-]+/datasets/[A-Za-z0-9_-]+$", name)) && right == "read"
    ])
    error_message = "datasets are such as { \"project.dataset\" = \"write\", \"projects/P/locations/L/datasets/D\" = \"read\" }: \"read\" or \"write\" for one of BigQuery, \"read\" for one of Vertex AI."
  }

  validation {
    condition     = length(var.datasets) == 0 || contains(var.backends, "vertex")
    error_message = "datasets are for Vertex AI alone: name it among the backends."
  }
}

locals {
  # No character of an address may have a meaning in the lists with commas, or in the
  # condition of a grant.
  prefix   = "^gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/[^/*?,\"'\\\\\\[\\][:cntrl:]]+)*/?$"
  bigquery = "^((?:[a-z0-9.-]+:)?[a-z0-9-]+)\\.([A-Za-z0-9_]+)$"
}

# --- optional parts -----------------------------------------------------------

variable "alert_emails" {
  description = "E-mail addresses that receive the alerts. If it is empty, incidents appear only in the console."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.alert_emails : can(regex("^[^@ ]+@[^@ ]+$", address))])
    error_message = "alert_emails must be e-mail addresses."
  }
}

variable "alerts" {
  description = "Creates the alert policies. Each of them may cost up to 1.50 USD per month: see docs/explanation/costs.md."
  type        = bool
  default     = true
}

variable "kms_key" {
  description = "A Cloud KMS key in the region, as projects/P/locations/L/keyRings/R/cryptoKeys/K, that encrypts buckets, ledger, topics, secret and functions. Default: Google's own keys."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "kms_key must be a key's full name, projects/P/locations/L/keyRings/R/cryptoKeys/K."
  }
}

variable "backends" {
  description = "Where batches may go: \"vertex\" (Vertex AI), \"developer\" (the Gemini Developer API) or both. The first is used unless a route names the other. Put the Developer API's key into the secret that is created here."
  type        = list(string)
  default     = ["vertex"]

  validation {
    condition     = length(var.backends) > 0 && length(distinct(var.backends)) == length(var.backends) && length(setsubtract(var.backends, ["vertex", "developer"])) == 0
    error_message = "backends are \"vertex\", \"developer\" or both, the default one first."
  }
}

variable "routes_file" {
  description = "The path of a TOML file of routes, which choose options for files by their names. It becomes an object in the work bucket, and the right to write to its destinations is granted here."
  type        = string
  default     = null

  validation {
    condition     = var.routes_file == null || can(file(var.routes_file))
    error_message = "routes_file can't be read; give a path relative to the folder that Terraform runs in."
  }
}

variable "prices_file" {
  description = "The path of a price list in JSON, which replaces the built-in list: see docs/reference/prices.md. It becomes an object in the work bucket."
  type        = string
  default     = null

  validation {
    condition     = var.prices_file == null || can(jsondecode(file(var.prices_file)))
    error_message = "prices_file is not JSON, or can't be read; give a path relative to the folder that Terraform runs in."
  }
}

variable "cloud_build" {
  description = "What a build of cloudbuild.yaml may do: 'off' (nothing: it has no account), 'plan' or 'apply'."
  type        = string
  default     = "off"

  validation {
    condition     = contains(["off", "plan", "apply"], var.cloud_build)
    error_message = "cloud_build must be 'off', 'plan' or 'apply'."
  }
}
