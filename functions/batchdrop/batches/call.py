"""A request as a value: what to send, and how to read what comes back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from batchdrop.batches.types import HttpOptions

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """
    One HTTP request and the reader of its answer.

    Attributes:
        method: "GET", "POST" or "DELETE".
        url: the complete address, query included.
        read: body of the answer -> value; raises UnclearAnswer if it can't.
        body: JSON values to send, or None for no body at all.
        repeatable: True if sending it twice does no harm, so that it may be sent again
            after an unclear answer.
        options: how to send this one, over the client's own options.
    """

    method: str
    url: str
    read: Callable[[bytes], T]
    body: Mapping[str, Any] | None = None
    repeatable: bool = True
    options: HttpOptions | None = field(default=None, repr=False)
