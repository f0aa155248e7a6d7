"""A job whose rows go again: its moves, and those of its rounds."""

from dataclasses import replace
from typing import Any

import pytest

from batchdrop.announcements.message import event_of
from batchdrop.jobs.codes import HealthCode, Outcome, Phase, SkipCode, Step, WaitCode
from batchdrop.jobs.costs import RoundCost
from batchdrop.jobs.job import Job
from batchdrop.jobs.steps import MAX_DROPPED
from batchdrop.jobs.values import Batch, Cost, Problem, Skipped, Stats, Usage
from batchdrop.ledger.documents import decode, encode, sparse
from batchdrop.rows import Rows
from batchdrop.worker.traces import _is_id_of
from tests import jobs
from tests.clock import Clock
from tests.jobs import DROP, RESULTS, STAGED, TIMING
from tests.there import there

SPEC = replace(
    jobs.SPEC,
    labels={"batchdrop_job": DROP.job_id, "team": "ops"},
    generation_config='{"temperature":0}',
    retry=2,
)
ROWS = Rows(total=10, accepted=10)
GATHERED = replace(RESULTS, uri="gs://staging/x/collect-0/gathered/results.jsonl")


def made(ok: int = 8, failed: int = 2, micros: int = 10) -> dict[str, Any]:
    """What is counted of results."""
    return {
        "rows": Rows(total=10, accepted=10, ok=ok, failed=failed),
        "usage": Usage(prompt=micros),
        "cost": Cost(micros=micros, currency="USD", prices_as_of="2026-01-01"),
    }


def batch(state: str = "SUCCEEDED", successful: int = 8) -> Batch:
    return Batch(
        name="batches/1",
        state=f"JOB_STATE_{state}",
        terminal=True,
        completion_stats=Stats(successful=successful),
    )


def ended(clock: Clock, state: str = "SUCCEEDED", **spec: Any) -> Job:
    """A job of ten rows whose batch has ended; a collector has it."""
    job = Job.claimed(DROP, "first", clock(), TIMING)
    staging = replace(STAGED, rows=10)
    job = job.prepared(replace(SPEC, **spec), staging, ROWS, clock(), TIMING)
    done = batch(state)
    return job.submitted(done, clock()).ended(done, clock())


def gone_again(clock: Clock, **spec: Any) -> Job:
    """The same, two of whose rows go again."""
    job = ended(clock, **spec)
    return job.goes_again(clock(), gathered=GATHERED, passing=2, **made())


def done(clock: Clock, sent: Job, **counts: Any) -> Job:
    """A round once its results are there."""
    staging = replace(STAGED, rows=2, first=3)
    sent = sent.resumed("second", clock(), TIMING)
    sent = sent.prepared(
        there(sent.spec), staging, Rows(total=2, accepted=2), clock(), TIMING
    )
    sent = sent.submitted(batch(successful=2), clock())
    sent = sent.ended(batch(successful=2), clock())
    counts = counts or {"ok": 2}
    return jobs.collected(sent, clock(), **counts)


# -- whether rows go again ---------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "passing", "code"),
    [
        ("SUCCEEDED", 2, None),
        ("PARTIALLY_SUCCEEDED", 2, None),
        ("FAILED", 2, None),
        ("EXPIRED", 2, None),
        ("CANCELLED", 2, SkipCode.CANCELLED),
        ("SUCCEEDED", 3, SkipCode.OVER_SHARE),
    ],
)
def test_rows_go_again_after_answers_and_up_to_a_share(
    clock: Clock, state: str, passing: int, code: str | None
) -> None:
    skipped = ended(clock, state).skip(passing)

    assert (skipped.code if skipped else None) == code


@pytest.mark.parametrize("state", ["FAILED", "EXPIRED"])
def test_a_batch_that_left_no_answers_is_not_sent_again(
    clock: Clock, state: str
) -> None:
    job = ended(clock, state)
    job = replace(job, batch=batch(state, successful=0))

    assert there(job.skip(1)).code == SkipCode.NO_ANSWERS


def test_no_row_goes_again_in_more_rounds_than_were_chosen(clock: Clock) -> None:
    assert there(ended(clock, retry=0).skip(1)).code == SkipCode.ROUNDS_USED
    assert ended(clock, retry=1).skip(1) is None


@pytest.mark.parametrize(
    ("outcome", "healed", "code"),
    [
        (Outcome.SUCCEEDED, 1, None),
        (Outcome.SUCCEEDED, 0, SkipCode.NONE_HEALED),
        (Outcome.REJECTED, 0, SkipCode.REJECTED),
    ],
)
def test_a_round_that_healed_no_row_is_the_last(
    clock: Clock, outcome: Outcome, healed: int, code: str | None
) -> None:
    job = gone_again(clock)
    over = replace(job.round_now, outcome=outcome, healed=healed)

    skipped = job.skip(1, over)

    assert (skipped.code if skipped else None) == code


def test_a_cancel_between_rounds_is_the_end_of_them(clock: Clock) -> None:
    job = gone_again(clock).request_cancel("ada", clock())

    over = replace(job.round_now, outcome=Outcome.SUCCEEDED, healed=1)

    assert there(job.skip(1, over)).code == SkipCode.CANCELLED
    assert (job.awaits, job.phase) == ("round", Phase.ENDED)


# -- a round -----------------------------------------------------------------------


def test_nothing_is_announced_or_done_while_rows_go_again(clock: Clock) -> None:
    before = ended(clock)

    job = gone_again(clock)

    assert (job.seq, job.is_done, job.results) == (before.seq, False, None)
    assert (job.awaits, job.is_due(clock())) == ("round", False)
    assert there(job.waiting_for).code == WaitCode.ROUND
    assert [(one.n, one.job, one.rows) for one in job.rounds] == [
        (0, job.id, 10),
        (1, job.round_id(1), 2),
    ]
    assert decode(sparse(encode(job)), Job) == job


def test_a_round_is_a_job_with_the_frozen_spec(clock: Clock) -> None:
    job = gone_again(clock)

    sent = job.round_job(clock())

    assert (sent.phase, sent.retry_of, sent.round) == (Phase.ARRIVED, job.id, 1)
    assert (sent.created_at, sent.is_due(clock())) == (job.created_at, True)
    assert there(sent.spec) == replace(
        SPEC,
        destination="gs://out/reviews.jsonl/x/round-0001/",
        display_name="reviews.jsonl round 1",
        labels={"batchdrop_job": sent.id, "team": "ops"},
        generation_config=None,
        retry=0,
    )
    assert sent.undone_of == job.id
    assert _is_id_of(sent)
    assert not _is_id_of(replace(sent, round=2))


def test_a_round_announces_nothing_whatever_becomes_of_it(clock: Clock) -> None:
    sent = gone_again(clock).round_job(clock())

    assert done(clock, sent).seq == 0
    assert sent.rejected(Problem(code="over_limit", message="x"), clock()).seq == 0
    assert sent.park(clock(), "x").seq == 0
    assert sent.request_cancel("ada", clock()).phase is Phase.REJECTED


def test_a_round_is_kept_until_its_results_are_used(clock: Clock) -> None:
    sent = done(clock, gone_again(clock).round_job(clock()))

    assert (sent.is_done, sent.may_expire) == (True, False)
    assert sent.let_expire(clock()).may_expire


def test_a_round_that_is_done_makes_its_job_due(clock: Clock) -> None:
    job = gone_again(clock)
    sent = job.round_job(clock())

    waits = job.round_told(sent, clock())
    due = waits.round_told(done(clock, sent), clock())

    assert waits.round_told(sent, clock()) == waits
    assert not waits.is_due(clock())
    assert due.is_due(clock())
    assert there(due.collecting).step == Step.HEAL
    assert (due.awaits, due.put_off, due.seq) == (None, None, job.seq)
    assert due.round_told(sent, clock()) == due


def test_the_job_stalls_once_when_its_round_is_ill(clock: Clock) -> None:
    job = gone_again(clock)
    sent = job.round_job(clock())
    ill = sent.park(clock(), "its workers die")

    held = job.round_told(ill, clock())
    still = held.round_told(ill, clock())
    well = still.round_told(sent, clock())

    assert there(held.health).code == HealthCode.ROUND_HELD
    assert "parked: its workers die" in there(held.health).message
    assert there(held.waiting_for).code == WaitCode.PERSON
    assert (held.seq, still) == (job.seq + 1, held)
    assert (well.health, well.seq) == (job.health, held.seq)


def test_the_results_of_all_rounds_are_announced_once(clock: Clock) -> None:
    job = gone_again(clock)
    sent = done(clock, job.round_job(clock()))
    due = job.round_told(sent, clock())

    over = due.round_over(sent, healed=2)
    after = due.collected(
        clock(), results=replace(RESULTS, round=1), over=over, **made(10, 0, 12)
    )

    assert (after.is_done, after.seq, after.gathered) == (True, job.seq + 1, None)
    assert after.rounds[1] == replace(
        due.rounds[1], outcome=Outcome.SUCCEEDED, healed=2, usage=Usage(prompt=3)
    )
    assert there(after.own_cost).micros == 10


def test_each_round_has_a_cost_document_of_its_own(clock: Clock) -> None:
    before, job = ended(clock), gone_again(clock)
    sent = done(clock, job.round_job(clock()))
    first = there(RoundCost.between(before, job))
    arrived = replace(sent, results=None, collecting=before.collecting)

    second = there(RoundCost.between(arrived, sent))

    assert (first.job, first.round, first.micros) == (job.id, 0, 10)
    assert (second.job, second.round) == (job.id, 1)
    after = job.round_told(sent, clock())
    merged = after.collected(clock(), results=RESULTS, **made())
    assert RoundCost.between(after, merged) is None


def test_results_that_are_made_again_send_no_round_twice(clock: Clock) -> None:
    job = gone_again(clock)
    lost = replace(job, collecting=replace(there(job.collecting), round=0))

    again = lost.goes_again(clock(), gathered=GATHERED, passing=2, **made())

    assert again.rounds == job.rounds


@pytest.mark.parametrize("of_the_round", [False, True])
def test_results_that_are_deleted_each_time_park_the_job_in_the_end(
    clock: Clock, of_the_round: bool
) -> None:
    job = gone_again(clock)
    lost = done(clock, job.round_job(clock())) if of_the_round else job
    seq = lost.seq

    for _ in range(MAX_DROPPED):
        lost = lost.collected_anew(clock())
        left = there(lost.collecting)
        assert (left.step, left.round, left.due) == (Step.FREEZE, lost.round, clock())
        assert not lost.is_held(clock())
    parked = lost.collected_anew(clock())

    assert there(parked.parked).message.startswith("its results were deleted")
    assert parked.seq == (seq if of_the_round else seq + 1)
    assert parked.unpark("a person", clock()).is_due(clock())


# -- on purpose --------------------------------------------------------------------


def published(clock: Clock, **spec: Any) -> Job:
    return ended(clock, **spec).collected(clock(), results=RESULTS, **made())


def test_a_person_may_send_rows_of_a_job_that_is_done_again(clock: Clock) -> None:
    job = published(clock, retry=0)

    asked = job.retry_requested("ada", ("failed",), clock())
    chosen = asked.round_chosen(2, clock())

    assert (there(asked.collecting).step, asked.is_due(clock())) == (Step.RETRY, True)
    assert (asked.round_now.by, asked.round_now.only) == ("ada", ("failed",))
    assert (asked.results, asked.is_done) == (RESULTS, False)
    assert (chosen.awaits, chosen.round_now.rows) == ("round", 2)
    assert chosen.round_now.job == job.round_id(1)


def test_a_round_on_purpose_comes_after_those_that_were(clock: Clock) -> None:
    job = gone_again(clock)
    sent = done(clock, job.round_job(clock()))
    due = job.round_told(sent, clock())
    over = due.round_over(sent, healed=2)
    job = due.collected(clock(), results=replace(RESULTS, round=1), over=over, **made())

    asked = job.retry_requested("ada", (), clock())

    assert asked.round_now.n == 2


@pytest.mark.parametrize(
    ("job", "why"),
    [
        (ended, "is not done yet"),
        (lambda clock: replace(published(clock), results=None), "has no results"),
        (lambda clock: replace(published(clock), part_of="x"), "is a part of x"),
        (lambda clock: replace(published(clock), retry_of="x"), "is a round of x"),
    ],
)
def test_other_jobs_have_no_rows_to_send_again(
    clock: Clock, job: Any, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        job(clock).retry_requested("ada", (), clock())


def test_a_request_for_rows_that_are_none_leaves_all_as_it_was(clock: Clock) -> None:
    job = published(clock)
    asked = job.retry_requested("ada", ("blocked",), clock())
    skipped = Skipped(code=SkipCode.NO_ROWS, message="no row is blocked")

    void = asked.round_void(clock(), skipped)

    assert (void.is_done, void.rounds, void.results) == (True, (), RESULTS)
    assert (void.seq, there(void.skipped).code) == (job.seq, SkipCode.NO_ROWS)


def test_a_round_is_never_run_again_by_itself(clock: Clock) -> None:
    sent = done(clock, gone_again(clock).round_job(clock()))

    with pytest.raises(ValueError, match="run that once more"):
        sent.rerun_counted("ada", clock())


def test_failures_are_no_trouble_while_they_may_be_healed(clock: Clock) -> None:
    job = gone_again(clock, failed_share=0.1)
    sent = job.round_job(clock())
    failed = done(clock, sent, failed=2)
    due = job.round_told(failed, clock())

    after = due.collected(clock(), results=RESULTS, **made())

    assert (job.health, due.health, failed.health) == (None, None, None)
    assert there(after.health).code == HealthCode.ROWS_FAILED


def test_an_announcement_says_why_rows_did_not_go_again(clock: Clock) -> None:
    job = ended(clock, retry_share=0.1)

    after = job.collected(clock(), results=RESULTS, skipped=job.skip(2), **made())

    said = event_of(after, "//batchdrop/tests").skipped
    assert there(said).code == "over_share"
    assert there(said).message == (
        "2 rows don't go again: that is more than 0.1 of 10 rows"
    )
