"""The pages for deployers and operators agree with Terraform."""

import re

import pytest

from batchdrop.options.settings import Settings
from batchdrop.options.settings import variables as settings_variables
from tests.infra import rights
from tests.infra.plan import Plan
from tests.infra.terraform import INFRA, ROOT

DEPLOY = (ROOT / "docs/how-to/deploy.md").read_text()
OPERATE = (ROOT / "docs/how-to/operate.md").read_text()
COSTS = (ROOT / "docs/explanation/costs.md").read_text()
VARIABLES = (INFRA / "variables.tf").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", DEPLOY, re.M | re.S)


def variables() -> set[str]:
    return set(re.findall(r'^variable "(\w+)"', VARIABLES, re.M))


def test_the_table_of_rights_is_that_of_the_plan(plan: Plan) -> None:
    assert rights.put(DEPLOY, plan) == DEPLOY, "run python -m tests.infra.rights"
    assert len(rights.table(plan).splitlines()) > 20


def test_it_is_deployed_in_five_commands() -> None:
    block = next(each for each in BLOCKS if "buckets create" in each)

    assert len(block.splitlines()) == 5


def test_the_apply_sets_every_variable_without_a_default() -> None:
    blocks = re.findall(r'^variable "(\w+)" \{$(.*?)^\}$', VARIABLES, re.M | re.S)
    required = {name for name, body in blocks if "  default " not in body}
    apply = next(
        line for line in DEPLOY.splitlines() if "apply -var project_id" in line
    )

    assert set(re.findall(r"-var (\w+)=", apply)) == required


def test_the_variables_that_it_names_exist() -> None:
    commands = set(re.findall(r"-var (\w+)=", "".join(BLOCKS)))
    chosen = re.search(r"\| to \| set \|\n(.*?)\n\n", DEPLOY, re.S)
    assert chosen is not None
    named = set(re.findall(r"`(\w+)`", chosen[1]))

    assert len(named) > 5
    assert commands | named <= variables()


def test_the_outputs_that_it_names_exist(plan: Plan) -> None:
    named = set(re.findall(r"output -raw (\w+)", DEPLOY + OPERATE))

    assert len(named) > 2
    assert named <= set(plan.outputs)


def test_the_command_line_gets_a_whole_deployment_and_no_secret(
    everything: Plan,
) -> None:
    settings = everything.outputs["settings"]

    assert Settings.from_env({"GEMINI_API_KEY": "x"} | settings).database
    assert set(settings) <= settings_variables()


def test_the_resources_that_it_names_exist(everything: Plan) -> None:
    for target in re.findall(r"-target (\S+)", DEPLOY):
        assert any(each.address.startswith(target) for each in everything.resources)


def test_it_lists_exactly_the_alerts_of_the_plan(plan: Plan) -> None:
    listed = re.search(r"\| alert \| when \|\n\|---\|---\|\n(.*?)\n\n", OPERATE, re.S)
    assert listed is not None
    titles = re.findall(r"^\| ([^|]+) \|", listed[1], re.M)

    policies = plan.of("google_monitoring_alert_policy")
    assert {f"batchdrop: {title}" for title in titles} == {
        each.values["display_name"] for each in policies
    }


def test_each_alert_has_a_section_with_advice(plan: Plan) -> None:
    for policy in plan.of("google_monitoring_alert_policy"):
        title = policy.values["display_name"].removeprefix("batchdrop: ")
        assert f"\n## {title}\n" in OPERATE


@pytest.mark.parametrize(
    "heading",
    ["Deploy in five commands", "Update", "Roll back", "Tear down"],
)
def test_a_deployer_finds(heading: str) -> None:
    assert f"\n## {heading}\n" in DEPLOY


def test_a_deployer_finds_what_it_costs() -> None:
    assert COSTS.startswith("# Costs\n")
    assert "explanation/costs.md" in DEPLOY
