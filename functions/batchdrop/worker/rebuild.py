"""Rebuilds a job that the ledger has lost, from its staged objects."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Timing
from batchdrop.ledger import Ledger
from batchdrop.worker.traces import Trace, Traces

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuild:
    """Makes a document of the traces that the work bucket has of a job."""

    ledger: Ledger
    traces: Traces
    timing: Timing
    now: Callable[[], datetime]

    def from_traces(self, job: Job) -> Job | None:
        """
        What becomes of a job that is new to the ledger, by what is staged of it:

            nothing                              None: it is new
            rows that no request names           None; its epoch is raised above theirs
            its own, of a worker that died
            before it wrote to the ledger        None: it is staged again
            those of an older document, or       the job is rebuilt: it searches for its
            of a holder that the ledger          batch, and fences off a worker that may
            doesn't know, or of a round          be about to create one

        The document of a round that is made once more has the age and the epochs of the
        one that was lost: any rows that are staged of it may be those of a batch.

        Raises:
            Superseded, Unavailable, Misconfigured: nothing is written; try again.
        """
        trace = self.traces.of(job.id)
        if trace is None:
            return None
        unknown = trace.epoch >= job.lease.epoch
        of_older = trace.job and trace.job.created_at != job.created_at
        if trace.job and (unknown or of_older or job.retry_of):
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
            # Some parts that the ledger still has may be over.
            for part in self.ledger.get_all(kept.parts):
                job = job.part_over(part, now) if part.is_over else job
            return job

        def part_jobs(split: Job) -> list[Job]:
            known = self.ledger.known_ids(split.parts) if split.parts else set()
            return [
                self.part_in_doubt(one, parts.get(one.id))
                for one in split.part_jobs(now)
                if one.id not in known
            ]

        job = self.ledger.advance(job, move, creates=part_jobs)
        log.warning(
            "job rebuilt",
            extra={"event": "job.rebuilt", "job": job.id, "phase": job.phase},
        )
        return job

    def part_in_doubt(self, part: Job, trace: Trace | None) -> Job:
        """A part whose document the ledger has lost, rebuilt."""
        assert part.staging is not None
        staging, epoch = part.staging, part.staging.epoch
        if trace is not None:
            staging, epoch = trace.staging(staging), trace.epoch
        return part.in_doubt(staging, epoch, self.now(), self.timing)
