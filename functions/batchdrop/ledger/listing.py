"""Lists of jobs for people, the newest first, by the fields that a list shows."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from batchdrop.jobs.listed import ListedJob
from batchdrop.ledger.documents import Documents, compare, decode
from batchdrop.ready import ready

#: Sorts behind each name that begins with the text before it.
_LAST = "\U0010ffff"


#: What is read of a document: the histories and parts of a page would be megabytes.
_READ = (
    *("id", "phase", "source", "created_at", "updated_at", "listed_at", "listed_as"),
    *("outcome", "health", "waiting_for", "waiting_in", "progress", "rows"),
    *(f"spec.{name}" for name in ("backend", "location", "model", "route", "labels")),
    *("batch.name", "batch.state", "estimate", "cost", "error"),
    *("results.uri", "results.bytes"),
)

ready(ListedJob)


class Listing(Documents):
    """
    The queries of lists of jobs. Parts are in none. A page is read from the job behind
    `after`, which is the cursor of the page before: see `cursor_of`.
    """

    def listed_jobs(
        self,
        most: int,
        list_name: str = "",
        since: datetime | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> list[ListedJob]:
        """
        A page of jobs.

        Args:
            most: how many documents are read.
            list_name: only jobs of this list: see `Shown.listed_as`.
            since: only drops that were first seen then or later.
        """
        query = self._listed(list_name, since).order_by(
            "__name__", direction="DESCENDING"
        )
        if after:
            at = {"listed_at": after["listed_at"]}
            query = query.start_after(at | {"__name__": self._job(after["id"])})
        return self._page(query, most)

    def listed_jobs_by_name(
        self,
        prefix: str,
        most: int,
        list_name: str = "",
        since: datetime | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> list[ListedJob]:
        """
        The same of the drops whose names begin with a prefix. Documents of others are
        not read.
        """
        query = (
            self._listed(list_name, since)
            .where(filter=compare("source.name", ">=", prefix))
            .where(filter=compare("source.name", "<", prefix + _LAST))
            .order_by("source.name", direction="DESCENDING")
            .order_by("__name__", direction="DESCENDING")
        )
        if after:
            at = {"listed_at": after["listed_at"], "source.name": after["name"]}
            query = query.start_after(at | {"__name__": self._job(after["id"])})
        return self._page(query, most)

    def listed_jobs_of(self, job_ids: Iterable[str]) -> list[ListedJob]:
        """The jobs with these ids, parts too; ids without a job are skipped."""
        references = [self._job(job_id) for job_id in job_ids]
        found = self._connect().get_all(references, field_paths=_READ, **self._in_time)
        return [decode(each.to_dict(), ListedJob) for each in found if each.exists]

    def _listed(self, list_name: str, since: datetime | None) -> Any:
        query = self._jobs()
        if list_name:
            in_list = compare("listed_as", "array_contains", list_name)
            query = query.where(filter=in_list)
        if since:
            query = query.where(filter=compare("listed_at", ">=", since))
        return query.order_by("listed_at", direction="DESCENDING")

    def _page(self, query: Any, most: int) -> list[ListedJob]:
        found = query.select(_READ).limit(most).stream(**self._in_time)
        return [decode(snapshot.to_dict(), ListedJob) for snapshot in found]


def cursor_of(job: ListedJob) -> dict[str, Any]:
    """The place behind a job in each list."""
    return {"listed_at": job.listed_at, "name": job.source.name, "id": job.id}
