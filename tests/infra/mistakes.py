"""Mistakes that somebody could make in infra/, each with who has to notice it."""

from dataclasses import dataclass

from tests.infra.terraform import INFRA

#: Terraform itself. What is made once for each key is looked at in a plan alone.
VALIDATE, PLAN = "validate", "plan"
TEST = "test -filter=tests/wiring.tftest.hcl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """A change of one file that must not pass."""

    what: str
    file: str
    old: str
    new: str
    noticed_by: str  #: VALIDATE, PLAN, TEST or a rule's name
    says: str  #: a part of what is said about it
    hides: bool = False  #: whether others couldn't be seen beside it


@dataclass(slots=True)
class Copy:
    """The files of infra/ with some mistakes in them."""

    files: dict[str, str]
    mistakes: list[Mistake]

    def takes(self, mistake: Mistake) -> bool:
        """
        Whether the mistake can be made here as well: nothing hides it, no rule has to
        notice two, and the text that it changes is as it was.
        """
        alone = {VALIDATE, PLAN, TEST}
        for other in self.mistakes:
            by = {mistake.noticed_by, other.noticed_by}
            if mistake.hides or other.hides or by & alone or len(by) == 1:
                return False
        return self.files[mistake.file].count(mistake.old) == 1

    def make(self, mistake: Mistake) -> None:
        """Changes the text of one file. Call `takes` first: nothing is checked here."""
        text = self.files[mistake.file].replace(mistake.old, mistake.new)
        self.files[mistake.file] = text
        self.mistakes.append(mistake)


def copies() -> list[Copy]:
    """
    Copies with all mistakes in them, as few as will do: a plan takes most of a second.

    Raises:
        ValueError: what a mistake changes isn't there, or isn't there once.
    """
    files = {path.name: path.read_text() for path in INFRA.glob("*.tf")}
    made: list[Copy] = []
    for mistake in MISTAKES:
        if files[mistake.file].count(mistake.old) != 1:
            raise ValueError(
                f"{mistake.what}: {mistake.old!r} is not once in {mistake.file}"
            )
        copy = next((copy for copy in made if copy.takes(mistake)), None)
        if copy is None:
            copy = Copy(files=dict(files), mistakes=[])
            made.append(copy)
        copy.make(mistake)
    return made


def _mistakes() -> tuple[Mistake, ...]:
    """All mistakes, grouped by what must notice them."""
    found: list[Mistake] = []

    def add(
        what: str,
        file: str,
        old: str,
        new: str,
        by: str,
        says: str,
        hides: bool = False,
    ) -> None:
        found.append(
            Mistake(
                what=what,
                file=file,
                old=old,
                new=new,
                noticed_by=by,
                says=says,
                hides=hides,
            )
        )

    # --- what Terraform itself notices, given the schema

    add(
        "a misspelt argument",
        "buckets.tf",
        "uniform_bucket_level_access =",
        "uniform_bucket_access =",
        VALIDATE,
        "Unsupported argument",
    )
    add(
        "a required argument left out",
        "ledger.tf",
        "  location_id             = var.region\n",
        "",
        VALIDATE,
        "Missing required argument",
    )
    add(
        "a required block left out",
        "observability.tf",
        "  conditions {\n    display_name = each.value.title\n",
        "  alert_strategy {\n    auto_close = each.value.title\n",
        VALIDATE,
        "Insufficient conditions blocks",
    )
    add(
        "a block of another name",
        "functions.tf",
        "  service_config {",
        "  service {",
        VALIDATE,
        "Unsupported block type",
    )
    add(
        "a block twice",
        "schedule.tf",
        "  retry_config {\n    retry_count = 0\n  }",
        "  retry_config {}\n  retry_config {}",
        VALIDATE,
        "Too many retry_config blocks",
    )
    add(
        "a value of another type",
        "functions.tf",
        "min_instance_count               = 0",
        'min_instance_count               = "none"',
        VALIDATE,
        "a number is required",
    )
    add(
        "an attribute that isn't there",
        "schedule.tf",
        "uri = google_cloudfunctions2_function.this[each.key].service_config[0].uri",
        "uri = google_cloudfunctions2_function.this[each.key].address",
        PLAN,
        "Unsupported attribute",
    )
    add(
        "a resource that isn't there",
        "messaging.tf",
        "google_pubsub_topic.dead_letters.id\n    max",
        "google_pubsub_topic.dead.id\n    max",
        VALIDATE,
        "Reference to undeclared resource",
    )
    add(
        "a type that isn't there",
        "schedule.tf",
        'resource "google_cloud_scheduler_job"',
        'resource "google_scheduler_job"',
        VALIDATE,
        "Invalid resource type",
    )
    add(
        "a value that isn't among those allowed",
        "functions.tf",
        '"RETRY_POLICY_RETRY"',
        '"RETRY"',
        PLAN,
        "retry_policy is 'RETRY'",
    )
    add(
        "the address of another kind",
        "schedule.tf",
        "uri = google_cloudfunctions2_function.this[each.key].service_config[0].uri",
        "uri = google_cloudfunctions2_function.this[each.key].url",
        TEST,
        "Scheduler doesn't call the run.app address",
    )
    add(
        "dead letters back to where they came from",
        "messaging.tf",
        "dead_letter_topic     = google_pubsub_topic.dead_letters.id",
        "dead_letter_topic     = google_pubsub_topic.announcements.id",
        "dead_letters_are_complete",
        "nobody keeps them",
    )

    # --- who may do what

    add(
        "a role that is too much",
        "functions.tf",
        '        inbox  = ["roles/storage.objectViewer"]\n',
        '        inbox  = ["roles/storage.objectAdmin"]\n',
        "each_account_has_exactly_its_roles",
        "on_upload has roles/storage.objectAdmin on bucket inbox",
    )
    add(
        "the ledger's role on all databases",
        "identity.tf",
        "for_each = each.value.condition[*]",
        "for_each = []",
        "each_account_has_exactly_its_roles",
        "poll has roles/datastore.user on the project, which nothing",
    )
    add(
        "a right that Vertex AI needs left out",
        "identity.tf",
        '    work   = ["roles/storage.objectViewer"]\n',
        "",
        "each_account_has_exactly_its_roles",
        "nobody says that Vertex AI's own account has roles/storage.objectViewer",
    )
    add(
        "sources that nobody may read",
        "identity.tf",
        'if contains(keys(buckets), "inbox")]',
        'if contains(keys(buckets), "source")]',
        "each_account_has_exactly_its_roles",
        "nobody says that poll has roles/storage.objectViewer on gs://rows/search/",
    )
    add(
        "a condition that is met by other prefixes",
        "identity.tf",
        "/objects/${condition.value}",
        "/objects/",
        "each_account_has_exactly_its_roles",
        "poll has roles/storage.objectUser on bucket results if resource.type",
    )
    add(
        "people who only look, and may write the ledger",
        "identity.tf",
        'role = "roles/datastore.viewer" }',
        'role = "roles/datastore.user" }',
        "each_account_has_exactly_its_roles",
        "group:analysts@example.com has roles/datastore.user on the project: the "
        "ledger alone, which nothing",
    )
    add(
        "readers who can't see results",
        "identity.tf",
        "for_each = setunion(var.readers, var.operators)\n",
        "for_each = var.operators\n",
        "each_account_has_exactly_its_roles",
        "nobody says that group:analysts@example.com has roles/storage.objectViewer on "
        "bucket output",
    )
    add(
        "a collector that may make batches",
        "functions.tf",
        "      batches       = false\n      developer_key = true",
        "      batches       = true\n      developer_key = true",
        "each_account_has_exactly_its_roles",
        "collect has roles/aiplatform.user on the project, which nothing",
    )
    add(
        "a collector that may replace answers",
        "functions.tf",
        'output = ["roles/storage.objectViewer", "roles/storage.objectCreator"]',
        'output = ["roles/storage.objectUser"]',
        "each_account_has_exactly_its_roles",
        "collect has roles/storage.objectUser on bucket output, which nothing",
    )
    add(
        "jobs that nobody may name to a collector",
        "functions.tf",
        'publishes     = ["announcements", "work"]',
        'publishes     = ["announcements"]',
        "each_account_has_exactly_its_roles",
        "nobody says that poll has roles/pubsub.publisher on topic work",
    )
    add(
        "a collector that hears announcements",
        "functions.tf",
        "topic   = google_pubsub_topic.work.id",
        "topic   = google_pubsub_topic.announcements.id",
        TEST,
        "collect doesn't hear the topic",
    )
    add(
        "jobs named on a topic that no collector hears",
        "functions.tf",
        "BATCHDROP_WORK_TOPIC   = google_pubsub_topic.work.name",
        "BATCHDROP_WORK_TOPIC   = google_pubsub_topic.announcements.name",
        "names_that_the_code_gets_are_made_here",
        "work_topic is batchdrop-announcements; there is batchdrop-work",
    )
    add(
        "reports that nobody may write",
        "functions.tf",
        '        output = ["roles/storage.objectCreator"] # reports of row errors\n',
        "",
        "each_account_has_exactly_its_roles",
        "nobody says that on_upload has roles/storage.objectCreator on bucket output",
    )
    add(
        "answers in a table that no collector may read",
        "identity.tf",
        'if table.right == "write" }',
        'if table.right == "append" }',
        "each_account_has_exactly_its_roles",
        "nobody says that collect has roles/bigquery.dataViewer on dataset",
    )
    add(
        "all tables of the project in place of a dataset's",
        "identity.tf",
        '? ["roles/bigquery.jobUser"] : []',
        '? ["roles/bigquery.jobUser", "roles/bigquery.dataEditor"] : []',
        "nothing_is_granted_on_all_data_of_the_project",
        "has roles/bigquery.dataEditor on all of the project",
    )
    add(
        "tables without BigQuery",
        "services.tf",
        '["bigquery.googleapis.com"] : []',
        "[] : []",
        "the_apis_that_are_used_are_on",
        "bigquery.googleapis.com is off",
    )
    add(
        "a function for everybody",
        "identity.tf",
        "  member   = google_service_account.caller[each.value].member",
        '  member   = "allUsers"',
        "no_member_is_public",
        "is for allUsers",
    )
    add(
        "a basic role",
        "identity.tf",
        '  role    = "roles/eventarc.eventReceiver"',
        '  role    = "roles/editor"',
        "no_role_is_basic",
        "grants roles/editor",
    )
    add(
        "a binding in place of a member",
        "identity.tf",
        'resource "google_project_iam_member" "storage_agent" {\n'
        "  project = local.project\n"
        '  role    = "roles/pubsub.publisher"\n'
        "  member  = data.google_storage_project_service_account.this.member",
        'resource "google_project_iam_binding" "storage_agent" {\n'
        "  project = local.project\n"
        '  role    = "roles/pubsub.publisher"\n'
        "  members = [data.google_storage_project_service_account.this.member]",
        VALIDATE,
        "google_project_iam_binding",
    )
    add(
        "a builder that grants what it likes",
        "identity.tf",
        "expression = \"api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', [])"
        '.hasOnly(${jsonencode(local.granted)})"',
        'expression = "true"',
        "a_builder_that_grants_grants_only_these",
        "may grant []",
    )
    add(
        "one account for all functions",
        "functions.tf",
        "google_service_account.function[each.key].email",
        'google_service_account.function["poll"].email',
        "each_function_has_an_account_of_its_own",
        "has the account of",
    )
    add(
        "the default account",
        "functions.tf",
        "    service_account_email            = "
        "google_service_account.function[each.key].email\n",
        "",
        "each_function_has_an_account_of_its_own",
        "runs as the project's default account",
    )

    # --- who may look at the pages

    add(
        "pages for everybody",
        "identity.tf",
        "  member   = each.value\n\n  depends_on",
        '  member   = "allUsers"\n\n  depends_on',
        "no_member_is_public",
        "is for allUsers",
    )
    add(
        "people past the proxy",
        "identity.tf",
        "for_each = local.iap ? {",
        "for_each = !local.iap ? {",
        "each_account_has_exactly_its_roles",
        "group:oncall@example.com has roles/run.invoker on function dashboard, which",
    )
    add(
        "a proxy that lets nobody through",
        "identity.tf",
        "member => member if local.iap && !local.balanced }",
        "member => member if local.balanced }",
        "each_account_has_exactly_its_roles",
        "nobody says that group:oncall@example.com has roles/iap.httpsResourceAccessor "
        "on proxy of dashboard",
    )
    add(
        "pages that can't count dead letters",
        "identity.tf",
        'key != "dashboard" ? {} : {',
        'key != "pages" ? {} : {',
        "each_account_has_exactly_its_roles",
        "nobody says that dashboard has roles/monitoring.viewer on the project",
    )
    add(
        "pages that may read answers which they don't show",
        "functions.tf",
        '["roles/storage.objectViewer"] if chosen.rows }',
        '["roles/storage.objectViewer"] }',
        "each_account_has_exactly_its_roles",
        "dashboard has roles/storage.objectViewer on bucket output, which nothing",
    )
    add(
        "commands without the routes that they need",
        "identity.tf",
        'if !contains(keys(one.buckets), "work") },',
        'if contains(keys(one.buckets), "none") },',
        "each_account_has_exactly_its_roles",
        "nobody says that dashboard has roles/storage.objectViewer on bucket work: "
        "routes and prices alone",
    )
    add(
        "routes with all that is staged",
        "identity.tf",
        "objects/${folder}/",
        "objects/",
        "each_account_has_exactly_its_roles",
        "group:oncall@example.com has roles/storage.objectViewer on bucket work if",
    )
    add(
        "pages that take any proxy's word",
        "functions.tf",
        '        { for iap in ["iap"] : "BATCHDROP_DASHBOARD_AUDIENCE" => '
        "local.audience if chosen.access == iap },\n",
        "",
        "pages_know_who_checks_people",
        "the audience is None",
    )
    add(
        "pages that take the word of another service's proxy",
        "identity.tf",
        "/services/${var.name}-dashboard",
        "/services/${var.name}",
        "pages_know_who_checks_people",
        "the audience is /projects/123456789012/locations/us-central1/services/batch",
    )
    add(
        "pages with the key",
        "functions.tf",
        "      developer_key = false\n",
        "      developer_key = true\n",
        "pages_know_who_checks_people",
        "has a secret, and calls no API",
    )
    add(
        "pages that start without a key that they don't need",
        "functions.tf",
        '"GEMINI_API_KEY" => "not-set" if',
        '"GEMINI_KEY" => "not-set" if',
        "pages_know_who_checks_people",
        "the key is not the one that is none",
    )
    add(
        "pages that no proxy reaches",
        "functions.tf",
        '"ALLOW_INTERNAL_AND_GCLB" : "ALLOW_ALL"',
        '"ALLOW_INTERNAL_AND_GCLB" : "ALLOW_INTERNAL_ONLY"',
        "no_function_is_reached_from_outside",
        'this["dashboard"]: ingress is ALLOW_INTERNAL_ONLY',
    )
    add(
        "a list of readers that locks a group out",
        "identity.tf",
        "anytrue([for address in local.readers : address == null]) ? [] : "
        "sort(local.readers)",
        "sort([for address in local.readers : address if address != null])",
        "pages_list_those_whom_they_know",
        "its readers are 'ada@example.com'",
    )

    # --- what is open, what is kept

    add(
        "a bucket that may be public",
        "buckets.tf",
        '  public_access_prevention    = "enforced"\n',
        '  public_access_prevention    = "inherited"\n',
        "buckets_are_locked",
        "may be made public",
    )
    add(
        "access by object",
        "buckets.tf",
        "uniform_bucket_level_access = true",
        "uniform_bucket_level_access = false",
        "buckets_are_locked",
        "access differs by object",
    )
    add(
        "results that are deleted",
        "buckets.tf",
        'each.key == "work" ?',
        'each.key != "inbox" ?',
        "buckets_are_locked",
        "bucket output: objects are deleted",
    )
    add(
        "no way back from a deletion",
        "buckets.tf",
        "retention_duration_seconds = 7 * 24 * 60 * 60",
        "retention_duration_seconds = 0",
        "buckets_are_locked",
        "what is deleted is gone",
    )
    add(
        "a ledger that a slip deletes",
        "ledger.tf",
        'var.protect ? "DELETE_PROTECTION_ENABLED"',
        'var.protect ? "DELETE_PROTECTION_DISABLED"',
        "data_is_protected_until_told_otherwise",
        "the ledger's protection",
    )
    add(
        "an entry point open to the world",
        "functions.tf",
        '    schedule = {\n      ingress = "ALLOW_INTERNAL_ONLY"',
        '    schedule = {\n      ingress = "ALLOW_ALL"',
        "no_function_is_reached_from_outside",
        "ingress is ALLOW_ALL",
    )
    add(
        "a key in the environment",
        "functions.tf",
        "      BATCHDROP_DEPLOYMENT   = var.name\n",
        "      BATCHDROP_DEPLOYMENT   = var.name\n"
        '      GEMINI_API_KEY = "AIzaSyA-made-up-key-that-is-none-at-all"\n',
        "no_secret_has_a_value",
        "looks like a key",
    )
    add(
        "one topic that the key doesn't encrypt",
        "messaging.tf",
        '  name         = "${var.name}-dead-letters"\n  kms_key_name = var.kms_key\n',
        '  name         = "${var.name}-dead-letters"\n  kms_key_name = "k/other"\n',
        "a_key_encrypts_everything_or_nothing",
        "encrypted with k/other",
    )

    # --- functions

    add(
        "events that come once",
        "functions.tf",
        '"RETRY_POLICY_RETRY"',
        '"RETRY_POLICY_DO_NOT_RETRY"',
        "events_come_again",
        "retry is RETRY_POLICY_DO_NOT_RETRY",
    )
    add(
        "messages about jobs that come again",
        "functions.tf",
        '"RETRY_POLICY_DO_NOT_RETRY"',
        '"RETRY_POLICY_RETRY"',
        "events_come_again",
        'this["collect"]: retry is RETRY_POLICY_RETRY',
    )
    add(
        "two jobs' answers at a time in one collector",
        "functions.tf",
        "concurrency = 1 # one job",
        "concurrency = 2 # one job",
        "a_collector_has_its_machine_alone",
        "takes several jobs at once",
    )
    add(
        "a collector with the memory of the others",
        "functions.tf",
        'memory      = "1Gi"',
        'memory      = "512Mi"',
        "a_collector_has_its_machine_alone",
        "has 512Mi of memory",
    )
    add(
        "an instance that is always there",
        "functions.tf",
        "min_instance_count               = 0",
        "min_instance_count               = 1",
        "functions_rest_when_nothing_is_to_do",
        "never rests",
    )
    add(
        "more calls at once than threads",
        "functions.tf",
        'memory      = "512Mi" # files are streamed: four at once needed 270 MB\n'
        '      cpu         = "1"\n      concurrency = 4',
        'memory      = "512Mi" # files are streamed: four at once needed 270 MB\n'
        '      cpu         = "1"\n      concurrency = 80',
        "functions_fit_their_machines",
        "80 calls at once on 1 CPU",
    )
    add(
        "a zip by another name",
        "functions.tf",
        'object = "releases/${var.release}"',
        'object = "releases/functions.zip"',
        "functions_are_built_from_what_they_are_named_after",
        "built from releases/functions.zip",
    )

    # --- messages

    add(
        "a subscription that goes away",
        "messaging.tf",
        "  # The default deletes a subscription that nobody has used for a month.\n"
        '  expiration_policy {\n    ttl = ""\n  }\n',
        "",
        "subscriptions_stay",
        "google_pubsub_subscription.example is deleted",
    )
    add(
        "too few attempts",
        "messaging.tf",
        "max_delivery_attempts = 10",
        "max_delivery_attempts = 3",
        "dead_letters_are_complete",
        "3 attempts",
    )
    add(
        "half of the dead letters' grants",
        "messaging.tf",
        '  role         = "roles/pubsub.subscriber"',
        '  role         = "roles/pubsub.viewer"',
        "dead_letters_are_complete",
        "may not take dead letters off it",
    )
    add(
        "the other half",
        "messaging.tf",
        "  topic   = google_pubsub_topic.dead_letters.name",
        "  topic   = google_pubsub_topic.announcements.name",
        "dead_letters_are_complete",
        "may not publish dead letters",
    )
    add(
        "announcements in any order",
        "messaging.tf",
        "enable_message_ordering    = true",
        "enable_message_ordering    = false",
        "a_jobs_announcements_come_in_order",
        "an end may come before",
    )
    add(
        "a deadline out of bounds",
        "messaging.tf",
        "ack_deadline_seconds       = 60",
        "ack_deadline_seconds       = 900",
        "subscriptions_are_within_bounds",
        "not within 10 to 600 seconds",
    )
    add(
        "a filter on what announcements lack",
        "variables.tf",
        '"attributes.event != ',
        '"attributes.events != ',
        "filters_name_attributes",
        "no announcement has events",
    )

    # --- forms

    add(
        "minutes",
        "schedule.tf",
        'attempt_deadline = "${each.value.timeout}s"',
        'attempt_deadline = "10m"',
        "durations_are_well_formed",
        "attempt_deadline is '10m'",
        hides=True,
    )
    add(
        "a schedule of four fields",
        "functions.tf",
        '"* * * * *"',
        '"* * * *"',
        "schedules_are_well_formed",
        "has not five fields",
    )
    add(
        "a minute that no hour has",
        "functions.tf",
        '"* * * * *"',
        '"*/1,75 * * * *"',
        "schedules_are_well_formed",
        "'75' is no minute",
        hides=True,
    )
    add(
        "an account's id that is too long",
        "identity.tf",
        'account_id   = "${var.name}-build"',
        'account_id   = "${var.name}-builds-the-functions-images"',
        "account_ids_fit",
        "is no account's id",
    )
    add(
        "an API that is off",
        "services.tf",
        '    "cloudscheduler.googleapis.com",\n',
        "",
        "the_apis_that_are_used_are_on",
        "cloudscheduler.googleapis.com is off",
    )

    # --- what is watched

    add(
        "an alert on a metric that isn't there",
        "observability.tf",
        "sum(increase(${local.counts.rejected}[10m]))",
        "sum(increase(${local.counts.refused}[10m]))",
        PLAN,
        "Unsupported attribute",
    )
    add(
        "a metric called otherwise than it is",
        "observability.tf",
        '"${var.name}_${each.key}"',
        '"${var.name}_count_${each.key}"',
        "queries_name_metrics_that_there_are",
        "nobody writes logging_googleapis_com:user_batchdrop_ticks",
    )
    add(
        "no word of a silent poll",
        "observability.tf",
        "var.alerts ? local.alerts : {}",
        'var.alerts ? { for k, a in local.alerts : k => a if k != "poll_silent" } : {}',
        "all_that_can_go_wrong_has_an_alert",
        "nobody is told: poll_silent",
    )

    # --- where the code says otherwise

    add(
        "an entry point that isn't there",
        "functions.tf",
        "entry_point       = each.key",
        'entry_point       = "${each.key}_file"',
        "entry_points_exist",
        "main.py has no on_upload_file",
    )
    add(
        "an event for a entry point that takes HTTP",
        "functions.tf",
        'trigger     = "schedule"\n      schedule    = "* * * * *"',
        'trigger     = "upload"\n      schedule    = null',
        "entry_points_exist",
        "poll is for http, not cloud_event",
        hides=True,
    )
    add(
        "a setting that there is not",
        "functions.tf",
        "      BATCHDROP_MODEL        = var.model\n",
        "      BATCHDROP_MODEL        = var.model\n"
        "      BATCHDROP_MODELL       = var.model\n",
        "settings_are_set_and_read",
        "there is no setting BATCHDROP_MODELL; write BATCHDROP_MODEL",
        hides=True,
    )
    add(
        "a variable that nobody reads",
        "functions.tf",
        "      BATCHDROP_MODEL        = var.model\n",
        "      BATCHDROP_MODEL        = var.model\n      MODEL = var.model\n",
        "settings_are_set_and_read",
        "nobody reads MODEL",
    )
    add(
        "a setting that isn't set",
        "functions.tf",
        "      BATCHDROP_MODEL        = var.model\n",
        "",
        "settings_are_set_and_read",
        "BATCHDROP_MODEL is not set",
        hides=True,
    )
    add(
        "a setting that the local stack has and this hasn't",
        "functions.tf",
        "      BATCHDROP_DATABASE     = google_firestore_database.ledger.name\n",
        "",
        "settings_are_those_of_the_local_stack",
        "BATCHDROP_DATABASE is set locally",
    )
    add(
        "a topic of another name",
        "messaging.tf",
        '  name         = "${var.name}-announcements"',
        '  name         = "${var.name}-done"',
        "settings_are_those_of_the_local_stack",
        "the topic announcements is batchdrop-announcements locally",
    )
    add(
        "results in the inbox",
        "functions.tf",
        'BATCHDROP_OUTPUT       = "gs://${google_storage_bucket.this["output"].name}"',
        'BATCHDROP_OUTPUT       = "gs://${google_storage_bucket.this["inbox"].name}/out"',
        "settings_are_set_and_read",
        "in the inbox bucket",
        hides=True,
    )
    add(
        "announcements to the wrong topic",
        "functions.tf",
        "BATCHDROP_TOPIC        = google_pubsub_topic.announcements.name",
        "BATCHDROP_TOPIC        = google_pubsub_topic.dead_letters.name",
        "names_that_the_code_gets_are_made_here",
        "topic is batchdrop-dead-letters",
    )
    add(
        "events of another bucket",
        "functions.tf",
        'filters = { bucket = google_storage_bucket.this["inbox"].name }',
        'filters = { bucket = google_storage_bucket.this["work"].name }',
        "names_that_the_code_gets_are_made_here",
        "listens to example-project-batchdrop-work",
    )
    add(
        "another label than the batches have",
        "versions.tf",
        "labels = { batchdrop_deployment",
        "labels = { team",
        "labels_are_the_workers",
        "the worker puts no label team on batches",
    )
    add(
        "a metric over an event that nobody logs",
        "observability.tf",
        'jsonPayload.event=\\"job.parked\\"',
        'jsonPayload.event=\\"job.stuck\\"',
        "metrics_count_lines_that_are_logged",
        "nobody logs ['job.stuck']",
    )
    add(
        "a metric over a field that the line lacks",
        "observability.tf",
        'event=\\"job.ended\\"", labels = ["state"]',
        'event=\\"job.ended\\"", labels = ["status"]',
        "metrics_count_lines_that_are_logged",
        "has no fields ['status']",
    )
    add(
        "an index left out",
        "ledger.tf",
        '    unpublished = { collection = "announcements", fields = '
        '["published_at", "set_aside_at", "created_at"] }\n',
        "",
        "queries_have_their_indexes",
        "there is no such index",
    )
    add(
        "an index the wrong way round",
        "ledger.tf",
        'fields = ["published_at", "set_aside_at", "created_at"]',
        'fields = ["created_at", "published_at", "set_aside_at"]',
        "queries_have_their_indexes",
        "there is no such index",
    )
    add(
        "a field that is asked for, and not indexed",
        "ledger.tf",
        '"staging", "stall_at", "state_since", "duplicates", "updated_at",',
        '"staging", "stall_at", "state_since", "duplicates", "updated_at", "phase",',
        "queries_have_their_indexes",
        "phase has no index",
    )
    add(
        "an end for documents by a field that nobody writes",
        "ledger.tf",
        'field      = "expire_at"',
        'field      = "expires_at"',
        "fields_are_written",
        "ledger writes no announcements.expires_at",
    )
    add(
        "a growing time with an index",
        "ledger.tf",
        '"staging", "stall_at", "state_since", "duplicates", "updated_at",',
        '"staging", "stall_at", "state_since", "duplicates",',
        "growing_times_have_no_index",
        "jobs.updated_at grows",
    )
    add(
        "a time-out beyond the lease",
        "functions.tf",
        "LEASE           = 600",
        "LEASE          = 300",
        "durations_agree",
        "LEASE is 300 s",
    )
    add(
        "a schedule that gives up early",
        "schedule.tf",
        'attempt_deadline = "${each.value.timeout}s"',
        'attempt_deadline = "180s"',
        "durations_agree",
        "its deadline is 180 s",
    )
    add(
        "a tick that uses up its time",
        "functions.tf",
        "TICK            = 240",
        "TICK           = 590",
        "durations_agree",
        "too few for its last job",
    )
    add(
        "another role than the messages ask for",
        "identity.tf",
        'function = key, role = "roles/aiplatform.user"',
        'function = key, role = "roles/aiplatform.viewer"',
        "what_a_message_asks_for_is_granted",
        "roles/aiplatform.user, which nothing here does",
    )
    return tuple(found)


MISTAKES = _mistakes()
