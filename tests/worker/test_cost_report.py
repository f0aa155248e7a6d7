"""`batchdrop costs`: sums that Firestore makes of what jobs have cost."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from click.testing import CliRunner, Result

from batchdrop import wiring
from batchdrop.cli import main
from batchdrop.errors import Unavailable
from batchdrop.jobs.costs import RoundCost
from batchdrop.jobs.values import Usage
from batchdrop.ledger.cost_report import (
    Amount,
    CostReport,
    Group,
    Part,
    Selection,
    cost_report,
)
from batchdrop.ledger.documents import encode
from tests.worker.office import Office

NOVEMBER = date(2025, 11, 1), date(2025, 11, 30)

#: 2 of it are estimated at 4 millionths.
COST = RoundCost(
    v=1,
    job="a",
    round=0,
    part_of=None,
    source="gs://inbox/a.jsonl#1",
    day="2025-11-03",
    collected_at=datetime(2025, 11, 3, tzinfo=UTC),
    backend="vertex",
    location="global",
    model="flash",
    route="reviews",
    labels={"team": "search"},
    label_pairs=("team=search",),
    rows=1,
    usage=Usage(prompt=10, output=3, thoughts=2, total=15),
    prompt_tokens=10,
    answer_tokens=5,
    micros=2,
    currency="USD",
    prices_as_of="2025-01-01",
    no_cost=None,
    estimated=4,
    compared=True,
)


@pytest.fixture
def keep(office: Office, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes costs, each from COST and what differs."""
    monkeypatch.setattr(wiring, "ledger", lambda: office.ledger)

    def keep(**changes: object) -> None:
        cost = replace(COST, **changes)  # type: ignore[arg-type]
        office.database.collection("costs").document(f"{cost.job}-0").set(encode(cost))

    return keep


@pytest.fixture
def report(office: Office, keep: Callable[..., None]) -> Callable[..., CostReport]:
    """The report over November, when four jobs ended, and one before, one after."""
    keep()
    keep(job="b", day="2025-11-30", model="pro", route="", micros=7, estimated=6)
    keep(job="c", day="2025-11-03", labels={"team": "ads"}, label_pairs=["team=ads"])
    unknown: dict[str, object] = {
        "micros": None,
        "currency": "",
        "no_cost": "no price",
        "labels": {},
    }
    keep(job="d", **unknown, label_pairs=[], estimated=0, compared=False)
    keep(job="e", day="2025-10-31", micros=1000)
    keep(job="f", day="2025-12-01", micros=1000)

    def report(by: str, label: str | None = None) -> CostReport:
        since, until = NOVEMBER
        return cost_report(office.ledger, by=by, since=since, until=until, label=label)

    return report


def group(
    name: str, batches: int, micros: int, estimated: int, unknown: int = 0
) -> Group:
    amount = Amount(micros=micros, compared=micros, estimated=estimated)
    return Group(
        name=name,
        batches=batches,
        unknown=unknown,
        prompt_tokens=10 * batches,
        answer_tokens=5 * batches,
        amounts={"USD": amount} if batches > unknown else {},
    )


def test_costs_are_added_up_by_what_is_asked_for(
    report: Callable[..., CostReport],
) -> None:
    assert report("day").groups == [
        group("2025-11-03", 3, 4, 8, unknown=1),
        group("2025-11-30", 1, 7, 6),
    ]
    assert report("model").groups == [
        group("flash", 3, 4, 8, unknown=1),
        group("pro", 1, 7, 6),
    ]
    assert report("route").groups == [
        group("", 1, 7, 6),
        group("reviews", 3, 4, 8, unknown=1),
    ]
    assert report("label:team").groups == [
        group("ads", 1, 2, 4),
        group("search", 2, 9, 10),
    ]
    for by in ("day", "model", "route", "label:team"):
        assert report(by).total == group("total", 4, 11, 14, unknown=1)


def test_costs_can_be_of_all_days(
    office: Office, report: Callable[..., CostReport]
) -> None:
    found = cost_report(office.ledger, by="day", since=date.min, until=date.max)

    assert [each.name for each in found.groups] == [
        *("2025-10-31", "2025-11-03", "2025-11-30", "2025-12-01")
    ]


def test_a_label_selects_jobs(report: Callable[..., CostReport]) -> None:
    for by in ("day", "model", "route"):
        found = report(by, "team=search")
        assert found.total == group("total", 2, 9, 10)
        assert [each.amounts["USD"].micros for each in found.groups] in ([2, 7], [7, 2])


def test_currencies_are_not_mixed(
    report: Callable[..., CostReport], keep: Callable[..., None]
) -> None:
    keep(job="g", currency="EUR", micros=5, estimated=0, compared=False)

    total = report("model").total

    assert total.amounts["EUR"] == Amount(micros=5)
    assert total.amounts["EUR"].ratio is None
    assert total.amounts["USD"].micros == 11


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["costs", "--since", "2025-01-01", *arguments])


def test_the_table_says_of_how_many_batches_it_lacks_the_cost(
    keep: Callable[..., None],
) -> None:
    keep(micros=8_184_000, estimated=9_000_000)
    keep(job="d", micros=None, currency="", estimated=0, compared=False)

    lines = run("--by", "model").output.splitlines()

    rows = [line.split() for line in lines]
    assert ["flash", "2", "20", "10", "8.18", "USD", "0.91"] in rows
    assert ["total", "2", "20", "10", "8.18", "USD", "0.91"] in rows
    assert lines[-1] == (
        "The cost of 1 batch isn't known and in no sum; `batchdrop show` of the job "
        "says why."
    )


def test_groups_beyond_the_most_are_not_cut_without_a_word(
    report: Callable[..., CostReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not report("model").more
    monkeypatch.setattr("batchdrop.ledger.cost_report.MAX_GROUPS", 1)

    found = report("model")

    assert [each.name for each in found.groups] == ["flash"]
    assert found.more
    assert found.total.batches == 4
    assert "There are more groups than these 1.\n" in run("--by", "model").output


def test_costs_with_and_without_an_estimate_can_be_added_up_at_once(
    office: Office, keep: Callable[..., None]
) -> None:
    keep()
    keep(job="b", estimated=0, compared=False)
    asked = Selection(costs=office.ledger, since=NOVEMBER[0], until=NOVEMBER[1])

    found = asked.group("model", "flash", [Part(currency="USD", compared=None)])

    assert (found.batches, found.amounts) == (2, {"USD": Amount(micros=4)})


def test_json_has_whole_millionths(keep: Callable[..., None]) -> None:
    keep()

    found = json.loads(run("--by", "route", "--json").output)

    assert found["groups"] == [
        {
            "name": "reviews",
            "batches": 1,
            "unknown": 0,
            "prompt_tokens": 10,
            "answer_tokens": 5,
            "costs": [
                {
                    "currency": "USD",
                    "micros": 2,
                    "compared": 2,
                    "estimated": 4,
                    "ratio": 0.5,
                }
            ],
        }
    ]
    assert found["since"] == "2025-01-01"


def test_without_a_job_the_report_says_so(keep: Callable[..., None]) -> None:
    assert run().output == "no job has ended with results since 2025-01-01\n"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (["--since", "tomorrow"], "write days, such as 30d"),
        (["--by", "colour"], "write day, model, route or label:KEY"),
        (["--by", "label:a`b"], "write day, model, route or label:KEY"),
        (["--label", "team"], "write KEY=TEXT"),
    ],
)
def test_what_cant_be_asked_is_refused(given: list[str], text: str) -> None:
    result = run(*given)

    assert result.exit_code == 2
    assert text in result.output


def test_groups_of_one_label_are_refused(keep: Callable[..., None]) -> None:
    result = run("--by", "label:team", "--label", "team=ads")

    assert result.exit_code == 1
    assert "either a label or groups by label" in result.output


def test_a_ledger_that_gives_no_answer_is_named(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent() -> None:
        raise Unavailable("Firestore gave no answer")

    monkeypatch.setattr(wiring, "ledger", silent)

    assert run().output == "Error: Firestore gave no answer\n"
