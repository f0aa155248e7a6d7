"""
Waiting for a job's end, and for its output: asking again and again, more and more
slowly.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from msgspec.structs import replace

from batchdrop.batches.call import Call, Flow, Pause, Tell, ask, dated
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
#: A service that is away for a while doesn't end a wait of a day. Each of these is
#: what is left after the retries of the call itself.
FAILED_LOOKS = 10
#: Seconds after its end for which a job that succeeded is asked for its output. The
#: Developer API was seen to say SUCCEEDED before it named the responses file.
OUTPUT_TIMEOUT = 600.0


@dataclass(slots=True)
class Patience:
    """
    With a job that has succeeded and doesn't say yet where its answers are.

    Attributes:
        timeout: seconds after the job's end.
        now: a clock that only goes on.
        wall: Unix seconds, for answers without a `Date`.
    """

    timeout: float
    now: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    _since: float | None = None

    def pause(self, job: BatchJob, date: str | None, pause: float) -> float | None:
        """
        Seconds until such a job is asked again, at most `pause`; None for any other.

        Its age is that of its end at the service's clock, which the answer's `Date`
        tells, and is at least what has passed here since the first such answer: a wrong
        clock can end this early, and can't make it endless.

        Args:
            date: the `Date` of the answer that the job is from.

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
            said = http_date(date) if date else None
            age = max(age, (self.wall() if said is None else said) - ended.timestamp())
        if age >= self.timeout:
            raise NoResults(
                f"{job.name} is {job.state}, and {age:.0f} s after its end it doesn't "
                "say where its answers are; it may do so later",
                job,
            )
        # A `Date` has whole seconds; less than one would be asked for over and over.
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
    The job in its terminal state, whichever that is. One that has succeeded is asked
    until it says where its answers are.

    Args:
        get: asks for the job.
        given: what is known of it, for the members that the service doesn't keep.
        timeout: seconds, or None for no limit.
        on_progress: told of the job after each look.
        interval: seconds before the second look; then half as long again each time, to
            at most `max_interval`. For its output they start anew.
        output_timeout: seconds after its end for which it is asked for its output.

    Raises:
        WaitTimeout: the time was up; it has the job as last seen.
        NoResults: the job has succeeded, and didn't come to name its output.
        BatchesError: the look itself was refused, or failed ten times in a row.
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
                yield Tell(partial(on_progress, job))
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
                but = "it goes on at the service"
                if last and last.done:
                    but = "it doesn't say yet where its answers are"
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
