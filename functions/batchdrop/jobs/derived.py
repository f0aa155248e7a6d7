"""What follows from a job's record: its health, its outcome, what may be done."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from batchdrop.jobs.codes import ErrorCode, HealthCode, Outcome, Phase, Step
from batchdrop.jobs.moves import MOVES
from batchdrop.jobs.record import Record
from batchdrop.jobs.values import (
    OTHER,
    Batch,
    Cost,
    Fact,
    Health,
    Stats,
    derived_id,
    outcome_of_parts,
)
from batchdrop.rows import RowOutcome, counted

#: A batch is lost after this many 404s in a row, over at least this long.
LOST_AFTER = 3
LOST_FOR = timedelta(hours=1)
#: After a batch has succeeded, the API has this long to name its answers.
OUTPUT_FOR = timedelta(minutes=10)


class Derived(Record):
    """The questions that a job's fields answer, such as its health and its outcome."""

    __slots__ = ()

    @property
    def is_parked(self) -> bool:
        return self.parked is not None

    @property
    def troubles(self) -> list[Health]:
        """Everything that is wrong with the job on our side, worst first."""
        facts: dict[HealthCode, Fact | None] = {
            HealthCode.PARKED: self.parked,
            HealthCode.DUPLICATES: self.duplicates,
            HealthCode.ANSWERS_AT_RISK: self.answers_at_risk,
            HealthCode.NOT_ALLOWED: self.not_allowed,
            HealthCode.PARTS_HELD: self.parts_held,
            HealthCode.ROUND_HELD: self.round_held,
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
        """The worst of the troubles; None if the job is healthy."""
        return next(iter(self.troubles), None)

    @property
    def _postponed_for_long(self) -> Fact | None:
        if self.postponed is None or not self.postponed.announced:
            return None
        since, why = self.postponed.since, self.postponed.message
        message = f"no step forward since {since:%Y-%m-%d %H:%M} UTC: {why}. "
        return Fact(since=since, message=f"{message}It is retried automatically")

    @property
    def _unknown_state(self) -> Fact | None:
        if self.batch is None or self.batch.known:
            return None
        message = (
            f"unknown state {self.batch.state}; the batch is taken to be under way"
        )
        return Fact(since=self.state_since or self.updated_at, message=message)

    @property
    def _rows_failed(self) -> Fact | None:
        """By our counts once the answers are collected, by the API's before."""
        if self.phase is not Phase.ENDED:
            return None
        # Rows that go again may be healed; and a round consists of those that failed.
        if self.retry_of or self.may_go_again:
            return None
        # That a batch leaves rows out that has failed or was cancelled, is no news.
        finished = self.outcome in (Outcome.SUCCEEDED, Outcome.PARTIALLY_SUCCEEDED)
        if outcomes := self.rows.outcomes:
            missing = outcomes.get(RowOutcome.MISSING, 0) if finished else 0
            failed = outcomes.get(RowOutcome.FAILED, 0) + missing
            total, ok = sum(outcomes.values()), outcomes.get(RowOutcome.OK, 0)
            how = "failed or came without an answer"
        else:
            stats = self.stats or Stats()
            failed, ok = stats.failed or 0, stats.successful or 0
            total = ok + failed + max(stats.incomplete or 0, 0)
            how = "failed, by the API's count"
        share = self.spec.failed_share if self.spec else 0
        if failed > share * total:
            message = f"{failed:,} of {counted(total, 'row')} {how}"
        elif finished and total and not ok:
            message = f"none of {counted(total, 'row')} is ok"
        else:
            return None
        return Fact(since=self._ended_at, message=message)

    def is_due(self, now: datetime) -> bool:
        """Whether a worker should take the job up, or a collector its answers."""
        due = self.collecting.due if self.collecting else self.due
        return due is not None and due <= now

    def is_held(self, now: datetime) -> bool:
        """Whether a worker's lease on the job still runs."""
        return now < self.lease.until

    @property
    def intends(self) -> bool:
        """Whether the present holder wrote the intent itself, so that it may send."""
        return self.intent == self.lease.epoch

    @property
    def is_visible(self) -> bool:
        """Whether the API answered about the batch when it was last asked."""
        return not (self.not_found or self.not_visible or self.poll_failed)

    @property
    def is_lost(self) -> bool:
        # The error of a split job is that of one of its parts.
        lost = self.error is not None and self.error.code == ErrorCode.LOST
        return lost and not self.is_split

    @property
    def has_no_output(self) -> bool:
        """Whether the batch succeeded, but the API never named its answers."""
        none = self.error is not None and self.error.code == ErrorCode.NO_OUTPUT
        return none and not self.is_split

    @property
    def cancel_at(self) -> datetime | None:
        """When the batch will have run for `cancel_after`; None without a limit."""
        if self.phase is not Phase.SUBMITTED or self.cancel_request:
            return None
        return _after(self.running_since, self.spec.cancel_after if self.spec else None)

    @property
    def stall_at(self) -> datetime | None:
        """When the batch will have been in its state for too long. None once that is
        announced."""
        if self.phase is not Phase.SUBMITTED or self.stalled or self.batch is None:
            return None
        patience = self.spec.stalled_after if self.spec else {}
        seconds = patience.get(self.batch.state, patience.get(OTHER))
        return _after(self.state_since, seconds)

    @property
    def delete_at(self) -> datetime | None:
        """When to delete the batch at the API. None if it is to be kept, or is deleted
        already, or if the API may still name the answers."""
        if not self.may_expire or self.phase is not Phase.ENDED or self.deleted_at:
            return None
        if self.batch is None or self.is_lost or self.has_no_output:
            return None
        ended = self.batch.end_time or self._ended_at
        return _after(ended, self.spec.delete_after if self.spec else None)

    @property
    def ended_on(self) -> datetime:
        """When the batch ended, by the API or else by us; now if there was none."""
        return (self.batch.end_time if self.batch else None) or self._ended_at

    @property
    def _ended_at(self) -> datetime:
        """When we first saw that the batch had ended."""
        times = [one.at for one in self.history if one.phase is Phase.ENDED]
        return min(times, default=self.updated_at)

    @property
    def endpoint(self) -> str:
        """Where the batch is made; empty until that is chosen: see `Spec.endpoint`."""
        return self.spec.endpoint if self.spec else ""

    @property
    def queue(self) -> str:
        """The queue that the job waits in; empty until chosen: see `Spec.queue`."""
        return self.spec.queue if self.spec else ""

    @property
    def waiting_in(self) -> str:
        """
        The line in which the job waits for its turn: its queue's. Jobs of a route with
        a ceiling on cost have a line of their own in it, so that they hold up no other.
        """
        ceiling = self.spec.ceiling if self.spec else ""
        return f"{self.queue} ({ceiling})" if ceiling else self.queue

    @property
    def rerun_id(self) -> str:
        """The id of the latest rerun, if there is one."""
        return derived_id(self.id, f"rerun-{self.reruns}")

    @property
    def is_split(self) -> bool:
        """Whether the job was split into parts, and has no batch of its own."""
        unsent = self.phase is Phase.ENDED and self.batch is None
        return self.phase is Phase.SPLIT or unsent

    @property
    def is_over(self) -> bool:
        """Whether the job is final: nothing more of its batch is requested or paid."""
        return not MOVES[self.phase]

    @property
    def is_done(self) -> bool:
        """Whether no work remains: the job is over, and its answers are collected."""
        return self.is_over and self.collecting is None

    @property
    def is_unsettled(self) -> bool:
        """Whether it is done, and has more or less reserved than it has cost."""
        return bool(self.reserved and self.is_done and not self.reserved.settled)

    @property
    def makes_results(self) -> bool:
        """
        Whether each line of the file gets a result. The rows of a table or a dataset
        have no ids of ours.
        """
        return bool(self.spec and not self.spec.source and self.spec.results != "off")

    @property
    def may_expire(self) -> bool:
        """
        Whether nothing needs the job any more: a part's split job adds it up, and the
        job that a round belongs to takes over its results.
        """
        needed = self.belongs_to and self.makes_results and not self.used
        return self.is_done and not needed

    @property
    def belongs_to(self) -> str | None:
        """The job that waits for this one: a part's split job, or a round's job."""
        return self.part_of or self.retry_of

    @property
    def awaits(self) -> str | None:
        """
        What a job waits for: the "ends" of its parts, their "results", or a "round".
        """
        if self.phase is Phase.SPLIT:
            return "ends"
        left = self.collecting
        if left is None or left.due or self.parked:
            return None
        return {Step.PARTS: "results", Step.ROUND: "round"}.get(Step(left.step))

    @property
    def may_go_again(self) -> bool:
        """Whether rows of it may still go again by themselves, or do so now."""
        left = self.collecting
        if left is None or self.spec is None:
            return False
        if left.step in (Step.RETRY, Step.ROUND, Step.HEAL):
            return True
        if left.step == Step.PARTS and left.round:
            return True
        return self.makes_results and left.round < self.spec.retry

    @property
    def own_cost(self) -> Cost | None:
        """What its own batch has cost, without the rounds in which rows went again."""
        own = next((one for one in self.rounds if one.job == self.id), None)
        return own.cost if own else self.cost

    @property
    def undone_of(self) -> str | None:
        """The job that waits for this part or round; None if this one is done."""
        return None if self.is_done else self.belongs_to

    @property
    def held_of(self) -> str | None:
        """The split job of a part that waits for a person; None for any other job."""
        held = self.parked or self.not_allowed or self.round_held
        return self.part_of if held else None

    @property
    def outcome(self) -> Outcome | None:
        """How the job ended; None if it has not, or is a manifest."""
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
        """The API's own count of rows; for a split job, the sum over its parts."""
        if not self.is_split:
            return self.batch.completion_stats if self.batch else None
        known = [part.stats for part in self.parts.values() if part.stats]
        return Stats(
            successful=_sum(each.successful for each in known),
            failed=_sum(each.failed for each in known),
            incomplete=_sum(each.incomplete for each in known),
        )

    def may_be_lost(self, now: datetime) -> bool:
        """Whether the API has answered 404 often enough, and for long enough."""
        return (
            self.not_found is not None
            and self.not_found.count >= LOST_AFTER
            and now - self.not_found.since >= LOST_FOR
        )

    @property
    def must_search(self) -> bool:
        """
        Whether the API may have a batch of this job already. Only the first request
        of a fresh claim is sent without a search.
        """
        return self.lease.epoch > 1 or self.missed

    def may_take_up(self, batch: Batch) -> bool:
        """
        Whether the job may adopt a batch that was found. It may not adopt a duplicate,
        unless that ended without being cancelled: then a late cancel does no harm.
        """
        if self.failed_by_fence(batch):
            return False
        spared = batch.terminal and batch.state != "JOB_STATE_CANCELLED"
        return spared or not self.is_duplicate(batch.name)

    def is_duplicate(self, name: str) -> bool:
        """Whether the batch of this name is one to be cancelled, never adopted."""
        return self.duplicates is not None and name in self.duplicates.names

    def may_name_output(self, batch: Batch, now: datetime) -> bool:
        """Whether the API may still name the answers of a batch that has succeeded."""
        if not batch.awaits_output:
            return False
        # Count from its end, or from when we saw that, if the API's clock is ahead.
        times = [moment.at for moment in self.history if moment.state == batch.state]
        if batch.since:
            times.append(batch.since)
        return now - min(times, default=now) < OUTPUT_FOR

    def failed_by_fence(self, batch: Batch) -> bool:
        """
        Whether a batch failed because the fence had moved its input: it names an
        older staging, and the API finished no row of it.
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
        Whether the fence may have moved the input of the job's own batch: it names
        an older staging, and hasn't been seen to read its rows.
        """
        return (
            self.batch is not None
            and self.staging is not None
            and self.batch.epoch is not None
            and self.batch.epoch < self.staging.epoch
            and not self.batch.has_begun
        )


def _after(time: datetime | None, seconds: float | None) -> datetime | None:
    if time is None or seconds is None:
        return None
    return time + timedelta(seconds=seconds)


def _sum(counts: Iterable[int | None]) -> int | None:
    """The sum of the known counts; None if none is known."""
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
