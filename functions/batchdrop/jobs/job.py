"""What a job is and how it moves: a frozen value and pure transitions."""

from dataclasses import replace
from datetime import datetime
from typing import Self

from batchdrop.jobs.codes import ErrorCode, HealthCode, Outcome, Phase, WaitCode
from batchdrop.jobs.record import OVER, REACHED
from batchdrop.jobs.retries import Retried
from batchdrop.jobs.values import (
    Batch,
    CancelRequest,
    Drop,
    Fact,
    Lease,
    Moment,
    NotFound,
    Problem,
    Timing,
)
from batchdrop.rows import counted


class Job(Retried):
    """
    A drop and its batch. Every move returns a new value, which counts once the ledger
    has written it.

    The lease of a worker that is killed:

        claim               intent             lease.until       due
        |- stage, up to LEASE -|- POST, up to LEASE -|- CREATE_TIMEOUT + LIST_LAG -|
                               ^ renews the lease                  the next worker ^

    `due` is when `poll` should take the job up: when the lease ends, or, once a
    request may have been sent, when a list would show the batch that it created. None
    if there is nothing to resume.
    """

    __slots__ = ()

    @classmethod
    def claimed(
        cls,
        drop: Drop,
        by: str,
        now: datetime,
        timing: Timing,
        *,
        missed: bool = False,
    ) -> Self:
        """The job of a drop that nobody has claimed yet."""
        until = now + timing.lease
        return cls(
            id=drop.job_id,
            phase=Phase.ARRIVED,
            source=drop,
            lease=Lease(until=until, epoch=1, by=by),
            due=until,
            missed=missed,
            created_at=now,
            updated_at=now,
            history=(Moment(at=now, phase=Phase.ARRIVED),),
        )

    # -- a person ---------------------------------------------------------------

    def request_cancel(self, by: str, now: datetime) -> Self:
        """
        Somebody requests a cancel. The first person and time are kept. A second
        request does what can be done now:

            arrived prepared waiting, no lease    cancelled at once, nothing was paid
            the same under a lease, submitting    cancelled before the next request; a
                                                  parked job is taken up for that
            submitted                             the sweep asks the API to cancel
            split                                 each part is cancelled by itself
            over, but rows may go again           no further round, and the one under
                                                  way is cancelled by itself
            over                                  ValueError
        """
        if self.is_over and not self.may_go_again:
            again = f"; it was run again as {self.rerun_id}" if self.reruns else ""
            since = min(one.at for one in self.history if one.phase is self.phase)
            raise ValueError(
                f"job {self.id} is over: {self.outcome or self.phase} since "
                f"{since:%Y-%m-%d %H:%M} UTC{again}"
            )
        job = self
        if not self.cancel_request:
            request = CancelRequest(cancel=True, by=by, at=now)
            note = f"cancel requested by {by}"
            job = self._moved(self.phase, now, note=note, cancel_request=request)
        if self.is_over:
            return job
        unsent = (Phase.ARRIVED, Phase.PREPARED, Phase.WAITING)
        if self.phase in unsent and not self.is_held(now):
            return job.cancelled(now)
        if job.is_parked and job.phase is Phase.SUBMITTING:
            # A batch may exist: a worker has to search first. It may be resumed as
            # often as at first.
            return replace(job._let_go(job, now, due=now), resumes=0)
        return job

    def cancel_sent(self, now: datetime) -> Self:
        """The API was asked to cancel the batch, or all parts have the request."""
        assert self.cancel_request is not None
        return replace(
            self,
            cancel_request=replace(self.cancel_request, sent_at=now),
            updated_at=now,
        )

    def rerun_counted(self, by: str, now: datetime) -> Self:
        """
        Counts one more rerun of a job that is over.

        Raises:
            ValueError: it isn't over, or can't be run again by itself.
        """
        if self.part_of:
            raise ValueError(
                f"job {self.id} is a part of {self.part_of}; run that once more, "
                "which splits the file anew"
            )
        if self.retry_of:
            raise ValueError(
                f"job {self.id} is a round of {self.retry_of}; run that once more"
            )
        if not self.is_over:
            raise ValueError(f"job {self.id} is {self.phase}: it isn't over yet")
        if self.phase is Phase.ATTACHED:
            raise ValueError(
                f"job {self.id} is a manifest without src; run the job of the file "
                "beside it once more"
            )
        counted = replace(self, reruns=self.reruns + 1)
        return counted._moved(
            self.phase, now, note=f"rerun as {counted.rerun_id} by {by}"
        )

    def rerun(self, by: str, now: datetime) -> Self:
        """The latest rerun: a job of its own, for `poll` to take up."""
        claimed = type(self).claimed(
            self.source, "nobody", now, Timing.none(), missed=self.missed
        )
        note = f"rerun of {self.id} by {by}"
        return replace(
            claimed,
            id=self.rerun_id,
            parent=self.id,
            history=(replace(claimed.history[0], note=note),),
        )

    def announced_again(self, now: datetime, by: str | None = None) -> Self:
        """
        Announcements of the job are sent again, also those that Pub/Sub refused.

        Args:
            by: who asked for it, if anybody did for this job alone.
        """
        note = f"announced again by {by}" if by else "announced again"
        return self._moved(
            self.phase, now, note=note, repeats=by is not None, unpublished=None
        )

    def unpark(self, by: str, now: datetime) -> Self:
        """
        A person resumes the job: workers may try it again, as often as at first.

        Raises:
            ValueError: the job isn't parked.
        """
        if not self.is_parked:
            how = "it is over" if self.is_over else "it continues by itself"
            raise ValueError(f"job {self.id} isn't parked: {how}")
        moved = self._moved(
            self.phase,
            now,
            note=f"resumed by {by}",
            postponed=None,
            put_off=None,
            dropped=0,
        )
        return self._let_go(moved, now, due=now, resumes=0)

    # -- poll -------------------------------------------------------------------

    def troubled(self, code: HealthCode, message: str, now: datetime) -> Self:
        """
        Something is wrong that doesn't hold up the job.

        Args:
            code: NOT_VISIBLE, POLL_FAILED or UNPUBLISHED.
        """
        fact = Fact.still(getattr(self, code), message, now)
        return self._moved(self.phase, now, note=code, **{code: fact})

    def observed(self, batch: Batch, now: datetime) -> Self:
        """
        The API answered about the batch, which has not ended. An answer that is older
        than the last one changes nothing.
        """
        if self.batch and batch.is_older_than(self.batch):
            return self
        moved_on = self.batch is None or batch.state != self.batch.state
        stalled = None if moved_on else self.stalled
        return self._moved(self.phase, now, batch=batch, stalled=stalled, **REACHED)

    def ended(self, batch: Batch, now: datetime, error: Problem | None = None) -> Self:
        """The batch has ended."""
        return self._moved(
            Phase.ENDED,
            now,
            batch=batch,
            error=error,
            collecting=self._to_collect(batch, now),
            **OVER,
            seq=self._seq_at_end,
        )

    def stall(self, message: str, now: datetime) -> Self:
        """
        The batch has been in one state for too long. This is announced once; nothing
        changes if the state has changed meanwhile, or this was announced already.
        """
        if self.stall_at is None or now < self.stall_at:
            return self
        return self._moved(
            self.phase,
            now,
            note=HealthCode.STALLED,
            stalled=Fact(since=now, message=message),
            seq=self._next_seq,
        )

    def deleted(self, now: datetime) -> Self:
        """The batch was deleted at the API, as `delete_after` asks."""
        return replace(self, deleted_at=now, updated_at=now)

    def missed_once_more(self, now: datetime) -> Self:
        """The API answered 404 for the batch once more."""
        known, name = self.not_found, self.batch.name if self.batch else ""
        count = known.count + 1 if known else 1
        fact = NotFound(
            since=known.since if known else now,
            message=f"the API answers 404 to {name}; asked {counted(count, 'time')}",
            count=count,
        )
        return replace(self, not_found=fact, updated_at=now)

    def lost(self, now: datetime) -> Self:
        """The API has answered 404 for the batch for too long."""
        name = self.batch.name if self.batch else ""
        return self._moved(
            Phase.ENDED,
            now,
            note=Outcome.LOST,
            error=Problem(
                code=ErrorCode.LOST,
                message=f"the API does not know {name} any more",
            ),
            collecting=self._to_collect(None, now),
            **OVER,
            seq=self._seq_at_end,
        )

    def revived(self, now: datetime) -> Self:
        """The batch failed because the fence had moved its input: send it again."""
        moved = self._moved(
            Phase.WAITING,
            now,
            note="fenced_batch_failed",
            batch=None,
            # The next batch has to be cancelled as well.
            cancel_request=replace(self.cancel_request, sent_at=None)
            if self.cancel_request
            else None,
            state_since=None,
            running_since=None,
            stalled=None,
            put_off=self._waiting(WaitCode.QUEUE, "the batch is to be sent again", now),
            **REACHED,
        )
        return replace(moved, due=now)
