"""Submits a job: the intent, the request, and the search and fence around them."""

import logging
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from batchdrop.backends import Backends, is_not_allowed
from batchdrop.batches import BatchesError, ClientError, TransportError
from batchdrop.errors import Unavailable
from batchdrop.failpoints import failpoint
from batchdrop.jobs.codes import ErrorCode, Phase, WaitCode
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Batch, Location, Problem, Timing
from batchdrop.ledger import Ledger
from batchdrop.ledger.ceilings import NoRoom
from batchdrop.ledger.state import Spending
from batchdrop.options.settings import Settings
from batchdrop.storage import Storage
from batchdrop.worker.choices import REPORT
from batchdrop.worker.keep import Keep
from batchdrop.worker.reserve import Reserving
from batchdrop.worker.setbacks import Setbacks
from batchdrop.worker.traces import Traces

log = logging.getLogger(__name__)

#: Statuses for a wrong request: the API made nothing, and never will.
REFUSALS = frozenset({400, 404, 413, 422})


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitting:
    """The steps of a job from `prepared` to `submitted`."""

    ledger: Ledger
    storage: Storage
    backends: Backends
    traces: Traces
    keep: Keep
    setbacks: Setbacks
    reserving: Reserving
    settings: Settings
    timing: Timing
    now: Callable[[], datetime]

    # -- prepared, waiting: search, unless it is fresh; write the intent --------

    def queue(self, job: Job) -> Job:
        """Queues the job where the tick admits jobs, so that none overtakes another."""
        now = self.now()
        spec = job.spec
        if self.settings.has_queue or (
            spec and (spec.max_active is not None or spec.ceiling)
        ):
            code, why = WaitCode.QUEUE, "queued"
            if self.settings.paused:
                code, why = WaitCode.PAUSED, "paused"
            ahead = self.ledger.jobs_ahead(job.waiting_in, job.created_at)
            return self._write(job, lambda j: j.wait(code, why, now, now, ahead))
        if until := self.ledger.queue_pause_end(job.queue, now):
            why = f"{job.queue} is paused until {until:%H:%M:%S}"
            return self._write(job, lambda j: j.wait(WaitCode.QUOTA, why, now, until))
        return self.intend(job)

    def intend(self, job: Job) -> Job:
        if job.must_search and (found := self._search(job)):
            return self._adopt(job, found)
        if job.missed and self._has_results(job):
            # A ledger that was lost or restored knows less than the output bucket.
            message = f"there are results under {_destination(job)} already"
            return self.setbacks.reject(
                job, Problem(code=ErrorCode.ALREADY_DONE, message=message)
            )
        if not (job.spec and job.spec.source) and not self.keep.is_staged(job):
            message = (
                f"{job.staging and job.staging.uri} is gone: nothing was sent. Repeat "
                "the job, which reads the dropped object again"
            )
            return self.setbacks.reject(
                job, Problem(code=ErrorCode.STAGING_GONE, message=message)
            )
        if problem := self.reserving.problem(job):
            return self.setbacks.reject(job, problem)
        job = self.hand_over(job)
        spending, asked = self._spending(job), self.reserving.asked(job)
        day = spending.day if spending else None
        try:
            job = self.ledger.advance(
                job,
                lambda j: j.submitting(self.now(), self.timing, day, asked),
                # A job that a cancel stops here is counted all the same: rare, and on
                # the safe side.
                spending=spending,
                check=self.reserving.hold(job),
            )
        except NoRoom as exc:
            # Another tick was faster.
            why, now = str(exc), self.now()
            return self._write(job, lambda j: j.wait(WaitCode.CEILING, why, now, now))
        failpoint("after_intent")
        if job.phase is Phase.REJECTED:
            log.info("job cancelled", extra={"event": "job.cancelled", "job": job.id})
            self.setbacks.clear(job)
        return job

    def hand_over(self, job: Job) -> Job:
        """
        Brings the rows to where the API reads them, before the intent. An older holder
        may be about to do the same, so each uses a name of its own.
        """
        assert job.staging is not None
        try:
            if job.spec and job.spec.source:
                return job  # the API reads a table in place
            if not self.backends.of(job).is_staged(job):
                if job.staging.epoch != job.lease.epoch:
                    job = self._restage(job, job.staging.uri)
                self.backends.of(job).stage(job)
        except BatchesError as exc:
            raise self.setbacks.trouble(
                job, "could not hand over the rows", exc, costly=True
            ) from exc
        failpoint("after_handing_over")
        return job

    def _restage(self, job: Job, uri: str) -> Job:
        """Copies the rows to this worker's own epoch."""
        assert job.staging is not None
        own = self.traces.staging(job.id, job.lease.epoch)
        staging = replace(job.staging, epoch=own.epoch, uri=own.uri)
        self.storage.copy(uri, staging.uri)
        failpoint("after_copying")
        job = self._write(job, lambda j: j.restaged(staging, self.now()))
        failpoint("after_restaging")
        return job

    def _has_results(self, job: Job) -> bool:
        """Whether more than our own report lies at the destination."""
        place = _destination(job)
        if not place.startswith("gs://"):
            return False
        names = self.storage.names(Location.parse(place))
        return any(name != f"{place}{REPORT}" for name in names)

    def _search(self, job: Job) -> list[Batch]:
        """
        The batches that the API has of this job, the one to keep first: the oldest
        that has read its rows; else the oldest that names the newest staging, as the
        rows of older stagings are gone.

        Raises:
            Unavailable: the API gave no answer; or a cancelled batch is not over yet,
                and may still be paid.
        """
        backend = self.backends.of(job)
        try:
            answers = backend.search(job)
            for batch in answers:
                if job.is_duplicate(batch.name) and not batch.terminal:
                    # The worker that recorded it may have died before it cancelled.
                    backend.cancel(batch.name)
                    raise Unavailable(f"{batch.name} is cancelled, and isn't over yet")
        except BatchesError as exc:
            raise self.setbacks.trouble(
                job, "could not look for its batches", exc
            ) from exc
        found = [batch for batch in answers if job.may_take_up(batch)]
        failpoint("after_search")
        log.info(
            "search finished",
            extra={"event": "job.searched", "job": job.id, "found": len(found)},
        )
        return sorted(
            found,
            key=lambda b: (
                not b.has_begun,
                0 if b.has_begun else -(b.epoch or 0),
                str(b.create_time),
                b.name,
            ),
        )

    def _adopt(self, job: Job, found: list[Batch]) -> Job:
        """
        Records the first batch and the others as duplicates in one write; only then
        cancels those.
        """
        kept, *others = found
        job = self._record(job, kept, [extra.name for extra in others])
        for extra in others:
            log.error(
                "duplicate batch cancelled",
                extra={
                    "event": "batch.duplicate",
                    "job": job.id,
                    "kept": kept.name,
                    "cancelled": extra.name,
                },
            )
            try:
                self.backends.of(job).cancel(extra.name)
            except ClientError as exc:
                log.warning(
                    "duplicate batch not cancelled",
                    extra={
                        "event": "batch.not_cancelled",
                        "batch": extra.name,
                        "reason": str(exc),
                    },
                )
            failpoint("after_cancelling_duplicate")
        return job

    # -- submitting: the request itself -----------------------------------------

    def create(self, job: Job) -> Job:
        if self.now() + self.timing.create_timeout > job.lease.until:
            # This worker was frozen since the intent. It is too late to send now.
            why = "too little of the lease left to send"
            return self.setbacks.postpone(job, why, unsent=True)
        failpoint("before_create")
        try:
            batch = self.backends.of(job).create(job)
        except BatchesError as exc:
            failpoint("after_failed_create")
            return self._not_created(job, exc)
        failpoint("after_create")
        return self._record(job, batch)

    def _record(self, job: Job, batch: Batch, duplicates: Collection[str] = ()) -> Job:
        message = f"{len(duplicates)} more were made, and are cancelled: " + ", ".join(
            duplicates
        )
        # A ledger that was emptied knows of no intent; the batch is paid all the same.
        reserved = self.reserving.asked(job, batch.create_time)

        def move(job: Job) -> Job:
            job = job.submitted(batch, self.now(), reserved)
            if not duplicates:
                return job
            return job.duplicates_found(duplicates, message, self.now())

        job = self._write(job, move)
        failpoint("after_submitted")
        log.info(
            "job submitted",
            extra={"event": "job.submitted", "job": job.id, "batch": batch.name},
        )
        return job

    def _not_created(self, job: Job, error: BatchesError) -> Job:
        """
        What each answer to create means:

            401 403, a bad key     our set-up lacks a right              waiting
            400 404 413 422        nothing was made and never will be    rejected
            429                    nothing was made for now              waiting
            no connection          nothing was sent                      waiting
            all else, or none      it may have been made                 search later
        """
        code = error.code if isinstance(error, ClientError) else None
        if is_not_allowed(error):
            return self.setbacks.not_allowed(
                job, f"{error}. {self.setbacks.remedy(job)}", unsent=True
            )
        if code in REFUSALS:
            problem = Problem(code=ErrorCode.SERVICE_REFUSED, message=str(error))
            return self.setbacks.reject(job, problem)
        if code == 429:
            wait = error.retry_after if isinstance(error, ClientError) else None
            pause = self.timing.list_lag if wait is None else timedelta(seconds=wait)
            self.ledger.pause_queue(job.queue, self.now(), pause)
            why, again = f"429: {error}", self.now() + pause
            log.warning(
                "job postponed",
                extra={"event": "job.postponed", "job": job.id, "reason": why},
            )
            return self._write(
                job, lambda j: j.wait(WaitCode.QUOTA, why, self.now(), again)
            )
        if isinstance(error, TransportError) and not error.sent:
            return self.setbacks.postpone(
                job, f"the API gives no answer: {error}", unsent=True
            )
        why = f"unclear: {error}"
        log.warning(
            "create request unclear",
            extra={"event": "job.create_unclear", "job": job.id, "reason": why},
        )
        return self.setbacks.fail(
            job, lambda j: j.unclear(why, self.now(), self.timing)
        )

    # -- submitting, by a worker that is gone: search, then fence ---------------

    def recover(self, job: Job) -> Job:
        if found := self._search(job):
            return self._adopt(job, found)
        return self._fence(job)

    def _fence(self, job: Job) -> Job:
        """
        Takes away the input that a late create request would name: the search found
        nothing, and yet a frozen worker may still send one. The wait for the next
        search starts when the older copies are gone. A table can't be taken away: there
        a second batch may be made, which the sweep finds and cancels.
        """
        if job.spec is None or job.spec.source is None:
            job = self.withdraw(job)
        job = self._write(job, lambda j: j.fenced_off(self.now(), self.timing))
        failpoint("after_fence")
        log.info(
            "job fenced",
            extra={"event": "job.fenced", "job": job.id, "epoch": job.lease.epoch},
        )
        return job

    def withdraw(self, job: Job) -> Job:
        """
        Moves the rows to this worker's own epoch, and deletes the older copies. If all
        copies are gone, there is nothing to move: a late request finds no input either.
        """
        assert job.staging is not None
        held = {
            epoch: uri
            for uri in self.storage.names(self.traces.folder(job.id))
            if (epoch := self._epoch(job, uri)) is not None
        }
        # A higher one belongs to a worker that has overtaken this one.
        older = [
            epoch
            for epoch in sorted({*held, job.staging.epoch})
            if epoch < job.lease.epoch
        ]
        if held:
            # A fence that didn't get to its write may have moved the rows already.
            job = self._restage(job, held[max(held)])
        try:
            self.backends.of(job).withdraw(job, older)
        except BatchesError as exc:
            raise self.setbacks.trouble(
                job, "could not withdraw the rows", exc
            ) from exc
        for epoch in held.keys() & set(older):
            self.storage.delete(held[epoch])
        failpoint("after_fence_delete")
        return job

    # -- the pieces -------------------------------------------------------------

    def _write(self, job: Job, move: Callable[[Job], Job]) -> Job:
        return self.ledger.advance(job, move)

    def _spending(self, job: Job) -> Spending | None:
        """What to count against the day: once for a job, also if its request fails."""
        chosen = self.settings
        if job.spent_on or not (chosen.max_rows_per_day or chosen.max_bytes_per_day):
            return None
        assert job.staging is not None
        return Spending(
            day=f"{self.now():%Y-%m-%d}",
            rows=job.staging.rows,
            bytes=job.staging.bytes,
        )

    def _epoch(self, job: Job, uri: str) -> int | None:
        match = re.fullmatch(
            r"(\d+)/requests\.jsonl", uri[len(str(self.traces.folder(job.id))) :]
        )
        return int(match[1]) if match else None


def _destination(job: Job) -> str:
    return job.spec.destination if job.spec else ""
