"""A job's record: the fields of its document, and what every move changes."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

from batchdrop.jobs.codes import Phase
from batchdrop.jobs.moves import MOVES
from batchdrop.jobs.values import (
    MAX_NOTE,
    Batch,
    CancelRequest,
    Collecting,
    Cost,
    Drop,
    Duplicates,
    Estimate,
    Fact,
    Failure,
    Input,
    Lease,
    Moment,
    NotFound,
    Part,
    Postponed,
    Problem,
    Reserved,
    Results,
    Round,
    Skipped,
    Spec,
    Staging,
    Usage,
    brief,
)
from batchdrop.jobs.waiting import WaitingFor
from batchdrop.rows import RowError, Rows

#: The version of the documents that are written and read: see `Record.v`.
VERSION = 2
#: A job's history keeps this many entries: the first and the latest ones.
MAX_HISTORY = 50
#: A document keeps this many row errors.
MAX_ROW_ERRORS = 20
#: The facts that end when the API answers about the batch.
REACHED: dict[str, None] = {"not_visible": None, "poll_failed": None, "not_found": None}
#: The facts that end with the batch.
OVER: dict[str, None] = REACHED | {"not_allowed": None, "stalled": None}
#: The facts that end with a step forward.
FORWARD: dict[str, None] = {"not_allowed": None, "postponed": None, "put_off": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """
    The fields of a job's document, and how every move changes them. The classes above
    this one add methods alone: `Derived`, `Shown`, `Steps`, `Splitting`, `Answered`,
    `Job`.
    """

    #: Derived from the drop, so that each delivery of its event gives the same id.
    id: str
    #: How far the job has come.
    phase: Phase
    #: The object that was dropped. A part has its split job's.
    source: Drop
    #: Who may write to the job now.
    lease: Lease
    #: When the drop was first seen. A part has its split job's place in the order.
    created_at: datetime
    #: When the job last changed.
    updated_at: datetime
    #: The version of the document, which is read before the rest is decoded.
    v: int = VERSION
    #: When `poll` should take the job up; None if there is nothing to resume.
    due: datetime | None = None
    #: What its next step was put off for; None once a step has succeeded.
    put_off: WaitingFor | None = None
    #: What the batch is to be; None until it is chosen.
    spec: Spec | None = None
    #: Where each option of `spec` was chosen, by the option's name.
    spec_from: dict[str, str] = field(default_factory=dict)
    #: The manifest that was read for the job: its object and generation.
    manifest: str | None = None
    #: Of an attached manifest: the ids of its files' jobs, if there were any yet.
    attached_to: tuple[str, ...] = ()
    #: The objects that the rows come from, if not from `source`.
    inputs: tuple[Input, ...] = ()
    #: The parts by the ids of their jobs: those staged so far, or, once split, all.
    parts: dict[str, Part] = field(default_factory=dict)
    #: The id of the split job that this job is a part of.
    part_of: str | None = None
    #: Which part of its split job this job is.
    part: Part | None = None
    #: The id of the job whose rows this job sends again.
    retry_of: str | None = None
    #: Which round of that job this job is; 0 for all other jobs.
    round: int = 0
    #: Of a part or a round: the job that it belongs to has read its results.
    used: bool = False
    #: The work that remains with its answers; None if there is none.
    collecting: Collecting | None = None
    #: Where the rows lie as they are sent; None until they are staged.
    staging: Staging | None = None
    #: The epoch that wrote the latest intent; 0 if there is none.
    intent: int = 0
    #: The job's batch, as the API last described it.
    batch: Batch | None = None
    #: What it was expected to use and cost; None until it is staged, and for a table.
    estimate: Estimate | None = None
    #: How many rows were read, accepted and refused.
    rows: Rows = field(default_factory=Rows)
    #: The result of each row; None until it is collected.
    results: Results | None = None
    #: The results so far, in the work bucket, while rows go again before anything is
    #: published. The counts, usage and cost below go with them.
    gathered: Results | None = None
    #: All rounds, if rows went again; the first is the job's own batch.
    rounds: tuple[Round, ...] = ()
    #: Why rows that failed for a passing reason did not go again.
    skipped: Skipped | None = None
    #: The tokens of all answers; None until they are collected.
    usage: Usage | None = None
    #: What these tokens cost; None until they are collected, or if it isn't known.
    cost: Cost | None = None
    #: Why it isn't known.
    no_cost: str | None = None
    #: The most frequent errors of rows, the most frequent first.
    failures: tuple[Failure, ...] = ()
    #: How many answers belong to no row.
    strangers: int = 0
    #: How many answers another answer to the same row replaces.
    superseded: int = 0
    #: How many rows, whose requests are equal, took one of several answers without ids.
    same_rows: int = 0
    #: The first of the lines that were refused.
    row_errors: tuple[RowError, ...] = ()
    #: The object that lists all lines that were refused.
    report: str | None = None
    #: Why the job was rejected, or its batch failed.
    error: Problem | None = None

    # Facts about what is wrong, worst first: see `health`. Each has a field of its
    # own, so that none hides or clears another.

    #: No worker takes the job up until a person resumes it.
    parked: Fact | None = None
    #: Batches besides the job's own: they are cancelled, and never adopted.
    duplicates: Duplicates | None = None
    #: The API soon deletes answers that were not copied.
    answers_at_risk: Fact | None = None
    #: A key, a bucket or a permission is missing.
    not_allowed: Fact | None = None
    #: Parts of a split job wait for a person.
    parts_held: Fact | None = None
    #: The round's job is unhealthy.
    round_held: Fact | None = None
    #: Pub/Sub refuses an announcement of the job.
    unpublished: Fact | None = None
    #: The API answers 404 for its batch and for many others.
    not_visible: Fact | None = None
    #: The API gave no usable answer about the batch.
    poll_failed: Fact | None = None
    #: The API answers 404 for the batch.
    not_found: NotFound | None = None
    #: The batch has been in one state for too long.
    stalled: Fact | None = None
    #: The next step keeps failing, and is tried again.
    postponed: Postponed | None = None
    #: There are fewer answers than the API counts.
    answers_short: Fact | None = None
    #: The user's columns could not be joined to the answers.
    columns_lost: Fact | None = None

    #: The request of a person or a policy to cancel the job.
    cancel_request: CancelRequest | None = None
    #: When we first saw the batch in its present state; None once that is terminal.
    state_since: datetime | None = None
    #: When the batch began to run, or, if the API doesn't say, when we first saw it.
    running_since: datetime | None = None
    #: When the batch was deleted at the API.
    deleted_at: datetime | None = None
    #: Whether the job was made without its event: it searches before it first sends.
    missed: bool = False
    #: The id of the job that this job runs again.
    parent: str | None = None
    #: How often the job was run again.
    reruns: int = 0
    #: The day whose limits the job was counted against.
    spent_on: str | None = None
    #: What it has reserved of a day's ceilings on cost; None if none holds for it.
    reserved: Reserved | None = None
    #: How often in a row a worker took the job up after another one had stopped.
    resumes: int = 0
    #: How often the job's checkpoints were dropped, or its results gone before they
    #: were published.
    dropped: int = 0
    #: How many announcements were made of the job.
    seq: int = 0
    #: The phases and states that the job went through, oldest first.
    history: tuple[Moment, ...] = ()
    #: The document's update time at the ledger; not part of the document.
    version: datetime | None = field(default=None, compare=False)

    def _moved(
        self,
        phase: Phase,
        now: datetime,
        *,
        note: Any = None,
        repeats: Any = False,
        **changes: Any,
    ) -> Self:
        """
        Args:
            note: why, in the history.
            repeats: history has the note again if its last entry is the same.
        """
        if phase is not self.phase and phase not in MOVES[self.phase]:
            raise ValueError(f"job {self.id}: {self.phase} can't become {phase}")
        if phase is not self.phase:
            changes["parked"] = None
        job = replace(self, phase=phase, updated_at=now, **changes)
        note = None if note is None else brief(str(note), MAX_NOTE)
        state = job.batch.state if job.batch else None
        last = self.history[-1]
        same = (last.phase, last.state) == (phase, state) and not repeats
        if same and note in (None, last.note):
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
        """Records when the batch came to its state, and when it began to run."""
        if batch.terminal:
            running_since = self.running_since or batch.start_time
            return replace(self, state_since=None, running_since=running_since)
        running_since = self.running_since
        if batch.state == "JOB_STATE_RUNNING" and running_since is None:
            # The Developer API gives no start time: use when we first saw it run.
            running_since = batch.start_time or now
        return replace(self, state_since=now, running_since=running_since)

    def _renewed(self, job: Self, until: datetime) -> Self:
        lease = replace(job.lease, until=until)
        # A worker is active, even if it was frozen and woke: no person is needed.
        return replace(job._due_at(until), lease=lease, parked=None)

    def _let_go(
        self,
        job: Self,
        now: datetime,
        due: datetime | None = None,
        resumes: int | None = None,
    ) -> Self:
        return replace(
            job._due_at(due),
            lease=replace(job.lease, until=min(now, job.lease.until)),
            parked=None if due else job.parked,  # a due job is resumed without a person
            resumes=job.resumes if resumes is None else resumes,
        )

    def _due_at(self, due: datetime | None) -> Self:
        """When a worker should take the job up, or, once it is over, its answers."""
        if self.collecting is None:
            return replace(self, due=due)
        return replace(self, collecting=replace(self.collecting, due=due))

    @property
    def _seq_at_end(self) -> int:
        """The end of a part has no announcement: that of its split job has."""
        return self.seq if self.part_of else self._next_seq

    @property
    def _next_seq(self) -> int:
        """A round announces nothing: what is wrong with it shows at its job."""
        return self.seq if self.retry_of else self.seq + 1

    def _resumes_before(self) -> int:
        return max(0, self.resumes - 1)
