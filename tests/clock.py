"""Time for tests: it stands still until a test moves it."""

from datetime import UTC, datetime, timedelta


class Clock:
    """Called like `utcnow`; `clock.time += timedelta(...)` is how time goes by."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def advance(self, **duration: float) -> None:
        self.time += timedelta(**duration)
