"""What to do about an unhealthy job, or one that was rejected."""

from typing import TYPE_CHECKING

from batchdrop.jobs.codes import ErrorCode, HealthCode

if TYPE_CHECKING:
    from batchdrop.jobs.job import Job

#: What to do about a job's health where the message does not say it.
CURES = {
    HealthCode.DUPLICATES: "look up at the API what the second batch has cost",
    HealthCode.ANSWERS_AT_RISK: "see with `batchdrop status` whether collect runs",
    HealthCode.NOT_ALLOWED: "grant it; the job continues within an hour",
    HealthCode.PARTS_HELD: "look at these parts with `batchdrop show`",
    HealthCode.ROUND_HELD: "mend what it names, then run `batchdrop resume {id}`, or "
    "`batchdrop cancel {id}` to have the results as they are",
    HealthCode.UNPUBLISHED: "mend it, then run `batchdrop announcements replay "
    "--job {id}`",
    HealthCode.NOT_VISIBLE: "see whether project, location and key are still those "
    "that made the batches",
    HealthCode.STALLED: "wait, or run `batchdrop cancel {id}`",
    HealthCode.ROWS_FAILED: "see them with `batchdrop results {id} --only "
    "failed,missing`",
}

#: What to do about an error where the message does not say it.
CURES_OF_ERRORS: dict[str | int, str] = {
    ErrorCode.BAD_ROWS: "mend them; or drop the file with `on_invalid` = `skip`, to "
    "send the good lines alone",
    ErrorCode.TOO_MANY_INVALID: "mend them; or drop the file with a higher "
    "`max_invalid`, to send the good lines alone",
}


def cure(code: str, id: str) -> str:
    """What to do about a job's trouble; empty where its message says it."""
    return CURES.get(HealthCode(code), "").format(id=id)


def cure_of_error(job: "Job") -> str:
    """What to do about a job's error; empty where its message says it."""
    # Without a good line no choice sends the file.
    if job.error is None or not job.rows.accepted:
        return ""
    return CURES_OF_ERRORS.get(job.error.code, "")
