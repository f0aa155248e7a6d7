"""Cloud Scheduler's stand-in: calls a function at a fixed interval."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import httpx

from batchdrop_local.cloud_run import new_trace

# Longer than a tick: an attempt that is given up early would overlap the next.
_TIMEOUT = 300


class Scheduler:
    """
    POSTs to `target` every `every` seconds, with Cloud Scheduler's headers.

    The next run waits for the answer of the one before. A run that fails is not
    tried again: the next one comes anyway. `log` takes a line about each failure.
    """

    def __init__(
        self, target: str, *, every: float, log: Callable[[str], None]
    ) -> None:
        self._target = target
        self._every = every
        self._log = log
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scheduler")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def stop(self) -> None:
        """Begin no more runs."""
        self._stopping.set()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        self._thread.join()

    def _run(self) -> None:
        with httpx.Client(timeout=_TIMEOUT, trust_env=False) as http:
            due = time.monotonic()
            while not self._stopping.wait(due - time.monotonic()):
                self._call(http)
                due = max(due + self._every, time.monotonic())

    def _call(self, http: httpx.Client) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        headers = {
            "user-agent": "Google-Cloud-Scheduler",
            "x-cloudscheduler": "true",
            "x-cloudscheduler-jobname": "poll",
            "x-cloudscheduler-scheduletime": at.replace("+00:00", "Z"),
            **new_trace(),
        }
        try:
            response = http.post(self._target, headers=headers)
        except httpx.TransportError as exc:
            if not self._stopping.is_set():
                self._log(f"no answer from {self._target} ({exc!r})")
        else:
            if not response.is_success:
                self._log(f"answer {response.status_code} from {self._target}")
