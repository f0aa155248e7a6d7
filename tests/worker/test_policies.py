"""What a deployment wants done about jobs that take long, or are long over."""

from datetime import timedelta

import pytest

from batchdrop.jobs.codes import Phase
from batchdrop.jobs.values import OTHER
from tests.worker.batches import several, states
from tests.worker.policies import submitted, types
from tests.worker.world import GOOD, Wire, World, slow


def test_without_settings_nothing_is_cancelled_deleted_or_announced(
    world: World,
) -> None:
    job = submitted(world)

    world.ticks(1)
    world.ticks(3, timedelta(minutes=15))

    assert list(states(world).values()) == ["JOB_STATE_SUCCEEDED"]
    assert world.job(job.source).deleted_at is None
    assert types(world) == ["succeeded.v1"]


def test_a_batch_that_runs_too_long_is_cancelled_with_its_reason(
    world: World,
) -> None:
    job = submitted(world, cancel_after=240.0)

    world.ticks(7, timedelta(minutes=2))

    job = world.job(job.source)
    assert job.phase is Phase.ENDED
    assert job.cancel_request is not None
    assert job.cancel_request.by == "cancel_after=240 of BATCHDROP_CANCEL_AFTER"
    assert list(states(world).values()) == ["JOB_STATE_CANCELLED"]
    assert types(world) == ["cancelled.v1"]


def test_what_only_waits_for_the_service_does_not_run(
    world: World,
) -> None:
    job = submitted(world, cancel_after=60.0)

    world.ticks(2, timedelta(minutes=2))

    assert world.job(job.source).cancel_request is None


def test_what_is_long_over_is_deleted_at_the_service_and_stays_here(
    world: World,
) -> None:
    job = submitted(world, delete_after=3600.0)
    world.until_ended()
    ended = world.job(job.source)
    assert ended.deleted_at is None

    world.ticks(2, timedelta(hours=1))

    job = world.job(job.source)
    assert job.deleted_at is not None
    assert job.phase is Phase.ENDED
    assert len(world.answers(job)) == 1
    assert [batch["deleteTime"] is not None for batch in world.batches()] == [True]


def test_what_stands_still_is_announced_once_for_each_state(
    world: World,
) -> None:
    job = submitted(world, stalled_after={OTHER: 120.0})

    world.ticks(2, timedelta(minutes=2))
    assert types(world) == ["stalled.v1"]
    health = world.job(job.source).health
    assert health is not None
    assert "JOB_STATE_PENDING since" in health.message

    world.ticks(4, timedelta(minutes=2))
    assert types(world) == ["stalled.v1", "stalled.v1"]

    world.ticks(1, timedelta(minutes=10))
    assert types(world) == ["stalled.v1", "stalled.v1", "succeeded.v1"]
    assert world.job(job.source).health is None
    assert len({one.id for one in world.announced}) == 3


def test_batches_that_cannot_be_deleted_block_no_other_deletion(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchdrop.ledger.queries.POLICY_PAGE", 1)
    world.choose(delete_after=3600.0)
    jobs = several(world, 3)
    world.until_ended()
    world.advance(timedelta(hours=2))
    world.wire.deletes = [Wire.says(400) for _ in range(2)]

    with pytest.raises(ExceptionGroup) as caught:
        world.tick()

    assert len(caught.value.exceptions) == 2
    gone = [world.job(job.source).deleted_at is not None for job in jobs]
    assert gone.count(True) == 1


def test_what_stands_still_is_announced_though_there_is_much_to_delete(
    world: World,
) -> None:
    world.choose(delete_after=900.0, stalled_after={OTHER: 600.0})
    several(world, 2)
    world.ticks(1, timedelta(minutes=20))
    world.sim.faults.add("stuck_pending")
    slowly = world.upload(name="slow.jsonl")
    world.worker.take(slowly)
    world.advance(timedelta(minutes=20))
    world.wire.deletes = [slow(world, timedelta(seconds=world.settings.tick))]

    world.tick()

    health = world.job(slowly).health
    assert health is not None
    assert health.code == "stalled"
    assert world.wire.deletes == []


def test_standing_still_cancels_nothing(world: World) -> None:
    job = submitted(world, stalled_after={OTHER: 60.0})

    world.until_over(job.source)

    assert list(states(world).values()) == ["JOB_STATE_SUCCEEDED"]


def test_each_state_has_a_patience_of_its_own(world: World) -> None:
    submitted(world, stalled_after={"JOB_STATE_RUNNING": 120.0})

    world.ticks(1)
    world.ticks(1, timedelta(minutes=4))
    assert types(world) == []

    world.ticks(2, timedelta(minutes=2))
    assert types(world) == ["stalled.v1"]


def test_a_state_without_one_has_that_of_all_others(world: World) -> None:
    submitted(world, stalled_after={"JOB_STATE_PENDING": 9000.0, OTHER: 120.0})

    world.ticks(1, timedelta(minutes=6))
    world.ticks(1, timedelta(minutes=3))

    (announcement,) = world.announced
    assert "JOB_STATE_RUNNING since" in announcement.body.decode()


ROUTES = """
[[route]]
match = "patient/**"
name = "patient"
cancel_after = 0
stalled_after = 0

[[route]]
match = "**"
cancel_after = 120
delete_after = 3600
stalled_after = { PENDING = 60 }
"""


def test_a_route_has_policies_of_its_own(world: World) -> None:
    world.choose(ROUTES, cancel_after=60.0)
    drops = [world.upload(GOOD, name) for name in ("patient/a.jsonl", "b.jsonl")]
    for drop in drops:
        world.worker.take(drop)

    world.ticks(1, timedelta(minutes=3))
    world.ticks(3, timedelta(minutes=5))

    patient, other = map(world.job, drops)
    assert patient.cancel_request is None
    assert patient.batch is not None
    assert patient.batch.state == "JOB_STATE_SUCCEEDED"
    assert other.cancel_request is not None
    assert other.cancel_request.by == "cancel_after=120 of route 2 (**)"
    assert other.batch is not None
    assert other.batch.state == "JOB_STATE_CANCELLED"
    assert sorted(types(world)) == ["cancelled.v1", "stalled.v1", "succeeded.v1"]

    world.ticks(2, timedelta(hours=1))

    assert world.job(patient.source).deleted_at is None
    assert world.job(other.source).deleted_at is not None


def test_what_was_chosen_for_a_job_holds_though_others_are_deployed(
    world: World,
) -> None:
    job = submitted(world, stalled_after={OTHER: 60.0})
    world.choose(stalled_after={}, cancel_after=1.0)

    world.ticks(2, timedelta(minutes=3))
    world.ticks(1, timedelta(minutes=12))

    assert "stalled.v1" in types(world)
    assert world.job(job.source).cancel_request is None
