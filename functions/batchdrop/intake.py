"""What happens to a drop: claim, prepare, submit."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import msgspec

from batchdrop.batches import BatchesError, ClientError, TransportError
from batchdrop.crash import crash
from batchdrop.errors import (
    BadSetting,
    NotReadable,
    SourceGone,
    Superseded,
    Unavailable,
)
from batchdrop.jobs import (
    MAX_FAULTS,
    Batch,
    Drop,
    Fault,
    Health,
    Job,
    Phase,
    Problem,
    Rows,
    Spec,
    Staging,
    Timing,
)
from batchdrop.ledger import Ledger, Spending
from batchdrop.preflight import REJECT, Checker, Refused, Rules
from batchdrop.service import Service
from batchdrop.settings import Location, Settings
from batchdrop.storage import Storage

log = logging.getLogger(__name__)

#: How a dropped file's name ends. A packed one is told by its bytes, too.
SUFFIXES = (".jsonl", ".jsonl.gz")
#: The report's name, under the job's output.
REPORT = "rejected.jsonl"

#: The service's names for "this request is wrong": it made nothing and never will.
REFUSALS = frozenset({400, 404, 413, 422})
NO_RIGHT = frozenset({401, 403})


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """A worker's way through a job. Each step ends in one write to the ledger."""

    ledger: Ledger
    storage: Storage
    service: Service
    settings: Settings
    timing: Timing
    now: Callable[[], datetime]
    holder: Callable[[], str]  #: a name nobody else has, for each claim

    def take(self, drop: Drop, *, missed: bool = False) -> None:
        """
        What a delivery does: the first one claims the job and carries it on; every
        other finds it claimed and leaves it to the ledger.

        Args:
            missed: no event told of the drop.

        Raises:
            Unavailable: the claim could not be made; deliver it again.
        """
        if reason := self.ignores(drop):
            log.info("ignored", extra={"object": str(drop), "reason": reason})
            return
        claim = Job.claimed(drop, self.holder(), self.now(), self.timing, missed=missed)
        job = self.ledger.claim(claim)
        if job is None:
            log.info("known", extra={"job": claim.id, "object": str(drop)})
            return
        crash("after_claim")
        log.info("claimed", extra={"job": job.id, "object": str(drop)})
        self.carry_on(job)

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
        except Superseded as exc:
            log.warning("superseded", extra={"job": job.id, "reason": str(exc)})
        except Unavailable as exc:
            log.error("ledger unavailable", extra={"job": job.id, "reason": str(exc)})

    def cancel(self, job_id: str, by: str) -> Job:
        """
        Has a job cancelled, at whatever phase it is. One that was not submitted is
        over at once, or when the worker that holds it comes to its next request; a
        batch is cancelled by `poll` at its next tick. Asked twice, it is done once.

        A family's cancel is one for each of its parts. It is written at the family
        first, so that `poll` goes on with it wherever this ends.

        Raises:
            LookupError: there is no such job.
            ValueError: it is over.
            Superseded: it moved on at the same moment; try again.
        """
        job = self._known(job_id)
        now = self.now()
        job = self.ledger.advance(job, lambda j: j.cancel_wanted(by, now))
        log.info("cancel wanted", extra={"job": job.id, "by": by})
        if job.phase is Phase.SPLIT:
            self.cancel_parts(job)
            return self._known(job_id)
        return job

    def cancel_parts(self, family: Job) -> None:
        """Tells the parts of a cancel that is wanted, and then that all know of it."""
        assert family.wanted is not None
        by, told = family.wanted.by, True
        for part in self.ledger.get_all(family.parts):
            if part.is_over or part.wanted:
                continue
            now = self.now()
            try:
                self.ledger.advance(part, partial(Job.cancel_wanted, by=by, now=now))
            except Superseded:
                told = False  # it moved on at the same moment; at the next tick
        if told:
            with suppress(Superseded):  # that was the last of them
                self.ledger.advance(family, lambda j: j.cancel_sent(self.now()))
            log.info("parts cancelled", extra={"job": family.id})

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
            parent, lambda j: j.counting_rerun(now), children=lambda j: [j.rerun(now)]
        )
        log.info("rerun", extra={"job": parent.rerun(now).id, "parent": parent.id})
        return parent.rerun(now)

    def _step(self, job: Job, admitted: bool) -> Callable[[Job], Job] | None:
        match job.phase:
            case Phase.ARRIVED:
                return self._prepare
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
        except Unavailable as exc:
            why, now = str(exc), self.now()
            log.warning("postponed", extra={"job": job.id, "reason": why})
            if job.phase is Phase.SUBMITTING:
                return self._write(job, lambda j: j.unclear(why, now, self.timing))
            return self._write(job, lambda j: j.postponed(why, now, due=now))
        except Exception as exc:
            why, now = f"{type(exc).__name__}: {exc}", self.now()
            log.exception("step failed", extra={"job": job.id, "phase": job.phase})
            return self._write(job, lambda j: j.gave_up(why, now))

    # -- arrived: check the rows, stage them ------------------------------------

    def _prepare(self, job: Job) -> Job:
        if problem := self._over_limit(job, rows=0):
            return self._reject(job, problem)
        staging = self._staging(job)
        reading = Reading(rules_of(self.settings))
        try:
            self._read(job, staging, reading)
        except SourceGone as exc:
            return self._reject(job, Problem(code="source_gone", message=str(exc)))
        except NotReadable as exc:
            problem = Problem(code=exc.code, message=str(exc))
            return self._reject(job, problem, reading)
        except _BadRows:
            return self._reject(job, reading.problem(), reading)
        crash("after_staging")
        spec, found = self._spec(job), reading.rows
        if problem := self._over_limit(job, found.total):
            return self._reject(job, problem, reading)
        faults, report = tuple(reading.faults), self._report(job, reading)
        job = self._write(
            job,
            lambda j: j.prepared(
                spec, staging, found, self.now(), self.timing, faults, report
            ),
        )
        crash("after_prepared")
        log.info(
            "prepared",
            extra={"job": job.id, "rows": found.total, "refused": found.refused},
        )
        return job

    def _read(self, job: Job, staging: Staging, reading: "Reading") -> None:
        """Checks and stages the rows, and reports those that can't be sent."""
        with ExitStack() as stack:

            def report(refused: Refused) -> None:
                if reading.report is None:
                    # Made with its first line: most files need none.
                    writing = self.storage.writing(f"{self._output(job)}{REPORT}")
                    reading.report = stack.enter_context(writing)
                for line in reported(refused):
                    reading.report(line)

            lines = reading.staged(self.storage.read(job.source), report)
            bad: Exception | None = None
            try:
                self.storage.write(staging.uri, lines)
            except (_BadRows, NotReadable) as exc:
                bad = exc  # the report is whole, and stays
        if bad is not None:
            raise bad

    def _report(self, job: Job, reading: "Reading | None") -> str | None:
        made = reading is not None and reading.report is not None
        return f"{self._output(job)}{REPORT}" if made else None

    def _reject(
        self, job: Job, problem: Problem, reading: "Reading | None" = None
    ) -> Job:
        log.warning(
            "rejected",
            extra={"job": job.id, "code": problem.code, "reason": problem.message},
        )
        found = reading.rows if reading else None
        faults = tuple(reading.faults) if reading else None
        report = self._report(job, reading)
        job = self.ledger.advance(
            job, lambda j: j.rejected(problem, self.now(), found, faults, report)
        )
        crash("after_rejected")
        return job

    def _over_limit(self, job: Job, rows: int) -> Problem | None:
        """Whether a job is more than may ever be submitted at once."""
        chosen, size = self.settings, job.source.size
        for what, found, limit, setting in (
            ("rows", rows, chosen.max_rows, "MAX_ROWS"),
            ("bytes", size, chosen.max_bytes, "MAX_BYTES"),
            ("rows", rows, chosen.max_rows_per_day, "MAX_ROWS_PER_DAY"),
            ("bytes", size, chosen.max_bytes_per_day, "MAX_BYTES_PER_DAY"),
        ):
            if limit is not None and found > limit:
                message = f"{found:,} {what}, over BATCHDROP_{setting}={limit}"
                return Problem(code="over_limit", message=message)
        return None

    def _spending(self, job: Job) -> Spending | None:
        """What to count against the day, once a job, whatever becomes of a request."""
        chosen = self.settings
        if job.spent_on or not (chosen.max_rows_per_day or chosen.max_bytes_per_day):
            return None
        return Spending(
            day=f"{self.now():%Y-%m-%d}",
            rows=job.rows.total,
            bytes=job.size,
        )

    def _spec(self, job: Job) -> Spec:
        name = job.source.name
        return Spec(
            kind="generation",
            backend=self.settings.backend,
            location=self.settings.location,
            model=self.settings.model,
            destination=self._output(job),
            display_name=name[-128:],  # the API's limit
            labels={
                "batchdrop_job": job.id,
                "batchdrop_deployment": self.settings.deployment,
            },
        )

    # -- prepared, waiting: look, unless it is fresh; write the intent ----------

    def _queue_or_intend(self, job: Job) -> Job:
        """Where jobs queue, only the tick admits them, so that none overtakes."""
        now = self.now()
        if self.settings.queues:
            why = "paused" if self.settings.paused else "queued"
            return self._write(job, lambda j: j.postponed(why, now, due=now))
        until = self.ledger.lane_paused_until(lane(job))
        if until and now < until:
            why = f"{lane(job)} is paused until {until:%H:%M:%S}"
            return self._write(job, lambda j: j.postponed(why, now, due=until))
        return self._intend(job)

    def _intend(self, job: Job) -> Job:
        if job.must_look and (found := self._look(job)):
            return self._adopt(job, found)
        if job.missed and self._has_results(job):
            # A ledger that was lost or put back knows less than the output bucket.
            message = f"there are results under {_destination(job)} already"
            return self._reject(job, Problem(code="already_done", message=message))
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
        crash("after_intent")
        if job.phase is Phase.REJECTED:
            log.info("cancelled", extra={"job": job.id})
        return job

    def _hand_over(self, job: Job) -> Job:
        """
        Brings the rows to where the service reads them, before the intent. An older
        holder may be about to do so, so that each uses a name of its own.
        """
        assert job.staging is not None
        try:
            if not self.service.is_staged(job):
                if job.staging.epoch != job.lease.epoch:
                    job = self._restage(job, job.staging.uri)
                self.service.stage(job)
        except BatchesError as exc:
            raise Unavailable(f"could not hand over the rows: {exc}") from exc
        crash("after_handing_over")
        return job

    def _restage(self, job: Job, uri: str) -> Job:
        """Copies the rows to this worker's own epoch."""
        staging = self._staging(job)
        self.storage.copy(uri, staging.uri)
        crash("after_copying")
        job = self._write(job, lambda j: j.restaged(staging, self.now()))
        crash("after_restaging")
        return job

    def _has_results(self, job: Job) -> bool:
        """Whether more than our own report lies at the destination."""
        place = _destination(job)
        names = self.storage.names(Location.parse(place))
        return any(name != f"{place}{REPORT}" for name in names)

    def _look(self, job: Job) -> list[Batch]:
        """
        The batches that the service has of this job, the one to keep first: the oldest
        of those that have read their rows; else the oldest of those that name the
        newest staging, as one that names an older won't find its rows any more.
        """
        try:
            answers = self.service.look(job)
        except BatchesError as exc:
            raise Unavailable(f"could not look for batches of {job.id}: {exc}") from exc
        found = [batch for batch in answers if not job.failed_by_fence(batch)]
        crash("after_look")
        log.info("looked", extra={"job": job.id, "found": len(found)})
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
        """Records the first and tells of the others; only then cancels those."""
        kept, *others = found
        health = None
        if others:
            health = Health(
                code="duplicate_batch",
                message=f"{len(others)} more were made, and are cancelled: "
                + ", ".join(extra.name for extra in others),
                since=self.now(),
            )
        job = self._record(job, kept, health)
        for extra in others:
            log.error(
                "duplicate batch",
                extra={"job": job.id, "kept": kept.name, "cancelled": extra.name},
            )
            try:
                self.service.cancel(extra.name)
            except ClientError as exc:
                log.warning(
                    "not cancelled", extra={"batch": extra.name, "reason": str(exc)}
                )
            crash("after_cancelling_extra")
        return job

    # -- submitting: the request itself -----------------------------------------

    def _create(self, job: Job) -> Job:
        if self.now() + self.timing.create_timeout > job.lease.until:
            # Frozen since the intent. Nothing was sent, and now it is too late to.
            return self._postpone(job, "too little of the lease left to send")
        crash("before_create")
        try:
            batch = self.service.create(job)
        except BatchesError as exc:
            crash("after_failed_create")
            return self._not_created(job, exc)
        crash("after_create")
        return self._record(job, batch)

    def _record(self, job: Job, batch: Batch, health: Health | None = None) -> Job:
        def move(job: Job) -> Job:
            job = job.submitted(batch, self.now())
            return job.ailing(health, self.now()) if health else job

        job = self._write(job, move)
        crash("after_submitted")
        log.info("submitted", extra={"job": job.id, "batch": batch.name})
        return job

    def _not_created(self, job: Job, error: BatchesError) -> Job:
        """
        What each answer to create means:

            400 404 413 422        nothing was made and never will be    rejected
            401 403                our set-up lacks a right              waiting
            429                    nothing was made for now              waiting
            no connection          nothing was sent                      waiting
            all else, or none      it may have been made                 look later
        """
        code = error.code if isinstance(error, ClientError) else None
        if code in REFUSALS:
            problem = Problem(code="service_refused", message=str(error))
            return self._reject(job, problem)
        if code in NO_RIGHT:
            health = Health(
                code="not_allowed",
                message=f"{error}. Grant the worker's service account "
                f"roles/aiplatform.user on project {self.settings.project}",
                since=self.now(),
            )
            pause = self.timing.settle
            return self._postpone(job, "not_allowed", pause=pause, health=health)
        if code == 429:
            wait = error.retry_after if isinstance(error, ClientError) else None
            pause = self.timing.settle if wait is None else timedelta(seconds=wait)
            self.ledger.pause_lane(lane(job), self.now() + pause)
            return self._postpone(job, f"429: {error}", pause=pause)
        if isinstance(error, TransportError) and not error.sent:
            return self._postpone(job, f"service unreachable: {error}")
        why = f"unclear: {error}"
        log.warning("unclear", extra={"job": job.id, "reason": why})
        return self._write(job, lambda j: j.unclear(why, self.now(), self.timing))

    def _postpone(
        self,
        job: Job,
        why: str,
        pause: timedelta = timedelta(0),
        health: Health | None = None,
    ) -> Job:
        level = logging.ERROR if health else logging.WARNING
        log.log(level, "postponed", extra={"job": job.id, "reason": why})
        now = self.now()
        return self._write(
            job, lambda j: j.postponed(why, now, due=now + pause, health=health)
        )

    # -- submitting, by a worker that is gone: look, then fence -----------------

    def _recover(self, job: Job) -> Job:
        if found := self._look(job):
            return self._adopt(job, found)
        return self._fence(job)

    def _fence(self, job: Job) -> Job:
        """
        Nothing to be found, and yet a frozen worker may hold the request in its
        hands: take away the input that it names. The wait until the next look starts
        when the older copies are gone.
        """
        job = self._withdraw(job)
        job = self._write(job, lambda j: j.fenced_off(self.now(), self.timing))
        crash("after_fence")
        log.info("fenced", extra={"job": job.id, "epoch": job.lease.epoch})
        return job

    def _withdraw(self, job: Job) -> Job:
        """Moves the rows to this worker's own epoch, so that none lie under others."""
        held = {
            epoch: uri
            for uri in self.storage.names(self._folder(job))
            if (epoch := self._epoch(job, uri)) is not None
        }
        if not held:
            raise RuntimeError(f"nothing is staged under {self._folder(job)} any more")
        # A fence that didn't get to its write may have moved the rows already.
        job = self._restage(job, held[max(held)])
        # A higher one belongs to a worker that has overtaken this one.
        older = [epoch for epoch in held if epoch < job.lease.epoch]
        try:
            self.service.withdraw(job, older)
        except BatchesError as exc:
            raise Unavailable(f"could not withdraw the rows: {exc}") from exc
        for epoch in older:
            self.storage.delete(held[epoch])
        crash("after_fence_delete")
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

    def _output(self, job: Job) -> str:
        """The gs:// prefix of all that is made for a job."""
        return f"{self.settings.output}{job.source.name}/{job.id}/"

    def _folder(self, job: Job) -> Location:
        work = self.settings.work
        return Location(bucket=work.bucket, prefix=f"{work.prefix}{job.id}/")

    def _staging(self, job: Job) -> Staging:
        epoch = job.lease.epoch
        return Staging(epoch=epoch, uri=f"{self._folder(job)}{epoch}/requests.jsonl")

    def _epoch(self, job: Job, uri: str) -> int | None:
        match = re.fullmatch(
            r"(\d+)/requests\.jsonl", uri[len(str(self._folder(job))) :]
        )
        return int(match[1]) if match else None


def lane(job: Job) -> str:
    """What has room of its own at the service."""
    spec = job.spec
    return f"{spec.backend} {spec.location} {spec.model}" if spec else ""


def _destination(job: Job) -> str:
    return job.spec.destination if job.spec else ""


def rules_of(settings: Settings) -> Rules:
    """
    How files are read in a deployment.

    Raises:
        BadSetting: a generation configuration that can't be merged.
    """
    config = settings.generation_config
    try:
        return Rules(
            backend=settings.backend,
            model=settings.model,
            fix=settings.fix,
            on_invalid=settings.on_invalid,
            max_invalid=settings.max_invalid,
            generation_config=config.encode() if config else None,
            sources=(Location(bucket=settings.inbox, prefix=""),),
        )
    except ValueError as exc:
        raise BadSetting(f"BATCHDROP_GENERATION_CONFIG: {exc}") from exc


def reported(refused: Refused) -> Iterator[bytes]:
    """
    The report's lines on a line that was refused, one for each fault: `line`, `path`,
    `code`, `message`, `fix`, and `text`, the line itself. What isn't UTF-8 in it is
    written as `\\xNN`.
    """
    text = refused.text.decode(errors="backslashreplace")
    for fault in refused.faults:
        yield msgspec.json.encode({**msgspec.to_builtins(fault), "text": text}) + b"\n"


class _BadRows(Exception):
    """Ends the upload of a file of which nothing is to be staged."""


@dataclass(slots=True)
class Reading:
    """What is found while a file streams through."""

    rules: Rules
    faults: list[Fault] = field(default_factory=list)  #: the first ones
    report: Callable[[bytes], None] | None = None
    size: int = 0  #: bytes staged
    _checker: Checker = field(init=False)

    def __post_init__(self) -> None:
        self._checker = Checker(self.rules)

    def staged(
        self, chunks: Iterator[bytes], report: Callable[[Refused], None]
    ) -> Iterator[bytes]:
        """
        The lines to send.

        Raises:
            _BadRows: at the end of a file that isn't fit to be sent.
            NotReadable: it can't be read as lines, or is more than one job takes.
        """
        for block in self._checker.blocks(chunks):
            for refused in block.refused:
                report(refused)
                room = MAX_FAULTS - len(self.faults)
                self.faults += refused.faults[:room]
            if not self._is_fit():
                continue
            self.size += len(block.staged)
            self._limit()
            if block.staged:
                yield block.staged
        if not self._is_fit() or not self.rows.accepted:
            raise _BadRows

    @property
    def rows(self) -> Rows:
        return self._checker.rows

    def _is_fit(self) -> bool:
        """Whether the lines so far may be sent, without those that are bad."""
        if self.rules.on_invalid == REJECT:
            return not self.rows.refused
        most = self.rules.max_invalid
        return most is None or self.rows.refused <= most

    def _limit(self) -> None:
        """One job takes so much."""
        family = self.rules.family
        for what, found, most in (
            ("rows", self.rows.accepted, family.rows),
            ("bytes", self.size, family.bytes),
        ):
            if most is not None and found > most:
                raise NotReadable(
                    "over_limit",
                    f"more than {most:,} {what}, which is what a job of {family.name} "
                    "takes; drop the file in parts",
                )

    def problem(self) -> Problem:
        refused = self.rows.refused
        if not refused:
            return Problem(code="no_rows", message="the file has only blank lines")
        first = self.faults[0]
        where = f"line {first.line}" + (f", {first.path}" if first.path else "")
        more = f" (and {refused - 1} more lines)" if refused > 1 else ""
        message = f"{where}: {first.message}; {first.fix}{more}"
        if self.rules.on_invalid != REJECT and not self._is_fit():
            return Problem(
                code="too_many_invalid",
                message=f"{refused:,} bad lines, and {self.rules.max_invalid:,} may be "
                f"left out; {message}",
            )
        return Problem(code="bad_rows", message=message)
