"""What a round in which rows go again meets on its way, as any job may."""

import json
from datetime import timedelta

import pytest

from batchdrop.jobs.codes import HealthCode, Outcome, SkipCode
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Drop, Location
from tests.exactly_once.promise import is_paid
from tests.there import there
from tests.worker.backends import BOTH
from tests.worker.collecting import collected, ended, outcomes
from tests.worker.rounds import (
    drop,
    fails,
    results_told,
    round_of,
)
from tests.worker.split_jobs import announced_types
from tests.worker.world import Wire, World

#: `test_rounds.py` and `test_deaths.py` have what each run proves.
pytestmark = pytest.mark.proof


def awaiting(world: World, dropped: Drop) -> Job:
    """The job once it waits for a round, which is not sent yet."""
    ended(world, dropped)
    world.collect()
    job = world.job(dropped)
    assert job.awaits == "round"
    return job


def test_no_row_goes_again_while_answers_to_others_may_still_come(
    world: World,
) -> None:
    fails(world, 3)
    dropped = drop(world)
    place = Location.parse(there(there(ended(world, dropped).batch).output_directory))
    bucket = world.gcs.bucket(place.bucket)
    (answers,) = world.gcs.list_blobs(bucket, prefix=place.prefix)
    late = answers.download_as_bytes()
    answers.delete()

    world.ticks(3)
    assert (world.job(dropped).rounds, len(world.batches())) == ((), 1)
    bucket.blob(answers.name).upload_from_string(late)
    job = collected(world, dropped)

    assert [one.rows for one in job.rounds] == [20, 1]
    assert outcomes(world, job) == ["ok"] * 20


@BOTH
def test_a_round_that_was_created_twice_is_paid_once(world: World) -> None:
    fails(world, 3)
    dropped = drop(world)
    job = awaiting(world, dropped)
    world.wire.creates = [world.wire.reply_lost]
    world.wire.lists = [Wire.shows_nothing] * 1000

    # A batch that is over can't be cancelled any more.
    world.ticks_until(lambda: len(world.batches()) == 3, every=timedelta(minutes=1))
    world.wire.lists = []
    job = collected(world, dropped)

    sent = round_of(world, job)
    assert sorted(each["name"] for each in world.batches() if is_paid(each)) == sorted(
        there(one.batch).name for one in (job, sent)
    )
    assert outcomes(world, job) == ["ok"] * 20


def test_what_is_chosen_anew_between_rounds_changes_nothing(world: World) -> None:
    fails(world, 3)
    fails(world, 5, times=2)
    dropped = drop(world, retry=2)
    job = awaiting(world, dropped)

    world.choose(
        '[[route]]\nmatch = "**"\nmodel = "gemini-4-argon"\nmax_rows = 1\n',
        retry=0,
        retry_share=0.0,
        results="off",
    )
    world.upload("overwritten\n", dropped.name)
    job = collected(world, dropped)

    assert [one.healed for one in job.rounds] == [0, 1, 1]
    assert len({each["model"] for each in world.batches()}) == 1
    assert outcomes(world, job) == ["ok"] * 20


def test_a_job_that_runs_again_between_its_rounds_has_rounds_of_its_own(
    world: World,
) -> None:
    fails(world, 3)
    dropped = drop(world)
    job = awaiting(world, dropped)
    fails(world, 7)

    again = world.worker.commands.rerun(job.id, "ada")
    job = collected(world, dropped)
    world.ticks_until(lambda: there(world.ledger.get(again.id)).is_done)

    other = there(world.ledger.get(again.id))
    assert {one.job for one in job.rounds}.isdisjoint(one.job for one in other.rounds)
    assert len(results_told(world)) == 2
    assert [len(one.rounds) for one in (job, other)] == [2, 2]
    assert [one.rows.ok for one in (job, other)] == [20, 20]


def test_a_round_that_takes_too_long_stalls_its_job_and_is_cancelled_by_policy(
    world: World,
) -> None:
    fails(world, 3)
    dropped = drop(world, retry=2, stalled_after={"other": 1200.0}, cancel_after=2400.0)
    job = awaiting(world, dropped)
    world.sim.faults.add("stuck_running", for_ever=True)

    world.ticks_until(lambda: bool(world.job(dropped).round_held))
    held = world.job(dropped)
    job = collected(world, dropped)

    assert there(held.health).code is HealthCode.ROUND_HELD
    assert announced_types(world) == ["succeeded", "stalled", "ready"]
    assert round_of(world, job).outcome is Outcome.CANCELLED
    # It was answered before that.
    assert (job.rows.ok, job.health) == (20, None)


@pytest.mark.parametrize("step", ["round", "heal"])
def test_a_cancel_ends_the_rounds_and_keeps_what_was_healed(
    world: World, step: str
) -> None:
    fails(world, 3)
    fails(world, 5, times=None)
    dropped = drop(world, retry=3)
    job = awaiting(world, dropped)
    world.ticks_until(lambda: round_of(world, job).is_done)
    if step == "heal":
        world.worker.tick()
        assert there(world.job(dropped).collecting).step == "heal"

    world.worker.commands.cancel(job.id, "ada")
    job = collected(world, dropped)

    assert there(job.skipped).code is SkipCode.CANCELLED
    assert (job.rows.ok, job.rows.failed, len(job.rounds)) == (19, 1, 2)
    assert json.loads(world.announced[-1].body)["rows"]["ok"] == 19


def test_a_round_and_its_job_are_deleted_at_the_api_once_all_is_published(
    world: World,
) -> None:
    fails(world, 3)
    dropped = drop(world, delete_after=60.0)
    job = awaiting(world, dropped)
    world.ticks_until(lambda: round_of(world, job).is_done)
    assert not any(each["deleteTime"] for each in world.batches())

    job = collected(world, dropped)
    world.ticks(3)

    assert all(each["deleteTime"] for each in world.batches())
    assert len(world.batches()) == 2


def test_batches_that_run_one_at_a_time_leave_room_for_rounds(
    world: World,
) -> None:
    fails(world, 1, 4)
    dropped = drop(world, 6, part_rows=2, max_active_jobs=1, retry_share=1.0)

    job = collected(world, dropped)

    assert outcomes(world, job) == ["ok"] * 6
    assert len(world.batches()) == 5
