"""Advances jobs that wait for others: for their parts, or for a round."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from batchdrop.failpoints import failpoint
from batchdrop.jobs.job import Job
from batchdrop.ledger import Ledger
from batchdrop.worker.cancel import Cancel
from batchdrop.worker.stages import Tick

log = logging.getLogger(__name__)

#: How many waiting jobs one tick looks at.
MOST = 100
#: How many of the parts that wait for a person a split job names.
NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaiting:
    """
    Counts the parts that each split job waits for, and looks at the round that a job
    waits for. These don't write to its document when they are done: hundreds of parts
    at once would lose that race.
    """

    ledger: Ledger
    cancel: Cancel
    now: Callable[[], datetime]

    def run(self, tick: Tick) -> int:
        """
        Returns:
            How many jobs are due to be collected now.
        """
        found = self.ledger.jobs_awaiting(MOST)
        if len(found) < MOST:
            rounds = self._rounds(found)
            return sum(self._look(job, rounds, tick) for job in tick.each(found))
        # Those that wait for days don't hold up the others.
        cursor = self.ledger.cursor("parts")
        if last := cursor.get("id", ""):
            found = self.ledger.jobs_awaiting(MOST, last)
        due, rounds = 0, self._rounds(found)
        for job in tick.each(found):
            due, last = due + self._look(job, rounds, tick), job.id
        was_last = len(found) < MOST and (not found or last == found[-1].id)
        at = {"id": last} if last and not was_last else {}
        self.ledger.move_cursor("parts", cursor, at)
        return due

    def _rounds(self, found: Sequence[Job]) -> dict[str, Job]:
        """The jobs of the rounds that are waited for, by their ids, in one read."""
        ids = [job.round_now.job for job in found if job.awaits == "round"]
        return {one.id: one for one in self.ledger.get_all(ids)} if ids else {}

    def _look(self, job: Job, rounds: Mapping[str, Job], tick: Tick) -> int:
        """How many are due because of this one: 0 or 1."""
        with tick.job(job.id):
            if job.awaits == "round":
                return self._round(job, rounds.get(job.round_now.job))
            return self._parts(job)
        return 0

    def _parts(self, job: Job) -> int:
        collects = job.awaits == "results"
        request = job.cancel_request
        if collects and request and not request.sent_at:
            self.cancel.cancel_parts(job)  # the process that wrote it may have died
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

    def _round(self, job: Job, sent: Job | None) -> int:
        now = self.now()
        if sent is None:
            # A lost ledger. What is staged of it says whether it was sent.
            made = job.round_job(now)
            if self.ledger.claim(made):
                log.warning(
                    "round made again",
                    extra={"event": "job.round_lost", "job": job.id, "round": made.id},
                )
            return 0
        if job.cancel_request:
            sent = self.cancel.cancel_round(job, sent)
        after = job.round_told(sent, now)
        if after == job:
            return 0
        after = self.ledger.advance(job, lambda j: j.round_told(sent, now))
        failpoint("round_told")
        if after.round_held and not job.round_held:
            log.warning(
                "job stalled",
                extra={"event": "job.stalled", "job": job.id, "state": after.phase},
            )
        if after.awaits == "round":
            return 0
        log.info(
            "round done",
            extra={"event": "job.round_done", "job": job.id, "round": sent.id},
        )
        return 1
