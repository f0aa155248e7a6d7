"""Our plans keep the rules for any plan, whatever a deployer chooses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchdrop.ledger import Ledger
from tests.infra import agreement, code, policy, queries
from tests.infra.plan import Plan


@pytest.mark.parametrize("rule", policy.RULES, ids=lambda rule: rule.__name__)
def test_the_default_plan_keeps_the_rule(plan: Plan, rule: policy.Rule) -> None:
    assert list(rule(plan)) == []


@pytest.mark.parametrize("rule", policy.RULES, ids=lambda rule: rule.__name__)
def test_the_plan_with_all_choices_keeps_the_rule(
    everything: Plan, rule: policy.Rule
) -> None:
    assert list(rule(everything)) == []


@pytest.mark.parametrize("rule", agreement.RULES, ids=lambda rule: rule.__name__)
def test_infra_agrees_with_the_code(plan: Plan, rule: agreement.Rule) -> None:
    assert list(rule(plan, code.FUNCTIONS)) == []


def test_the_ledgers_queries_are_found_by_calling_its_methods() -> None:
    found = {str(query) for query in code.ledger_queries()}

    assert (
        "announcements(published_at ==, set_aside_at ==, created_at ascending)" in found
    )
    assert "jobs(phase ==, due ascending)" in found
    assert "jobs(phase ==)" in found
    # The query with an optional argument.
    assert "jobs(phase ==, queue ==)" in found


class Asker:
    """A class that queries Firestore in one method, which calls others."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect

    def oldest(self, queue: str | None = None) -> list[Any]:
        return self._sorted(self._of(queue))

    def get(self, id: str) -> Any:
        return self._connect().collection("jobs").document(id).get()

    def _of(self, queue: str | None) -> Any:
        query = self._connect().collection("jobs")
        return query.where("queue", "==", queue) if queue else query

    def _sorted(self, query: Any) -> list[Any]:
        return list(query.order_by("due").get())


@pytest.mark.filterwarnings("ignore:Detected filter using positional arguments")
def test_a_query_is_found_through_called_methods_and_optional_arguments() -> None:
    assert {str(query) for query in queries.of_class(Asker, Asker)} == {
        "jobs(due ascending)",
        "jobs(queue ==, due ascending)",
    }


def test_only_the_ledger_sends_queries() -> None:
    files = code.FUNCTIONS.rglob("*.py")

    assert queries.asking_elsewhere(files, Ledger) == []


def test_a_query_outside_the_class_is_found() -> None:
    assert len(queries.asking_elsewhere([Path(__file__)], Ledger)) == 2


def test_an_iam_policy_in_place_of_a_member_is_found() -> None:
    # The stand-in provider doesn't know this type, so no plan of ours can have it.
    resource = {
        "address": "google_project_iam_policy.all",
        "type": "google_project_iam_policy",
        "values": {"policy_data": "{}"},
    }
    plan = Plan(
        {
            "planned_values": {"root_module": {"resources": [resource]}},
            "configuration": {"root_module": {"resources": []}},
            "variables": {},
        }
    )

    assert list(policy.no_grant_replaces_others(plan)) == [
        "google_project_iam_policy.all takes away grants of others; use an _iam_member"
    ]
