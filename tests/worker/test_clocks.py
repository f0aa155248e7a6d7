"""Two workers whose clocks differ by ten minutes: neither shuts out the other."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from batchdrop.errors import Superseded
from batchdrop.jobs.codes import Phase, WaitCode
from batchdrop.jobs.job import Job
from tests.often import mostly
from tests.worker.batches import state
from tests.worker.dying import Killed, die
from tests.worker.paid import at, paid
from tests.worker.split_jobs import announced_types
from tests.worker.world import GOOD, Wire, World

TEN = timedelta(minutes=10)
MINUTE = timedelta(minutes=1)


# What one writes whose clock is behind looks older than it is, which shuts out nobody.
@pytest.fixture(params=mostly(TEN, also=[-TEN]), ids=["ahead", "behind"])
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
    other.worker.take(other.upload(GOOD, "first.jsonl"))
    assert world.batches() == []
    world.advance(MINUTE)

    drop = world.upload(GOOD, "second.jsonl")
    world.worker.take(drop)

    assert world.job(drop).phase is Phase.SUBMITTED


def test_the_inbox_is_compared_an_hour_later_at_the_latest(
    world: World, other: World
) -> None:
    hour = timedelta(seconds=world.settings.reconcile_every)
    other.ledger.record_reconcile(other.now())
    drop = world.upload()

    world.ticks(1)
    world.ticks(1, hour)

    assert world.job(drop).missed


def test_what_was_dropped_after_the_first_start_is_found(
    world: World, other: World
) -> None:
    world.database.collection("locks").document("reconcile").delete()
    other.tick()
    drop = world.upload()
    hour = timedelta(seconds=world.settings.reconcile_every)

    world.ticks(1, hour + TEN)

    assert world.job(drop).missed


@pytest.fixture
def submitted(world: World) -> Job:
    drop = world.upload()
    world.worker.take(drop)
    return world.job(drop)


def test_what_a_batch_came_to_since_another_s_sweep_is_seen(
    world: World, other: World, submitted: Job
) -> None:
    world.ticks(1, timedelta(minutes=4))
    other.tick()
    assert state(world, submitted) == "JOB_STATE_PENDING"

    world.ticks(1)

    assert state(world, submitted) == "JOB_STATE_RUNNING"


# -- two workers, twenty minutes apart -------------------------------------------------


@pytest.fixture
def pair(world: World, request: pytest.FixtureRequest) -> Iterator[tuple[World, World]]:
    """One worker whose clock is ten minutes ahead, and one ten minutes behind; the one
    that the test names is the first."""
    made = [
        World(
            sim=world.sim,
            gcs=world.gcs,
            database=world.database,
            settings=world.settings,
            ahead=skew,
            _names=itertools.count(1000 * n),
        )
        for n, skew in enumerate((TEN, -TEN), start=1)
    ]
    ahead, behind = made
    yield (ahead, behind) if request.param == "ahead" else (behind, ahead)
    for each in made:
        each.close()


FIRST = ("ahead", "behind")
either_first = pytest.mark.parametrize("pair", FIRST, indirect=True)


def at_points(first: str, often: str, *also: str) -> pytest.MarkDecorator:
    """Who is first at which point: one case each time, either at each with proofs."""
    return pytest.mark.parametrize(
        ("pair", "point"),
        mostly((first, often), also=product(FIRST, (often, *also))),
        indirect=["pair"],
    )


# Of one who is ahead the lease lasts longest, for one who is behind.
@at_points("ahead", "after_intent", "after_claim", "after_create")
def test_who_dies_is_followed_by_another_clock_after_a_bounded_time(
    world: World, pair: tuple[World, World], point: str
) -> None:
    first, second = pair
    drop = world.upload()
    with at(point, die), pytest.raises(Killed):
        first.worker.take(drop)
    timing, every = world.timing, timedelta(minutes=4)
    # A tick that searches and fences, and one that sends the request again.
    ticks = 2 * every
    waits = timing.lease + timing.create_timeout + timing.list_lag + 2 * TEN + ticks
    dropped, submitted = world.sim.clock.now(), None

    for _ in range(20):
        world.advance(every if submitted is None else 2 * every)
        second.tick()
        job = world.job(drop)
        if submitted is None and job.batch is not None:
            submitted = world.sim.clock.now()
        if job.is_over:
            break
    second.tick()  # has nothing left to say

    assert job.phase is Phase.ENDED
    assert submitted is not None
    assert submitted - dropped <= waits
    assert len(paid(world)) == 1
    assert announced_types(second) == ["succeeded"]


# One who is behind is overtaken before its lease is over by its own clock.
@at_points("behind", "before_create", "after_staging", "after_intent")
def test_who_is_overtaken_by_another_clock_pays_for_nothing(
    world: World, pair: tuple[World, World], point: str
) -> None:
    first, second = pair
    drop = world.upload()

    def overtake() -> None:
        # Until the other holds that the lease is over.
        for _ in range(5):
            world.advance(timedelta(minutes=8))
            second.tick()

    with at(point, overtake):
        first.worker.take(drop)
    for _ in range(2):
        world.advance(timedelta(minutes=20))
        first.tick()
        second.tick()

    assert world.job(drop).phase is Phase.ENDED
    assert len(paid(world)) == 1
    assert announced_types(first) + announced_types(second) == ["succeeded"]


@either_first
def test_one_of_two_holders_with_different_clocks_can_write(
    world: World, pair: tuple[World, World]
) -> None:
    first, second = pair
    drop = world.upload()
    with at("after_claim", die), pytest.raises(Killed):
        first.worker.take(drop)
    before = world.job(drop)
    now = second.now()

    after = second.ledger.advance(
        before, lambda job: job.resumed("second", now, second.timing)
    )

    assert after.lease.epoch == before.lease.epoch + 1
    with pytest.raises(Superseded):
        first.ledger.advance(
            before, lambda job: job.wait(WaitCode.QUEUE, "why", now, due=now)
        )
    second.ledger.advance(after, lambda job: job.gave_up("why", now))


@either_first
def test_a_tick_by_one_clock_neither_waits_for_nor_unlocks_another_s(
    world: World, pair: tuple[World, World]
) -> None:
    first, second = pair
    hold = timedelta(seconds=world.settings.tick)
    assert first.ledger.lock("tick", "first", first.now(), hold)

    assert second.ledger.lock("tick", "second", second.now(), hold)
    first.ledger.unlock("tick", "first")

    lock = world.database.collection("locks").document("tick").get()
    assert lock.get("by") == "second"
    assert lock.get("until") == second.now() + hold
    assert not second.ledger.lock("tick", "third", second.now(), hold)
    second.ledger.unlock("tick", "second")
    assert not first.tick().locked_out
    assert not second.tick().locked_out
