"""The moves of a job whose rows go again, in rounds that are jobs of their own."""

from dataclasses import replace
from datetime import datetime
from typing import Any, Self

from batchdrop.jobs.codes import (
    STALLS,
    ErrorCode,
    Outcome,
    Phase,
    SkipCode,
    Step,
    WaitCode,
)
from batchdrop.jobs.collecting import Answered
from batchdrop.jobs.derived import Derived
from batchdrop.jobs.parts import labels_of, place_of_one
from batchdrop.jobs.steps import MAX_DROPPED
from batchdrop.jobs.values import (
    MAX_NAME,
    Collecting,
    Fact,
    Lease,
    Moment,
    Results,
    Round,
    Skipped,
    derived_id,
)
from batchdrop.rows import agreed, counted

#: What a round waits for that someone has to mend.
_FOR_PEOPLE = (WaitCode.PERSON, WaitCode.GRANT)


def not_again(rows: int) -> str:
    """Such as `2 rows don't go again`."""
    return f"{counted(rows, 'row')} {agreed(rows, 'does', 'do')}n't go again"


class Retried(Answered):
    """
    The moves that send rows again.

        goes_again        results are gathered, and some rows go again: a round begins
        retry_requested   a person asks for a round of a job that is done
        round_chosen      it is known which rows that person means: the round begins
        round_void        there are none
        round_told        poll has looked at the round's job; once that is done, its
                          results are due to be joined with those before
        collected         no further round follows: everything is published
    """

    __slots__ = ()

    def round_id(self, n: int) -> str:
        """The id of the job that sends the rows of round `n` of this job."""
        return derived_id(self.id, f"round-{n}")

    @property
    def round_now(self) -> Round:
        """
        The round that is under way, or asked for.

        Raises:
            ValueError: none is.
        """
        n = self._collecting_or_raise().round
        found = next((one for one in self.rounds if one.n == n), None)
        if found is None:
            raise ValueError(f"job {self.id} has no round {n}")
        return found

    def skip(self, passing: int, over: Round | None = None) -> Skipped | None:
        """
        Why rows that failed for a passing reason don't go again; None if they do.

        Args:
            passing: how many such rows there are, at least one.
            over: the round that is over, if rows went again.
        """
        assert self.spec is not None
        share, sent = self.spec.retry_share, self.rows.accepted
        answered = self.outcome in (Outcome.FAILED, Outcome.EXPIRED) and (
            self.stats is not None and self.stats.successful
        )
        finished = self.outcome in (Outcome.SUCCEEDED, Outcome.PARTIALLY_SUCCEEDED)
        if self.cancel_request or self.outcome is Outcome.CANCELLED:
            code, why = SkipCode.CANCELLED, "the job was cancelled"
        elif over and over.outcome is Outcome.CANCELLED:
            code, why = SkipCode.CANCELLED, f"round {over.n} was cancelled"
        elif not (finished or answered) or self.is_lost or self.has_no_output:
            code, why = SkipCode.NO_ANSWERS, "the batch left no answers"
        elif over and over.outcome is Outcome.REJECTED:
            code, why = (
                SkipCode.REJECTED,
                f"round {over.n}, job {over.job}, was rejected",
            )
        elif over and not over.healed:
            code, why = SkipCode.NONE_HEALED, f"round {over.n} has healed no row"
        elif passing / max(sent, 1) > share:
            code = SkipCode.OVER_SHARE
            why = f"that is more than {share:g} of {counted(sent, 'row')}"
        elif self._collecting_or_raise().round >= self.spec.retry:
            code = SkipCode.ROUNDS_USED
            why = f"at most {counted(self.spec.retry, 'round')}"
        else:
            return None
        return Skipped(code=code, message=f"{not_again(passing)}: {why}")

    def goes_again(
        self,
        now: datetime,
        *,
        gathered: Results,
        passing: int,
        over: Round | None = None,
        **counts: Any,
    ) -> Self:
        """
        The results are gathered, and some rows go again before anything is published:
        see `round_job`. A round whose job exists already is waited for.

        Args:
            gathered: the results so far, in the work bucket.
            passing: how many rows go again.
            over: the round before, if there was one.
            counts: the arguments of `_counted`.
        """
        left = self._collecting_or_raise()
        n = left.round + 1
        counted = self._counted(now, **counts)
        known = self.rounds or (self._own_round(counted),)
        job = replace(self, rounds=known)
        rounds = job._with(over) if over else known
        if all(one.n != n for one in rounds):
            rounds += (Round(n=n, job=self.round_id(n), rows=passing),)
        moved = self._moved(
            self.phase,
            now,
            note=f"round {n}",
            collecting=Collecting(round=n, step=Step.ROUND),
            gathered=gathered,
            rounds=rounds,
            round_held=None,
            parked=None,
            **counted,
        )
        return self._let_go(moved._waits_for_round(now), now, resumes=0)

    def _waits_for_round(
        self,
        now: datetime,
        state: str = "is to be sent",
        code: WaitCode = WaitCode.ROUND,
    ) -> Self:
        one = self.round_now
        why = f"round {one.n}, of {counted(one.rows, 'row')}, {state}"
        return replace(self, put_off=self._waiting(code, why, now))

    def _own_round(self, counted: dict[str, Any]) -> Round:
        return Round(
            n=0,
            job=self.id,
            rows=self.rows.accepted,
            outcome=self.outcome,
            usage=counted["usage"],
            cost=counted["cost"],
            no_cost=counted["no_cost"],
        )

    def round_job(self, now: datetime) -> Self:
        """
        The job that sends the rows of the round that is under way, for `poll` to take
        up. It has this job's place in the order. A worker that takes it up has an epoch
        over 1, and so searches before it sends.
        """
        one, spec = self.round_now, self.spec
        assert spec is not None
        ending = f" round {one.n}"
        return type(self)(
            id=one.job,
            phase=Phase.ARRIVED,
            source=self.source,
            lease=Lease(until=now, epoch=1, by="nobody"),
            due=now,
            spec=replace(
                spec,
                destination=place_of_one(spec.destination, "round", one.n),
                display_name=spec.display_name[: MAX_NAME - len(ending)] + ending,
                labels=labels_of(spec, one.job),
                # The staged rows contain it already.
                generation_config=None,
                retry=0,
            ),
            spec_from=self.spec_from,
            retry_of=self.id,
            round=one.n,
            missed=self.missed,
            created_at=self.created_at,
            updated_at=now,
            history=(Moment(at=now, phase=Phase.ARRIVED),),
        )

    def round_awaited(self, now: datetime) -> Self:
        """The round's job is not done or does not exist: `poll` handles it."""
        left = Collecting(round=self.round_now.n, step=Step.ROUND)
        moved = self._moved(self.phase, now, note=Step.ROUND, collecting=left)
        return self._let_go(moved, now, resumes=0)

    # -- a person ---------------------------------------------------------------

    def retry_requested(self, by: str, only: tuple[str, ...], now: datetime) -> Self:
        """
        A person wants rows to go again, although everything is published.

        Args:
            only: the outcomes of these rows; none: those that failed for a passing
                reason.

        Raises:
            ValueError: that can't be done.
        """
        if self.part_of or self.retry_of:
            what = "part" if self.part_of else "round"
            raise ValueError(
                f"job {self.id} is a {what} of {self.belongs_to}; retry that"
            )
        if not self.is_done:
            raise ValueError(f"job {self.id} is not done yet: retry it once it is")
        if self.results is None:
            raise ValueError(
                f"job {self.id} has no results to say which rows failed; run "
                "`batchdrop rerun`, which sends all rows again"
            )
        last = max((one.n for one in self.rounds), default=self.results.round)
        n = max(last, self.results.round) + 1
        return self.retry_begun(n, by, only, now)

    def retry_begun(
        self, n: int, by: str, only: tuple[str, ...], now: datetime
    ) -> Self:
        """
        Round `n` is asked for, of a job that is done, or of a part of one. Nothing
        changes if it was asked for already.
        """
        if any(one.n == n for one in self.rounds):
            return self
        counted = {"usage": self.usage, "cost": self.cost, "no_cost": self.no_cost}
        known = self.rounds or (() if self.parts else (self._own_round(counted),))
        return self._moved(
            self.phase,
            now,
            note=f"round {n} requested by {by}",
            collecting=Collecting(round=n, step=Step.RETRY, due=now),
            rounds=(*known, Round(n=n, job="", by=by, only=only)),
            skipped=None,
            # A cancel request of before is not about this round.
            cancel_request=None,
            used=False,
            resumes=0,
        )

    def round_resumed(self, by: str, now: datetime) -> Self:
        """A person has resumed the parked job of the round that is under way."""
        left = self.collecting
        n = left.round if left else 0
        return self._moved(self.phase, now, note=f"round {n} resumed by {by}")

    def round_chosen(self, rows: int, now: datetime) -> Self:
        """A person wants `rows` rows, one or more, to go again: see `round_job`."""
        one = self.round_now
        chosen = replace(one, rows=rows, job=self.round_id(one.n))
        moved = self._moved(
            self.phase,
            now,
            note=f"round {one.n}",
            collecting=Collecting(round=one.n, step=Step.ROUND),
            rounds=self._with(chosen),
            parked=None,
        )
        return self._let_go(moved._waits_for_round(now), now, resumes=0)

    def needed(self, now: datetime) -> Self:
        """The split job of this part is to read its results once more."""
        return replace(self, used=False, updated_at=now) if self.used else self

    def parts_asked(self, now: datetime) -> Self:
        """All parts know of the round that a person wants: they are waited for."""
        left = Collecting(round=self.round_now.n, step=Step.PARTS)
        request = self.cancel_request
        if request:
            # Those that were asked after it have it not.
            request = replace(request, sent_at=None)
        moved = self._moved(
            self.phase,
            now,
            note=Step.PARTS,
            collecting=left,
            cancel_request=request,
        )
        return self._let_go(moved, now, resumes=0)

    def round_void(
        self, now: datetime, skipped: Skipped, over: Round | None = None
    ) -> Self:
        """
        The round that a person wanted sends nothing, or has no answers. What is
        published stays.

        Args:
            over: the round, if it has a job: its number is used.
        """
        one = self.round_now
        kept = tuple(each for each in self.rounds if each.n != one.n)
        if over:
            kept = self._with(over)
        moved = self._moved(
            self.phase,
            now,
            note=skipped.code,
            collecting=None,
            rounds=kept if len(kept) > 1 or self.parts else (),
            skipped=skipped,
            parked=None,
            parts_held=None,
            round_held=None,
        )
        return self._let_go(moved, now, resumes=0)

    # -- poll -------------------------------------------------------------------

    def round_told(self, sent: Self, now: datetime) -> Self:
        """
        What the round that is under way has come to. Once its job is done, its results
        are due to be joined with those before. What is wrong with it is wrong with this
        job, and announced when it begins. Nothing changes if nothing is new.
        """
        left = self.collecting
        if left is None or self.awaits != "round":
            return self
        about = f"round {left.round}, job {sent.id}"
        if sent.is_done:
            moved = self._moved(
                self.phase,
                now,
                note=f"round {left.round} is done",
                collecting=replace(left, step=Step.HEAL, n=0),
                round_held=None,
                put_off=None,
            )
            return replace(moved._due_at(now), resumes=0)
        held = None
        if ill := next((each for each in sent.troubles if each.code in STALLS), None):
            message = f"{about}: {ill.code}: {ill.message}"
            held = Fact.still(self.round_held, message, now)
        if (waits := sent.waiting_for) and waits.code in _FOR_PEOPLE:
            state = f"waits for {waits.code}: {waits.message}"
            job = self._waits_for_round(now, state, waits.code)
        else:
            # Without the message, which may change each time that it is tried.
            why = sent.batch.state if sent.batch else waits and waits.code
            state = f" ({why})" if why else ""
            job = self._waits_for_round(now, f"is {sent.phase}{state}")
        job = replace(job, round_held=held)
        if job == self:
            return self
        begins = held is not None and self.round_held is None
        return replace(job, seq=self._next_seq if begins else self.seq, updated_at=now)

    def answers_left(self, now: datetime) -> Self:
        """
        The job whose rows this parked round sent is cancelled: nobody collects its
        answers, and that job goes on without them.
        """
        if not (self.retry_of and self.is_over and self.is_parked):
            return self
        moved = self._moved(
            self.phase,
            now,
            note="answers left",
            collecting=None,
            # They may be gone: then they were to be made again.
            results=None,
            parked=None,
            no_cost=None if self.cost else "its answers were left",
        )
        return self._let_go(moved, now, resumes=0)

    def collected_anew(self, now: datetime) -> Self:
        """
        Results in the work bucket are gone: those of this round, or those of this job,
        whose rounds are waited for once more. They are made again of the answers. The
        job is parked if that happens more than MAX_DROPPED times.
        """
        left = Collecting(round=self.round, step=Step.FREEZE, due=now)
        dropped = self.dropped + 1
        moved = self._moved(
            self.phase, now, note=Step.FREEZE, collecting=left, dropped=dropped
        )
        if dropped > MAX_DROPPED:
            return moved.park(
                now,
                f"its results were deleted from the work bucket {dropped} times before "
                "they were published",
            )
        return moved._let_go(moved, now, now, resumes=0)

    def round_over(self, sent: Derived, healed: int) -> Round:
        """The round that is under way, as it is once its job `sent` is done."""
        rejected = sent.phase is Phase.REJECTED
        gone = rejected and sent.error and sent.error.code != ErrorCode.CANCELLED
        return replace(
            self.round_now,
            outcome=Outcome.REJECTED if gone else sent.outcome,
            healed=healed,
            usage=sent.usage,
            cost=sent.cost,
            no_cost=sent.no_cost,
        )
