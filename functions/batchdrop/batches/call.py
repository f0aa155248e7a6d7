"""
What the client does, as values: a request, a pause, a piece of blocking work; and a
`Flow` of them, which both faces carry out, one with threads and one with a loop.

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

#: Steps go out, their results come back in, an error is thrown in.
Flow = Generator["Call[Any] | Pause | Work | Tell", Any, T]


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """
    One HTTP request and the reader of its answer.

    Attributes:
        method: "GET", "POST" or "DELETE".
        url: the complete address, query included.
        read: body of the answer -> value; raises UnclearAnswer if it can't.
        body: JSON values to send, or None.
        repeatable: True if sending it twice does no harm, so that it may be sent again
            after an unclear answer.
        options: how to send this one, over the client's own options.
        content: bytes to send in place of a body.
        headers: of this call alone.
        signed: False leaves the credentials out.
        read_whole: in place of `read`, for answers that say something in a header.
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
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """Something that blocks, such as reading a bucket; the async face uses a thread."""

    run: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Tell:
    """Call a callback of the caller's; the async face awaits what it returns."""

    run: Callable[[], Any]


def ask(call: Call[T]) -> Flow[T]:
    """A flow of one call."""
    answer: T = yield call
    return answer


def dated(call: Call[T]) -> Call[tuple[T, str | None]]:
    """The same call, whose value comes with the `Date` of its answer, if it has one."""

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
