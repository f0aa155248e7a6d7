"""The checks check themselves: what must not pass doesn't."""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.infra import agreement, policy
from tests.infra.mistakes import MISTAKES, TEST, VALIDATE, Copy, Mistake, copies
from tests.infra.plan import Plan
from tests.infra.terraform import TerraformError, Workspace

#: Each mistake is planned: minutes in all.
pytestmark = pytest.mark.proof

POLICY = {rule.__name__: rule for rule in policy.RULES}
AGREEMENT = {rule.__name__: rule for rule in agreement.RULES}
#: So that the parts are there which mistakes are made in.
CHOICES = {
    "readers": ["group:analysts@example.com", "user:ada@example.com"],
    "operators": ["group:oncall@example.com"],
    "dashboard": {"access": "iap"},
    "prices_file": "../functions/batchdrop/pricing/prices.json",
    "cloud_build": "apply",
    "backends": ["vertex", "developer"],
    "sources": ["gs://rows/search"],
    "destinations": ["gs://results/search"],
    "datasets": {"example-project.rows": "read", "example-project.answers": "write"},
}


def said_about(copy: Copy, workspace: Workspace) -> dict[str, str]:
    """For each mistake of a copy, what the one says who should notice it."""
    for name, text in copy.files.items():
        if name != "backend.tf":
            (workspace.infra / name).write_text(text)
    try:
        if (by := copy.mistakes[0].noticed_by) in (VALIDATE, TEST):
            said = workspace.run(*by.split())
            return {mistake.what: said for mistake in copy.mistakes}
        plan = Plan(workspace.plan(**CHOICES))
    except TerraformError as exc:
        # Terraform breaks its lines, and frames them.
        said = " ".join(str(exc).replace("│", " ").split())
        return {mistake.what: said for mistake in copy.mistakes}
    return {
        mistake.what: "\n".join(
            POLICY[mistake.noticed_by](plan)
            if mistake.noticed_by in POLICY
            else AGREEMENT[mistake.noticed_by](plan, workspace.functions)
        )
        for mistake in copy.mistakes
    }


@pytest.fixture(scope="module")
def said(workspaces: Callable[[], Workspace]) -> Mapping[str, str]:
    """The message about each mistake."""
    made = [(copy, workspaces()) for copy in copies()]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda each: said_about(*each), made)
        return {what: text for each in found for what, text in each.items()}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda each: each.what)
def test_each_mistake_is_reported(said: Mapping[str, str], mistake: Mistake) -> None:
    assert mistake.says in said[mistake.what]


def test_every_rule_notices_something() -> None:
    silent = {*POLICY, *AGREEMENT} - {mistake.noticed_by for mistake in MISTAKES}

    # The stand-in knows members only; this one has a test of its own.
    assert silent == {"no_grant_replaces_others"}
