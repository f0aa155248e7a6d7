"""What a job is estimated to use and cost, in its document, once it is staged."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from batchdrop.cli import main
from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Cost, Estimate
from batchdrop.pricing import Prices
from batchdrop.rows import Tokens
from tests.there import there
from tests.worker.backends import BOTH, DEVELOPER
from tests.worker.collecting import lines, question
from tests.worker.dying import Killed, failpoints
from tests.worker.world import GOOD, World

#: 1,000 rows that ask for the same: 3 tokens.
ASKED = lines([question(1)] * 1000)


def staged(world: World, text: str = ASKED, **options: Any) -> Job:
    world.choose(paused=True, **options)
    drop = world.upload(text)
    world.worker.take(drop)
    return world.job(drop)


def micros(job: Job) -> int:
    return there(there(job.estimate).cost).micros


def test_a_job_has_an_estimate_of_its_tokens_and_cost(world: World) -> None:
    job = staged(world, answer_tokens=10, thinking_tokens=5)

    # Outside `global`, x 1.1: 3,000 x 0.4125 + 15,000 x 2.0625 = 1,237.5 + 30,937.5;
    # each is rounded half to even.
    assert job.estimate == Estimate(
        tokens=Tokens(prompt=3000, output=10_000, thoughts=5000),
        cost=Cost(micros=1238 + 30_938, currency="USD", prices_as_of="2026-11-28"),
    )


@DEVELOPER
def test_a_job_on_the_developer_api_is_estimated_at_its_prices(world: World) -> None:
    assert micros(staged(world, answer_tokens=10)) == 1125 + 18_750


def test_a_route_sets_how_long_its_answers_are_estimated_to_be(world: World) -> None:
    job = staged(world, routes='[[route]]\nmatch = "**"\nanswer_tokens = 7\n')

    assert there(job.estimate).tokens.output == 7000


def test_a_job_without_a_price_has_an_estimate_of_its_tokens_and_says_why(
    world: World,
) -> None:
    world.prices = Prices.load(
        b'{"as_of": "2026-01-31", "currency": "USD", "sources": {}, "prices": []}'
    )

    estimate = there(staged(world, answer_tokens=1).estimate)

    assert estimate == Estimate(
        tokens=Tokens(prompt=3000, output=1000),
        no_cost="the prices of 2026-01-31 have none for gemini-3.8-flash",
    )


@BOTH
def test_the_estimate_of_a_split_job_is_the_sum_over_its_parts(world: World) -> None:
    job = staged(world, part_rows=300)

    parts = [there(world.ledger.get(id)) for id in job.parts]
    assert len(parts) == 4
    assert job.estimate == Estimate.total(there(part.estimate) for part in parts)
    assert there(job.estimate).tokens.prompt == pytest.approx(3000, abs=4)
    assert len({micros(part) for part in parts}) == 2  # of 300 rows, and of 100


def test_a_check_before_the_drop_estimates_what_the_job_does(
    world: World, tmp_path: Path
) -> None:
    estimate = there(staged(world, answer_tokens=40, thinking_tokens=9).estimate)
    file = tmp_path / "rows.jsonl"
    file.write_text(ASKED)
    command = ["check", str(file), "--json", "--location", world.settings.location]

    done = CliRunner().invoke(
        main, [*command, "--answer-tokens", "40", "--thinking-tokens", "9"]
    )

    found = json.loads(done.stdout)["estimate"]
    cost = there(estimate.cost)
    assert found["cost"] == {
        "micros": cost.micros,
        "currency": "USD",
        "prices_as_of": "2026-11-28",
    }
    assert found["tokens"]["prompt"] == estimate.tokens.prompt
    assert found["tokens"]["thoughts"] == 9000


def test_a_worker_that_takes_over_keeps_the_estimates_of_the_parts(
    world: World,
) -> None:
    def failpoint(name: str) -> None:
        if name == "after_part":
            raise Killed

    world.choose(part_rows=1)
    drop = world.upload(GOOD * 3)
    with failpoints(failpoint), pytest.raises(Killed):
        world.worker.take(drop)
    [before] = world.job(drop).parts.values()

    world.prices = Prices.load(
        b'{"as_of": "2030-01-31", "currency": "USD", "sources": {}, "prices": []}'
    )
    world.advance(world.timing.lease)
    world.tick()

    job = world.job(drop)
    assert job.dropped == 0
    assert job.parts[job.part_id(0)].estimate == before.estimate
    assert there(job.estimate).no_cost is not None


def test_a_job_of_a_table_has_no_estimate(world: World) -> None:
    world.choose(datasets=("p.d",))
    drop = world.upload(json.dumps({"src": "bq://p.d.t"}), "table.job.json")

    world.worker.take(drop)

    job = world.job(drop)
    assert job.phase is Phase.SUBMITTED
    assert job.estimate is None


def test_a_lost_ledger_gets_the_estimate_back(world: World) -> None:
    drop = world.upload(ASKED)
    world.worker.take(drop)
    before = world.job(drop).estimate
    for document in world.database.collection("jobs").list_documents():
        document.delete()

    world.worker.take(drop)

    assert world.job(drop).estimate == before
    assert before is not None
