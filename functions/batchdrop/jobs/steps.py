"""The moves of a job that a worker makes, up to a batch at the API."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Self

from batchdrop.jobs.codes import ErrorCode, HealthCode, Phase, Step, WaitCode
from batchdrop.jobs.moves import UNSENT
from batchdrop.jobs.record import FORWARD, MAX_ROW_ERRORS
from batchdrop.jobs.shown import Shown
from batchdrop.jobs.values import (
    Batch,
    Collecting,
    Duplicates,
    Estimate,
    Fact,
    Input,
    Lease,
    Postponed,
    Problem,
    Reserved,
    Spec,
    Staging,
    Timing,
)
from batchdrop.jobs.waiting import WaitingFor
from batchdrop.rows import RowError, Rows

#: A job is resumed this often in a row after its worker died; then it is parked.
MAX_RESUMES = 5
#: A job whose next step fails for longer than this is announced as stalled; a shorter
#: outage needs nobody's attention. After a pause of this length, the count restarts.
POSTPONED_FOR = timedelta(hours=2)
#: Until a part is staged, each attempt reads and stages the whole file. So a job pauses
#: for as long as it has failed, but at most for MAX_PAUSE, and is parked once it has
#: failed for PATIENCE. That makes some eighty attempts.
MAX_PAUSE = timedelta(hours=1)
PATIENCE = timedelta(days=3)
#: A job is parked when its checkpoints were dropped more often than this: two versions
#: of the code that run in turn, and read a file differently, would never end. Nor would
#: results that something deletes from the work bucket each time.
MAX_DROPPED = 3
#: The note in the history of a job that was made anew.
LEDGER_LOST = "ledger_lost"


class Steps(Shown):
    """The moves of a worker, from choosing the model to a batch at the API."""

    __slots__ = ()

    def chosen(
        self,
        spec: Spec,
        spec_from: dict[str, str],
        manifest: str | None,
        inputs: tuple[Input, ...],
    ) -> Self:
        """The spec of the batch, who chose it, and where the rows come from."""
        return replace(
            self,
            spec=spec,
            spec_from=spec_from,
            manifest=manifest,
            inputs=inputs,
        )

    def unstaged(self, now: datetime) -> Self:
        """
        The checkpoints are dropped: the spec is chosen, and the file read, anew. The
        job is parked if that happens more than MAX_DROPPED times.
        """
        moved = self._moved(
            self.phase,
            now,
            note="checkpoints dropped",
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
        estimate: Estimate | None = None,
    ) -> Self:
        """The rows are staged, and the model and endpoint are fixed."""
        moved = self._moved(
            Phase.PREPARED,
            now,
            spec=spec,
            staging=staging,
            estimate=estimate,
            rows=rows,
            row_errors=row_errors[:MAX_ROW_ERRORS],
            report=report,
            **FORWARD,
        )
        return self._renewed(moved, now + timing.lease)

    def attached(self, files: Iterable[str], now: datetime) -> Self:
        """
        The drop is a manifest without rows, for the file beside it. It gets no batch
        and no announcement.

        Args:
            files: the ids of the files' jobs.
        """
        moved = self._moved(Phase.ATTACHED, now, attached_to=tuple(files), **FORWARD)
        return self._let_go(moved, now)

    def read_anew(self, now: datetime) -> Self:
        """
        The manifest has arrived for a file that nobody holds: the next worker reads
        it. The new epoch supersedes a frozen worker that found no manifest. A parked
        job stays parked.

        Raises:
            ValueError: the file was read already, or is being read.
        """
        if self.phase is not Phase.ARRIVED or self.spec or self.is_held(now):
            raise ValueError(f"job {self.id} has not waited for a manifest")
        lease = Lease(until=now, epoch=self.lease.epoch + 1, by="nobody")
        return replace(
            self, lease=lease, due=None if self.is_parked else now, updated_at=now
        )

    def submitting(
        self,
        now: datetime,
        timing: Timing,
        spent_on: str | None = None,
        reserved: Reserved | None = None,
    ) -> Self:
        """
        The intent: it is written before the request is sent, so that a crash leaves a
        trace. If there is a cancel request, the job is cancelled instead.

        Args:
            reserved: what an intent of another day has reserved is given back.
        """
        if self.cancel_request:
            return self.cancelled(now)
        if self.staging is None:
            raise ValueError(f"job {self.id}: unstaged, it can't become submitting")
        until = now + timing.lease
        listed = until + timing.create_timeout + timing.list_lag
        moved = self._moved(
            Phase.SUBMITTING,
            now,
            intent=self.lease.epoch,
            spent_on=self.spent_on or spent_on,
            reserved=reserved or self.reserved,
            put_off=None,
        )
        return replace(self._renewed(moved, until), due=listed)

    def submitted(
        self, batch: Batch, now: datetime, reserved: Reserved | None = None
    ) -> Self:
        """
        The API has created the batch.

        Args:
            reserved: of a batch that was found by a ledger that knows of no intent.
        """
        moved = self._moved(
            Phase.SUBMITTED,
            now,
            batch=batch,
            reserved=self.reserved or reserved,
            **FORWARD,
            resumes=0,
        )
        return self._let_go(moved, now)

    def duplicates_found(
        self, names: Iterable[str], message: str, now: datetime
    ) -> Self:
        """
        Marks batches as duplicates: the job never adopts them, even if its own batch
        disappears. The mark is written before they are cancelled: the worker that
        cancels them may freeze, and wake when they are the only batches left.
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
        """The job ends without a batch: nothing was paid, and nothing will be."""
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
        # A part's rows have results all the same: they are missing.
        collects = self.part_of and self.makes_results
        left = Collecting(round=0, step=Step.FREEZE, due=now) if collects else None
        return replace(self._let_go(moved, now), collecting=left)

    def cancelled(self, now: datetime) -> Self:
        """A cancel was requested before anything was paid."""
        by = self.cancel_request.by if self.cancel_request else "nobody"
        problem = Problem(code=ErrorCode.CANCELLED, message=f"cancelled by {by}")
        return self.rejected(problem, now)

    def restaged(self, staging: Staging, now: datetime) -> Self:
        """
        The rows are staged under this epoch too. This is written before older copies
        are deleted, so that after any crash a batch that fails without its input can be
        recognised.
        """
        return self._moved(self.phase, now, staging=staging)

    def fenced_off(self, now: datetime, timing: Timing) -> Self:
        """
        Every older copy of the rows was deleted: a late request of a frozen worker
        names an input that is gone.
        """
        why = "the fence is set; a list may still show a batch"
        put_off = self._waiting(WaitCode.SEARCH, why, now)
        moved = self._moved(Phase.PREPARED, now, note="fenced", put_off=put_off)
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
        The ledger was lost, or restored from an old copy, and doesn't know how far
        this job has come. The choices that were made for it stay.

        Args:
            kept: the job as it was when it was prepared or split.
            staging: its rows; None if it was split.
            epoch: the highest known epoch of any of its workers.
        """
        job = replace(
            self,
            created_at=kept.created_at,
            spec=kept.spec,
            spec_from=kept.spec_from,
            manifest=kept.manifest,
            inputs=kept.inputs,
            parts=kept.parts,
            estimate=kept.estimate,
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
        Workers that the ledger doesn't know may have created a batch, or may still
        send a request. The next worker has a higher epoch than they: it waits for the
        list lag, searches, and fences them off.
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
        """Rows that are not this job's are staged under this epoch: use a later one."""
        lease = replace(self.lease, epoch=max(epoch + 1, self.lease.epoch))
        return replace(self, lease=lease, updated_at=now)

    def resumed(self, by: str, now: datetime, timing: Timing) -> Self:
        """Another worker takes the job up, which is counted before it does anything."""
        until = now + timing.lease
        due = until
        if self.phase is Phase.SUBMITTING:
            due = until + timing.create_timeout + timing.list_lag
        return replace(
            self._due_at(due),
            lease=Lease(until=until, epoch=self.lease.epoch + 1, by=by),
            parked=None,
            resumes=self.resumes + 1,
            updated_at=now,
        )

    # -- a worker that can't continue -------------------------------------------

    def unclear(
        self,
        why: str,
        now: datetime,
        timing: Timing,
        *,
        not_allowed: bool = False,
    ) -> Self:
        """The request may have created a batch: search once a list can show it."""
        code = WaitCode.GRANT if not_allowed else WaitCode.SEARCH
        moved = self._moved(
            self.phase,
            now,
            note=HealthCode.NOT_ALLOWED if not_allowed else why,
            put_off=self._waiting(code, why, now),
            **self._failing(why, now, not_allowed),
        )
        return self._let_go(
            moved, now, due=now + timing.list_lag, resumes=self._resumes_before()
        )

    def postpone(
        self,
        why: str,
        now: datetime,
        due: datetime,
        *,
        not_allowed: bool = False,
        costly: bool = False,
    ) -> Self:
        """
        A step failed through no fault of the job, and no request is in flight: try
        again at `due`. The resume that led here doesn't count. A job that fails for
        longer than POSTPONED_FOR is announced as stalled, once.

        A job that has only arrived starts from the beginning. So it pauses for longer
        each time, and is parked in the end (MAX_PAUSE, PATIENCE). If there is a cancel
        request, it is cancelled instead. After another step the pauses grow only if
        each attempt is `costly`.
        """
        failing = self._failing(why, now, not_allowed)
        code = WaitCode.GRANT if not_allowed else WaitCode.ANOTHER_TRY
        failing["put_off"] = self._waiting(code, why, now)
        note = HealthCode.NOT_ALLOWED if not_allowed else why
        since = failing["postponed"].since
        pause = min(now - since, MAX_PAUSE)
        if self.phase is not Phase.ARRIVED:
            again = max(due, now + pause) if costly else due
            return self._put_off(note, now, again, failing)
        if self.cancel_request:
            return self.cancelled(now)
        if now - since < PATIENCE:
            return self._put_off(note, now, max(due, now + pause), failing)
        message = failing["postponed"].message
        # Parking announces the job by itself.
        return replace(self, postponed=failing["postponed"]).park(
            now, f"no step forward since {since:%Y-%m-%d %H:%M} UTC: {message}"
        )

    def wait(
        self,
        code: WaitCode,
        why: str,
        now: datetime,
        due: datetime,
        ahead: int | None = None,
    ) -> Self:
        """
        Nothing is wrong, but the job needs something first, such as room in the queue
        or a manifest. Try again at `due`. The resume that led here doesn't count.
        `postponed` stays: the job may fail again when its turn comes.

        Args:
            ahead: how many jobs come first in its line.
        """
        changes = {"put_off": self._waiting(code, why, now, ahead)}
        return self._put_off(why, now, due, changes)

    def _put_off(
        self, why: str, now: datetime, due: datetime, changes: dict[str, Any]
    ) -> Self:
        staged = self.phase in (Phase.PREPARED, Phase.SUBMITTING)
        phase = Phase.WAITING if staged else self.phase
        moved = self._moved(phase, now, note=why, **changes)
        return self._let_go(moved, now, due=due, resumes=self._resumes_before())

    def _waiting(
        self, code: WaitCode, why: str, now: datetime, ahead: int | None = None
    ) -> WaitingFor:
        return WaitingFor.still(self.put_off, code, why, now, ahead)

    def _failing(self, why: str, now: datetime, not_allowed: bool) -> dict[str, Any]:
        """The fields that one more failed attempt changes, besides phase and lease."""
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
            changes["seq"] = self.seq if last.announced else self._next_seq
        return changes

    def gave_up(self, why: str, now: datetime) -> Self:
        """A step failed unexpectedly. The lease ends at once."""
        put_off = self._waiting(WaitCode.ANOTHER_TRY, why, now)
        moved = self._moved(self.phase, now, note=why, put_off=put_off)
        # While `submitting` a request may be in flight: its time stays.
        due = self.due if self.phase is Phase.SUBMITTING else now
        return self._let_go(moved, now, due=due)

    def park(self, now: datetime, why: str | None = None) -> Self:
        """
        Workers keep dying on the job: it waits for a person. It is announced once, even
        if two ticks park it.

        Args:
            why: another reason, as a sentence without its full stop.

        Raises:
            ValueError: no worker takes up a job in this phase, or nothing of its
                answers remains to be collected.
        """
        if self.is_parked:
            return self
        if self.phase not in UNSENT and not self.collecting:
            raise ValueError(f"job {self.id} is {self.phase}: it can't be parked")
        note = self.history[-1].note
        why = why or (
            f"{self.resumes} workers stopped on this job"
            f"{f'; the last note: {note}' if note else ', and left no note'}"
        )
        message = f"{why}. Mend that, then run `batchdrop resume {self.id}`"
        moved = self._moved(
            self.phase,
            now,
            note=HealthCode.PARKED,
            parked=Fact(since=now, message=message),
            seq=self._next_seq,
        )
        return self._let_go(moved, now)
