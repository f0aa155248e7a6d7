"""What happens at a tick: announce, sweep and settle, admit, resume, check."""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from batchdrop.announce import Announcement
from batchdrop.check import Check
from batchdrop.crash import crash
from batchdrop.errors import Superseded
from batchdrop.intake import Intake
from batchdrop.jobs import MAX_RESUMES, Job
from batchdrop.ledger import Ledger
from batchdrop.outbox import Outbox
from batchdrop.policies import Policies
from batchdrop.settings import Settings
from batchdrop.sweep import Sweep

log = logging.getLogger(__name__)

#: So many waiting jobs are let go in one tick where no cap is set.
MAX_ADMITTED = 200


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
    check: Check
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
        crash("after_lock")
        try:
            return self._work(start + hold)
        finally:
            self.ledger.unlock("tick", by)

    def _work(self, deadline: datetime) -> Ticked:
        errors: list[Exception] = []
        # However much there is to say, the other half is for what there is to do.
        announced = self._announce(self.now() + (deadline - self.now()) / 2, errors)
        swept = self.sweep.run(deadline)
        errors += swept.errors
        self._cancel_families(deadline, errors)
        admitted = self._admit(deadline, errors)
        resumed = self._resume(deadline, errors)
        errors += self.policies.run(deadline)
        errors += self.check.run(deadline)
        # What was settled just now needn't wait for the next tick.
        announced += self._announce(deadline, errors)
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

    def _cancel_families(self, deadline: datetime, errors: list[Exception]) -> None:
        """Goes on where whoever wanted it was stopped, or came upon a worker."""
        for family in self.ledger.families_to_cancel():
            if self.now() >= deadline:
                return
            try:
                self.intake.cancel_parts(family)
            except Exception as exc:
                self._note(errors, exc, family.id)

    # -- admit, resume ----------------------------------------------------------

    def _admit(self, deadline: datetime, errors: list[Exception]) -> int:
        """
        Lets waiting jobs go on, first come first served, as far as there is room in
        their lane and in the day's limits. Of a lane without room no more is read.
        """
        if self.settings.paused:
            return 0
        queue = Queue(self.ledger)
        active: dict[str, int] = {}  # batches of a lane at the service
        admitted: Counter[str] = Counter()
        while job := queue.first():
            now = self.now()
            if now >= deadline or not self._within_day(job, now):
                break
            if not job.is_due(now) or job.is_held(now):
                if self._paused(job):
                    queue.leave(job.lane)  # it is so for all that are behind
                continue
            try:
                spec = job.spec
                room = MAX_ADMITTED
                if spec and spec.max_active is not None:
                    if job.lane not in active:
                        active[job.lane] = self.intake.active(job)
                    room = min(room, spec.max_active - active[job.lane])
                if admitted[job.lane] >= room or self._paused(job):
                    queue.leave(job.lane)
                    continue
                admitted[job.lane] += self._take_up(job, admitted=True)
            except Superseded:
                continue
            except Exception as exc:
                queue.leave(job.lane)
                self._note(errors, exc, job.id)
        return admitted.total()

    def _paused(self, job: Job) -> bool:
        """Whether the service has said no to the lane a short while ago."""
        return self.ledger.lane_paused_until(job.lane, self.now()) is not None

    def _within_day(self, job: Job, now: datetime) -> bool:
        """
        Whether the day's limits leave room for a job. None overtakes one that they
        don't: it would wait for ever behind smaller ones.
        """
        rows, bytes = self.settings.max_rows_per_day, self.settings.max_bytes_per_day
        staging = job.staging
        if job.spent_on or staging is None or (rows is None and bytes is None):
            return True
        spent = self.ledger.spent(f"{now:%Y-%m-%d}")
        within = (rows is None or spent.rows + staging.rows <= rows) and (
            bytes is None or spent.bytes + staging.bytes <= bytes
        )
        if not within:
            log.warning("day's limit reached", extra={"job": job.id})
        return within

    def _resume(self, deadline: datetime, errors: list[Exception]) -> int:
        """Takes up the jobs whose lease is over, at whatever phase."""
        resumed = 0
        for job in self.ledger.due(self.now()):
            if self.now() >= deadline:
                break
            try:
                resumed += self._take_up(job)
            except Superseded:
                continue
            except Exception as exc:
                self._note(errors, exc, job.id)
        return resumed

    def _take_up(self, job: Job, *, admitted: bool = False) -> bool:
        now = self.now()
        if job.resumes >= MAX_RESUMES:
            log.error("parked", extra={"job": job.id, "phase": job.phase})
            self.ledger.advance(job, lambda j: j.park(now))
            return False
        self.intake.resume(job, admitted=admitted)
        return True

    # -- the pieces -------------------------------------------------------------

    def _note(self, errors: list[Exception], exc: Exception, job_id: str) -> None:
        exc.add_note(f"while looking at job {job_id}")
        log.error("job not looked at", extra={"job": job_id, "reason": repr(exc)})
        errors.append(exc)


class Queue:
    """All waiting jobs, first come first, but for the lanes that were left."""

    def __init__(self, ledger: Ledger) -> None:
        self._lanes = {lane: ledger.waiting(lane) for lane in ledger.lanes_waiting()}
        self._next: dict[str, Job] = {}
        for lane in list(self._lanes):
            self._advance(lane)

    def first(self) -> Job | None:
        """Takes the one that has waited longest."""
        if not self._next:
            return None
        job = min(self._next.values(), key=lambda one: (one.created_at, one.id))
        self._advance(job.lane)
        return job

    def leave(self, lane: str) -> None:
        """No more of this one."""
        self._lanes.pop(lane, None)
        self._next.pop(lane, None)

    def _advance(self, lane: str) -> None:
        job = next(self._lanes[lane], None)
        if job is None:
            self.leave(lane)
        else:
            self._next[lane] = job
