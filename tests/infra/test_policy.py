"""What must hold of any plan holds of ours, whatever is chosen."""

import pytest

from tests.infra import agreement, code, policy, queries
from tests.infra.plan import Plan


@pytest.mark.parametrize("rule", policy.RULES, ids=lambda rule: rule.__name__)
def test_where_nothing_is_chosen(plan: Plan, rule: policy.Rule) -> None:
    assert list(rule(plan)) == []


@pytest.mark.parametrize("rule", policy.RULES, ids=lambda rule: rule.__name__)
def test_where_everything_is_chosen(everything: Plan, rule: policy.Rule) -> None:
    assert list(rule(everything)) == []


@pytest.mark.parametrize("rule", agreement.RULES, ids=lambda rule: rule.__name__)
def test_infra_agrees_with_the_code(plan: Plan, rule: agreement.Rule) -> None:
    assert list(rule(plan, code.FUNCTIONS)) == []


@pytest.mark.after_all_others
def test_every_query_of_the_whole_run_has_its_index(plan: Plan) -> None:
    asked = queries.seen | code.ledger_queries()

    assert list(agreement.queries_have_their_indexes(plan, asked=asked)) == []


def test_the_ledgers_queries_are_found_by_asking_it() -> None:
    found = {str(query) for query in code.ledger_queries()}

    assert (
        "announcements(published_at ==, set_aside_at ==, created_at ascending)" in found
    )
    assert "jobs(phase ==, due ascending)" in found
    assert "jobs(phase ==)" in found


def test_a_policy_in_place_of_a_member_is_noticed() -> None:
    # The stand-in doesn't know this type, so that no plan of ours could have it.
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
