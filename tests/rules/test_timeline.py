"""How long a job was in what."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.dashboard.timeline import Stretch, time_line
from batchdrop.jobs.codes import ErrorCode, Outcome, Phase, SkipCode
from batchdrop.jobs.job import Job
from batchdrop.jobs.record import MAX_HISTORY
from batchdrop.jobs.values import Batch, Moment, Part, Problem, Skipped, Stats, Usage
from batchdrop.rows import Rows
from tests.clock import Clock
from tests.jobs import DROP, RESULTS, SPEC, STAGED, TIMING, collected

MINUTE = timedelta(minutes=1)
ROWS = Rows(total=1, accepted=1)
RETRYING = replace(SPEC, retry=2)


def batch(word: str, **times: datetime) -> Batch:
    terminal = word not in ("PENDING", "RUNNING")
    state = f"JOB_STATE_{word}"
    return Batch(name="batches/1", state=state, terminal=terminal, **times)  # type: ignore[arg-type]


def submitted(clock: Clock, **times: datetime) -> Job:
    """Checked for a minute, waited for two; the API has it a minute later."""
    job = Job.claimed(DROP, "first", clock(), TIMING)
    clock.advance(minutes=1)
    job = job.prepared(RETRYING, STAGED, ROWS, clock(), TIMING)
    clock.advance(minutes=2)
    job = job.submitting(clock(), TIMING)
    clock.advance(minutes=1)
    return job.submitted(batch("PENDING", **times), clock())


def minutes(found: list[Stretch]) -> list[tuple[str, float]]:
    """The kinds, with how many minutes each took."""
    return [(str(one.kind), one.took / MINUTE) for one in found]


def test_a_job_that_has_just_arrived_is_being_checked(clock: Clock) -> None:
    job = Job.claimed(DROP, "first", clock(), TIMING)

    [one] = time_line(job, clock())

    assert (one.kind, one.took, one.lasts) == ("checking", timedelta(0), True)


def test_each_time_is_the_apis_where_that_fits_what_we_saw(clock: Clock) -> None:
    begin = clock()
    job = submitted(clock, create_time=begin + 3.5 * MINUTE)
    clock.advance(minutes=5)
    runs = batch(
        "RUNNING", create_time=begin + 3.5 * MINUTE, start_time=begin + 7 * MINUTE
    )
    job = job.observed(runs, clock())
    clock.advance(minutes=10)
    done = batch(
        "SUCCEEDED", create_time=begin + 3.5 * MINUTE, end_time=begin + 15 * MINUTE
    )
    job = job.ended(done, clock())
    clock.advance(minutes=2)
    job = collected(job, clock())
    clock.advance(hours=9)

    assert minutes(time_line(job, clock())) == [
        ("checking", 1),
        ("waiting", 2.5),
        ("queued", 3.5),
        ("running", 8),
        ("collecting", 6),
    ]


@pytest.mark.parametrize("wrong", [-9 * 60, 9 * 60], ids=["behind", "ahead"])
def test_a_clock_of_the_api_that_differs_gives_way_to_ours(
    clock: Clock, wrong: int
) -> None:
    theirs = clock() + wrong * MINUTE
    job = submitted(clock, create_time=theirs)
    clock.advance(minutes=5)
    job = job.observed(batch("RUNNING", start_time=theirs), clock())
    clock.advance(minutes=10)
    job = job.ended(replace(batch("SUCCEEDED"), end_time=theirs), clock())

    found = time_line(job, clock() + MINUTE)

    assert minutes(found) == [
        *(("checking", 1), ("waiting", 3), ("queued", 5), ("running", 10)),
        ("collecting", 1),
    ]
    assert [one.lasts for one in found] == [False] * 4 + [True]


def test_a_batch_that_ran_between_two_ticks_is_shown_to_have_run(clock: Clock) -> None:
    job = submitted(clock)
    at = clock()
    clock.advance(minutes=8)
    done = replace(
        batch("SUCCEEDED"), start_time=at + 2 * MINUTE, end_time=at + 7 * MINUTE
    )
    off = replace(job, spec=replace(SPEC, results="off")).ended(done, clock())

    assert minutes(time_line(off, clock() + MINUTE))[2:] == [
        ("queued", 2),
        ("running", 5),
    ]


def test_a_batch_that_never_began_was_queued_until_its_end(clock: Clock) -> None:
    job = submitted(clock)
    clock.advance(minutes=8)
    job = job.ended(batch("FAILED"), clock())

    assert minutes(time_line(job, clock() + MINUTE))[2:] == [
        ("queued", 8),
        ("collecting", 1),
    ]


def test_a_job_without_a_batch_ends_when_it_is_rejected(clock: Clock) -> None:
    job = Job.claimed(DROP, "first", clock(), TIMING)
    clock.advance(minutes=1)
    job = job.rejected(Problem(code=ErrorCode.BAD_ROWS, message="no"), clock())

    assert minutes(time_line(job, clock() + MINUTE)) == [("checking", 1)]


def test_a_batch_that_is_sent_again_was_waiting_in_between(clock: Clock) -> None:
    job = submitted(clock)
    clock.advance(minutes=4)
    job = job.revived(clock())
    clock.advance(minutes=3)
    job = job.submitting(clock(), TIMING).submitted(batch("PENDING"), clock())

    assert minutes(time_line(job, clock() + MINUTE))[1:] == [
        *(("waiting", 3), ("queued", 4), ("waiting", 3), ("queued", 1)),
    ]


def test_rounds_are_apart_from_collecting_and_from_the_time_after_the_end(
    clock: Clock,
) -> None:
    job = submitted(clock).ended(batch("SUCCEEDED"), clock())
    clock.advance(minutes=2)
    rows = replace(ROWS, failed=1)
    job = job.goes_again(clock(), gathered=RESULTS, passing=1, rows=rows, usage=Usage())
    clock.advance(minutes=6)
    sent = job.round_job(clock())
    over = replace(sent, phase=Phase.REJECTED, history=(*sent.history,))
    job = job.round_told(over, clock())
    clock.advance(minutes=1)
    job = collected(job, clock())
    clock.advance(hours=5)
    job = job.retry_requested("ada", (), clock())
    clock.advance(minutes=3)
    void = job.round_void(clock(), Skipped(code=SkipCode.NO_ROWS, message="none"))

    later = time_line(job, clock())
    assert [
        (*each, one.round) for each, one in zip(minutes(later), later, strict=True)
    ][2:] == [
        ("collecting", 2, 0),
        ("round", 6, 1),
        ("collecting", 1, 0),
        ("round", 3, 2),
    ]
    assert later[-1].lasts
    assert later[-1].begin - later[-2].end == timedelta(hours=5)
    assert minutes(time_line(void, clock() + MINUTE)) == minutes(later)


def test_a_split_job_has_its_parts_in_the_place_of_a_batch(clock: Clock) -> None:
    job = Job.claimed(DROP, "first", clock(), TIMING)
    part = Part(n=0, first=1, last=1, staging=STAGED)
    job = job.part_staged(part, clock(), TIMING)
    clock.advance(minutes=1)
    job = job.split(SPEC, ROWS, clock())
    child = job.part_jobs(clock())[0].submitting(clock(), TIMING)
    clock.advance(minutes=7)
    stats = Stats(successful=1)
    done = replace(batch("SUCCEEDED"), completion_stats=stats)
    child = child.submitted(batch("PENDING"), clock()).ended(done, clock())
    job = job.part_over(child, clock())

    assert minutes(time_line(job, clock() + MINUTE)) == [
        *(("checking", 1), ("parts", 7), ("collecting", 1)),
    ]
    assert minutes(time_line(child, clock() + MINUTE))[0] == ("waiting", 7)


def test_what_a_long_history_has_dropped_is_left_out(clock: Clock) -> None:
    job = submitted(clock)
    for n in range(MAX_HISTORY):
        clock.advance(minutes=1)
        job = job.observed(batch("PENDING"), clock()).request_cancel(f"p{n}", clock())
        job = replace(job, cancel_request=None)
    assert len(job.history) == MAX_HISTORY

    found = time_line(job, clock())

    # The first entry is that of its arrival, and the others begin minutes later.
    assert minutes(found) == [("queued", MAX_HISTORY - 2)]


#: Moments as no job has them, in any order of phases and times.
_TIMES = st.integers(-500, 500).map(
    lambda n: datetime.fromisoformat("2026-03-01T12:00:00+00:00") + n * MINUTE
)
_NOTES = st.sampled_from(
    ["round 1", "round 2 requested by x", "round 1 is done", "results", "parts", "why"]
)
_MOMENTS = st.builds(
    Moment,
    at=_TIMES,
    phase=st.sampled_from(list(Phase)),
    state=st.none() | st.sampled_from([each.state for each in Outcome]),
    reported_at=st.none() | _TIMES,
    note=st.none() | _NOTES,
)


@given(
    moments=st.lists(_MOMENTS, min_size=1, max_size=6),
    times=st.tuples(*([st.none() | _TIMES] * 3)),
    now=_TIMES,
)
def test_no_stretch_is_negative_or_overlaps_another_whatever_the_times(
    moments: list[Moment], times: tuple[datetime | None, ...], now: datetime
) -> None:
    create, start, end = times
    made = replace(
        batch("SUCCEEDED"), create_time=create, start_time=start, end_time=end
    )
    job = replace(
        Job.claimed(DROP, "first", now, TIMING), batch=made, history=tuple(moments)
    )

    found = time_line(job, now)

    assert all(one.took >= timedelta(0) for one in found)
    assert all(one.end <= following.begin for one, following in pairwise(found))
