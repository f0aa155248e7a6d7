"""Publishes the outbox; the announcements of one job go out one after the other."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from typing import Any

from batchdrop.announcements.message import Announcement
from batchdrop.errors import Refused
from batchdrop.failpoints import failpoint
from batchdrop.ledger import Ledger
from batchdrop.quoting import public_text
from batchdrop.worker.stages import Tick

log = logging.getLogger(__name__)

#: After this many in a row without an answer Pub/Sub is taken to be down: the rest
#: waits for the next tick. Each may take as long as the publish time-out.
SILENCES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """Publishes the announcements that the ledger holds and that were not sent yet."""

    ledger: Ledger
    publish: Callable[[Announcement], None]
    now: Callable[[], datetime]

    def drain(self, tick: Tick) -> int:
        """
        Publishes until the deadline. What becomes of an announcement:

            taken                 marked, and the job's next one may go
            refused               counted; the job's next one waits, other jobs don't
            refused ten times     set aside, with the job's health; the next may go
            no answer             published again at the next tick, without limit
            no answer, thrice     nothing more is published in this tick
            in a row

        Returns:
            How many were sent.
        """
        sent = silences = 0
        gone: dict[str, int] = {}
        found = self.ledger.unpublished_announcements()
        first = list(islice(found, 2))
        if not first:
            return 0
        # One alone has none before it and none behind it.
        before = self.ledger.cursor("outbox") if len(first) > 1 else {}
        at: dict[str, Any] = {}
        for announcement in self._rotated(chain(first, found), before):
            if tick.is_over or silences == SILENCES:
                break
            at = {"created_at": announcement.created_at, "id": announcement.id}
            if not self._may_go(announcement, gone):
                continue
            job = announcement.job_id
            try:
                self._publish(announcement)
            except Refused as exc:
                silences = 0
                tick.note(exc, job)
                self._refused(announcement, exc, tick)
            except Exception as exc:
                silences += 1
                tick.note(exc, job)
                self.ledger.mark_unanswered(announcement)
            else:
                silences = 0
                sent += 1
                gone[job] = announcement.seq
        else:
            at = {}
        self.ledger.move_cursor("outbox", before, at)
        return sent

    def drain_job(self, job_id: str) -> None:
        """
        Publishes what one job has announced, ahead of the next tick, which publishes
        what fails here.
        """
        try:
            for announcement in self.ledger.announcements_of(job_id):
                if announcement.is_waiting:
                    self._publish(announcement)
        except Exception as exc:
            log.warning(
                "announcement left to the next tick",
                extra={
                    "event": "announcement.left",
                    "job": job_id,
                    "reason": public_text(exc),
                },
            )

    def _publish(self, announcement: Announcement) -> None:
        self.publish(announcement)
        failpoint("after_publish")
        self.ledger.mark_published(announcement, self.now())
        failpoint("after_published")
        log.info(
            "announcement published",
            extra={
                "event": "announcement.published",
                "job": announcement.job_id,
                "announcement": announcement.id,
                "type": announcement.type,
            },
        )

    def _rotated(
        self, found: Iterable[Announcement], cursor: dict[str, Any]
    ) -> Iterator[Announcement]:
        """
        All of the outbox, from where the last tick stopped, and then from the start, so
        that announcements that have to wait don't hold up the others.

        Args:
            found: the outbox from its start.
        """
        if not cursor:
            yield from found
            return
        last = (cursor["created_at"], cursor["id"])
        yield from self.ledger.unpublished_announcements(last)
        # Read anew: another tick may have published some meanwhile.
        for announcement in self.ledger.unpublished_announcements():
            if (announcement.created_at, announcement.id) > last:
                return
            yield announcement

    def _may_go(self, announcement: Announcement, gone: dict[str, int]) -> bool:
        """
        Whether the job's announcement before this one is published or set aside. The
        order in a page doesn't show it, as two workers' clocks differ.
        """
        job_id, before = announcement.job_id, announcement.seq - 1
        return (
            before == 0
            or gone.get(job_id) == before
            or not self.ledger.is_unpublished(job_id, before)
        )

    def _refused(self, announcement: Announcement, why: Refused, tick: Tick) -> None:
        try:
            aside = self.ledger.mark_refused(announcement, str(why), self.now())
        except Exception as exc:
            # Such as that the job can't be read: the next attempt counts.
            tick.note(exc, announcement.job_id)
            return
        if aside:
            log.error(
                "announcement set aside",
                extra={
                    "event": "announcement.set_aside",
                    "job": announcement.job_id,
                    "announcement": announcement.id,
                },
            )
