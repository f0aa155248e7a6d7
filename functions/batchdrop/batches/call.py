"""
The steps of an operation as values: a call, a pause, blocking work, a callback. A
`Flow` yields them; the sync face runs it with blocking calls, the other on a loop.

    def twice(call: Call[T]) -> Flow[T]:
        yield from ask(call)
        yield Pause(1.0)
        return (yield from ask(call))
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from batchdrop.batches.types import HttpOptions

T = TypeVar("T")

#: Yields steps, receives their results, and gets their errors thrown in.
Flow = Generator["Call[Any] | Pause | Work | Notify", Any, T]


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """
    One HTTP request and the reader of its answer.

    Attributes:
        method: "GET", "POST" or "DELETE".
        url: the complete address, query included.
        read: body of the answer -> value; raises UnclearAnswer for any other body.
        body: JSON values to send, or None.
        repeatable: True if sending the call twice does no harm; it is then repeated
            after an unclear answer.
        options: of this call alone; they override the client's.
        content: bytes to send in place of a body.
        headers: of this call alone.
        signed: False sends no credentials: the address itself is a secret, and isn't
            logged.
        read_whole: in place of `read`, for answers with data in a header.
    """

    method: str
    url: str
    read: Callable[[bytes], T]
    body: Mapping[str, Any] | None = None
    repeatable: bool = True
    options: HttpOptions | None = field(default=None, repr=False)
    content: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    signed: bool = True
    read_whole: Callable[[bytes, Mapping[str, str]], T] | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """A wait, in seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """A blocking step, such as a read of a bucket; the async face uses a thread."""

    run: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Notify:
    """A call of the caller's callback; the async face awaits what it returns."""

    run: Callable[[], Any]


def ask(call: Call[T]) -> Flow[T]:
    """A flow of one call."""
    answer: T = yield call
    return answer


def dated(call: Call[T]) -> Call[tuple[T, str | None]]:
    """The call, with the `Date` header of its answer (or None) beside its value."""

    def read_whole(body: bytes, headers: Mapping[str, str]) -> tuple[T, str | None]:
        return call.read(body), headers.get("date")

    return Call(
        call.method,
        call.url,
        lambda body: read_whole(body, {}),
        body=call.body,
        repeatable=call.repeatable,
        options=call.options,
        read_whole=read_whole,
    )


def work(run: Callable[[], T]) -> Flow[T]:
    """A flow of one piece of blocking work."""
    result: T = yield Work(run)
    return result
