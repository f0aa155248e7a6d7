"""A comparison with the ledger keeps to its share of a tick, and comes to its end."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from batchdrop.backends.vertex import VertexBackend
from batchdrop.batches import BatchJob
from batchdrop.jobs.values import Drop
from tests.often import mostly
from tests.worker.batches import batch_of, quiet_ticks, states, submit
from tests.worker.world import World, slow


@pytest.fixture
def due(world: World) -> None:
    """It is time to compare."""
    world.advance(timedelta(seconds=world.settings.reconcile_every))


def is_over(world: World) -> bool:
    return world.ledger.cursor("reconcile") == {}


@pytest.mark.proof
@pytest.mark.usefixtures("due")
def test_an_inbox_that_is_read_slowly_is_gone_through_over_several_ticks(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchdrop.worker.reconcile.CHECKED_AT_ONCE", 2)
    drops = [world.upload(name=f"{n}.jsonl") for n in range(7)]
    world.advance(timedelta(seconds=world.settings.list_lag))
    known = world.ledger.known_ids

    def slowly(ids: Iterable[str]) -> set[str]:
        world.advance(timedelta(seconds=0.6 * world.settings.tick))
        return known(ids)

    monkeypatch.setattr(world.ledger, "known_ids", slowly)

    world.ticks(1)
    first = {drop.name for drop in drops if world.ledger.get(drop.job_id)}
    world.ticks(12)

    assert len(first) < 7
    assert all(world.job(drop).missed for drop in drops)
    assert is_over(world)


@pytest.mark.usefixtures("due")
def test_a_list_of_foreign_files_stops_at_the_deadline(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchdrop.worker.reconcile.CHECKED_AT_ONCE", 1)
    for n in range(6):
        world.upload(name=f"{n}.txt")
    hold = timedelta(seconds=world.settings.tick)
    objects = world.storage.objects

    def slowly(*given: Any) -> Iterator[tuple[Drop, datetime]]:
        for one in objects(*given):
            world.advance(hold * 0.4)
            yield one

    monkeypatch.setattr(world.storage, "objects", slowly)

    began = world.now()
    world.tick()

    assert world.now() - began <= hold
    world.ticks(6)
    assert is_over(world)


@pytest.mark.usefixtures("due")
def test_a_second_batch_is_found_though_lists_are_slow(world: World) -> None:
    job = submit(world)
    extra = batch_of(world, job)
    world.ticks(1)
    world.advance(timedelta(seconds=world.settings.reconcile_every))
    lists = timedelta(seconds=0.3 * world.settings.tick)
    world.sim.faults.add("stuck_running")
    world.wire.lists = [slow(world, lists) for _ in range(200)]

    for _ in range(12):
        quiet_ticks(world, 1)
        if states(world)[extra] != "JOB_STATE_RUNNING":
            break

    assert states(world)[extra] != "JOB_STATE_RUNNING"


@pytest.mark.usefixtures("due")
def test_a_pass_over_several_ticks_counts_from_when_it_began(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchdrop.worker.reconcile.CHECKED_AT_ONCE", 1)
    for n in range(3):
        world.upload(name=f"{n}.txt")
    known = world.ledger.known_ids

    def slowly(ids: Iterable[str]) -> set[str]:
        world.advance(timedelta(seconds=world.settings.tick))
        return known(ids)

    monkeypatch.setattr(world.ledger, "known_ids", slowly)

    began = world.now()
    world.tick()
    assert not is_over(world)
    world.ticks(4)

    assert is_over(world)
    assert world.ledger.last_reconcile().finished == began


@pytest.mark.usefixtures("due")
def test_recent_objects_whose_names_make_no_job_are_counted(world: World) -> None:
    for name in ("a.json", "b.csv", "c/", "d.jsonl", "e.job.json"):
        world.upload(name=name)
    world.advance(timedelta(seconds=world.settings.list_lag))

    world.ticks(2)

    record = world.ledger.last_reconcile()
    assert (record.ignored, record.ignored_name) == (2, "b.csv")


@pytest.mark.proof
@pytest.mark.parametrize(
    ("shortest", "found"),
    mostly((timedelta(minutes=1), True), also=[(timedelta(days=9), False)]),
)
def test_a_tick_ends_although_more_batches_exist_than_it_can_read(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    shortest: timedelta,
    found: bool,
) -> None:
    """A slice of time is halved until it fits; the shortest is given up in the end."""
    monkeypatch.setattr("batchdrop.worker.reconcile.SHORTEST", shortest)
    world.sim.faults.add("stuck_running")
    extra = batch_of(world, submit(world))
    for n in range(7):
        world.advance(timedelta(minutes=20))
        submit(world, f"{n}.jsonl")
    ours = VertexBackend.ours

    def slowly(
        self: VertexBackend, since: datetime, until: datetime | None = None
    ) -> Iterator[tuple[str, BatchJob]]:
        for one in ours(self, since, until):
            if until is not None:
                world.advance(timedelta(seconds=0.15 * world.settings.tick))
            yield one

    monkeypatch.setattr(VertexBackend, "ours", slowly)

    quiet_ticks(world, 25)

    assert is_over(world)
    assert (states(world)[extra] != "JOB_STATE_RUNNING") == found
    assert ("too many batches" in caplog.messages) != found
