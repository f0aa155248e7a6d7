"""What the reports on cost add up: one document a round of a job."""

import json
from datetime import date, timedelta
from typing import Any

from batchdrop.jobs.costs import RoundCost
from batchdrop.jobs.values import Cost
from batchdrop.ledger.costs import Kept
from batchdrop.ledger.documents import decode
from batchdrop.pricing import Prices
from tests.there import there
from tests.worker.backends import BOTH
from tests.worker.collecting import collected, lines, question, questions, submit
from tests.worker.world import World

#: 1,000 rows that ask for the same: 3 tokens.
ASKED = lines([question(1)] * 1000)


def documents(world: World) -> list[dict[str, Any]]:
    found = world.database.collection("costs").stream()
    return [there(each.to_dict()) | {"name": each.id} for each in found]


def prices(**entry: Any) -> Prices:
    base = {
        "as_of": "2026-01-31",
        "currency": "USD",
        "sources": {"contract": {"what": "our contract", "read": "2026-01"}},
        "prices": [{"elsewhere": 1, "sources": ["contract"]} | entry],
    }
    return Prices.load(json.dumps(base).encode())


@BOTH
def test_a_job_leaves_one_document_of_what_it_has_cost(world: World) -> None:
    drop = submit(world, ASKED, labels={"team": "search", "tier": "gold"})

    job = collected(world, drop)

    (data,) = documents(world)
    cost, usage = there(job.cost), there(job.usage)
    ended = there(there(job.batch).end_time)
    expire_at = data.pop("expire_at")
    assert data.pop("name") == f"{job.id}-0"
    found = decode(data, RoundCost)
    assert found == RoundCost(
        v=1,
        job=job.id,
        round=0,
        part_of=None,
        source=str(drop),
        day=f"{ended:%Y-%m-%d}",
        collected_at=job.updated_at,
        backend=world.settings.backend,
        location=there(job.spec).location,
        model=world.settings.model,
        route="",
        labels={"team": "search", "tier": "gold"},
        label_pairs=("team=search", "tier=gold"),
        rows=1000,
        usage=usage,
        prompt_tokens=3000,
        answer_tokens=3000,
        micros=cost.micros,
        currency="USD",
        prices_as_of=cost.prices_as_of,
        no_cost=None,
        estimated=there(there(job.estimate).cost).micros,
        compared=True,
    )
    assert expire_at == job.updated_at + timedelta(days=400)


def test_a_job_of_a_route_names_it(world: World) -> None:
    world.choose(
        routes='[[route]]\nname = "reviews"\nmatch = ["*.jsonl"]\nmodel = '
        '"gemini-3.8-flash"\n'
    )

    collected(world, submit(world))

    assert [each["route"] for each in documents(world)] == ["reviews"]


def test_a_model_without_a_price_leaves_null_and_why(world: World) -> None:
    world.prices = prices(models=["another"], input=1, output=1)

    job = collected(world, submit(world))

    (data,) = documents(world)
    assert data["micros"] is None
    assert data["currency"] == ""
    assert data["no_cost"] == "the prices of 2026-01-31 have none for gemini-3.8-flash"
    assert (job.cost, job.no_cost) == (None, data["no_cost"])
    assert json.loads(world.announced[-1].body)["cost"] is None


def test_the_parts_of_a_split_file_have_the_documents_and_it_has_none(
    world: World,
) -> None:
    drop = submit(world, ASKED, part_rows=600, labels={"team": "search"})

    job = collected(world, drop)

    found = documents(world)
    assert sorted(one["job"] for one in found) == sorted(job.parts)
    assert {one["part_of"] for one in found} == {job.id}
    assert [one["label_pairs"] for one in found] == [["team=search"]] * 2
    # 600 x 3 tokens and 400 x 3, of prompts and of answers:
    # 1,800 x 0.4125 = 742.5, x 2.0625 = 3,712.5
    # 1,200 x 0.4125 = 495,   x 2.0625 = 2,475
    costs = sorted(one["micros"] for one in found)
    assert costs == [495 + 2475, 742 + 3712]
    assert sum(costs) == there(job.cost).micros
    parts = world.ledger.get_all(job.parts)
    assert sorted(there(part.cost).micros for part in parts) == costs


def test_results_that_are_off_leave_no_document(world: World) -> None:
    collected(world, submit(world, results="off"))

    assert documents(world) == []


def test_the_day_and_the_price_are_those_of_the_batchs_end(world: World) -> None:
    began = world.now().date()
    entry = {"models": ["gemini-3.8-flash"], "elsewhere": 1, "sources": ["contract"]}
    change = {
        "as_of": "2026-01-31",
        "currency": "USD",
        "sources": {"contract": {"what": "our contract", "read": "2026-01"}},
        "prices": [
            entry | {"until": f"{began}", "input": 1, "output": 1},
            entry | {"from": f"{began + timedelta(days=1)}", "input": 2, "output": 2},
        ],
    }
    world.prices = Prices.load(json.dumps(change).encode())
    now = world.now()
    midnight = now.replace(hour=0, minute=0, second=0) + timedelta(days=1)
    world.advance(midnight - now - timedelta(minutes=2))
    world.sim.faults.add("paused")  # for ten minutes
    drop = submit(world, ASKED)

    job = collected(world, drop)

    (data,) = documents(world)
    assert date.fromisoformat(data["day"]) > began
    assert data["estimated"] == there(there(job.estimate).cost).micros
    assert job.cost == Cost(
        micros=(3000 + 3000) * 2, currency="USD", prices_as_of="2026-01-31"
    )
    assert data["micros"] == there(job.cost).micros


def test_firestore_adds_up_costs_of_days_models_routes_and_labels(world: World) -> None:
    jobs = [
        collected(world, submit(world, questions(n), labels={"team": team}))
        for n, team in ((5, "search"), (7, "search"), (9, "ads"))
    ]

    today = f"{world.now():%Y-%m-%d}"
    kept = Kept(since=today, until=today, currency="USD", compared=True)
    whole = world.ledger.sums_of_days(kept)
    assert whole.rounds == 3
    assert type(whole.micros) is int
    assert whole.micros == sum(there(job.cost).micros for job in jobs)
    assert whole.prompt_tokens == sum(there(job.usage).prompt for job in jobs)
    assert whole.estimated > 0
    assert world.ledger.sums_of_model(kept, world.settings.model) == whole
    assert world.ledger.sums_of_route(kept, "") == whole
    assert list(world.ledger.values_in_costs("labels.`team`")) == ["ads", "search"]
    ads = world.ledger.sums_of_days(kept, "team=ads")
    assert (ads.rounds, ads.micros) == (1, there(jobs[2].cost).micros)
    assert world.ledger.sums_of_model(kept, "another", "team=ads").rounds == 0
    before = Kept(since="2020-01-01", until="2020-12-31", currency="USD", compared=True)
    assert world.ledger.sums_of_days(before).rounds == 0
