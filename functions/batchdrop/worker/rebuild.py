"""Makes a job anew that the ledger has lost, by what lies staged of it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Phase, Timing
from batchdrop.ledger import Ledger
from batchdrop.worker.traces import Trace, Traces

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuild:
    """The traces of a job in the work bucket, made a document again."""

    ledger: Ledger
    traces: Traces
    timing: Timing
    now: Callable[[], datetime]

    def from_traces(self, job: Job) -> Job | None:
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
        log.warning(
            "job rebuilt",
            extra={"event": "job.rebuilt", "job": job.id, "phase": job.phase},
        )
        return job

    def part_in_doubt(self, part: Job, trace: Trace | None) -> Job:
        """A part of which the ledger has lost the document, made anew."""
        assert part.staging is not None
        staging, epoch = part.staging, part.staging.epoch
        if trace is not None:
            staging, epoch = trace.staging(staging), trace.epoch
        return part.in_doubt(staging, epoch, self.now(), self.timing)
