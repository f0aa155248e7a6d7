"""What happens at a tick: announce, sweep and settle, admit, check, resume."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from batchdrop.announcements.message import Announcement
from batchdrop.errors import Superseded
from batchdrop.failpoints import failpoint
from batchdrop.jobs.job import MAX_RESUMES, Job
from batchdrop.ledger import Ledger
from batchdrop.options.settings import Settings
from batchdrop.quoting import told
from batchdrop.worker.outbox import Outbox
from batchdrop.worker.policies import Policies
from batchdrop.worker.reconcile import Reconcile
from batchdrop.worker.run import Intake
from batchdrop.worker.stages import rotated, share
from batchdrop.worker.sweep import Sweep, Tally

log = logging.getLogger(__name__)

T = TypeVar("T")

#: So many waiting jobs are let go in one tick where no cap is set.
MAX_ADMITTED = 200
#: So many queues that failed are remembered until the next tick.
MAX_FAILED = 100
#: What part of the time that is left when it begins each stage may take.
SHARES = {
    "announce": 1 / 4,
    "sweep": 2 / 5,
    "cancel": 1 / 4,
    "policies": 1 / 4,
    "admit": 1 / 2,
    "reconcile": 1 / 2,
    "resume": 3 / 4,
    "last words": 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticked:
    """What a tick did."""

    locked_out: bool = False
    announced: int = 0
    changed: int = 0
    ended: int = 0
    admitted: int = 0
    resumed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Poller:
    """Follows jobs that the service has, and takes up those whose worker is gone."""

    ledger: Ledger
    intake: Intake
    sweep: Sweep
    policies: Policies
    reconcile: Reconcile
    publish: Callable[[Announcement], None]
    settings: Settings
    now: Callable[[], datetime]
    holder: Callable[[], str]

    def tick(self) -> Ticked:
        """
        One run. Stops taking up work when its time is over: the next one goes on.

        Raises:
            ExceptionGroup: some jobs could not be looked at; all others were.
        """
        by, start = self.holder(), self.now()
        # A tick whose last job takes longer than this is overlapped by the next one.
        # That does no harm, as every write is a compare-and-set; a dead tick's lock
        # that shuts everyone out for long would.
        hold = timedelta(seconds=self.settings.tick)
        if not self.ledger.lock("tick", by, start, hold):
            log.info("another tick is running")
            return Ticked(locked_out=True)
        failpoint("after_lock")
        try:
            return self._work(start + hold)
        finally:
            self.ledger.unlock("tick", by)

    def _work(self, deadline: datetime) -> Ticked:
        """
        All stages, each with its share of the time. An endpoint that is silent in one
        is left alone in the others, and a stage that fails as a whole is noted: it
        holds up no other, unless it took the time of all. What may take longest in one
        piece, such as to stage a large file, comes last.
        """
        errors: list[Exception] = []
        services = self.sweep.services.for_a_tick()
        intake = replace(self.intake, services=services)
        sweep = replace(self.sweep, services=services)
        policies = replace(self.policies, services=services)
        reconcile = replace(self.reconcile, services=services, intake=intake)

        def stage(name: str, run: Callable[[datetime], T], failed: T) -> T:
            if broken and self.now() >= deadline:
                return failed
            try:
                return run(share(self.now(), deadline, SHARES[name]))
            except Exception as exc:
                broken.append(name)
                exc.add_note(f"in the stage {name} of a tick")
                log.error("stage failed", extra={"stage": name, "reason": told(exc)})
                errors.append(exc)
                return failed

        broken: list[str] = []
        announce = partial(self._announce, errors=errors)
        announced = stage("announce", announce, 0)
        # Whether jobs are open isn't known where the sweep failed.
        swept = stage("sweep", sweep.run, Tally(open_jobs=1))
        errors += swept.errors
        if swept.open_jobs:
            errors += stage("cancel", sweep.cancel, [])
        stage("cancel", partial(self._cancel_split_jobs, errors=errors), None)
        errors += stage("policies", policies.run, [])
        admitted = stage("admit", partial(self._admit, intake, errors=errors), 0)
        errors += stage("reconcile", reconcile.run, [])
        resumed = stage("resume", partial(self._resume, intake, errors=errors), 0)
        # What was settled just now needn't wait for the next tick.
        announced += stage("last words", announce, 0)
        done = Ticked(
            announced=announced,
            changed=swept.changed,
            ended=swept.ended,
            admitted=admitted,
            resumed=resumed,
        )
        log.info(
            "tick",
            extra={
                "announced": announced,
                "changed": swept.changed,
                "ended": swept.ended,
                "admitted": admitted,
                "resumed": resumed,
                "errors": len(errors),
            },
        )
        if errors:
            raise ExceptionGroup("some jobs could not be looked at", errors)
        return done

    # -- announce ---------------------------------------------------------------

    def _announce(self, deadline: datetime, errors: list[Exception]) -> int:
        """Sends what the outbox holds."""
        outbox = Outbox(ledger=self.ledger, publish=self.publish, now=self.now)
        return outbox.drain(deadline, partial(self._note, errors))

    # -- cancel -----------------------------------------------------------------

    def _cancel_split_jobs(self, deadline: datetime, errors: list[Exception]) -> None:
        """Goes on where whoever wanted it was stopped, or came upon a worker."""
        split_jobs = self.ledger.split_jobs_to_cancel()
        if not split_jobs:
            return
        cursor, last = self.ledger.cursor("split_jobs"), ""
        for split_job in rotated(split_jobs, cursor.get("id", ""), lambda one: one.id):
            if self.now() >= deadline:
                break
            last = split_job.id
            try:
                self.intake.cancel_parts(split_job)
            except Exception as exc:
                self._note(errors, exc, split_job.id)
        self.ledger.move_cursor("split_jobs", cursor, {"id": last} if last else {})

    # -- admit, resume ----------------------------------------------------------

    def _admit(
        self, intake: Intake, deadline: datetime, errors: list[Exception]
    ) -> int:
        """
        Lets waiting jobs go on, first come first served, as far as there is room in
        their queue and in the day's limits. Of a queue without room no more is read. A
        queue that failed comes after the others from then on, until it is tried again.
        """
        if self.settings.paused:
            return 0
        queues = list(self.ledger.waiting_queues())
        if not queues:
            return 0
        cursor = self.ledger.cursor("admit")
        before = cursor.get("failed", ())
        line = Line(self.ledger, queues, before)
        tried: set[str] = set()
        active: dict[str, int] = {}  # batches of a queue at the service
        paused: dict[str, bool] = {}
        failed: list[str] = []
        admitted: Counter[str] = Counter()
        while job := line.first():
            now = self.now()
            if now >= deadline or not self._within_day(job, now):
                break
            if intake.services.is_silent(job, "active", "search", "create"):
                line.leave(job.queue)
                continue
            if job.queue not in paused:
                paused[job.queue] = self._paused(job)
            if paused[job.queue]:
                line.leave(job.queue)  # it is so for all that are behind
                continue
            if not job.is_due(now) or job.is_held(now):
                continue
            tried.add(job.queue)
            try:
                spec = job.spec
                room = MAX_ADMITTED
                if spec and spec.max_active is not None:
                    if job.queue not in active:
                        active[job.queue] = intake.active(job)
                    room = min(room, spec.max_active - active[job.queue])
                if admitted[job.queue] >= room:
                    line.leave(job.queue)
                    continue
                # The answer to its request may pause the queue.
                paused.pop(job.queue)
                admitted[job.queue] += self._take_up(intake, job, admitted=True)
            except Superseded:
                continue
            except Exception as exc:
                line.leave(job.queue)
                failed.append(job.queue)
                self._note(errors, exc, job.id)
        failed = [*(queue for queue in before if queue not in tried), *failed]
        at = {"failed": failed[-MAX_FAILED:]} if failed else {}
        self.ledger.move_cursor("admit", cursor, at)
        return admitted.total()

    def _paused(self, job: Job) -> bool:
        """Whether the service has said no to the queue a short while ago."""
        return self.ledger.queue_pause_end(job.queue, self.now()) is not None

    def _within_day(self, job: Job, now: datetime) -> bool:
        """
        Whether the day's limits leave room for a job. None overtakes one that they
        don't: it would wait for ever behind smaller ones.
        """
        rows, bytes = self.settings.max_rows_per_day, self.settings.max_bytes_per_day
        staging = job.staging
        if job.spent_on or staging is None or (rows is None and bytes is None):
            return True
        spent = self.ledger.spending_on(f"{now:%Y-%m-%d}")
        within = (rows is None or spent.rows + staging.rows <= rows) and (
            bytes is None or spent.bytes + staging.bytes <= bytes
        )
        if not within:
            log.warning("day's limit reached", extra={"job": job.id})
        return within

    def _resume(
        self, intake: Intake, deadline: datetime, errors: list[Exception]
    ) -> int:
        """
        Takes up the jobs whose lease is over, at whatever phase. Whoever was taken up
        is due later than those that a tick didn't come to.
        """
        resumed = 0
        for job in self.ledger.due_jobs(self.now()):
            if self.now() >= deadline:
                break
            if intake.services.is_silent(job, "search", "create"):
                continue
            try:
                resumed += self._take_up(intake, job)
            except Superseded:
                continue
            except Exception as exc:
                self._note(errors, exc, job.id)
        return resumed

    def _take_up(self, intake: Intake, job: Job, *, admitted: bool = False) -> bool:
        now = self.now()
        if job.resumes >= MAX_RESUMES:
            log.error("parked", extra={"job": job.id, "phase": job.phase})
            self.ledger.advance(job, lambda j: j.park(now))
            return False
        intake.resume(job, admitted=admitted)
        return True

    # -- the pieces -------------------------------------------------------------

    def _note(self, errors: list[Exception], exc: Exception, job_id: str) -> None:
        exc.add_note(f"while looking at job {job_id}")
        log.error("job not looked at", extra={"job": job_id, "reason": told(exc)})
        errors.append(exc)


class Line:
    """All waiting jobs, first come first, but for the queues that were left."""

    def __init__(
        self, ledger: Ledger, queues: Sequence[str], last: Sequence[str]
    ) -> None:
        """
        Args:
            queues: those in which jobs wait.
            last: these queues come after all others, in this order.
        """
        self._rank = {queue: n for n, queue in enumerate(last, start=1)}
        self._queues = {queue: ledger.waiting_jobs(queue) for queue in queues}
        self._next: dict[str, Job] = {}
        for queue in list(self._queues):
            self._advance(queue)

    def first(self) -> Job | None:
        """Takes the one that has waited longest."""
        if not self._next:
            return None
        job = min(
            self._next.values(),
            key=lambda one: (self._rank.get(one.queue, 0), one.created_at, one.id),
        )
        self._advance(job.queue)
        return job

    def leave(self, queue: str) -> None:
        """No more of this one."""
        self._queues.pop(queue, None)
        self._next.pop(queue, None)

    def _advance(self, queue: str) -> None:
        job = next(self._queues[queue], None)
        if job is None:
            self.leave(queue)
        else:
            self._next[queue] = job
