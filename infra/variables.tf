# --- what has to be said ------------------------------------------------------

variable "project_id" {
  description = "The Google Cloud project that everything is made in."
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
  description = "The bucket that was made by hand: it holds Terraform's state and, under releases/, the zips."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$", var.deploy_bucket))
    error_message = "deploy_bucket must be a bucket's name, without gs://."
  }
}

variable "release" {
  description = "The zip to run, as pack.py names it: functions-SHA256.zip, under releases/ in deploy_bucket."
  type        = string

  validation {
    # A name that follows from the content: another content is another object, which
    # is what makes the functions be built again.
    condition     = can(regex("^functions-[0-9a-f]{64}\\.zip$", var.release))
    error_message = "release must be named functions-SHA256.zip; `python3 infra/pack.py` makes it and prints its name."
  }
}

# --- what may be chosen -------------------------------------------------------

variable "name" {
  description = "The deployment's name: it begins all names here and labels all batches. A second deployment in one project takes another."
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
    error_message = "region must be one region, such as us-central1: an event's trigger has to be where its bucket is."
  }
}

variable "model_location" {
  description = "Where the batches run: a region or 'global'. Default: the region."
  type        = string
  default     = null

  validation {
    condition     = var.model_location == null || can(regex("^(global|us|eu|[a-z]+-[a-z]+[0-9]+)$", var.model_location))
    error_message = "model_location must be 'global', 'us', 'eu' or a region such as us-central1."
  }
}

variable "uploaders" {
  description = "Who may drop files: IAM members such as user:ann@example.com or serviceAccount:app@project.iam.gserviceaccount.com. They can neither read nor replace."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.uploaders : can(regex("^(user|group|serviceAccount|domain|principal|principalSet):.+", member))])
    error_message = "uploaders are IAM members with their kind in front, such as user:ann@example.com; never allUsers or allAuthenticatedUsers, for whoever may drop a file spends money."
  }
}

variable "max_uploads" {
  description = "The most instances of on_upload at a time; each takes four files at once. Further events wait."
  type        = number
  default     = 20

  validation {
    condition     = var.max_uploads >= 1 && var.max_uploads <= 1000 && floor(var.max_uploads) == var.max_uploads
    error_message = "max_uploads must be a whole number from 1 to 1000."
  }
}

variable "work_days" {
  description = "Days that staged copies stay in the work bucket. The originals in the inbox stay for good."
  type        = number
  default     = 30

  validation {
    # A batch may queue for 72 hours and run for 24, after which it can be staged anew.
    condition     = var.work_days >= 14 && floor(var.work_days) == var.work_days
    error_message = "work_days must be a whole number, 14 at least: a batch reads its staged copy days after it was made."
  }
}

variable "ledger_days" {
  description = "Days that the ledger keeps a job after its end, and an announcement after it was sent."
  type        = number
  default     = 90

  validation {
    # What the ledger has forgotten would be taken for a drop whose event never came.
    condition     = var.ledger_days >= 4 && floor(var.ledger_days) == var.ledger_days
    error_message = "ledger_days must be a whole number, 4 at least: missed events are looked for three days back."
  }
}

variable "subscription_filter" {
  description = "What the example subscription is to get; by default all that somebody may want to look at. Can't be changed later: Pub/Sub makes the subscription anew."
  type        = string
  default     = "attributes.state != \"JOB_STATE_SUCCEEDED\""

  validation {
    condition     = length(var.subscription_filter) <= 256
    error_message = "subscription_filter may have 256 bytes, no more."
  }
}

variable "protect" {
  description = "Whether what holds data refuses to be deleted: buckets with objects, the ledger, the key's secret. Set to false before tearing down."
  type        = bool
  default     = true
}

variable "paused" {
  description = "Whether everything waits: files are taken and staged, and no batch is made."
  type        = bool
  default     = false
}

variable "limits" {
  description = "How much may be asked of the service: batches of the model at once, rows and bytes of a file, of a part of a file that is split, and of a day (UTC). What isn't said has no limit but the service's own."
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
    error_message = "limits are whole numbers, 1 at least; leave out what shall have none."
  }
}

variable "policies" {
  description = "After how many seconds a batch that runs is cancelled, one that has ended is deleted at the service, and one that stays in one state is told of; the last also by state, as { PENDING = 259200, RUNNING = 86400 }. What isn't said isn't done."
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
    error_message = "policies are numbers of seconds, above 0; leave out what shall not be done."
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
    error_message = "policies.stalled_after is a number of seconds, above 0, or such numbers by state: UNSPECIFIED, QUEUED, PENDING, RUNNING, CANCELLING, PAUSED or UPDATING."
  }
}

variable "rows" {
  description = "What a file's rows may be: whether one with bad lines is rejected or goes on without them, and without how many at most; whether what can be mended is; whether members are allowed that the API isn't known to have; what of generationConfig and its neighbours is put into every request that doesn't say otherwise."
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

variable "labels" {
  description = "Labels that every batch gets, such as { team = \"search\" }. Files may add to them."
  type        = map(string)
  default     = {}

  validation {
    # The service takes 64, of which two are the worker's own.
    condition = length(var.labels) <= 62 && alltrue([
      for key, value in var.labels :
      can(regex("^[a-z][a-z0-9_-]{0,62}$", key)) && can(regex("^[a-z0-9_-]{0,63}$", value)) && !startswith(key, "batchdrop_")
    ])
    error_message = "labels are at most 62, of lowercase letters, digits, - and _, 63 characters at most, a letter first in a name; those that begin with batchdrop_ are the worker's own."
  }
}

# --- how far a file may reach -------------------------------------------------

variable "models" {
  description = "Models that a file may choose by its metadata or manifest, besides `model`. A route's own model needs no place here."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for model in var.models : can(regex("^[A-Za-z0-9_@.-]+(/[A-Za-z0-9_@.-]+)*$", model))])
    error_message = "models are names such as gemini-4-argon, or publishers/anthropic/models/claude-sonnet-5-5."
  }
}

variable "sources" {
  description = "Where rows, and media that rows name, may come from besides the inbox: gs:// prefixes. The buckets are there already, in whatever project; rights to read under the prefixes are granted here."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for uri in var.sources : can(regex(local.prefix, uri)) && !strcontains("${uri}/", "/./") && !strcontains("${uri}/", "/../")])
    error_message = "sources are of the form gs://bucket or gs://bucket/prefix: no wildcards, no quotes, no commas, no folder that is empty or made of dots."
  }
}

variable "destinations" {
  description = "Where a file may have its results besides the output bucket: gs:// prefixes. The buckets are there already, in whatever project; rights to write under the prefixes are granted here. A route's own destination needs no place here."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for uri in var.destinations : can(regex(local.prefix, uri)) && !strcontains("${uri}/", "/./") && !strcontains("${uri}/", "/../")])
    error_message = "destinations are of the form gs://bucket or gs://bucket/prefix: no wildcards, no quotes, no commas, no folder that is empty or made of dots."
  }

  validation {
    condition     = length(setintersection([for uri in var.destinations : try(regex("^gs://([^/]+)", uri)[0], "")], [local.buckets.inbox, local.buckets.work])) == 0
    error_message = "destinations may lie neither in the inbox, where results would come back as drops, nor where files are staged."
  }
}

variable "datasets" {
  description = "Datasets that a file may name, each with what it may do there: \"read\" (rows come from it) or \"write\" (results may go there as well). project.dataset of BigQuery, or projects/P/locations/L/datasets/D of Vertex AI, which is only read. They are there already, in whatever project."
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
  # Where these are written: no part of an address could be taken for something else, in
  # a list with commas or in the condition of a grant.
  prefix   = "^gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/[^/*?,\"'\\\\\\[\\][:cntrl:]]+)*/?$"
  bigquery = "^((?:[a-z0-9.-]+:)?[a-z0-9-]+)\\.([A-Za-z0-9_]+)$"
}

# --- optional parts -----------------------------------------------------------

variable "alert_emails" {
  description = "Who is told when something is wrong. Empty: incidents show in the console alone."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.alert_emails : can(regex("^[^@ ]+@[^@ ]+$", address))])
    error_message = "alert_emails must be e-mail addresses."
  }
}

variable "alerts" {
  description = "Whether to have alert policies. Each condition of one may cost a little by the month."
  type        = bool
  default     = true
}

variable "kms_key" {
  description = "A Cloud KMS key in the region, as projects/P/locations/L/keyRings/R/cryptoKeys/K, that buckets, ledger, topics, secret and functions are encrypted with. Default: keys of Google's own."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "kms_key must be a key's full name, projects/P/locations/L/keyRings/R/cryptoKeys/K."
  }
}

variable "backends" {
  description = "Where batches may go: \"vertex\" (Vertex AI), \"developer\" (the Gemini Developer API) or both. They go to the first, unless a route says otherwise. The Developer API's key is put by hand into a secret that this makes."
  type        = list(string)
  default     = ["vertex"]

  validation {
    condition     = length(var.backends) > 0 && length(distinct(var.backends)) == length(var.backends) && length(setsubtract(var.backends, ["vertex", "developer"])) == 0
    error_message = "backends are \"vertex\", \"developer\" or both, the usual one first."
  }
}

variable "routes_file" {
  description = "A TOML file of routes: what is chosen for objects by their names. It is kept as an object in the work bucket, and what its routes write to is granted here."
  type        = string
  default     = null

  validation {
    condition     = var.routes_file == null || can(file(var.routes_file))
    error_message = "routes_file can't be read; give a path from the folder that Terraform runs in."
  }
}

variable "cloud_build" {
  description = "What a build of cloudbuild.yaml may do: 'off' (there is no account for it), 'plan' or 'apply'."
  type        = string
  default     = "off"

  validation {
    condition     = contains(["off", "plan", "apply"], var.cloud_build)
    error_message = "cloud_build must be 'off', 'plan' or 'apply'."
  }
}
