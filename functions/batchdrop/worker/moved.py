"""Writes the same move to several jobs, a few at once."""

from collections.abc import Callable, Iterable
from datetime import datetime

from batchdrop.jobs.job import Job
from batchdrop.ledger import Ledger
from batchdrop.worker.stages import few_at_once


def all_moved(
    ledger: Ledger,
    jobs: Iterable[Job],
    move: Callable[[Job, datetime], Job],
    now: Callable[[], datetime],
) -> None:
    """
    Moves each job that the move changes.

    Raises:
        Superseded, NotWritable, Unavailable: as `Ledger.advance`, of the first job; the
            others may be moved.
    """

    def advance(job: Job) -> None:
        at = now()
        if move(job, at) != job:
            ledger.advance(job, lambda j: move(j, at))

    for _, answer in few_at_once(advance, jobs):
        answer.result()
