"""Announcements that wait to be published, and what became of each attempt."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime

from batchdrop.announcements.message import (
    TYPES,
    UNHEARD,
    Announcement,
    announcement_id,
)
from batchdrop.errors import Superseded, Unavailable
from batchdrop.jobs.job import Job
from batchdrop.ledger.documents import (
    Documents,
    Raced,
    announcement_from,
    answered,
    compare,
    decode,
    readable,
    unsent,
)

#: Where an announcement stands in the outbox: when it was made, and its id.
At = tuple[datetime, str]

#: How many unpublished announcements one call hands out.
OUTBOX_PAGE = 500
#: An announcement that the service refused so often is set aside.
MAX_REFUSALS = 10


class Outbox(Documents, ABC):
    """The documents `announcements/{id}`."""

    @abstractmethod
    def get(self, job_id: str) -> Job | None:
        """See `Ledger.get`."""

    @abstractmethod
    def advance(self, held: Job, move: Callable[[Job], Job]) -> Job:
        """See `Ledger.advance`."""

    def unpublished_announcements(self, after: At | None = None) -> list[Announcement]:
        """What is still to be said, oldest first: the page that follows `after`."""
        query = (
            self._announcements()
            .where(filter=compare("published_at", "==", None))
            .where(filter=compare("set_aside_at", "==", None))
            .order_by("created_at")
            .order_by("__name__")
            .limit(OUTBOX_PAGE)
        )
        if after:
            created_at, id = after
            last = self._announcements().document(id)
            query = query.start_after({"created_at": created_at, "__name__": last})
        return list(readable(query.get(), announcement_from))

    def is_unpublished(self, job_id: str, seq: int) -> bool:
        """Whether a job's announcement of this number is still to be sent."""
        id = announcement_id(job_id, seq)
        data = self._announcements().document(id).get().to_dict()
        return bool(
            data and data["published_at"] is None and data.get("set_aside_at") is None
        )

    def mark_published(self, announcement: Announcement, now: datetime) -> None:
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

    def mark_unanswered(self, announcement: Announcement) -> None:
        """Counts an attempt that got no answer."""
        from google.cloud.firestore_v1.transforms import Increment

        self._announcements().document(announcement.id).update(
            {"attempts": Increment(1)}
        )

    def mark_refused(self, announcement: Announcement, why: str, now: datetime) -> bool:
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
        query = self._announcements().where(filter=compare("job_id", "==", job_id))
        found = [decode(one.to_dict(), Announcement) for one in query.stream()]
        return sorted(found, key=lambda one: one.seq)

    def announcements_between(
        self, since: datetime, until: datetime, types: Sequence[str] = TYPES
    ) -> Iterator[Announcement]:
        """All announcements of these types, made from `since` to before `until`."""
        query = (
            self._announcements()
            .where(filter=compare("type", "in", list(types)))
            .where(filter=compare("created_at", ">=", since))
            .where(filter=compare("created_at", "<", until))
            .order_by("created_at")
        )
        return (decode(one.to_dict(), Announcement) for one in query.stream())

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

    def replay_as_new(self, announcement: Announcement, now: datetime) -> Announcement:
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
            batch.create(document, unsent(new))
            try:
                with answered(f"announcement {announcement.id}"):
                    batch.commit()
            except Raced:
                held = document.get().to_dict()
                if held is None:
                    seq -= 1  # it is the job that another wrote to: again
                elif decode(held, Announcement) == new:
                    return new  # our own commit, whose answer was lost
            else:
                return new
        raise Unavailable(f"job {announcement.job_id}: others keep writing to it")

    def _hear(self, job: Job | None, now: datetime) -> None:
        """Nothing is the matter any more with a job that is to be told of again."""
        if job and job.health and job.health.code == UNHEARD:
            with suppress(Superseded):  # whoever moved it on knows better
                self.advance(job, lambda j: j.heard(now))
