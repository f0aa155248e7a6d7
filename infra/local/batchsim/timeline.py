"""Planned actions, which run when the clock reaches their time."""

import heapq
import itertools
import logging
import threading
from collections.abc import Callable
from datetime import datetime

from batchsim.clock import Clock

log = logging.getLogger(__name__)

#: Called with the time at which it was due, which is not after the clock's time.
Action = Callable[[datetime], None]

WORKERS = 4


class Timeline:
    """
    Runs each action once the clock has reached its time, earliest first, on threads.

    An action may plan further ones, even ones that are due already: if the clock jumps
    over the start and the end of a job, both happen in order.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: list[tuple[datetime, int, Action]] = []
        self._count = itertools.count()
        self._busy = 0
        self._closed = False
        self._changed = threading.Condition()
        clock.on_advance(self.drain)
        for number in range(WORKERS):
            # Daemons: a large running job must not keep a stopped process alive.
            name = f"batchsim-{number}"
            threading.Thread(target=self._work, name=name, daemon=True).start()

    def at(self, due: datetime, action: Action) -> None:
        """Plan `action` for the time `due`."""
        with self._changed:
            item = (due, next(self._count), action)
            heapq.heappush(self._due, item)
            # Threads wait only for the earliest action.
            if self._due[0] is item:
                self._changed.notify_all()

    @property
    def idle(self) -> bool:
        """True if every action that is due has been done."""
        with self._changed:
            return self._idle()

    def drain(self) -> None:
        """Wait until every action that is due has been done."""
        with self._changed:
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closed or self._idle())

    def clear(self) -> None:
        """Forget all actions that haven't begun."""
        with self._changed:
            self._due.clear()
            self._changed.notify_all()

    def close(self) -> None:
        """Begin no more actions."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _idle(self) -> bool:
        return not self._busy and not self._ready()

    def _ready(self) -> bool:
        return bool(self._due) and self._due[0][0] <= self._clock.now()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._closed and not self._ready():
                    head = self._due[0][0] if self._due else None
                    wait = self._clock.wall_seconds_until(head) if head else None
                    self._changed.wait(wait)
                if self._closed:
                    return
                due, _, action = heapq.heappop(self._due)
                self._busy += 1
            try:
                action(due)
            except Exception:
                # One broken job must not block others.
                log.exception("an action of the timeline failed")
            finally:
                with self._changed:
                    self._busy -= 1
                    self._changed.notify_all()
