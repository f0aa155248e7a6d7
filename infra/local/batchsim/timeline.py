"""What is to happen, and when: actions that run once the clock has reached them."""

import heapq
import itertools
import logging
import threading
from collections.abc import Callable
from datetime import datetime

from batchsim.clock import Clock

log = logging.getLogger(__name__)

#: Is handed the time it was due, which is at or before the clock's.
Action = Callable[[datetime], None]

WORKERS = 4


class Timeline:
    """
    Runs each action once the clock has reached its time, earliest first, on threads.

    An action may put further ones on the line, also ones that are due already: a jump
    of the clock over both the start and the end of a job makes both happen, in order.
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
            # Daemons: a large job at work must not keep a stopped process alive.
            name = f"batchsim-{number}"
            threading.Thread(target=self._work, name=name, daemon=True).start()

    def at(self, due: datetime, action: Action) -> None:
        """Have `action` run once it is `due`."""
        with self._changed:
            item = (due, next(self._count), action)
            heapq.heappush(self._due, item)
            # Whoever waits, waits for the first on the line.
            if self._due[0] is item:
                self._changed.notify_all()

    @property
    def idle(self) -> bool:
        """Whether all that is due by now has been done."""
        with self._changed:
            return self._idle()

    def drain(self) -> None:
        """Wait until all that is due by now has been done."""
        with self._changed:
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closed or self._idle())

    def clear(self) -> None:
        """Forget all that hasn't begun."""
        with self._changed:
            self._due.clear()
            self._changed.notify_all()

    def close(self) -> None:
        """Begin nothing more."""
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
                # One broken job holds up no other.
                log.exception("an action of the timeline failed")
            finally:
                with self._changed:
                    self._busy -= 1
                    self._changed.notify_all()
