"""What happens at a tick: announce, sweep and settle, admit, resume."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from batchdrop.announce import Announcement
from batchdrop.batches import BatchesError
from batchdrop.batches.client import Batches
from batchdrop.errors import Superseded, Unavailable
from batchdrop.intake import Intake, as_batch
from batchdrop.jobs import MAX_RESUMES, Batch, Job
from batchdrop.ledger import Ledger
from batchdrop.settings import Settings

log = logging.getLogger(__name__)

#: So many jobs that the list didn't show are asked for by name in one tick.
MAX_GETS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticked:
    """What a tick did."""

    locked_out: bool = False
    announced: int = 0
    changed: int = 0
    ended: int = 0
    resumed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Poller:
    """Follows jobs that the service has, and takes up those whose worker is gone."""

    ledger: Ledger
    intake: Intake
    batches: Batches
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
        try:
            return self._work(start + hold)
        finally:
            self.ledger.unlock("tick", by, self.now())

    def _work(self, deadline: datetime) -> Ticked:
        errors: list[Exception] = []
        announced = self._announce(deadline, errors)
        changed, ended = self._sweep(deadline, errors)
        resumed = self._resume(deadline, errors)
        # What was settled just now needn't wait for the next tick.
        announced += self._announce(deadline, errors)
        done = Ticked(
            announced=announced, changed=changed, ended=ended, resumed=resumed
        )
        log.info(
            "tick",
            extra={
                "announced": announced,
                "changed": changed,
                "ended": ended,
                "resumed": resumed,
                "errors": len(errors),
            },
        )
        if errors:
            raise ExceptionGroup("some jobs could not be looked at", errors)
        return done

    # -- announce ---------------------------------------------------------------

    def _announce(self, deadline: datetime, errors: list[Exception]) -> int:
        """Sends what the outbox holds. A job's next one waits for the one before."""
        sent = 0
        held_back: set[str] = set()
        for announcement in self.ledger.unpublished():
            if self.now() >= deadline:
                break
            if announcement.job_id in held_back:
                continue
            try:
                self.publish(announcement)
                self.ledger.published(announcement, self.now())
            except Exception as exc:
                held_back.add(announcement.job_id)
                self._note(errors, exc, announcement.job_id)
                if isinstance(exc, Unavailable):
                    self.ledger.not_published(announcement)
                continue
            sent += 1
            log.info(
                "announced",
                extra={
                    "job": announcement.job_id,
                    "announcement": announcement.id,
                    "type": announcement.type,
                },
            )
        return sent

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
        for batch in self._batches(open_jobs, deadline, errors):
            job = open_jobs[batch.name]
            try:
                after = self._settle(job, batch)
            except Superseded:
                continue  # another tick was here
            except Exception as exc:
                self._note(errors, exc, job.id)
                continue
            changed += after is not job
            ended += after.batch is not None and after.batch.terminal
        return changed, ended

    def _batches(
        self, open_jobs: dict[str, Job], deadline: datetime, errors: list[Exception]
    ) -> Iterable[Batch]:
        """What the service says of the open jobs, as far as it says anything."""
        unseen = set(open_jobs)
        try:
            for answer in self.batches.list(
                config={"filter": self._filter(open_jobs.values()), "page_size": 100}
            ):
                if answer.name in unseen:
                    unseen.discard(answer.name)
                    yield as_batch(answer)
        except BatchesError as exc:
            # Nothing is concluded from no answer; the next tick asks again.
            errors.append(exc)
            return
        for name in sorted(unseen)[:MAX_GETS]:
            if self.now() >= deadline:
                return
            try:
                yield as_batch(self.batches.get(name=name))
            except BatchesError as exc:
                self._note(errors, exc, open_jobs[name].id)

    def _filter(self, jobs: Iterable[Job]) -> str:
        since = min(
            job.batch.create_time or job.created_at for job in jobs if job.batch
        )
        return (
            "labels.batchdrop_job:* "
            f'AND labels.batchdrop_deployment="{self.settings.deployment}" '
            f'AND create_time>="{since:%Y-%m-%dT%H:%M:%S.%fZ}"'
        )

    def _settle(self, job: Job, batch: Batch) -> Job:
        """Writes what is new; an end together with its announcement."""
        assert job.batch is not None
        if batch == job.batch or batch.is_older_than(job.batch):
            return job
        now = self.now()
        if not batch.terminal:
            log.info("moved on", extra={"job": job.id, "state": batch.state})
            return self.ledger.advance(job, lambda j: j.observed(batch, now))
        if job.failed_by_fence(batch):
            log.warning("fenced batch failed", extra={"job": job.id})
            return self.ledger.advance(job, lambda j: j.revived(now))
        log.info("ended", extra={"job": job.id, "state": batch.state})
        return self.ledger.advance(job, lambda j: j.ended(batch, now), announce=True)

    # -- admit, resume ----------------------------------------------------------

    def _resume(self, deadline: datetime, errors: list[Exception]) -> int:
        """Takes up the jobs whose lease or pause is over, at whatever phase."""
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

    def _take_up(self, job: Job) -> bool:
        now = self.now()
        if job.resumes >= MAX_RESUMES:
            log.error("parked", extra={"job": job.id, "phase": job.phase})
            self.ledger.advance(job, lambda j: j.parked(now), announce=True)
            return False
        by = self.holder()
        held = self.ledger.advance(
            job, lambda j: j.resumed(by, now, self.intake.timing)
        )
        log.info(
            "resumed", extra={"job": job.id, "phase": job.phase, "time": held.resumes}
        )
        self.intake.carry_on(held)
        return True

    def _note(self, errors: list[Exception], exc: Exception, job_id: str) -> None:
        exc.add_note(f"while looking at job {job_id}")
        log.error("job not looked at", extra={"job": job_id, "reason": repr(exc)})
        errors.append(exc)
