"""infra/*.tf is written well and can be planned; nothing can be chosen too soon."""

import gzip
import json
import re
import shutil
from pathlib import Path

import pytest

from batchdrop.options import readers
from batchdrop.options.routes import Routes, endpoints
from batchdrop.options.settings import Settings
from batchdrop.options.table import ENVIRONMENT, PREFIX, options
from batchdrop.preflight.retirements import retirement
from tests.infra import agreement, code, policy
from tests.infra.conftest import EVERYTHING, ROUTES, SCHEMA
from tests.infra.plan import Plan
from tests.infra.terraform import INFRA, TerraformError, Workspace, must_be_there
from tests.often import mostly

TEXT = "".join(path.read_text() for path in sorted(INFRA.glob("*.tf")))
OWN_TESTS = sorted(path.name for path in INFRA.glob("tests/*.tftest.hcl"))


def test_it_is_formatted(workspace: Workspace) -> None:
    shutil.copy(INFRA / "backend.tf", workspace.infra)

    assert workspace.run("fmt", "-check", "-diff", "-recursive") == ""


def test_it_is_valid(workspace: Workspace) -> None:
    found = json.loads(workspace.run("validate", "-json"))

    assert found["valid"]
    assert found["diagnostics"] == []


# Each run of the other file is a plan of its own.
@pytest.mark.parametrize("file", mostly("wiring.tftest.hcl", also=OWN_TESTS))
def test_its_own_tests_pass(workspace: Workspace, file: str) -> None:
    said = workspace.run("test", f"-filter=tests/{file}")

    assert re.search(r"Success! [1-9]\d* passed, 0 failed", said)


def test_they_refuse_each_variable_that_can_be_wrong() -> None:
    checked = re.findall(
        r'^variable "(\w+)" \{(?:(?!^\}).)*?validation \{', TEXT, re.M | re.S
    )
    refused = (INFRA / "tests/choices.tftest.hcl").read_text()

    assert set(re.findall(r"^    var\.(\w+),$", refused, re.M)) == set(checked)


def test_the_state_is_in_a_bucket_that_is_named_at_init() -> None:
    text = (INFRA / "backend.tf").read_text()

    assert re.search(r'backend "gcs" \{', text)
    assert "bucket " not in re.sub(r"#.*", "", text)


def test_versions_are_bounded() -> None:
    assert 'required_version = ">= 1.11"' in TEXT
    assert re.findall(r'version = "([^"]*)"', TEXT).count("~> 8.0") == 2


def test_each_variable_and_output_has_a_description() -> None:
    blocks = re.findall(r'^(variable|output) "(\w+)" \{$(.*?)^\}$', TEXT, re.M | re.S)

    assert len(blocks) > 20
    for kind, name, body in blocks:
        assert re.search(r'^  description = "[A-Z].{10,}\."$', body, re.M), (kind, name)


def test_each_variable_that_can_be_wrong_is_checked() -> None:
    blocks = re.findall(r'^variable "(\w+)" \{$(.*?)^\}$', TEXT, re.M | re.S)

    for name, body in blocks:
        anything_goes = re.search(r"type +=\s+bool$", body, re.M)
        assert anything_goes or "validation {" in body, name


def test_the_stand_in_knows_all_types_that_are_used() -> None:
    used = set(re.findall(r'^(?:resource|data) "(\w+)"', TEXT, re.M))
    schemas = json.loads(gzip.decompress(SCHEMA.read_bytes()))["provider_schemas"]
    known = {
        name
        for schema in schemas.values()
        for kind in ("resource_schemas", "data_source_schemas")
        for name in schema[kind]
    }

    assert used == known, "run infra/tests/schema/make_schema.py"


def test_the_example_of_choices_is_one(workspace: Workspace) -> None:
    example = (workspace.infra / "terraform.tfvars.example").read_text()
    # With the optional lines too.
    (workspace.infra / "terraform.tfvars").write_text(
        re.sub(r"(?m)^# (?=\w+ +=)", "", example)
    )

    assert "Plan:" in workspace.run("plan", "-input=false")


def test_a_plan_warns_of_models_that_a_backend_retires(workspace: Workspace) -> None:
    (workspace.infra / "routes.toml").write_text(
        '[[route]]\nmatch = "x/**"\nmodel = "gemini-2.5-pro"\n'
    )

    plan = workspace.plan(
        model="publishers/google/models/gemini-2.0-flash-001",
        models=["gemini-3.5-flash", "gemini-3.5-flash-lite"],
        backends=["vertex", "developer"],
        routes_file="routes.toml",
    )

    (check,) = [each for each in plan["checks"] if each["address"]["kind"] == "check"]
    ((problem,),) = [each["problems"] for each in check["instances"]]
    assert sorted(problem["message"].splitlines()) == sorted(
        str(retirement(model, backend))
        for model, backend in [
            ("gemini-2.0-flash", "vertex"),
            ("gemini-2.0-flash", "developer"),
            ("gemini-3.5-flash", "developer"),
            ("gemini-2.5-pro", "vertex"),
            ("gemini-2.5-pro", "developer"),
        ]
    )


def test_the_default_plan_warns_of_nothing(plan: Plan) -> None:
    assert set(plan.checks) == {"pass"}


@pytest.mark.proof
def test_a_plan_with_models_of_today_warns_of_nothing(workspace: Workspace) -> None:
    # The Developer API alone answers gemini-3.5-flash with another model.
    plan = Plan(workspace.plan(models=["gemini-3.5-flash", "gemini-embedding-001"]))

    assert set(plan.checks) == {"pass"}


@pytest.mark.parametrize(
    ("backends", "routes"),
    # The plan with all choices has both, the default one Vertex AI alone.
    mostly(
        (["developer"], ""),
        also=[
            (
                ["vertex", "developer"],
                '[[route]]\nmatch = "x/**"\nbackend = "developer"\n',
            ),
            (
                ["developer", "vertex"],
                '[[route]]\nmatch = "x/**"\nbackend = "vertex"\n',
            ),
        ],
    ),
    ids=lambda each: "-".join(each) if isinstance(each, list) else "",
)
def test_batches_go_to_either_backend_or_to_both(
    workspace: Workspace, backends: list[str], routes: str
) -> None:
    (workspace.infra / "routes.toml").write_text(routes)

    plan = Plan(
        workspace.plan(backends=backends, routes_file="routes.toml"), workspace.infra
    )

    assert list(policy.each_account_has_exactly_its_roles(plan)) == []
    for function in plan.of("google_cloudfunctions2_function"):
        settings = Settings.from_env(agreement.environment(function))
        assert settings.backend == backends[0]
        Routes.parse(routes.encode(), "routes.toml").check(settings)


@pytest.mark.parametrize(
    ("routes", "said"),
    mostly(
        (
            '[[route]]\nmatch = "x"\nbackend = "developer"\ndestination = "gs://a/*/"\n',
            ("not among the backends", "on a line of its own"),
        ),
        also=[
            (
                'route = [{match = "x", destination = "gs://a/b/"}]',
                ("on a line of its own",),
            )
        ],
    ),
)
def test_routes_that_nothing_could_be_granted_for_are_refused(
    workspace: Workspace, routes: str, said: tuple[str, ...]
) -> None:
    (workspace.infra / "routes.toml").write_text(routes)

    with pytest.raises(TerraformError) as caught:
        workspace.plan(routes_file="routes.toml")

    text = " ".join(str(caught.value).replace("│", " ").split())
    assert [part for part in said if part not in text] == []


def test_what_is_chosen_here_is_what_the_worker_reads(everything: Plan) -> None:
    poll = everything.at('google_cloudfunctions2_function.this["poll"]')
    settings = Settings.from_env(agreement.environment(poll))
    routes = Routes.parse(ROUTES.encode(), "routes.toml")

    routes.check(settings)
    assert settings.labels == EVERYTHING["labels"]
    assert set(settings.models) == {"gemini-4-argon", "publishers/meta/models/llama-x"}
    assert set(map(str, settings.sources)) == {
        "gs://rows/teams/search/",
        "gs://other-project-drops-output/",
    }
    assert set(map(str, settings.destinations)) == {
        "gs://results/",
        "gs://rows/answers/",
    }
    assert set(settings.datasets) == {
        "elsewhere.answers",
        "other-project.rows",
        "projects/other-project/locations/europe-west4/datasets/1",
    }
    assert settings.stalled_after == {
        "JOB_STATE_PENDING": 259200,
        "JOB_STATE_RUNNING": 3600,
    }
    assert (settings.part_rows, settings.part_bytes) == (6, 7)
    assert (settings.results, settings.failed_share) == ("full", 0.2)
    assert (settings.retry, settings.retry_share) == (3, 0.5)
    assert set(settings.retry_on) == {"malformed", "empty"}
    assert endpoints(settings, routes) == {
        ("developer", "global"),
        ("vertex", "us-central1"),
    }


def test_a_function_is_added_by_its_entry_alone(workspace: Workspace) -> None:
    file = workspace.infra / "functions.tf"
    entry = """\
    audit = {
      description = "Hears which jobs are collected"
      trigger     = "work"
      schedule    = null
      timeout     = 540
      memory      = "1Gi"
      cpu         = "1"
      concurrency = 1
      instances   = 5
      buckets     = { output = ["roles/storage.objectUser"] }
      batches     = false
      publishes   = []
      environment = {}

      developer_key = false
    }
    poll = {
"""
    file.write_text(file.read_text().replace("    poll = {\n", entry, 1))
    main = workspace.functions / "main.py"
    main.write_text(
        f"{main.read_text()}\n\n@functions_framework.cloud_event\n"
        "def audit(event: CloudEvent) -> None: ...\n"
    )

    plan = Plan(workspace.plan())

    added = plan.at('google_cloudfunctions2_function.this["audit"]')
    event = added.block("event_trigger")
    assert event["event_type"] == "google.cloud.pubsub.topic.v1.messagePublished"
    assert list(agreement.entry_points_exist(plan, workspace.functions)) == []
    found = set(policy.each_account_has_exactly_its_roles(plan))
    assert found == {
        "audit has roles/datastore.user on the project: the ledger alone, "
        "which nothing here needs",
        "audit has roles/storage.objectUser on bucket output, which nothing here needs",
        "eventarc has roles/run.invoker on function audit, which nothing here needs",
    }


def test_all_parts_together_keep_the_code_and_infra_in_agreement(
    everything: Plan,
) -> None:
    for rule in (
        agreement.entry_points_exist,
        agreement.labels_are_the_workers,
        agreement.metrics_count_lines_that_are_logged,
        agreement.queries_have_their_indexes,
        agreement.filters_name_attributes,
        agreement.what_a_message_asks_for_is_granted,
    ):
        assert list(rule(everything, code.FUNCTIONS)) == []


def test_every_setting_of_the_code_can_be_chosen(everything: Plan) -> None:
    for function in everything.of("google_cloudfunctions2_function"):
        env = agreement.environment(function)
        table = {option.variable for option in options(ENVIRONMENT)}

        assert {name for name in env if name.startswith(PREFIX)} <= table
        # Other addresses are for the local stack and tests; a key is for the Developer
        # API; no other function has what is the pages' alone.
        rest = {"BATCHDROP_API_URL", "BATCHDROP_DASHBOARD_KEYS", "GEMINI_API_KEY"}
        missing = table - set(env) - rest
        of_pages = {name for name in table if name.startswith(agreement.OF_PAGES)}
        assert missing == (set() if function.key == "dashboard" else of_pages - rest)


def test_results_are_made_by_default_as_the_table_has_it(plan: Plan) -> None:
    table = {option.setting: option.default for option in options(ENVIRONMENT)}

    for function in plan.of("google_cloudfunctions2_function"):
        settings = Settings.from_env(agreement.environment(function))
        assert settings.results == table["results"]
        assert settings.failed_share == table["failed_share"]


def test_the_deployments_durations_are_the_defaults_of_the_table(plan: Plan) -> None:
    for function in plan.of("google_cloudfunctions2_function"):
        env = agreement.environment(function)
        durations = {
            option.variable: option.default
            for option in options(ENVIRONMENT)
            if option.type is readers.SECONDS
        }

        assert {name: float(env[name]) for name in durations} == durations


@pytest.mark.parametrize(
    ("variable", "types"),
    [
        ("limits", {"number": readers.LIMIT}),
        ("estimates", {"number": readers.COUNT}),
        ("ceilings", {"number": readers.AMOUNT}),
        (
            "policies",
            {"number": readers.SECONDS_OR_NEVER, "any": readers.STALLED_AFTER},
        ),
        (
            "rows",
            {"number": readers.LIMIT, "bool": readers.SWITCH, "any": readers.CONFIG},
        ),
    ],
)
def test_what_terraform_takes_is_what_the_table_takes(
    variable: str, types: dict[str, readers.Type]
) -> None:
    """Each member is an option of that type; those without a type here are words."""
    block = re.search(rf'^variable "{variable}" \{{(.*?)^\}}', TEXT, re.M | re.S)
    assert block is not None
    table = {option.setting: option.type for option in options(ENVIRONMENT)}

    members = re.findall(r"(\w+)\s*= optional\((\w+)\)", block[1])

    assert len(members) > 1
    for name, kind in members:
        if kind == "string":
            listed = re.search(rf"contains\((\[[^]]*\]), [^\n]*\.{name}", block[1])
            assert listed is not None
            assert table[name].words == " or ".join(
                f"`{word}`" for word in json.loads(listed[1])
            )
        else:
            assert table[name] is types[kind], name


def test_the_states_that_terraform_takes_are_those_that_can_stall() -> None:
    [listed] = re.findall(r"contains\((\[\"UNSPECIFIED[^]]*\]), state\)", TEXT)

    assert tuple(json.loads(listed)) == readers.STATES


def test_without_terraform_these_tests_are_skipped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CI", raising=False)

    with pytest.raises(pytest.skip.Exception, match="Terraform is not on the PATH"):
        must_be_there()


def test_without_terraform_these_tests_fail_on_ci(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", "true")

    with pytest.raises(pytest.fail.Exception, match="Terraform is not on the PATH"):
        must_be_there()
