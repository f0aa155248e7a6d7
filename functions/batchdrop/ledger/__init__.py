"""Jobs in Firestore. Every write is a compare-and-set."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from batchdrop.announcements.message import Announcement
from batchdrop.errors import Superseded, Unavailable
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Phase
from batchdrop.ledger.documents import (
    Common,
    Raced,
    answered,
    changed_fields,
    check_sizes,
    unsent,
)
from batchdrop.ledger.outbox import Outbox
from batchdrop.ledger.queries import Queries
from batchdrop.ledger.state import Spending, State

log = logging.getLogger(__name__)

#: How often a write is tried again that others came before.
MAX_TRIES = 5


class Ledger(Queries, Outbox, State):
    """
    The documents `jobs/{id}`, `announcements/{id}`, `locks/{name}` and
    `spending/{day}`.

    A write names the update time of the document it was derived from, so that
    Firestore refuses it when anyone has written since. One commit holds a job and the
    announcement of what became of it: there is never one without the other.
    """

    def get(self, job_id: str) -> Job | None:
        """
        The job as the ledger holds it now.

        Raises:
            Unavailable: Firestore gave no answer.
        """
        with answered(f"job {job_id}"):
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
            with answered(about):
                result = self._job(job.id).create(data)
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
                with answered(f"job {held.id}"):
                    return self._commit(writes, spending, children(job))
            except Raced:
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


def _numbered(before: Job, job: Job, taken: int) -> Job:
    """With the next number for its announcement, if it has one, that isn't taken."""
    return replace(job, seq=job.seq + taken) if job.seq > before.seq else job


def _same_hold(found: Job, held: Job) -> bool:
    return (found.phase, found.lease.epoch, found.lease.by) == (
        held.phase,
        held.lease.epoch,
        held.lease.by,
    )
