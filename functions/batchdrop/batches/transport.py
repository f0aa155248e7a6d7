"""Sends calls through httpx: signs and repeats them; translates errors into ours."""

import asyncio
import inspect
import os
import random
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit
from weakref import WeakKeyDictionary

import httpx
import msgspec

from batchdrop.batches import errors
from batchdrop.batches.call import Call, Flow, Notify, Pause, Work
from batchdrop.batches.credentials import Signer
from batchdrop.batches.errors import ApiError, BatchesError, TransportError
from batchdrop.batches.retries import pause_before_repeating
from batchdrop.batches.types import HttpOptions

T = TypeVar("T")
U = TypeVar("U")

#: The default timeout: long enough for a large inline result (the API itself gives up
#: at 60 s), short enough not to hang forever.
NO_TIMEOUT_GIVEN = httpx.Timeout(300.0, connect=30.0)

#: Failures before a connection: the request can't have been sent.
NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)

VERSION = "0.1.0"
AGENT = f"batchdrop/{VERSION} gl-python/{sys.version.split()[0]}"


class _Outgoing:
    """
    Makes the httpx request of a call, and decides when the call is sent again.

    The headers of a client's requests are put together once.
    """

    def __init__(
        self, options: HttpOptions, client_args: Mapping[str, Any] | None
    ) -> None:
        self._options = options
        self._headers = _headers(options)
        timeout = NO_TIMEOUT_GIVEN
        if client_args and "timeout" in client_args:
            timeout = httpx.Timeout(client_args["timeout"])
        self._timeout = (_timeout(options) or timeout).as_dict()

    def request(
        self,
        call: Call[Any],
        credentials: Mapping[str, str],
        http: httpx.Client | httpx.AsyncClient,
    ) -> httpx.Request:
        """The call as `http` sends it, with the headers of `credentials`."""
        headers = {**self._headers, **credentials}
        timeout = self._timeout
        extra: Mapping[str, Any] | None = self._options.extra_body
        options = call.options
        if options is not None:
            if options.headers or options.timeout is not None:
                headers |= _headers(options, headers)
            own = _timeout(options)
            timeout = own.as_dict() if own else timeout
            extra = options.extra_body or extra
        if call.headers:
            headers |= call.headers
        content = call.content
        if call.body is not None:
            body = merged(call.body, extra) if extra else call.body
            content = msgspec.json.encode(body)
        request = http.build_request(
            call.method,
            call.url,
            headers=headers,
            content=content,
            extensions={"timeout": timeout},
        )
        if not call.signed or request.url.userinfo:
            request.url = _Masked(request.url)
        return request

    def pause(self, attempt: int, error: BatchesError, call: Call[Any]) -> float | None:
        """Seconds until the call is sent again, or None."""
        own = call.options.retry_options if call.options else None
        given = own or self._options.retry_options
        return pause_before_repeating(attempt, error, call, given, random.random())


def _timeout(options: HttpOptions) -> httpx.Timeout | None:
    return None if options.seconds is None else httpx.Timeout(options.seconds)


def _headers(options: HttpOptions, over: Mapping[str, str] = {}) -> dict[str, str]:
    """The headers of every request; the caller's own agent follows ours."""
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
    """`body` with the members of `extra`, which win; objects are merged."""
    result = dict(body)
    for key, value in extra.items():
        below = result.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            result[key] = merged(below, value)
        else:
            result[key] = value
    return result


def shown(url: str) -> str:
    """An address for people to read: without user, password and query."""
    parts = urlsplit(url)
    return urlunsplit(
        (parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")
    )


def _no_answer(exc: httpx.HTTPError, call: Call[Any]) -> TransportError:
    sent = not isinstance(exc, NEVER_SENT)
    arrived = "the request may have arrived" if sent else "nothing was sent"
    return TransportError(
        f"no answer, {arrived}: {type(exc).__name__}: {exc}",
        sent=sent,
        method=call.method,
        url=shown(call.url),
    )


def _refusal(
    call: Call[Any], status: int, body: bytes, headers: Mapping[str, str]
) -> ApiError:
    return errors.from_answer(
        status,
        body,
        headers,
        method=call.method,
        url=shown(call.url),
        now=time.time(),
    )


def _value(call: Call[T], status: int, body: bytes, headers: Mapping[str, str]) -> T:
    if not 200 <= status < 300:
        raise _refusal(call, status, body, headers)
    try:
        if call.read_whole is not None:
            return call.read_whole(body, headers)
        return call.read(body)
    except errors.UnclearAnswer as exc:
        exc.method, exc.url = call.method, shown(call.url)
        raise


class _Masked(httpx.URL):
    """
    An address whose text, which httpx logs, has no user, password or query. The query
    of an upload's address is a capability: who knows it may write to the upload.
    """

    def __str__(self) -> str:
        return shown(super().__str__())


def tls() -> ssl.SSLContext:
    """
    The TLS context that all clients of the process share. To load the certificates
    takes 30 ms; httpx would load them for each client anew.
    """
    return _tls(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@cache
def _tls(cert_file: str | None, cert_dir: str | None) -> ssl.SSLContext:
    """A context for these values of the two variables that httpx reads."""
    return httpx.create_ssl_context()


def _made(kind: Callable[..., U], args: Mapping[str, Any] | None, name: str) -> U:
    """An httpx client, made with the caller's arguments if there are any."""
    if not args:
        return kind(verify=tls())
    try:
        return kind(**args)
    except TypeError as exc:
        raise ValueError(f"http_options.{name}: {exc}") from exc


class Transport:
    """
    Runs flows with blocking calls; threads may share one.

    Args:
        signer: signs requests; None sends no credentials.
        sleep: waits, in seconds.
    """

    def __init__(
        self,
        options: HttpOptions,
        signer: Signer | None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._signer = signer
        self._sleep = sleep
        self._owned = options.httpx_client is None
        args = options.client_args if self._owned else None
        self._http: httpx.Client = options.httpx_client or _made(
            httpx.Client, args, "client_args"
        )
        self._outgoing = _Outgoing(options, args)

    def run(self, flow: Flow[T]) -> T:
        """Runs the steps of a flow in order, and returns its value."""
        try:
            step = next(flow)
            while True:
                try:
                    result = self._do(step)
                except Exception as exc:
                    step = flow.throw(exc)
                else:
                    step = flow.send(result)
        except StopIteration as end:
            value: T = end.value
            return value

    def _do(self, step: Any) -> Any:
        match step:
            case Call():
                return self.send(step)
            case Pause(seconds=seconds):
                return self._sleep(seconds)
            case Work(run=run) | Notify(run=run):
                return run()

    def send(self, call: Call[T]) -> T:
        """
        Sends a call, again where that is allowed, and returns the value of its answer.

        Raises:
            BatchesError: the last error.
        """
        return self._repeating(self._send_once, call)

    def _repeating(self, send: Callable[[Call[T]], U], call: Call[T]) -> U:
        attempt = 1
        while True:
            try:
                return send(call)
            except BatchesError as exc:
                pause = self._outgoing.pause(attempt, exc, call)
                if pause is None:
                    raise
            self._sleep(pause)
            attempt += 1

    def _send_once(self, call: Call[T]) -> T:
        request = self._outgoing.request(call, self._signed(call), self._http)
        try:
            response = self._http.send(request)
        except httpx.HTTPError as exc:
            raise _no_answer(exc, call) from exc
        return _value(call, response.status_code, response.content, response.headers)

    def stream(self, call: Call[Any]) -> Iterator[bytes]:
        """
        The body of the answer, piece by piece; the call's reader isn't used. The call
        is repeated like any other, but not once the answer has begun.
        """
        response = self._repeating(self._begin, call)
        try:
            yield from response.iter_bytes()
        except httpx.HTTPError as exc:
            raise _no_answer(exc, call) from exc
        finally:
            response.close()

    def _begin(self, call: Call[Any]) -> httpx.Response:
        request = self._outgoing.request(call, self._signed(call), self._http)
        try:
            response = self._http.send(request, stream=True)
            if response.is_success:
                return response
            try:
                body = response.read()
            finally:
                response.close()
        except httpx.HTTPError as exc:
            raise _no_answer(exc, call) from exc
        raise _refusal(call, response.status_code, body, response.headers)

    def _signed(self, call: Call[Any]) -> Mapping[str, str]:
        return self._signer.headers() if self._signer and call.signed else {}

    def close(self) -> None:
        """Closes the connections, unless the httpx client was the caller's."""
        if self._owned:
            self._http.close()


class AsyncTransport:
    """
    Runs flows on the running event loop, and blocking steps in threads.

    A connection belongs to the loop that made it, so each loop has its own.
    """

    def __init__(self, options: HttpOptions, signer: Signer | None) -> None:
        self._signer = signer
        self._given: httpx.AsyncClient | None = options.httpx_async_client
        self._args = options.async_client_args if self._given is None else None
        self._by_loop: WeakKeyDictionary[
            asyncio.AbstractEventLoop, httpx.AsyncClient
        ] = WeakKeyDictionary()
        self._outgoing = _Outgoing(options, self._args)

    @property
    def _http(self) -> httpx.AsyncClient:
        if self._given is not None:
            return self._given
        loop = asyncio.get_running_loop()
        if loop not in self._by_loop:
            self._by_loop[loop] = _made(
                httpx.AsyncClient, self._args, "async_client_args"
            )
        return self._by_loop[loop]

    async def run(self, flow: Flow[T]) -> T:
        """Runs the steps of a flow in order, and returns its value."""
        try:
            step = next(flow)
            while True:
                try:
                    result = await self._do(step)
                except Exception as exc:
                    step = flow.throw(exc)
                else:
                    step = flow.send(result)
        except StopIteration as end:
            value: T = end.value
            return value

    async def _do(self, step: Any) -> Any:
        match step:
            case Call():
                return await self.send(step)
            case Pause(seconds=seconds):
                return await asyncio.sleep(seconds)
            case Work(run=run):
                return await asyncio.to_thread(run)
            case Notify(run=run):
                result = run()
                return await result if inspect.isawaitable(result) else result

    async def send(self, call: Call[T]) -> T:
        """Like Transport.send."""
        attempt = 1
        while True:
            try:
                return await self._send_once(call)
            except BatchesError as exc:
                pause = self._outgoing.pause(attempt, exc, call)
                if pause is None:
                    raise
            await asyncio.sleep(pause)
            attempt += 1

    async def _send_once(self, call: Call[T]) -> T:
        request = self._outgoing.request(call, await self._signed(call), self._http)
        try:
            response = await self._http.send(request)
        except httpx.HTTPError as exc:
            raise _no_answer(exc, call) from exc
        return _value(call, response.status_code, response.content, response.headers)

    async def _signed(self, call: Call[Any]) -> Mapping[str, str]:
        if not self._signer or not call.signed:
            return {}
        if self._signer.ready():
            return self._signer.headers()
        return await asyncio.to_thread(self._signer.headers)

    async def close(self) -> None:
        """Closes this loop's connections, unless the httpx client was the caller's."""
        mine = self._by_loop.pop(asyncio.get_running_loop(), None)
        if mine is not None:
            await mine.aclose()
