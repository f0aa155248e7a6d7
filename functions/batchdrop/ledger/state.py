"""State that ticks share: locks, cursors, last sweep and reconcile, spending."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from batchdrop.errors import Unavailable
from batchdrop.jobs.values import derived_id
from batchdrop.ledger.documents import Documents, compare, decode, encode, plain
from batchdrop.ready import ready

#: Two workers' clocks may differ by this much. A time written by a clock that is
#: further ahead locks out no one.
SKEW = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """Rows and bytes submitted on a day."""

    day: str  #: such as 2026-03-01, in UTC
    rows: int  #: see `Staging`
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileRecord:
    """When inbox and API were last compared with the ledger."""

    first_start: datetime
    finished: datetime | None
    ignored: int = 0  #: objects of the last days in the inbox whose names make no job
    ignored_name: str = ""  #: one of these


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRecord:
    """The last finished sweep."""

    started: datetime | None = None
    complete: datetime | None = None  #: the last one that accounted for all open jobs
    failed: tuple[str, ...] = ()  #: ids of jobs to look at again
    #: When the oldest batch of an open job was created.
    oldest: datetime | None = None


#: The documents of `locks` that each tick reads, besides the lock.
AHEAD = ("sweep", "reconcile", "cursor-lists")

ready(ReconcileRecord, SweepRecord)


class State(Documents):
    """The documents `locks/{name}` and `spending/{day}`."""

    def owner(self, deployment: str) -> str:
        """
        The deployment that owns this ledger: the first one that calls this. Another
        deployment lists only its own batches, so it would take these jobs for lost.

        Raises:
            Unavailable: Firestore gave no answer.
        """
        from google.api_core import exceptions

        reference = self._lock("deployment")
        try:
            if not (snapshot := reference.get(**self._in_time)).exists:
                with suppress(exceptions.AlreadyExists):  # of two at once one is first
                    reference.create({"name": deployment})
                snapshot = reference.get()
        except (exceptions.GoogleAPICallError, exceptions.RetryError) as exc:
            raise Unavailable(f"the ledger's deployment: {exc}") from exc
        return str(snapshot.get("name"))

    def time(self) -> datetime:
        """
        The time of Firestore's clock.

        Raises:
            Unavailable: Firestore gave no answer within ten seconds.
        """
        from google.api_core import exceptions

        try:
            snapshot = self._lock("tick").get(retry=None, timeout=10)
        except exceptions.GoogleAPICallError as exc:
            raise Unavailable(f"Firestore's time: {exc}") from exc
        shown: datetime = plain(snapshot.read_time)
        return shown

    def lock(self, name: str, by: str, now: datetime, hold: timedelta) -> bool:
        """
        Takes a lock for `hold`, unless another holder's time still runs. A lock that
        lasts longer than `hold` was taken by a clock that is ahead and is ignored: two
        ticks at once do no harm.

        The request that reads the lock also reads what the stages of each tick begin
        with. Each of these documents is used once, by the first who asks for it, and
        none after the lock is released.

        Returns:
            Whether `by` has the lock now.
        """
        from google.api_core import exceptions

        client, reference = self._connect(), self._lock(name)
        read = client.get_all([reference, *map(self._lock, AHEAD)])
        found = {snapshot.id: snapshot for snapshot in read}
        held, data = found.pop(name), {"by": by, "until": now + hold}
        try:
            if not held.exists:
                version = reference.create(data).update_time
            elif _is_running(held.get("until"), now, hold):
                return False
            else:
                option = client.write_option(last_update_time=held.update_time)
                version = reference.update(data, option=option).update_time
        except (exceptions.AlreadyExists, exceptions.FailedPrecondition):
            held = reference.get()
            if held.get("by") != by:
                return False
            version = held.update_time  # ours: the answer was lost
        self._held, self._ahead = (by, version), found
        return True

    def unlock(self, name: str, by: str) -> None:
        """
        Releases a lock, and saves the finished sweep in the same commit; does nothing
        if another holder has the lock. Writes no time: one of a clock that is ahead
        would lock out the others.
        """
        from google.api_core import exceptions

        holder, version = self._held
        if holder != by:
            return
        swept, self._held, self._swept = self._swept, (None, None), None
        self._ahead.clear()
        client = self._connect()
        batch = client.batch()
        option = client.write_option(last_update_time=version)
        batch.update(self._lock(name), {"until": None}, option=option)
        if swept:
            batch.set(self._lock("sweep"), encode(swept))
        try:
            batch.commit()
        except (exceptions.FailedPrecondition, exceptions.NotFound):
            # Another tick has the lock, or takes it at this moment. This one's sweep
            # counts all the same: what changed since it began is read by the next one.
            if swept:
                self._lock("sweep").set(encode(swept))

    def _state(self, name: str) -> Any:
        """A document that may have been read ahead."""
        return self._ahead.pop(name, None) or self._lock(name).get(**self._in_time)

    def cursor(self, stage: str) -> dict[str, Any]:
        """Where a stage of the last tick stopped; empty if it finished."""
        found: dict[str, Any] = self._state(f"cursor-{stage}").to_dict() or {}
        return cast("dict[str, Any]", plain(found))

    def move_cursor(
        self, stage: str, before: dict[str, Any], at: dict[str, Any]
    ) -> None:
        """Saves where a stage stopped. Writes nothing if that is where it was."""
        if at != before:
            self._lock(f"cursor-{stage}").set(at)

    def last_sweep(self) -> SweepRecord:
        """The record of the last finished sweep."""
        data = self._state("sweep").to_dict()
        return decode(data, SweepRecord) if data else SweepRecord()

    def record_sweep(self, swept: SweepRecord) -> None:
        """
        Keeps a finished sweep's record, which is saved when the tick's lock is
        released. If the tick dies before that, the next one reads the same changes.
        """
        self._swept = swept

    def last_reconcile(self) -> ReconcileRecord:
        """
        When the deployment first ran, by Firestore's clock, and when the last reconcile
        finished. The first call records the former.
        """
        from google.api_core import exceptions
        from google.cloud.firestore import SERVER_TIMESTAMP

        reference = self._lock("reconcile")
        if not (snapshot := self._state("reconcile")).exists:
            # another tick may be faster
            with suppress(exceptions.AlreadyExists):
                reference.create({"first_start": SERVER_TIMESTAMP, "finished": None})
            snapshot = reference.get()
        return decode(snapshot.to_dict(), ReconcileRecord)

    def record_reconcile(
        self, now: datetime, ignored: int = 0, ignored_name: str = ""
    ) -> None:
        """
        Saves that the reconcile which began at `now` is complete.

        Args:
            ignored: how many recent objects of the inbox make no job by their names.
            ignored_name: one of these.
        """
        self._lock("reconcile").update(
            {"finished": now, "ignored": ignored, "ignored_name": ignored_name}
        )

    def spending_on(self, day: str) -> Spending:
        """The rows and bytes submitted on a day."""
        data = self._day(day).get(**self._in_time).to_dict() or {}
        return Spending(day=day, rows=data.get("rows", 0), bytes=data.get("bytes", 0))

    def pause_queue(self, queue: str, now: datetime, pause: timedelta) -> None:
        """Makes all jobs of a queue wait. Of two pauses, the later end counts."""
        before, until = self.queue_pause_end(queue, now), now + pause
        if before is None or before < until:
            data = {"queue": queue, "until": until, "seconds": pause.total_seconds()}
            self._lock(f"queue-{derived_id(queue)}").set(data)

    def queue_pause_end(self, queue: str, now: datetime) -> datetime | None:
        """
        When a queue's pause ends; None if there is none. A pause that lasts longer than
        its own length was written by a clock that is ahead and is ignored; the next 429
        starts a new one.
        """
        return _pause_end(self._lock(f"queue-{derived_id(queue)}").get().to_dict(), now)

    def queue_pauses(self, now: datetime, most: int) -> dict[str, datetime]:
        """
        The ends of pauses, as `queue_pause_end`, by queue; at most `most`, those that
        end first. Reads a document for each, and a lock that somebody holds.
        """
        query = (
            self._connect()
            .collection("locks")
            .where(filter=compare("until", ">", now))
            .order_by("until")
            .limit(most)
        )
        found = [plain(each.to_dict()) for each in query.stream(**self._in_time)]
        ends = {
            data["queue"]: _pause_end(data, now) for data in found if "queue" in data
        }
        return {queue: until for queue, until in ends.items() if until}


def _pause_end(data: Mapping[str, Any] | None, now: datetime) -> datetime | None:
    """When the pause in a queue's document ends; None if it is over."""
    if not data:
        return None
    until: datetime = plain(data["until"])
    pause = timedelta(seconds=data["seconds"])
    return until if _is_running(until, now, pause) else None


def _is_running(until: datetime | None, now: datetime, longest: timedelta) -> bool:
    """
    Whether a period that another worker began is still running.

    Args:
        until: its end; None: it was ended early.
        longest: the length of such a period. One that lasts longer was written by a
            clock that is ahead, and doesn't count.
    """
    return until is not None and now < until <= now + longest + SKEW
