"""The short texts of a job in lists: its state, rows, cost, age and note."""

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from batchdrop.jobs.codes import Phase, WaitCode

if TYPE_CHECKING:
    from batchdrop.jobs.job import Job
    from batchdrop.jobs.listed import ListedJob
    from batchdrop.jobs.waiting import WaitingFor

#: How much of an id a table shows. It is a JOB, unless there are two like it.
SHORT = 10
#: What goes on with a job's answers between the end of its batch and its results.
COLLECTING = "collecting"


def state_of(job: "Job | ListedJob") -> str:
    """How far a job is: how it ended, the API's state of its batch, or its phase."""
    if job.is_done:
        return job.outcome or job.phase
    if job.phase is Phase.ENDED:
        return COLLECTING
    if job.phase is Phase.SUBMITTED and job.batch:
        return job.batch.state.removeprefix("JOB_STATE_").lower()
    return job.phase


def rows_of(job: "ListedJob") -> str:
    """How many rows are ok, or answered so far, of how many."""
    counts = job.rows.outcomes
    if counts:
        return f"{job.rows.ok or 0:,}/{job.rows.total:,} ok"
    if job.progress and job.progress.rows:
        return f"{job.progress.answered:,}/{job.progress.rows:,}"
    return f"{job.rows.total:,}" if job.rows.total else ""


def share_of(job: "Job | ListedJob") -> float | None:
    """Which share of its rows is answered; None before there is a batch."""
    if job.rows.outcomes or job.is_done:
        return 1.0 if job.rows.outcomes else None
    if job.progress is None:
        return None
    if not job.progress.rows:
        return 0.0
    return job.progress.answered / job.progress.rows


def amount_of(job: "ListedJob") -> str:
    """What it has cost, or about will; empty if that isn't known."""
    cost = job.cost or (job.estimate.cost if job.estimate else None)
    if cost is None:
        return ""
    amount = "<0.01" if cost.is_small else f"{cost.micros / 1_000_000:,.2f}"
    return f"{'' if job.cost else '~'}{amount} {cost.currency}"


def age(passed: timedelta) -> str:
    """Such as `40s`, `7m`, `3h` or `12d`."""
    seconds = max(0, int(passed.total_seconds()))
    for unit, size, most in (("s", 1, 60), ("m", 60, 60), ("h", 3600, 48)):
        if seconds < size * most:
            return f"{seconds // size}{unit}"
    return f"{seconds // 86400}d"


def moment(text: str, now: datetime) -> datetime:
    """
    Reads a time (UTC, if it names no zone), or how long ago it was.

    Raises:
        ValueError: it is neither; the text says what to write.
    """
    units = {"m": "minutes", "h": "hours", "d": "days"}
    try:
        if ago := re.fullmatch(r"([0-9]{1,6})([mhd])", text):
            return now - timedelta(**{units[ago[2]]: int(ago[1])})
        found = datetime.fromisoformat(text)
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        return found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is neither a time (2026-03-01T12:00Z) nor how long ago it was "
            "(90m, 12h, 7d)"
        ) from None


def note_of(job: "ListedJob") -> str:
    """What is wrong with it, or what it waits for, by its code."""
    if job.health:
        return job.health.code
    if job.waiting_for:
        ahead = job.waiting_for.ahead
        place = "" if ahead is None else f", {ahead:,} ahead"
        return f"{job.waiting_for.code}{place}"
    return str(job.error.code) if job.error else ""


def awaited(waits: "WaitingFor") -> str:
    """What a job waits for, such as `its turn in the queue, 3 ahead`."""
    named = AWAITED[waits.code]
    return named if waits.ahead is None else f"{named}, {waits.ahead:,} ahead"


#: What a job waits for, by its code.
AWAITED = {
    WaitCode.PERSON: "you",
    WaitCode.GRANT: "a grant",
    WaitCode.MANIFEST: "its manifest",
    WaitCode.FILE: "the file beside it",
    WaitCode.QUEUE: "its turn",
    WaitCode.PAUSED: "the end of the pause",
    WaitCode.QUOTA: "quota",
    WaitCode.DAY: "another day",
    WaitCode.CEILING: "room below a ceiling",
    WaitCode.ANOTHER_TRY: "another try",
    WaitCode.SEARCH: "a list of batches",
    WaitCode.API: "the API",
    WaitCode.ANSWERS: "all answers",
    WaitCode.PARTS: "its parts",
    WaitCode.ROUND: "rows that go again",
}
