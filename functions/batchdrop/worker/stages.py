"""Divides a tick's time among its stages; sends a few requests at once."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar

from batchdrop.errors import Superseded
from batchdrop.quoting import public_text

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

#: How many requests are under way at once, so that a few which hang don't use up a
#: stage's time. Each stage limits how many requests it sends in all: Vertex AI takes
#: 600 a minute for a project and region (cloud.google.com/vertex-ai/docs/quotas,
#: "Resource management (CRUD) requests").
AT_ONCE = 4


@dataclass(slots=True, kw_only=True)
class Tick:
    """One run of `poll`, or a stage of it: when it stops, and what went wrong."""

    now: Callable[[], datetime]
    deadline: datetime
    errors: list[Exception] = field(default_factory=list)  #: of all stages
    failed: set[str] = field(default_factory=set)  #: ids of jobs, of this stage
    _has_broken: bool = False

    @property
    def is_over(self) -> bool:
        """Whether its time is up."""
        return self.now() >= self.deadline

    def at_least(self, duration: timedelta) -> "Tick":
        """The same tick, with at least this much time from now on."""
        return replace(self, deadline=max(self.deadline, self.now() + duration))

    def each(self, items: Iterable[T]) -> Iterator[T]:
        """The items, until the deadline."""
        for item in items:
            if self.is_over:
                return
            yield item

    @contextmanager
    def job(self, job_id: str) -> Iterator[None]:
        """
        Keeps an error of one job from the others: it is noted, and raised when the tick
        ends. A job that another worker has moved on is skipped.
        """
        try:
            yield
        except Superseded:
            return
        except Exception as exc:
            self.note(exc, job_id)

    def note(self, exc: Exception, job_id: str) -> None:
        """Remembers an error of a job."""
        exc.add_note(f"in job {job_id}")
        log.error(
            "job failed in this tick",
            extra={
                "event": "tick.job_failed",
                "job": job_id,
                "reason": public_text(exc),
            },
        )
        self.errors.append(exc)
        self.failed.add(job_id)

    def stage(self, name: str, part: float, run: "Callable[[Tick], T]", failed: T) -> T:
        """
        Runs a stage with a part of the time that is left. A stage that fails as a whole
        is noted and doesn't hold up the next ones, unless the time is up.

        Returns:
            What the stage returns; `failed` if it failed.
        """
        if self._has_broken and self.is_over:
            return failed
        until = share(self.now(), self.deadline, part)
        try:
            return run(Tick(now=self.now, deadline=until, errors=self.errors))
        except Exception as exc:
            self._has_broken = True
            exc.add_note(f"in the stage {name} of a tick")
            log.error(
                "stage failed",
                extra={
                    "event": "tick.stage_failed",
                    "stage": name,
                    "reason": public_text(exc),
                },
            )
            self.errors.append(exc)
            return failed


def share(now: datetime, deadline: datetime, part: float) -> datetime:
    """
    When a stage of the tick stops taking up work: it has this part of the time that
    is left. The stages after it share what it doesn't need.
    """
    return now + max(deadline - now, now - now) * part


def few_at_once(
    ask: Callable[[T], R], items: Iterable[T]
) -> Iterator[tuple[T, "Future[R]"]]:
    """
    Asks for each item in a thread of its own, AT_ONCE at a time, and yields the items
    with their answers as these come in. `items` is read in the caller's thread, one by
    one as threads become free: it may end when the time is up. Where it raises, that
    comes after the answers to the requests that are under way.
    """
    left = iter(items)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        asked: dict[Future[R], T] = {}
        broken: Exception | None = None
        while True:
            try:
                for item in islice(left, AT_ONCE - len(asked)):
                    asked[pool.submit(ask, item)] = item
            except Exception as exc:
                # A generator that has raised ends at its next turn.
                broken, left = exc, iter(())
            if not asked and broken:
                raise broken
            if not asked:
                return
            for answer in wait(asked, return_when=FIRST_COMPLETED).done:
                yield asked.pop(answer), answer


def rotated(items: Sequence[T], last: str, key: Callable[[T], str]) -> list[T]:
    """
    Items in the order of their keys, from the first after the key `last`: what one tick
    didn't reach comes first in the next.
    """
    ordered = sorted(items, key=key)
    return sorted(ordered, key=lambda item: key(item) <= last)
