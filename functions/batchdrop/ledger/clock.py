"""The clock that all workers share: Firestore's."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

log = logging.getLogger(__name__)

#: Clocks that differ by no more than this count as the same.
TOLERANCE = timedelta(seconds=5)
#: A worker compares its clock with Firestore's this often.
COMPARE_EVERY = timedelta(minutes=5)


class SharedClock:
    """
    The time by Firestore's clock, on a machine whose own clock may be wrong.

    Workers write times that other workers compare with their own `now`: a lease's
    end, when a job is due, when a queue's pause ends. If each used its machine's clock,
    one that is ten minutes ahead would shut out the others for ten minutes.
    """

    def __init__(
        self, local: Callable[[], datetime], remote: Callable[[], datetime]
    ) -> None:
        """
        Args:
            local: the machine's clock.
            remote: asks Firestore for its time. If it raises, the last known difference
                stays in use; before the first answer, the difference is zero.
        """
        self._local = local
        self._remote = remote
        self._lock = threading.Lock()
        self._compared: datetime | None = None
        self._ahead = timedelta(0)  #: of Firestore's clock

    def __call__(self) -> datetime:
        with self._lock:
            now = self._local()
            if self._compared is None or abs(now - self._compared) >= COMPARE_EVERY:
                self._compared = now
                self._compare()
        return self._local() + self._ahead

    def _compare(self) -> None:
        before = self._local()
        try:
            there = self._remote()
        except Exception as exc:
            log.warning(
                "clock not compared",
                extra={"event": "clock.not_compared", "reason": repr(exc)},
            )
            return
        after = self._local()
        if before - TOLERANCE <= there <= after + TOLERANCE:
            self._ahead = timedelta(0)
            return
        self._ahead = there - (before + (after - before) / 2)
        log.error(
            "clock is wrong",
            extra={"event": "clock.wrong", "seconds": -self._ahead.total_seconds()},
        )
