"""The moves of a job that a worker makes, up to a batch at the API."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Self

from batchdrop.jobs.codes import ErrorCode, HealthCode, Phase
from batchdrop.jobs.derived import Derived
from batchdrop.jobs.moves import UNSENT
from batchdrop.jobs.record import FORWARD, MAX_ROW_ERRORS
from batchdrop.jobs.values import (
    Batch,
    Duplicates,
    Fact,
    Input,
    Lease,
    Postponed,
    Problem,
    Spec,
    Staging,
    Timing,
)
from batchdrop.rows import RowError, Rows

#: A job whose next step fails for longer than this is announced as stalled: an outage
#: of an hour is nobody's business. Also the pause after which the time counts anew.
POSTPONED_FOR = timedelta(hours=2)
#: A job of which nothing is staged yet reads and stages all of its file at each
#: attempt. So it pauses for as long as it has failed, to at most this, and is parked
#: once it has failed for PATIENCE: that is some eighty attempts.
MAX_PAUSE = timedelta(hours=1)
PATIENCE = timedelta(days=3)
#: So often a job's check-points may be dropped before it is parked: two versions of the
#: code that take turns, and read a file differently, would drop each other's for ever.
MAX_DROPPED = 3
#: How the history calls it that a job was made anew.
LEDGER_LOST = "ledger_lost"


class Steps(Derived):
    """The moves of a worker, from choosing the model to a batch at the API."""

    __slots__ = ()

    def chosen(
        self,
        spec: Spec,
        spec_from: dict[str, str],
        manifest: str | None,
        inputs: tuple[Input, ...],
    ) -> Self:
        """What is to be made of it, who says so, and where its rows come from."""
        return replace(
            self,
            spec=spec,
            spec_from=spec_from,
            manifest=manifest,
            inputs=inputs,
        )

    def unstaged(self, now: datetime) -> Self:
        """
        What was check-pointed doesn't count: all is chosen and read anew. Parked, when
        that was so too often.
        """
        moved = self._moved(
            self.phase,
            now,
            note="check-points dropped",
            spec=None,
            spec_from={},
            manifest=None,
            inputs=(),
            parts={},
            dropped=self.dropped + 1,
        )
        if moved.dropped > MAX_DROPPED:
            return moved.park(
                now,
                "the parts that were staged of it were read differently the next "
                f"time, {moved.dropped} times: do two versions of the functions run in "
                "turn?",
            )
        return self._let_go(moved, now, due=now)

    def prepared(
        self,
        spec: Spec,
        staging: Staging,
        rows: Rows,
        now: datetime,
        timing: Timing,
        row_errors: tuple[RowError, ...] = (),
        report: str | None = None,
    ) -> Self:
        """The rows are staged and the choice of model and place is made for good."""
        moved = self._moved(
            Phase.PREPARED,
            now,
            spec=spec,
            staging=staging,
            rows=rows,
            row_errors=row_errors[:MAX_ROW_ERRORS],
            report=report,
            **FORWARD,
        )
        return self._renewed(moved, now + timing.lease)

    def attached(self, files: Iterable[str], now: datetime) -> Self:
        """
        A manifest without rows: the file beside it reads it. No batch is made of it,
        and nothing is announced.

        Args:
            files: the ids of the files' jobs.
        """
        moved = self._moved(Phase.ATTACHED, now, attached_to=tuple(files), **FORWARD)
        return self._let_go(moved, now)

    def read_anew(self, now: datetime) -> Self:
        """
        The manifest of a file that nobody holds has come: whoever takes the file up
        reads it. The new epoch supersedes a worker that looked for it too early and
        wakes late. A parked file stays parked.

        Raises:
            ValueError: it was read already, or is being read.
        """
        if self.phase is not Phase.ARRIVED or self.spec or self.is_held(now):
            raise ValueError(f"job {self.id} has not waited for a manifest")
        lease = Lease(until=now, epoch=self.lease.epoch + 1, by="nobody")
        return replace(
            self, lease=lease, due=None if self.is_parked else now, updated_at=now
        )

    def submitting(
        self, now: datetime, timing: Timing, spent_on: str | None = None
    ) -> Self:
        """
        The intent. Written before the request is sent, so that a crash is seen. Where
        a cancel is wanted, that is the end instead.
        """
        if self.cancel_request:
            return self.cancelled(now)
        if self.staging is None:
            raise ValueError(f"job {self.id}: unstaged, it can't become submitting")
        until = now + timing.lease
        settled = until + timing.create_timeout + timing.list_lag
        moved = self._moved(
            Phase.SUBMITTING,
            now,
            intent=self.lease.epoch,
            spent_on=self.spent_on or spent_on,
        )
        return replace(self._renewed(moved, until), due=settled)

    def submitted(self, batch: Batch, now: datetime) -> Self:
        """The service has made the batch."""
        moved = self._moved(Phase.SUBMITTED, now, batch=batch, **FORWARD, resumes=0)
        return self._let_go(moved, now)

    def duplicates_found(
        self, names: Iterable[str], message: str, now: datetime
    ) -> Self:
        """
        Marks batches as duplicates: the job never adopts them, even if its own batch
        disappears. Written before they are cancelled: the worker that is to cancel
        them may freeze, and wake when there is no batch but them.
        """
        known = self.duplicates.names if self.duplicates else ()
        new = [name for name in names if name not in known]
        assert self.batch is not None
        assert self.batch.name not in new
        since = self.duplicates.since if self.duplicates else now
        duplicates = Duplicates(since=since, message=message, names=(*known, *new))
        return self._moved(
            self.phase, now, note=HealthCode.DUPLICATES, duplicates=duplicates
        )

    def rejected(
        self,
        error: Problem,
        now: datetime,
        rows: Rows | None = None,
        row_errors: tuple[RowError, ...] | None = None,
        report: str | None = None,
        manifest: str | None = None,
    ) -> Self:
        """Nothing was paid and nothing will be."""
        moved = self._moved(
            Phase.REJECTED,
            now,
            note=error.code,
            error=error,
            rows=rows or self.rows,
            row_errors=self.row_errors
            if row_errors is None
            else row_errors[:MAX_ROW_ERRORS],
            report=report or self.report,
            manifest=self.manifest or manifest,
            **FORWARD,
            seq=self._seq_at_end,
        )
        return self._let_go(moved, now)

    def cancelled(self, now: datetime) -> Self:
        """It was wanted, and came before anything was paid."""
        by = self.cancel_request.by if self.cancel_request else "nobody"
        problem = Problem(code=ErrorCode.CANCELLED, message=f"cancelled by {by}")
        return self.rejected(problem, now)

    def restaged(self, staging: Staging, now: datetime) -> Self:
        """
        The rows lie under this epoch too. Written before older copies are deleted: a
        batch that fails for want of one of those is known by it, whoever dies next.
        """
        return self._moved(self.phase, now, staging=staging)

    def fenced_off(self, now: datetime, timing: Timing) -> Self:
        """
        Every older copy of the rows was deleted: a request that a frozen worker sends
        yet names an input that is gone.
        """
        moved = self._moved(Phase.PREPARED, now, note="fenced")
        return self._let_go(replace(moved, resumes=0), now, due=now + timing.list_lag)

    # -- the ledger was lost ----------------------------------------------------

    def made_anew(
        self,
        kept: Self,
        staging: Staging | None,
        epoch: int,
        now: datetime,
        timing: Timing,
    ) -> Self:
        """
        The ledger was lost, or put back from an old copy: it doesn't know how far this
        job has come. What was chosen for it stays.

        Args:
            kept: the job as it was when it was prepared or split.
            staging: its rows; None, if it was split.
            epoch: the highest that any of its workers is known to have had.
        """
        job = replace(
            self,
            created_at=kept.created_at,
            spec=kept.spec,
            spec_from=kept.spec_from,
            manifest=kept.manifest,
            inputs=kept.inputs,
            parts=kept.parts,
            rows=kept.rows,
            report=kept.report,
            parent=kept.parent,
            missed=True,
        )
        if staging is not None:
            return job.in_doubt(staging, epoch, now, timing)
        moved = job._moved(Phase.SPLIT, now, note=LEDGER_LOST, **FORWARD)
        return job._let_go(moved, now, resumes=0)

    def in_doubt(
        self, staging: Staging, epoch: int, now: datetime, timing: Timing
    ) -> Self:
        """
        A batch may have been made of it, or a request may be on its way, by workers of
        whom the ledger knows nothing. Whoever takes it up looks, when a list can tell
        of all that was made until now, and fences them off. His epoch is above theirs.
        """
        moved = self._moved(
            Phase.SUBMITTING,
            now,
            note=LEDGER_LOST,
            staging=staging,
            intent=0,
            missed=True,
            **FORWARD,
        )
        lease = replace(moved.lease, epoch=max(epoch, self.lease.epoch))
        moved = replace(moved, lease=lease)
        return self._let_go(moved, now, due=now + timing.list_lag, resumes=0)

    def overtaking(self, epoch: int, now: datetime) -> Self:
        """Rows lie under this epoch that nobody has sent: they aren't this job's."""
        lease = replace(self.lease, epoch=max(epoch + 1, self.lease.epoch))
        return replace(self, lease=lease, updated_at=now)

    # -- a worker that has to stop, and knows it --------------------------------

    def unclear(
        self,
        why: str,
        now: datetime,
        timing: Timing,
        *,
        not_allowed: bool = False,
    ) -> Self:
        """The request may or may not have made a batch; look, when a list can tell."""
        moved = self._moved(
            self.phase,
            now,
            note=HealthCode.NOT_ALLOWED if not_allowed else why,
            **self._failing(why, now, not_allowed),
        )
        return self._let_go(
            moved, now, due=now + timing.list_lag, resumes=self._resumes_before()
        )

    def postpone(
        self, why: str, now: datetime, due: datetime, *, not_allowed: bool = False
    ) -> Self:
        """
        A step failed through no fault of the job, and nothing is in flight: again at
        `due`. The resume that came to this doesn't count. What fails for longer than
        POSTPONED_FOR is announced as stalled, once.

        A job that has only arrived begins at its beginning: later and later, and not
        for ever (MAX_PAUSE, PATIENCE). It ends here where a cancel is wanted.
        """
        failing = self._failing(why, now, not_allowed)
        note = HealthCode.NOT_ALLOWED if not_allowed else why
        if self.phase is not Phase.ARRIVED:
            return self._put_off(note, now, due, failing)
        if self.cancel_request:
            return self.cancelled(now)
        since = failing["postponed"].since
        if now - since < PATIENCE:
            pause = min(now - since, MAX_PAUSE)
            return self._put_off(note, now, max(due, now + pause), failing)
        message = failing["postponed"].message
        # Parking it is an announcement of its own.
        return replace(self, postponed=failing["postponed"]).park(
            now, f"no step forward since {since:%Y-%m-%d %H:%M}: {message}"
        )

    def wait(self, why: str, now: datetime, due: datetime) -> Self:
        """
        Nothing is wrong; something has to come first, such as room in the queue or a
        manifest. Looked at again at `due`. The resume that came to this doesn't count.
        A job that fails each time its turn has come is postponed all the while.
        """
        return self._put_off(why, now, due, {})

    def _put_off(
        self, why: str, now: datetime, due: datetime, changes: dict[str, Any]
    ) -> Self:
        staged = self.phase in (Phase.PREPARED, Phase.SUBMITTING)
        phase = Phase.WAITING if staged else self.phase
        moved = self._moved(phase, now, note=why, **changes)
        return self._let_go(moved, now, due=due, resumes=self._resumes_before())

    def _failing(self, why: str, now: datetime, not_allowed: bool) -> dict[str, Any]:
        """What one more failed attempt changes, besides phase and lease."""
        last = self.postponed
        if last is None or now - last.at > POSTPONED_FOR:
            last = Postponed(since=now, at=now, message=why)
        long = now - last.since >= POSTPONED_FOR
        postponed = replace(last, at=now, message=why)
        changes: dict[str, Any] = {"postponed": postponed}
        if not_allowed:
            changes["not_allowed"] = Fact.still(self.not_allowed, why, now)
        if long:
            changes["postponed"] = replace(postponed, announced=True)
            changes["seq"] = self.seq if last.announced else self.seq + 1
        return changes

    def gave_up(self, why: str, now: datetime) -> Self:
        """A step failed for a reason nobody foresaw. The lease ends at once."""
        moved = self._moved(self.phase, now, note=why)
        # A request may be on its way only while `submitting`: keep to its own time.
        due = self.due if self.phase is Phase.SUBMITTING else now
        return self._let_go(moved, now, due=due)

    def park(self, now: datetime, why: str | None = None) -> Self:
        """
        Workers keep dying on it: it stays as it is until a person looks. Announced
        once, though two ticks may come to it.

        Args:
            why: another reason, as a sentence without its end.

        Raises:
            ValueError: no worker takes up a job of its phase.
        """
        if self.is_parked:
            return self
        if self.phase not in UNSENT:
            raise ValueError(f"job {self.id} is {self.phase}: it can't be parked")
        said = self.history[-1].note
        why = why or (
            f"{self.resumes} workers stopped on this job"
            f"{f', and the last said: {said}' if said else ' without a word'}"
        )
        message = f"{why}. See to that, then run `batchdrop resume {self.id}`"
        moved = self._moved(
            self.phase,
            now,
            note=HealthCode.PARKED,
            parked=Fact(since=now, message=message),
            seq=self.seq + 1,
        )
        return self._let_go(moved, now)
