"""The rules of a job, without any I/O."""

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from batchdrop.errors import NotADrop
from batchdrop.jobs.codes import HealthCode, Phase, WaitCode
from batchdrop.jobs.job import Job
from batchdrop.jobs.polled import tick_at
from batchdrop.jobs.sizes import size_of
from batchdrop.jobs.steps import MAX_RESUMES
from batchdrop.jobs.values import (
    FINALIZED,
    Batch,
    Drop,
    Health,
    Part,
    Problem,
    Staging,
    Stats,
)
from batchdrop.rows import RowError, Rows
from tests.clock import Clock
from tests.jobs import DROP, SPEC, TIMING, collected
from tests.there import there

STAGED = Staging(epoch=1, uri="gs://work/x/1/requests.jsonl")
RUNNING = Batch(
    name="batches/1",
    state="JOB_STATE_RUNNING",
    terminal=False,
    source=STAGED.uri,
    epoch=STAGED.epoch,
)
BAD_ROWS = Problem(code="bad_rows", message="line 1: ...")


@pytest.fixture
def arrived(clock: Clock) -> Job:
    return Job.claimed(DROP, "first", clock(), TIMING)


@pytest.fixture
def prepared(arrived: Job, clock: Clock) -> Job:
    return arrived.prepared(SPEC, STAGED, Rows(total=1, accepted=1), clock(), TIMING)


@pytest.fixture
def submitting(prepared: Job, clock: Clock) -> Job:
    return prepared.submitting(clock(), TIMING)


@pytest.fixture
def submitted(submitting: Job, clock: Clock) -> Job:
    return submitting.submitted(RUNNING, clock())


def test_a_batch_without_named_answers_is_not_deleted(
    submitted: Job, clock: Clock
) -> None:
    assert submitted.spec is not None
    job = replace(
        submitted, spec=replace(submitted.spec, delete_after=60.0, results="off")
    )
    done = replace(RUNNING, state="JOB_STATE_SUCCEEDED", terminal=True)
    error = Problem(code="no_output", message="named nowhere")

    assert job.ended(done, clock(), error).delete_at is None
    assert job.ended(done, clock()).delete_at is not None


@pytest.mark.parametrize(
    ("output", "minutes", "waits"),
    [
        ({}, 0, True),
        ({}, 9.9, True),
        ({}, 10, False),
        ({"output_directory": "gs://b/o"}, 0, False),
        ({"output_table": "bq://p.d.t"}, 0, False),
        ({"has_answers": True}, 0, False),
        ({"state": "JOB_STATE_PARTIALLY_SUCCEEDED"}, 9.9, True),
        ({"state": "JOB_STATE_FAILED"}, 0, False),
        ({"state": "JOB_STATE_EXPIRED"}, 0, False),
        ({"state": "JOB_STATE_RUNNING", "terminal": False}, 0, False),
    ],
)
@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(days=1), None])
def test_the_api_has_ten_minutes_to_name_the_answers_of_a_success(
    submitted: Job,
    clock: Clock,
    output: dict[str, Any],
    minutes: float,
    waits: bool,
    ahead: timedelta | None,
) -> None:
    members = {"state": "JOB_STATE_SUCCEEDED", "terminal": True, **output}
    end_time = None if ahead is None else clock() + ahead
    batch = replace(RUNNING, end_time=end_time, **members)
    # If the API gives no time, or its clock is ahead, our own observation counts.
    job = submitted.observed(batch, clock())
    clock.advance(minutes=minutes)

    assert job.may_name_output(batch, clock()) is waits


def test_how_often_the_api_did_not_find_a_batch_is_said_in_words(
    submitted: Job, clock: Clock
) -> None:
    once = submitted.missed_once_more(clock())
    twice = once.missed_once_more(clock())

    assert [
        there(job.not_found).message.rpartition("; ")[2] for job in (once, twice)
    ] == ["asked 1 time", "asked 2 times"]


def test_one_generation_of_an_object_always_has_the_same_id() -> None:
    assert DROP.job_id == "mazelxmxp7hi3spokqxmnprsgn"
    assert replace(DROP, size=99).job_id == DROP.job_id
    assert replace(DROP, generation=8).job_id != DROP.job_id


def test_an_event_is_read_with_its_integers_as_strings_or_as_numbers() -> None:
    strings = {"bucket": "inbox", "name": "a.jsonl", "generation": "7", "size": "3"}
    numbers = strings | {"generation": 7, "size": 3}

    for data in (strings, numbers):
        assert Drop.from_event(FINALIZED, data) == Drop(
            bucket="inbox", name="a.jsonl", generation=7, size=3
        )


@pytest.mark.parametrize(
    "data",
    [
        b"{not json",
        None,
        [],
        "text",
        {},
        {"bucket": "b", "name": "n"},
        {"bucket": "b", "name": "n", "generation": "x"},
        {"bucket": 1, "name": "n", "generation": "1"},
        {"bucket": "b", "name": None, "generation": "1"},
        {"bucket": "b", "name": "n", "generation": None},
    ],
)
def test_an_event_that_names_no_object_is_not_a_drop(data: object) -> None:
    with pytest.raises(NotADrop):
        Drop.from_event(FINALIZED, data)


def test_an_event_of_another_type_is_not_a_drop() -> None:
    with pytest.raises(NotADrop, match=r"another type than .*\.finalized"):
        Drop.from_event(
            "google.cloud.storage.object.v1.deleted",
            {"bucket": "b", "name": "n", "generation": "1"},
        )


def test_every_step_of_a_worker_renews_its_lease(prepared: Job, clock: Clock) -> None:
    clock.advance(minutes=9)

    job = prepared.submitting(clock(), TIMING)

    assert job.lease.until == clock() + TIMING.lease
    assert job.lease.epoch == prepared.lease.epoch


def test_a_job_is_due_when_its_lease_is_over(arrived: Job, clock: Clock) -> None:
    clock.time += TIMING.lease - timedelta(seconds=1)
    assert not arrived.is_due(clock())

    clock.advance(seconds=1)
    assert arrived.is_due(clock())


def test_after_an_intent_a_job_is_due_when_a_list_would_show_the_batch(
    submitting: Job, clock: Clock
) -> None:
    late = submitting.lease.until + TIMING.create_timeout + TIMING.list_lag

    assert submitting.due == late


def test_only_the_first_request_of_a_fresh_claim_needs_no_search(
    prepared: Job, clock: Clock
) -> None:
    assert not prepared.must_search
    assert prepared.resumed("second", clock(), TIMING).must_search


def test_a_worker_may_not_send_on_the_intent_of_another(
    submitting: Job, clock: Clock
) -> None:
    assert submitting.intends
    assert not submitting.resumed("second", clock(), TIMING).intends


def test_a_temporary_refusal_leaves_no_request_in_flight(
    submitting: Job, clock: Clock
) -> None:
    later = clock() + timedelta(minutes=3)

    job = submitting.wait(WaitCode.QUOTA, "429", clock(), due=later)

    assert job.phase is Phase.WAITING
    assert job.due == later
    assert not job.is_held(clock())


def test_an_unclear_answer_keeps_the_intent_until_a_list_can_show_the_batch(
    submitting: Job, clock: Clock
) -> None:
    job = submitting.unclear("503", clock(), TIMING)

    assert job.phase is Phase.SUBMITTING
    assert job.due == clock() + TIMING.list_lag
    assert not job.is_held(clock())


def test_a_resume_that_the_api_stops_does_not_count(
    submitting: Job, clock: Clock
) -> None:
    resumed = submitting.resumed("second", clock(), TIMING)

    assert resumed.resumes == 1
    assert resumed.unclear("503", clock(), TIMING).resumes == 0
    assert resumed.wait(WaitCode.QUOTA, "429", clock(), due=clock()).resumes == 0
    assert resumed.postpone("no answer", clock(), due=clock()).resumes == 0
    assert resumed.gave_up("KeyError: 'x'", clock()).resumes == 1


def failing(job: Job, clock: Clock, **how_long: float) -> Job:
    """The job after its next step has failed every ten minutes for `how_long`."""
    until = clock() + timedelta(**how_long)
    while clock() <= until:
        job = job.resumed("w", clock(), TIMING).postpone("503", clock(), due=clock())
        clock.advance(minutes=10)
    return job


def test_an_outage_of_an_hour_is_not_announced(arrived: Job, clock: Clock) -> None:
    start = clock()

    job = failing(arrived, clock, hours=1)

    assert job.postponed is not None
    assert job.postponed.since == start
    assert job.postponed.message == "503"
    assert (job.health, job.seq) == (None, 0)


def test_a_step_that_fails_for_hours_is_announced_once(
    arrived: Job, clock: Clock
) -> None:
    start = clock()

    job = failing(arrived, clock, hours=30)

    assert job.seq == 1
    assert job.health is not None
    assert (job.health.code, job.health.since) == ("postponed", start)
    assert "since 2026-03-01 12:00 UTC: 503" in job.health.message
    assert job.due is not None


def test_hours_of_unclear_answers_and_fences_are_announced_as_postponed(
    submitting: Job, clock: Clock
) -> None:
    job = submitting
    for _ in range(9):
        job = job.unclear("503", clock(), TIMING)
        clock.advance(minutes=20)
        job = job.resumed("w", clock(), TIMING).fenced_off(clock(), TIMING)
        job = job.resumed("w", clock(), TIMING).wait(
            WaitCode.QUEUE, "queued", clock(), clock()
        )
        job = job.resumed("w", clock(), TIMING).submitting(clock(), TIMING)

    assert job.seq == 1
    assert job.health is not None
    assert job.health.code == "postponed"


def test_a_job_that_rereads_its_file_pauses_longer_after_each_attempt(
    arrived: Job, clock: Clock
) -> None:
    job, start, minutes = arrived, clock(), []
    while clock() - start < timedelta(hours=5):
        job = job.resumed("w", clock(), TIMING).postpone("503", clock(), due=clock())
        minutes.append((clock() - start) // timedelta(minutes=1))
        assert job.due is not None
        clock.time = max(job.due, clock() + timedelta(minutes=1))  # the next tick

    assert minutes == [0, 1, 2, 4, 8, 16, 32, 64, 124, 184, 244]


def test_a_job_that_fails_for_three_days_before_staging_is_parked_with_the_reason(
    arrived: Job, clock: Clock
) -> None:
    start = clock()

    job = failing(arrived, clock, hours=71)
    assert (job.is_parked, job.seq) == (False, 1)

    job = failing(job, clock, minutes=50)
    assert job.parked is not None
    assert (
        f"no step forward since {start:%Y-%m-%d %H:%M} UTC: 503" in job.parked.message
    )
    assert f"batchdrop resume {job.id}" in job.parked.message
    assert (job.due, job.seq) == (None, 2)

    again = job.unpark("ada", clock()).postpone("503", clock(), due=clock())
    assert again.due == clock()


def test_a_cancel_request_does_not_wait_for_the_next_attempt(
    arrived: Job, clock: Clock
) -> None:
    job = arrived.request_cancel("ada", clock())

    job = job.postpone("503", clock(), due=clock())

    assert job.phase is Phase.REJECTED
    assert job.outcome == "cancelled"


def test_a_job_whose_checkpoints_are_dropped_repeatedly_is_parked(
    arrived: Job, clock: Clock
) -> None:
    """So it would be with two versions of the code that read a file differently."""
    job, part = arrived, Part(n=0, first=1, last=2, staging=STAGED)
    for _ in range(3):
        job = job.unstaged(clock())
        assert job.is_due(clock())
        job = job.resumed("w", clock(), TIMING)
        job = job.part_staged(part, clock(), TIMING)

    job = job.unstaged(clock())

    assert job.parked is not None
    assert "read differently the next time, 4 times" in job.parked.message
    assert not job.unpark("ada", clock()).unstaged(clock()).is_parked


def test_a_permission_missing_for_hours_is_announced_as_not_allowed(
    submitting: Job, clock: Clock
) -> None:
    job, missing = submitting, Health(code="not_allowed", message="x", since=clock())
    for _ in range(30):
        job = job.postpone("x", clock(), due=clock(), not_allowed=True)
        clock.advance(minutes=10)

    assert (job.health, job.seq) == (missing, 1)
    assert job.postponed is not None
    assert job.postponed.message == "x"


def test_a_job_in_the_queue_for_days_is_not_postponed(
    prepared: Job, clock: Clock
) -> None:
    job = prepared.postpone("no answer", clock(), due=clock())
    for _ in range(100):
        clock.advance(hours=1)
        job = job.wait(WaitCode.QUOTA, "429", clock(), due=clock())

    job = job.postpone("no answer", clock(), due=clock())

    assert (job.health, job.seq) == (None, 0)
    assert job.postponed is not None
    assert job.postponed.since == clock()


def test_a_step_forward_ends_the_count_and_its_health(
    arrived: Job, clock: Clock
) -> None:
    job = failing(arrived, clock, hours=3)

    job = job.prepared(SPEC, STAGED, Rows(), clock(), TIMING)
    assert (job.health, job.postponed) == (None, None)

    job = failing(job, clock, hours=1)
    assert (job.health, job.seq) == (None, 1)


def test_a_failed_step_with_an_open_intent_waits_as_long_as_after_a_crash(
    submitting: Job, prepared: Job, clock: Clock
) -> None:
    assert submitting.gave_up("oops", clock()).due == submitting.due
    assert prepared.gave_up("oops", clock()).due == clock()


def test_the_fence_ends_the_lease_and_leaves_no_intent(
    submitting: Job, clock: Clock
) -> None:
    second = submitting.resumed("second", clock(), TIMING)
    moved = Staging(epoch=2, uri="gs://work/x/2/requests.jsonl")

    job = second.restaged(moved, clock()).fenced_off(clock(), TIMING)

    assert job.phase is Phase.PREPARED
    assert job.staging == moved
    assert job.due == clock() + TIMING.list_lag
    assert not job.is_held(clock())


def failed(batch: Batch) -> Batch:
    return replace(batch, state="JOB_STATE_FAILED", terminal=True)


def test_a_batch_that_failed_because_of_the_fence_is_recognised(
    submitted: Job,
) -> None:
    older = replace(RUNNING, source="gs://work/x/0/requests.jsonl", epoch=0)
    another = replace(RUNNING, source="gs://elsewhere/requests.jsonl", epoch=None)
    paid = replace(older, completion_stats=Stats(successful=3))

    assert submitted.failed_by_fence(failed(older))
    assert not submitted.failed_by_fence(failed(paid))
    assert not submitted.failed_by_fence(failed(RUNNING))
    assert not submitted.failed_by_fence(older)
    assert not submitted.failed_by_fence(failed(another))


def test_the_time_limits_restart_after_a_fenced_batch_failed(
    submitting: Job, clock: Clock
) -> None:
    spec = replace(SPEC, cancel_after=60.0, stalled_after={"other": 60.0})
    patient = replace(submitting, spec=spec).submitted(RUNNING, clock())
    assert patient.cancel_at == patient.stall_at == clock() + timedelta(minutes=1)

    again = patient.revived(clock())

    assert (again.cancel_at, again.stall_at, again.running_since) == (None, None, None)
    clock.advance(hours=1)
    second = again.submitting(clock(), TIMING).submitted(RUNNING, clock())
    assert second.cancel_at == clock() + timedelta(minutes=1)


def test_an_unknown_state_shows_in_the_health_since_it_began(
    submitted: Job, clock: Clock
) -> None:
    began = clock()
    strange = replace(RUNNING, state="JOB_STATE_FROM_THE_FUTURE", known=False)
    job = submitted.observed(strange, began)

    clock.advance(hours=1)
    counted = replace(strange, completion_stats=Stats(successful=3))
    job = job.observed(counted, clock())

    assert job.health is not None
    assert (job.health.code, job.health.since) == ("unknown_state", began)
    assert job.observed(RUNNING, clock()).health is None


def test_a_duplicate_outranks_an_unknown_state_in_the_health(
    submitted: Job, clock: Clock
) -> None:
    health = Health(code="duplicates", message="batches/2", since=clock())
    strange = replace(RUNNING, state="JOB_STATE_FROM_THE_FUTURE", known=False)

    job = submitted.duplicates_found(["batches/2"], "batches/2", clock())
    job = job.observed(strange, clock())

    assert job.health == health


def test_a_batch_never_seen_running_has_its_start_from_the_api(
    submitting: Job, clock: Clock
) -> None:
    pending = replace(RUNNING, state="JOB_STATE_PENDING")
    job = submitting.submitted(pending, clock())
    began = clock()
    clock.advance(hours=1)
    done = replace(
        RUNNING, state="JOB_STATE_SUCCEEDED", terminal=True, start_time=began
    )

    job = job.ended(done, clock())

    assert job.running_since == began


def test_a_job_is_parked_and_announced_once(arrived: Job, clock: Clock) -> None:
    parked = arrived.park(clock())

    assert parked.seq == 1
    assert parked.park(clock()) == parked


def test_a_cancel_request_resumes_a_parked_job_that_may_have_sent_a_request(
    submitting: Job, clock: Clock
) -> None:
    parked = replace(submitting, resumes=5).park(clock())
    clock.advance(hours=1)

    job = parked.request_cancel("ada", clock())

    assert (job.phase, job.due, job.resumes) == (Phase.SUBMITTING, clock(), 0)
    assert not job.is_parked


UNANNOUNCED = (HealthCode.UNPUBLISHED, "Pub/Sub refused it")


def test_another_trouble_does_not_hide_that_a_job_is_parked(
    prepared: Job, clock: Clock
) -> None:
    parked = replace(prepared, resumes=5).park(clock())
    parked = parked.troubled(*UNANNOUNCED, clock())
    clock.advance(hours=1)

    assert parked.is_parked
    assert parked.unpark("ada", clock()).is_due(clock())
    assert parked.request_cancel("ada", clock()).is_over


def test_parked_comes_first_in_the_health(prepared: Job, clock: Clock) -> None:
    parked = prepared.park(clock()).troubled(*UNANNOUNCED, clock())

    assert parked.health is not None
    assert parked.health.code == "parked"
    code, message = UNANNOUNCED
    assert parked.unpark("ada", clock()).health == Health(
        code=code, message=message, since=clock()
    )


@pytest.mark.parametrize("phase", [Phase.ARRIVED, Phase.PREPARED, Phase.WAITING])
def test_a_parked_job_can_be_cancelled_by_a_second_request(
    arrived: Job, prepared: Job, clock: Clock, phase: Phase
) -> None:
    held = arrived if phase is Phase.ARRIVED else replace(prepared, phase=phase)
    parked = held.request_cancel("ada", clock()).park(clock())
    clock.advance(minutes=10)

    job = parked.request_cancel("bob", clock())

    assert job.phase is Phase.REJECTED
    assert job.error == Problem(code="cancelled", message="cancelled by ada")


def test_a_second_cancel_request_resumes_a_parked_job_to_search(
    submitting: Job, clock: Clock
) -> None:
    wanted = submitting.request_cancel("ada", clock())
    parked = replace(wanted, resumes=5).park(clock())

    job = parked.request_cancel("bob", clock())

    assert (job.is_due(clock()), job.resumes, job.is_parked) == (True, 0, False)
    assert job.cancel_request == wanted.cancel_request


def test_a_job_is_parked_and_announced_again_after_a_frozen_worker_wakes(
    prepared: Job, clock: Clock
) -> None:
    parked = replace(prepared, resumes=5).park(clock())

    woken = parked.gave_up("KeyError: 'x'", clock())

    assert woken.is_due(clock())
    assert woken.park(clock()).seq == parked.seq + 1


@pytest.mark.parametrize("over", [True, False])
def test_a_job_that_no_worker_takes_up_can_not_be_parked(
    submitted: Job, clock: Clock, over: bool
) -> None:
    job = submitted
    if over:
        ended = submitted.ended(failed(RUNNING), clock())
        job = collected(ended.collect_taken("c", clock(), TIMING), clock())

    with pytest.raises(ValueError, match="can't be parked"):
        job.park(clock())


def test_a_cancel_sent_to_a_fenced_batch_is_sent_to_the_next_one_too(
    submitted: Job, clock: Clock
) -> None:
    sent = submitted.request_cancel("ada", clock()).cancel_sent(clock())

    again = sent.revived(clock()).submitted(RUNNING, clock())

    assert again.cancel_request is not None
    assert (again.cancel_request.by, again.cancel_request.sent_at) == ("ada", None)


@pytest.mark.parametrize("phase", [Phase.ARRIVED, Phase.PREPARED, Phase.WAITING])
def test_an_unsubmitted_job_is_cancelled_once_nobody_holds_it(
    arrived: Job, prepared: Job, clock: Clock, phase: Phase
) -> None:
    held = arrived if phase is Phase.ARRIVED else replace(prepared, phase=phase)

    under_lease = held.request_cancel("ada", clock())
    clock.advance(minutes=10)
    free = held.request_cancel("ada", clock())

    assert under_lease.phase is phase
    assert free.phase is Phase.REJECTED
    assert free.error == Problem(code="cancelled", message="cancelled by ada")
    assert free.seq == 1


@pytest.mark.parametrize("phase", [Phase.PREPARED, Phase.WAITING])
def test_no_intent_is_written_after_a_cancel_request(
    prepared: Job, clock: Clock, phase: Phase
) -> None:
    wanted = replace(prepared, phase=phase).request_cancel("ada", clock())

    job = wanted.submitting(clock(), TIMING)

    assert (job.phase, job.intent) == (Phase.REJECTED, 0)


@pytest.mark.parametrize("phase", [Phase.SUBMITTING, Phase.SUBMITTED])
def test_a_cancel_request_ends_no_job_that_may_have_a_batch(
    submitting: Job, submitted: Job, clock: Clock, phase: Phase
) -> None:
    job = submitting if phase is Phase.SUBMITTING else submitted

    wanted = job.request_cancel("ada", clock()).request_cancel("bob", clock())

    assert (wanted.phase, wanted.seq) == (phase, 0)
    assert wanted.cancel_request is not None
    assert wanted.cancel_request.by == "ada"
    notes = [moment.note for moment in wanted.history if moment.note]
    assert notes == ["cancel requested by ada"]


def test_an_ended_job_does_not_move_again(submitted: Job, clock: Clock) -> None:
    done = replace(RUNNING, state="JOB_STATE_SUCCEEDED", terminal=True)
    ended = submitted.ended(done, clock())

    with pytest.raises(ValueError, match="ended can't become submitted"):
        ended.submitted(RUNNING, clock())
    with pytest.raises(ValueError, match="ended can't become rejected"):
        ended.rejected(BAD_ROWS, clock())


def test_a_rejected_job_keeps_the_first_row_errors(arrived: Job, clock: Clock) -> None:
    row_errors = tuple(
        RowError(line=n, path="", code="not_json", message="...") for n in range(1, 100)
    )

    job = arrived.rejected(BAD_ROWS, clock(), Rows(total=99, refused=99), row_errors)

    assert [row_error.line for row_error in job.row_errors] == list(range(1, 21))
    assert job.rows.refused == 99


def test_the_history_has_each_phase_and_state_once(
    submitted: Job, clock: Clock
) -> None:
    job = submitted.observed(replace(RUNNING, update_time=clock()), clock())
    job = job.observed(replace(RUNNING, state="JOB_STATE_PAUSED"), clock())

    assert [(moment.phase, moment.state) for moment in job.history] == [
        ("arrived", None),
        ("prepared", None),
        ("submitting", None),
        ("submitted", "JOB_STATE_RUNNING"),
        ("submitted", "JOB_STATE_PAUSED"),
    ]


def test_the_history_is_bounded_and_keeps_its_beginning(
    submitted: Job, clock: Clock
) -> None:
    job = submitted
    for n in range(200):
        job = job.observed(replace(RUNNING, state=f"JOB_STATE_{n}"), clock())

    assert len(job.history) == 50
    assert job.history[0] == submitted.history[0]
    assert job.history[-1].state == "JOB_STATE_199"


#: In these phases workers take up a job.
UNSENT = {Phase.ARRIVED, Phase.PREPARED, Phase.WAITING, Phase.SUBMITTING}
TROUBLES = [HealthCode.UNPUBLISHED, HealthCode.NOT_VISIBLE, HealthCode.POLL_FAILED]


Rule = TypeVar("Rule", bound=Callable[..., None])


def at(*phases: Phase) -> Callable[[Rule], Rule]:
    """The rule applies while the job is in one of these phases."""
    return precondition(lambda self: self.job.phase in phases)


#: The rule applies while answers are to be collected.
collecting: Callable[[Rule], Rule] = precondition(lambda self: self.job.collecting)


class Moves(RuleBasedStateMachine):
    """
    Any order of transitions: each follows the diagram or is refused. A worker may move
    a job that another holds, or that is parked: it was frozen, and woke.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.job = Job.claimed(DROP, "w1", self.clock(), TIMING)
        self.before = self.job

    def go(self, job: Job) -> None:
        self.before, self.job = self.job, job

    def attempt(self, allowed: set[Phase], move: object) -> None:
        assert callable(move)
        if self.job.phase in allowed:
            self.go(move())
        else:
            with pytest.raises(ValueError, match="can't become"):
                move()

    @rule(minutes=st.integers(0, 30))
    def time_goes_by(self, minutes: int) -> None:
        self.clock.advance(minutes=minutes)

    @rule()
    def prepare(self) -> None:
        self.attempt(
            {Phase.ARRIVED, Phase.PREPARED, Phase.SUBMITTING},
            lambda: self.job.prepared(SPEC, STAGED, Rows(), self.clock(), TIMING),
        )

    @rule(epoch=st.integers(1, 9))
    def make_anew(self, epoch: int) -> None:
        staged = replace(STAGED, epoch=epoch)
        kept = Job.claimed(DROP, "w", self.clock(), TIMING).prepared(
            SPEC, staged, Rows(), self.clock(), TIMING
        )
        self.attempt(
            {Phase.ARRIVED, Phase.PREPARED, Phase.WAITING, Phase.SUBMITTING},
            lambda: self.job.made_anew(kept, staged, epoch, self.clock(), TIMING),
        )

    @rule()
    def intend(self) -> None:
        # After a cancel request, the job is cancelled instead.
        instead = {Phase.ARRIVED, Phase.REJECTED} if self.job.cancel_request else set()
        self.attempt(
            {Phase.PREPARED, Phase.WAITING, Phase.SUBMITTING} | instead,
            lambda: self.job.submitting(self.clock(), TIMING),
        )

    @rule()
    def record(self) -> None:
        self.attempt(
            {Phase.PREPARED, Phase.WAITING, Phase.SUBMITTING, Phase.SUBMITTED},
            lambda: self.job.submitted(RUNNING, self.clock()),
        )

    @at(*(set(Phase) - {Phase.ENDED}))
    @rule()
    def end(self) -> None:
        self.attempt(
            {Phase.SUBMITTED}, lambda: self.job.ended(failed(RUNNING), self.clock())
        )

    @rule()
    def reject(self) -> None:
        self.attempt(
            set(Phase) - {Phase.SUBMITTED, Phase.ENDED},
            lambda: self.job.rejected(BAD_ROWS, self.clock()),
        )

    @precondition(lambda self: self.job.is_due(self.clock()) and not self.job.is_over)
    @rule()
    def resume(self) -> None:
        self.go(self.job.resumed("w", self.clock(), TIMING))

    # -- a worker that can't continue -------------------------------------------

    @at(*UNSENT)
    @rule(not_allowed=st.booleans(), minutes=st.integers(0, 30))
    def postpone(self, not_allowed: bool, minutes: int) -> None:
        due = self.clock() + timedelta(minutes=minutes)
        self.go(
            self.job.postpone("no answer", self.clock(), due, not_allowed=not_allowed)
        )

    @at(*UNSENT)
    @rule(minutes=st.integers(0, 30))
    def wait(self, minutes: int) -> None:
        due = self.clock() + timedelta(minutes=minutes)
        self.go(self.job.wait(WaitCode.QUOTA, "429", self.clock(), due))

    @at(Phase.SUBMITTING)
    @rule(not_allowed=st.booleans())
    def get_no_clear_answer(self, not_allowed: bool) -> None:
        self.go(self.job.unclear("503", self.clock(), TIMING, not_allowed=not_allowed))

    @precondition(lambda self: self.job.phase in UNSENT or self.job.collecting)
    @rule()
    def give_up(self) -> None:
        self.go(self.job.gave_up("KeyError: 'x'", self.clock()))

    @at(Phase.PREPARED, Phase.SUBMITTING)
    @rule()
    def fence(self) -> None:
        self.go(self.job.fenced_off(self.clock(), TIMING))

    @at(Phase.ARRIVED)
    @rule()
    def drop_checkpoints(self) -> None:
        self.go(self.job.unstaged(self.clock()))

    # -- poll -------------------------------------------------------------------

    @rule()
    def park(self) -> None:
        if self.job.is_parked:
            assert self.job.park(self.clock()) == self.job
        elif self.job.phase in UNSENT or self.job.collecting:
            self.go(self.job.park(self.clock()))
        else:
            with pytest.raises(ValueError, match="can't be parked"):
                self.job.park(self.clock())

    @rule(code=st.sampled_from(TROUBLES))
    def get_into_trouble(self, code: HealthCode) -> None:
        before = {trouble.code for trouble in self.job.troubles}
        self.go(self.job.troubled(code, "...", self.clock()))
        assert {trouble.code for trouble in self.job.troubles} == before | {code}

    @at(Phase.SUBMITTED)
    @rule(state=st.sampled_from(["JOB_STATE_RUNNING", "JOB_STATE_FROM_THE_FUTURE"]))
    def observe(self, state: str) -> None:
        known = not state.endswith("FUTURE")
        batch = replace(RUNNING, state=state, known=known)
        self.go(self.job.observed(batch, self.clock()))

    @at(Phase.SUBMITTED)
    @rule()
    def find_a_duplicate(self) -> None:
        self.go(self.job.duplicates_found(["batches/2"], "...", self.clock()))

    @at(Phase.SUBMITTED)
    @rule()
    def stall(self) -> None:
        self.go(self.job.stall("...", self.clock()))

    @at(Phase.SUBMITTED)
    @rule()
    def lose(self) -> None:
        self.go(self.job.missed_once_more(self.clock()).lost(self.clock()))

    @at(Phase.SUBMITTED)
    @rule()
    def revive(self) -> None:
        self.go(self.job.revived(self.clock()))

    # -- a collector ------------------------------------------------------------

    @collecting
    @rule()
    def wake(self) -> None:
        before = self.job
        self.go(self.job.woken(self.clock(), TIMING))
        if before.is_due(self.clock()):
            assert not self.job.is_due(self.clock())
        else:
            assert self.job == before

    @collecting
    @rule()
    def take(self) -> None:
        parks = self.job.resumes == MAX_RESUMES
        if not self.job.is_parked:
            self.go(self.job.collect_taken("c", self.clock(), TIMING))
            assert self.job.is_parked == parks

    @collecting
    @rule(step=st.sampled_from(["freeze", "merge", None]), goes_on=st.booleans())
    def step(self, step: str | None, goes_on: bool) -> None:
        timing = TIMING if goes_on else None
        self.go(self.job.collect_stepped(step, self.clock(), timing))
        assert self.job.resumes == 0
        assert self.job.is_due(self.clock()) == (step is not None and not goes_on)

    @collecting
    @rule(
        code=st.sampled_from([WaitCode.GRANT, WaitCode.ANSWERS]),
        minutes=st.integers(0, 90),
    )
    def find_no_answers(self, code: WaitCode, minutes: int) -> None:
        due = self.clock() + timedelta(minutes=minutes)
        self.go(self.job.collect_waits("403", self.clock(), due, code=code))

    @collecting
    @rule()
    def collect(self) -> None:
        self.go(collected(self.job, self.clock()))

    # -- a person ---------------------------------------------------------------

    @rule()
    def announce_again(self) -> None:
        self.go(self.job.announced_again(self.clock()))

    @rule()
    def cancel(self) -> None:
        if not self.job.is_over:
            self.go(self.job.request_cancel("ada", self.clock()))

    @precondition(lambda self: self.job.is_parked)
    @rule()
    def unpark(self) -> None:
        self.go(self.job.unpark("ada", self.clock()))

    # -- what holds at all times ------------------------------------------------

    @invariant()
    def epochs_only_rise(self) -> None:
        assert self.job.lease.epoch >= self.before.lease.epoch

    @invariant()
    def announcements_are_numbered_without_gaps(self) -> None:
        assert self.job.seq - self.before.seq in (0, 1)

    @invariant()
    def health_is_the_worst_trouble(self) -> None:
        codes, order = [one.code for one in self.job.troubles], list(HealthCode)
        assert codes == sorted(codes, key=lambda code: order.index(HealthCode(code)))
        assert self.job.health == next(iter(self.job.troubles), None)
        assert self.job.is_parked == (HealthCode.PARKED in codes)

    @invariant()
    def a_duplicate_is_never_forgotten(self) -> None:
        before, now = self.before.duplicates, self.job.duplicates
        assert before is None or (now and set(before.names) <= set(now.names))

    @invariant()
    def only_a_job_that_workers_take_up_is_postponed(self) -> None:
        job = self.job
        assert job.postponed is None or job.phase in UNSENT or job.collecting

    @invariant()
    def what_is_over_or_done_stays_so(self) -> None:
        before, job = self.before, self.job
        assert job.is_over or not before.is_over
        assert job.is_done or not before.is_done
        assert job.is_over or not job.collecting
        assert job.results is None or job.is_done
        assert job.delete_at is None or job.is_done

    @invariant()
    def an_open_job_is_due_or_followed_or_a_person_can_move_it(self) -> None:
        job, now = self.job, self.clock()
        followed = job.phase is Phase.SUBMITTED  # by the sweep
        if job.is_parked:
            assert job.due is None
            assert job.collecting is None or job.collecting.due is None
            assert job.unpark("ada", now).is_due(now)
        elif job.collecting:
            assert job.due is None
            assert job.collecting.due is not None
        else:
            assert (job.due is None) == (job.is_over or followed)
        if not (job.is_parked or job.is_over or followed) or job.collecting:
            assert job.is_parked or tick_at(job) is not None
        if job.is_parked and not job.is_over:
            cancelled = job.request_cancel("ada", now)
            assert cancelled.is_over or cancelled.is_due(now)


test_no_sequence_of_transitions_leaves_the_diagram = Moves.TestCase


def test_long_messages_leave_the_document_of_a_job_small(
    arrived: Job, clock: Clock
) -> None:
    words = "\N{SNOWMAN}" * 100_000
    job = arrived
    for n in range(60):
        job = job.gave_up(f"{n} {words}", clock())
    job = job.postpone(words, clock(), clock()).park(clock())

    assert size_of(asdict(job)) < 150_000


#: The move that begins each fact.
BEGIN: dict[HealthCode, Callable[[Job, Clock], Job]] = {
    HealthCode.DUPLICATES: lambda job, clock: job.duplicates_found(
        ["batches/2"], "two", clock()
    ),
    HealthCode.UNPUBLISHED: lambda job, clock: job.troubled(
        HealthCode.UNPUBLISHED, "refused", clock()
    ),
    HealthCode.NOT_VISIBLE: lambda job, clock: job.troubled(
        HealthCode.NOT_VISIBLE, "many", clock()
    ),
    HealthCode.POLL_FAILED: lambda job, clock: job.troubled(
        HealthCode.POLL_FAILED, "503", clock()
    ),
    HealthCode.NOT_FOUND: lambda job, clock: job.missed_once_more(clock()),
    HealthCode.STALLED: lambda job, clock: job.stall("running", clock()),
}


@pytest.fixture
def patient(submitting: Job, clock: Clock) -> Job:
    """A job whose batch stalls after one minute, two minutes after its start."""
    spec = replace(SPEC, stalled_after={"other": 60.0})
    job = replace(submitting, spec=spec).submitted(RUNNING, clock())
    clock.advance(minutes=2)
    return job


@pytest.mark.parametrize("second", list(BEGIN))
@pytest.mark.parametrize("first", list(BEGIN))
def test_a_trouble_neither_hides_nor_clears_another(
    patient: Job, clock: Clock, first: HealthCode, second: HealthCode
) -> None:
    one = BEGIN[first](patient, clock)
    began = clock()
    clock.advance(minutes=5)

    job = BEGIN[second](one, clock)

    since = {trouble.code: trouble.since for trouble in job.troubles}
    assert set(since) == {first, second}
    assert since[first] == began
    worst = min((first, second), key=list(HealthCode).index)
    assert job.health is not None
    assert job.health.code == worst


def test_an_answer_of_the_api_clears_only_the_troubles_of_reaching_it(
    patient: Job, clock: Clock
) -> None:
    job = patient
    for begin in BEGIN.values():
        job = begin(job, clock)

    same = job.observed(RUNNING, clock())
    other = job.observed(replace(RUNNING, state="JOB_STATE_PAUSED"), clock())
    ended = job.ended(failed(RUNNING), clock())
    lost = job.lost(clock())

    kept = ["duplicates", "unpublished"]
    assert [trouble.code for trouble in same.troubles] == [*kept, "stalled"]
    assert [trouble.code for trouble in other.troubles] == kept
    assert [trouble.code for trouble in ended.troubles] == kept
    assert [trouble.code for trouble in lost.troubles] == kept


def test_a_step_forward_clears_only_the_troubles_that_delayed_it(
    prepared: Job, clock: Clock
) -> None:
    job = prepared.troubled(HealthCode.UNPUBLISHED, "refused", clock())
    for _ in range(20):
        job = job.postpone("no right", clock(), due=clock(), not_allowed=True)
        clock.advance(minutes=10)
    codes = [trouble.code for trouble in job.troubles]
    assert codes == ["not_allowed", "unpublished", "postponed"]

    job = job.submitting(clock(), TIMING).submitted(RUNNING, clock())

    assert [trouble.code for trouble in job.troubles] == ["unpublished"]


def test_an_announcement_sent_again_clears_only_its_own_fact(
    prepared: Job, clock: Clock
) -> None:
    job = prepared.troubled(HealthCode.UNPUBLISHED, "refused", clock())
    job = job.park(clock()).announced_again(clock())

    assert [trouble.code for trouble in job.troubles] == ["parked"]
    assert job.unpark("ada", clock()).is_due(clock())


def test_failed_rows_show_in_the_health_once_the_job_has_ended(
    submitted: Job, clock: Clock
) -> None:
    stats = Stats(successful=5, failed=1200)
    counted = replace(RUNNING, completion_stats=stats)
    running = submitted.observed(counted, clock())
    clock.advance(hours=1)
    state = "JOB_STATE_PARTIALLY_SUCCEEDED"

    ended = running.ended(replace(counted, state=state, terminal=True), clock())

    assert running.health is None
    assert ended.health == Health(
        code="rows_failed",
        message="1,200 of 1,205 rows failed, by the API's count",
        since=clock(),
    )
