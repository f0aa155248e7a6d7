"""Pages of jobs that match filters, and how many jobs come before each waiting one."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from batchdrop.jobs.shown import list_of_label, list_of_route
from batchdrop.worker.stages import few_at_once

if TYPE_CHECKING:
    from batchdrop.jobs.listed import ListedJob
    from batchdrop.ledger import Ledger
    from batchdrop.options.globs import Pattern

#: How many documents are read at once, and at most, with filters that have no index.
PAGE, MOST = 100, 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Jobs that passed the filters."""

    jobs: Sequence["ListedJob"]
    read: int  #: how many documents were read
    last: "ListedJob | None"  #: the last one that was looked at; None if all were


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """
    What a list is asked for. Firestore has an index of each list's jobs by time, and by
    how their names begin; one list is asked of it. The rest of a name, and whether a
    job is in the other lists, are held against what it answers.
    """

    state: str = ""  #: "open", "ended" or "unhealthy"; empty for any
    since: datetime | None = None
    name: str = ""  #: a pattern of whole names
    labels: Mapping[str, str] = field(default_factory=dict)
    route: str = ""
    pattern: "Pattern | None" = field(init=False)

    def __post_init__(self) -> None:
        """
        Raises:
            ValueError: the name is no pattern.
        """
        from batchdrop.options.globs import Pattern

        pattern = Pattern.parse(self.name) if self.name else None
        object.__setattr__(self, "pattern", pattern)

    @property
    def lists(self) -> list[str]:
        """The lists that have a job which passes, the shortest one first, probably."""
        labels = [list_of_label(key, text) for key, text in self.labels.items()]
        route = [list_of_route(self.route)] if self.route else []
        return labels + route + ([self.state] if self.state else [])

    @property
    def prefix(self) -> str:
        """How each name begins that passes."""
        return re.split(r"[*?[]", self.name, maxsplit=1)[0]

    @property
    def read_more_than_they_show(self) -> bool:
        """Whether documents are read of jobs that do not pass."""
        is_prefix = self.name in ("", f"{self.prefix}**")
        return len(self.lists) > 1 or not is_prefix

    def page(
        self,
        ledger: "Ledger",
        limit: int,
        after: "ListedJob | None" = None,
        most: int | None = None,
    ) -> Page:
        """
        Up to `limit` jobs, from the one behind `after` on.

        Args:
            most: how many documents may be read; more than `limit`.
        """
        most = MOST if most is None else most
        found: list[ListedJob] = []
        read, last = 0, after
        while True:
            # One more than is shown says whether there are older ones.
            size = PAGE if self.read_more_than_they_show else limit + 1
            size = min(size, most - read)
            jobs = self._read(ledger, size, last)
            read += len(jobs)
            for n, job in enumerate(jobs, 1):
                last = job
                if self._let_pass(job):
                    found.append(job)
                if len(found) == limit:
                    is_end = n == len(jobs) < size
                    return Page(jobs=found, read=read, last=None if is_end else last)
            if len(jobs) < size:
                return Page(jobs=found, read=read, last=None)
            if read >= most:
                return Page(jobs=found, read=read, last=last)

    def _read(
        self, ledger: "Ledger", size: int, after: "ListedJob | None"
    ) -> list["ListedJob"]:
        from batchdrop.ledger.listing import cursor_of

        at = cursor_of(after) if after else None
        first = next(iter(self.lists), "")
        if self.prefix:
            return ledger.listed_jobs_by_name(self.prefix, size, first, self.since, at)
        return ledger.listed_jobs(size, first, self.since, at)

    def _let_pass(self, job: "ListedJob") -> bool:
        is_named = self.pattern is None or self.pattern.matches(job.source.name)
        return is_named and {*self.lists} <= {*job.listed_as}


def with_places(
    ledger: "Ledger", jobs: Sequence["ListedJob"], most: int = PAGE
) -> list["ListedJob"]:
    """
    The jobs with how many are ahead of them now, where they wait in a line: their
    documents have what was so when they began to wait. One count each, for at most
    `most` of them; that of the others is left out.
    """

    def count(job: "ListedJob") -> int:
        return ledger.jobs_ahead(job.waiting_in, job.created_at)

    waiting = [job for job in jobs if _has_place(job)]
    places: dict[str, int | None] = dict.fromkeys(job.id for job in waiting)
    for job, found in few_at_once(count, waiting[:most]):
        places[job.id] = found.result()
    return [
        replace(job, waiting_for=replace(job.waiting_for, ahead=places[job.id]))
        if job.waiting_for and job.id in places
        else job
        for job in jobs
    ]


def _has_place(job: "ListedJob") -> bool:
    waits = job.waiting_for
    return bool(job.waiting_in and waits and waits.ahead is not None)
