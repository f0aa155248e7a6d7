"""What people ask of a job: cancel it, run it again, resume a parked one."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Phase
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
        Has `poll` take up a parked job at its next tick.

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
