"""
Commands of people on a job: cancel it, rerun it or some of its rows, resume a parked
one, replay its announcements. Each writes into the job's history who asked for it.
"""

import logging
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from batchdrop.announcements.message import Announcement
from batchdrop.errors import Superseded
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import brief
from batchdrop.ledger import Ledger
from batchdrop.rows import RowOutcome
from batchdrop.worker.cancel import Cancel
from batchdrop.worker.setbacks import Setbacks

log = logging.getLogger(__name__)

#: The outcomes of rows that people may send again.
MAY_GO_AGAIN = tuple(
    outcome
    for outcome in RowOutcome
    if outcome not in (RowOutcome.OK, RowOutcome.REFUSED)
)
#: Characters of the name of whoever asks.
MAX_WHO = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """
    The commands of people; `poll` does the rest. A command for a round, in which rows
    go again, is one for the job whose rows they are.
    """

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
        first, so that `poll` finishes the work if this process dies. The same holds for
        a job whose rows go again: what was answered so far is published.

        Raises:
            LookupError: there is no such job.
            ValueError: it is over.
            Superseded: another worker wrote to it at the same moment; try again.
        """
        job, by, now = self._known(job_id), _name(by), self.now()
        job = self.ledger.advance(job, lambda j: j.request_cancel(by, now))
        log.info(
            "cancel requested",
            extra={"event": "job.cancel_requested", "job": job.id, "by": by},
        )
        if job.parts:
            self.cancelling.cancel_parts(job)
            return self._known(job.id)
        self.cancelling.cancel_round_of(job)
        self.setbacks.clear(job)
        return job

    def retry(self, job_id: str, by: str, only: Collection[str] = ()) -> Job:
        """
        Sends rows of a job that is done once more, which is paid. `poll` has them
        chosen at its next tick. Then the results of all rounds are written anew,
        beside those that are there, and announced.

        Args:
            only: the outcomes of these rows; none: those that failed for a reason that
                passes by itself.

        Raises:
            LookupError: there is no such job.
            ValueError: it isn't done, has no results, or no row of such an outcome can
                be sent.
            Superseded: another worker wrote to it at the same moment; try again.
        """
        if wrong := sorted(set(only) - set(MAY_GO_AGAIN)):
            raise ValueError(
                f"rows that are {wrong[0]} don't go again; write some of "
                f"{', '.join(MAY_GO_AGAIN)}"
            )
        job, by, now = self._known(job_id), _name(by), self.now()
        asked = tuple(dict.fromkeys(only))
        job = self.ledger.advance(job, lambda j: j.retry_requested(by, asked, now))
        log.info(
            "round requested",
            extra={"event": "job.round_requested", "job": job.id, "by": by},
        )
        return job

    def rerun(self, job_id: str, by: str, known: int | None = None) -> Job:
        """
        Makes a new job of one that is over. It has an id of its own and the old job as
        its parent, and `poll` takes it up at its next tick.

        Args:
            known: the number of reruns that the person has seen. If there are more by
                now, none is made, so that asking twice makes one. None: make one more.

        Raises:
            LookupError: there is no such job.
            ValueError: it isn't over yet, or there are other reruns than are known.
            Superseded: it was written to at the same moment; try again.
        """
        parent, by, now = self._known(job_id), _name(by), self.now()
        parent = self.ledger.advance(
            parent,
            lambda j: _same_reruns(j, known).rerun_counted(by, now),
            creates=lambda j: [j.rerun(by, now)],
        )
        new = parent.rerun(by, now)
        log.info(
            "job rerun",
            extra={
                "event": "job.rerun",
                "job": new.id,
                "parent": parent.id,
                "by": by,
            },
        )
        return new

    def replay(
        self,
        job_id: str,
        by: str,
        among: Callable[[Announcement], bool] = lambda _: True,
        anew: bool = False,
    ) -> list[Announcement]:
        """
        Puts a job's announcements into the outbox again, with the same ids and bytes;
        `poll` sends them at its next tick. Those that wait there already are left.

        Args:
            among: which of them; by default all.
            anew: give each a new event id and number, so that subscribers that
                deduplicate handle it again; those that were made so are left.

        Returns:
            What was put there; empty if nothing was.

        Raises:
            LookupError: there is no such job.
            Superseded: another worker wrote to it at the same moment; try again.
            Unavailable: others keep writing to it.
        """
        job, by, now = self._known(job_id), _name(by), self.now()
        again = [
            one
            for one in self.ledger.announcements_of(job.id)
            if among(one) and not (one.is_waiting or (anew and one.replay_of))
        ]
        if not again:
            return []
        self.ledger.advance(job, lambda j: j.announced_again(now, by))
        log.info(
            "job announced again",
            extra={"event": "job.announced_again", "job": job.id, "by": by},
        )
        put = self.ledger.replay_as_new if anew else self.ledger.replay
        return [put(one, now) for one in again]

    def unpark(self, job_id: str, by: str) -> Job:
        """
        Lets `poll` resume a parked job at its next tick, or its round, if that is
        parked.

        Raises:
            LookupError: there is no such job.
            ValueError: neither is parked.
            Superseded: it was written to at the same moment; try again.
        """
        job, by, now = self._known(job_id), _name(by), self.now()
        held = job
        if job.awaits == "round":
            sent = self.ledger.get(job.round_now.job)
            if sent and sent.is_parked:
                held = sent
        after = self.ledger.advance(held, lambda j: j.unpark(by, now))
        log.info(
            "job unparked", extra={"event": "job.unparked", "job": held.id, "by": by}
        )
        if held is job:
            return after
        with suppress(Superseded):  # the round is done by now; its history says by whom
            job = self.ledger.advance(job, lambda j: j.round_resumed(by, now))
        return job

    def _known(self, job_id: str) -> Job:
        job = self.ledger.get(job_id)
        if job and job.retry_of:
            job = self.ledger.get(job.retry_of)
        if job is None:
            raise LookupError(f"there is no job {job_id}")
        return job


def _same_reruns(job: Job, known: int | None) -> Job:
    if known is not None and known != job.reruns:
        again = f", as job {job.rerun_id}" if job.reruns else ""
        raise ValueError(f"job {job.id} was run again meanwhile{again}")
    return job


def _name(by: str) -> str:
    """Who asks, in one line."""
    plain = "".join(each if each.isprintable() else " " for each in by)
    return brief(" ".join(plain.split()), MAX_WHO) or "somebody"
