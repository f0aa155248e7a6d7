"""Jobs in Firestore. Every write is a compare-and-set."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from batchdrop.announcements.message import Announcement
from batchdrop.errors import Superseded, Unavailable
from batchdrop.jobs.codes import Phase
from batchdrop.jobs.costs import RoundCost
from batchdrop.jobs.job import Job
from batchdrop.jobs.polled import due
from batchdrop.jobs.values import Reserved
from batchdrop.ledger.ceilings import Day, Days
from batchdrop.ledger.costs import Costs
from batchdrop.ledger.documents import (
    Common,
    Raced,
    answered,
    changed_fields,
    check_sizes,
    unsent,
)
from batchdrop.ledger.listing import Listing
from batchdrop.ledger.outbox import Outbox
from batchdrop.ledger.overview import Overview
from batchdrop.ledger.queries import Queries
from batchdrop.ledger.state import Spending, State

log = logging.getLogger(__name__)

#: How often a write is tried when others keep writing to the same document.
MAX_TRIES = 5


class Ledger(Queries, Listing, Overview, Outbox, State, Days, Costs):
    """
    The documents `jobs/{id}`, `announcements/{id}`, `locks/{name}`, `spending/{day}`,
    `ceilings/{day}` and `costs/{id}-{round}`.

    Each write names the update time of the document that it was derived from, so that
    Firestore refuses it if anyone has written since. A job's new state and its
    announcement are one commit: neither exists without the other.
    """

    def get(self, job_id: str) -> Job | None:
        """
        The job as the ledger holds it now.

        Raises:
            Unavailable: Firestore gave no answer.
        """
        with answered(f"job {job_id}"):
            snapshot = self._job(job_id).get(**self._in_time)
        return self._read(snapshot) if snapshot.exists else None

    def claim(self, job: Job) -> Job | None:
        """
        Creates the job's document. One caller gets the job; all others get None.

            create() answers          the ledger holds    this caller
            created                   its document        has the claim
            already exists, or any    its document        has the claim: the answer to
            other unclear answer                          its own commit was lost
            the same                  another document    has no claim

        Raises:
            NotWritable: Firestore will never accept the document.
            Unavailable: the outcome is unknown; call again.
        """
        about = f"job {job.id} could not be claimed"
        data = self._document(job)
        try:
            with answered(about):
                result = self._job(job.id).create(data)
            self.made_due |= due(job, job.updated_at)
            return replace(job, version=result.update_time)
        except Raced as exc:
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
        creates: Callable[[Job], Sequence[Job]] = lambda _: (),
        check: Callable[[Day, Reserved], None] = lambda *_: None,
    ) -> Job:
        """
        Applies a transition, if the job still has the phase, epoch and holder of
        `held`. A transition that raises `seq` adds an announcement to the outbox in the
        same commit. When a part ends, the same commit updates its split job; when a
        reservation changes, its day; when results are made, what they have cost.

        Args:
            held: the job as the caller knows it.
            move: a pure transition; called again if another field of the document
                changed meanwhile.
            spending: rows and bytes to add to a day's sum in the same commit.
            creates: makes, from the new job, further jobs that the same commit
                creates.
            check: raises if a day has no room for what the job reserves; called again
                if another job changed the day meanwhile.

        Returns:
            The job as it was written.

        Raises:
            Superseded: the job has another phase, or another worker holds it.
            NotWritable: Firestore will never accept the document.
            Unavailable: Firestore gave no answer.
        """
        current, taken = held, 0
        for _ in range(MAX_TRIES):
            job = _numbered(current, move(current), taken)
            days = self._days_after(current, job, check)
            writes = [(current, job), *self._split_job(current, job, taken)]
            try:
                with answered(f"job {held.id}"):
                    return self._commit(writes, spending, creates(job), days)
            except Raced:
                # Another write came first, or our own was applied and its answer was
                # lost: the document shows which.
                found = self.get(held.id)
                if found == job:
                    return found
                if found is None:
                    raise Superseded(f"job {held.id} is not in the ledger") from None
                if not _same_hold(found, held):
                    raise Superseded(
                        f"job {held.id} is not at {held.phase} any more"
                    ) from None
                if not days and self._are_as_written_from(writes):
                    # The outbox still has announcements of an earlier job with this
                    # id, whose document has expired: take the next free number.
                    taken += 1
                current = found
        raise Unavailable(f"job {held.id}: others keep writing to it")

    def _days_after(
        self, before: Job, job: Job, check: Callable[[Day, Reserved], None]
    ) -> list[Day]:
        """The days on which a job makes a reservation, changes it or gives it back."""
        old, new = before.reserved, job.reserved
        if new is None:
            return []
        if old and old.day == new.day:
            if old.micros == new.micros:
                return []
            return [self._reserved_on(new.day).moved(old, new)]
        check(day := self._reserved_on(new.day), new)
        days = [day.moved(None, new)]
        return [*days, self._reserved_on(old.day).moved(old, None)] if old else days

    def _reserved_on(self, day: str) -> Day:
        with answered(f"the reservations of {day}"):
            return self.reserved_on(day)

    def _split_job(self, before: Job, job: Job, taken: int) -> list[tuple[Job, Job]]:
        """
        The split job before and after the end of one of its parts. Empty if the split
        job's document has expired.
        """
        if job.part_of is None or before.is_over or not job.is_over:
            return []
        parent = self.get(job.part_of)
        if parent is None or parent.phase is not Phase.SPLIT:
            log.error(
                "part without a split job",
                extra={"event": "job.part_without_split_job", "job": job.id},
            )
            return []
        after = parent.part_over(job, job.updated_at)
        return [(parent, _numbered(parent, after, taken))]

    def _are_as_written_from(self, writes: Sequence[tuple[Job, Job]]) -> bool:
        """Whether no one has written to these jobs since they were read."""
        held = {job.id: job.version for job in self.get_all(b.id for b, _ in writes)}
        return all(held.get(before.id) == before.version for before, _ in writes)

    def _commit(
        self,
        writes: Sequence[tuple[Job, Job]],
        spending: Spending | None,
        creates: Sequence[Job],
        days: Sequence[Day],
    ) -> Job:
        """
        Writes everything or nothing; returns the first job, with its version.

        Raises:
            NotWritable: the commit is larger than Firestore accepts.
        """
        client = self._connect()
        before = [self._document(job) for job, _ in writes]
        after = [self._document(job) for _, job in writes]
        made = [self._document(job) for job in creates]
        if creates and creates[0].part_of == writes[0][1].id:
            common = Common.of(after[0])
            made = [common.left_out_of(document) for document in made]
            self._keep(writes[0][1].id, common)
        check_sizes(after, made)
        batch = client.batch()
        for (held, job), old, new in zip(writes, before, after, strict=True):
            batch.update(
                self._job(job.id),
                changed_fields(old, new),
                option=client.write_option(last_update_time=held.version),
            )
        for held, job in writes:
            if job.seq > held.seq:
                announcement = Announcement.of(job, self._event_source)
                document = self._announcements().document(announcement.id)
                batch.create(document, unsent(announcement))
                self.announcements_made += 1
        for held, job in writes:
            if cost := RoundCost.between(held, job):
                self._write_cost(batch, cost)
        if spending:
            from google.cloud.firestore_v1.transforms import Increment

            batch.set(
                self._day(spending.day),
                {"rows": Increment(spending.rows), "bytes": Increment(spending.bytes)},
                merge=True,
            )
        for day in days:
            self._write_day(batch, day)
        for job, document in zip(creates, made, strict=True):
            batch.create(self._job(job.id), document)
        results = batch.commit()
        for job in (*(after for _, after in writes), *creates):
            self.made_due |= due(job, job.updated_at)
        return replace(writes[0][1], version=results[0].update_time)


def _numbered(before: Job, job: Job, taken: int) -> Job:
    """The job with the next free number, if the move announces something."""
    return replace(job, seq=job.seq + taken) if job.seq > before.seq else job


def _same_hold(found: Job, held: Job) -> bool:
    return (found.phase, found.lease.epoch, found.lease.by) == (
        held.phase,
        held.lease.epoch,
        held.lease.by,
    )
