"""batchsim's clock: real, scaled, or moved by hand."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

REAL = 1.0
MANUAL = 0.0


class Clock:
    """
    A clock that runs `speed` seconds a second from `start` (default: now, UTC).

        Clock()              as the wall's
        Clock(speed=3600)    an hour a second
        Clock(speed=0)       stands still until it is advanced

    Any of them can be advanced; none goes back. Safe to use from several threads.
    """

    def __init__(self, speed: float = REAL, start: datetime | None = None) -> None:
        if speed < 0:
            raise ValueError(f"speed is {speed}: a clock can't go back; give 0 or more")
        self.speed = speed
        self._origin = start or datetime.now(UTC)
        self._began = time.monotonic()
        self._skipped = timedelta()
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []

    @property
    def manual(self) -> bool:
        """Whether time moves only by `advance`."""
        return self.speed == MANUAL

    def now(self) -> datetime:
        """The time, in UTC."""
        with self._lock:
            ran = (time.monotonic() - self._began) * self.speed
            return self._origin + self._skipped + timedelta(seconds=ran)

    def advance(
        self, seconds: float = 0, *, minutes: float = 0, hours: float = 0
    ) -> None:
        """Jumps ahead. Returns once everything due by then has happened."""
        step = timedelta(seconds=seconds, minutes=minutes, hours=hours)
        if step < timedelta():
            raise ValueError(f"can't advance by {step}: a clock can't go back")
        with self._lock:
            self._skipped += step
        for listener in self._listeners:
            listener()

    def wall_seconds_until(self, at: datetime) -> float | None:
        """Real seconds until `at`; None on a clock that stands still."""
        if self.manual:
            return None
        return max(0.0, (at - self.now()).total_seconds() / self.speed)

    def on_advance(self, listener: Callable[[], None]) -> None:
        """Calls `listener` after each jump, on the thread that jumped."""
        self._listeners.append(listener)
