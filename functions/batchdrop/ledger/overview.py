"""Reads the state of a deployment: few reads, however many jobs there are."""

from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import fields as fields_of
from datetime import UTC, datetime

from batchdrop.jobs.codes import Phase
from batchdrop.jobs.waiting import WaitingFor
from batchdrop.ledger.documents import Documents, compare, decode, plain
from batchdrop.ready import ready

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class LastTick:
    """When `poll` last began or ended a tick, by Firestore's clock."""

    now: datetime
    at: datetime | None  #: None: there was none yet
    is_running: bool  #: or it died before it ended


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstWaiting:
    """The job that has waited in a line for longest."""

    waiting_in: str  #: the line
    queue: str  #: that the line is of
    id: str
    created_at: datetime
    waiting_for: WaitingFor | None = None


ready(FirstWaiting)


class Overview(Documents):
    """Nothing here writes. Each count is one aggregation."""

    def last_tick(self) -> LastTick:
        """The last tick, and the time of Firestore's clock."""
        snapshot = self._lock("tick").get(**self._in_time)
        until = (snapshot.to_dict() or {}).get("until")
        return LastTick(
            now=plain(snapshot.read_time),
            at=plain(snapshot.update_time) if snapshot.exists else None,
            is_running=until is not None,
        )

    def ignored_objects(self) -> tuple[int, str]:
        """How many recent objects of the inbox make no job by their names, and one."""
        data = self._lock("reconcile").get(**self._in_time).to_dict() or {}
        return int(data.get("ignored", 0)), str(data.get("ignored_name", ""))

    def open_queues(self) -> Iterator[str]:
        """The queues with submitted jobs. Reads one document for each."""
        submitted = self._jobs().where(filter=compare("phase", "==", Phase.SUBMITTED))
        return self._different(submitted, "queue")

    def waiting_count(self, line: str) -> int:
        """How many jobs wait in a line."""
        return self._counted(
            self._jobs().where(filter=compare("waiting_in", "==", line))
        )

    def first_waiting_jobs(self) -> Iterator[FirstWaiting]:
        """
        The first job of each line in which jobs wait, in the order of the lines. Reads
        one document for each.
        """
        fields = [each.name for each in fields_of(FirstWaiting)]
        query = self._jobs().order_by("waiting_in").order_by("created_at").limit(1)
        query, last = query.select(fields), ""
        while found := query.where(filter=compare("waiting_in", ">", last)).get(
            **self._in_time
        ):
            first = decode(found[0].to_dict(), FirstWaiting)
            last = first.waiting_in
            yield first

    def unsent_count(self) -> int:
        """How many jobs are before their batch, and in no line."""
        unsent = [Phase.ARRIVED, Phase.PREPARED, Phase.SUBMITTING]
        return self._counted(self._jobs().where(filter=compare("phase", "in", unsent)))

    def collecting_count(self) -> int:
        """How many jobs have answers that are to be collected."""
        return self._counted(
            self._jobs().where(filter=compare("collecting.due", ">", _EPOCH))
        )

    def unhealthy_count(self, since: datetime) -> int:
        """How many jobs that lists show have been dropped since, and are unhealthy."""
        return self._counted(
            self._jobs()
            .where(filter=compare("listed_as", "array_contains", "unhealthy"))
            .where(filter=compare("listed_at", ">=", since))
            .order_by("listed_at")
        )

    def unpublished_count(self) -> int:
        """How many announcements are to be published."""
        return self._counted(self._unpublished())

    def unpublished_since(self) -> datetime | None:
        """When the oldest of them was made."""
        query = self._unpublished().limit(1)
        found = [
            plain(each.get("created_at")) for each in query.stream(**self._in_time)
        ]
        return found[0] if found else None

    def set_aside_count(self) -> int:
        """How many announcements Pub/Sub has refused too often."""
        return self._counted(
            self._announcements()
            .where(filter=compare("published_at", "==", None))
            .where(filter=compare("set_aside_at", ">", _EPOCH))
            .order_by("set_aside_at")
            .order_by("created_at")
        )
