"""Wakes a collector for each job whose answers are due to be collected."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from batchdrop.failpoints import failpoint
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Timing
from batchdrop.ledger import Ledger
from batchdrop.worker.stages import Tick, few_at_once

log = logging.getLogger(__name__)

#: How many jobs one tick wakes a collector for.
MOST = 200
#: How many failures in a row mean that Pub/Sub is down: each may take as long as the
#: publish time-out.
SILENCES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake:
    """Publishes a message for each due job, one at a time until its lease would end."""

    ledger: Ledger
    publish: Callable[[str], None]  #: sends the message that names a job
    timing: Timing
    now: Callable[[], datetime]

    def run(self, tick: Tick) -> int:
        """
        Moves each job's time on before its message is sent: a message that is lost
        costs time alone, and a job never has two at once.

        Returns:
            How many were woken.
        """
        woken = silences = 0

        def due() -> Iterator[Job]:
            for job in tick.each(self.ledger.jobs_to_collect(self.now(), MOST)):
                if silences >= SILENCES:
                    return
                yield job

        for job, answer in few_at_once(self._wake, due()):
            silences += 1
            with tick.job(job.id):
                answer.result()
                silences = 0
                woken += 1
        return woken

    def _wake(self, job: Job) -> None:
        now = self.now()
        after = self.ledger.advance(job, lambda j: j.woken(now, self.timing))
        failpoint("collect_woken")
        if after.seq > job.seq:
            log.error(
                "job stalled",
                extra={"event": "job.stalled", "job": job.id, "state": after.phase},
            )
        self.publish(job.id)
        log.info("collector woken", extra={"event": "collect.woken", "job": job.id})
