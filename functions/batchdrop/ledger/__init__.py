"""Jobs in Firestore. Every write is a compare-and-set."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, cast

import msgspec

from batchdrop.announcements.message import (
    TYPES,
    UNHEARD,
    Announcement,
    announcement_id,
)
from batchdrop.errors import NotWritable, Superseded, Unavailable
from batchdrop.jobs.job import Job
from batchdrop.jobs.sizes import MAX_COMMIT, MAX_DOCUMENT, size_of
from batchdrop.jobs.values import Phase, derived_id
from batchdrop.ready import ready

if TYPE_CHECKING:
    from google.cloud import firestore

log = logging.getLogger(__name__)

T = TypeVar("T")
Readable = TypeVar("Readable", Job, Announcement)
#: Where an announcement stands in the outbox: when it was made, and its id.
At = tuple[datetime, str]

#: The newest document version written here; a reader accepts the one before.
VERSION = 1
#: How often a write is tried again that others came before.
MAX_TRIES = 5
#: How many waiting jobs are read at once.
WAITING_PAGE = 100
#: How many unpublished announcements one call hands out.
OUTBOX_PAGE = 500
#: An announcement that the service refused so often is set aside.
MAX_REFUSALS = 10
#: How many jobs that a policy is about are read at once.
POLICY_PAGE = 100
#: Of so many split jobs it is remembered what their parts have in common.
MAX_KEPT = 100
#: How many jobs to resume one call hands out.
DUE_PAGE = 100
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
class Reconciled:
    """When inbox and service were compared with the ledger."""

    first_start: datetime
    finished: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """The last finished sweep."""

    started: datetime | None = None
    complete: datetime | None = None  #: the last one that accounted for all open jobs
    failed: tuple[str, ...] = ()  #: ids of jobs to look at again
    #: No batch of an open job was older; one asks again when it may be a straggler.
    oldest: datetime | None = None


ready(Job, Announcement, Reconciled, Swept)


class Ledger:
    """
    The documents `jobs/{id}`, `announcements/{id}`, `locks/{name}` and
    `spending/{day}`.

    A write names the update time of the document it was derived from, so that
    Firestore refuses it when anyone has written since. One commit holds a job and the
    announcement of what became of it: there is never one without the other.
    """

    def __init__(
        self,
        connect: Callable[[], "firestore.Client"],
        event_source: str,
        ttl: timedelta = timedelta(days=90),
    ) -> None:
        """
        Args:
            connect: gives the client, made on first use.
            event_source: the CloudEvents `source` of announcements.
            ttl: how long after its end a job's document, and after it was sent an
                announcement, may be deleted. It stands in `expire_at`, for Firestore's
                TTL policies.
        """
        self._connect = connect
        self._ttl = ttl
        self._event_source = event_source
        self._common: dict[str, _Common] = {}  #: by the ids of split jobs

    # -- jobs -------------------------------------------------------------------

    def get(self, job_id: str) -> Job | None:
        """
        The job as the ledger holds it now.

        Raises:
            Unavailable: Firestore gave no answer.
        """
        with _answered(f"job {job_id}"):
            snapshot = self._job(job_id).get()
        return self._read(snapshot) if snapshot.exists else None

    def claim(self, job: Job) -> Job | None:
        """
        Creates the job's document. Of all callers one gets the job; the others None.

            create() answers          the ledger holds    this caller
            created                   its document        has the claim
            already exists, or some   its document        has the claim: the answer to
            other unclear word                            its own commit was lost
            the same                  another's           hasn't

        Raises:
            NotWritable: Firestore will never take its document.
            Unavailable: no telling; ask again.
        """
        about = f"job {job.id} could not be claimed"
        data = self._document(job)
        try:
            with _answered(about):
                result = self._job(job.id).create(data)
            return replace(job, version=result.update_time)
        except _Raced as exc:
            held = self.get(job.id)
            if held is None:
                raise Unavailable(f"{about}: {exc}") from exc
            return held if held == job else None

    def advance(
        self,
        held: Job,
        move: Callable[[Job], Job],
        *,
        spending: Spending | None = None,
        children: Callable[[Job], Sequence[Job]] = lambda _: (),
    ) -> Job:
        """
        Moves a job on, if it is still at the phase, epoch and holder of `held`. A
        transition that raises `seq` has something to announce: that goes into the
        outbox in the same commit. So does what the end of a part means for the
        split job: the part is over and its split job knows, or neither.

        Args:
            held: the job as the caller knows it.
            move: a pure transition; called again when something else in the document
                was written meanwhile.
            spending: what to add to a day's sum in the same commit.
            children: makes other jobs, of the new one, that the same commit creates.

        Raises:
            Superseded: the job moved on, or is another worker's.
            NotWritable: Firestore will never take it.
            Unavailable: Firestore gave no answer.
        """
        current, taken = held, 0
        for _ in range(MAX_TRIES):
            job = _numbered(current, move(current), taken)
            writes = [(current, job), *self._split_job(current, job, taken)]
            try:
                with _answered(f"job {held.id}"):
                    return self._commit(writes, spending, children(job))
            except _Raced:
                # Another's write came first, or our own was applied and its answer
                # lost: the document tells.
                found = self.get(held.id)
                if found == job:
                    return found
                if found is None:
                    raise Superseded(f"job {held.id} is not in the ledger") from None
                if not _same_hold(found, held):
                    raise Superseded(
                        f"job {held.id} is not at {held.phase} any more"
                    ) from None
                if self._are_as_written_from(writes):
                    # The outbox has outlived the document of an earlier job of this
                    # id, whose announcements stay what they are.
                    taken += 1
                current = found
        raise Unavailable(f"job {held.id}: others keep writing to it")

    def _split_job(self, before: Job, job: Job, taken: int) -> list[tuple[Job, Job]]:
        """
        What the end of a part makes of its split job, before and after. Nothing, where
        the split job is no more: the ledger forgets it in time.
        """
        if job.part_of is None or before.is_over or not job.is_over:
            return []
        parent = self.get(job.part_of)
        if parent is None or parent.phase is not Phase.SPLIT:
            log.error("part without a split job", extra={"job": job.id})
            return []
        after = parent.part_over(job, job.updated_at)
        return [(parent, _numbered(parent, after, taken))]

    def _are_as_written_from(self, writes: Sequence[tuple[Job, Job]]) -> bool:
        """Whether nobody has written to these since they were read."""
        held = {job.id: job.version for job in self.get_all(b.id for b, _ in writes)}
        return all(held.get(before.id) == before.version for before, _ in writes)

    def submitted(self, endpoint: str, after: str = "") -> Iterator[Job]:
        """
        All jobs that the service at a place has and isn't done with, as we know, by
        their ids: first those that follow the id `after`.
        """
        query = (
            self._jobs()
            .where(filter=_field("phase", "==", Phase.SUBMITTED))
            .where(filter=_field("endpoint", "==", endpoint))
            .order_by("__name__")
        )
        if not after:
            return _readable(query.stream(), self._read)
        last = {"__name__": self._job(after)}
        found = chain(query.start_after(last).stream(), query.end_at(last).stream())
        return _readable(found, self._read)

    def run_too_long(self, now: datetime) -> Iterator[Job]:
        """Open jobs that have run for as long as they may."""
        return self._past(Phase.SUBMITTED, "cancel_at", now)

    def stand_too_long(self, now: datetime) -> Iterator[Job]:
        """Open jobs that have stood still for long, of which nobody was told."""
        return self._past(Phase.SUBMITTED, "stall_at", now)

    def to_delete(
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

    def to_cancel(self) -> list[Job]:
        """The open jobs whose batches the service has not been asked to cancel yet."""
        return self._unsent_cancels(Phase.SUBMITTED)

    def split_jobs_to_cancel(self) -> list[Job]:
        """The split jobs whose parts were not all told yet that a cancel is wanted."""
        return self._unsent_cancels(Phase.SPLIT)

    def count_open(self, queue: str | None = None) -> int:
        """How many jobs the service has and isn't done with, in a queue or in all."""
        conditions = [_field("phase", "==", Phase.SUBMITTED)]
        if queue is not None:
            conditions.append(_field("queue", "==", queue))
        return self._count(*conditions)

    def count_between(self, since: datetime, until: datetime, most: int) -> int:
        """How many jobs came between, whatever became of them; `most` if more did."""
        return self._count(
            _field("created_at", ">=", since),
            _field("created_at", "<", until),
            most=most,
        )

    def oldest_open(self, n: int) -> list[Job]:
        """The open jobs whose batches were made first."""
        query = (
            self._jobs()
            .where(filter=_field("phase", "==", Phase.SUBMITTED))
            .order_by("batch.create_time")
            .limit(n)
        )
        return list(_readable(query.stream(), self._read))

    def open_ids(self) -> set[str]:
        """The ids of all open jobs; nothing else of their documents is read."""
        query = self._jobs().where(filter=_field("phase", "==", Phase.SUBMITTED))
        return {snapshot.id for snapshot in query.select([]).stream()}

    def get_all(self, job_ids: Iterable[str]) -> list[Job]:
        """The jobs of these ids, as far as there are any."""
        references = [self._job(job_id) for job_id in job_ids]
        if not references:
            return []
        found = self._connect().get_all(references)
        return list(_readable((one for one in found if one.exists), self._read))

    def due(self, now: datetime) -> Iterator[Job]:
        """Jobs whose worker is gone, longest first; read a page at a time."""
        unsent = [Phase.ARRIVED, Phase.PREPARED, Phase.SUBMITTING]
        query = (
            self._jobs()
            .where(filter=_field("phase", "in", unsent))
            .where(filter=_field("due", "<=", now))
            .order_by("due")
        )
        return self._by_pages(query, DUE_PAGE)

    def queues_waiting(self) -> Iterator[str]:
        """The queues in which jobs wait; one document is read for each."""
        ordered = self._jobs().order_by("waiting_in").limit(1)
        last = ""
        while found := ordered.where(filter=_field("waiting_in", ">", last)).get():
            last = found[0].get("waiting_in")
            yield last

    def waiting(self, queue: str) -> Iterator[Job]:
        """Jobs that wait for room in a queue, first come first."""
        query = (
            self._jobs()
            .where(filter=_field("waiting_in", "==", queue))
            .order_by("created_at")
        )
        return self._by_pages(query, WAITING_PAGE)

    def known(self, job_ids: Iterable[str]) -> set[str]:
        """Those of these ids that the ledger has a job of."""
        references = [self._job(job_id) for job_id in job_ids]
        found = self._connect().get_all(references, field_paths=["v"])
        return {snapshot.id for snapshot in found if snapshot.exists}

    # -- limits -----------------------------------------------------------------

    def spent(self, day: str) -> Spending:
        """What was submitted on a day."""
        data = self._day(day).get().to_dict() or {}
        return Spending(day=day, rows=data.get("rows", 0), bytes=data.get("bytes", 0))

    def pause_queue(self, queue: str, now: datetime, pause: timedelta) -> None:
        """Keeps all of a queue waiting. A later end counts, whoever set it."""
        before, until = self.queue_paused_until(queue, now), now + pause
        if before is None or before < until:
            data = {"queue": queue, "until": until, "seconds": pause.total_seconds()}
            self._lock(f"queue-{derived_id(queue)}").set(data)

    def queue_paused_until(self, queue: str, now: datetime) -> datetime | None:
        """
        Until when a queue waits; None if it doesn't. A pause that has longer to go than
        it was made for was written by a clock that is ahead; the next 429 makes anew.
        """
        data = self._lock(f"queue-{derived_id(queue)}").get().to_dict()
        if not data:
            return None
        until: datetime = _plain(data["until"])
        pause = timedelta(seconds=data["seconds"])
        return until if _is_running(until, now, pause) else None

    # -- where a tick goes on ---------------------------------------------------

    def cursor(self, stage: str) -> dict[str, Any]:
        """How far a stage of the last tick came; empty if it came to its end."""
        found: dict[str, Any] = self._lock(f"cursor-{stage}").get().to_dict() or {}
        return cast("dict[str, Any]", _plain(found))

    def move_cursor(
        self, stage: str, before: dict[str, Any], at: dict[str, Any]
    ) -> None:
        """For the next tick to go on from. Written only if it is another place."""
        if at != before:
            self._lock(f"cursor-{stage}").set(at)

    # -- the outbox -------------------------------------------------------------

    def unpublished(self, after: At | None = None) -> list[Announcement]:
        """What is still to be said, oldest first: the page that follows `after`."""
        query = (
            self._announcements()
            .where(filter=_field("published_at", "==", None))
            .where(filter=_field("set_aside_at", "==", None))
            .order_by("created_at")
            .order_by("__name__")
            .limit(OUTBOX_PAGE)
        )
        if after:
            created_at, id = after
            last = self._announcements().document(id)
            query = query.start_after({"created_at": created_at, "__name__": last})
        return list(_readable(query.get(), _announcement))

    def is_unpublished(self, job_id: str, seq: int) -> bool:
        """Whether a job's announcement of this number is still to be sent."""
        id = announcement_id(job_id, seq)
        data = self._announcements().document(id).get().to_dict()
        return bool(
            data and data["published_at"] is None and data.get("set_aside_at") is None
        )

    def published(self, announcement: Announcement, now: datetime) -> None:
        """Marks an announcement as sent. A lost mark means a repeat, not a loss."""
        from google.cloud.firestore_v1.transforms import Increment

        self._announcements().document(announcement.id).update(
            {
                "published_at": now,
                "set_aside_at": None,
                "attempts": Increment(1),
                "expire_at": now + self._ttl,
            }
        )

    def not_published(self, announcement: Announcement) -> None:
        """Counts an attempt that got no answer."""
        from google.cloud.firestore_v1.transforms import Increment

        self._announcements().document(announcement.id).update(
            {"attempts": Increment(1)}
        )

    def refused(self, announcement: Announcement, why: str, now: datetime) -> bool:
        """
        Counts an attempt that the service refused. The tenth sets the announcement
        aside, which shows at the job's health, so that the job's later ones can go.

        Returns:
            Whether it is set aside.

        Raises:
            Superseded: the job was written to meanwhile; the next attempt counts.
        """
        from google.cloud.firestore_v1.transforms import Increment

        changes = {
            "attempts": Increment(1),
            "refusals": announcement.refusals + 1,
            "reason": why,
        }
        enough = announcement.refusals + 1 >= MAX_REFUSALS
        if enough:
            # First, so that it isn't set aside without a word if we die in between.
            job = self.get(announcement.job_id)
            if job:
                health = announcement.unheard(why, now)
                self.advance(job, lambda j: j.unhealthy(health, now))
            changes["set_aside_at"] = now
        self._announcements().document(announcement.id).update(changes)
        return enough

    def announcements_of(self, job_id: str) -> list[Announcement]:
        """All that was announced of a job, or is to be, in that order."""
        query = self._announcements().where(filter=_field("job_id", "==", job_id))
        found = [_decode(one.to_dict(), Announcement) for one in query.stream()]
        return sorted(found, key=lambda one: one.seq)

    def announced(
        self, since: datetime, until: datetime, types: Sequence[str] = TYPES
    ) -> Iterator[Announcement]:
        """All announcements of these types, made from `since` to before `until`."""
        query = (
            self._announcements()
            .where(filter=_field("type", "in", list(types)))
            .where(filter=_field("created_at", ">=", since))
            .where(filter=_field("created_at", "<", until))
            .order_by("created_at")
        )
        return (_decode(one.to_dict(), Announcement) for one in query.stream())

    def replay(self, announcement: Announcement, now: datetime) -> Announcement:
        """Puts an announcement into the outbox once more, as it is."""
        self._hear(self.get(announcement.job_id), now)
        again = announcement.waiting()
        self._announcements().document(again.id).update(
            {
                "published_at": None,
                "set_aside_at": None,
                "refusals": 0,
                "expire_at": None,
            }
        )
        return again

    def _hear(self, job: Job | None, now: datetime) -> None:
        """Nothing is the matter any more with a job that is to be told of again."""
        if job and job.health and job.health.code == UNHEARD:
            with suppress(Superseded):  # whoever moved it on knows better
                self.advance(job, lambda j: j.heard(now))

    def replay_anew(self, announcement: Announcement, now: datetime) -> Announcement:
        """
        Puts what an announcement says into the outbox under a new number and id.

        Raises:
            Unavailable: Firestore gave no answer, or others keep writing to the job.
        """
        client, seq = self._connect(), announcement.seq
        self._hear(self.get(announcement.job_id), now)
        for _ in range(20):
            job = self.get(announcement.job_id)
            # The job's document may be gone: the ledger forgets it in time.
            seq = max(seq, job.seq if job else 0) + 1
            new = announcement.anew(seq, now)
            batch = client.batch()
            if job:
                version = client.write_option(last_update_time=job.version)
                batch.update(self._job(job.id), {"seq": seq}, option=version)
            document = self._announcements().document(new.id)
            batch.create(document, _unsent(new))
            try:
                with _answered(f"announcement {announcement.id}"):
                    batch.commit()
            except _Raced:
                held = document.get().to_dict()
                if held is None:
                    seq -= 1  # it is the job that another wrote to: again
                elif _decode(held, Announcement) == new:
                    return new  # our own commit, whose answer was lost
            else:
                return new
        raise Unavailable(f"job {announcement.job_id}: others keep writing to it")

    # -- locks ------------------------------------------------------------------

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
        shown: datetime = _plain(snapshot.read_time)
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

    def last_reconciled(self) -> Reconciled:
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
        return _decode(snapshot.to_dict(), Reconciled)

    def reconcile_finished(self, now: datetime) -> None:
        """The comparison that began then is complete."""
        self._lock("reconcile").update({"finished": now})

    # -- the pieces -------------------------------------------------------------

    def _commit(
        self,
        writes: Sequence[tuple[Job, Job]],
        spending: Spending | None,
        children: Sequence[Job],
    ) -> Job:
        """
        Writes all of it or nothing; returns the first job, with its version.

        Raises:
            NotWritable: it is more than Firestore takes.
        """
        client = self._connect()
        before = [self._document(job) for job, _ in writes]
        after = [self._document(job) for _, job in writes]
        made = [self._document(child) for child in children]
        if children and children[0].part_of == writes[0][1].id:
            common = _Common.of(after[0])
            made = [common.left_out_of(document) for document in made]
            self._keep(writes[0][1].id, common)
        _hold(after, made)
        batch = client.batch()
        for (held, job), old, new in zip(writes, before, after, strict=True):
            batch.update(
                self._job(job.id),
                _changes(old, new),
                option=client.write_option(last_update_time=held.version),
            )
        for held, job in writes:
            if job.seq > held.seq:
                announcement = Announcement.of(job, self._event_source)
                document = self._announcements().document(announcement.id)
                batch.create(document, _unsent(announcement))
        if spending:
            from google.cloud.firestore_v1.transforms import Increment

            batch.set(
                self._day(spending.day),
                {"rows": Increment(spending.rows), "bytes": Increment(spending.bytes)},
                merge=True,
            )
        for child, document in zip(children, made, strict=True):
            batch.create(self._job(child.id), document)
        results = batch.commit()
        return replace(writes[0][1], version=results[0].update_time)

    def _document(self, job: Job) -> dict[str, Any]:
        data = sparse(_encode(replace(job, version=None)))
        # What is derived, and asked for: a queue's jobs, and those that wait in it.
        data |= {"endpoint": job.endpoint, "queue": job.queue} if job.spec else {}
        data |= {"waiting_in": job.queue} if job.phase is Phase.WAITING else {}
        if job.cancel_request:
            # As long as it says null here, it is asked for: see `to_cancel`.
            data["cancel_request"]["sent_at"] = job.cancel_request.sent_at
        if job.is_over:
            data["expire_at"] = job.updated_at + self._ttl
        return data

    def _read(self, snapshot: Any) -> Job:
        """A job from its document; a part's is completed from its split job's."""
        job = _job(snapshot)
        if job.part_of is None:
            return job
        if (common := self._common.get(job.part_of)) is None:
            with _answered(f"split job {job.part_of}"):
                split_job = self._job(job.part_of).get(field_paths=_Common.FIELDS)
            data = split_job.to_dict() or {}
            if not data.get("spec"):
                return job  # the ledger has forgotten it: the part has its own marks
            common = _Common.of(data)
            self._keep(job.part_of, common)
        return common.put_into(job)

    def _keep(self, split_job: str, common: "_Common") -> None:
        # It was chosen for good, so that what is kept here stays true.
        if len(self._common) >= MAX_KEPT:
            self._common.clear()
        self._common[split_job] = common

    def _jobs(self) -> Any:
        return self._connect().collection("jobs")

    def _job(self, job_id: str) -> Any:
        return self._jobs().document(job_id)

    def swept(self) -> Swept:
        """What the last sweep that was finished left to know."""
        data = self._lock("sweep").get().to_dict()
        return _decode(data, Swept) if data else Swept()

    def sweep_finished(self, swept: Swept) -> None:
        """For the next one to go on from."""
        self._lock("sweep").set(_encode(swept))

    # -- the pieces, continued --------------------------------------------------

    def _unsent_cancels(self, phase: Phase) -> list[Job]:
        """A phase's jobs that somebody wants cancelled, and nothing was done yet."""
        query = (
            self._jobs()
            .where(filter=_field("phase", "==", phase))
            .where(filter=_field("cancel_request.cancel", "==", True))
            .where(filter=_field("cancel_request.sent_at", "==", None))
        )
        return list(_readable(query.stream(), self._read))

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
            .where(filter=_field("phase", "==", phase))
            .where(filter=_field(field, "<=", now))
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
            yield from _readable(page, self._read)
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

    def _lock(self, name: str) -> Any:
        return self._connect().collection("locks").document(name)

    def _day(self, day: str) -> Any:
        return self._connect().collection("spending").document(day)

    def _announcements(self) -> Any:
        return self._connect().collection("announcements")


@dataclass(frozen=True, slots=True)
class _Common:
    """
    What the parts of a split job have in common, and only its own document holds: three
    hundred copies of all labels, and of who chose what, are more than a commit takes.
    """

    labels: Mapping[str, str]
    spec_from: dict[str, str]

    FIELDS: ClassVar = ("spec.labels", "spec_from")

    @classmethod
    def of(cls, split_job: Mapping[str, Any]) -> Self:
        """From a split job's document."""
        return cls(split_job["spec"].get("labels", {}), split_job.get("spec_from", {}))

    def left_out_of(self, part: Mapping[str, Any]) -> dict[str, Any]:
        """A part's document without it."""
        labels = part["spec"].get("labels", {})
        own = {n: text for n, text in labels.items() if self.labels.get(n) != text}
        document = {**part, "spec": {**part["spec"], "labels": own}}
        document.pop("spec_from", None)
        return document

    def put_into(self, part: Job) -> Job:
        if part.spec is None:
            return part
        spec = replace(part.spec, labels={**self.labels, **part.spec.labels})
        return replace(part, spec=spec, spec_from=self.spec_from)


class _Raced(Exception):
    """Another's write came first, or our own was applied and its answer was lost."""


@contextmanager
def _answered(about: str) -> Iterator[None]:
    """
    Firestore's answers made ours:

        ALREADY_EXISTS NOT_FOUND
        FAILED_PRECONDITION ABORTED      a race
        INVALID_ARGUMENT, or the client
        can't put it on the wire         never: a document over 1 MiB, a commit over
                                         10 MiB, maps 20 deep, half a character
        all else, or none                later

    What is over the emulator's 4 MiB is RESOURCE_EXHAUSTED there, which is a quota's
    word: see `_hold`.

    Args:
        about: what the words of an error begin with.

    Raises:
        _Raced, NotWritable, Unavailable
    """
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except (
        exceptions.AlreadyExists,
        exceptions.NotFound,
        exceptions.FailedPrecondition,
        exceptions.Aborted,
    ) as exc:
        raise _Raced(str(exc)) from exc
    except (exceptions.InvalidArgument, ValueError, TypeError) as exc:
        raise NotWritable(f"{about}: {exc}") from exc
    except (
        exceptions.GoogleAPICallError,
        exceptions.RetryError,
        GoogleAuthError,
    ) as exc:
        raise Unavailable(f"{about}: {exc}") from exc


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """
    The fields that differ. The precondition guarantees that the rest of the document
    is unchanged; encoding all of it takes longer than everything else.
    """
    from google.cloud.firestore import DELETE_FIELD

    return {
        name: new.get(name, DELETE_FIELD)
        for name in {**old, **new}
        if name == "updated_at" or old.get(name) != new.get(name)
    }


def _hold(written: Sequence[Mapping[str, Any]], made: Sequence[Any]) -> None:
    """
    Whether Firestore can take a commit; said before it is sent, as the client tries a
    commit that is too large for a minute where the answer is taken for a quota's.

    Args:
        written: whole documents, of each of which a part is written.
        made: those that are new.

    Raises:
        NotWritable: a document, or all of them, have too many bytes.
    """
    sizes = list(map(size_of, (*written, *made)))
    for size, limit, what in (
        (max(sizes), MAX_DOCUMENT, "the job's document"),
        (sum(sizes), MAX_COMMIT, f"the commit of {len(sizes):,} documents"),
    ):
        if size > limit:
            raise NotWritable(f"{what} has {size:,} bytes, and may have {limit:,}")


def _numbered(before: Job, job: Job, taken: int) -> Job:
    """With the next number for its announcement, if it has one, that isn't taken."""
    return replace(job, seq=job.seq + taken) if job.seq > before.seq else job


def _is_running(until: datetime | None, now: datetime, longest: timedelta) -> bool:
    """Whether what was begun by another worker's clock, and lasts no longer than this,
    isn't over. None: it was ended."""
    return until is not None and now < until <= now + longest + SKEW


def _same_hold(found: Job, held: Job) -> bool:
    return (found.phase, found.lease.epoch, found.lease.by) == (
        held.phase,
        held.lease.epoch,
        held.lease.by,
    )


def _field(path: str, operator: str, value: Any) -> Any:
    from google.cloud.firestore_v1.base_query import FieldFilter

    return FieldFilter(path, operator, value)


def _encode(value: Any) -> dict[str, Any]:
    """A dataclass as Firestore takes it: maps, lists, times, bytes."""
    data: dict[str, Any] = msgspec.to_builtins(value, builtin_types=(datetime, bytes))
    return data


def sparse(data: dict[str, Any]) -> dict[str, Any]:
    """
    Without what isn't said, in all maps: it reads as not said, and what isn't there is
    neither kept in an index nor paid for.
    """
    return {
        name: _sparse_value(value)
        for name, value in data.items()
        if value is not None and value != {} and value not in ([], ())
    }


def _sparse_value(value: Any) -> Any:
    if isinstance(value, dict):
        return sparse(value)
    if isinstance(value, list | tuple):
        return [_sparse_value(item) for item in value]
    return value


def _unsent(announcement: Announcement) -> dict[str, Any]:
    """Its document. As long as nobody was told, it may not be deleted."""
    return _encode(announcement) | {"expire_at": None}


def _decode(data: Any, type: type[T]) -> T:
    return msgspec.convert(_plain(data), type, builtin_types=(datetime, bytes))


def _job(snapshot: Any) -> Job:
    job = _decode(snapshot.to_dict(), Job)
    if not VERSION - 1 <= job.v <= VERSION:
        raise ValueError(
            f"job {job.id} has document version {job.v}; this worker reads "
            f"{VERSION - 1} and {VERSION}: deploy the newer one again"
        )
    return replace(job, version=snapshot.update_time)


def _announcement(snapshot: Any) -> Announcement:
    return _decode(snapshot.to_dict(), Announcement)


def _readable(
    snapshots: Iterable[Any], read: Callable[[Any], Readable]
) -> Iterator[Readable]:
    """What can be read. A document that can't holds up no other, and isn't silent."""
    for snapshot in snapshots:
        try:
            yield read(snapshot)
        except (ValueError, msgspec.ValidationError) as exc:
            about = {"document": snapshot.reference.path, "reason": str(exc)}
            log.error("unreadable", extra=about)


def _plain(value: Any) -> Any:
    """Firestore's own kind of datetime made an ordinary one, all the way down."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return datetime.combine(value.date(), value.time(), value.tzinfo)
    return value
