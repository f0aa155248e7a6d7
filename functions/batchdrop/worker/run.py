"""Runs the steps of a job, one after another, until it ends or has to wait."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from batchdrop.backends import Backends
from batchdrop.errors import (
    Misconfigured,
    NotWritable,
    Superseded,
    Unavailable,
)
from batchdrop.failpoints import failpoint
from batchdrop.jobs.codes import ErrorCode, Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.steps import MAX_RESUMES
from batchdrop.jobs.values import Problem, Timing
from batchdrop.ledger import Ledger
from batchdrop.quoting import public_text
from batchdrop.worker.alerts import log_parked
from batchdrop.worker.prepare import Preparing
from batchdrop.worker.setbacks import Setbacks
from batchdrop.worker.stages import Tick
from batchdrop.worker.submit import Submitting

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """A worker's way through a job. Each step ends in one write to the ledger."""

    ledger: Ledger
    preparing: Preparing
    submitting: Submitting
    backends: Backends
    setbacks: Setbacks
    timing: Timing
    now: Callable[[], datetime]
    holder: Callable[[], str]

    def resume(self, job: Job, *, admitted: bool = False) -> None:
        """
        Takes the lease of a job that nobody holds, and carries it on.

        Raises:
            Superseded: another worker was faster.
            Unavailable: Firestore gave no answer.
        """
        by, now = self.holder(), self.now()
        held = self.ledger.advance(job, lambda j: j.resumed(by, now, self.timing))
        failpoint("after_resumed")
        log.info(
            "job resumed",
            extra={
                "event": "job.resumed",
                "job": job.id,
                "phase": job.phase,
                "time": held.resumes,
            },
        )
        self.carry_on(held, admitted=admitted)

    def carry_on(self, job: Job, *, admitted: bool = False) -> None:
        """
        Runs the steps of a job that this worker holds until it ends or waits. The
        ledger records what happens; where it can't, the lease runs out and `poll`
        resumes the job.

        Args:
            admitted: the tick has admitted the job from its queue.
        """
        try:
            while job.is_held(self.now()) and (step := self._step(job, admitted)):
                job = self._tried(step, job)
            if job.phase is Phase.ATTACHED:
                self._take_up_files(job)
        except Superseded as exc:
            log.warning(
                "job superseded",
                extra={"event": "job.superseded", "job": job.id, "reason": str(exc)},
            )
        except Unavailable as exc:
            log.error(
                "ledger unavailable",
                extra={
                    "event": "ledger.unavailable",
                    "job": job.id,
                    "reason": str(exc),
                },
            )
        except NotWritable as exc:
            # Not even its end can be written. The lease runs out; after MAX_RESUMES
            # the job is parked.
            log.error(
                "job not written",
                extra={"event": "job.not_written", "job": job.id, "reason": str(exc)},
            )

    def _take_up_files(self, manifest: Job) -> None:
        """Resumes the files that waited for this manifest, ahead of the next tick."""
        now = self.now()
        for file in self.ledger.get_all(manifest.attached_to):
            waits = file.phase is Phase.ARRIVED and file.is_due(now)
            if waits and not file.is_held(now) and file.resumes < MAX_RESUMES:
                log.info(
                    "file woken by its manifest",
                    extra={
                        "event": "job.woken",
                        "job": file.id,
                        "manifest": manifest.id,
                    },
                )
                self.resume(file)

    def resume_due(self, tick: Tick) -> int:
        """
        Resumes the jobs whose lease is over, at whatever phase. A job that was resumed
        is due later than those that a tick didn't reach.
        """
        resumed = 0
        for job in tick.each(self.ledger.due_jobs(self.now())):
            if self.backends.is_silent(job, "search", "create"):
                continue
            with tick.job(job.id):
                resumed += self.take_up(job)
        return resumed

    def take_up(self, job: Job, *, admitted: bool = False) -> bool:
        """Resumes a job; parks it instead where it has stopped too many workers."""
        now = self.now()
        if job.resumes >= MAX_RESUMES:
            log_parked(self.ledger.advance(job, lambda j: j.park(now)))
            return False
        self.resume(job, admitted=admitted)
        return True

    def _step(self, job: Job, admitted: bool) -> Callable[[Job], Job] | None:
        match job.phase:
            case Phase.ARRIVED:
                return self.preparing.prepare
            case Phase.PREPARED | Phase.WAITING:
                return self.submitting.intend if admitted else self.submitting.queue
            case Phase.SUBMITTING:
                return (
                    self.submitting.create if job.intends else self.submitting.recover
                )
        return None

    def _tried(self, step: Callable[[Job], Job], job: Job) -> Job:
        """Runs a step; writes what keeps the job from it where the step fails."""
        try:
            return step(job)
        except Superseded:
            raise
        except NotWritable as exc:
            return self._not_writable(job, str(exc))
        except Misconfigured as exc:
            return self.setbacks.not_allowed(job, str(exc))
        except Unavailable as exc:
            return self.setbacks.postpone(job, str(exc), costly=exc.costly)
        except Exception as exc:
            why, now = public_text(exc), self.now()
            log.exception(
                "step failed",
                extra={"event": "job.step_failed", "job": job.id, "phase": job.phase},
            )
            return self.ledger.advance(job, lambda j: j.gave_up(why, now))

    def _not_writable(self, job: Job, why: str) -> Job:
        """
        Rejects a job whose document is more than Firestore takes. Where a request may
        have been sent the job can't end so: it is parked after several attempts.
        """
        if job.phase is Phase.SUBMITTING:
            now = self.now()
            log.error(
                "job not written",
                extra={"event": "job.not_written", "job": job.id, "reason": why},
            )
            return self.ledger.advance(job, lambda j: j.gave_up(why, now))
        problem = Problem(
            code=ErrorCode.TOO_LARGE,
            message=f"the ledger can't hold it: {why}. Choose less for it, or make a "
            "file with fewer parts or addresses of it",
        )
        return self.setbacks.reject(job, problem)
