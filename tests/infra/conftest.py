"""Plans, made once for all the tests that look at them."""

from collections.abc import Callable, Iterator

import pytest

from tests.infra import terraform
from tests.infra.plan import Plan
from tests.infra.provider import serving
from tests.infra.terraform import Workspace

SCHEMA = terraform.INFRA / "tests/schema/google-8.7.0.json.gz"

#: Routes as a deployer may write them.
ROUTES = """\
[[route]]
match = "cheap/**"
backend = "developer"
model = "gemini-3.5-flash-lite"

[[route]]
match = "vectors/**"
# destination = "gs://not-any-more/"
backend = 'vertex'
location = "us-central1"
model = "gemini-embedding-2"
destination = "gs://vectors/new/"
stalled_after = {PENDING = 7200}
"""

#: Everything that can be chosen, chosen otherwise than by default.
EVERYTHING = {
    "project_id": "other-project",
    "name": "drops",
    "region": "europe-west4",
    "model_location": "global",
    "uploaders": ["user:ann@example.com"],
    "readers": ["user:ann@example.com", "domain:example.com"],
    "operators": ["user:ann@example.com"],
    "dashboard": {"access": "iap", "operators": ["bob@example.com"], "rows": True},
    "max_uploads": 5,
    "max_collects": 6,
    "work_days": 60,
    "ledger_days": 30,
    "subscription_filter": 'attributes.kind = "generation"',
    "paused": True,
    "limits": {
        "max_active_jobs": 1,
        "max_rows": 2,
        "max_bytes": 3,
        "part_rows": 6,
        "part_bytes": 7,
        "max_rows_per_day": 4,
        "max_bytes_per_day": 5,
    },
    "rows": {
        "on_invalid": "skip",
        "max_invalid": 3,
        "fix": True,
        "unknown": "allow",
        "generation_config": {"temperature": 0.5},
    },
    "policies": {
        "cancel_after": 80000,
        "delete_after": 86400,
        "stalled_after": {"PENDING": 259200, "RUNNING": 3600},
    },
    "results": "full",
    "failed_share": 0.2,
    "retries": {"retry": 3, "retry_on": ["malformed", "empty"], "retry_share": 0.5},
    "ceilings": {"max_cost": 2.5, "max_cost_per_day": 100},
    "estimates": {"answer_tokens": 300, "thinking_tokens": 100},
    "labels": {"team": "search", "env": "prod"},
    "models": ["gemini-4-argon", "publishers/meta/models/llama-x"],
    "sources": ["gs://rows/teams/search", "gs://other-project-drops-output"],
    "destinations": ["gs://results", "gs://rows/answers/"],
    "datasets": {
        "other-project.rows": "read",
        "elsewhere.answers": "write",
        "projects/other-project/locations/europe-west4/datasets/1": "read",
    },
    "protect": False,
    "alert_emails": ["oncall@example.com"],
    "kms_key": "projects/k/locations/europe-west4/keyRings/r/cryptoKeys/c",
    "backends": ["developer", "vertex"],
    "routes_file": "routes.toml",
    "prices_file": "prices.json",
    "cloud_build": "apply",
}


@pytest.fixture(scope="session")
def provider() -> Iterator[dict[str, str]]:
    """The environment in which Terraform finds the stand-in for Google's providers."""
    terraform.must_be_there()
    with serving(SCHEMA) as env:
        yield env


@pytest.fixture(scope="session")
def workspaces(
    provider: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Workspace]:
    """Makes a fresh copy of infra/ and functions/, to run Terraform in."""
    return lambda: terraform.copy(tmp_path_factory.mktemp("copy"), provider)


@pytest.fixture
def workspace(workspaces: Callable[[], Workspace]) -> Workspace:
    """A copy of infra/ and functions/ for this test alone."""
    return workspaces()


@pytest.fixture(scope="session")
def plan(workspaces: Callable[[], Workspace]) -> Plan:
    """What is made where nothing is chosen."""
    return Plan(workspaces().plan())


@pytest.fixture(scope="session")
def everything(workspaces: Callable[[], Workspace]) -> Plan:
    """What is made where all is chosen, of a code that can do all of it."""
    workspace = workspaces()
    (workspace.infra / "routes.toml").write_text(ROUTES)
    built_in = workspace.functions / "batchdrop/pricing/prices.json"
    (workspace.infra / "prices.json").write_bytes(built_in.read_bytes())
    return Plan(workspace.plan(**EVERYTHING), workspace.infra)
