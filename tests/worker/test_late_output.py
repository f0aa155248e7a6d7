"""Batches that succeed before the API says where their answers are."""

import json
from datetime import timedelta
from typing import Any

from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from tests.worker.backends import BOTH, EACH
from tests.worker.world import GOOD, World


def ended_early(world: World, **late: Any) -> Job:
    """A job whose batch has just succeeded, and names no output."""
    world.sim.faults.add("output_late", **late)
    drop = world.upload(GOOD * 2)
    world.worker.take(drop)
    world.advance(timedelta(seconds=910))
    world.tick()
    return world.job(drop)


@EACH
def test_an_end_is_announced_once_it_names_the_answers_directory(world: World) -> None:
    early = ended_early(world, seconds=300)
    world.ticks(1, timedelta(minutes=3))
    assert (early.phase, world.announced) == (Phase.SUBMITTED, [])
    assert early.batch is not None
    assert early.batch.state == "JOB_STATE_SUCCEEDED"

    world.ticks(1, timedelta(minutes=3))

    job = world.job(early.source)
    (announcement,) = world.announced
    assert job.phase is Phase.ENDED
    assert job.error is None
    assert announcement.type == "dev.batchdrop.job.succeeded.v1"
    assert json.loads(announcement.body)["output_directory"]
    assert len(world.answers(job)) == 2


@BOTH
def test_a_batch_that_never_names_its_answers_has_failed_after_ten_minutes(
    world: World,
) -> None:
    early = ended_early(world, for_ever=True)
    world.ticks(1, timedelta(minutes=9))
    assert world.job(early.source).phase is Phase.SUBMITTED

    world.ticks(1, timedelta(minutes=3))

    job = world.job(early.source)
    (announcement,) = world.announced
    assert (job.phase, job.outcome) == (Phase.ENDED, "failed")
    assert announcement.type == "dev.batchdrop.job.failed.v1"
    body = json.loads(announcement.body)
    assert body["state"] == "JOB_STATE_FAILED"
    assert job.batch is not None
    assert job.batch.state == "JOB_STATE_SUCCEEDED"
    assert body["error"]["code"] == "no_output"
    assert "doesn't say where the answers are" in body["error"]["message"]


@BOTH
def test_a_batch_that_succeeded_without_answers_long_ago_is_not_waited_for(
    world: World,
) -> None:
    world.sim.faults.add("output_late", for_ever=True)
    drop = world.upload()
    world.worker.take(drop)
    world.advance(timedelta(hours=2))

    world.tick()

    assert world.job(drop).phase is Phase.ENDED
    assert [one.type for one in world.announced] == ["dev.batchdrop.job.failed.v1"]
