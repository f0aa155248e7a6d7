"""Rows that go again because a person asks for it."""

from contextlib import suppress
from datetime import datetime

from batchdrop.errors import Superseded
from batchdrop.jobs.values import Drop
from batchdrop.ledger import Ledger


def is_asked(ledger: Ledger, drop: Drop, outcome: str, now: datetime) -> bool:
    """
    Does what `batchdrop retry --only` does, once the job of a drop is done.

    Returns:
        Whether that was done.
    """
    job = ledger.get(drop.job_id)
    if job and job.is_done and not any(one.by for one in job.rounds):
        with suppress(Superseded):
            job = ledger.advance(
                job, lambda j: j.retry_requested("a test", (outcome,), now)
            )
    return job is not None and any(one.by for one in job.rounds)
