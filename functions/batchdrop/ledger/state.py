"""What ticks leave for the next: locks, cursors, sweeps, reconciles, spending."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from batchdrop.errors import Unavailable
from batchdrop.jobs.values import derived_id
from batchdrop.ledger.documents import Documents, decode, encode, plain
from batchdrop.ready import ready

#: Two workers' clocks may differ by this much. A time that was written by a clock which
#: is further ahead than that shuts nobody out.
SKEW = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What was, or is to be, submitted on a day."""

    day: str  #: such as 2026-03-01, in UTC
    rows: int  #: see `Staging`
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileRecord:
    """When inbox and service were compared with the ledger."""

    first_start: datetime
    finished: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRecord:
    """The last finished sweep."""

    started: datetime | None = None
    complete: datetime | None = None  #: the last one that accounted for all open jobs
    failed: tuple[str, ...] = ()  #: ids of jobs to look at again
    #: No batch of an open job was older; one asks again when it may be a straggler.
    oldest: datetime | None = None


ready(ReconcileRecord, SweepRecord)


class State(Documents):
    """The documents `locks/{name}` and `spending/{day}`."""

    def owner(self, deployment: str) -> str:
        """
        The deployment whose ledger this is: the first that asks, for good. Another one
        would take the batches of these jobs for lost, as it lists only its own.

        Raises:
            Unavailable: Firestore gave no answer.
        """
        from google.api_core import exceptions

        reference = self._lock("deployment")
        try:
            if not (snapshot := reference.get()).exists:
                with suppress(exceptions.AlreadyExists):  # of two at once one is first
                    reference.create({"name": deployment})
                snapshot = reference.get()
        except (exceptions.GoogleAPICallError, exceptions.RetryError) as exc:
            raise Unavailable(f"the ledger's deployment: {exc}") from exc
        return str(snapshot.get("name"))

    def time(self) -> datetime:
        """
        What Firestore's clock shows.

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
        Takes a lock for `hold`, unless another holder's time still runs. Each taking
        adds an epoch, by which people see in the logs and the document who was first.
        A lock that has longer to go than `hold` was taken by a clock that is ahead: it
        counts for nothing, as two ticks at once do no harm.
        """
        from google.api_core import exceptions

        reference = self._lock(name)
        data: dict[str, Any] = {"by": by, "until": now + hold}
        snapshot = reference.get()
        try:
            if not snapshot.exists:
                reference.create(data | {"epoch": 1})
            elif _is_running(snapshot.get("until"), now, hold):
                return False
            else:
                option = self._connect().write_option(
                    last_update_time=snapshot.update_time
                )
                epoch = snapshot.get("epoch") + 1
                reference.update(data | {"epoch": epoch}, option=option)
        except (exceptions.AlreadyExists, exceptions.FailedPrecondition):
            return bool(reference.get().get("by") == by)  # ours, if the answer was lost
        return True

    def unlock(self, name: str, by: str) -> None:
        """
        Gives a lock back; does nothing when it has gone to another. No time is written:
        that of a clock which is ahead would shut out the others.
        """
        reference = self._lock(name)
        snapshot = reference.get()
        if snapshot.exists and snapshot.get("by") == by:
            option = self._connect().write_option(last_update_time=snapshot.update_time)
            reference.update({"until": None}, option=option)

    def cursor(self, stage: str) -> dict[str, Any]:
        """How far a stage of the last tick came; empty if it came to its end."""
        found: dict[str, Any] = self._lock(f"cursor-{stage}").get().to_dict() or {}
        return cast("dict[str, Any]", plain(found))

    def move_cursor(
        self, stage: str, before: dict[str, Any], at: dict[str, Any]
    ) -> None:
        """For the next tick to go on from. Written only if it is another place."""
        if at != before:
            self._lock(f"cursor-{stage}").set(at)

    def last_sweep(self) -> SweepRecord:
        """What the last sweep that was finished left to know."""
        data = self._lock("sweep").get().to_dict()
        return decode(data, SweepRecord) if data else SweepRecord()

    def record_sweep(self, swept: SweepRecord) -> None:
        """For the next one to go on from."""
        self._lock("sweep").set(encode(swept))

    def last_reconcile(self) -> ReconcileRecord:
        """When the deployment first ran, by Firestore's clock, which is now if it never
        did; and when the inbox and the service were last compared with the ledger."""
        from google.api_core import exceptions
        from google.cloud.firestore import SERVER_TIMESTAMP

        reference = self._lock("reconcile")
        if not (snapshot := reference.get()).exists:
            # That another tick was faster is fine.
            with suppress(exceptions.AlreadyExists):
                reference.create({"first_start": SERVER_TIMESTAMP, "finished": None})
            snapshot = reference.get()
        return decode(snapshot.to_dict(), ReconcileRecord)

    def record_reconcile(self, now: datetime) -> None:
        """The comparison that began then is complete."""
        self._lock("reconcile").update({"finished": now})

    def spending_on(self, day: str) -> Spending:
        """What was submitted on a day."""
        data = self._day(day).get().to_dict() or {}
        return Spending(day=day, rows=data.get("rows", 0), bytes=data.get("bytes", 0))

    def pause_queue(self, queue: str, now: datetime, pause: timedelta) -> None:
        """Keeps all of a queue waiting. A later end counts, whoever set it."""
        before, until = self.queue_pause_end(queue, now), now + pause
        if before is None or before < until:
            data = {"queue": queue, "until": until, "seconds": pause.total_seconds()}
            self._lock(f"queue-{derived_id(queue)}").set(data)

    def queue_pause_end(self, queue: str, now: datetime) -> datetime | None:
        """
        Until when a queue waits; None if it doesn't. A pause that has longer to go than
        it was made for was written by a clock that is ahead; the next 429 makes anew.
        """
        data = self._lock(f"queue-{derived_id(queue)}").get().to_dict()
        if not data:
            return None
        until: datetime = plain(data["until"])
        pause = timedelta(seconds=data["seconds"])
        return until if _is_running(until, now, pause) else None


def _is_running(until: datetime | None, now: datetime, longest: timedelta) -> bool:
    """Whether what was begun by another worker's clock, and lasts no longer than this,
    isn't over. None: it was ended."""
    return until is not None and now < until <= now + longest + SKEW
