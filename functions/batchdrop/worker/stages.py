"""How a tick shares out its time, and sends a few requests at once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

#: So many requests are under way at once, so that a few which hang don't use up a
#: stage's time. How many a tick sends is bounded where they are sent: Vertex AI takes
#: 600 a minute for a project and region (cloud.google.com/vertex-ai/docs/quotas,
#: "Resource management (CRUD) requests").
AT_ONCE = 4


def share(now: datetime, deadline: datetime, part: float) -> datetime:
    """
    When a stage of the tick stops taking up work: it has this part of the time that
    is left. What it doesn't need is for the stages after it.
    """
    return now + max(deadline - now, now - now) * part


def few_at_once(
    ask: Callable[[T], R], items: Iterable[T]
) -> Iterator[tuple[T, "Future[R]"]]:
    """
    Asks for each item in a thread of its own, AT_ONCE at a time, and yields the items
    with their answers in the order in which these come. `items` is read in the caller's
    thread, one by one as there is room: it may end when the time is up.
    """
    left = iter(items)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        asked: dict[Future[R], T] = {}
        while True:
            for item in islice(left, AT_ONCE - len(asked)):
                asked[pool.submit(ask, item)] = item
            if not asked:
                return
            for answer in wait(asked, return_when=FIRST_COMPLETED).done:
                yield asked.pop(answer), answer


def rotated(items: Sequence[T], last: str, key: Callable[[T], str]) -> list[T]:
    """
    Items in the order of their keys, those first that follow the key `last`: what one
    tick didn't come to is first at the next.
    """
    ordered = sorted(items, key=key)
    return sorted(ordered, key=lambda item: key(item) <= last)
