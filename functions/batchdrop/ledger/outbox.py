"""Announcements: reads those to publish, records each attempt, and replays."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime

from batchdrop.announcements.message import (
    TYPES,
    Announcement,
    announcement_id,
)
from batchdrop.errors import Superseded, Unavailable
from batchdrop.jobs.codes import HealthCode
from batchdrop.jobs.job import Job
from batchdrop.ledger.documents import (
    Documents,
    Raced,
    announcement_from,
    answered,
    by_pages,
    compare,
    decode,
    readable,
    unsent,
)

#: An announcement's position in the outbox: its `created_at` and its id.
At = tuple[datetime, str]

#: Page size of reads of unpublished announcements.
OUTBOX_PAGE = 500
#: After this many refusals by Pub/Sub, an announcement is set aside.
MAX_REFUSALS = 10


class Outbox(Documents, ABC):
    """The documents `announcements/{id}`."""

    @abstractmethod
    def get(self, job_id: str) -> Job | None:
        """See `Ledger.get`."""

    @abstractmethod
    def advance(self, held: Job, move: Callable[[Job], Job]) -> Job:
        """See `Ledger.advance`."""

    def unpublished_announcements(
        self, after: At | None = None
    ) -> Iterator[Announcement]:
        """The unpublished announcements behind `after`, oldest first."""
        query = self._unpublished().order_by("__name__")
        if after:
            created_at, id = after
            last = self._announcements().document(id)
            query = query.start_after({"created_at": created_at, "__name__": last})
        return by_pages(query, OUTBOX_PAGE, announcement_from)

    def is_unpublished(self, job_id: str, seq: int) -> bool:
        """Whether a job's announcement with this number is still to be published."""
        id = announcement_id(job_id, seq)
        data = self._announcements().document(id).get().to_dict()
        return bool(
            data and data["published_at"] is None and data.get("set_aside_at") is None
        )

    def mark_published(self, announcement: Announcement, now: datetime) -> None:
        """Marks an announcement as published. A lost mark causes a repeat, no loss."""
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
        """Counts an attempt without an answer."""
        from google.cloud.firestore_v1.transforms import Increment

        self._announcements().document(announcement.id).update(
            {"attempts": Increment(1)}
        )

    def mark_refused(self, announcement: Announcement, why: str, now: datetime) -> bool:
        """
        Counts an attempt that Pub/Sub refused. The tenth sets the announcement aside,
        so that the job's later ones are published, and changes the job's health.

        Returns:
            Whether it is set aside.

        Raises:
            Superseded: the job changed meanwhile; the next attempt counts.
        """
        from google.cloud.firestore_v1.transforms import Increment

        changes = {
            "attempts": Increment(1),
            "refusals": announcement.refusals + 1,
            "reason": why,
        }
        enough = announcement.refusals + 1 >= MAX_REFUSALS
        if enough:
            # The health comes first: no announcement is set aside without it, even if
            # the worker dies in between.
            job = self.get(announcement.job_id)
            if job:
                message = announcement.set_aside_because(why)
                self.advance(
                    job, lambda j: j.troubled(HealthCode.UNPUBLISHED, message, now)
                )
            changes["set_aside_at"] = now
        self._announcements().document(announcement.id).update(changes)
        return enough

    def announcements_of(self, job_id: str) -> list[Announcement]:
        """All announcements of a job, published or not, by `seq`."""
        query = self._announcements().where(filter=compare("job_id", "==", job_id))
        found = [
            decode(one.to_dict(), Announcement) for one in query.stream(**self._in_time)
        ]
        return sorted(found, key=lambda one: one.seq)

    def latest_announcements_of(self, job: Job, most: int) -> list[Announcement]:
        """
        A job's latest announcements, the newest first, published or not. At most `most`
        documents are read: their ids follow from the job's.
        """
        numbers = range(job.seq, max(0, job.seq - most), -1)
        references = [
            self._announcements().document(announcement_id(job.id, n)) for n in numbers
        ]
        if not references:
            return []
        found = self._connect().get_all(references, **self._in_time)
        read = readable((one for one in found if one.exists), announcement_from)
        return sorted(read, key=lambda one: one.seq, reverse=True)

    def announcements_between(
        self, since: datetime, until: datetime, types: Sequence[str] = TYPES
    ) -> Iterator[Announcement]:
        """Announcements of these types, created from `since` to before `until`."""
        query = (
            self._announcements()
            .where(filter=compare("type", "in", list(types)))
            .where(filter=compare("created_at", ">=", since))
            .where(filter=compare("created_at", "<", until))
            .order_by("created_at")
        )
        return (decode(one.to_dict(), Announcement) for one in query.stream())

    def replay(self, announcement: Announcement, now: datetime) -> Announcement:
        """Puts an announcement into the outbox again, unchanged."""
        self._clear_unpublished(self.get(announcement.job_id), now)
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
        Puts an announcement into the outbox again, with a new event id and number, so
        that subscribers that deduplicate handle it again.

        Raises:
            Unavailable: Firestore gave no answer, or others keep writing to the job.
        """
        client, seq = self._connect(), announcement.seq
        self._clear_unpublished(self.get(announcement.job_id), now)
        for _ in range(20):
            job = self.get(announcement.job_id)
            # The job's document may have expired.
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
                    seq -= 1  # the job changed, not the outbox: same number again
                elif decode(held, Announcement) == new:
                    return new  # our own commit, whose answer was lost
            else:
                return new
        raise Unavailable(f"job {announcement.job_id}: others keep writing to it")

    def _clear_unpublished(self, job: Job | None, now: datetime) -> None:
        """Clears the fact that an announcement of the job was set aside."""
        if job and job.unpublished:
            with suppress(Superseded):  # the new state is the newer truth
                self.advance(job, lambda j: j.announced_again(now))
