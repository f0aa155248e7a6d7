"""
Where infra/ and the code have to say the same. Each rule reads both sides, and says
where they differ.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Set
from pathlib import Path

from batchdrop.errors import BadSetting
from batchdrop.options.settings import Settings
from batchdrop.options.table import PREFIX
from batchdrop_local.stack import Stack
from batchdrop_local.topics import Topics
from tests.infra import announcements, code
from tests.infra.plan import Plan, Resource
from tests.infra.policy import FOR_PEOPLE
from tests.infra.queries import Query
from tests.log_lines import log_lines

Rule = Callable[[Plan, Path], Iterator[str]]

#: What the local stack sets that a deployment doesn't.
LOCAL_ONLY = {"BATCHDROP_API_URL"}
#: What only the function that shows pages has.
OF_PAGES = f"{PREFIX}DASHBOARD_"


class Environment(Mapping[str, str]):
    """A function's environment, which remembers what was asked for."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def environment(function: Resource) -> dict[str, str]:
    """What a function finds in its environment; a secret's value is unknown here."""
    config = function.block("service_config")
    secrets = {each["key"]: "-" for each in config["secret_environment_variables"]}
    return {**secrets, **config["environment_variables"]}


def entry_points_exist(plan: Plan, functions: Path) -> Iterator[str]:
    """And are what their triggers call: an event's, or HTTP's."""
    entry_points = code.entry_points(functions)
    deployed = set()
    for function in plan.of("google_cloudfunctions2_function"):
        name = function.block("build_config")["entry_point"]
        deployed.add(name)
        wanted = "cloud_event" if function.values["event_trigger"] else "http"
        if name not in entry_points:
            yield f"{function.address}: main.py has no {name}"
        elif entry_points[name] != wanted:
            found = entry_points[name]
            yield f"{function.address}: {name} is for {found}, not {wanted}"
    for name in entry_points.keys() - deployed:
        yield f"nobody deploys {name} of main.py"


def settings_are_set_and_read(plan: Plan, functions: Path) -> Iterator[str]:
    """Every variable that is set is read by somebody; every required one is set."""
    for function in plan.of("google_cloudfunctions2_function"):
        found = Environment(environment(function))
        try:
            Settings.from_env(found)
        except BadSetting as exc:
            yield f"{function.address}: {exc}"
            continue
        for name in set(found) - found.asked:
            yield f"{function.address}: nobody reads {name}"


def settings_are_those_of_the_local_stack(plan: Plan, functions: Path) -> Iterator[str]:
    """What was tried locally is what is deployed: the same settings, the same names."""
    stack = Stack()
    local = {name for name in stack.env if name.startswith(PREFIX)} - LOCAL_ONLY
    for function in plan.of("google_cloudfunctions2_function"):
        here = {name for name in environment(function) if name.startswith(PREFIX)}
        for name in local - here:
            if name.startswith(OF_PAGES) and function.key != "dashboard":
                continue
            yield f"{function.address}: {name} is set locally, and not here"
    topics = Topics(stack.project)
    theirs = {
        "announcements": topics.announcements.rpartition("/")[2],
        "work": topics.work.rpartition("/")[2],
    }
    for topic, name in theirs.items():
        here_named = plan.at(f"google_pubsub_topic.{topic}").values["name"]
        if here_named != f"{plan.name}-{name.removeprefix('batchdrop-')}":
            yield f"the topic {topic} is {name} locally, and {here_named} here"
    buckets = {
        each.key: each.values["name"] for each in plan.of("google_storage_bucket")
    }
    for part, name in stack.buckets.items():
        ending = name.removesuffix(".localhost")
        if not str(buckets.get(part)).endswith(f"{plan.name}-{ending}"):
            yield f"the {part} is {name} locally, and {buckets.get(part)} here"


def names_that_the_code_gets_are_made_here(
    plan: Plan, functions: Path
) -> Iterator[str]:
    """A setting that names a thing names one of these."""
    buckets = {
        each.key: each.values["name"] for each in plan.of("google_storage_bucket")
    }
    ledger = plan.at("google_firestore_database.ledger").values["name"]
    for function in plan.of("google_cloudfunctions2_function"):
        try:
            settings = Settings.from_env(environment(function))
        except BadSetting:
            return  # another rule reports it
        made = {
            "inbox": (settings.inbox, buckets.get("inbox")),
            "work": (settings.work.bucket, buckets.get("work")),
            "output": (settings.output.bucket, buckets.get("output")),
            "topic": (
                settings.topic,
                plan.at("google_pubsub_topic.announcements").values["name"],
            ),
            "work_topic": (
                settings.work_topic,
                plan.at("google_pubsub_topic.work").values["name"],
            ),
            "database": (settings.database, ledger),
        }
        for setting, (told, there) in made.items():
            if told != there:
                yield f"{function.address}: {setting} is {told}; there is {there}"
        for trigger in function.values["event_trigger"]:
            for each in trigger["event_filters"]:
                if each["attribute"] == "bucket" and each["value"] != settings.inbox:
                    yield f"{function.address}: listens to {each['value']}"


def labels_are_the_workers(plan: Plan, functions: Path) -> Iterator[str]:
    """A bill shows resources and batches together, by one label."""
    words = code.words(functions)
    labels: dict[str, str] = plan.outputs["labels"]
    for function in plan.of("google_cloudfunctions2_function"):
        deployment = environment(function)["BATCHDROP_DEPLOYMENT"]
        for key, value in labels.items():
            if key not in words:
                yield f"the worker puts no label {key} on batches"
            if value != deployment:
                yield f"resources have {key}={value}, batches {deployment}"


def metrics_count_lines_that_are_logged(plan: Plan, functions: Path) -> Iterator[str]:
    """A metric over an event that is never logged stays at zero, and nothing fails."""
    lines = log_lines(functions)
    services = {
        each.values["name"] for each in plan.of("google_cloudfunctions2_function")
    }
    for metric in plan.of("google_logging_metric"):
        text = metric.values["filter"]
        events = re.findall(r'jsonPayload\.event="([^"]*)"', text)
        extracted = " ".join((metric.values["label_extractors"] or {}).values())
        fields = set(re.findall(r"jsonPayload\.(\w+)", text + extracted)) - {"event"}
        found = [line for line in lines if line.event in events]
        if not found:
            yield f"{metric.address}: nobody logs {events}"
        elif not any(fields <= line.fields for line in found):
            yield f"{metric.address}: {events} has no fields {sorted(fields)}"
        for reason in re.findall(r'jsonPayload\.reason[:=]"([^"]*)"', text):
            if not any(reason in word for word in code.words(functions)):
                yield f"{metric.address}: no reason says {reason!r}"
        named = re.search(r"service_name=\(([^)]*)\)", text)
        if not named or set(re.findall(r'"([^"]*)"', named[1])) != services:
            yield f"{metric.address}: is not of the functions {sorted(services)}"


def queries_have_their_indexes(
    plan: Plan, functions: Path = code.FUNCTIONS, *, asked: Set[Query] | None = None
) -> Iterator[str]:
    """The emulator never asks for an index; production refuses the query."""
    asked = code.ledger_queries() if asked is None else asked
    indexes = {
        each.address: (
            each.values["collection"],
            tuple(
                (f["field_path"], f["order"] or f["array_config"])
                for f in each.values["fields"]
            ),
        )
        for each in plan.of("google_firestore_index")
    }
    unindexed = {
        (each.values["collection"], each.values["field"])
        for each in plan.of("google_firestore_field")
        if each.values["index_config"] and not each.block("index_config")["indexes"]
    }
    for query in asked:
        if query.is_simple:
            for path in query.paths:
                if (query.collection, path.partition(".")[0]) in unindexed:
                    yield f"{query}: {path} has no index"
        elif not any(query.answered_by(*index) for index in indexes.values()):
            yield f"{query}: there is no such index"
    for address, index in indexes.items():
        if not any(query.answered_by(*index) for query in code.ledger_queries()):
            yield f"{address}: no query of the ledger needs it"


def fields_are_written(plan: Plan, functions: Path) -> Iterator[str]:
    """The ledger writes each field that Terraform configures."""
    for each in plan.of("google_firestore_field"):
        collection, field = each.values["collection"], each.values["field"]
        if field not in code.written(collection):
            yield f"{each.address}: the ledger writes no {collection}.{field}"
        elif each.values["ttl_config"] and field not in code.growing(collection):
            yield f"{each.address}: {collection}.{field} is no time to expire by"


def growing_times_have_no_index(plan: Plan, functions: Path) -> Iterator[str]:
    """Unless a query of one field needs it: it would bound the writes of all jobs."""
    unindexed = {
        (each.values["collection"], each.values["field"])
        for each in plan.of("google_firestore_field")
        if each.values["index_config"]
    }
    asked = {
        (query.collection, path.partition(".")[0])
        for query in code.ledger_queries()
        if query.is_simple
        for path in query.paths
    }
    for collection in code.DOCUMENTS:
        for field in code.growing(collection):
            if (collection, field) not in unindexed | asked:
                yield f"{collection}.{field} grows, and is indexed for nobody"


def durations_agree(plan: Plan, functions: Path) -> Iterator[str]:
    """
    Lease, time-outs, schedule and deadline:

        TICK < a tick's time-out <= LEASE, and <= the schedule's deadline
        an event's time-out <= 540 s, and <= LEASE
        CREATE_TIMEOUT + LIST_LAG fit between a tick's last job and its time-out
        the alert on a silent poll waits for several runs
    """
    deployed = {each.key: each for each in plan.of("google_cloudfunctions2_function")}
    jobs = {each.key: each for each in plan.of("google_cloud_scheduler_job")}
    for name, function in deployed.items():
        try:
            settings = Settings.from_env(environment(function))
        except BadSetting:
            return  # another rule reports it
        timeout = function.block("service_config")["timeout_seconds"]
        if timeout > settings.lease:
            yield f"{name} may run {timeout} s, LEASE is {settings.lease:g} s"
        if function.values["event_trigger"] and timeout > 540:
            yield f"{name} may run {timeout} s; an event's function has 540 s at most"
        if name in jobs:
            deadline = float(jobs[name].values["attempt_deadline"].rstrip("s"))
            if deadline < timeout:
                yield f"{name} may run {timeout} s, its deadline is {deadline:g} s"
            rest = timeout - settings.tick
            if rest < settings.create_timeout + settings.list_lag:
                yield f"{name}: {rest:g} s after TICK are too few for its last job"
    for each in plan.of("google_monitoring_alert_policy"):
        if each.key == "poll_silent" and "poll" in jobs:
            condition = each.block("conditions")["condition_prometheus_query_language"]
            window = re.search(r"\[(\d+)m\]", condition[0]["query"])
            minutes = _minutes_between_runs(jobs["poll"].values["schedule"])
            if not window or int(window[1]) < 5 * minutes:
                yield f"{each.address}: {window and window[0]} for a run in {minutes}"


def _minutes_between_runs(schedule: str) -> int:
    """Minutes between runs of a cron schedule whose first field is `*` or `*/N`."""
    minute = schedule.split()[0]
    return 1 if minute == "*" else int(minute.removeprefix("*/"))


def filters_name_attributes(plan: Plan, functions: Path) -> Iterator[str]:
    """A filter on an attribute that no announcement has lets nothing pass."""
    attributes = set[str]().union(
        *(each.attributes for each in announcements.examples())
    )
    for each in plan.of("google_pubsub_subscription"):
        for quoted, plain in re.findall(
            r'attributes[.:](?:"([^"]+)"|([\w-]+))', each.values["filter"] or ""
        ):
            if (quoted or plain) not in attributes:
                yield f"{each.address}: no announcement has {quoted or plain}"


def what_a_message_asks_for_is_granted(plan: Plan, functions: Path) -> Iterator[str]:
    """The roles in the worker's messages must be the right ones."""
    named = {
        role
        for word in code.words(functions)
        for role in re.findall(r"roles/[\w.]+", word)
    }
    if not plan.variables["datasets"]:
        # Without datasets no answers come out of BigQuery.
        named = {role for role in named if not role.startswith("roles/bigquery.")}
    granted = {each.values["role"] for each in plan.resources if "role" in each.values}
    # Not in a plan without people. Where there are some, the policy asks for these.
    granted |= {role for rights in FOR_PEOPLE.values() for role, _ in rights}
    if "vertex" in plan.variables["backends"]:
        for role in named - granted:
            yield f"a message tells people to grant {role}, which nothing here does"


RULES: tuple[Rule, ...] = (
    entry_points_exist,
    settings_are_set_and_read,
    settings_are_those_of_the_local_stack,
    names_that_the_code_gets_are_made_here,
    labels_are_the_workers,
    metrics_count_lines_that_are_logged,
    queries_have_their_indexes,
    fields_are_written,
    growing_times_have_no_index,
    durations_agree,
    filters_name_attributes,
    what_a_message_asks_for_is_granted,
)
