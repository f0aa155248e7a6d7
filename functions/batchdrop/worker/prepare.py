"""What is made of a drop before anything is sent: choices, and checked rows."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any, Self

from batchdrop.errors import (
    BadChoice,
    Misconfigured,
    NotReadable,
    SourceGone,
    Superseded,
    Unavailable,
)
from batchdrop.failpoints import failpoint
from batchdrop.jobs.job import Job
from batchdrop.jobs.sizes import MAX_CHOSEN, size_of
from batchdrop.jobs.values import (
    MAX_OBJECT_NAME,
    Drop,
    Input,
    Location,
    Part,
    Phase,
    Problem,
    Spec,
    Staging,
    Timing,
)
from batchdrop.ledger import Ledger
from batchdrop.options.manifests import (
    MAX_SIZE,
    Manifest,
    is_manifest,
    manifest_name,
    speaks_for,
)
from batchdrop.options.resolve import Chosen, choose
from batchdrop.options.routes import Routes
from batchdrop.options.settings import Settings
from batchdrop.preflight import Rules
from batchdrop.rows import Rows
from batchdrop.storage import Storage
from batchdrop.stored import split_uri
from batchdrop.worker.staging import BadRows, Limits, Piece, Reading
from batchdrop.worker.traces import Trace, Traces

log = logging.getLogger(__name__)

#: The report's name, under the job's output.
REPORT = "rejected.jsonl"
#: Bytes that are kept for names under a job's output: `part-0299/`, and what Vertex AI
#: writes there, `prediction-model-2026-03-01T00:00:00.000000Z/predictions.jsonl`.
BELOW_OUTPUT = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparing:
    """
    The first step of a job: from `arrived` to `prepared`, `split` or `rejected`; of a
    manifest without rows, to `attached`.
    """

    ledger: Ledger
    storage: Storage
    settings: Settings
    routes: Routes
    timing: Timing
    now: Callable[[], datetime]

    def prepare(self, job: Job) -> Job:
        """
        Chooses, checks and stages.

        Raises:
            Superseded, Unavailable, Misconfigured: nothing is written; try again.
        """
        if (again := self._from_traces(job)) is not None:
            return again
        spoke: str | None = None
        try:
            manifest, spoke = self._manifest(job)
            if is_manifest(job.source.name) and not (manifest and manifest.has_source):
                return self._attach(job)
            return self._prepare(job, manifest, spoke)
        except SourceGone as exc:
            files = self._files_beside(job.source)
            if any(file.manifest == str(job.source) for file in files):
                return self._attached(job, files)  # it was read before it went
            problem = Problem(code="source_gone", message=str(exc))
        except (BadChoice, NotReadable) as exc:
            problem = Problem(code=exc.code, message=str(exc))
        return self.reject(job, problem, manifest=spoke)

    def manifest(self, drop: Drop) -> Manifest:
        """
        What a manifest says.

        Raises:
            BadChoice: what it says can't be read, or isn't allowed to be said.
            NotReadable, SourceGone, Unavailable, Misconfigured: it can't be had.
        """
        try:
            return Manifest.parse(self.storage.content(drop, MAX_SIZE))
        except BadChoice as exc:
            raise BadChoice(exc.code, f"{drop}: {exc}") from exc

    def staging(self, job: Job) -> Staging:
        """Where the present holder of a job stages its rows."""
        return self._staging(job.id, job.lease.epoch)

    def folder(self, job_id: str) -> Location:
        """Where a job's rows lie as they are sent."""
        return self.traces.folder(job_id)

    @property
    def traces(self) -> Traces:
        """What the work bucket has of jobs."""
        return Traces(self.storage, self.settings)

    def reject(
        self,
        job: Job,
        problem: Problem,
        found: "Reading | None" = None,
        made: "_Made | None" = None,
        manifest: str | None = None,
    ) -> Job:
        """
        Ends a job of which nothing was sent, and tells why.

        Args:
            found: what was read of it.
            made: what was chosen for it, by which it may have been refused.
            manifest: what spoke for it: it was heard, and is not too late.
        """
        log.warning(
            "rejected",
            extra={"job": job.id, "code": problem.code, "reason": problem.message},
        )
        rows = found.rows if found else None
        row_errors = tuple(found.row_errors) if found else None
        report = found.report if found else None
        job = self.ledger.advance(
            job,
            lambda j: (made.on(j) if made else j).rejected(
                problem, self.now(), rows, row_errors, report, manifest
            ),
        )
        failpoint("after_rejected")
        self.clear(job)
        return job

    def clear(self, job: Job) -> None:
        """
        Deletes what was staged of a job that was rejected: nothing of it was sent, or
        what was names copies that a fence has taken away, and nothing will be. Of one
        that was postponed when it had only arrived, what isn't check-pointed: whoever
        takes it up next stages that anew.

        What a job of the same id has left behind that the ledger has lost stays: a
        batch may be reading it.
        """
        if job.phase not in (Phase.REJECTED, Phase.ARRIVED):
            return
        try:
            trace = self.traces.of(job.id)
            if trace and _is_anothers(trace, job):
                return
            self._clear(job, job.lease.epoch + 1)
            for part in job.parts.values() if job.phase is Phase.REJECTED else ():
                self.storage.delete(part.staging.uri)
        except (Unavailable, Misconfigured) as exc:
            # The bucket's own rule deletes them in time.
            log.warning("copies left", extra={"job": job.id, "reason": str(exc)})

    def _clear(self, job: Job, below: int) -> None:
        """
        Deletes the copies that holders of earlier epochs have left behind. As long as
        a job has arrived no request names them, and none of those holders can write
        any more; what was check-pointed stays. A part that isn't is the next one.
        """
        kept = {part.staging.uri for part in job.parts.values()}
        for id in (job.id, job.part_id(len(job.parts))):
            for uri in self.storage.names(self.folder(id)):
                epoch = uri.removeprefix(str(self.folder(id))).partition("/")[0]
                if uri not in kept and epoch.isdecimal() and int(epoch) < below:
                    self.storage.delete(uri)

    # -- a ledger that was lost ---------------------------------------------------

    def _from_traces(self, job: Job) -> Job | None:
        """
        What becomes of a job that the ledger takes for new, by what lies staged of it:

            nothing                              None: it is new
            rows that were never to be sent      None; its epoch goes over theirs
            its own, of a worker that died
            before the ledger knew               None: it is staged anew
            those of a job that was made         the job is made anew: it looks for its
            before this document, or by a        batch, and fences off whoever may be
            holder whom it doesn't know          about to make one

        Raises:
            Superseded, Unavailable, Misconfigured: nothing is written; try again.
        """
        trace = self.traces.of(job.id)
        if trace is None:
            return None
        unknown = trace.epoch >= job.lease.epoch
        if trace.job and (unknown or trace.job.created_at != job.created_at):
            return self._made_anew(job, trace.job, trace)
        if unknown:
            now = self.now()
            return self.ledger.advance(job, lambda j: j.overtaking(trace.epoch, now))
        return None

    def _made_anew(self, job: Job, kept: Job, trace: Trace) -> Job:
        now, timing = self.now(), self.timing
        staging = None
        parts: dict[str, Trace] = {}
        if kept.phase is Phase.SPLIT:
            found = {id: self.traces.of(id) for id in kept.parts}
            parts = {id: one for id, one in found.items() if one is not None}
        elif kept.staging is not None:
            staging = trace.staging(kept.staging)

        def move(job: Job) -> Job:
            job = job.made_anew(kept, staging, trace.epoch, now, timing)
            # Of those that the ledger has not lost some may be over by now.
            for part in self.ledger.get_all(kept.parts):
                job = job.part_over(part, now) if part.is_over else job
            return job

        def children(split: Job) -> list[Job]:
            known = self.ledger.known_ids(split.parts) if split.parts else set()
            return [
                self.part_in_doubt(one, parts.get(one.id))
                for one in split.children(now)
                if one.id not in known
            ]

        job = self.ledger.advance(job, move, children=children)
        log.warning("made anew", extra={"job": job.id, "phase": job.phase})
        return job

    def part_in_doubt(self, part: Job, trace: Trace | None) -> Job:
        """A part of which the ledger has lost the document, made anew."""
        assert part.staging is not None
        staging, epoch = part.staging, part.staging.epoch
        if trace is not None:
            staging, epoch = trace.staging(staging), trace.epoch
        return part.in_doubt(staging, epoch, self.now(), self.timing)

    # -- choices ----------------------------------------------------------------

    def _prepare(self, job: Job, source: Manifest | None, spoke: str | None) -> Job:
        chosen = choose(
            self.settings,
            self.routes,
            job.source.name,
            metadata=self.storage.metadata(job.source),
            manifest=source,
        )
        # What a check-point has frozen stays as it is.
        if job.spec is None and source is None and chosen.spec.manifest == "required":
            return self._wait_for_manifest(job)
        made = _Made(
            spec=job.spec or self._spec(job, chosen.spec),
            origin=job.spec_from or chosen.origin,
            manifest=spoke,
            inputs=job.inputs or self._inputs(source),
        )
        made.check()
        if made.spec.source is not None:
            # A table is read by the service; its rows can't be checked before.
            self._refuse_uncounted(made)
            staging = Staging(epoch=job.lease.epoch, uri=made.spec.source)
            return self._prepared(job, made, staging, None)
        return self._check_and_stage(job, made, chosen, source)

    def _manifest(self, job: Job) -> tuple[Manifest | None, str | None]:
        """What speaks for a drop: the drop itself, or an object beside it."""
        drop = job.source
        if is_manifest(drop.name):
            manifest = self.manifest(drop)
            return manifest, str(drop) if manifest.has_source else None
        if job.spec is not None:
            return None, job.manifest  # a check-point has frozen what was chosen
        beside = self.storage.find(drop.bucket, manifest_name(drop.name))
        if beside is None or beside.size == 0:
            return None, None
        try:
            manifest = self.manifest(beside)
        except SourceGone as exc:
            # The file is there all the same: next time, with the manifest of then.
            raise Unavailable(f"{exc} while it was read") from exc
        if manifest.has_source:
            return None, None  # a job of its own
        return manifest, str(beside)

    def _attach(self, job: Job) -> Job:
        """
        Ends the job of a manifest that has no rows, by what became of the file beside
        it:

            the file isn't there, or nobody has taken it    attached: whoever takes the
                                                            file reads the manifest
            nobody is at the file, which has read nothing   attached; the file is due
            the file was taken with it                      attached
            the file is being read right now                again at the next tick
            the file was taken without it, or its parts     rejected
            are being staged without it
        """
        drop, files = job.source, self._files_beside(job.source)
        for its in files:
            if its.manifest == str(drop):
                continue
            if its.phase is not Phase.ARRIVED or its.spec is not None:
                problem = Problem(
                    code="manifest_too_late",
                    message=f"{drop} has no src, and the file that it speaks for was "
                    "taken without it. Drop the manifest first, and then the file; or "
                    "drop both again",
                )
                return self.reject(job, problem)
            if its.is_held(self.now()):
                return self._attach_later(job, its)
            try:
                self.ledger.advance(its, lambda j: j.read_anew(self.now()))
            except (Superseded, ValueError):
                return self._attach_later(job, its)
            failpoint("after_reading_anew")
        return self._attached(job, files)

    def _files_beside(self, drop: Drop) -> list[Job]:
        """The jobs of the files that a manifest speaks for, of those that are there."""
        names = speaks_for(drop.name) if is_manifest(drop.name) else ()
        found = [self.storage.find(drop.bucket, name) for name in names]
        jobs = [self.ledger.get(file.job_id) for file in found if file]
        return [job for job in jobs if job]

    def _attached(self, job: Job, files: list[Job]) -> Job:
        ids = [file.id for file in files]
        job = self.ledger.advance(job, lambda j: j.attached(ids, self.now()))
        failpoint("after_attached")
        log.info("attached", extra={"job": job.id, "files": ", ".join(ids)})
        return job

    def _attach_later(self, job: Job, file: Job) -> Job:
        now = self.now()
        why = f"{file.source} is being read"
        return self.ledger.advance(job, lambda j: j.wait(why, now, due=now))

    def _wait_for_manifest(self, job: Job) -> Job:
        """It wakes the file when it comes. Looked for now and then all the same."""
        name, now = manifest_name(job.source.name), self.now()
        log.info("waits for its manifest", extra={"job": job.id, "manifest": name})
        again = now + timedelta(seconds=self.settings.reconcile_every)
        why = f"waits for {name}"
        return self.ledger.advance(job, lambda j: j.wait(why, now, due=again))

    def _spec(self, job: Job, chosen: Spec) -> Spec:
        """The choice, with what is this job's own in it."""
        destination = chosen.destination
        if destination.startswith("gs://"):
            destination = f"{destination}{job.source.name}/{job.id}/"
        marks = {
            "batchdrop_job": job.id,
            "batchdrop_deployment": self.settings.deployment,
        }
        spec = replace(
            chosen,
            destination=destination,
            labels={**chosen.labels, **marks},
        )
        _hold_name(job.source.name, self._output(job, spec))
        return spec

    def _inputs(self, manifest: Manifest | None) -> tuple[Input, ...]:
        """The objects that a manifest names, as they are now."""
        addresses = manifest.objects if manifest else ()
        _hold_inputs([Input(uri=uri, generation=0, size=0) for uri in addresses])
        found = []
        for number, uri in enumerate(addresses):
            drop = self.storage.find(*split_uri(uri))
            if drop is None:
                raise BadChoice(
                    "no_source", f"the object that src[{number}] names is not there"
                )
            found.append(Input(uri=uri, generation=drop.generation, size=drop.size))
        return tuple(found)

    # -- rows -------------------------------------------------------------------

    def _check_and_stage(
        self, job: Job, made: "_Made", chosen: Chosen, manifest: Manifest | None
    ) -> Job:
        if job.lease.epoch > 1:
            self._clear(job, job.lease.epoch)
        spec = made.spec
        rules = rules_of(spec, chosen.sources)
        reading = Reading(rules, limits_of(spec, rules))
        files = self._files(job, made, manifest)
        try:
            job, whole = self._stage(job, made, reading, files)
        except _Changed:
            log.warning("check-points dropped", extra={"job": job.id})
            job = self.ledger.advance(job, lambda j: j.unstaged(self.now()))
            if job.is_parked:
                log.error("parked", extra={"job": job.id, "phase": job.phase})
                self.clear(job)
            return job
        except NotReadable as exc:
            problem = Problem(code=exc.code, message=str(exc))
            return self.reject(job, problem, reading, made)
        except BadRows:
            return self.reject(job, reading.problem(), reading, made)
        except _OverLimit as exc:
            return self.reject(job, exc.problem, reading, made)
        failpoint("after_staging")
        # A part is a job of its own, and waits for a day that has room for it.
        staged = [one.staging for one in job.parts.values()] or [whole]
        if too_much := self._over_day(staged):
            return self.reject(job, too_much, reading, made)
        made = replace(made, inputs=reading.numbered(made.inputs))
        if not job.parts:
            return self._prepared(job, made, whole, reading)
        return self._split(job, made, reading)

    def _files(
        self, job: Job, made: "_Made", manifest: Manifest | None
    ) -> Iterator[tuple[str, Iterator[bytes]]]:
        """The bytes to read, each with the address that people need to find them."""
        if manifest is not None and manifest.requests:
            yield "", (line + b"\n" for line in manifest.lines(made.spec.kind))
            return
        if not made.inputs:
            yield "", self.storage.read(job.source)
        for one in made.inputs:
            yield one.uri, self._of_input(job, one)

    def _of_input(self, job: Job, one: Input) -> Iterator[bytes]:
        try:
            yield from self.storage.read(one.drop)
        except SourceGone as exc:
            if job.inputs:
                raise  # parts of it are staged, of that version
            raise Unavailable(f"{exc} while it was read") from exc

    def _stage(
        self,
        job: Job,
        made: "_Made",
        reading: Reading,
        files: Iterator[tuple[str, Iterator[bytes]]],
    ) -> tuple[Job, Staging]:
        """
        Writes what is to be sent, and reports what can't be. The first part has the
        place of a job that isn't split, as nobody knows yet that there are more. Each
        that is finished is check-pointed: whoever takes the job up next reads the file
        again, and writes only what is missing.

        Returns:
            the job as it is now, and where its rows are if it has no parts.
        """
        bad: Exception | None = None
        sent = _Sent(partial(self._over_limit, made))
        first: _Filled | None = None
        whole, n = self.staging(job), 0
        with _Report(self.storage, self._report(job, made.spec), reading) as report:
            try:
                pieces = reading.pieces(files, report.write)
                for n, group in groupby(pieces, attrgetter("part")):
                    if n == 0:
                        first = self._write(job, _Filled(n, whole, sent), group)
                        whole = first.part.staging
                        continue
                    if first is not None:
                        job = self._first_of_several(job, made, first)
                        first = None
                    filled = _Filled(n, self._part_staging(job, n), sent)
                    filled = self._write(job, filled, group)
                    job = self._check_point(job, made, filled.part)
            except (BadRows, NotReadable, _OverLimit) as exc:
                bad = exc  # the report is whole, and stays
        if bad is not None:
            raise bad
        if len(job.parts) not in (0, n + 1):
            raise _Changed
        return job, whole

    def _first_of_several(self, job: Job, made: "_Made", first: "_Filled") -> Job:
        """What was staged as a whole is only a part, as there is more of it."""
        if job.parts:
            return job  # known already
        own, part = self._part_staging(job, 0), first.part
        self.storage.copy(part.staging.uri, own.uri)
        failpoint("after_first_part")
        part = replace(part, staging=replace(part.staging, uri=own.uri))
        return self._check_point(job, made, part)

    def _write(self, job: Job, filled: "_Filled", pieces: Iterator[Piece]) -> "_Filled":
        """Writes a part, unless it was check-pointed: then it must be the same."""
        known = job.parts.get(job.part_id(filled.part.n))
        if known is None:
            self.storage.write(filled.part.staging.uri, filled.taking(pieces))
            return filled
        for _ in filled.taking(pieces):
            pass
        own = filled.part.staging
        there = replace(known.staging, epoch=own.epoch, uri=own.uri)
        if filled.part != replace(known, staging=there):
            raise _Changed
        return filled

    def _check_point(self, job: Job, made: "_Made", part: Part) -> Job:
        if job.part_id(part.n) in job.parts:
            return job
        self.traces.leave_part(job, part.staging)
        job = self.ledger.advance(
            job,
            lambda j: made.on(j).part_staged(part, self.now(), self.timing),
        )
        failpoint("after_part")
        log.info("part staged", extra={"job": job.id, "part": part.n})
        return job

    def _part_staging(self, job: Job, n: int) -> Staging:
        return self._staging(job.part_id(n), job.lease.epoch)

    def _staging(self, job_id: str, epoch: int) -> Staging:
        return Staging(epoch=epoch, uri=f"{self.folder(job_id)}{epoch}/requests.jsonl")

    # -- the last write ---------------------------------------------------------

    def _prepared(
        self, job: Job, made: "_Made", staging: Staging, reading: Reading | None
    ) -> Job:
        rows = reading.rows if reading else Rows()
        row_errors = tuple(reading.row_errors) if reading else ()
        report = reading.report if reading else None

        def move(job: Job) -> Job:
            return made.on(job).prepared(
                made.spec, staging, rows, self.now(), self.timing, row_errors, report
            )

        self.traces.leave(move(job))
        job = self.ledger.advance(job, move)
        failpoint("after_prepared")
        log.info(
            "prepared",
            extra={"job": job.id, "rows": rows.total, "refused": rows.refused},
        )
        return job

    def _split(self, job: Job, made: "_Made", reading: Reading) -> Job:
        row_errors = tuple(reading.row_errors)

        def move(job: Job) -> Job:
            return made.on(job).split(
                made.spec, reading.rows, self.now(), row_errors, reading.report
            )

        if (after := move(job)).phase is Phase.SPLIT:
            self.traces.leave(after)
        job = self.ledger.advance(job, move, children=lambda j: j.children(self.now()))
        failpoint("after_split")
        self.clear(job)  # where a cancel came first
        log.info(
            "split",
            extra={
                "job": job.id,
                "parts": len(job.parts),
                "rows": reading.rows.total,
                "refused": reading.rows.refused,
            },
        )
        return job

    # -- the pieces -------------------------------------------------------------

    def _output(self, job: Job, spec: Spec) -> str:
        """The folder of a job's results and report; with a table, of its report."""
        if spec.destination.startswith("gs://"):
            return spec.destination
        return f"{self.settings.output}{job.source.name}/{job.id}/"

    def _report(self, job: Job, spec: Spec) -> str:
        """Where the lines are told that can't be sent: beside the results to come."""
        return f"{self._output(job, spec)}{REPORT}"

    def _over_limit(self, made: "_Made", rows: int, size: int) -> Problem | None:
        """Whether that much is more than may be sent of one file."""
        for what, found, limit, who in self._limits_of_a_file(made, rows, size):
            if found > limit:
                message = f"more than {limit:,} {what} would be sent, over {who}"
                return Problem(code="over_limit", message=message)
        return None

    def _limits_of_a_file(
        self, made: "_Made", rows: int, size: int
    ) -> Iterator[tuple[str, int, int, str]]:
        """Of each that there is: what it counts, how many there are, and its name."""
        for what, found, limit, name in (
            ("rows", rows, made.spec.max_rows, "max_rows"),
            ("bytes", size, made.spec.max_bytes, "max_bytes"),
        ):
            if limit is not None:
                who = made.origin[name]
                of = who if who.startswith("BATCHDROP_") else f"{name} of {who}"
                yield what, found, limit, f"{of}={limit}"

    def _limits_of_a_day(
        self, rows: int, size: int
    ) -> Iterator[tuple[str, int, int, str]]:
        for what, found, limit in (
            ("rows", rows, self.settings.max_rows_per_day),
            ("bytes", size, self.settings.max_bytes_per_day),
        ):
            if limit is not None:
                name = f"BATCHDROP_MAX_{what.upper()}_PER_DAY"
                yield what, found, limit, f"{name}={limit}"

    def _refuse_uncounted(self, made: "_Made") -> None:
        """
        A limit that can't be held is no limit.

        Raises:
            BadChoice: there is one, and the rows are a table's.
        """
        limits = [*self._limits_of_a_file(made, 0, 0), *self._limits_of_a_day(0, 0)]
        if not limits:
            return
        what, _, _, who = limits[0]
        raise BadChoice(
            "not_possible",
            f"the {what} of the table or dataset of src can't be counted before they "
            f"are sent, and {who} limits them; write its rows into a file, and drop "
            "that",
        )

    def _over_day(self, staged: list[Staging]) -> Problem | None:
        """
        Whether no day will ever have room.

        Args:
            staged: what each job has to send that is made of a file.
        """
        of_one = "" if len(staged) == 1 else " in one of its parts"
        rows = max(each.rows for each in staged)
        size = max(each.bytes for each in staged)
        for what, most, limit, who in self._limits_of_a_day(rows, size):
            if most > limit:
                return Problem(
                    code="over_limit",
                    message=f"{most:,} {what}{of_one}, over {who}; smaller parts, by "
                    f"BATCHDROP_PART_{what.upper()}, can go over several days",
                )
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """All that was chosen for a job."""

    spec: Spec
    origin: dict[str, str]
    manifest: str | None
    inputs: tuple[Input, ...]

    def on(self, job: Job) -> Job:
        return job.chosen(self.spec, self.origin, self.manifest, self.inputs)

    def check(self) -> None:
        """
        Raises:
            BadChoice: it leaves no room in the job's document for what becomes of it.
        """
        sizes = {name: size_of(value) for name, value in asdict(self.spec).items()}
        sizes["src"] = size_of(map(asdict, self.inputs))
        sizes["who has chosen it"] = size_of(self.origin)
        if (size := sum(sizes.values())) > MAX_CHOSEN:
            most = max(sizes, key=lambda name: sizes[name])
            raise BadChoice(
                "over_limit",
                f"what is chosen for the job takes {size:,} bytes of its document, and "
                f"may take {MAX_CHOSEN:,}; the most, {sizes[most]:,}, is: {most}",
            )


def _is_anothers(trace: Trace, job: Job) -> bool:
    """Whether what lies staged is of a job of the same id that the ledger has lost, or
    of a holder whom it doesn't know."""
    made = trace.job and trace.job.created_at != job.created_at
    return bool(made) or trace.epoch > job.lease.epoch


def _hold_inputs(inputs: list[Input]) -> None:
    """
    Raises:
        BadChoice: a job's document has no room for so many addresses.
    """
    if (size := size_of(map(asdict, inputs))) > MAX_CHOSEN:
        raise BadChoice(
            "over_limit",
            f"the {len(inputs):,} addresses in src take {size:,} bytes of the job's "
            f"document, and may take {MAX_CHOSEN:,}; write several manifests, with "
            "some of them each",
        )


def _hold_name(name: str, output: str) -> None:
    """
    Args:
        name: the dropped object's.
        output: the folder of its results, of whose name it is a part.

    Raises:
        BadChoice: objects in that folder would have longer names than there can be.
    """
    size = len(split_uri(output)[1].encode())
    most = MAX_OBJECT_NAME - BELOW_OUTPUT
    if size <= most:
        return
    dropped = len(name.encode())
    raise BadChoice(
        "name_too_long",
        f"the name has {dropped:,} bytes and its results' folder {size:,}, of at most "
        f"{most:,}. Drop it under a name of at most {max(0, most - size + dropped):,} "
        "bytes, or choose a shorter destination",
    )


class _Changed(Exception):
    """What was check-pointed is not what is read now: another version made it."""


class _Report:
    """The object with the lines that can't be sent. Most files need none."""

    def __init__(self, storage: Storage, uri: str, reading: Reading) -> None:
        self._storage = storage
        self._uri = uri
        self._reading = reading
        self._stack = ExitStack()
        self._write: Callable[[bytes], None] | None = None

    def __enter__(self) -> Self:
        self._stack.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def write(self, line: bytes) -> None:
        if self._write is None:
            self._write = self._stack.enter_context(self._storage.writing(self._uri))
            self._reading.report = self._uri
        self._write(line)


class _OverLimit(Exception):
    """More would be sent of a file than may be: ends its upload."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class _Sent:
    """What is sent of a file, in all its parts, held against what may be."""

    def __init__(self, over: Callable[[int, int], Problem | None]) -> None:
        """
        Args:
            over: says what is wrong with so many rows and bytes.
        """
        self._over = over
        self._rows = self._bytes = 0

    def add(self, piece: Piece) -> None:
        self._rows += piece.rows
        self._bytes += len(piece.data)
        if problem := self._over(self._rows, self._bytes):
            raise _OverLimit(problem)


class _Filled:
    """
    A part while it is written. Here is where rows and bytes are counted: limits, days,
    and the job's document have them from here.
    """

    def __init__(self, n: int, staging: Staging, sent: _Sent) -> None:
        self.part = Part(n=n, first=0, last=0, staging=staging)
        self._sent = sent

    def taking(self, pieces: Iterator[Piece]) -> Iterator[bytes]:
        """
        The bytes of these, which are counted.

        Raises:
            _OverLimit: they are more than may be sent of the file.
        """
        for piece in pieces:
            self._sent.add(piece)
            part, staging = self.part, self.part.staging
            self.part = replace(
                part,
                first=part.first or piece.first,
                last=piece.last,
                staging=replace(
                    staging,
                    rows=staging.rows + piece.rows,
                    bytes=staging.bytes + len(piece.data),
                ),
            )
            yield piece.data


def rules_of(spec: Spec, sources: tuple[Location, ...]) -> Rules:
    """
    How the rows of a job are read.

    Raises:
        ValueError: a generation configuration that can't be merged.
    """
    config = spec.generation_config
    return Rules(
        backend=spec.backend,
        model=spec.model,
        fix=spec.fix,
        unknown=spec.unknown,
        on_invalid=spec.on_invalid,
        max_invalid=spec.max_invalid,
        generation_config=config.encode() if config else None,
        sources=sources,
    )


def limits_of(spec: Spec, rules: Rules) -> Limits:
    """What one batch takes: the API's limits, or less where that was chosen."""
    family = rules.family
    rows = [most for most in (family.rows, spec.part_rows) if most is not None]
    return Limits(
        rows=min(rows, default=None),
        bytes=min(family.bytes, spec.part_bytes or family.bytes),
    )
