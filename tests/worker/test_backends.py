"""One deployment over both APIs and several locations, as its routes say."""

from datetime import timedelta

import pytest

from batchdrop.jobs.codes import Phase
from tests.worker.world import GOOD, Wire, World

ROUTES = """
[[route]]
match = "gemini/**"
backend = "developer"

[[route]]
match = "europe/**"
location = "europe-west4"

[[route]]
match = "vectors/**"
model = "gemini-embedding-2"

[[route]]
match = "cheap/**"
backend = "developer"
model = "gemini-embedding-2"
"""
VECTOR = '{"text":"a"}\n'


@pytest.fixture
def routed(world: World) -> World:
    world.choose(ROUTES, api_key="key-of-tests")
    return world


def test_every_route_ends_in_results(routed: World) -> None:
    drops = {
        name: routed.upload(
            VECTOR if name in ("vectors", "cheap") else GOOD, f"{name}/x.jsonl"
        )
        for name in ("gemini", "europe", "vectors", "cheap", "other")
    }
    for drop in drops.values():
        routed.worker.take(drop)

    for drop in drops.values():
        routed.until_over(drop)

    jobs = {name: routed.job(drop) for name, drop in drops.items()}
    assert {name: job.phase for name, job in jobs.items()} == dict.fromkeys(
        drops, Phase.ENDED
    )
    assert {name: job.endpoint for name, job in jobs.items()} == {
        "gemini": "developer",
        "europe": "vertex europe-west4",
        "vectors": "vertex us-central1",
        "cheap": "developer",
        "other": "vertex us-central1",
    }
    kinds = {name: job.spec.kind for name, job in jobs.items() if job.spec}
    assert kinds["vectors"] == kinds["cheap"] == "embedding"
    assert kinds["other"] == kinds["gemini"] == "generation"
    assert (
        sorted(one.type for one in routed.announced)
        == ["dev.batchdrop.job.succeeded.v1"] * 5
    )
    objects = [
        blob.name for blob in routed.gcs.list_blobs(routed.settings.output.bucket)
    ]
    for name in drops:
        assert [one for one in objects if one.startswith(f"{name}/x.jsonl/")] != []


def test_an_endpoint_that_does_not_answer_blocks_no_other(routed: World) -> None:
    drops = [routed.upload(GOOD, f"{name}/x.jsonl") for name in ("europe", "other")]
    for drop in drops:
        routed.worker.take(drop)
    routed.advance(timedelta(minutes=20))
    # The places are listed in the order of their names.
    routed.wire.lists = [Wire.says(503)]

    with pytest.raises(ExceptionGroup):
        routed.tick()

    europe, other = map(routed.job, drops)
    assert (europe.phase, other.phase) == (Phase.SUBMITTED, Phase.ENDED)
    assert europe.health is None

    routed.ticks(1)
    assert routed.job(drops[0]).phase is Phase.ENDED


def test_a_job_of_a_route_that_is_gone_is_followed_all_the_same(
    routed: World,
) -> None:
    drop = routed.upload(GOOD, "europe/x.jsonl")
    routed.worker.take(drop)
    routed.choose("")

    routed.until_ended()

    assert routed.job(drop).phase is Phase.ENDED


def test_a_queue_that_is_full_holds_up_no_other(world: World) -> None:
    world.choose(
        '[[route]]\nmatch = "few/**"\nmax_active = 1\nmodel = "gemini-4-argon"\n'
        '[[route]]\nmatch = "many/**"\nmax_active = 3\n'
    )
    few = [world.upload(GOOD, f"few/{n}.jsonl") for n in range(2)]
    many = [world.upload(GOOD, f"many/{n}.jsonl") for n in range(3)]
    free = world.upload(GOOD, "free.jsonl")
    for drop in (*few, *many, free):
        world.worker.take(drop)

    world.ticks(2)

    phases = [world.job(drop).phase for drop in few]
    assert phases.count(Phase.SUBMITTED) == 1
    # What has no cap of its own counts too, where the queue is the same.
    phases = [world.job(drop).phase for drop in many]
    assert phases.count(Phase.SUBMITTED) == 2
    assert world.job(free).phase is Phase.SUBMITTED


@pytest.mark.proof
def test_a_queue_whose_batches_vanish_affects_no_other(
    routed: World,
) -> None:
    """A tenth of a queue, not of all jobs: the others are many and fine."""
    lost = [routed.upload(GOOD, f"europe/{n}.jsonl") for n in range(2)]
    fine = [routed.upload(GOOD, f"other/{n}.jsonl") for n in range(30)]
    for drop in (*lost, *fine):
        routed.worker.take(drop)
    routed.sim.faults.add("vanished", match={"display_name": "europe/*"})

    routed.ticks(3)

    health = [routed.job(drop).health for drop in lost]
    assert [one.code for one in health if one] == ["not_visible"] * 2
    assert routed.job(fine[0]).health is None
