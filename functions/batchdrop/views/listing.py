"""Pages of jobs that filters let pass, and the places of those that wait in a line."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from batchdrop.worker.stages import few_at_once

if TYPE_CHECKING:
    from batchdrop.jobs.listed import ListedJob
    from batchdrop.ledger import Ledger
    from batchdrop.options.globs import Pattern

#: With filters that have no index, pages of so many documents are read, at most so many
#: of them.
PAGE, MOST_PAGES = 100, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Jobs that passed the filters."""

    jobs: Sequence["ListedJob"]
    read: int  #: how many documents were read
    last: "ListedJob | None"  #: the last one that was looked at; None if all were


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """
    What a list is asked for. Indexes answer the state, the time, and how a name begins.
    The rest of a name and labels are held against what they answer.
    """

    state: str = ""  #: "open", "ended" or "unhealthy"; empty for any
    since: datetime | None = None
    prefix: str = ""  #: how names begin
    pattern: "Pattern | None" = None  #: of whole names
    labels: dict[str, str] = field(default_factory=dict)

    def page(
        self, ledger: "Ledger", limit: int, after: "ListedJob | None" = None
    ) -> Page:
        """Up to `limit` jobs, from the one behind `after` on."""
        size = PAGE if self.labels or self.pattern else limit
        found: list[ListedJob] = []
        read = 0
        last = after
        for jobs in self._pages(ledger, size, after):
            for job in jobs:
                read, last = read + 1, job
                if self._let_pass(job):
                    found.append(job)
                if len(found) == limit:
                    return Page(jobs=found, read=read, last=last)
            if len(jobs) < size:
                return Page(jobs=found, read=read, last=None)
        return Page(jobs=found, read=read, last=last)

    def _pages(
        self, ledger: "Ledger", size: int, after: "ListedJob | None"
    ) -> Iterator[list["ListedJob"]]:
        from batchdrop.ledger.listing import cursor_of

        at = cursor_of(after) if after else None
        for _ in range(MOST_PAGES):
            if self.prefix:
                jobs = ledger.listed_jobs_by_name(
                    self.prefix, size, self.state, self.since, at
                )
            else:
                jobs = ledger.listed_jobs(size, self.state, self.since, at)
            yield jobs
            if len(jobs) < size:
                return
            at = cursor_of(jobs[-1])

    def _let_pass(self, job: "ListedJob") -> bool:
        labels = job.spec.labels if job.spec else {}
        named = self.pattern is None or self.pattern.matches(job.source.name)
        return named and self.labels.items() <= labels.items()


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
