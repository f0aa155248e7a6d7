"""The requests to batchsim, with their times."""

import threading
from collections import deque
from typing import Any

#: Beyond this number the oldest entries are dropped; numbers continue.
KEPT = 100_000


class Journal:
    """The last requests, oldest first, each with its number `n` from 1."""

    def __init__(self) -> None:
        self._entries: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._lock = threading.Lock()
        self._total = 0

    def add(self, entry: dict[str, Any]) -> None:
        with self._lock:
            self._total += 1
            self._entries.append({"n": self._total, **entry})

    def entries(self) -> list[dict[str, Any]]:
        with self._lock:
            return list(self._entries)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._total = 0
