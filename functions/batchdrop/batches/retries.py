"""Decides when a call is sent again."""

from typing import Any

from batchdrop.batches.call import Call
from batchdrop.batches.errors import (
    ApiError,
    BatchesError,
    NotSignedIn,
    TransportError,
)
from batchdrop.batches.types import HttpRetryOptions

DEFAULT = HttpRetryOptions()


def pause_before_repeating(
    attempt: int,
    error: BatchesError,
    call: Call[Any],
    given: HttpRetryOptions | None,
    luck: float,
) -> float | None:
    """
    Seconds to wait before the call is sent again; None if it isn't.

        read, cancel, delete    on the listed status codes, and on no answer
        create                  only if retry options were given, and only after 429
                                or without a connection: no job was created

    Args:
        attempt: how often the call was sent; at least 1.
        given: the caller's options, if any.
        luck: 0 to 1, the share of the jitter.

    A Retry-After is waited in full. One longer than max_delay ends the attempts: the
    caller can wait better than a blocked call.
    """
    options = given or DEFAULT
    if attempt >= options.attempts or not (call.repeatable or given):
        return None
    match error:
        case ApiError(code=code):
            again = code in options.http_status_codes
            nothing_done = code == 429
            asked = error.retry_after
        case NotSignedIn():
            return None
        case TransportError(sent=sent):
            again, nothing_done, asked = True, not sent, None
        case _:
            return None
    if not again or not (call.repeatable or nothing_done):
        return None
    if asked is not None:
        return asked if asked <= options.max_delay else None
    growing = options.initial_delay * options.exp_base ** (attempt - 1)
    return min(growing + luck * options.jitter, options.max_delay)
