"""A tick finds with one query which of its stages have something to do."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from google.cloud import firestore

from batchdrop.jobs.codes import Phase, Step, WaitCode
from batchdrop.jobs.job import Job
from batchdrop.jobs.polled import Stage
from batchdrop.jobs.values import Batch, Collecting, Part, Problem, Reserved
from batchdrop.ledger import Ledger
from batchdrop.rows import Rows
from batchdrop.worker.tick import OUTDATED_EVERY
from tests.clock import Clock
from tests.jobs import DROP, SPEC, STAGED, TIMING, collected
from tests.worker.world import World

RUNNING = Batch(name="batches/1", state="JOB_STATE_RUNNING", terminal=False)
DONE = replace(RUNNING, state="JOB_STATE_SUCCEEDED", terminal=True)
ROWS = Rows(total=1, accepted=1)


Now = Callable[[], datetime]


def claimed(clock: Now) -> Job:
    return Job.claimed(DROP, "first", clock(), TIMING)


def prepared(clock: Now, **spec: Any) -> Job:
    chosen = replace(SPEC, **spec)
    return claimed(clock).prepared(chosen, STAGED, ROWS, clock(), TIMING)


def waiting(clock: Clock) -> Job:
    due = clock() + timedelta(hours=9)
    return prepared(clock).wait(WaitCode.QUOTA, "429", clock(), due)


def submitted(clock: Now, **spec: Any) -> Job:
    return prepared(clock, **spec).submitted(RUNNING, clock())


def cancelling(job: Job, clock: Clock) -> Job:
    return job.request_cancel("ada", clock())


def ended(clock: Now, **spec: Any) -> Job:
    return submitted(clock, **spec).ended(DONE, clock())


def split(clock: Clock) -> Job:
    part = Part(n=0, first=1, last=1, staging=STAGED)
    return claimed(clock).part_staged(part, clock(), TIMING).split(SPEC, ROWS, clock())


def awaiting(clock: Now, step: Step) -> Job:
    return replace(ended(clock), collecting=Collecting(round=0, step=step))


def reserved(job: Job, clock: Clock) -> Job:
    return replace(job, reserved=Reserved(day="2026-03-01", micros=5))


def rejected(clock: Clock) -> Job:
    return claimed(clock).rejected(Problem(code="bad_rows", message="x"), clock())


#: Jobs, and what a tick an hour later has to do with each.
JOBS: dict[str, tuple[Callable[[Clock], Job], set[Stage]]] = {
    "arrived": (claimed, {Stage.RESUME}),
    "prepared": (prepared, {Stage.RESUME}),
    "submitting": (lambda c: prepared(c).submitting(c(), TIMING), {Stage.RESUME}),
    "parked": (lambda c: claimed(c).park(c()), set()),
    "waiting": (waiting, {Stage.ADMIT}),
    "running": (submitted, set()),
    "too long": (lambda c: submitted(c, cancel_after=60.0), {Stage.POLICIES}),
    "not yet": (lambda c: submitted(c, cancel_after=9e9), set()),
    "stalled": (
        lambda c: submitted(c, cancel_after=9e9, stalled_after={"other": 60.0}),
        {Stage.POLICIES},
    ),
    "to cancel": (lambda c: cancelling(submitted(c), c), {Stage.CANCEL}),
    "cancelled": (lambda c: cancelling(submitted(c), c).cancel_sent(c()), set()),
    "split": (split, {Stage.AWAIT}),
    "split, to cancel": (
        lambda c: cancelling(split(c), c),
        {Stage.AWAIT, Stage.CANCEL},
    ),
    "parts": (lambda c: awaiting(c, Step.PARTS), {Stage.AWAIT}),
    "a round": (lambda c: awaiting(c, Step.ROUND), {Stage.AWAIT}),
    "answers": (ended, {Stage.COLLECT}),
    "collected": (lambda c: collected(ended(c), c()), set()),
    "to delete": (lambda c: ended(c, results="off", delete_after=60.0), {Stage.DELETE}),
    "to keep": (lambda c: ended(c, results="off"), set()),
    "reserved": (lambda c: reserved(submitted(c), c), set()),
    "unsettled": (
        lambda c: reserved(ended(c, results="off"), c),
        {Stage.CEILINGS},
    ),
    "rejected": (rejected, set()),
    "rejected, unsettled": (lambda c: reserved(rejected(c), c), {Stage.CEILINGS}),
}


@pytest.fixture
def ledger(database: firestore.Client) -> Ledger:
    return Ledger(lambda: database, "//batchdrop/tests")


def selecting(ledger: Ledger, clock: Clock) -> set[Stage]:
    """The stages whose own queries select a job."""
    policies = (*ledger.timed_out_jobs(clock()), *ledger.stalled_jobs(clock()))
    found: dict[Stage, Iterable[object]] = {
        Stage.AWAIT: ledger.jobs_awaiting(1),
        Stage.COLLECT: ledger.jobs_to_collect(clock(), 1),
        Stage.CANCEL: ledger.jobs_to_cancel(),
        Stage.POLICIES: policies,
        Stage.DELETE: ledger.jobs_to_delete(clock()),
        Stage.CEILINGS: ledger.unsettled_jobs(1),
        Stage.ADMIT: ledger.waiting_lines(),
        Stage.RESUME: ledger.due_jobs(clock()),
    }
    return {stage for stage in Stage if list(found[stage])}


@pytest.mark.parametrize(("make", "stages"), JOBS.values(), ids=JOBS)
def test_a_stage_is_due_when_its_query_selects_a_job(
    ledger: Ledger,
    clock: Clock,
    make: Callable[[Clock], Job],
    stages: set[Stage],
) -> None:
    assert ledger.claim(make(clock))

    clock.advance(hours=1)

    assert selecting(ledger, clock) == stages
    assert ledger.stages_due(clock()) == stages


@pytest.mark.parametrize("name", ["prepared", "too long", "answers", "to delete"])
def test_a_stage_is_not_due_before_the_job_s_time(
    ledger: Ledger, clock: Clock, name: str
) -> None:
    make, _ = JOBS[name]
    before = clock()
    clock.advance(minutes=1)
    assert ledger.claim(make(clock))

    assert ledger.stages_due(before) == set()


def test_all_stages_are_due_where_more_jobs_are_than_are_read(
    ledger: Ledger, clock: Clock
) -> None:
    for n in range(len(Stage)):
        assert ledger.claim(replace(waiting(clock), id=f"{n:026}"))

    assert ledger.stages_due(clock()) == set(Stage)


def test_a_job_that_moves_on_is_due_for_another_stage(
    ledger: Ledger, clock: Clock
) -> None:
    job = ledger.claim(waiting(clock))
    assert job
    assert ledger.stages_due(clock()) == {Stage.ADMIT}

    job = ledger.advance(job, lambda it: it.submitting(clock(), TIMING))
    ledger.advance(job, lambda it: it.submitted(RUNNING, clock()))

    clock.advance(hours=1)
    assert job.phase is Phase.SUBMITTING
    assert ledger.stages_due(clock()) == set()


def test_a_job_that_an_earlier_release_has_written_is_taken_up(world: World) -> None:
    world.worker.poll.outdated_every = OUTDATED_EVERY
    world.ticks(1)
    ago = world.now() - world.timing.lease
    job = Job.claimed(world.upload(), "dead", ago, world.timing)
    assert world.ledger.claim(job)
    document = world.database.collection("jobs").document(job.id)
    document.update({"tick_at": firestore.DELETE_FIELD})

    world.ticks(10)

    assert world.job(job.source).phase is Phase.SUBMITTED


def test_what_one_stage_makes_due_is_taken_up_in_the_same_tick(world: World) -> None:
    world.ticks(1)
    # None of its parts is left to wait for.
    assert world.ledger.claim(awaiting(world.now, Step.PARTS))
    world.advance(timedelta(minutes=1))

    assert world.worker.tick().woken == 1
