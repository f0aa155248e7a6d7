"""httpx to the batch services: who asks, sending again, foreign errors made ours."""

import random
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import httpx
import msgspec

from batchdrop.batches import errors
from batchdrop.batches.call import Call
from batchdrop.batches.credentials import Signer
from batchdrop.batches.errors import ApiError, BatchesError, TransportError
from batchdrop.batches.types import HttpOptions, HttpRetryOptions

T = TypeVar("T")

#: When the caller sets no timeout: long enough for a large inline result (the service
#: itself gives up at 60 s), short enough not to hang for ever.
NO_TIMEOUT_GIVEN = httpx.Timeout(300.0, connect=30.0)

#: Failures before there was a connection: the request can't have been sent.
NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)

VERSION = "0.1.0"
AGENT = f"batchdrop/{VERSION} gl-python/{sys.version.split()[0]}"


def pause_before_repeating(
    attempt: int,
    error: BatchesError,
    call: Call[Any],
    given: HttpRetryOptions | None,
    luck: float,
) -> float | None:
    """
    Seconds to wait before the call is sent again, or None: it isn't.

        read, cancel, delete    on the listed status codes, and on no answer
        create                  only if retry options were given, and only after 429
                                or when no connection was made: nothing was created

    Args:
        attempt: how often it was sent, 1 at first.
        luck: 0 to 1, the share of the jitter.

    A Retry-After is waited in full; one longer than max_delay ends the attempts, as
    the caller can wait better than a blocked call.
    """
    options = given or HttpRetryOptions()
    if attempt >= options.attempts or not (call.repeatable or given):
        return None
    match error:
        case ApiError(code=code):
            again = code in options.http_status_codes
            nothing_done = code == 429
            asked = error.retry_after
        case errors.UnclearAnswer():
            return None  # the same nonsense would come again
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


class _Prepared:
    """What both faces need to make a request of a call and a value of an answer."""

    def __init__(self, options: HttpOptions, signer: Signer) -> None:
        self._options = options
        self._signer = signer
        self._headers = _headers(options)
        self._timeout = _timeout(options) or NO_TIMEOUT_GIVEN

    def arguments(self, call: Call[Any]) -> dict[str, Any]:
        """The arguments of httpx's build_request, without the credentials' headers."""
        options = call.options
        headers, timeout = self._headers, self._timeout
        body = call.body
        extra: Mapping[str, Any] | None = self._options.extra_body
        if options is not None:
            if options.headers or options.timeout is not None:
                headers = {**headers, **_headers(options, headers)}
            timeout = _timeout(options) or timeout
            extra = options.extra_body or extra
        if body is not None and extra:
            body = merged(body, extra)
        return {
            "method": call.method,
            "url": call.url,
            "headers": headers,
            "timeout": timeout,
            "content": None if body is None else msgspec.json.encode(body),
        }

    def retry(self, call: Call[Any]) -> HttpRetryOptions | None:
        own = call.options.retry_options if call.options else None
        return own or self._options.retry_options


def _timeout(options: HttpOptions) -> httpx.Timeout | None:
    return None if options.seconds is None else httpx.Timeout(options.seconds)


def _headers(options: HttpOptions, over: Mapping[str, str] = {}) -> dict[str, str]:
    """The headers of every request; the caller's own agent is named after ours."""
    headers = {"content-type": "application/json"}
    given = {name.lower(): value for name, value in (options.headers or {}).items()}
    for name in ("user-agent", "x-goog-api-client"):
        given[name] = f"{AGENT} {given[name]}" if name in given else AGENT
        if name in over and given[name] == AGENT:
            del given[name]
    headers |= given
    if options.seconds is not None:
        headers.setdefault("x-server-timeout", str(-int(-options.seconds // 1)))
    return headers


def merged(body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """`body` with `extra` laid over it, objects member by member."""
    result = dict(body)
    for key, value in extra.items():
        below = result.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            result[key] = merged(below, value)
        else:
            result[key] = value
    return result


def shown(url: str) -> str:
    """An address as it may be shown: without user, password and query."""
    parts = urlsplit(url)
    return urlunsplit(
        (parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")
    )


def _no_answer(exc: httpx.HTTPError, call: Call[Any]) -> TransportError:
    sent = not isinstance(exc, NEVER_SENT)
    heard = "it may have been heard" if sent else "nothing was sent"
    return TransportError(
        f"no answer, {heard}: {type(exc).__name__}: {exc}",
        sent=sent,
        method=call.method,
        url=shown(call.url),
    )


def _value(call: Call[T], status: int, body: bytes, headers: Mapping[str, str]) -> T:
    if not 200 <= status < 300:
        raise errors.from_answer(
            status,
            body,
            headers,
            method=call.method,
            url=shown(call.url),
            now=time.time(),
        )
    try:
        return call.read(body)
    except errors.UnclearAnswer as exc:
        exc.method, exc.url = call.method, shown(call.url)
        raise


class Transport:
    """Sends calls, one at a time per thread; safe to share between threads."""

    def __init__(
        self,
        options: HttpOptions,
        signer: Signer,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._prepared = _Prepared(options, signer)
        self._signer = signer
        self._sleep = sleep
        self._owned = options.httpx_client is None
        self._http: httpx.Client = options.httpx_client or httpx.Client()

    def send(self, call: Call[T]) -> T:
        """
        The value of the answer, sending again where that is allowed.

        Raises:
            BatchesError: the last error.
        """
        attempt = 1
        while True:
            try:
                return self._send_once(call)
            except BatchesError as exc:
                pause = pause_before_repeating(
                    attempt, exc, call, self._prepared.retry(call), random.random()
                )
                if pause is None:
                    raise
            self._sleep(pause)
            attempt += 1

    def _send_once(self, call: Call[T]) -> T:
        request = self._http.build_request(**self._prepared.arguments(call))
        request.headers.update(self._signer.headers())
        try:
            response = self._http.send(request)
        except httpx.HTTPError as exc:
            raise _no_answer(exc, call) from exc
        return _value(call, response.status_code, response.content, response.headers)

    def close(self) -> None:
        """Closes the connections, unless the httpx client was the caller's."""
        if self._owned:
            self._http.close()
