"""What the ledger is asked: jobs by phase, by time, by queue, and how many."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import chain
from typing import Any

from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Phase
from batchdrop.ledger.documents import Documents, compare, readable

#: How many waiting jobs are read at once.
WAITING_PAGE = 100
#: How many jobs that a policy is about are read at once.
POLICY_PAGE = 100
#: How many jobs to resume one call hands out.
DUE_PAGE = 100


class Queries(Documents):
    """The reads of more than one job."""

    def submitted_jobs(self, endpoint: str, after: str = "") -> Iterator[Job]:
        """
        All jobs that the service at a place has and isn't done with, as we know, by
        their ids: first those that follow the id `after`.
        """
        query = (
            self._jobs()
            .where(filter=compare("phase", "==", Phase.SUBMITTED))
            .where(filter=compare("endpoint", "==", endpoint))
            .order_by("__name__")
        )
        if not after:
            return readable(query.stream(), self._read)
        last = {"__name__": self._job(after)}
        found = chain(query.start_after(last).stream(), query.end_at(last).stream())
        return readable(found, self._read)

    def timed_out_jobs(self, now: datetime) -> Iterator[Job]:
        """Open jobs that have run for as long as they may."""
        return self._past(Phase.SUBMITTED, "cancel_at", now)

    def stalled_jobs(self, now: datetime) -> Iterator[Job]:
        """Open jobs that have stood still for long, of which nobody was told."""
        return self._past(Phase.SUBMITTED, "stall_at", now)

    def jobs_to_delete(
        self, now: datetime, cursor: Mapping[str, Any] | None = None
    ) -> Iterator[Job]:
        """
        Jobs that ended long ago, and whose batches are to go at the service: first
        those that follow the `delete_at` and `id` of a cursor.
        """
        if not cursor:
            return self._past(Phase.ENDED, "delete_at", now)
        last = {"delete_at": cursor["delete_at"], "__name__": self._job(cursor["id"])}
        return chain(
            self._past(Phase.ENDED, "delete_at", now, after=last),
            self._past(Phase.ENDED, "delete_at", now, until=last),
        )

    def jobs_to_cancel(self) -> list[Job]:
        """The open jobs whose batches the service has not been asked to cancel yet."""
        return self._unsent_cancels(Phase.SUBMITTED)

    def split_jobs_to_cancel(self) -> list[Job]:
        """The split jobs whose parts were not all told yet that a cancel is wanted."""
        return self._unsent_cancels(Phase.SPLIT)

    def open_job_count(self, queue: str | None = None) -> int:
        """How many jobs the service has and isn't done with, in a queue or in all."""
        conditions = [compare("phase", "==", Phase.SUBMITTED)]
        if queue is not None:
            conditions.append(compare("queue", "==", queue))
        return self._count(*conditions)

    def arrival_count(self, since: datetime, until: datetime, most: int) -> int:
        """How many jobs came between, whatever became of them; `most` if more did."""
        return self._count(
            compare("created_at", ">=", since),
            compare("created_at", "<", until),
            most=most,
        )

    def oldest_open_jobs(self, n: int) -> list[Job]:
        """The open jobs whose batches were made first."""
        query = (
            self._jobs()
            .where(filter=compare("phase", "==", Phase.SUBMITTED))
            .order_by("batch.create_time")
            .limit(n)
        )
        return list(readable(query.stream(), self._read))

    def open_job_ids(self) -> set[str]:
        """The ids of all open jobs; nothing else of their documents is read."""
        query = self._jobs().where(filter=compare("phase", "==", Phase.SUBMITTED))
        return {snapshot.id for snapshot in query.select([]).stream()}

    def get_all(self, job_ids: Iterable[str]) -> list[Job]:
        """The jobs of these ids, as far as there are any."""
        references = [self._job(job_id) for job_id in job_ids]
        if not references:
            return []
        found = self._connect().get_all(references)
        return list(readable((one for one in found if one.exists), self._read))

    def known_ids(self, job_ids: Iterable[str]) -> set[str]:
        """Those of these ids that the ledger has a job of."""
        references = [self._job(job_id) for job_id in job_ids]
        found = self._connect().get_all(references, field_paths=["v"])
        return {snapshot.id for snapshot in found if snapshot.exists}

    def due_jobs(self, now: datetime) -> Iterator[Job]:
        """Jobs whose worker is gone, longest first; read a page at a time."""
        unsent = [Phase.ARRIVED, Phase.PREPARED, Phase.SUBMITTING]
        query = (
            self._jobs()
            .where(filter=compare("phase", "in", unsent))
            .where(filter=compare("due", "<=", now))
            .order_by("due")
        )
        return self._by_pages(query, DUE_PAGE)

    def waiting_queues(self) -> Iterator[str]:
        """The queues in which jobs wait; one document is read for each."""
        ordered = self._jobs().order_by("waiting_in").limit(1)
        last = ""
        while found := ordered.where(filter=compare("waiting_in", ">", last)).get():
            last = found[0].get("waiting_in")
            yield last

    def waiting_jobs(self, queue: str) -> Iterator[Job]:
        """Jobs that wait for room in a queue, first come first."""
        query = (
            self._jobs()
            .where(filter=compare("waiting_in", "==", queue))
            .order_by("created_at")
        )
        return self._by_pages(query, WAITING_PAGE)

    def _unsent_cancels(self, phase: Phase) -> list[Job]:
        """A phase's jobs that somebody wants cancelled, and nothing was done yet."""
        query = (
            self._jobs()
            .where(filter=compare("phase", "==", phase))
            .where(filter=compare("cancel_request.cancel", "==", True))
            .where(filter=compare("cancel_request.sent_at", "==", None))
        )
        return list(readable(query.stream(), self._read))

    def _past(
        self,
        phase: Phase,
        field: str,
        now: datetime,
        after: dict[str, Any] | None = None,
        until: dict[str, Any] | None = None,
    ) -> Iterator[Job]:
        """A phase's jobs that have come to a time that a policy has set."""
        query = (
            self._jobs()
            .where(filter=compare("phase", "==", phase))
            .where(filter=compare(field, "<=", now))
            .order_by(field)
            .order_by("__name__")
        )
        query = query.start_after(after) if after else query
        query = query.end_at(until) if until else query
        return self._by_pages(query, POLICY_PAGE)

    def _by_pages(self, query: Any, size: int) -> Iterator[Job]:
        # By a cursor: those that fail don't stand in the way of the others.
        page = query.limit(size).get()
        while page:
            yield from readable(page, self._read)
            if len(page) < size:
                return
            page = query.start_after(page[-1]).limit(size).get()

    def _count(self, *conditions: Any, most: int | None = None) -> int:
        query = self._jobs()
        for condition in conditions:
            query = query.where(filter=condition)
        if most is not None:
            query = query.limit(most)
        ((result,),) = query.count().get()
        return int(result.value)
