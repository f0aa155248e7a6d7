"""What people ask of a job: cancel it, run it again, resume a parked one."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.ledger import Ledger
from batchdrop.worker.cancel import Cancel
from batchdrop.worker.setbacks import Setbacks

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """The commands of people; `poll` does the rest."""

    ledger: Ledger
    cancelling: Cancel
    setbacks: Setbacks
    now: Callable[[], datetime]

    def cancel(self, job_id: str, by: str) -> Job:
        """
        Cancels a job at any phase. A job that was not submitted ends at once, or when
        the worker that holds it reaches its next request; `poll` cancels a batch at its
        next tick. A second call changes nothing.

        A split job is cancelled by its parts. The request is written to the split job
        first, so that `poll` finishes the work if this process dies.

        Raises:
            LookupError: there is no such job.
            ValueError: it is over.
            Superseded: another worker wrote to it at the same moment; try again.
        """
        job = self._known(job_id)
        now = self.now()
        job = self.ledger.advance(job, lambda j: j.request_cancel(by, now))
        log.info(
            "cancel requested",
            extra={"event": "job.cancel_requested", "job": job.id, "by": by},
        )
        if job.phase is Phase.SPLIT:
            self.cancelling.cancel_parts(job)
            return self._known(job_id)
        self.setbacks.clear(job)
        return job

    def rerun(self, job_id: str) -> Job:
        """
        Makes a new job of one that is over. It has an id of its own and the old job as
        its parent, and `poll` takes it up at its next tick.

        Raises:
            LookupError: there is no such job.
            ValueError: it isn't over yet.
            Superseded: it was written to at the same moment; try again.
        """
        parent, now = self._known(job_id), self.now()
        parent = self.ledger.advance(
            parent, lambda j: j.rerun_counted(now), creates=lambda j: [j.rerun(now)]
        )
        log.info(
            "job rerun",
            extra={
                "event": "job.rerun",
                "job": parent.rerun(now).id,
                "parent": parent.id,
            },
        )
        return parent.rerun(now)

    def unpark(self, job_id: str, by: str) -> Job:
        """
        Lets `poll` resume a parked job at its next tick.

        Raises:
            LookupError: there is no such job.
            ValueError: it isn't parked.
            Superseded: it was written to at the same moment; try again.
        """
        job, now = self._known(job_id), self.now()
        job = self.ledger.advance(job, lambda j: j.unpark(by, now))
        log.info(
            "job unparked", extra={"event": "job.unparked", "job": job.id, "by": by}
        )
        return job

    def _known(self, job_id: str) -> Job:
        job = self.ledger.get(job_id)
        if job is None:
            raise LookupError(f"there is no job {job_id}")
        return job
