"""The roles that a plan grants, and to whom."""

import re
from dataclasses import dataclass

from tests.infra.plan import Plan, Resource

#: Google's own accounts, by the domain of their addresses.
AGENTS = {
    "gcf-admin-robot": "Cloud Functions' own account",
    "gcp-sa-aiplatform": "Vertex AI's own account",
    "gcp-sa-artifactregistry": "Artifact Registry's own account",
    "gcp-sa-eventarc": "Eventarc's own account",
    "gcp-sa-firestore": "Firestore's own account",
    "gcp-sa-iap": "the Identity-Aware Proxy's own account",
    "gcp-sa-pubsub": "Pub/Sub's own account",
    "gcp-sa-secretmanager": "Secret Manager's own account",
    "gs-project-accounts": "Cloud Storage's own account",
    "serverless-robot-prod": "Cloud Run's own account",
}


#: The condition that grants a folder of a bucket, and the bucket's list.
UNDER_A_PREFIX = re.compile(
    r'resource\.type == "storage\.googleapis\.com/Bucket" \|\| '
    r'resource\.name\.startsWith\("projects/_/buckets/([^/"]+)/objects/([^"]+/)"\)'
)

#: The condition that grants routes and prices, and no other object of the work bucket.
CONFIGURATION = re.compile(
    r'resource\.name\.startsWith\("projects/_/buckets/([^/"]+)/objects/routes/"\) \|\| '
    r'resource\.name\.startsWith\("projects/_/buckets/\1/objects/prices/"\)'
)


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One role of one account on one resource."""

    who: str  #: what the account is for in the deployment, or a person
    role: str
    on: str

    def __str__(self) -> str:
        return f"{self.who} has {self.role} on {self.on}"


def grants(plan: Plan) -> list[Grant]:
    """All grants in a plan."""
    return sorted(
        Grant(_who(plan, each), each.values["role"], _on(plan, each))
        for each in plan.resources
        if each.type.endswith(("_iam_member", "_dataset_access"))
    )


def _who(plan: Plan, grant: Resource) -> str:
    """What the account of a grant is for; an unknown member is given in full."""
    by_email = f"serviceAccount:{grant.values.get('user_by_email')}"
    member = grant.values.get("member", by_email)
    for account in plan.of("google_service_account"):
        if account.values["member"] == member:
            # google_service_account.function["poll"] is "poll", .build is "build".
            kind = account.address.split(".")[1].partition("[")[0]
            return str(account.key) if kind in ("function", "caller") else kind
    agent = re.fullmatch(r"serviceAccount:service-\d+@([a-z-]+)\.iam\..*", member)
    return AGENTS[agent[1]] if agent else str(member)


def _on(plan: Plan, grant: Resource) -> str:
    """The resource of a grant, such as `bucket inbox`; an unknown type's address."""
    values = grant.values
    match grant.type.removeprefix("google_").removesuffix("_iam_member"):
        case "project":
            condition = grant.block("condition")
            limit = f": {condition['title'].lower()}" if condition else ""
            return f"the project{limit}"
        case "storage_bucket":
            if (condition := grant.block("condition")) and (
                under := UNDER_A_PREFIX.fullmatch(condition["expression"])
            ):
                return f"gs://{under[1]}/{under[2]}"
            short = values["bucket"].removeprefix(f"{plan.project}-{plan.name}-")
            if (
                condition
                and (only := CONFIGURATION.fullmatch(condition["expression"]))
                and only[1] == values["bucket"]
            ):
                return f"bucket {short}: routes and prices alone"
            # A condition that this code does not know is shown in full.
            limit = f" if {condition['expression']}" if condition else ""
            return f"bucket {short}{limit}"
        case "bigquery_dataset_access":
            return f"dataset {values['project']}.{values['dataset_id']}"
        case "pubsub_topic":
            return f"topic {_short(plan, values['topic'])}"
        case "pubsub_subscription":
            return f"subscription {_short(plan, values['subscription'])}"
        case "cloud_run_v2_service":
            return f"function {_short(plan, values['name'])}"
        case "iap_web_cloud_run_service":
            return f"proxy of {_short(plan, values['cloud_run_service_name'])}"
        case "secret_manager_secret":
            return f"secret {_short(plan, values['secret_id'])}"
        case "artifact_registry_repository":
            return "the images"
        case "kms_crypto_key":
            return "the key"
    return grant.address


def _short(plan: Plan, name: str) -> str:
    """The name without the deployment's prefix."""
    return name.removeprefix(f"{plan.name}-")
