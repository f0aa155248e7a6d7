"""What a job is and how it moves: a frozen value and pure transitions."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Self

from batchdrop.jobs.codes import ErrorCode, HealthCode, Outcome, Phase
from batchdrop.jobs.values import (
    MAX_NAME,
    MAX_NOTE,
    OTHER,
    Batch,
    CancelRequest,
    Collecting,
    Drop,
    Duplicates,
    Fact,
    Health,
    Input,
    Lease,
    Moment,
    NotFound,
    Part,
    Postponed,
    Problem,
    Spec,
    Staging,
    Stats,
    Timing,
    brief,
    derived_id,
    outcome_of_parts,
)
from batchdrop.rows import RowError, Rows

#: The version of the documents that are written, and read: see `Job.v`.
VERSION = 2
#: A job is resumed this often after workers that died on it; then it is parked.
MAX_RESUMES = 5
#: History keeps this many entries: the first, and the latest ones.
MAX_HISTORY = 50
#: The facts that an answer of the API about the batch ends.
REACHED: dict[str, None] = {"not_visible": None, "poll_failed": None, "not_found": None}
#: The facts that the end of a batch ends besides.
OVER: dict[str, None] = REACHED | {"not_allowed": None, "stalled": None}
#: The facts that a step forward ends.
FORWARD: dict[str, None] = {"not_allowed": None, "postponed": None}
#: A batch is lost after so many 404s to its name, over at least this long.
LOST_AFTER = 3
LOST_FOR = timedelta(hours=1)
#: For so long after its end a batch that succeeded is asked where its answers are.
OUTPUT_FOR = timedelta(minutes=10)
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
#: A document keeps this many of the lines that were refused.
MAX_ROW_ERRORS = 20
#: A file has at most so many parts. One commit makes the jobs of all of them: 2 kB
#: each with a common name, 8 kB with the longest of everything, and the emulator takes
#: 4 MiB at once (production 10).
MAX_PARTS = 300

#: Which phase may follow which, and what makes it happen. A phase may always be written
#: again as it is.
MOVES: dict[Phase, dict[Phase, str]] = {
    Phase.ARRIVED: {
        Phase.PREPARED: "the rows are staged",
        Phase.SUBMITTING: "the ledger was lost, and a batch may exist",
        Phase.SPLIT: "all parts are staged",
        Phase.REJECTED: "the file can't be sent, or is cancelled",
        Phase.ATTACHED: "it is a manifest without rows",
    },
    Phase.PREPARED: {
        Phase.SUBMITTING: "the intent is written",
        Phase.SUBMITTED: "a search finds the batch",
        Phase.WAITING: "the queue is full, or a step fails",
        Phase.REJECTED: "cancelled, or not to be sent",
    },
    Phase.WAITING: {
        Phase.SUBMITTING: "its turn comes, and the intent is written",
        Phase.SUBMITTED: "a search finds the batch",
        Phase.REJECTED: "cancelled, or not to be sent",
    },
    Phase.SUBMITTING: {
        Phase.SUBMITTED: "the API has created the batch",
        Phase.WAITING: "nothing was created for now",
        Phase.PREPARED: "a search finds no batch, and the fence is set",
        Phase.REJECTED: "the API refuses the request, or it is cancelled",
    },
    Phase.SUBMITTED: {
        Phase.ENDED: "the batch ends, or is lost",
        Phase.WAITING: "the batch fails because of the fence",
    },
    # Also if nothing of it was paid: see `outcome`.
    Phase.SPLIT: {Phase.ENDED: "the last part is over"},
    Phase.ENDED: {},
    Phase.REJECTED: {},
    Phase.ATTACHED: {},
}
#: In these phases a worker takes a job up, and another one when it dies.
UNSENT = frozenset({Phase.ARRIVED, Phase.PREPARED, Phase.WAITING, Phase.SUBMITTING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """
    A drop on its way. Every method returns a new value; the ledger decides whether
    it counts.

    A lease's life, for a worker that is killed:

        claim               intent             lease.until       due
        |- stage, up to LEASE -|- POST, up to LEASE -|- CREATE_TIMEOUT + LIST_LAG -|
                               ^ renews the lease                  the next worker ^

    `due` is when `poll` should take the job up: when the lease ends, or, once a
    request may have been sent, when a list of the service would show what it made.
    None: there is nothing to resume.
    """

    id: str
    phase: Phase
    source: Drop
    lease: Lease
    created_at: datetime
    updated_at: datetime
    v: int = VERSION
    due: datetime | None = None
    spec: Spec | None = None
    spec_from: dict[str, str] = field(default_factory=dict)  #: who chose what of it
    manifest: str | None = None  #: the object, and its generation, that spoke for it
    #: Of a manifest that is attached: ids of the files' jobs, if there were any yet.
    attached_to: tuple[str, ...] = ()
    inputs: tuple[Input, ...] = ()  #: where its rows come from, if not from `source`
    #: The parts, by their jobs' ids: those staged so far, or, in `split`, all.
    parts: dict[str, Part] = field(default_factory=dict)
    part_of: str | None = None  #: the job of which this is a part
    part: Part | None = None  #: which part
    collecting: Collecting | None = None  #: what remains to be done with its answers
    staging: Staging | None = None
    intent: int = 0  #: the epoch that wrote the intent which is still open
    batch: Batch | None = None
    rows: Rows = field(default_factory=Rows)
    row_errors: tuple[RowError, ...] = ()  #: the first ones
    report: str | None = None  #: the object with all lines that were refused
    error: Problem | None = None
    # Facts, worst first: see `health`. None of them hides or clears another.
    parked: Fact | None = None  #: nobody takes it up until a person resumes it
    duplicates: Duplicates | None = None  #: other batches of it, never adopted
    answers_at_risk: Fact | None = None  #: the API soon deletes answers not copied
    not_allowed: Fact | None = None  #: a key, a bucket or a right is missing
    unpublished: Fact | None = None  #: Pub/Sub refuses an announcement of it
    not_visible: Fact | None = None  #: its batch and many others answer 404
    poll_failed: Fact | None = None  #: the API could not be asked about the batch
    not_found: NotFound | None = None  #: the batch answers 404
    stalled: Fact | None = None  #: the batch is in one state for too long
    postponed: Postponed | None = None  #: the next step fails, and is tried again
    answers_short: Fact | None = None  #: fewer answers than the API counts
    columns_lost: Fact | None = None  #: the user's columns could not be joined
    cancel_request: CancelRequest | None = None
    state_since: datetime | None = None  #: since when we know of `batch.state`
    running_since: datetime | None = None
    deleted_at: datetime | None = None  #: when the batch was deleted at the service
    missed: bool = False  #: found by listing the inbox: its event never came
    parent: str | None = None  #: the job of which this is a wanted repetition
    reruns: int = 0  #: how many wanted repetitions there are
    spent_on: str | None = None  #: the day whose limits it was counted against
    resumes: int = 0  #: how often in a row it was taken up after a worker's death
    dropped: int = 0  #: how often its check-points were dropped
    seq: int = 0  #: how many announcements were made of it
    history: tuple[Moment, ...] = ()
    #: The document's update time at the ledger; not part of the document.
    version: datetime | None = field(default=None, compare=False)

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
        """The job of a drop nobody has claimed yet."""
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
        Somebody wants it cancelled. The first person and time are kept; asking again
        does what can be done now.

            arrived prepared waiting, nobody at it    over at once, nothing was paid
            the same under a lease, submitting        before the next request, for
                                                      which a parked one is taken up
            submitted                                 the sweep asks the service
            split                                     its parts, each by itself
            over                                      ValueError
        """
        if self.is_over:
            again = f"; it was run again as {self.rerun_id}" if self.reruns else ""
            raise ValueError(f"job {self.id} is over: it is {self.phase}{again}")
        job = self
        if not self.cancel_request:
            wanted = CancelRequest(cancel=True, by=by, at=now)
            note = f"cancel wanted by {by}"
            job = self._moved(self.phase, now, note=note, cancel_request=wanted)
        unsent = (Phase.ARRIVED, Phase.PREPARED, Phase.WAITING)
        if self.phase in unsent and not self.is_held(now):
            return job.cancelled(now)
        if job.is_parked and job.phase is Phase.SUBMITTING:
            # Whether a batch was made of it must be seen first: once more, with the
            # patience of the first time.
            return replace(job._let_go(job, now, due=now), resumes=0)
        return job

    def cancelled(self, now: datetime) -> Self:
        """It was wanted, and came before anything was paid."""
        by = self.cancel_request.by if self.cancel_request else "nobody"
        problem = Problem(code=ErrorCode.CANCELLED, message=f"cancelled by {by}")
        return self.rejected(problem, now)

    def cancel_sent(self, now: datetime) -> Self:
        """The service was asked to cancel the batch; or all parts know of it."""
        assert self.cancel_request is not None
        return replace(
            self,
            cancel_request=replace(self.cancel_request, sent_at=now),
            updated_at=now,
        )

    def rerun_counted(self, now: datetime) -> Self:
        """One more wanted repetition of a job that is over."""
        if self.part_of:
            raise ValueError(
                f"job {self.id} is a part of {self.part_of}; run that once more, "
                "which splits the file anew"
            )
        if not self.is_over:
            raise ValueError(f"job {self.id} is {self.phase}: it isn't over yet")
        if self.phase is Phase.ATTACHED:
            raise ValueError(
                f"job {self.id} is a manifest without src; run the job of the file "
                "beside it once more"
            )
        return replace(self, reruns=self.reruns + 1, updated_at=now)

    @property
    def rerun_id(self) -> str:
        """The id of its latest repetition, if there is one."""
        return derived_id(self.id, f"rerun-{self.reruns}")

    def rerun(self, now: datetime) -> Self:
        """The latest wanted repetition: a job of its own, for `poll` to take up."""
        return replace(
            type(self).claimed(
                self.source, "nobody", now, Timing.none(), missed=self.missed
            ),
            id=self.rerun_id,
            parent=self.id,
        )

    def announced_again(self, now: datetime) -> Self:
        """The announcement that Pub/Sub refused goes out again."""
        return self._moved(self.phase, now, note="announced again", unpublished=None)

    # -- a worker at its steps --------------------------------------------------

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

    def part_id(self, n: int) -> str:
        """The id of the job that the n-th part is to be, counted from 0."""
        return derived_id(self.id, f"part-{n}")

    def part_staged(self, part: Part, now: datetime, timing: Timing) -> Self:
        """
        One more part lies staged as a whole: whoever takes the job up after this
        worker goes on behind it.
        """
        if self.phase is not Phase.ARRIVED:
            raise ValueError(f"job {self.id} is {self.phase}: it has no more parts")
        if part.n >= MAX_PARTS:
            raise ValueError(f"a file has at most {MAX_PARTS} parts")
        parts = self.parts | {self.part_id(part.n): part}
        moved = self._moved(
            self.phase,
            now,
            parts=parts,
            resumes=0,
            postponed=None,
        )
        return self._renewed(moved, now + timing.lease)

    def split(
        self,
        spec: Spec,
        rows: Rows,
        now: datetime,
        row_errors: tuple[RowError, ...] = (),
        report: str | None = None,
    ) -> Self:
        """
        All parts are staged, and the choice of model and place is made for good. From
        here on each is a job of its own: see `part_jobs`. Where a cancel is wanted,
        that is the end instead.
        """
        if self.cancel_request:
            return self.cancelled(now)
        if {part.n for part in self.parts.values()} != set(range(len(self.parts) or 1)):
            raise ValueError(f"job {self.id} lacks some of its parts")
        moved = self._moved(
            Phase.SPLIT,
            now,
            spec=spec,
            rows=rows,
            row_errors=row_errors[:MAX_ROW_ERRORS],
            report=report,
            **FORWARD,
        )
        return self._let_go(moved, now, resumes=0)

    def part_jobs(self, now: datetime) -> list[Self]:
        """
        The parts of a job that was split, as jobs for `poll` to take up. They come
        in the place of their file, so that none waits behind what was dropped later.
        Whoever takes one up has an epoch over 1, and so looks before it sends.
        """
        if self.phase is not Phase.SPLIT:
            return []
        assert self.spec is not None
        parts = sorted(self.parts.items(), key=lambda item: item[1].n)
        return [self._part_job(id, part, self.spec, now) for id, part in parts]

    def _part_job(self, id: str, part: Part, spec: Spec, now: datetime) -> Self:
        ending = f" part {part.n + 1}/{len(self.parts)}"
        labels = dict(spec.labels)
        if "batchdrop_job" in labels:
            labels["batchdrop_job"] = id
        return type(self)(
            id=id,
            phase=Phase.PREPARED,
            source=self.source,
            lease=Lease(until=now, epoch=part.staging.epoch, by="nobody"),
            due=now,
            spec=replace(
                spec,
                destination=_place_of_part(spec.destination, part.n),
                display_name=spec.display_name[: MAX_NAME - len(ending)] + ending,
                labels=labels,
                # The staged rows have it already, and copies for all are a lot.
                generation_config=None,
            ),
            spec_from=self.spec_from,
            part_of=self.id,
            part=part,
            staging=part.staging,
            rows=Rows(total=part.staging.rows, accepted=part.staging.rows),
            missed=self.missed,
            created_at=self.created_at,
            updated_at=now,
            history=(Moment(at=now, phase=Phase.PREPARED),),
        )

    def part_over(self, child: "Job", now: datetime) -> Self:
        """
        One of the parts is over. The last one ends the split job, which is announced
        once for all of them; why the first failed is the split job's error.
        """
        told = child.batch.completion_stats if child.batch else None
        part = replace(
            self.parts[child.id],
            outcome=child.outcome,
            # What the API counted before it lost the batch is no answer.
            stats=None if child.is_lost or child.has_no_output else told,
        )
        problem = child.error or (child.batch.error if child.batch else None)
        error = self.error
        if problem and not error:
            error = Problem(
                code=problem.code,
                message=f"part {part.n + 1} of {len(self.parts)}, job {child.id}: "
                f"{problem.message}",
            )
        parts = self.parts | {child.id: part}
        outcome = outcome_of_parts(parts.values())
        changes: dict[str, Any] = {"parts": parts, "error": error}
        if outcome is None:
            return self._moved(self.phase, now, **changes)
        return self._moved(Phase.ENDED, now, note=outcome, **changes, seq=self.seq + 1)

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

    def is_duplicate(self, name: str) -> bool:
        """Whether the batch of this name is one to be cancelled, never adopted."""
        return self.duplicates is not None and name in self.duplicates.names

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

    # -- poll -------------------------------------------------------------------

    def resumed(self, by: str, now: datetime, timing: Timing) -> Self:
        """Another worker takes the job up. Counted before it does anything."""
        until = now + timing.lease
        due = until
        if self.phase is Phase.SUBMITTING:
            due = until + timing.create_timeout + timing.list_lag
        return replace(
            self,
            lease=Lease(until=until, epoch=self.lease.epoch + 1, by=by),
            due=due,
            parked=None,
            resumes=self.resumes + 1,
            updated_at=now,
        )

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

    def unpark(self, by: str, now: datetime) -> Self:
        """
        A person has looked: workers may try it again, as often as at first.

        Raises:
            ValueError: it isn't parked.
        """
        if not self.is_parked:
            how = "it is over" if self.is_over else "it goes on by itself"
            raise ValueError(f"job {self.id} isn't parked: {how}")
        moved = self._moved(
            self.phase,
            now,
            note=f"resumed by {by}",
            postponed=None,
            dropped=0,
        )
        return self._let_go(moved, now, due=now, resumes=0)

    def troubled(self, code: HealthCode, message: str, now: datetime) -> Self:
        """
        Something is wrong that doesn't stop the job.

        Args:
            code: NOT_VISIBLE, POLL_FAILED or UNPUBLISHED.
        """
        fact = Fact.still(getattr(self, code), message, now)
        return self._moved(self.phase, now, note=code, **{code: fact})

    def observed(self, batch: Batch, now: datetime) -> Self:
        """
        The API answered about the batch, which has not ended. An answer that is older
        than the one before changes nothing.
        """
        if self.batch and batch.is_older_than(self.batch):
            return self
        moved_on = self.batch is None or batch.state != self.batch.state
        stalled = None if moved_on else self.stalled
        return self._moved(self.phase, now, batch=batch, stalled=stalled, **REACHED)

    def ended(self, batch: Batch, now: datetime, error: Problem | None = None) -> Self:
        """The service is done."""
        return self._moved(
            Phase.ENDED, now, batch=batch, error=error, **OVER, seq=self._seq_at_end
        )

    def stall(self, message: str, now: datetime) -> Self:
        """
        The batch has been in one state for too long. Announced once; nothing changes
        if it has moved on meanwhile, or was announced already.
        """
        if self.stall_at is None or now < self.stall_at:
            return self
        return self._moved(
            self.phase,
            now,
            note=HealthCode.STALLED,
            stalled=Fact(since=now, message=message),
            seq=self.seq + 1,
        )

    def deleted(self, now: datetime) -> Self:
        """The batch is gone at the service, as was wanted."""
        return replace(self, deleted_at=now, updated_at=now)

    def missed_once_more(self, now: datetime) -> Self:
        """The API answered 404 to the name of the batch, once more."""
        known, name = self.not_found, self.batch.name if self.batch else ""
        count = known.count + 1 if known else 1
        fact = NotFound(
            since=known.since if known else now,
            message=f"the API answers 404 to {name}; asked {count} times",
            count=count,
        )
        return replace(self, not_found=fact, updated_at=now)

    def lost(self, now: datetime) -> Self:
        """The service has not known the batch for a long time."""
        name = self.batch.name if self.batch else ""
        return self._moved(
            Phase.ENDED,
            now,
            note=Outcome.LOST,
            error=Problem(
                code=ErrorCode.LOST,
                message=f"the service does not know {name} any more",
            ),
            **OVER,
            seq=self._seq_at_end,
        )

    def revived(self, now: datetime) -> Self:
        """The batch failed because we had deleted its input: that was not the end."""
        moved = self._moved(
            Phase.WAITING,
            now,
            note="fenced_batch_failed",
            batch=None,
            # A batch that is found in its place is to be cancelled as well.
            cancel_request=replace(self.cancel_request, sent_at=None)
            if self.cancel_request
            else None,
            state_since=None,
            running_since=None,
            stalled=None,
            **REACHED,
        )
        return replace(moved, due=now)

    # -- questions --------------------------------------------------------------

    @property
    def is_parked(self) -> bool:
        return self.parked is not None

    @property
    def troubles(self) -> list[Health]:
        """Everything that is wrong with it on our side, worst first."""
        facts: dict[HealthCode, Fact | None] = {
            HealthCode.PARKED: self.parked,
            HealthCode.DUPLICATES: self.duplicates,
            HealthCode.ANSWERS_AT_RISK: self.answers_at_risk,
            HealthCode.NOT_ALLOWED: self.not_allowed,
            HealthCode.UNPUBLISHED: self.unpublished,
            HealthCode.NOT_VISIBLE: self.not_visible,
            HealthCode.POLL_FAILED: self.poll_failed,
            HealthCode.NOT_FOUND: self.not_found,
            HealthCode.STALLED: self.stalled,
            HealthCode.POSTPONED: self._postponed_for_long,
            HealthCode.ANSWERS_SHORT: self.answers_short,
            HealthCode.COLUMNS_LOST: self.columns_lost,
            HealthCode.UNKNOWN_STATE: self._unknown_state,
            HealthCode.ROWS_FAILED: self._rows_failed,
        }
        return [
            Health(code=code, message=fact.message, since=fact.since)
            for code, fact in facts.items()
            if fact
        ]

    @property
    def health(self) -> Health | None:
        """The worst of its troubles; None if it is healthy."""
        return next(iter(self.troubles), None)

    @property
    def _postponed_for_long(self) -> Fact | None:
        if self.postponed is None or not self.postponed.announced:
            return None
        since, why = self.postponed.since, self.postponed.message
        message = f"no step forward since {since:%Y-%m-%d %H:%M}: {why}. "
        return Fact(since=since, message=f"{message}It is tried again by itself")

    @property
    def _unknown_state(self) -> Fact | None:
        if self.batch is None or self.batch.known:
            return None
        message = f"the service says {self.batch.state}; it is taken for under way"
        return Fact(since=self.state_since or self.updated_at, message=message)

    @property
    def _rows_failed(self) -> Fact | None:
        failed = self.stats.failed if self.stats else None
        if self.phase is not Phase.ENDED or not failed:
            return None
        message = f"{failed:,} rows failed, by the API's count"
        return Fact(since=self._ended_at, message=message)

    def is_due(self, now: datetime) -> bool:
        return self.due is not None and self.due <= now

    def is_held(self, now: datetime) -> bool:
        """Whether somebody has the job to himself."""
        return now < self.lease.until

    @property
    def intends(self) -> bool:
        """Whether the intent is the present holder's own, so that it may send."""
        return self.intent == self.lease.epoch

    @property
    def is_visible(self) -> bool:
        """Whether the API answered about the batch when it was last asked."""
        return not (self.not_found or self.not_visible or self.poll_failed)

    @property
    def is_lost(self) -> bool:
        # A split job's error is one of its parts'.
        lost = self.error is not None and self.error.code == ErrorCode.LOST
        return lost and not self.is_split

    @property
    def has_no_output(self) -> bool:
        """Whether its batch succeeded, and the API never named its answers."""
        none = self.error is not None and self.error.code == ErrorCode.NO_OUTPUT
        return none and not self.is_split

    @property
    def cancel_at(self) -> datetime | None:
        """When it will have run for as long as `cancel_after` allows."""
        if self.phase is not Phase.SUBMITTED or self.cancel_request:
            return None
        return _after(self.running_since, self.spec.cancel_after if self.spec else None)

    @property
    def stall_at(self) -> datetime | None:
        """When its batch will have been in its state for as long as it should be. None
        once that is announced."""
        if self.phase is not Phase.SUBMITTED or self.stalled or self.batch is None:
            return None
        patience = self.spec.stalled_after if self.spec else {}
        seconds = patience.get(self.batch.state, patience.get(OTHER))
        return _after(self.state_since, seconds)

    @property
    def delete_at(self) -> datetime | None:
        """When the API is to delete its batch. None if that is not wanted, or done; or
        if the API may still name the answers."""
        if not self.is_done or self.phase is not Phase.ENDED or self.deleted_at:
            return None
        if self.batch is None or self.is_lost or self.has_no_output:
            return None
        ended = self.batch.end_time or self._ended_at
        return _after(ended, self.spec.delete_after if self.spec else None)

    @property
    def _ended_at(self) -> datetime:
        """When we learned of its end."""
        times = [one.at for one in self.history if one.phase is Phase.ENDED]
        return min(times, default=self.updated_at)

    @property
    def endpoint(self) -> str:
        """Where its batch is to be, once that is chosen: see `Spec.endpoint`."""
        return self.spec.endpoint if self.spec else ""

    @property
    def queue(self) -> str:
        """What has room of its own at the service: see `Spec.queue`."""
        return self.spec.queue if self.spec else ""

    @property
    def is_split(self) -> bool:
        """Whether it was split, and its parts are what counts."""
        unsent = self.phase is Phase.ENDED and self.batch is None
        return self.phase is Phase.SPLIT or unsent

    @property
    def is_over(self) -> bool:
        """Whether nothing more of its batch is asked for or paid."""
        return not MOVES[self.phase]

    @property
    def is_done(self) -> bool:
        """Whether no work remains: it is over, and nothing is to be collected."""
        return self.is_over and self.collecting is None

    @property
    def outcome(self) -> Outcome | None:
        """How it ended. None: it has not, or it is a manifest."""
        if self.phase is Phase.REJECTED:
            cancelled = self.error and self.error.code == ErrorCode.CANCELLED
            return Outcome.CANCELLED if cancelled else Outcome.REJECTED
        if self.phase is not Phase.ENDED:
            return None
        if self.batch is None:
            return outcome_of_parts(self.parts.values())
        if self.is_lost:
            return Outcome.LOST
        if self.has_no_output:
            return Outcome.FAILED
        return Outcome.of_state(self.batch.state)

    @property
    def stats(self) -> Stats | None:
        """The service's own count of rows; of a split job, all that its parts tell."""
        if not self.is_split:
            return self.batch.completion_stats if self.batch else None
        told = [part.stats for part in self.parts.values() if part.stats]
        return Stats(
            successful=_sum(each.successful for each in told),
            failed=_sum(each.failed for each in told),
            incomplete=_sum(each.incomplete for each in told),
        )

    def may_be_lost(self, now: datetime) -> bool:
        """Not one 404, nor many within a short time, make a batch lost."""
        return (
            self.not_found is not None
            and self.not_found.count >= LOST_AFTER
            and now - self.not_found.since >= LOST_FOR
        )

    @property
    def must_search(self) -> bool:
        """
        Whether the service may have a batch of this job already. Only the first
        request of a fresh claim goes out unlooked.
        """
        return self.lease.epoch > 1 or self.missed

    def may_take_up(self, batch: Batch) -> bool:
        """
        Whether it can go on with a batch that was found. One that is to be cancelled
        is none, unless it is over and was not: then a late cancel does no harm.
        """
        if self.failed_by_fence(batch):
            return False
        spared = batch.terminal and batch.state != "JOB_STATE_CANCELLED"
        return spared or not self.is_duplicate(batch.name)

    def may_name_output(self, batch: Batch, now: datetime) -> bool:
        """Whether a batch that has succeeded may still come to say where it wrote."""
        if not batch.awaits_output:
            return False
        # Since its end, or since we know of that, if the service's clock is ahead.
        times = [moment.at for moment in self.history if moment.state == batch.state]
        if batch.since:
            times.append(batch.since)
        return now - min(times, default=now) < OUTPUT_FOR

    def failed_by_fence(self, batch: Batch) -> bool:
        """
        Whether a batch failed because the fence had taken its input away: it names
        an older staging, and the service finished no row of it.
        """
        stats = batch.completion_stats or Stats()
        return (
            batch.state == "JOB_STATE_FAILED"
            and self.staging is not None
            and batch.epoch is not None
            and batch.epoch < self.staging.epoch
            and not stats.successful
        )

    @property
    def may_fail_by_fence(self) -> bool:
        """
        Whether the job's own batch names an older staging, and has not read its rows
        as far as we know: the fence may have taken them away.
        """
        return (
            self.batch is not None
            and self.staging is not None
            and self.batch.epoch is not None
            and self.batch.epoch < self.staging.epoch
            and not self.batch.has_begun
        )

    # -- the pieces -------------------------------------------------------------

    def _moved(
        self, phase: Phase, now: datetime, *, note: Any = None, **changes: Any
    ) -> Self:
        if phase is not self.phase and phase not in MOVES[self.phase]:
            raise ValueError(f"job {self.id}: {self.phase} can't become {phase}")
        if phase is not self.phase:
            changes["parked"] = None
        job = replace(self, phase=phase, updated_at=now, **changes)
        note = None if note is None else brief(str(note), MAX_NOTE)
        state = job.batch.state if job.batch else None
        last = self.history[-1]
        if (last.phase, last.state) == (phase, state) and note in (None, last.note):
            return job  # history has it
        reported_at = None
        batch = job.batch
        if batch and state != last.state:
            reported_at = batch.since
            job = job._in_state(batch, now)
        moment = Moment(
            at=now,
            phase=phase,
            state=state,
            reported_at=reported_at,
            note=note,
        )
        history = (*self.history, moment)
        if len(history) > MAX_HISTORY:
            history = (history[0], *history[-(MAX_HISTORY - 1) :])
        return replace(job, history=history)

    def _in_state(self, batch: Batch, now: datetime) -> Self:
        """Notes since when the batch is in its state, and since when it runs."""
        if batch.terminal:
            running_since = self.running_since or batch.start_time
            return replace(self, state_since=None, running_since=running_since)
        running_since = self.running_since
        if batch.state == "JOB_STATE_RUNNING" and running_since is None:
            # The Developer API gives no start: then it is when we learned of it.
            running_since = batch.start_time or now
        return replace(self, state_since=now, running_since=running_since)

    def _renewed(self, job: Self, until: datetime) -> Self:
        lease = replace(job.lease, until=until)
        # Work goes on, be it a frozen worker's that woke: nobody need resume it.
        return replace(job, lease=lease, due=until, parked=None)

    def _let_go(
        self,
        job: Self,
        now: datetime,
        due: datetime | None = None,
        resumes: int | None = None,
    ) -> Self:
        return replace(
            job,
            lease=replace(job.lease, until=min(now, job.lease.until)),
            due=due,
            parked=None if due else job.parked,  # what is due needs no person
            resumes=job.resumes if resumes is None else resumes,
        )

    @property
    def _seq_at_end(self) -> int:
        """A part's end has no announcement of its own: its split job's has it."""
        return self.seq if self.part_of else self.seq + 1

    def _resumes_before(self) -> int:
        return max(0, self.resumes - 1)


def _after(time: datetime | None, seconds: float | None) -> datetime | None:
    if time is None or seconds is None:
        return None
    return time + timedelta(seconds=seconds)


def _place_of_part(destination: str, n: int) -> str:
    """
    Where a part's answers go: beside the other parts', and never into their table,
    as the service wants one that isn't there yet.
    """
    if not destination.startswith("bq://"):
        return f"{destination}part-{n:04}/"
    # A project may be named as `example.com:project`.
    names = destination.rpartition(":")[2].removeprefix("//").split(".")
    return f"{destination}_part_{n:04}" if len(names) == 3 else destination


def _sum(counts: Iterable[int | None]) -> int | None:
    """Of those that are known, if there are any."""
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
