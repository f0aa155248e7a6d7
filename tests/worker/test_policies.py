"""What a deployment wants done about jobs that take long, or are long over."""

from datetime import timedelta

import pytest

from batchdrop.jobs import Job, Phase
from tests.worker.test_poller import states
from tests.worker.world import GOOD, World


@pytest.fixture
def submitted(world: World) -> Job:
    drop = world.upload(GOOD)
    world.intake.take(drop)
    return world.job(drop)


def types(world: World) -> list[str]:
    return [one.type.removeprefix("dev.batchdrop.job.") for one in world.heard]


def test_without_settings_nothing_is_cancelled_deleted_or_told(
    world: World, submitted: Job
) -> None:
    world.ticks(40)

    assert list(states(world).values()) == ["JOB_STATE_SUCCEEDED"]
    assert world.job(submitted.source).deleted_at is None
    assert types(world) == ["succeeded.v1"]


def test_what_runs_too_long_is_cancelled_and_it_is_said_why(
    world: World, submitted: Job
) -> None:
    world.choose(cancel_after=240.0)

    world.ticks(12)

    job = world.job(submitted.source)
    assert job.phase is Phase.ENDED
    assert job.wanted is not None
    assert job.wanted.by == "BATCHDROP_CANCEL_AFTER=240"
    assert list(states(world).values()) == ["JOB_STATE_CANCELLED"]
    assert types(world) == ["cancelled.v1"]


def test_what_only_waits_for_the_service_does_not_run(
    world: World, submitted: Job
) -> None:
    world.choose(cancel_after=60.0)

    world.ticks(5)

    assert world.job(submitted.source).wanted is None


def test_what_is_long_over_is_deleted_at_the_service_and_stays_here(
    world: World, submitted: Job
) -> None:
    world.choose(delete_after=3600.0)
    world.ticks(20)
    ended = world.job(submitted.source)
    assert ended.deleted_at is None

    world.ticks(2, timedelta(hours=1))

    job = world.job(submitted.source)
    assert job.deleted_at is not None
    assert job.phase is Phase.ENDED
    assert len(world.answers(job)) == 1
    assert [batch["deleteTime"] is not None for batch in world.batches()] == [True]


def test_what_stands_still_is_told_once_for_each_state(
    world: World, submitted: Job
) -> None:
    world.choose(stalled_after={"": 120.0})

    world.ticks(4)
    assert types(world) == ["stalled.v1"]
    health = world.job(submitted.source).health
    assert health is not None
    assert "JOB_STATE_PENDING since" in health.message

    world.ticks(8)
    assert types(world) == ["stalled.v1", "stalled.v1"]

    world.ticks(10)
    assert types(world) == ["stalled.v1", "stalled.v1", "succeeded.v1"]
    assert world.job(submitted.source).health is None
    assert len({one.id for one in world.heard}) == 3


def test_standing_still_cancels_nothing(world: World, submitted: Job) -> None:
    world.choose(stalled_after={"": 60.0})

    world.ticks(30)

    assert list(states(world).values()) == ["JOB_STATE_SUCCEEDED"]
