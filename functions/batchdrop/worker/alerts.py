"""Says in the log that too many rows of a job failed: an alert counts these lines."""

import logging

from batchdrop.jobs.codes import HealthCode
from batchdrop.jobs.job import Job

log = logging.getLogger(__name__)


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
