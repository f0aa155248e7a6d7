"""Two workers whose clocks differ by ten minutes: neither shuts out the other."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from batchdrop.jobs import Job
from batchdrop.records import Phase
from tests.worker.test_poller import state
from tests.worker.world import GOOD, Wire, World

TEN = timedelta(minutes=10)
MINUTE = timedelta(minutes=1)


@pytest.fixture(params=[TEN, -TEN], ids=["ahead", "behind"])
def other(world: World, request: pytest.FixtureRequest) -> Iterator[World]:
    """Another worker of the deployment, by another clock."""
    made = World(
        sim=world.sim,
        gcs=world.gcs,
        database=world.database,
        settings=world.settings,
        ahead=request.param,
        _names=itertools.count(1000),
    )
    yield made
    made.close()


def test_firestore_s_time_is_now(world: World) -> None:
    before = datetime.now(UTC)

    shown = world.ledger.time()

    second = timedelta(seconds=1)
    assert before - second < shown < datetime.now(UTC) + second


def test_a_tick_that_is_over_shuts_out_nobody(world: World, other: World) -> None:
    assert not other.tick().locked_out
    assert not world.tick().locked_out
    assert not other.tick().locked_out


def test_a_tick_that_died_shuts_out_nobody_for_longer_than_its_own_time(
    world: World, other: World
) -> None:
    hold = timedelta(seconds=world.settings.tick)
    other.ledger.lock("tick", "dead", other.now(), hold)
    world.advance(hold)

    assert not world.tick().locked_out


def test_a_queue_is_not_paused_for_longer_than_the_service_asked_for(
    world: World, other: World
) -> None:
    other.wire.creates = [Wire.says(429, **{"retry-after": "60"})]
    other.intake.take(other.upload(GOOD, "first.jsonl"))
    assert world.batches() == []
    world.advance(MINUTE)

    drop = world.upload(GOOD, "second.jsonl")
    world.intake.take(drop)

    assert world.job(drop).phase is Phase.SUBMITTED


def test_the_inbox_is_compared_an_hour_later_at_the_latest(
    world: World, other: World
) -> None:
    hour = timedelta(seconds=world.settings.check_every)
    other.ledger.check_finished(other.now())
    drop = world.upload()

    world.ticks(1)
    world.ticks(1, hour)

    assert world.job(drop).missed


def test_what_was_dropped_after_the_first_start_is_found(
    world: World, other: World
) -> None:
    world.database.collection("locks").document("check").delete()
    other.tick()
    drop = world.upload()
    hour = timedelta(seconds=world.settings.check_every)

    world.ticks(1, hour + TEN)

    assert world.job(drop).missed


@pytest.fixture
def submitted(world: World) -> Job:
    drop = world.upload()
    world.intake.take(drop)
    return world.job(drop)


def test_what_a_batch_came_to_since_another_s_sweep_is_seen(
    world: World, other: World, submitted: Job
) -> None:
    world.ticks(4)
    other.tick()
    assert state(world, submitted) == "JOB_STATE_PENDING"

    world.ticks(1)

    assert state(world, submitted) == "JOB_STATE_RUNNING"
