"""
Polls a job until it has ended and names its output, with growing pauses.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from msgspec.structs import replace

from batchdrop.batches.call import Call, Flow, Notify, Pause, ask, dated
from batchdrop.batches.errors import (
    ApiError,
    BatchesError,
    NoResults,
    ServerError,
    TransportError,
    WaitTimeout,
    http_date,
)
from batchdrop.batches.types import BatchJob

GROWTH = 1.5
#: How many polls in a row may fail, each after its own retries, so that an outage of
#: the API doesn't end a wait of a day.
FAILED_LOOKS = 10
#: How long, in seconds after its end, a successful job is polled for its output. The
#: Developer API was seen to report SUCCEEDED before it named the responses file.
OUTPUT_TIMEOUT = 600.0


@dataclass(slots=True)
class Patience:
    """
    Decides how long a successful job without an output is polled for it.

    Attributes:
        timeout: seconds after the job's end.
        now: a monotonic clock.
        wall: Unix seconds, for answers without a `Date`.
    """

    timeout: float
    now: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    _since: float | None = None

    def pause(self, job: BatchJob, date: str | None, pause: float) -> float | None:
        """
        Seconds until such a job is polled again, at most `pause`; None for any other.

        The time since its end is measured by the API's clock, from the answer's `Date`,
        and is at least the time since the first such answer: a wrong clock can end the
        polling early, but can't make it endless.

        Args:
            date: the `Date` of the answer with this job.

        Raises:
            NoResults: the time is up.
        """
        if not job.awaits_output:
            return None
        now = self.now()
        if self._since is None:
            self._since = now
        age = now - self._since
        ended = job.end_time or job.update_time
        if ended is not None:
            sent_at = http_date(date) if date else None
            age = max(
                age, (self.wall() if sent_at is None else sent_at) - ended.timestamp()
            )
        if age >= self.timeout:
            raise NoResults(
                f"{job.name} is {job.state}, and {age:.0f} s after its end it doesn't "
                "say where its answers are; it may do so later",
                job,
            )
        # A `Date` has whole seconds: a shorter pause would poll again and again.
        return min(pause, max(self.timeout - age, 1.0))


def waiting(
    get: Callable[[], Call[BatchJob]],
    given: BatchJob | None,
    *,
    timeout: float | None,
    on_progress: Callable[[BatchJob], Any] | None,
    interval: float,
    max_interval: float,
    output_timeout: float = OUTPUT_TIMEOUT,
    now: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] = time.time,
) -> Flow[BatchJob]:
    """
    The job in a terminal state; a successful one once it names its output.

    Args:
        get: the call that reads the job.
        given: the job as the caller has it, for members that the API doesn't keep.
        timeout: seconds, or None for no limit.
        on_progress: called with the job after each poll.
        interval: seconds before the second poll; each wait is half as long again as the
            one before, at most `max_interval`. Polling for the output starts over.
        output_timeout: how long, in seconds after its end, to poll for its output.

    Raises:
        WaitTimeout: the time is up; it has the job as last read.
        NoResults: the job has succeeded, but names no output.
        BatchesError: a poll was refused, or ten in a row failed.
    """
    until = None if timeout is None else now() + timeout
    pause = interval
    failed = 0
    last = given
    patience = Patience(output_timeout, now, wall)
    late = False
    while True:
        try:
            job, date = yield from ask(dated(get()))
        except BatchesError as exc:
            failed += 1
            if failed >= FAILED_LOOKS or not _passing(exc):
                raise
        else:
            failed = 0
            if given is not None:
                job = replace(
                    job,
                    generation_config=given.generation_config,
                    collect_to=given.collect_to,
                )
            last = job
            if on_progress is not None:
                yield Notify(partial(on_progress, job))
            if job.done:
                if not late:
                    late, pause = True, interval
                again = patience.pause(job, date, pause)
                if again is None:
                    return job
                pause = again
        if until is not None:
            left = until - now()
            if left <= 0:
                state = last.state if last else "not seen"
                but = "it still runs at the API"
                if last and last.done:
                    but = "it doesn't name its output yet"
                raise WaitTimeout(
                    f"{last.name if last else 'the job'} is {state} after {timeout} s; "
                    f"{but}",
                    last,
                )
            pause = min(pause, left)
        yield Pause(pause)
        pause = min(pause * GROWTH, max_interval)


def _passing(error: BatchesError) -> bool:
    if isinstance(error, ApiError):
        return isinstance(error, ServerError) or error.code in (408, 429)
    return isinstance(error, TransportError)
