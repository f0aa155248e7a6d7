"""Reads of more than one job: by phase, by time, by queue, and counts."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import chain
from typing import Any

from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.moves import MOVES
from batchdrop.jobs.polled import Stage, due
from batchdrop.jobs.record import VERSION
from batchdrop.ledger.documents import (
    Documents,
    answered,
    by_pages,
    compare,
    job_from,
    readable,
)

#: The phases of jobs that are not over.
UNFINISHED = [phase for phase, after in MOVES.items() if after]
#: Page size of reads of waiting jobs.
WAITING_PAGE = 100
#: Page size of reads by a policy's time.
POLICY_PAGE = 100
#: Page size of reads of due jobs.
DUE_PAGE = 100


class Queries(Documents):
    """Nothing here writes."""

    def submitted_jobs(self, endpoint: str, after: str = "") -> Iterator[Job]:
        """
        The submitted jobs of an endpoint, ordered by id. Starts behind the id `after`
        and then wraps around to the first.
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

    def outdated_jobs(self) -> list[str]:
        """The ids of some unfinished jobs whose documents are of an earlier version."""
        query = (
            self._jobs()
            .where(filter=compare("v", "==", VERSION - 1))
            .where(filter=compare("phase", "in", UNFINISHED))
            .limit(3)
        )
        return [snapshot.id for snapshot in query.select([]).stream()]

    def stages_due(self, now: datetime) -> set[Stage]:
        """
        The stages of a tick that have something to do with a job now. Reads no more
        documents than there are stages: if that many jobs are due, it is all of them.
        """
        query = self._jobs().where(filter=compare("tick_at", "<=", now))
        found = query.order_by("tick_at").limit(len(Stage)).get()
        if len(found) == len(Stage):
            return {*Stage}
        # A part's common fields don't matter here.
        return {stage for job in readable(found, job_from) for stage in due(job, now)}

    def timed_out_jobs(self, now: datetime) -> Iterator[Job]:
        """Submitted jobs that have run for longer than `cancel_after`."""
        return self._past(Phase.SUBMITTED, "cancel_at", now)

    def stalled_jobs(self, now: datetime) -> Iterator[Job]:
        """Submitted jobs in one state for too long, which is not announced yet."""
        return self._past(Phase.SUBMITTED, "stall_at", now)

    def jobs_to_delete(
        self, now: datetime, cursor: Mapping[str, Any] | None = None
    ) -> Iterator[Job]:
        """
        Ended jobs whose batches are due to be deleted at the API. Starts behind the
        `delete_at` and `id` of the cursor and then wraps around to the first.
        """
        if not cursor:
            return self._past(Phase.ENDED, "delete_at", now)
        last = {"delete_at": cursor["delete_at"], "__name__": self._job(cursor["id"])}
        return chain(
            self._past(Phase.ENDED, "delete_at", now, after=last),
            self._past(Phase.ENDED, "delete_at", now, until=last),
        )

    def jobs_to_cancel(self) -> list[Job]:
        """
        Submitted jobs with a cancel request that the API has not received yet, and
        split jobs with one that not all parts have received.
        """
        query = (
            self._jobs()
            .where(filter=compare("phase", "in", [Phase.SUBMITTED, Phase.SPLIT]))
            .where(filter=compare("cancel_request.cancel", "==", True))
            .where(filter=compare("cancel_request.sent_at", "==", None))
        )
        return list(readable(query.stream(), self._read))

    def open_job_count(self, queue: str | None = None) -> int:
        """How many submitted jobs there are, in one queue or in all."""
        conditions = [compare("phase", "==", Phase.SUBMITTED)]
        if queue is not None:
            conditions.append(compare("queue", "==", queue))
        return self._count(*conditions)

    def arrival_count(self, since: datetime, until: datetime, most: int) -> int:
        """How many jobs were created from `since` to before `until`; at most `most`."""
        return self._count(
            compare("created_at", ">=", since),
            compare("created_at", "<", until),
            most=most,
        )

    def oldest_open_jobs(self, n: int) -> list[Job]:
        """The `n` submitted jobs whose batches were created first."""
        query = (
            self._jobs()
            .where(filter=compare("phase", "==", Phase.SUBMITTED))
            .order_by("batch.create_time")
            .limit(n)
        )
        return list(readable(query.stream(), self._read))

    def open_job_ids(self) -> set[str]:
        """The ids of all submitted jobs. Reads no other field."""
        query = self._jobs().where(filter=compare("phase", "==", Phase.SUBMITTED))
        return {snapshot.id for snapshot in query.select([]).stream()}

    def get_all(self, job_ids: Iterable[str]) -> list[Job]:
        """The jobs with these ids; ids without a job are skipped."""
        references = [self._job(job_id) for job_id in job_ids]
        if not references:
            return []
        found = self._connect().get_all(references)
        return list(readable((one for one in found if one.exists), self._read))

    def jobs_with_prefix(self, prefix: str, most: int) -> list[Job]:
        """The jobs whose ids begin with this, at most `most`, ordered by id."""
        query = (
            self._jobs()
            .order_by("__name__")
            .start_at({"__name__": self._job(prefix)})
            # No character of an id sorts behind "z".
            .end_before({"__name__": self._job(f"{prefix}{{")})
            .limit(most)
        )
        return list(readable(query.stream(), self._read))

    def known_ids(self, job_ids: Iterable[str]) -> set[str]:
        """Those of these ids that have a job."""
        references = [self._job(job_id) for job_id in job_ids]
        found = self._connect().get_all(references, field_paths=["v"])
        return {snapshot.id for snapshot in found if snapshot.exists}

    def due_jobs(self, now: datetime) -> Iterator[Job]:
        """Jobs whose worker stopped or whose next step is due, oldest first."""
        unsent = [Phase.ARRIVED, Phase.PREPARED, Phase.SUBMITTING]
        query = (
            self._jobs()
            .where(filter=compare("phase", "in", unsent))
            .where(filter=compare("due", "<=", now))
            .order_by("due")
        )
        return by_pages(query, DUE_PAGE, self._read)

    def jobs_to_collect(self, now: datetime, most: int) -> list[Job]:
        """Jobs whose answers are due to be collected, at most `most`, oldest first."""
        query = (
            self._jobs()
            .where(filter=compare("collecting.due", "<=", now))
            .order_by("collecting.due")
            .limit(most)
        )
        return list(readable(query.stream(), self._read))

    def jobs_awaiting(self, most: int, after: str = "") -> list[Job]:
        """
        Split jobs whose parts are not over, or not done, and jobs whose rows go again,
        at most `most`, ordered by id. Starts behind the id `after`.
        """
        query = (
            self._jobs()
            .where(filter=compare("awaits", "in", ["ends", "results", "round"]))
            .order_by("__name__")
            .limit(most)
        )
        query = query.start_after({"__name__": self._job(after)}) if after else query
        return list(readable(query.stream(), self._read))

    def undone_part_count(self, split_job: str) -> int:
        """How many parts of a split job are not done."""
        return self._count(compare("undone_of", "==", split_job))

    def held_part_ids(self, split_job: str, most: int) -> list[str]:
        """The ids of parts that wait for a person, at most `most`."""
        query = self._jobs().where(filter=compare("held_of", "==", split_job))
        found = query.select([]).limit(most).stream(**self._in_time)
        return [each.id for each in found]

    def unsettled_jobs(self, most: int) -> list[Job]:
        """Jobs that are done, and have more or less reserved than they have cost."""
        query = self._jobs().where(filter=compare("unsettled", "==", True)).limit(most)
        return list(readable(query.stream(), self._read))

    def waiting_lines(self) -> Iterator[str]:
        """The lines with waiting jobs. Reads one document for each."""
        return self._different(self._jobs(), "waiting_in")

    def waiting_jobs(self, line: str) -> Iterator[Job]:
        """The jobs that wait in a line, in order of arrival."""
        query = (
            self._jobs()
            .where(filter=compare("waiting_in", "==", line))
            .order_by("created_at")
        )
        return by_pages(query, WAITING_PAGE, self._read)

    def jobs_ahead(self, line: str, created_at: datetime) -> int:
        """
        How many jobs wait in a line that arrived before then.

        Raises:
            Unavailable: Firestore gave no answer.
        """
        with answered(f"the jobs that wait in {line}"):
            return self._count(
                compare("waiting_in", "==", line),
                compare("created_at", "<", created_at),
            )

    def _past(
        self,
        phase: Phase,
        field: str,
        now: datetime,
        after: dict[str, Any] | None = None,
        until: dict[str, Any] | None = None,
    ) -> Iterator[Job]:
        """A phase's jobs whose time in `field` has come."""
        query = (
            self._jobs()
            .where(filter=compare("phase", "==", phase))
            .where(filter=compare(field, "<=", now))
            .order_by(field)
            .order_by("__name__")
        )
        query = query.start_after(after) if after else query
        query = query.end_at(until) if until else query
        return by_pages(query, POLICY_PAGE, self._read)

    def _count(self, *conditions: Any, most: int | None = None) -> int:
        query = self._jobs()
        for condition in conditions:
            query = query.where(filter=condition)
        if most is not None:
            query = query.limit(most)
        return self._counted(query)
