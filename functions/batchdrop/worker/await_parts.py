"""Has a split job collected once all of its parts are done."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from batchdrop.failpoints import failpoint
from batchdrop.jobs.job import Job
from batchdrop.ledger import Ledger
from batchdrop.worker.stages import Tick

log = logging.getLogger(__name__)

#: How many split jobs one tick looks at.
MOST = 100
#: How many of the parts that wait for a person a split job names.
NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitParts:
    """
    Counts the parts that each split job waits for. Parts don't write to its document
    when they are done: hundreds at once would lose that race.
    """

    ledger: Ledger
    now: Callable[[], datetime]

    def run(self, tick: Tick) -> int:
        """
        Returns:
            How many split jobs are due to be collected now.
        """
        found = self.ledger.jobs_awaiting(MOST)
        if len(found) < MOST:
            return sum(self._count(job, tick) for job in tick.each(found))
        # Those that wait for days don't hold up the others.
        cursor = self.ledger.cursor("parts")
        if last := cursor.get("id", ""):
            found = self.ledger.jobs_awaiting(MOST, last)
        due = 0
        for job in tick.each(found):
            due, last = due + self._count(job, tick), job.id
        was_last = len(found) < MOST and (not found or last == found[-1].id)
        at = {"id": last} if last and not was_last else {}
        self.ledger.move_cursor("parts", cursor, at)
        return due

    def _count(self, job: Job, tick: Tick) -> int:
        """How many are due because of this one: 0 or 1."""
        with tick.job(job.id):
            collects = job.awaits == "results"
            undone = self.ledger.undone_part_count(job.id) if collects else 1
            held = self.ledger.held_part_ids(job.id, NAMED) if undone else []
            now = self.now()
            if job.parts_counted(undone, held, now) == job:
                return 0
            self.ledger.advance(job, lambda j: j.parts_counted(undone, held, now))
            failpoint("collect_parts_counted")
            if collects and not undone:
                log.info("parts done", extra={"event": "job.parts_done", "job": job.id})
                return 1
        return 0
