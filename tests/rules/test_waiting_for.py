"""Why a job does not move on, and which lists show it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from batchdrop.jobs.codes import WaitCode
from batchdrop.jobs.job import Job
from batchdrop.jobs.shown import Progress
from batchdrop.jobs.values import Batch, Spec, Stats
from batchdrop.rows import Rows
from tests.clock import Clock
from tests.jobs import DROP, SPEC, STAGED, TIMING, collected, ended
from tests.there import there

QUEUED = Batch(name="batches/1", state="JOB_STATE_PENDING", terminal=False)
RUNNING = replace(QUEUED, state="JOB_STATE_RUNNING")


def claimed(clock: Clock) -> Job:
    return Job.claimed(DROP, "w", clock(), TIMING)


def prepared(clock: Clock, spec: Spec = SPEC) -> Job:
    rows = Rows(total=9, accepted=9)
    return claimed(clock).prepared(spec, STAGED, rows, clock(), TIMING)


def test_a_job_that_is_worked_on_waits_for_nothing(clock: Clock) -> None:
    assert claimed(clock).waiting_for is None
    assert prepared(clock).submitting(clock(), TIMING).waiting_for is None


def test_a_queued_job_says_how_many_come_first_and_when_it_is_tried(
    clock: Clock,
) -> None:
    start, due = clock(), clock() + timedelta(minutes=1)
    job = prepared(clock).wait(WaitCode.QUEUE, "queued", start, due, ahead=41)
    clock.advance(minutes=5)
    later = clock() + timedelta(minutes=1)

    again = job.wait(WaitCode.QUEUE, "queued", clock(), later, ahead=7)
    other = again.wait(WaitCode.QUOTA, "429", clock(), later)

    waits = there(again.waiting_for)
    assert (waits.code, waits.ahead, waits.since) == ("queue", 7, start)
    assert waits.next_try == later
    assert there(other.waiting_for).since == clock()


def test_what_a_job_waits_for_is_forgotten_with_a_step_forward(clock: Clock) -> None:
    job = prepared(clock).wait(WaitCode.QUEUE, "queued", clock(), clock())

    sent = job.resumed("w", clock(), TIMING).submitting(clock(), TIMING)

    assert sent.put_off is None
    assert sent.submitted(RUNNING, clock()).waiting_for is None


def test_a_worker_that_tries_again_hides_what_the_job_waits_for(clock: Clock) -> None:
    job = claimed(clock).postpone("no answer", clock(), clock())

    tried = job.resumed("w", clock(), TIMING)

    assert there(job.waiting_for).code == "another_try"
    assert tried.waiting_for is None
    failed = tried.postpone("no answer", clock(), clock() + timedelta(minutes=1))
    assert there(failed.waiting_for).since == there(job.waiting_for).since


@pytest.mark.parametrize(
    ("code", "move"),
    [
        ("grant", lambda j, now: j.postpone("grant", now, now, not_allowed=True)),
        ("another_try", lambda j, now: j.gave_up("KeyError", now)),
        ("person", lambda j, now: j.park(now, "why")),
        ("search", lambda j, now: j.unclear("503", now, TIMING)),
        ("search", lambda j, now: j.fenced_off(now, TIMING)),
    ],
)
def test_each_setback_has_a_code(code: str, move: object, clock: Clock) -> None:
    assert callable(move)

    job = move(prepared(clock).submitting(clock(), TIMING), clock())

    assert there(job.waiting_for).code == code


def test_a_batch_that_the_api_has_not_started_waits_for_the_api(clock: Clock) -> None:
    sent = prepared(clock).submitting(clock(), TIMING).submitted(QUEUED, clock())
    since = clock()
    clock.advance(minutes=5)

    started = sent.observed(RUNNING, clock())

    waits = there(sent.waiting_for)
    assert (waits.code, waits.since, waits.next_try) == ("api", since, None)
    assert started.waiting_for is None


def test_a_job_is_listed_as_open_until_its_results_are_there(clock: Clock) -> None:
    job = ended(claimed(clock), clock())

    done = collected(job, clock())

    assert (job.listed_at, job.listed_as) == (clock(), ("open",))
    assert done.listed_as == ("ended",)
    assert collected(job, clock(), ok=1, failed=9).listed_as == ("ended", "unhealthy")


def test_a_job_is_in_the_lists_of_its_route_and_of_its_labels(clock: Clock) -> None:
    labels = {"team": "search", "run": "", "batchdrop_job": "x"}
    spec = replace(SPEC, route="nightly", labels=labels)

    assert claimed(clock).listed_as == ("open",)
    assert prepared(clock, spec).listed_as == (
        *("open", "route:nightly", "label:team=search", "label:run="),
    )


def test_parts_are_in_no_list(clock: Clock) -> None:
    part = replace(prepared(clock), part_of="x" * 26)

    assert (part.listed_at, part.listed_as) == (None, ())


def test_progress_is_the_apis_count_until_there_are_results(clock: Clock) -> None:
    running = replace(RUNNING, completion_stats=Stats(successful=5, failed=1))
    sent = prepared(clock).submitting(clock(), TIMING).submitted(running, clock())
    job = ended(claimed(clock), clock())

    assert prepared(clock).progress is None
    assert sent.progress == Progress(rows=9, answered=6, failed=1)
    assert job.progress is not None
    assert collected(job, clock()).progress is None
