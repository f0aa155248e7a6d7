"""Log lines that several steps write in the same words, and that alerts count."""

import logging

from batchdrop.jobs.codes import HealthCode
from batchdrop.jobs.job import Job

log = logging.getLogger(__name__)


def log_parked(job: Job) -> None:
    """Logs that a job waits for a person. Nothing if it does not."""
    if job.parked is not None:
        log.error(
            "job parked",
            extra={
                "event": "job.parked",
                "job": job.id,
                "phase": job.phase,
                "reason": job.parked.message,
            },
        )


def log_row_failures(job: Job) -> None:
    """Logs a line if more rows failed than the job's `failed_share` allows."""
    for trouble in job.troubles:
        if trouble.code is HealthCode.ROWS_FAILED:
            log.warning(
                "rows failed",
                extra={
                    "event": "job.rows_failed",
                    "job": job.id,
                    "reason": trouble.message,
                },
            )
