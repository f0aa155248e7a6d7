"""Records that a step of a job can't be done: postponed, waiting or rejected."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from batchdrop.backends import is_not_allowed
from batchdrop.batches import BatchesError
from batchdrop.errors import BatchdropError, Misconfigured, Unavailable
from batchdrop.failpoints import failpoint
from batchdrop.jobs import codes
from batchdrop.jobs.codes import HealthCode, Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Problem, Staging, Timing
from batchdrop.ledger import Ledger
from batchdrop.options.settings import Settings
from batchdrop.storage import Storage
from batchdrop.worker.alerts import log_parked
from batchdrop.worker.choices import Choices
from batchdrop.worker.reading import Reading
from batchdrop.worker.traces import Trace, Traces

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setbacks:
    """Records what keeps a job from its next phase, and clears what it leaves."""

    ledger: Ledger
    storage: Storage
    traces: Traces
    settings: Settings
    timing: Timing
    now: Callable[[], datetime]

    def reject(
        self,
        job: Job,
        problem: Problem,
        found: Reading | None = None,
        made: Choices | None = None,
        manifest: str | None = None,
    ) -> Job:
        """
        Ends a job of which nothing was sent, and records why.

        Args:
            found: what was read of the file.
            made: what was chosen for the job, which may be the reason.
            manifest: the address of the manifest that was read for the file.
        """
        log.warning(
            "job rejected",
            extra={
                "event": "job.rejected",
                "job": job.id,
                "code": problem.code,
                "reason": problem.message,
            },
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
        Deletes staged copies that no request will name: all copies of a rejected job;
        of a job that is postponed in `arrived`, those without a checkpoint, which the
        next worker stages again.

        Copies of a lost job with the same id stay: a batch may be reading them.
        """
        if job.phase not in (Phase.REJECTED, Phase.ARRIVED):
            return
        try:
            trace = self.traces.of(job.id)
            if trace and _is_anothers(trace, job):
                return
            self.clear_below(job, job.lease.epoch + 1)
            for part in job.parts.values() if job.phase is Phase.REJECTED else ():
                for uri in _objects(part.staging):
                    self.storage.delete(uri)
        except (Unavailable, Misconfigured) as exc:
            # The bucket's own rule deletes them in time.
            log.warning(
                "staged copies left",
                extra={
                    "event": "staging.copies_left",
                    "job": job.id,
                    "reason": str(exc),
                },
            )

    def clear_below(self, job: Job, below: int) -> None:
        """
        Deletes the copies of earlier epochs. While a job is in `arrived` no request
        names them, and their holders can't write any more. Checkpointed parts stay;
        the one part that may lack a checkpoint is the next one. What is recorded of a
        part's lines stays too: its rows have results, whatever becomes of it.
        """
        kept = {uri for part in job.parts.values() for uri in _objects(part.staging)}
        if job.part_of is not None and job.staging is not None:
            kept |= {job.staging.lines or "", job.staging.sidecar or ""}
        for id in (job.id, job.part_id(len(job.parts))):
            for uri in self.storage.names(self.traces.folder(id)):
                epoch = uri.removeprefix(str(self.traces.folder(id))).partition("/")[0]
                if uri not in kept and epoch.isdecimal() and int(epoch) < below:
                    self.storage.delete(uri)

    def postpone(
        self, job: Job, why: str, *, unsent: bool = False, costly: bool = False
    ) -> Job:
        """
        Args:
            unsent: no create request is under way, also in `submitting`.
            costly: each attempt repeats long work, so the pauses grow.
        """
        log.warning(
            "job postponed",
            extra={"event": "job.postponed", "job": job.id, "reason": why},
        )
        now = self.now()
        if job.phase is Phase.SUBMITTING and not unsent:
            return self.fail(job, lambda j: j.unclear(why, now, self.timing))
        return self.fail(job, lambda j: j.postpone(why, now, due=now, costly=costly))

    def not_allowed(
        self,
        job: Job,
        why: str,
        *,
        unsent: bool = False,
        due: datetime | None = None,
    ) -> Job:
        """
        Has the job wait until a person mends the deployment's access.

        Args:
            unsent: no create request is under way, also in `submitting`.
            due: when to try again; by default when a list would show a batch.
        """
        reason, now = HealthCode.NOT_ALLOWED, self.now()
        again = due or now + self.timing.list_lag
        log.error(
            "job postponed",
            extra={
                "event": "job.postponed",
                "job": job.id,
                "reason": reason,
                "health": why,
            },
        )
        if job.phase is Phase.SUBMITTING and not unsent:
            return self.fail(
                job, lambda j: j.unclear(why, now, self.timing, not_allowed=True)
            )
        return self.fail(
            job, lambda j: j.postpone(why, now, due=again, not_allowed=True)
        )

    def fail(self, job: Job, move: Callable[[Job], Job]) -> Job:
        """Writes that an attempt failed; logs if the job stalls or is parked by it."""
        after = self.ledger.advance(job, move)
        known = job.postponed is not None and job.postponed.announced
        if after.postponed and after.postponed.announced and not known:
            log.warning(
                "job stalled",
                extra={
                    "event": "job.stalled",
                    "job": job.id,
                    "state": str(after.phase),
                },
            )
        log_parked(after)
        self.clear(after)
        return after

    def trouble(
        self, job: Job, what: str, error: BatchesError, *, costly: bool = False
    ) -> BatchdropError:
        """
        The error to raise for a request of a step that failed at the API.

        Args:
            costly: another attempt repeats long work.
        """
        if is_not_allowed(error):
            return Misconfigured(f"{what}: {error}. {self.remedy(job)}")
        return Unavailable(f"{what}: {error}", costly=costly)

    def remedy(self, job: Job) -> str:
        if job.spec and job.spec.backend == codes.Backend.DEVELOPER:
            return "GEMINI_API_KEY must be a valid key for the Gemini API"
        return (
            "Grant the worker's service account roles/aiplatform.user on project "
            f"{self.settings.project}"
        )


def _objects(staging: Staging) -> list[str]:
    """The addresses of the staged rows, and of what is recorded of them."""
    uris = (staging.uri, staging.lines, staging.sidecar)
    return [uri for uri in uris if uri is not None]


def _is_anothers(trace: Trace, job: Job) -> bool:
    """Whether what lies staged is of a job of the same id that the ledger has lost, or
    of a holder whom it doesn't know."""
    made = trace.job and trace.job.created_at != job.created_at
    return bool(made) or trace.epoch > job.lease.epoch
