"""
The client's errors, named by what the caller can do about them:

    BatchesError
    ├── ApiError            the API answered with an error
    │   ├── ClientError     4xx: refused, and will be refused again
    │   └── ServerError     5xx: it failed; a later attempt may succeed
    ├── TransportError      no answer; `sent` says if the request may have arrived
    │   ├── UnclearAnswer   a success status over a body of another kind
    │   └── NotSignedIn     there are no credentials, or they can't be renewed
    ├── WaitTimeout         a job did not end in the time `wait` was given
    ├── NoResults           a job is running, left no rows, or doesn't name its output
    └── MissingExtra        a package that this call needs isn't installed

A call that can't be made at all (a source that this API doesn't take, a missing
project) raises ValueError before anything is sent. No text here contains a key or a
token: addresses are kept without user, password and query.
"""

from collections.abc import Mapping
from typing import Any

import msgspec


class BatchesError(Exception):
    """The base of all errors about an answer, or the lack of one."""


class ApiError(BatchesError):
    """
    The API answered, and the answer is an error.

    Attributes:
        code: the HTTP status, such as 404.
        status: Google's name for it, such as "NOT_FOUND"; "" when not given.
        message: the API's text.
        details: the error's `details`, unchanged.
        method, url: of the request, without any key.
        retry_after: seconds that the API asks you to wait, or None.
    """

    def __init__(
        self,
        code: int,
        status: str = "",
        message: str = "",
        *,
        details: Any = None,
        method: str = "",
        url: str = "",
        retry_after: float | None = None,
    ) -> None:
        self.code = code
        self.status = status
        self.message = message
        self.details = details
        self.method = method
        self.url = url
        self.retry_after = retry_after
        super().__init__(code, status, message)

    def __str__(self) -> str:
        asked = f" ({self.method} {self.url})" if self.url else ""
        head = f"{self.code} {self.status}" if self.status else str(self.code)
        return f"{head}: {self.message}{asked}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.code, self.status, self.message), self.__dict__


class ClientError(ApiError):
    """4xx: the request was understood and refused."""


class ServerError(ApiError):
    """5xx, or another status that is neither success nor 4xx."""


class TransportError(BatchesError):
    """
    No usable answer.

    Attributes:
        sent: False only if no connection was made, so that the request can't have
            reached the API. True: it may have; search before you repeat it.
        method, url: of the request, without any key.
    """

    def __init__(
        self, message: str, *, sent: bool, method: str = "", url: str = ""
    ) -> None:
        self.message = message
        self.sent = sent
        self.method = method
        self.url = url
        self.retry_after: float | None = None
        super().__init__(message)

    def __str__(self) -> str:
        asked = f" ({self.method} {self.url})" if self.url else ""
        return f"{self.message}{asked}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _unsent, (type(self), self.message, self.sent), self.__dict__


class UnclearAnswer(TransportError):
    """
    A success status over a body of another kind: no JSON object, an empty one in place
    of a job or a file, or an error. `sent` is True.
    """


class NotSignedIn(TransportError):
    """No request was sent, for lack of credentials; `sent` is False."""


class WaitTimeout(BatchesError, TimeoutError):
    """
    The time was up before the job ended; it still runs at the API.

    Attributes:
        job: the job as last read.
    """

    def __init__(self, message: str, job: Any = None) -> None:
        self.job = job
        super().__init__(message)


class NoResults(BatchesError):
    """
    There are no rows to read.

    Attributes:
        job: the job as last read.
    """

    def __init__(self, message: str, job: Any = None) -> None:
        self.job = job
        super().__init__(message)


class MissingExtra(BatchesError, ImportError):
    """The call needs a package that an extra of this distribution brings."""


def _again(kind: type[ApiError], code: int, status: str, message: str) -> ApiError:
    return kind(code, status, message)


def _unsent(kind: type[TransportError], message: str, sent: bool) -> TransportError:
    return kind(message, sent=sent)


def from_answer(
    code: int,
    body: bytes,
    headers: Mapping[str, str],
    *,
    method: str,
    url: str,
    now: float,
) -> ApiError:
    """
    The error for an answer. Its message comes from Google's envelope
    `{"error": {...}}`, else it is the first 500 characters of the body.

    Args:
        now: Unix seconds, for a Retry-After that is a date.
    """
    error = envelope(body)
    kind = ClientError if 400 <= code < 500 else ServerError
    return kind(
        code,
        _text(error.get("status")),
        _text(error.get("message")) or body[:500].decode(errors="replace"),
        details=error.get("details"),
        method=method,
        url=url,
        retry_after=_seconds(headers.get("retry-after"), now),
    )


def envelope(body: bytes) -> Mapping[str, Any]:
    """The `error` of Google's envelope, or {} for any other body."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    if isinstance(answer, list) and answer:  # some front ends wrap it in a list
        answer = answer[0]
    error = answer.get("error") if isinstance(answer, dict) else None
    return error if isinstance(error, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _seconds(retry_after: str | None, now: float) -> float | None:
    """Retry-After is seconds or an HTTP date (RFC 9110); None if it is neither."""
    if not retry_after:
        return None
    if retry_after.strip().isdigit():
        return float(retry_after)
    time = http_date(retry_after)
    return None if time is None else max(0.0, time - now)


def http_date(text: str) -> float | None:
    """Unix seconds of an HTTP date (RFC 9110), or None if the text isn't one."""
    from email.utils import parsedate_to_datetime  # loads 30 modules, for a rare answer

    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
