"""Prepares a drop: chooses its options, checks its rows, and has them staged."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from batchdrop.errors import BadChoice, NotReadable, SourceGone, Unavailable
from batchdrop.failpoints import failpoint
from batchdrop.jobs.codes import ErrorCode, Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Input, Part, Problem, Spec, Staging, Timing
from batchdrop.ledger import Ledger
from batchdrop.options.manifests import Manifest
from batchdrop.options.names import is_manifest
from batchdrop.options.resolve import Chosen, choose
from batchdrop.options.routes import Routes
from batchdrop.options.settings import Settings
from batchdrop.rows import Rows
from batchdrop.storage import Storage
from batchdrop.stored import split_uri
from batchdrop.worker.alerts import log_parked
from batchdrop.worker.attach import Attach
from batchdrop.worker.choices import (
    REPORT,
    Ceilings,
    Choices,
    hold_inputs,
    hold_name,
    limits_of,
    rules_of,
)
from batchdrop.worker.estimating import Pricing
from batchdrop.worker.reading import BadRows, Reading
from batchdrop.worker.rebuild import Rebuild
from batchdrop.worker.retry_rows import RetryRows
from batchdrop.worker.setbacks import Setbacks
from batchdrop.worker.staging import Changed, OverLimit, Stager
from batchdrop.worker.traces import Traces

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparing:
    """
    The first step of a job: from `arrived` to `prepared`, `split` or `rejected`; of a
    manifest without rows, to `attached`.
    """

    ledger: Ledger
    storage: Storage
    traces: Traces
    rebuild: Rebuild
    attach: Attach
    stager: Stager
    retry_rows: RetryRows
    ceilings: Ceilings
    pricing: Pricing
    setbacks: Setbacks
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
        if (again := self.rebuild.from_traces(job)) is not None:
            return again
        if job.retry_of:
            return self.retry_rows.prepare(job)
        spoke: str | None = None
        try:
            manifest, spoke = self.attach.manifest_of(job)
            if is_manifest(job.source.name) and not (manifest and manifest.has_source):
                return self.attach.attach(job)
            return self._prepare(job, manifest, spoke)
        except SourceGone as exc:
            files = self.attach.files_beside(job.source)
            if any(file.manifest == str(job.source) for file in files):
                return self.attach.attached(
                    job, files
                )  # it was read before it was deleted
            problem = Problem(code=ErrorCode.SOURCE_GONE, message=str(exc))
        except (BadChoice, NotReadable) as exc:
            problem = Problem(code=exc.code, message=str(exc))
        return self.setbacks.reject(job, problem, manifest=spoke)

    def _prepare(self, job: Job, source: Manifest | None, spoke: str | None) -> Job:
        chosen = choose(
            self.settings,
            self.routes,
            job.source.name,
            metadata=self.storage.metadata(job.source),
            manifest=source,
        )
        # What a checkpoint has recorded stays as it is.
        if job.spec is None and source is None and chosen.spec.manifest == "required":
            return self.attach.wait_for_manifest(job)
        made = Choices(
            spec=job.spec or self._spec(job, chosen.spec),
            origin=job.spec_from or chosen.origin,
            manifest=spoke,
            inputs=job.inputs or self._inputs(source),
        )
        made.check()
        if made.spec.source is not None:
            # The API reads a table itself; its rows can't be checked before.
            self.ceilings.refuse_uncounted(made)
            staging = Staging(epoch=job.lease.epoch, uri=made.spec.source)
            whole = Part(n=0, first=0, last=0, staging=staging)
            return self._prepared(job, made, whole, None)
        return self._check_and_stage(job, made, chosen, source)

    def _spec(self, job: Job, chosen: Spec) -> Spec:
        """The choice with this job's own destination and labels."""
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
        hold_name(job.source.name, self._output(job, spec))
        return spec

    def _inputs(self, manifest: Manifest | None) -> tuple[Input, ...]:
        """The objects that a manifest names, as they are now."""
        addresses = manifest.objects if manifest else ()
        hold_inputs([Input(uri=uri, generation=0, size=0) for uri in addresses])
        found = []
        for number, uri in enumerate(addresses):
            drop = self.storage.find(*split_uri(uri))
            if drop is None:
                raise BadChoice(
                    ErrorCode.NO_SOURCE,
                    f"the object that src[{number}] names is not there",
                )
            found.append(Input(uri=uri, generation=drop.generation, size=drop.size))
        return tuple(found)

    # -- rows -------------------------------------------------------------------

    def _check_and_stage(
        self, job: Job, made: Choices, chosen: Chosen, manifest: Manifest | None
    ) -> Job:
        if job.lease.epoch > 1:
            self.setbacks.clear_below(job, job.lease.epoch)
        spec = made.spec
        rules = rules_of(spec, chosen.sources)
        reading = Reading(rules, limits_of(spec, rules))
        files = self._files(job, made, manifest)
        try:
            job, whole = self.stager.stage(
                job,
                made,
                reading,
                self.pricing.estimating(spec, rules),
                files,
                self._report(job, spec),
            )
        except Changed:
            log.warning(
                "checkpoints dropped",
                extra={"event": "staging.checkpoints_dropped", "job": job.id},
            )
            job = self.ledger.advance(job, lambda j: j.unstaged(self.now()))
            if job.is_parked:
                log_parked(job)
                self.setbacks.clear(job)
            return job
        except NotReadable as exc:
            problem = Problem(code=exc.code, message=str(exc))
            return self.setbacks.reject(job, problem, reading, made)
        except BadRows:
            return self.setbacks.reject(job, reading.problem(), reading, made)
        except OverLimit as exc:
            return self.setbacks.reject(job, exc.problem, reading, made)
        failpoint("after_staging")
        # A part is a job of its own, and waits for a day with room for it.
        parts = list(job.parts.values()) or [whole]
        over = self.ceilings.over_day(parts) or self.ceilings.over_cost(made, parts)
        if over:
            return self.setbacks.reject(job, over, reading, made)
        made = replace(made, inputs=reading.numbered(made.inputs))
        if not job.parts:
            return self._prepared(job, made, whole, reading)
        return self._split(job, made, reading)

    def _files(
        self, job: Job, made: Choices, manifest: Manifest | None
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
                raise  # parts of that version are staged
            raise Unavailable(f"{exc} while it was read") from exc

    def _prepared(
        self, job: Job, made: Choices, whole: Part, reading: Reading | None
    ) -> Job:
        rows = reading.rows if reading else Rows()
        row_errors = tuple(reading.row_errors) if reading else ()
        report = reading.report if reading else None

        def move(job: Job) -> Job:
            return made.on(job).prepared(
                made.spec,
                whole.staging,
                rows,
                self.now(),
                self.timing,
                row_errors,
                report,
                whole.estimate,
            )

        self.traces.leave(move(job))
        job = self.ledger.advance(job, move)
        failpoint("after_prepared")
        log.info(
            "job prepared",
            extra={
                "event": "job.prepared",
                "job": job.id,
                "rows": rows.total,
                "refused": rows.refused,
            },
        )
        return job

    def _split(self, job: Job, made: Choices, reading: Reading) -> Job:
        row_errors = tuple(reading.row_errors)

        def move(job: Job) -> Job:
            return made.on(job).split(
                made.spec, reading.rows, self.now(), row_errors, reading.report
            )

        if (after := move(job)).phase is Phase.SPLIT:
            self.traces.leave(after)
        job = self.ledger.advance(job, move, creates=lambda j: j.part_jobs(self.now()))
        failpoint("after_split")
        self.setbacks.clear(job)  # where a cancel came first
        log.info(
            "job split",
            extra={
                "event": "job.split",
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
        """The address of the report on lines that can't be sent, beside the results."""
        return f"{self._output(job, spec)}{REPORT}"
