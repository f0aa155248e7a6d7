"""Waiting for a job's end: asking again and again, more and more slowly."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec.structs import replace

from batchdrop.batches.call import Call, Flow, Pause, Tell, ask
from batchdrop.batches.errors import (
    ApiError,
    BatchesError,
    ServerError,
    TransportError,
    WaitTimeout,
)
from batchdrop.batches.types import BatchJob

GROWTH = 1.5
#: A service that is away for a while doesn't end a wait of a day. Each of these is
#: what is left after the retries of the call itself.
FAILED_LOOKS = 10


def waiting(
    get: Callable[[], Call[BatchJob]],
    given: BatchJob | None,
    *,
    timeout: float | None,
    on_progress: Callable[[BatchJob], Any] | None,
    interval: float,
    max_interval: float,
    now: Callable[[], float] = time.monotonic,
) -> Flow[BatchJob]:
    """
    The job in its terminal state, whichever that is.

    Args:
        get: asks for the job.
        given: what is known of it, for the members that the service doesn't keep.
        timeout: seconds, or None for no limit.
        on_progress: told of the job after each look.
        interval: seconds before the second look; then half as long again each time, to
            at most `max_interval`.

    Raises:
        WaitTimeout: the time was up; it has the job as last seen.
        BatchesError: the look itself was refused, or failed ten times in a row.
    """
    until = None if timeout is None else now() + timeout
    pause = interval
    failed = 0
    last = given
    while True:
        try:
            job = yield from ask(get())
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
                return job
        if until is not None:
            left = until - now()
            if left <= 0:
                state = last.state if last else "not seen"
                raise WaitTimeout(
                    f"{last.name if last else 'the job'} is {state} after {timeout} s; "
                    "it goes on at the service",
                    last,
                )
            pause = min(pause, left)
        yield Pause(pause)
        pause = min(pause * GROWTH, max_interval)


def _passing(error: BatchesError) -> bool:
    if isinstance(error, ApiError):
        return isinstance(error, ServerError) or error.code in (408, 429)
    return isinstance(error, TransportError)
