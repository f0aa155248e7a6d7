"""Two ticks at once: what is written of a job is still true when it is written."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import OTHER
from tests.worker.batches import listed, resource, state
from tests.worker.policies import submitted, types
from tests.worker.world import World


def frozen_before_its_write(
    world: World, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object]
) -> None:
    """A tick that has read a job, and comes to its write after `meanwhile`."""
    advance = world.ledger.advance
    slept: list[str] = []

    def late(job: Job, move: Any, **more: Any) -> Job:
        if not slept:
            slept.append(job.id)
            meanwhile()
        return advance(job, move, **more)

    with monkeypatch.context() as patch:
        patch.setattr(world.ledger, "advance", late)
        world.tick()
    assert slept


def another_tick(world: World) -> None:
    """The one that is frozen has held the lock for too long."""
    world.advance(timedelta(seconds=world.settings.tick + 1))
    world.tick()


def test_two_ticks_that_find_the_same_stall_announce_it_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sim.faults.add("stuck_pending")
    submitted(world, stalled_after={OTHER: 3600.0})
    world.ticks(1)
    world.advance(timedelta(hours=1))

    frozen_before_its_write(world, monkeypatch, lambda: another_tick(world))
    world.ticks(1)

    assert types(world) == ["stalled.v1"]


def test_a_stall_that_was_over_when_it_was_to_be_announced_is_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submitted(world, stalled_after={"JOB_STATE_PENDING": 240.0})
    world.ticks(1, timedelta(minutes=3))
    world.advance(timedelta(seconds=70))

    frozen_before_its_write(world, monkeypatch, lambda: another_tick(world))

    assert state(world, job) == "JOB_STATE_RUNNING"
    assert types(world) == []


def test_an_answer_that_another_tick_has_overtaken_is_not_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submitted(world)
    world.ticks(1)
    early = (world.now() + timedelta(seconds=1)).isoformat()
    listed(world, resource(world, job, state="JOB_STATE_QUEUED", updateTime=early))
    world.advance(timedelta(minutes=1))

    frozen_before_its_write(world, monkeypatch, lambda: another_tick(world))

    assert state(world, job) == "JOB_STATE_RUNNING"
    states = [moment.state for moment in world.job(job.source).history]
    assert "JOB_STATE_QUEUED" not in states


def test_a_batch_that_another_tick_has_found_again_is_not_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sim.faults.add("stuck_running")
    job = submitted(world)
    assert job.batch is not None
    world.ticks(1)
    document = world.database.collection("jobs").document(job.id)
    document.update({"batch.name": job.batch.name[:-1] + "x"})
    world.ticks(2)
    world.advance(timedelta(hours=1))

    def found_again() -> None:
        document.update({"batch.name": job.batch.name if job.batch else ""})
        another_tick(world)

    frozen_before_its_write(world, monkeypatch, found_again)

    assert world.job(job.source).phase is Phase.SUBMITTED
    assert types(world) == []
