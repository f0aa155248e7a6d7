"""Jobs whose batch answers 404: counts how often, until the batch counts as lost."""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from batchdrop.jobs.codes import HealthCode
from batchdrop.jobs.job import Job
from batchdrop.ledger import Ledger
from batchdrop.worker.stages import Tick

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Distinguishes a batch that is gone from one that this deployment can't see."""

    ledger: Ledger
    now: Callable[[], datetime]

    def run(self, tick: Tick, absent: list[Job], unasked: int) -> None:
        """
        Counts a 404 for each job. One 404 means little; many at once in a queue mean
        that this deployment can't see the batches: a key of another project, a wrong
        location.

        Args:
            absent: the jobs whose batch answered 404.
            unasked: how many more jobs this tick had no time for; they may be missing
                as well.
        """
        missing = Counter(job.queue for job in absent)
        # Not one alone: else no job of a small deployment could ever be lost.
        blind = {
            queue
            for queue, count in missing.items()
            if count > 1 and count + unasked > self.ledger.open_job_count(queue) / 10
        }
        for job in absent:
            with tick.job(job.id):
                if job.queue in blind:
                    self._blind(job, missing[job.queue], self.now())
                else:
                    self._absent(job, self.now())

    def _absent(self, job: Job, now: datetime) -> None:
        def move(job: Job) -> Job:
            # Called again where another tick wrote first: it may have found the batch.
            job = job.missed_once_more(now)
            return job.lost(now) if job.may_be_lost(now) else job

        after = self.ledger.advance(job, move)
        if after.is_lost:
            log.error("batch lost", extra={"event": "batch.lost", "job": job.id})
        else:
            log.warning(
                "batch not found", extra={"event": "batch.not_found", "job": job.id}
            )

    def _blind(self, job: Job, missing: int, now: datetime) -> None:
        log.error(
            "batches not visible",
            extra={"event": "batch.not_visible", "job": job.id, "missing": missing},
        )
        if job.not_visible:
            return
        message = (
            f"{missing} open batches answer 404 at once; see whether project, "
            "location and credentials are those that made them"
        )
        self.ledger.advance(
            job, lambda j: j.troubled(HealthCode.NOT_VISIBLE, message, now)
        )
