"""What happens at a tick: announce, sweep and settle, admit, resume, check."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import islice

from batchdrop.announce import Announcement
from batchdrop.batches import BatchesError, BatchJob, ClientError
from batchdrop.crash import crash
from batchdrop.errors import Superseded
from batchdrop.intake import Intake, lane
from batchdrop.jobs import MAX_RESUMES, Batch, Health, Job, Phase, is_job_id
from batchdrop.ledger import Ledger
from batchdrop.outbox import Outbox
from batchdrop.service import Service, explained
from batchdrop.settings import Settings

log = logging.getLogger(__name__)

#: So many jobs that the list didn't show are asked for by name in one tick.
MAX_GETS = 200
#: So many waiting jobs are let go in one tick where no cap is set.
MAX_ADMITTED = 200
#: So many objects of the inbox are compared with the ledger in one read.
CHECKED_AT_ONCE = 300


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
        changed, ended = self._sweep(deadline, errors)
        admitted = self._admit(deadline, errors)
        resumed = self._resume(deadline, errors)
        self._check(deadline, errors)
        # What was settled just now needn't wait for the next tick.
        announced += self._announce(deadline, errors)
        done = Ticked(
            announced=announced,
            changed=changed,
            ended=ended,
            admitted=admitted,
            resumed=resumed,
        )
        log.info(
            "tick",
            extra={
                "announced": announced,
                "changed": changed,
                "ended": ended,
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

    # -- sweep and settle -------------------------------------------------------

    def _sweep(self, deadline: datetime, errors: list[Exception]) -> tuple[int, int]:
        """
        Asks the service once for all of ours, and by name for those the list doesn't
        show: being absent from a list says nothing.
        """
        open_jobs = {
            job.batch.name: job for job in self.ledger.submitted() if job.batch
        }
        if not open_jobs:
            return 0, 0
        changed = ended = 0
        for job, batch in self._said(open_jobs, deadline, errors):
            try:
                after = self._settle(job, batch)
            except Superseded:
                continue  # another tick was here
            except Exception as exc:
                self._note(errors, exc, job.id)
                continue
            changed += after is not job
            ended += after.phase is Phase.ENDED
        return changed, ended

    def _said(
        self, open_jobs: dict[str, Job], deadline: datetime, errors: list[Exception]
    ) -> Iterator[tuple[Job, Batch]]:
        """What the service says of the open jobs, as far as it says anything."""
        unseen = dict(open_jobs)
        try:
            for name, answer in self.service.sweep(open_jobs.values()):
                if job := unseen.pop(name, None):
                    yield job, self.service.read(job, answer)
        except BatchesError as exc:
            # Nothing is concluded from no answer; the next tick asks again.
            errors.append(exc)
            return
        missing = []
        for job in list(unseen.values())[:MAX_GETS]:
            if self.now() >= deadline:
                break
            try:
                yield job, self.service.get(job)
            except Exception as exc:
                if isinstance(exc, ClientError) and exc.code == 404:
                    missing.append(job)
                else:
                    self._note(errors, exc, job.id)
        self._not_found(missing, len(open_jobs), errors)

    def _not_found(
        self, missing: list[Job], asked: int, errors: list[Exception]
    ) -> None:
        """
        One 404 means little, and many at once mean that it is we who can't see: a
        key of another project, a wrong location.
        """
        blind = len(missing) > max(1, asked / 10)
        for job in missing:
            try:
                if blind:
                    self._blind(job, len(missing), asked, self.now())
                else:
                    self._absent(job, self.now())
            except Superseded:
                continue
            except Exception as exc:
                self._note(errors, exc, job.id)

    def _absent(self, job: Job, now: datetime) -> None:
        if job.not_found(now).may_be_lost(now):
            log.error("lost", extra={"job": job.id})
            self.ledger.advance(job, lambda j: j.lost(now), announce=True)
        else:
            log.warning("not found", extra={"job": job.id})
            self.ledger.advance(job, lambda j: j.not_found(now))

    def _blind(self, job: Job, missing: int, asked: int, now: datetime) -> None:
        log.error("not visible", extra={"job": job.id, "missing": missing})
        if job.health and job.health.code == "not_visible":
            return
        health = Health(
            code="not_visible",
            message=f"{missing} of {asked} open batches answer 404 at once; see "
            "whether project, location and credentials are those that made them",
            since=now,
        )
        self.ledger.advance(job, lambda j: j.ailing(health, now))

    def _settle(self, job: Job, batch: Batch) -> Job:
        """Writes what is new; an end together with its announcement."""
        assert job.batch is not None
        if batch.is_older_than(job.batch):
            return job
        # One that was found when it had ended already is not new, and yet an end.
        if batch == job.batch and job.is_visible and not batch.terminal:
            return job
        now = self.now()
        if not batch.terminal:
            log.info("moved on", extra={"job": job.id, "state": batch.state})
            after = self.ledger.advance(job, lambda j: j.observed(batch, now))
            crash("after_observed")
            return after
        if job.failed_by_fence(batch):
            log.warning("fenced batch failed", extra={"job": job.id})
            return self.ledger.advance(job, lambda j: j.revived(now))
        batch = self.service.collect(job, batch)
        crash("after_collecting")
        log.info("ended", extra={"job": job.id, "state": batch.state})
        error = explained(batch)
        after = self.ledger.advance(
            job, lambda j: j.ended(batch, now, error), announce=True
        )
        crash("after_ended")
        return after

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
            bytes is None or spent.bytes + job.source.size <= bytes
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
            self.ledger.advance(job, lambda j: j.parked(now), announce=True)
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

    # -- check, on a slower schedule --------------------------------------------

    def _check(self, deadline: datetime, errors: list[Exception]) -> None:
        """Compares the inbox and the service with the ledger, once in a while."""
        start = self.now()
        checked = self.ledger.checked(start)
        every = timedelta(seconds=self.settings.check_every)
        if checked.finished and start - checked.finished < every:
            return
        try:
            window = timedelta(seconds=self.settings.missed_window)
            done = self._claim_missed(
                max(checked.first_start, start - window), deadline
            ) and self._find_orphans(start - window, deadline, errors)
        except Exception as exc:
            log.error("not checked", extra={"reason": repr(exc)})
            errors.append(exc)
            return
        if done:
            self.ledger.check_finished(start)
            log.info("checked")

    def _claim_missed(self, since: datetime, deadline: datetime) -> bool:
        """
        Claims what lies in the inbox and the ledger doesn't know: Eventarc drops an
        event after a day. What was there before the deployment was, and what the
        ledger may have forgotten, isn't touched.
        """
        found = self.intake.storage.objects(self.settings.inbox)
        # An event that is on its way right now needs no help.
        until = self.now() - timedelta(seconds=self.settings.settle)
        recent = (drop for drop, at in found if since <= at <= until)
        while some := list(islice(recent, CHECKED_AT_ONCE)):
            known = self.ledger.known(drop.job_id for drop in some)
            for drop in some:
                if drop.job_id in known or self.intake.ignores(drop):
                    continue
                if self.now() >= deadline:
                    return False
                log.warning("missed event", extra={"object": str(drop)})
                self.intake.take(drop, missed=True)
        return True

    def _find_orphans(
        self, since: datetime, deadline: datetime, errors: list[Exception]
    ) -> bool:
        """Finds batches with our marks that no job follows."""
        for job_id, answer in self.service.ours(since):
            if self.now() >= deadline:
                return False
            try:
                self._see_to(job_id, answer)
            except Superseded:
                continue
            except Exception as exc:
                self._note(errors, exc, job_id)
        return True

    def _see_to(self, job_id: str, answer: BatchJob) -> None:
        """
        What is done about a batch with our marks:

            no job, or its input isn't the job's staging    reported
            the job's own                                   nothing
            the job has another, and this one was let in    cancelled, and told
            the job is parked without one                   adopted
            the job is under way without one                nothing: it looks itself
        """
        job = self.ledger.get(job_id) if is_job_id(job_id) else None
        batch = self.service.read(job, answer) if job else None
        if job is None or batch is None or batch.epoch is None:
            log.error("orphan", extra={"batch": answer.name, "claims": job_id})
        elif job.batch is not None and job.batch.name != batch.name:
            if not job.failed_by_fence(batch):
                self._see_to_extra(job, batch)
        elif job.batch is None and job.is_parked:
            log.warning("adopted", extra={"job": job.id, "batch": batch.name})
            self.ledger.advance(job, lambda j: j.submitted(batch, self.now()))
        elif job.phase is Phase.REJECTED:
            log.error("orphan", extra={"batch": batch.name, "job": job.id})

    def _see_to_extra(self, job: Job, batch: Batch) -> None:
        """A worker may have died before it cancelled this one, or before it said so."""
        if not batch.terminal:
            log.error("duplicate batch", extra={"job": job.id, "cancelled": batch.name})
            self.service.cancel(batch.name)
            crash("after_cancelling_found")
        if job.health and batch.name in job.health.message:
            return
        health = Health(
            code="duplicate_batch",
            message="another was made, and cancelled unless it was over: " + batch.name,
            since=self.now(),
        )
        self.ledger.advance(job, lambda j: j.ailing(health, self.now()))

    # -- the pieces -------------------------------------------------------------

    def _note(self, errors: list[Exception], exc: Exception, job_id: str) -> None:
        exc.add_note(f"while looking at job {job_id}")
        log.error("job not looked at", extra={"job": job_id, "reason": repr(exc)})
        errors.append(exc)
