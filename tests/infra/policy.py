"""
What must hold of any plan. A rule takes a plan and says what is wrong with it, in
sentences; a good plan leaves it without words.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

from batchdrop.jobs.values import Location
from batchdrop.options.routes import Routes
from tests.infra.grants import AGENTS, Grant, grants
from tests.infra.plan import Plan, Resource
from tests.infra.provider import PROJECT_NUMBER

Rule = Callable[[Plan], Iterator[str]]

#: What each account may do, and must be able to do.
LEDGER = "the project: the ledger alone"
ALLOWED = {
    Grant("on_upload", "roles/datastore.user", LEDGER),
    Grant("on_upload", "roles/storage.objectViewer", "bucket inbox"),
    Grant("on_upload", "roles/storage.objectUser", "bucket work"),
    Grant("on_upload", "roles/storage.objectCreator", "bucket output"),
    Grant("poll", "roles/datastore.user", LEDGER),
    Grant("poll", "roles/pubsub.publisher", "topic announcements"),
    Grant("poll", "roles/pubsub.publisher", "topic work"),
    Grant("poll", "roles/storage.objectViewer", "bucket inbox"),
    Grant("poll", "roles/storage.objectUser", "bucket work"),
    Grant("poll", "roles/storage.objectUser", "bucket output"),
    Grant("collect", "roles/datastore.user", LEDGER),
    Grant("collect", "roles/pubsub.publisher", "topic announcements"),
    Grant("collect", "roles/storage.objectUser", "bucket work"),
    Grant("collect", "roles/storage.objectViewer", "bucket output"),
    Grant("collect", "roles/storage.objectCreator", "bucket output"),
    Grant("eventarc", "roles/eventarc.eventReceiver", "the project"),
    Grant("eventarc", "roles/run.invoker", "function on-upload"),
    Grant("eventarc", "roles/run.invoker", "function collect"),
    Grant("scheduler", "roles/run.invoker", "function poll"),
    Grant("build", "roles/logging.logWriter", "the project"),
    Grant("build", "roles/artifactregistry.writer", "the images"),
    Grant(
        "build",
        "roles/storage.objectViewer",
        "the project: functions' sources alone",
    ),
    Grant("Cloud Storage's own account", "roles/pubsub.publisher", "the project"),
    Grant("Pub/Sub's own account", "roles/pubsub.publisher", "topic dead-letters"),
    Grant("Pub/Sub's own account", "roles/pubsub.subscriber", "subscription example"),
}

#: On top of these, where batches may go to Vertex AI, and where to the Developer API.
VERTEX = "Vertex AI's own account"
FOR_VERTEX = {
    Grant("on_upload", "roles/aiplatform.user", "the project"),
    Grant("poll", "roles/aiplatform.user", "the project"),
    Grant(VERTEX, "roles/storage.objectViewer", "bucket inbox"),
    Grant(VERTEX, "roles/storage.objectViewer", "bucket work"),
    Grant(VERTEX, "roles/storage.objectUser", "bucket output"),
}
KEY = "secret developer-api-key"
FOR_DEVELOPER_API = {
    Grant("on_upload", "roles/secretmanager.secretAccessor", KEY),
    Grant("poll", "roles/secretmanager.secretAccessor", KEY),
    Grant("collect", "roles/secretmanager.secretAccessor", KEY),
}


#: What the pages have, unless they are off; and what lets people open them.
FOR_PAGES = {
    Grant("dashboard", "roles/datastore.user", LEDGER),
    Grant("dashboard", "roles/monitoring.viewer", "the project"),
}
ROWS = {
    Grant("dashboard", "roles/storage.objectViewer", "bucket work"),
    Grant("dashboard", "roles/storage.objectViewer", "bucket output"),
}
PAGES = "function dashboard"
PROXY = "the Identity-Aware Proxy's own account"
BEHIND_PROXY = ("roles/iap.httpsResourceAccessor", "proxy of dashboard")
CONFIGURATION = "bucket work: routes and prices alone"

#: What is granted under each prefix that rows may come from, or results go to.
READING = {
    "on_upload": ["roles/storage.objectViewer"],
    "poll": ["roles/storage.objectViewer"],
    VERTEX: ["roles/storage.objectViewer"],
}
WRITING = {
    "on_upload": ["roles/storage.objectCreator"],
    "poll": ["roles/storage.objectUser"],
    "collect": ["roles/storage.objectViewer", "roles/storage.objectCreator"],
    "dashboard": ["roles/storage.objectViewer"],
    VERTEX: ["roles/storage.objectUser"],
}

#: What optional parts may have.
CRYPTO = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
FOR_KEY = {
    Grant(who, CRYPTO, "the key")
    for domain, who in AGENTS.items()
    if domain not in ("gcp-sa-aiplatform", "gcp-sa-iap")
}
TO_PLAN = {
    "roles/artifactregistry.reader",
    "roles/browser",
    "roles/cloudfunctions.viewer",
    "roles/cloudscheduler.viewer",
    "roles/datastore.viewer",
    "roles/iam.securityReviewer",
    "roles/iam.serviceAccountViewer",
    "roles/logging.logWriter",
    "roles/logging.viewer",
    "roles/monitoring.viewer",
    "roles/pubsub.viewer",
    "roles/run.viewer",
    "roles/secretmanager.viewer",
    "roles/serviceusage.serviceUsageViewer",
    "roles/storage.bucketViewer",
}
TO_APPLY = {
    "roles/artifactregistry.admin",
    "roles/cloudfunctions.admin",
    "roles/cloudscheduler.admin",
    "roles/datastore.owner",
    "roles/iam.serviceAccountAdmin",
    "roles/iam.serviceAccountUser",
    "roles/logging.configWriter",
    "roles/monitoring.editor",
    "roles/pubsub.admin",
    "roles/run.admin",
    "roles/secretmanager.admin",
    "roles/serviceusage.serviceUsageAdmin",
    "roles/storage.admin",
}

#: What people may do that a variable names.
FOR_PEOPLE = {
    "uploaders": {("roles/storage.objectCreator", "bucket inbox")},
    "readers": {
        ("roles/datastore.viewer", LEDGER),
        ("roles/storage.objectViewer", "bucket output"),
    },
    "operators": {
        ("roles/datastore.user", LEDGER),
        ("roles/storage.objectViewer", "bucket output"),
    },
}

BASIC = {"roles/owner", "roles/editor", "roles/viewer"}
PUBLIC = {"allUsers", "allAuthenticatedUsers"}


# --- who may do what --------------------------------------------------------------


def each_account_has_exactly_its_roles(plan: Plan) -> Iterator[str]:
    """Roles against an allow-list."""
    must = set(ALLOWED)
    must |= FOR_DEVELOPER_API if developer_api(plan) else set()
    must |= FOR_VERTEX if on_vertex(plan) else set()
    must |= set(_of_pages(plan))
    must |= set(_beyond(plan))
    if plan.variables["kms_key"]:
        must |= FOR_KEY
    for people, rights in FOR_PEOPLE.items():
        for member in plan.variables[people] or ():
            must |= {Grant(member, role, on) for role, on in rights}
    if plan.variables["cloud_build"] != "off":
        bucket = f"bucket {plan.variables['deploy_bucket']}"
        must.add(Grant("cloud_build", "roles/storage.objectUser", bucket))
        must |= {Grant("cloud_build", role, "the project") for role in TO_PLAN}
    if plan.variables["cloud_build"] == "apply":
        must |= {Grant("cloud_build", role, "the project") for role in TO_APPLY}
        grants_some = "the project: the roles of this deployment"
        granting = "roles/resourcemanager.projectIamAdmin"
        must.add(Grant("cloud_build", granting, grants_some))
    found = set(grants(plan))
    yield from (f"{each}, which nothing here needs" for each in found - must)
    yield from (f"nobody says that {each}, which is needed" for each in must - found)


def developer_api(plan: Plan) -> bool:
    """Whether batches may go to the Developer API."""
    return "developer" in plan.variables["backends"]


def on_vertex(plan: Plan) -> bool:
    """Whether batches may go to Vertex AI."""
    return "vertex" in plan.variables["backends"]


def pages(plan: Plan) -> dict[str, Any]:
    """What is chosen for the pages; empty if they are off."""
    chosen = plan.variables["dashboard"]
    # A plan shows what was given, without the defaults of what wasn't.
    defaults = {"access": "iam", "audience": None, "operators": (), "rows": False}
    return {} if chosen is None else defaults | chosen


def behind_balancer(plan: Plan) -> bool:
    """Whether a load balancer's Identity-Aware Proxy guards the pages."""
    return "/backendServices/" in str(pages(plan).get("audience"))


def people(plan: Plan) -> set[str]:
    """All who may look at jobs."""
    return {*(plan.variables["readers"] or ()), *(plan.variables["operators"] or ())}


def _of_pages(plan: Plan) -> Iterator[Grant]:
    """What the pages may read, and who may open them."""
    chosen = pages(plan)
    if plan.variables["routes_file"] or plan.variables["prices_file"]:
        readers = list(plan.variables["operators"] or ())
        readers += ["dashboard"] if chosen and not chosen["rows"] else []
        for who in readers:
            yield Grant(who, "roles/storage.objectViewer", CONFIGURATION)
    if not chosen:
        return
    yield from FOR_PAGES
    yield from ROWS if chosen["rows"] else ()
    if chosen["access"] == "iam":
        for who in people(plan):
            yield Grant(who, "roles/run.invoker", PAGES)
        return
    yield Grant(PROXY, "roles/run.invoker", PAGES)
    if plan.variables["cloud_build"] == "apply":
        yield Grant("cloud_build", "roles/iap.admin", "the project")
    if not behind_balancer(plan):
        for who in people(plan):
            yield Grant(who, *BEHIND_PROXY)


def _beyond(plan: Plan) -> Iterator[Grant]:
    """What is needed in buckets and datasets that aren't made here."""
    sources = plan.variables["sources"] or ()
    destinations = [*(plan.variables["destinations"] or ()), *_of_routes(plan)]
    for hands, uris in ((READING, sources), (WRITING, destinations)):
        for who, roles in hands.items():
            if who == "dashboard" and not pages(plan).get("rows"):
                continue
            if who != VERTEX or on_vertex(plan):
                for role, uri in itertools.product(roles, uris):
                    yield Grant(who, role, _place(plan, uri))
    for name, right in (plan.variables["datasets"] or {}).items():
        if name.startswith("projects/"):
            continue  # Vertex AI's own, within the roles on the project
        role = {"read": "dataViewer", "write": "dataEditor"}[right]
        yield Grant(VERTEX, f"roles/bigquery.{role}", f"dataset {name}")
        yield Grant(VERTEX, "roles/bigquery.jobUser", "the project")
        if right == "write":
            yield Grant("collect", "roles/bigquery.dataViewer", f"dataset {name}")
        if (may := plan.variables["cloud_build"]) != "off":
            role = {"plan": "metadataViewer", "apply": "dataOwner"}[may]
            yield Grant("cloud_build", f"roles/bigquery.{role}", f"dataset {name}")


def _of_routes(plan: Plan) -> Iterator[str]:
    """What the routes write to, as the worker reads them."""
    for each in plan.of("google_storage_bucket_object"):
        if not each.address.startswith("google_storage_bucket_object.routes["):
            continue
        routes = Routes.parse(plan.file(each.values["source"]), each.values["source"])
        for route in routes.routes:
            if "destination" in route.choices:
                yield route.choices["destination"]


def _place(plan: Plan, uri: str) -> str:
    """A location as `Grant.on` names it: without a prefix, the bucket's short name."""
    place = Location.parse(uri)
    own = f"{plan.project}-{plan.name}-"
    return str(place) if place.prefix else f"bucket {place.bucket.removeprefix(own)}"


def nothing_is_granted_on_all_data_of_the_project(plan: Plan) -> Iterator[str]:
    """Objects and tables are granted where they lie, or by a condition."""
    for each in plan.of("google_project_iam_member"):
        role, who = each.values["role"], each.address.split(".")[1].partition("[")[0]
        data = re.match(r"roles/(storage\.object|storage\.legacy|bigquery\.data)", role)
        if data and not each.block("condition") and who != "cloud_build":
            yield f"{each.address} has {role} on all of the project"


def no_member_is_public(plan: Plan) -> Iterator[str]:
    """Nothing is granted to everybody."""
    for address, name, text in plan.texts():
        if name in ("member", "members") and text in PUBLIC:
            yield f"{address} is for {text}"


def no_role_is_basic(plan: Plan) -> Iterator[str]:
    """Owner, editor and viewer say nothing about what is needed."""
    for address, name, text in plan.texts():
        if name == "role" and text in BASIC:
            yield f"{address} grants {text}"


def no_grant_replaces_others(plan: Plan) -> Iterator[str]:
    """A policy or a binding takes away what somebody else has granted."""
    for each in plan.resources:
        if each.type.endswith(("_iam_policy", "_iam_binding")):
            yield f"{each.address} takes away grants of others; use an _iam_member"


def a_builder_that_grants_grants_only_these(plan: Plan) -> Iterator[str]:
    """An account that may grant any role has every role."""
    for each in plan.of("google_project_iam_member"):
        if each.values["role"] != "roles/resourcemanager.projectIamAdmin":
            continue
        condition = each.block("condition").get("expression", "")
        limit = re.search(r"\.hasOnly\(\[(.*)\]\)$", condition)
        allowed = set(re.findall(r'"([^"]+)"', limit[1])) if limit else set()
        needed = {
            other.values["role"]
            for other in plan.of("google_project_iam_member")
            if ".cloud_build" not in other.address
        }
        if not limit or needed - allowed or len(allowed) > 10:
            yield f"{each.address} may grant {sorted(allowed)}, not {sorted(needed)}"


def each_function_has_an_account_of_its_own(plan: Plan) -> Iterator[str]:
    """And none has the one that Compute Engine gives to everybody."""
    accounts: dict[str, str] = {}
    for function in plan.of("google_cloudfunctions2_function"):
        account = function.block("service_config").get("service_account_email")
        if not account:
            yield f"{function.address} runs as the project's default account"
        elif other := accounts.get(account):
            yield f"{function.address} has the account of {other}"
        accounts[account or ""] = function.address
        if not plan.references(function, "build_config", "service_account"):
            yield f"{function.address} is built by the project's default account"


# --- what is open, what is kept ---------------------------------------------------


def buckets_are_locked(plan: Plan) -> Iterator[str]:
    """Uniform access, never public, deleted objects come back for days."""
    buckets = {each.key: each for each in plan.of("google_storage_bucket")}
    if set(buckets) != {"inbox", "work", "output"}:
        yield f"the buckets are {sorted(map(str, buckets))}"
    for name, bucket in buckets.items():
        values = bucket.values
        if values["uniform_bucket_level_access"] is not True:
            yield f"bucket {name}: access differs by object"
        if values["public_access_prevention"] != "enforced":
            yield f"bucket {name}: may be made public"
        soft = bucket.block("soft_delete_policy").get("retention_duration_seconds", 0)
        if soft < 24 * 60 * 60:
            yield f"bucket {name}: what is deleted is gone"
        if bool(values["lifecycle_rule"]) != (name == "work"):
            yield f"bucket {name}: objects are deleted in work, and nowhere else"
        if values["force_destroy"] and plan.variables["protect"]:
            yield f"bucket {name}: can be deleted with what it holds"


def data_is_protected_until_told_otherwise(plan: Plan) -> Iterator[str]:
    """`protect` is what stands between a slip and the data."""
    protect = plan.variables["protect"]
    state = plan.at("google_firestore_database.ledger").values[
        "delete_protection_state"
    ]
    if (state == "DELETE_PROTECTION_ENABLED") != protect:
        yield f"the ledger's protection is {state}, protect is {protect}"
    for secret in plan.of("google_secret_manager_secret"):
        if secret.values["deletion_protection"] != protect:
            yield f"{secret.address} doesn't follow protect"


def no_function_is_reached_from_outside(plan: Plan) -> Iterator[str]:
    """Events and the schedule come from inside. People come from where they are."""
    for function in plan.of("google_cloudfunctions2_function"):
        ingress = function.block("service_config")["ingress_settings"]
        wanted = "ALLOW_INTERNAL_ONLY"
        if function.key == "dashboard":
            # A proxy at a load balancer guards no other way in.
            beside = behind_balancer(plan)
            wanted = "ALLOW_INTERNAL_AND_GCLB" if beside else "ALLOW_ALL"
        if ingress != wanted:
            yield f"{function.address}: ingress is {ingress}"


def pages_know_who_checks_people(plan: Plan) -> Iterator[str]:
    """With the proxy, whose assertions they take; without it, none at all."""
    for function in plan.of("google_cloudfunctions2_function"):
        env = function.block("service_config")["environment_variables"]
        found = {
            name.removeprefix("BATCHDROP_DASHBOARD_").lower(): text
            for name, text in env.items()
            if name.startswith("BATCHDROP_DASHBOARD_")
        }
        if function.key != "dashboard":
            if found:
                yield f"{function.address} shows no pages, and has {sorted(found)}"
            continue
        chosen = pages(plan)
        if found.get("access") != chosen["access"]:
            yield f"{function.address}: access is {found.get('access')}"
        if found.get("rows") != str(chosen["rows"]).lower():
            yield f"{function.address}: rows is {found.get('rows')}"
        own = f"/projects/{PROJECT_NUMBER}/locations/{plan.variables['region']}"
        audience = chosen["audience"] or f"{own}/services/{function.values['name']}"
        wanted = audience if chosen["access"] == "iap" else None
        if found.get("audience") != wanted:
            yield f"{function.address}: the audience is {found.get('audience')}"
        # The settings ask for a key, and the pages need none.
        key = "not-set" if developer_api(plan) else None
        if env.get("GEMINI_API_KEY") != key:
            yield f"{function.address}: the key is not the one that is none"
        if function.block("service_config")["secret_environment_variables"]:
            yield f"{function.address} has a secret, and calls no API"


def pages_list_those_whom_they_know(plan: Plan) -> Iterator[str]:
    """Who is in a list of addresses; a group that may look makes the list useless."""
    for function in plan.of("google_cloudfunctions2_function"):
        if function.key != "dashboard":
            continue
        env = function.block("service_config")["environment_variables"]
        operators = set(plan.variables["operators"] or ())
        named = {_address(each) for each in operators} | set(pages(plan)["operators"])
        lookers = {_address(each) for each in people(plan)}
        wanted = {
            "OPERATORS": named - {""},
            "READERS": set() if "" in lookers else lookers,
        }
        for name, members in wanted.items():
            found = env.get(f"BATCHDROP_DASHBOARD_{name}", "")
            if set(filter(None, found.split(","))) != members:
                yield f"{function.address}: its {name.lower()} are {found!r}"


def _address(member: str) -> str:
    """What the pages know somebody by; nothing of a group."""
    kind, _, name = member.partition(":")
    known = {"user": name, "serviceAccount": name, "domain": member}
    return known.get(kind, "")


def no_secret_has_a_value(plan: Plan) -> Iterator[str]:
    """Everyone who can read Terraform's state can read its variables."""
    for each in plan.resources:
        if each.type == "google_secret_manager_secret_version":
            yield f"{each.address} puts a secret's value into the state"
    for address, name, text in plan.texts():
        if text == "not-set":
            continue  # what the pages have in place of a key
        if re.search(r"(?i)(^|_)(api_?key|password|token|secret_data)$", name) and text:
            yield f"{address}: {name} has a value"
        if re.search(r"AIza[\w-]{30,}|-----BEGIN|ya29\.", text):
            yield f"{address}: {name} looks like a key"


def a_key_encrypts_everything_or_nothing(plan: Plan) -> Iterator[str]:
    """Half of it would be a promise that isn't kept."""
    key = plan.variables["kms_key"]
    encrypted: dict[str, Callable[[Resource], str | None]] = {
        "google_storage_bucket": lambda r: r.block("encryption").get(
            "default_kms_key_name"
        ),
        "google_firestore_database": lambda r: r.block("cmek_config").get(
            "kms_key_name"
        ),
        "google_pubsub_topic": lambda r: r.values["kms_key_name"],
        "google_cloudfunctions2_function": lambda r: r.values["kms_key_name"],
        "google_artifact_registry_repository": lambda r: r.values["kms_key_name"],
        "google_secret_manager_secret": lambda r: _secret_key(r),
    }
    for type, key_of in encrypted.items():
        for each in plan.of(type):
            if key_of(each) != key:
                yield f"{each.address} is encrypted with {key_of(each)}, not {key}"


def _secret_key(secret: Resource) -> str | None:
    """The key that encrypts a secret's only replica; None if Google's own does."""
    replica = secret.block("replication")["user_managed"][0]["replicas"][0]
    found: list[dict[str, str]] = replica["customer_managed_encryption"]
    return found[0]["kms_key_name"] if found else None


# --- functions --------------------------------------------------------------------


def events_come_again(plan: Plan) -> Iterator[str]:
    """
    Without a retry, an upload whose function fails is gone. A message that names a job
    to collect comes once: the ledger brings back a job that is still due.
    """
    for function in plan.of("google_cloudfunctions2_function"):
        for trigger in function.values["event_trigger"]:
            once = trigger["event_type"].endswith(".messagePublished")
            wanted = f"RETRY_POLICY_{'DO_NOT_' if once else ''}RETRY"
            if trigger["retry_policy"] != wanted:
                yield f"{function.address}: retry is {trigger['retry_policy']}"
            if trigger["trigger_region"] != plan.variables["region"]:
                yield f"{function.address}: its trigger is not where the bucket is"


def functions_rest_when_nothing_is_to_do(plan: Plan) -> Iterator[str]:
    """An instance that is kept ready is paid for by the hour."""
    for function in plan.of("google_cloudfunctions2_function"):
        config = function.block("service_config")
        if config["min_instance_count"] != 0:
            yield f"{function.address} never rests"
        if not config["max_instance_count"]:
            yield f"{function.address} has no bound"


def functions_fit_their_machines(plan: Plan) -> Iterator[str]:
    """The framework's server has 4 threads for each CPU; more calls would queue."""
    for function in plan.of("google_cloudfunctions2_function"):
        config = function.block("service_config")
        at_once, cpus = (
            config["max_instance_request_concurrency"],
            config["available_cpu"],
        )
        if at_once > 4 * float(cpus) or (at_once > 1 and float(cpus) < 1):
            yield f"{function.address}: {at_once} calls at once on {cpus} CPU"
        if not re.fullmatch(r"\d+(Mi|Gi)", config["available_memory"]):
            yield f"{function.address}: memory is {config['available_memory']}"


def a_collector_has_its_machine_alone(plan: Plan) -> Iterator[str]:
    """Two jobs' answers at a time would not fit into its memory."""
    for function in plan.of("google_cloudfunctions2_function"):
        if function.key == "collect":
            config = function.block("service_config")
            if config["max_instance_request_concurrency"] != 1:
                yield f"{function.address} takes several jobs at once"
            if config["available_memory"] != "1Gi":
                yield f"{function.address} has {config['available_memory']} of memory"


def functions_are_built_from_what_they_are_named_after(plan: Plan) -> Iterator[str]:
    """A name with the content's hash, and images where the account may write."""
    for function in plan.of("google_cloudfunctions2_function"):
        build = function.block("build_config")
        source = build["source"][0]["storage_source"][0]
        if not re.fullmatch(r"releases/functions-[0-9a-f]{64}\.zip", source["object"]):
            yield f"{function.address}: built from {source['object']}"
        if build["runtime"] != "python313":
            yield f"{function.address}: runs on {build['runtime']}"
        if not plan.references(function, "build_config", "docker_repository"):
            yield f"{function.address}: its image lies in a repository not ours"


# --- messages ---------------------------------------------------------------------


def subscriptions_stay(plan: Plan) -> Iterator[str]:
    """By default, Pub/Sub deletes a subscription that is unused for 31 days."""
    for each in plan.of("google_pubsub_subscription"):
        if each.block("expiration_policy").get("ttl") != "":
            yield f"{each.address} is deleted when nobody asks for a month"


def dead_letters_are_complete(plan: Plan) -> Iterator[str]:
    """A policy, a topic that is kept, and both grants of Pub/Sub's own account."""
    topics = {
        f"google_pubsub_topic.{name}"
        for each in plan.of("google_pubsub_topic")
        if (name := each.address.split(".")[1])
    }
    kept = {
        topic
        for each in plan.of("google_pubsub_subscription")
        for topic in plan.references(each, "topic") & topics
        if not each.values["dead_letter_policy"]
    }
    agent = "Pub/Sub's own account"
    held = {(each.role, each.on) for each in grants(plan) if each.who == agent}
    listeners = [
        each
        for each in plan.of("google_pubsub_subscription")
        if "google_pubsub_topic.announcements" in plan.references(each, "topic")
    ]
    for each in listeners:
        policy = each.block("dead_letter_policy")
        if not policy:
            yield f"{each.address}: what is turned down comes again for ever"
            continue
        if not 5 <= policy["max_delivery_attempts"] <= 100:
            yield f"{each.address}: {policy['max_delivery_attempts']} attempts"
        target = plan.references(each, "dead_letter_policy", "dead_letter_topic")
        if not target & kept:
            yield f"{each.address}: dead letters go where nobody keeps them"
        name = each.values["name"].removeprefix(f"{plan.name}-")
        if ("roles/pubsub.subscriber", f"subscription {name}") not in held:
            yield f"{each.address}: Pub/Sub may not take dead letters off it"
    if ("roles/pubsub.publisher", "topic dead-letters") not in held:
        yield "Pub/Sub may not publish dead letters"


def a_jobs_announcements_come_in_order(plan: Plan) -> Iterator[str]:
    """They are published with the job's id as the key of their order."""
    for each in plan.of("google_pubsub_subscription"):
        announced = "google_pubsub_topic.announcements" in plan.references(
            each, "topic"
        )
        if announced and not each.values["enable_message_ordering"]:
            yield f"{each.address}: an end may come before what led to it"


def subscriptions_are_within_bounds(plan: Plan) -> Iterator[str]:
    """Bounds of the Pub/Sub API that the schema doesn't know."""
    for each in plan.of("google_pubsub_subscription"):
        if len((each.values["filter"] or "").encode()) > 256:
            yield f"{each.address}: the filter is longer than 256 bytes"
        if not 10 <= (each.values.get("ack_deadline_seconds") or 10) <= 600:
            yield f"{each.address}: the deadline is not within 10 to 600 seconds"


# --- forms ------------------------------------------------------------------------

#: Arguments that are durations, with the least and the most of them in seconds.
DURATIONS = {
    "ack_deadline": (10, 600),
    "attempt_deadline": (15, 30 * 60),
    "auto_close": (30 * 60, 7 * 24 * 60 * 60),
    "duration": (0, 24 * 60 * 60),
    "evaluation_interval": (30, 24 * 60 * 60),
    "expiration_offset": (1, 2147483647),
    "maximum_backoff": (0, 600),
    "message_retention_duration": (600, 31 * 24 * 60 * 60),
    "minimum_backoff": (0, 600),
    "older_than": (1, 10**9),
}


def durations_are_well_formed(plan: Plan) -> Iterator[str]:
    """Seconds and an s; minutes and hours are refused by the APIs, at apply."""
    for address, name, text in plan.texts():
        if name not in DURATIONS:
            continue
        least, most = DURATIONS[name]
        if not re.fullmatch(r"\d+(\.\d{1,9})?s", text):
            yield f"{address}: {name} is {text!r}, not seconds such as '600s'"
        elif not least <= float(text[:-1]) <= most:
            yield f"{address}: {name} is {text}, not within {least}s and {most}s"


#: A cron expression's fields, with their least and most.
CRON = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12))
WEEKDAY = ("weekday", 0, 7)


def schedules_are_well_formed(plan: Plan) -> Iterator[str]:
    """Five fields, each with numbers that it can have."""
    for each in plan.of("google_cloud_scheduler_job"):
        parts = each.values["schedule"].split()
        if len(parts) != 5:
            yield f"{each.address}: {each.values['schedule']!r} has not five fields"
            continue
        for (name, least, most), part in zip((*CRON, WEEKDAY), parts, strict=True):
            for item in part.split(","):
                match = re.fullmatch(r"(?:\*|(\d+)(?:-(\d+))?)(?:/(\d+))?", item)
                numbers = [int(n) for n in match.groups()[:2] if n] if match else [-1]
                if not all(least <= number <= most for number in numbers):
                    yield f"{each.address}: {item!r} is no {name}"
        if each.values["time_zone"] != "Etc/UTC":
            yield f"{each.address}: a clock that is put back runs some hours twice"


def account_ids_fit(plan: Plan) -> Iterator[str]:
    """6 to 30 characters, or the API refuses them."""
    for each in plan.of("google_service_account"):
        if not re.fullmatch(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", each.values["account_id"]):
            yield f"{each.address}: {each.values['account_id']} is no account's id"


#: The API that makes each kind of resource.
APIS = {
    "artifact_registry": "artifactregistry",
    "bigquery": "bigquery",
    "cloud_run": "run",
    "cloud_scheduler": "cloudscheduler",
    "cloudfunctions2": "cloudfunctions",
    "firestore": "firestore",
    "iap": "iap",
    "kms": None,  # the key is there already
    "logging": "logging",
    "monitoring": "monitoring",
    "project_iam": "cloudresourcemanager",
    "project_service": None,
    "pubsub": "pubsub",
    "secret_manager": "secretmanager",
    "service_account": "iam",
    "storage": "storage",
}


def the_apis_that_are_used_are_on(plan: Plan) -> Iterator[str]:
    """In a new project most are off."""
    on = {each.key for each in plan.of("google_project_service")}
    for type in sorted({each.type for each in plan.resources}):
        name = next(
            (n for n in APIS if type.startswith(f"google_{n}")),
            None,
        )
        if name is None:
            yield f"{type}: which API makes it?"
        elif (api := APIS[name]) and f"{api}.googleapis.com" not in on:
            yield f"{type}: {api}.googleapis.com is off"
    # What no resource here shows: building, events, and the batches themselves.
    for api in ("cloudbuild", "eventarc", "aiplatform"):
        if f"{api}.googleapis.com" not in on:
            yield f"{api}.googleapis.com is off"


# --- what is watched --------------------------------------------------------------

#: Metrics of Google's own that a query may name. There is no list to look them up in.
GOOGLE_METRICS = {
    "pubsub_googleapis_com:subscription_num_undelivered_messages",
    "run_googleapis_com:request_count",
    "run_googleapis_com:request_latencies_bucket",
}


def queries(plan: Plan) -> Iterator[tuple[str, str]]:
    """Each PromQL query of alerts and charts, with where it stands."""
    for address, name, text in plan.texts():
        if name == "query":
            yield address, text
        if name == "dashboard_json":
            for quoted in re.findall(
                r'"prometheusQuery"\s*:\s*"((?:\\.|[^"])*)"', text
            ):
                yield address, quoted.replace('\\"', '"')


def queries_name_metrics_that_there_are(plan: Plan) -> Iterator[str]:
    """Validation is off for these: a misspelt metric would never alert."""
    own = {
        "logging_googleapis_com:user_" + re.sub(r"\W", "_", each.values["name"])
        for each in plan.of("google_logging_metric")
    }
    services = {
        each.values["name"] for each in plan.of("google_cloudfunctions2_function")
    }
    subscriptions = {
        each.values["name"] for each in plan.of("google_pubsub_subscription")
    }
    for address, query in queries(plan):
        metrics = re.findall(r"(\w+_googleapis_com:\w+)(\{[^}]*\})?", query)
        if not metrics:
            yield f"{address}: {query!r} names no metric"
        for metric, labels in metrics:
            if metric not in own | GOOGLE_METRICS:
                yield f"{address}: nobody writes {metric}"
            if "monitored_resource=" not in labels:
                yield f"{address}: {metric} without its kind of resource"
        for found in re.findall(r'service_name=~"([^"]*)"', query):
            if set(found.split("|")) != services:
                yield f"{address}: functions are {sorted(services)}, not {found}"
        for found in re.findall(r'subscription_id="([^"]*)"', query):
            if found not in subscriptions:
                yield f"{address}: there is no subscription {found}"
        for opening, closing in ("()", "{}", "[]"):
            if query.count(opening) != query.count(closing):
                yield f"{address}: {opening} and {closing} don't match in {query!r}"


def all_that_can_go_wrong_has_an_alert(plan: Plan) -> Iterator[str]:
    """Each with a way to reach somebody, and with what to do."""
    if not plan.variables["alerts"]:
        return
    policies = {each.key: each for each in plan.of("google_monitoring_alert_policy")}
    for key in (
        "announcements_unpublished",
        "collect_silent",
        "dead_letters",
        "function_errors",
        "jobs_stalled",
        "poll_silent",
        "rejected_drops",
        "rows_failed",
    ):
        if key not in policies:
            yield f"nobody is told: {key}"
    for policy in policies.values():
        if len(policy.block("documentation").get("content", "")) < 80:
            yield f"{policy.address} doesn't say what to do"
        if plan.variables["alert_emails"] and not plan.references(
            policy, "notification_channels"
        ):
            yield f"{policy.address} tells nobody"


RULES: tuple[Rule, ...] = (
    each_account_has_exactly_its_roles,
    nothing_is_granted_on_all_data_of_the_project,
    no_member_is_public,
    no_role_is_basic,
    no_grant_replaces_others,
    a_builder_that_grants_grants_only_these,
    each_function_has_an_account_of_its_own,
    buckets_are_locked,
    data_is_protected_until_told_otherwise,
    no_function_is_reached_from_outside,
    pages_know_who_checks_people,
    pages_list_those_whom_they_know,
    no_secret_has_a_value,
    a_key_encrypts_everything_or_nothing,
    events_come_again,
    functions_rest_when_nothing_is_to_do,
    functions_fit_their_machines,
    a_collector_has_its_machine_alone,
    functions_are_built_from_what_they_are_named_after,
    subscriptions_stay,
    dead_letters_are_complete,
    a_jobs_announcements_come_in_order,
    subscriptions_are_within_bounds,
    durations_are_well_formed,
    schedules_are_well_formed,
    account_ids_fit,
    the_apis_that_are_used_are_on,
    queries_name_metrics_that_there_are,
    all_that_can_go_wrong_has_an_alert,
)
