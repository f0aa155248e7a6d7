"""Moves a job from its creation to its end."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from batchsim import importing, jobs
from batchsim.clock import Clock
from batchsim.faults import Faults, Rule, Subject
from batchsim.formats import Answering
from batchsim.inputs import Inputs, Work
from batchsim.jobs import Api, Job, JobFailed, RowCounts, Status
from batchsim.listing import subject_of
from batchsim.models import RowFailed
from batchsim.outputs import Outputs
from batchsim.rows import Rows
from batchsim.settings import Settings
from batchsim.store import Store
from batchsim.timeline import Timeline
from batchsim.wire import ApiError

log = logging.getLogger(__name__)

Step = Callable[[Job, datetime], None]

_CANCELLED = Status(1, "CANCELED")


@dataclass(slots=True)
class Runner:
    """
    Moves jobs along the timeline:

        PENDING   queue_seconds     72 h on Vertex, then EXPIRED
        RUNNING   run_seconds       24 h on Vertex, then FAILED, rows done are kept
        an end

    On the Developer API both together take 48 h at most, then EXPIRED with no rows.

    The input is read on the way from PENDING to RUNNING. When RUNNING ends, the rows
    that there was time for are answered and written.
    """

    clock: Clock
    timeline: Timeline
    store: Store
    settings: Settings
    inputs: Inputs
    outputs: Outputs
    faults: Faults
    _works: dict[str, Work] = field(default_factory=dict)
    #: Jobs that a fault holds, with the step that follows when the fault is removed.
    _held: dict[str, tuple[Job, Step, Rule]] = field(default_factory=dict)

    def submit(self, job: Job) -> None:
        """Accept a new job."""
        job.move(job.created, jobs.PENDING)
        self.store.add(job)
        start = job.created + timedelta(seconds=self.settings.queue_seconds)
        limit = job.created + self._longest_queue(job)
        if start > limit:
            self._plan(job, limit, self._expire)
        else:
            self._plan(job, start, self._start)

    def cancel(self, job: Job) -> None:
        """
        Stop a job: PENDING ends at once, RUNNING once its finished rows are written.

        ApiError 400 FAILED_PRECONDITION if it is over (seen live).
        """
        with self.store.lock:
            if job.over:
                raise ApiError(
                    400,
                    f"{job.name} is in state {job.phase} and can't be cancelled.",
                    status="FAILED_PRECONDITION",
                )
            if job.ending or job.phase == jobs.CANCELLING:
                return
            now = self.clock.now()
            done = 0 if job.phase == jobs.PENDING else job.rows_done(now)
            self._held.pop(job.name, None)
            job.turn += 1
            rule = self.faults.strike(subject_of(job), "cancelling")
            if not rule and not done:
                self._end(job, now, jobs.CANCELLED, _CANCELLED)
                return
            job.move(now, jobs.CANCELLING)
            then = str(rule.params["then"]) if rule else jobs.CANCELLED

        def stop(job: Job, at: datetime) -> None:
            job.ending = True
            if then == jobs.SUCCEEDED and job.name not in self._works:
                self._read(job)  # the job outran the cancel
            count = job.row_counts.total if then == jobs.SUCCEEDED else done
            if count:
                self._answer(job, count, at)
            error = _CANCELLED if then == jobs.CANCELLED else None
            if then == jobs.FAILED:
                error = Status(13, "The job failed while it was being cancelled.")
            with self.store.lock:
                self._end(job, at, then, error)

        if rule:
            self._hold(job, stop, rule, now + _seconds(rule), stop)
        else:
            self._plan(job, now, stop)

    def release(self) -> None:
        """Resume the jobs whose rule was removed, unless another rule holds them."""
        with self.store.lock:
            rules, now = self.faults.rules(), self.clock.now()
            for job, step, rule in list(self._held.values()):
                if rule in rules:
                    continue
                del self._held[job.name]
                job.turn += 1
                self._plan(job, now, step)

    def forget(self) -> None:
        """Drop every job's rows and plans."""
        self.timeline.clear()
        with self.store.lock:
            for job in self.store.ever():
                job.turn += 1
                if job.inline:
                    job.inline.close()
        for work in list(self._works.values()):
            work.rows.close()
        self._works.clear()
        self._held.clear()

    # The steps: each is planned for a time, and skipped if the job's turn has changed.

    def _start(self, job: Job, at: datetime) -> None:
        subject = subject_of(job)
        if rule := self.faults.strike(subject, "stuck_pending"):
            limit = job.created + self._longest_queue(job)
            self._hold(job, self._start, rule, limit, self._expire)
            return
        if rule := self.faults.strike(subject, "failed", "expired"):
            if not rule.params["rows"]:
                self._end_early(job, at, rule)
                return
            job.doom = rule
        turn = job.turn
        if not self._read(job):
            return
        with self.store.lock:
            if job.turn != turn:
                return
            job.move(at, jobs.RUNNING)
            job.due = at + timedelta(seconds=self.settings.run_seconds)
        if rule := self.faults.strike(subject, "paused", "updating", "unknown_state"):
            self._detour(job, at, rule)
        else:
            self._plan_end(job)

    def _read(self, job: Job) -> bool:
        """Reads the input; False if the job was cancelled or reset meanwhile."""
        turn = job.turn
        self.outputs.check(job)
        work = self.inputs.read(job)
        with self.store.lock:
            if job.turn != turn:
                work.rows.close()
                return False
            self._works[job.name] = work
            job.partial_failures = work.unread
            job.row_counts = RowCounts(total=len(work.rows))
            return True

    def _detour(self, job: Job, at: datetime, rule: Rule) -> None:
        phase = str(rule.params.get("state", rule.fault)).upper()
        back = at + _seconds(rule)

        assert job.due
        rest = job.due - at

        def resume(job: Job, at: datetime) -> None:
            with self.store.lock:
                self._held.pop(job.name, None)
                job.move(at, jobs.RUNNING)
                job.due = at + rest
            self._plan_end(job)

        with self.store.lock:
            job.move(at, phase.removeprefix("JOB_STATE_"))
            job.due = back + rest
        self._hold(job, resume, rule, back, resume)

    def _plan_end(self, job: Job) -> None:
        assert job.due
        limit = self._time_limit(job)
        if job.due > limit:
            self._plan(job, limit, self._cut_off)
        else:
            self._plan(job, job.due, self._finish)

    def _finish(self, job: Job, at: datetime) -> None:
        subject = subject_of(job)
        if rule := self.faults.strike(subject, "stuck_running"):
            limit = self._time_limit(job)
            self._hold(job, self._finish, rule, limit, self._cut_off)
            return
        partly = self.faults.strike(subject, "partially_succeeded")
        if not self._last_step(job):
            return
        doom = partly or job.doom
        share = float(doom.params["rows"]) if doom else 1.0
        self._answer(job, int(job.row_counts.total * share), at)
        with self.store.lock:
            if partly:
                self._end(job, at, jobs.PARTIALLY_SUCCEEDED)
            elif doom:
                self._end_early(job, at, doom)
            else:
                self._end(job, at, jobs.SUCCEEDED)

    def _cut_off(self, job: Job, at: datetime) -> None:
        if not self._last_step(job):
            return
        if job.api is Api.DEVELOPER:
            self._expire(job, at)
            return
        if done := job.rows_done(at):
            self._answer(job, done, at)
        with self.store.lock:
            error = Status(4, "The job did not finish within 24 hours of running.")
            self._end(job, at, jobs.FAILED, error)

    def _expire(self, job: Job, at: datetime) -> None:
        with self.store.lock:
            error = Status(4, "The job expired before it was finished.")
            self._end(job, at, jobs.EXPIRED, error)

    def _end_early(self, job: Job, at: datetime, rule: Rule) -> None:
        if rule.fault == "expired":
            self._expire(job, at)
            return
        status = Status(int(rule.params["code"]), str(rule.params["message"]))
        with self.store.lock:
            self._end(job, at, jobs.FAILED, status)

    def _plan(self, job: Job, due: datetime, step: Step) -> None:
        turn = job.turn

        def action(at: datetime) -> None:
            if job.turn != turn:
                return
            try:
                step(job, at)
            except JobFailed as failed:
                self._fail(job, at, failed.status, turn)
            except Exception as exc:
                if job.turn != turn:
                    return  # the job was forgotten meanwhile: its rows are gone
                log.exception("a job broke", extra={"job": job.name})
                self._fail(job, at, Status(13, f"INTERNAL: {exc!r}"), turn)

        self.timeline.at(due, action)

    def _hold(
        self, job: Job, step: Step, rule: Rule, limit: datetime, then: Step
    ) -> None:
        with self.store.lock:
            job.turn += 1
            self._held[job.name] = (job, step, rule)
        if not rule.params["for_ever"]:
            self._plan(job, limit, then)

    def _last_step(self, job: Job) -> bool:
        """Whether the job may end now; False if it was cancelled meanwhile."""
        with self.store.lock:
            if job.over or job.ending or job.phase == jobs.CANCELLING:
                return False
            job.ending = True
            return True

    def _fail(self, job: Job, at: datetime, error: Status, turn: int) -> None:
        with self.store.lock:
            if job.turn == turn and not job.over:
                self._end(job, at, jobs.FAILED, error)

    def _end(
        self, job: Job, at: datetime, phase: str, error: Status | None = None
    ) -> None:
        job.turn += 1
        job.error = error
        job.move(at, phase)
        self._held.pop(job.name, None)
        if work := self._works.pop(job.name, None):
            work.rows.close()
        if job.inline:
            job.inline.close()
            job.inline = None
        if job.output and phase in (jobs.SUCCEEDED, jobs.PARTIALLY_SUCCEEDED):
            self._withhold_output(job, at)

    def _withhold_output(self, job: Job, at: datetime) -> None:
        rule = self.faults.strike(subject_of(job), "output_late")
        if rule is None:
            return
        output, job.output = job.output, None

        def name_it(job: Job, at: datetime) -> None:
            with self.store.lock:
                self._held.pop(job.name, None)
                job.output = output  # nothing else changes, not even `updateTime`

        self._hold(job, name_it, rule, at + _seconds(rule), name_it)

    def _longest_queue(self, job: Job) -> timedelta:
        limits = self.settings.limits
        if job.api is Api.DEVELOPER:
            return limits.developer_life
        return limits.vertex_queue

    def _time_limit(self, job: Job) -> datetime:
        limits = self.settings.limits
        if job.api is Api.DEVELOPER:
            return job.created + limits.developer_life
        return (job.started or job.created) + limits.vertex_run

    def _answer(self, job: Job, count: int, at: datetime) -> None:
        """Answer the first `count` rows, write them, and count them."""
        work = self._works[job.name]
        began = job.started or at
        total = len(work.rows)
        answers = Rows()
        failed = left_out = 0
        try:
            for number in range(count):
                moment = began + (at - began) * ((number + 1) / count)
                answer = self._answer_row(job, work, work.rows[number], moment)
                if answer is None:
                    left_out += 1
                    continue
                line, ok = answer
                answers.append(line)
                failed += not ok
            with self.store.lock:
                # Set before the export: one that fails leaves the counts behind.
                job.row_counts = RowCounts(
                    total=total, ok=count - failed - left_out, failed=failed
                )
            self.outputs.write(job, work, answers)
        finally:
            answers.close()

    def _answer_row(
        self, job: Job, work: Work, line: bytes, at: datetime
    ) -> tuple[bytes, bool] | None:
        """The answer and whether it counts as successful; None for no answer."""
        row = msgspec.json.decode(line)
        if work.numbers:
            row = importing.as_numbers(row, work.numbers)
        rule = None
        if self.faults.about_rows:
            text = line.decode(errors="replace")
            rule = self.faults.of_row(
                Subject(job.model, job.display_name, job.labels, text)
            )
            if rule and rule.fault == "row_unanswered":
                return None
        fault, params = (rule.fault, rule.params) if rule else ("", {})
        answering = Answering(
            model=job.model,
            ask=self.settings.model,
            at=at,
            blocked=str(params["reason"]) if fault == "row_blocked" else None,
            cut=fault == "row_max_tokens",
            empty=fault == "row_empty",
            thoughts=bool(params.get("thoughts")),
            malformed=fault == "row_malformed",
            reason=str(params["reason"]) if fault == "row_finished" else None,
        )
        try:
            if fault == "row_failed":
                raise RowFailed(int(params["code"]), str(params["message"]))
            return msgspec.json.encode(work.format.answer(row, answering)), True
        except RowFailed as failed:
            return msgspec.json.encode(
                work.format.failure(row, failed, answering)
            ), False


def _seconds(rule: Rule) -> timedelta:
    return timedelta(seconds=float(rule.params["seconds"]))
