"""What happens to a drop: claim, prepare, submit."""

import logging
import re
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from batchdrop.backends import Services, is_not_allowed
from batchdrop.batches import BatchesError, ClientError, TransportError
from batchdrop.errors import (
    BatchdropError,
    Misconfigured,
    NotWritable,
    Superseded,
    Unavailable,
)
from batchdrop.failpoints import failpoint
from batchdrop.jobs.job import MAX_RESUMES, Job
from batchdrop.jobs.values import (
    DEVELOPER,
    Batch,
    Drop,
    Health,
    Location,
    Phase,
    Problem,
    Timing,
)
from batchdrop.ledger import Ledger
from batchdrop.ledger.state import Spending
from batchdrop.options.settings import Settings
from batchdrop.quoting import told
from batchdrop.storage import Storage
from batchdrop.worker.prepare import REPORT, Preparing

log = logging.getLogger(__name__)

#: How a dropped file's name ends. A packed one is told by its bytes, too.
SUFFIXES = (".jsonl", ".jsonl.gz", ".job.json")

#: The service's names for "this request is wrong": it made nothing and never will.
REFUSALS = frozenset({400, 404, 413, 422})


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """A worker's way through a job. Each step ends in one write to the ledger."""

    ledger: Ledger
    storage: Storage
    services: Services
    preparing: Preparing
    settings: Settings
    timing: Timing
    now: Callable[[], datetime]
    holder: Callable[[], str]  #: a name nobody else has, for each claim

    def take(self, drop: Drop) -> None:
        """
        What a delivery does: the first one claims the job and carries it on; every
        other finds it claimed and leaves it to the ledger. Nothing of the object is
        read before the claim, so that an object that kills workers is counted.

        Raises:
            Unavailable: the claim could not be made; deliver it again.
        """
        if reason := self.ignores(drop):
            log.info("ignored", extra={"object": str(drop), "reason": reason})
            return
        claim = Job.claimed(drop, self.holder(), self.now(), self.timing)
        if job := self._claim(claim):
            self.carry_on(job)

    def claim_missed(self, drop: Drop) -> None:
        """
        Claims a drop whose event never came. Nobody holds the job: `poll` takes it up
        at its next tick, so that no object keeps others from being claimed.

        Raises:
            Unavailable: the claim could not be made; try again.
        """
        claim = Job.claimed(drop, "nobody", self.now(), Timing.none(), missed=True)
        if job := self._claim(claim):
            log.warning("missed event", extra={"job": job.id, "object": str(drop)})

    def _claim(self, claim: Job) -> Job | None:
        about = {"job": claim.id, "object": str(claim.source)}
        try:
            job = self.ledger.claim(claim)
        except NotWritable as exc:
            # However often it is delivered.
            log.error("not claimed", extra=about | {"reason": str(exc)})
            return None
        if job is None:
            log.info("known", extra=about)
            return None
        failpoint("after_claim")
        log.info("claimed", extra=about)
        return job

    def claim_anew(self, kept: Job) -> None:
        """
        Claims a job that the ledger has lost, by what its staging has kept of it.
        Nobody holds the job: `poll` takes it up at its next tick, and finds it staged.

        Raises:
            Unavailable: the claim could not be made; try again.
        """
        drop = kept.source
        claim = Job.claimed(drop, "nobody", self.now(), Timing.none(), missed=True)
        if self.ledger.claim(replace(claim, id=kept.id, parent=kept.parent)):
            log.warning("claimed anew", extra={"job": kept.id, "object": str(drop)})

    def resume(self, job: Job, *, admitted: bool = False) -> None:
        """
        Takes up a job that nobody holds, and carries it on.

        Raises:
            Superseded: somebody was faster.
            Unavailable: Firestore gave no answer.
        """
        by, now = self.holder(), self.now()
        held = self.ledger.advance(job, lambda j: j.resumed(by, now, self.timing))
        failpoint("after_resumed")
        log.info(
            "resumed", extra={"job": job.id, "phase": job.phase, "time": held.resumes}
        )
        self.carry_on(held, admitted=admitted)

    def carry_on(self, job: Job, *, admitted: bool = False) -> None:
        """
        Takes a job that this worker holds from its phase as far as it goes. Whatever
        happens is in the ledger afterwards, or the lease runs out and `poll` resumes.

        Args:
            admitted: its turn has come, where jobs queue.
        """
        try:
            while job.is_held(self.now()) and (step := self._step(job, admitted)):
                job = self._tried(step, job)
            if job.phase is Phase.ATTACHED:
                self._take_up_files(job)
        except Superseded as exc:
            log.warning("superseded", extra={"job": job.id, "reason": str(exc)})
        except Unavailable as exc:
            log.error("ledger unavailable", extra={"job": job.id, "reason": str(exc)})
        except NotWritable as exc:
            # Not even that it is over. The lease runs out, and so do the resumes.
            log.error("not written", extra={"job": job.id, "reason": str(exc)})

    def _take_up_files(self, manifest: Job) -> None:
        """The files that have waited for a manifest go on now; else, `poll` resumes."""
        now = self.now()
        for file in self.ledger.get_all(manifest.attached_to):
            waits = file.phase is Phase.ARRIVED and file.is_due(now)
            if waits and not file.is_held(now) and file.resumes < MAX_RESUMES:
                log.info("woken", extra={"job": file.id, "manifest": manifest.id})
                self.resume(file)

    def cancel(self, job_id: str, by: str) -> Job:
        """
        Has a job cancelled, at whatever phase it is. One that was not submitted is
        over at once, or when the worker that holds it comes to its next request; a
        batch is cancelled by `poll` at its next tick. Asked twice, it is done once.

        The cancel of a split job is one for each of its parts. It is written at the
        split job first, so that `poll` goes on with it wherever this ends.

        Raises:
            LookupError: there is no such job.
            ValueError: it is over.
            Superseded: it moved on at the same moment; try again.
        """
        job = self._known(job_id)
        now = self.now()
        job = self.ledger.advance(job, lambda j: j.request_cancel(by, now))
        log.info("cancel wanted", extra={"job": job.id, "by": by})
        if job.phase is Phase.SPLIT:
            self.cancel_parts(job)
            return self._known(job_id)
        self.preparing.clear(job)
        return job

    def cancel_parts(self, split_job: Job) -> None:
        """Tells the parts of a cancel that is wanted, and then that all know of it."""
        assert split_job.cancel_request is not None
        by, told = split_job.cancel_request.by, True
        for part in self.ledger.get_all(split_job.parts):
            if part.is_over or (part.cancel_request and not part.is_parked):
                continue
            now = self.now()
            try:
                self.ledger.advance(part, partial(Job.request_cancel, by=by, now=now))
            except Superseded:
                told = False  # it moved on at the same moment; at the next tick
        if told:
            with suppress(Superseded):  # that was the last of them
                self.ledger.advance(split_job, lambda j: j.cancel_sent(self.now()))
            log.info("parts cancelled", extra={"job": split_job.id})

    def _known(self, job_id: str) -> Job:
        job = self.ledger.get(job_id)
        if job is None:
            raise LookupError(f"there is no job {job_id}")
        return job

    def rerun(self, job_id: str) -> Job:
        """
        Makes a job of a job that is over, on purpose: it has an id of its own and the
        old one as its parent, and `poll` takes it up at its next tick.

        Raises:
            LookupError: there is no such job.
            ValueError: it isn't over yet.
            Superseded: it was written to at the same moment; try again.
        """
        parent, now = self._known(job_id), self.now()
        parent = self.ledger.advance(
            parent, lambda j: j.rerun_counted(now), children=lambda j: [j.rerun(now)]
        )
        log.info("rerun", extra={"job": parent.rerun(now).id, "parent": parent.id})
        return parent.rerun(now)

    def unpark(self, job_id: str, by: str) -> Job:
        """
        Has `poll` take up a parked job at its next tick.

        Raises:
            LookupError: there is no such job.
            ValueError: it isn't parked.
            Superseded: it was written to at the same moment; try again.
        """
        job, now = self._known(job_id), self.now()
        job = self.ledger.advance(job, lambda j: j.unpark(by, now))
        log.info("unparked", extra={"job": job.id, "by": by})
        return job

    def active(self, job: Job) -> int:
        """
        How many batches of a waiting job's model are under way, whoever made them.

        Raises:
            BatchesError: no telling; the job's document has that it is held up.
            Superseded: the job moved on.
            Unavailable: Firestore gave no answer.
        """
        assert job.spec is not None
        try:
            return self.services.of(job).active(job.spec.model)
        except BatchesError as exc:
            # Due at once, so that no later job overtakes it.
            error = self._trouble(job, "could not count the batches of its queue", exc)
            if isinstance(error, Misconfigured):
                self._not_allowed(job, str(error), due=self.now())
            else:
                self._postpone(job, str(error))
            raise

    def _step(self, job: Job, admitted: bool) -> Callable[[Job], Job] | None:
        match job.phase:
            case Phase.ARRIVED:
                return self.preparing.prepare
            case Phase.PREPARED | Phase.WAITING:
                return self._intend if admitted else self._queue_or_intend
            case Phase.SUBMITTING:
                return self._create if job.intends else self._recover
        return None

    def _tried(self, step: Callable[[Job], Job], job: Job) -> Job:
        """A step, and what is written when it can't be done."""
        try:
            return step(job)
        except Superseded:
            raise
        except NotWritable as exc:
            return self._not_writable(job, str(exc))
        except Misconfigured as exc:
            return self._not_allowed(job, str(exc))
        except Unavailable as exc:
            return self._postpone(job, str(exc))
        except Exception as exc:
            why, now = told(exc), self.now()
            log.exception("step failed", extra={"job": job.id, "phase": job.phase})
            return self._write(job, lambda j: j.gave_up(why, now))

    def _not_writable(self, job: Job, why: str) -> Job:
        """
        What comes of a job is more than Firestore takes, and always will be. Where a
        request may have been sent that can't be the end: it is parked in time.
        """
        if job.phase is Phase.SUBMITTING:
            now = self.now()
            log.error("not written", extra={"job": job.id, "reason": why})
            return self._write(job, lambda j: j.gave_up(why, now))
        problem = Problem(
            code="too_large",
            message=f"the ledger can't hold it: {why}. Choose less for it, or make a "
            "file with fewer parts or addresses of it",
        )
        return self.preparing.reject(job, problem)

    def _spending(self, job: Job) -> Spending | None:
        """What to count against the day, once a job, whatever becomes of a request."""
        chosen = self.settings
        if job.spent_on or not (chosen.max_rows_per_day or chosen.max_bytes_per_day):
            return None
        assert job.staging is not None
        return Spending(
            day=f"{self.now():%Y-%m-%d}",
            rows=job.staging.rows,
            bytes=job.staging.bytes,
        )

    # -- prepared, waiting: look, unless it is fresh; write the intent ----------

    def _queue_or_intend(self, job: Job) -> Job:
        """Where jobs queue, only the tick admits them, so that none overtakes."""
        now = self.now()
        if self.settings.has_queue or (job.spec and job.spec.max_active is not None):
            why = "paused" if self.settings.paused else "queued"
            return self._write(job, lambda j: j.wait(why, now, due=now))
        if until := self.ledger.queue_pause_end(job.queue, now):
            why = f"{job.queue} is paused until {until:%H:%M:%S}"
            return self._write(job, lambda j: j.wait(why, now, due=until))
        return self._intend(job)

    def _intend(self, job: Job) -> Job:
        if job.must_search and (found := self._search(job)):
            return self._adopt(job, found)
        if job.missed and self._has_results(job):
            # A ledger that was lost or put back knows less than the output bucket.
            message = f"there are results under {_destination(job)} already"
            return self.preparing.reject(
                job, Problem(code="already_done", message=message)
            )
        job = self._hand_over(job)
        spending = self._spending(job)
        job = self.ledger.advance(
            job,
            lambda j: j.submitting(
                self.now(), self.timing, spending.day if spending else None
            ),
            # What a cancel keeps from being sent is counted all the same: seldom, and
            # on the safe side.
            spending=spending,
        )
        failpoint("after_intent")
        if job.phase is Phase.REJECTED:
            log.info("cancelled", extra={"job": job.id})
            self.preparing.clear(job)
        return job

    def _hand_over(self, job: Job) -> Job:
        """
        Brings the rows to where the service reads them, before the intent. An older
        holder may be about to do so, so that each uses a name of its own.
        """
        assert job.staging is not None
        try:
            if job.spec and job.spec.source:
                return job  # the service reads it where it lies
            if not self.services.of(job).is_staged(job):
                if job.staging.epoch != job.lease.epoch:
                    job = self._restage(job, job.staging.uri)
                self.services.of(job).stage(job)
        except BatchesError as exc:
            raise self._trouble(job, "could not hand over the rows", exc) from exc
        failpoint("after_handing_over")
        return job

    def _restage(self, job: Job, uri: str) -> Job:
        """Copies the rows to this worker's own epoch."""
        assert job.staging is not None
        own = self.preparing.staging(job)
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
        The batches that the service has of this job, the one to keep first: the oldest
        of those that have read their rows; else the oldest of those that name the
        newest staging, as one that names an older won't find its rows any more.

        Raises:
            Unavailable: there is no telling yet; or one that was to be cancelled isn't
                over, and may still come to be paid.
        """
        service = self.services.of(job)
        try:
            answers = service.search(job)
            for batch in answers:
                if batch.name in job.duplicates and not batch.terminal:
                    # Whoever was to do it may have died.
                    service.cancel(batch.name)
                    raise Unavailable(f"{batch.name} is cancelled, and isn't over yet")
        except BatchesError as exc:
            raise self._trouble(job, "could not look for its batches", exc) from exc
        found = [batch for batch in answers if job.may_take_up(batch)]
        failpoint("after_search")
        log.info("searched", extra={"job": job.id, "found": len(found)})
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
        Records the first and condemns the others in one write; only then cancels those.
        """
        kept, *others = found
        health = None
        if others:
            health = Health(
                code="duplicate_batch",
                message=f"{len(others)} more were made, and are cancelled: "
                + ", ".join(extra.name for extra in others),
                since=self.now(),
            )
        job = self._record(job, kept, health, [extra.name for extra in others])
        for extra in others:
            log.error(
                "duplicate batch",
                extra={"job": job.id, "kept": kept.name, "cancelled": extra.name},
            )
            try:
                self.services.of(job).cancel(extra.name)
            except ClientError as exc:
                log.warning(
                    "not cancelled", extra={"batch": extra.name, "reason": str(exc)}
                )
            failpoint("after_cancelling_duplicate")
        return job

    # -- submitting: the request itself -----------------------------------------

    def _create(self, job: Job) -> Job:
        if self.now() + self.timing.create_timeout > job.lease.until:
            # Frozen since the intent. Nothing was sent, and now it is too late to.
            why = "too little of the lease left to send"
            return self._postpone(job, why, unsent=True)
        failpoint("before_create")
        try:
            batch = self.services.of(job).create(job)
        except BatchesError as exc:
            failpoint("after_failed_create")
            return self._not_created(job, exc)
        failpoint("after_create")
        return self._record(job, batch)

    def _record(
        self,
        job: Job,
        batch: Batch,
        health: Health | None = None,
        others: Collection[str] = (),
    ) -> Job:
        def move(job: Job) -> Job:
            job = job.submitted(batch, self.now())
            return job.duplicates_found(others, health, self.now()) if health else job

        job = self._write(job, move)
        failpoint("after_submitted")
        log.info("submitted", extra={"job": job.id, "batch": batch.name})
        return job

    def _not_created(self, job: Job, error: BatchesError) -> Job:
        """
        What each answer to create means:

            401 403, a bad key     our set-up lacks a right              waiting
            400 404 413 422        nothing was made and never will be    rejected
            429                    nothing was made for now              waiting
            no connection          nothing was sent                      waiting
            all else, or none      it may have been made                 look later
        """
        code = error.code if isinstance(error, ClientError) else None
        if is_not_allowed(error):
            return self._not_allowed(job, f"{error}. {self._remedy(job)}", unsent=True)
        if code in REFUSALS:
            problem = Problem(code="service_refused", message=str(error))
            return self.preparing.reject(job, problem)
        if code == 429:
            wait = error.retry_after if isinstance(error, ClientError) else None
            pause = self.timing.list_lag if wait is None else timedelta(seconds=wait)
            self.ledger.pause_queue(job.queue, self.now(), pause)
            why, again = f"429: {error}", self.now() + pause
            log.warning("postponed", extra={"job": job.id, "reason": why})
            return self._write(job, lambda j: j.wait(why, self.now(), due=again))
        if isinstance(error, TransportError) and not error.sent:
            return self._postpone(job, f"service unreachable: {error}", unsent=True)
        why = f"unclear: {error}"
        log.warning("unclear", extra={"job": job.id, "reason": why})
        return self._fail(job, lambda j: j.unclear(why, self.now(), self.timing))

    def _postpone(self, job: Job, why: str, *, unsent: bool = False) -> Job:
        """
        Args:
            unsent: no request of it is on its way, whatever its phase says.
        """
        log.warning("postponed", extra={"job": job.id, "reason": why})
        now = self.now()
        if job.phase is Phase.SUBMITTING and not unsent:
            return self._fail(job, lambda j: j.unclear(why, now, self.timing))
        return self._fail(job, lambda j: j.postpone(why, now, due=now))

    def _not_allowed(
        self,
        job: Job,
        why: str,
        *,
        unsent: bool = False,
        due: datetime | None = None,
    ) -> Job:
        """
        A person has to see to our set-up; the job waits, however long that takes.

        Args:
            unsent: no request of it is on its way, whatever its phase says.
            due: when to try again; by default when a list would show a batch.
        """
        reason, now = "not_allowed", self.now()
        again = due or now + self.timing.list_lag
        log.error("postponed", extra={"job": job.id, "reason": reason, "health": why})
        known = job.health
        since = known.since if known and known.code == reason else now
        health = Health(code=reason, message=why, since=since)
        if job.phase is Phase.SUBMITTING and not unsent:
            return self._fail(
                job, lambda j: j.unclear(reason, now, self.timing, health)
            )
        return self._fail(
            job, lambda j: j.postpone(reason, now, due=again, health=health)
        )

    def _fail(self, job: Job, move: Callable[[Job], Job]) -> Job:
        """Writes that an attempt failed; says so if this was one too many."""
        after = self._write(job, move)
        known = job.postponed is not None and job.postponed.announced
        if after.postponed and after.postponed.announced and not known:
            log.warning("stalled", extra={"job": job.id, "state": str(after.phase)})
        if after.is_parked:
            log.error("parked", extra={"job": job.id, "phase": after.phase})
        self.preparing.clear(after)
        return after

    def _trouble(self, job: Job, what: str, error: BatchesError) -> BatchdropError:
        """What a step raises that got no further at the service."""
        if is_not_allowed(error):
            return Misconfigured(f"{what}: {error}. {self._remedy(job)}")
        return Unavailable(f"{what}: {error}")

    def _remedy(self, job: Job) -> str:
        if job.spec and job.spec.backend == DEVELOPER:
            return "GEMINI_API_KEY must be a valid key for the Gemini API"
        return (
            "Grant the worker's service account roles/aiplatform.user on project "
            f"{self.settings.project}"
        )

    # -- submitting, by a worker that is gone: look, then fence -----------------

    def _recover(self, job: Job) -> Job:
        if found := self._search(job):
            return self._adopt(job, found)
        return self._fence(job)

    def _fence(self, job: Job) -> Job:
        """
        Nothing to be found, and yet a frozen worker may hold the request in its
        hands: take away the input that it names. The wait until the next look starts
        when the older copies are gone. A table can't be taken away: there a second
        batch may come of it, which the sweep finds and cancels.
        """
        if job.spec is None or job.spec.source is None:
            job = self._withdraw(job)
        job = self._write(job, lambda j: j.fenced_off(self.now(), self.timing))
        failpoint("after_fence")
        log.info("fenced", extra={"job": job.id, "epoch": job.lease.epoch})
        return job

    def _withdraw(self, job: Job) -> Job:
        """Moves the rows to this worker's own epoch, so that none lie under others."""
        held = {
            epoch: uri
            for uri in self.storage.names(self.preparing.folder(job.id))
            if (epoch := self._epoch(job, uri)) is not None
        }
        if not held:
            raise RuntimeError(
                f"nothing is staged under {self.preparing.folder(job.id)} any more"
            )
        # A fence that didn't get to its write may have moved the rows already.
        job = self._restage(job, held[max(held)])
        # A higher one belongs to a worker that has overtaken this one.
        older = [epoch for epoch in held if epoch < job.lease.epoch]
        try:
            self.services.of(job).withdraw(job, older)
        except BatchesError as exc:
            raise self._trouble(job, "could not withdraw the rows", exc) from exc
        for epoch in older:
            self.storage.delete(held[epoch])
        failpoint("after_fence_delete")
        return job

    # -- the pieces -------------------------------------------------------------

    def _write(self, job: Job, move: Callable[[Job], Job]) -> Job:
        return self.ledger.advance(job, move)

    def ignores(self, drop: Drop) -> str | None:
        """Why an object is none that a job is made of, if it isn't."""
        settings = self.settings
        for place in (settings.work, settings.output):
            if place.holds(drop.bucket, drop.name):
                return f"an object of the worker's own, under {place}"
        if drop.bucket != settings.inbox:
            return f"not in the inbox bucket {settings.inbox}"
        if not drop.name.endswith(SUFFIXES):
            return f"the name doesn't end in {' or '.join(SUFFIXES)}"
        if drop.size == 0:
            return "zero bytes"
        return None

    def _epoch(self, job: Job, uri: str) -> int | None:
        match = re.fullmatch(
            r"(\d+)/requests\.jsonl", uri[len(str(self.preparing.folder(job.id))) :]
        )
        return int(match[1]) if match else None


def _destination(job: Job) -> str:
    return job.spec.destination if job.spec else ""
