"""What happens at a tick: announce, sweep and settle, admit, resume, check."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from batchdrop.announce import Announcement
from batchdrop.check import Check
from batchdrop.crash import crash
from batchdrop.errors import Superseded
from batchdrop.intake import Intake, lane
from batchdrop.jobs import MAX_RESUMES, Job
from batchdrop.ledger import Ledger
from batchdrop.outbox import Outbox
from batchdrop.policies import Policies
from batchdrop.service import Service
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
    service: Service
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
            self.ledger.unlock("tick", by, self.now())

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
        their lane and in the day's limits.
        """
        if self.settings.paused:
            return 0
        admitted = 0
        full: set[str] = set()
        room: dict[str, int] = {}
        for job in self.ledger.waiting():
            now, where = self.now(), lane(job)
            if now >= deadline or not self._within_day(job, now):
                break
            if where in full or not job.is_due(now) or job.is_held(now):
                continue
            try:
                if where not in room:
                    room[where] = self._room(job, now)
                if room[where] < 1:
                    full.add(where)
                    continue
                admitted += self._take_up(job, admitted=True)
                room[where] -= 1
                until = self.ledger.lane_paused_until(where)
                if until and self.now() < until:
                    full.add(where)  # it said no to this one
            except Superseded:
                continue
            except Exception as exc:
                full.add(where)
                self._note(errors, exc, job.id)
        return admitted

    def _room(self, job: Job, now: datetime) -> int:
        """How many more a lane takes now."""
        until = self.ledger.lane_paused_until(lane(job))
        if until and now < until:
            return 0
        cap = self.settings.max_active_jobs
        if cap is None or job.spec is None:
            return MAX_ADMITTED
        return cap - self.service.active(job.spec.model)

    def _within_day(self, job: Job, now: datetime) -> bool:
        """
        Whether the day's limits leave room for a job. None overtakes one that they
        don't: it would wait for ever behind smaller ones.
        """
        rows, bytes = self.settings.max_rows_per_day, self.settings.max_bytes_per_day
        if job.spent_on or (rows is None and bytes is None):
            return True
        spent = self.ledger.spent(f"{now:%Y-%m-%d}")
        within = (rows is None or spent.rows + job.rows.total <= rows) and (
            bytes is None or spent.bytes + job.size <= bytes
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
            self.ledger.advance(job, lambda j: j.parked(now))
            return False
        by = self.holder()
        held = self.ledger.advance(
            job, lambda j: j.resumed(by, now, self.intake.timing)
        )
        crash("after_resumed")
        log.info(
            "resumed", extra={"job": job.id, "phase": job.phase, "time": held.resumes}
        )
        self.intake.carry_on(held, admitted=admitted)
        return True

    # -- the pieces -------------------------------------------------------------

    def _note(self, errors: list[Exception], exc: Exception, job_id: str) -> None:
        exc.add_note(f"while looking at job {job_id}")
        log.error("job not looked at", extra={"job": job_id, "reason": repr(exc)})
        errors.append(exc)
