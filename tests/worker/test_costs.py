"""
What a job has cost, from its answers, in its document and its announcement.

The stand-in counts a token for every four bytes of a text. Prices are in dollars for a
million tokens, so a token costs as many millionths.
"""

import json
from typing import Any

import pytest

from batchdrop import wiring
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Cost
from tests.worker.backends import DEVELOPER
from tests.worker.collecting import collected, lines, question, submit
from tests.worker.world import World

#: 1,000 rows that ask for the same: 3 tokens.
ASKED = lines([question(1)] * 1000)

OWN = {
    "as_of": "2026-01-31",
    "currency": "EUR",
    "sources": {"contract": {"what": "our contract", "read": "2026-01"}},
    "prices": [
        {
            "models": ["gemini-3.8-flash"],
            "input": 1,
            "output": 10,
            "elsewhere": 1,
            "sources": ["contract"],
        }
    ],
}


def tokens(world: World, job: Job) -> tuple[int, int]:
    """The tokens of prompts and of answers, counted in the results."""
    found = [one["usage"] for one in world.results(job)]
    return sum(one["prompt"] for one in found), sum(one["output"] for one in found)


def announced(world: World) -> Any:
    return json.loads(world.announced[-1].body)["cost"]


def test_a_job_on_vertex_ai_costs_its_tokens_in_its_location(world: World) -> None:
    job = collected(world, submit(world, ASKED))

    assert world.settings.location == "us-central1"
    assert tokens(world, job) == (3000, 3000)
    # Outside `global`, x 1.1: 3,000 x 0.4125 = 1,237.5 and 3,000 x 2.0625 = 6,187.5;
    # each is rounded half to even.
    micros = 1238 + 6188
    assert job.cost == Cost(micros=micros, currency="USD", prices_as_of="2026-11-28")
    assert job.no_cost is None
    assert announced(world) == {
        "micros": micros,
        "currency": "USD",
        "prices_as_of": "2026-11-28",
    }


@DEVELOPER
def test_a_job_on_the_developer_api_costs_its_tokens(world: World) -> None:
    job = collected(world, submit(world, ASKED))

    assert tokens(world, job) == (3000, 3000)
    micros = 1125 + 5625  # 3,000 x 0.375 and 3,000 x 1.875
    assert job.cost == Cost(micros=micros, currency="USD", prices_as_of="2026-11-28")
    assert announced(world)["micros"] == micros


def test_a_deployments_own_price_list_counts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = world.gcs.bucket(world.settings.output.bucket)
    bucket.blob("prices.json").upload_from_string(json.dumps(OWN))
    world.choose(prices=f"gs://{bucket.name}/prices.json")
    monkeypatch.setattr(wiring, "settings", lambda: world.settings)
    monkeypatch.setattr(wiring, "storage", lambda: world.storage)
    # Itself, and not what is kept of an earlier call.
    world.prices = wiring.prices.__wrapped__()

    job = collected(world, submit(world, ASKED))

    assert tokens(world, job) == (3000, 3000)
    # 3,000 x 1 + 3,000 x 10
    assert job.cost == Cost(micros=33_000, currency="EUR", prices_as_of="2026-01-31")


def test_rows_that_failed_cost_nothing(world: World) -> None:
    world.sim.faults.add("row_failed", count=1000, match={"row_text": "question"})

    job = collected(world, submit(world, ASKED))

    assert job.rows.failed == 1000
    assert job.cost is not None
    assert job.cost.micros == 0
