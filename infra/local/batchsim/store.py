"""The jobs batchsim knows of, in memory."""

import hashlib
import secrets
import string
import threading
from bisect import bisect_left
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from batchsim.jobs import Job

_TICK = timedelta(microseconds=1)


class Store:
    """Jobs by name and in the order they were made; deleted ones stay on record."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._all: list[Job] = []
        self._by_name: dict[str, Job] = {}
        self._by_parent: dict[str, list[Job]] = {}
        self._last: datetime | None = None
        #: Long-running operations by name; all are done at once.
        self.operations: dict[str, dict[str, Any]] = {}

    def next_seq(self) -> int:
        """The number of the next job: later ones have larger numbers."""
        return len(self._all) + 1

    def creation_time(self, now: datetime) -> datetime:
        """The first time from `now` on that no other job has as its creation time."""
        # Output directories are named after this time. On a clock that stands still,
        # equal times would make them collide.
        with self.lock:
            if self._last and now <= self._last:
                now = self._last + _TICK
            self._last = now
            return now

    def add(self, job: Job) -> None:
        with self.lock:
            self._all.append(job)
            self._by_name[job.name] = job
            self._by_parent.setdefault(job.parent, []).append(job)

    def get(self, name: str) -> Job | None:
        """The job of that full name, unless it was deleted."""
        job = self._by_name.get(name)
        return None if job is None or job.deleted else job

    def newest_first(self, parent: str, before: int | None = None) -> Iterator[Job]:
        """Jobs under a parent that haven't been deleted; those made `before` one."""
        with self.lock:
            jobs = self._by_parent.get(parent, [])
            end = None if before is None else bisect_left(jobs, before, key=_seq)
            jobs = jobs[:end]
        return (job for job in reversed(jobs) if not job.deleted)

    def ever(self) -> list[Job]:
        """Every job ever made, oldest first, deleted ones too."""
        with self.lock:
            return self._all[:]

    def clear(self) -> None:
        with self.lock:
            self._all.clear()
            self._by_name.clear()
            self._by_parent.clear()
            self.operations.clear()


def _seq(job: Job) -> int:
    return job.seq


def project_number(project: str) -> str:
    """The number of a project, which answers have even if the request has the id."""
    if project.isdigit():
        return project
    digest = int.from_bytes(hashlib.sha256(project.encode()).digest()[:8])
    return str(100_000_000_000 + digest % 900_000_000_000)


def vertex_id() -> str:
    """19 digits, for a job or an operation. Unique even across runs: a ledger that
    outlives this process must not mistake a new job for an old one."""
    return str(10**18 + secrets.randbelow(8 * 10**18))


def developer_id(length: int = 36) -> str:
    """Lower-case letters and digits: 36 for a batch, 12 for a file."""
    letters = string.ascii_lowercase + string.digits
    return "".join(secrets.choice(letters) for _ in range(length))
