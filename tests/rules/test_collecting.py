"""What remains with a job's answers once its batch has ended, and how it is done."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from batchdrop.jobs.codes import HealthCode, Phase, WaitCode
from batchdrop.jobs.job import Job
from batchdrop.jobs.steps import MAX_RESUMES
from batchdrop.jobs.values import (
    Batch,
    Collecting,
    Cost,
    Fact,
    Failure,
    Part,
    Staging,
    Stats,
    Usage,
)
from batchdrop.rows import Rows
from tests.clock import Clock
from tests.jobs import DROP, RESULTS, SPEC, TIMING, collected
from tests.there import there

STAGED = Staging(epoch=1, uri="gs://work/x/1/requests.jsonl", rows=5)
DONE = Batch(name="batches/1", state="JOB_STATE_SUCCEEDED", terminal=True)
COST = Cost(micros=15, currency="USD", prices_as_of="2026-11-28")
AT_THE_API = replace(DONE, has_answers=True)


def submitted(clock: Clock, **spec: Any) -> Job:
    claimed = Job.claimed(DROP, "w", clock(), TIMING)
    chosen = replace(SPEC, **spec)
    rows = Rows(total=5, accepted=5)
    prepared = claimed.prepared(chosen, STAGED, rows, clock(), TIMING)
    running = replace(DONE, state="JOB_STATE_RUNNING", terminal=False)
    return prepared.submitting(clock(), TIMING).submitted(running, clock())


def ended(clock: Clock, batch: Batch = DONE, **spec: Any) -> Job:
    return submitted(clock, **spec).ended(batch, clock())


def due(job: Job) -> Any:
    return there(job.collecting).due


# -- what remains ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("batch", "spec", "step"),
    [
        (DONE, {}, "freeze"),
        (DONE, {"results": "full"}, "freeze"),
        (DONE, {"results": "off"}, None),
        (DONE, {"destination": "bq://p.d.t"}, "freeze"),
        (DONE, {"source": "bq://p.d.t"}, None),
        (replace(DONE, state="JOB_STATE_FAILED"), {}, "freeze"),
        (replace(DONE, state="JOB_STATE_CANCELLED"), {}, "freeze"),
        (AT_THE_API, {"backend": "developer"}, "copy"),
        (AT_THE_API, {"backend": "developer", "results": "off"}, "copy"),
        (DONE, {"backend": "developer", "results": "off"}, None),
    ],
)
def test_what_remains_when_a_batch_has_ended(
    clock: Clock, batch: Batch, spec: dict[str, Any], step: str | None
) -> None:
    job = ended(clock, batch, **spec)

    left = step and Collecting(round=0, step=step, due=clock())
    assert job.collecting == left
    assert (job.is_over, job.is_done) == (True, step is None)


@pytest.mark.parametrize(
    ("spec", "step"),
    [
        ({}, "freeze"),
        ({"backend": "developer"}, "copy"),
        ({"backend": "developer", "results": "off"}, None),
    ],
)
def test_what_remains_of_a_lost_batch(
    clock: Clock, spec: dict[str, Any], step: str | None
) -> None:
    job = submitted(clock, **spec).lost(clock())

    assert (job.collecting and job.collecting.step) == step


def test_of_what_was_never_sent_nothing_remains(clock: Clock) -> None:
    claimed = Job.claimed(DROP, "w", clock(), TIMING)

    assert claimed.cancelled(clock()).is_done


def test_a_job_that_ended_before_there_were_results_is_left_alone(
    clock: Clock,
) -> None:
    job = replace(ended(clock), collecting=None)

    assert job.is_done
    assert job.woken(clock(), TIMING) == job


# -- a collector ----------------------------------------------------------------


def test_one_collector_is_woken_for_the_time_of_a_lease(clock: Clock) -> None:
    job = ended(clock).woken(clock(), TIMING)

    assert due(job) == clock() + TIMING.lease
    assert job.woken(clock(), TIMING) == job
    clock.time += TIMING.lease
    assert job.is_due(clock())


def test_a_collector_has_a_new_epoch_and_the_time_of_a_lease(clock: Clock) -> None:
    job = ended(clock)
    clock.advance(minutes=1)

    taken = job.collect_taken("c", clock(), TIMING)

    assert taken.lease.epoch == job.lease.epoch + 1
    assert (taken.lease.by, taken.is_held(clock())) == ("c", True)
    assert due(taken) == taken.lease.until == clock() + TIMING.lease
    assert (taken.due, taken.resumes) == (None, 1)


def test_what_is_collected_is_not_taken_again(clock: Clock) -> None:
    job = collected(ended(clock), clock())

    assert job.collect_taken("c", clock(), TIMING) == job


def test_a_job_on_which_collectors_die_is_parked_until_a_person_resumes_it(
    clock: Clock,
) -> None:
    job = ended(clock)
    for _ in range(MAX_RESUMES):
        job = job.woken(clock(), TIMING).collect_taken("c", clock(), TIMING)
        clock.time += TIMING.lease
    assert not job.is_parked

    parked = job.woken(clock(), TIMING).collect_taken("c", clock(), TIMING)

    assert there(parked.health).code == "parked"
    assert f"batchdrop resume {parked.id}" in there(parked.health).message
    assert parked.seq == job.seq + 1
    assert due(parked) is None
    resumed = parked.unpark("ada", clock())
    assert (resumed.is_due(clock()), resumed.resumes) == (True, 0)


def test_a_step_ends_the_count_of_collectors_that_died(clock: Clock) -> None:
    job = ended(clock).collect_taken("c", clock(), TIMING)

    stepped = job.collect_stepped("merge", clock(), strangers=3)

    assert (there(stepped.collecting).step, stepped.strangers) == ("merge", 3)
    assert stepped.resumes == 0
    assert stepped.is_due(clock())
    assert not stepped.is_held(clock())


def test_a_collector_that_goes_on_keeps_the_job(clock: Clock) -> None:
    job = ended(clock).collect_taken("c", clock(), TIMING)
    clock.advance(minutes=9)

    stepped = job.collect_stepped("merge", clock(), TIMING)

    assert stepped.lease == replace(job.lease, until=clock() + TIMING.lease)
    assert due(stepped) == stepped.lease.until


def test_without_results_a_job_is_done_once_its_answers_are_copied(
    clock: Clock,
) -> None:
    job = ended(clock, AT_THE_API, backend="developer", results="off")
    copied = replace(AT_THE_API, output_directory="gs://out/x/")

    done = job.collect_taken("c", clock(), TIMING).collect_stepped(
        None, clock(), batch=copied
    )

    assert done.is_done
    assert (done.batch, done.seq) == (copied, job.seq)
    assert not done.is_held(clock())


def test_pauses_grow_to_an_hour_while_a_step_cannot_be_done(clock: Clock) -> None:
    job, start, minutes = ended(clock), clock(), []
    while clock() - start < timedelta(hours=5):
        soon = clock() + timedelta(minutes=1)
        job = job.collect_taken("c", clock(), TIMING)
        job = job.collect_waits("no answer", clock(), soon)
        minutes.append((clock() - start) // timedelta(minutes=1))
        clock.time = due(job)

    assert minutes == [0, 1, 2, 4, 8, 16, 32, 64, 124, 184, 244]
    assert job.resumes == 0
    assert there(job.waiting_for).message == "no answer"


def test_a_step_that_gets_no_answer_for_days_is_parked_and_announced(
    clock: Clock,
) -> None:
    job, start = ended(clock), clock()
    while not job.is_parked and clock() - start < timedelta(days=5):
        job = job.collect_waits("the answers are gone", clock(), clock())
        clock.advance(hours=1)

    assert clock() - start == timedelta(days=3, hours=1)
    assert there(job.parked).message.startswith("no step forward since ")
    assert "the answers are gone" in there(job.parked).message
    assert due(job) is None
    assert there(job.unpark("me", clock()).collecting).due == clock()


def test_a_job_waits_for_a_grant_for_as_long_as_it_takes(clock: Clock) -> None:
    job = ended(clock)
    for _ in range(24 * 7):
        job = job.collect_waits("grant it", clock(), clock(), code=WaitCode.GRANT)
        clock.advance(hours=1)

    assert not job.is_parked


def test_a_pause_ends_when_it_is_asked_to(clock: Clock) -> None:
    end = clock() + timedelta(minutes=10)
    job = ended(clock).collect_waits("2 of 3 answers", clock(), clock(), latest=end)
    clock.advance(minutes=8)

    job = job.collect_waits("2 of 3 answers", clock(), clock(), latest=end)

    assert due(job) == end


def test_a_grant_that_is_missing_for_hours_is_announced_once(clock: Clock) -> None:
    job = ended(clock)
    first = job.seq
    for _ in range(9):
        job = job.collect_waits("grant it", clock(), clock(), code=WaitCode.GRANT)
        clock.advance(hours=1)

    assert job.seq == first + 1
    assert [trouble.code for trouble in job.troubles] == ["not_allowed", "postponed"]
    assert not job.is_parked
    went_on = job.collect_stepped("merge", clock())
    assert went_on.troubles == []
    assert went_on.waiting_for is None


def test_an_outage_after_a_long_wait_for_a_grant_parks_no_job(clock: Clock) -> None:
    job = ended(clock)
    for _ in range(100):
        job = job.collect_waits("grant it", clock(), clock(), code=WaitCode.GRANT)
        clock.advance(hours=1)

    job = job.collect_waits("no answer", clock(), clock())

    assert not job.is_parked
    assert job.health is None
    assert there(job.postponed).since == clock()


def test_answers_that_are_not_copied_within_a_day_are_at_risk(clock: Clock) -> None:
    job = ended(clock, AT_THE_API, backend="developer")
    first = job.seq
    clock.advance(hours=23)
    job = job.woken(clock(), TIMING)
    assert job.health is None

    clock.advance(hours=1)
    at_risk = job.woken(clock(), TIMING)
    clock.advance(hours=1)
    later = at_risk.woken(clock(), TIMING)

    assert there(at_risk.health).code == "answers_at_risk"
    assert "no collector did it" in there(at_risk.health).message
    assert (at_risk.seq, later.seq) == (first + 1, first + 1)
    assert there(later.health).since == there(at_risk.health).since
    assert later.collect_stepped("freeze", clock()).health is None


def test_answers_that_the_api_keeps_are_never_at_risk(clock: Clock) -> None:
    job = ended(clock)
    clock.advance(hours=100)

    assert job.woken(clock(), TIMING).health is None


# -- the end --------------------------------------------------------------------


def test_a_job_is_done_when_its_results_are_written(clock: Clock) -> None:
    job = ended(clock).collect_taken("c", clock(), TIMING)
    job = replace(job, rows=replace(job.rows, fixed=2))
    failures = tuple(
        Failure(code="429", message=f"{n}", count=1, example="r0000001")
        for n in range(12)
    )

    done = job.collected(
        clock(),
        results=RESULTS,
        rows=Rows(total=6, accepted=5, refused=1, ok=4, missing=1),
        usage=Usage(prompt=3),
        cost=COST,
        failures=failures,
        strangers=1,
        superseded=2,
        answers_short="4 of 5 answers came",
        columns_lost="the sidecar is gone",
    )

    assert done.is_done
    assert (done.phase, done.seq) == (Phase.ENDED, job.seq + 1)
    assert not done.is_held(clock())
    assert (done.results, done.usage) == (RESULTS, Usage(prompt=3))
    assert (done.cost, done.no_cost) == (COST, None)
    assert done.rows == Rows(total=6, accepted=5, refused=1, fixed=2, ok=4, missing=1)
    assert [each.message for each in done.failures] == list("0123456789")
    assert (done.strangers, done.superseded) == (1, 2)
    codes = [trouble.code for trouble in done.troubles]
    assert codes == ["answers_short", "columns_lost", "rows_failed"]


def test_a_cost_that_is_not_known_has_a_reason(clock: Clock) -> None:
    done = ended(clock).collected(
        clock(),
        results=RESULTS,
        rows=Rows(total=1, accepted=1, ok=1),
        usage=Usage(prompt=3),
        no_cost="x" * 1000,
    )

    assert done.cost is None
    assert done.no_cost == "x" * 499 + "…"


def test_results_whose_counts_do_not_add_up_are_not_recorded(clock: Clock) -> None:
    with pytest.raises(ValueError, match="don't add up"):
        ended(clock).collected(
            clock(),
            results=RESULTS,
            rows=Rows(total=6, accepted=6, ok=5),
            usage=Usage(),
        )


def test_the_results_of_a_part_are_not_announced(clock: Clock) -> None:
    part = Part(n=0, first=1, last=5, staging=STAGED)
    job = replace(submitted(clock), part_of="s" * 26, part=part)

    done = collected(job.ended(DONE, clock()), clock())

    assert (done.is_done, done.seq) == (True, 0)


def test_a_frozen_collector_that_wakes_ends_a_parked_job(clock: Clock) -> None:
    parked = ended(clock).park(clock())

    done = collected(parked, clock())

    assert done.is_done
    assert not done.is_parked


def test_a_batch_is_deleted_only_once_its_answers_are_collected(clock: Clock) -> None:
    job = ended(clock, delete_after=60.0)
    clock.advance(hours=5)

    assert job.delete_at is None
    waits = job.collect_waits("grant it", clock(), clock(), code=WaitCode.GRANT)
    assert waits.delete_at is None
    assert collected(waits, clock()).delete_at == clock() - timedelta(
        hours=4, minutes=59
    )


def test_a_job_that_is_collected_is_over_for_a_cancel_and_a_rerun(
    clock: Clock,
) -> None:
    job = ended(clock)

    with pytest.raises(ValueError, match="is over"):
        job.request_cancel("ada", clock())
    assert job.rerun_counted("ada", clock()).collecting == job.collecting


# -- rows that fail -------------------------------------------------------------


@pytest.mark.parametrize(
    ("stats", "message"),
    [
        (Stats(successful=0, failed=50), "50 of 50 rows failed, by the API's count"),
        (Stats(failed=50), "50 of 50 rows failed, by the API's count"),
        (Stats(successful=94, failed=6), "6 of 100 rows failed, by the API's count"),
        (Stats(successful=95, failed=5), None),
        (Stats(successful=9, incomplete=91), None),
        (None, None),
    ],
)
def test_before_results_the_api_s_counts_say_how_many_rows_failed(
    clock: Clock, stats: Stats | None, message: str | None
) -> None:
    job = ended(clock, replace(DONE, completion_stats=stats))

    assert (job.health and job.health.message) == message


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"failed": 50}, "50 of 50 rows failed or came without an answer"),
        (
            {"ok": 94, "failed": 4, "missing": 2},
            "6 of 100 rows failed or came without an answer",
        ),
        ({"ok": 95, "failed": 5}, None),
        ({"ok": 1, "blocked": 99}, None),
        ({"blocked": 50}, "none of 50 rows is ok"),
        ({"ok": 10, "refused": 90}, None),
    ],
)
def test_with_results_their_counts_say_how_many_rows_failed(
    clock: Clock, counts: dict[str, int], message: str | None
) -> None:
    # The API counted otherwise.
    batch = replace(DONE, completion_stats=Stats(successful=1, failed=1))

    job = collected(ended(clock, batch), clock(), **counts)

    assert (job.health and job.health.message) == message


def test_rows_that_a_cancelled_batch_leaves_out_are_no_trouble(clock: Clock) -> None:
    job = ended(clock, replace(DONE, state="JOB_STATE_CANCELLED"))

    assert collected(job, clock(), ok=1, missing=49).health is None


@pytest.mark.parametrize(("share", "healthy"), [(0.0, False), (0.5, True), (1.0, True)])
def test_a_deployment_chooses_which_share_of_rows_may_fail(
    clock: Clock, share: float, healthy: bool
) -> None:
    job = collected(ended(clock, failed_share=share), clock(), ok=9, failed=3)

    assert (job.health is None) == healthy


def test_a_worse_trouble_hides_no_failed_rows(clock: Clock) -> None:
    job = collected(ended(clock), clock(), failed=50)
    job = replace(job, unpublished=Fact(since=clock(), message="refused"))

    codes = [trouble.code for trouble in job.troubles]
    assert codes == [HealthCode.UNPUBLISHED, HealthCode.ROWS_FAILED]
