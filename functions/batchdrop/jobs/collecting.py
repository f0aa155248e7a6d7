"""The moves of a job whose batch has ended: its answers become results."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Self

from batchdrop.jobs.codes import Backend, HealthCode, Phase, Step, WaitCode
from batchdrop.jobs.parts import Splitting
from batchdrop.jobs.record import FORWARD
from batchdrop.jobs.steps import MAX_PAUSE, MAX_RESUMES, PATIENCE
from batchdrop.jobs.values import (
    MAX_NOTE,
    Batch,
    Collecting,
    Cost,
    Fact,
    Failure,
    Results,
    Round,
    Skipped,
    Timing,
    Usage,
    brief,
)
from batchdrop.rows import Rows

#: The Developer API keeps answers for some days: after this long without a copy of
#: them, someone should look.
AT_RISK_AFTER = timedelta(hours=24)
#: A job's document keeps this many kinds of errors.
MAX_FAILURES = 10


class Answered(Splitting):
    """
    The moves of a job that has ended, while `collecting` says what remains to be done
    with its answers. A collector holds the job's lease, as a worker does before.

        woken            poll sends a message; no other one before the lease's time
        collect_taken    a collector has the job: a new epoch, and one more resume
        collect_stepped  a step is done, and the next one is due
        collect_waits    the step can't be done yet: again after a longer pause
        park             collectors keep dying on it: `batchdrop resume` has it go on
        collected        the results are written: the job is done
    """

    __slots__ = ()

    def woken(self, now: datetime, timing: Timing) -> Self:
        """
        A collector is about to be called. Until it has had the time of a lease, `poll`
        calls no other one. Nothing changes if the job isn't due any more.
        """
        if self.collecting is None or not self.is_due(now):
            return self
        job = replace(self._due_at(now + timing.lease), updated_at=now)
        since = self.ended_on
        if self.collecting.step != Step.COPY or now - since < AT_RISK_AFTER:
            return job
        why = self.put_off.message if self.put_off else "no collector did it"
        message = (
            f"the batch ended at {since:%Y-%m-%d %H:%M}, and its answers are not "
            f"copied yet: {why}. "
            "The API deletes them in time"
        )
        # Announced, and noted in the history, when it begins.
        return job._moved(
            self.phase,
            now,
            note=None if self.answers_at_risk else HealthCode.ANSWERS_AT_RISK,
            answers_at_risk=Fact.still(self.answers_at_risk, message, now),
            seq=self.seq if self.answers_at_risk else self._next_seq,
        )

    def collect_taken(self, by: str, now: datetime, timing: Timing) -> Self:
        """
        A collector takes the job up, which is counted before it does anything. After
        MAX_RESUMES in a row that stopped, the job is parked instead. Nothing changes
        if a collector that was frozen has woken meanwhile, and finished it.
        """
        if self.collecting is None:
            return self
        if self.resumes >= MAX_RESUMES:
            return self.park(now)
        return self.resumed(by, now, timing)

    def collect_stepped(
        self,
        step: str | None,
        now: datetime,
        timing: Timing | None = None,
        n: int = 0,
        **changes: Any,
    ) -> Self:
        """
        A step is done.

        Args:
            step: the next one, which is due at once. None if no results are to be made:
                then the job is done, and nothing is announced.
            n: which slice or range the next step is about.
            timing: given if the same collector goes on, which renews its lease.
            changes: what the step has learnt, by the fields of a job.
        """
        left = self._collecting_or_raise()
        if step:
            left = replace(left, step=step, n=n)
        moved = self._moved(
            self.phase,
            now,
            note=step or "copied",
            collecting=left if step else None,
            answers_at_risk=None,
            resumes=0,
            **FORWARD,
            **changes,
        )
        if step and timing:
            return self._renewed(moved, now + timing.lease)
        return self._let_go(replace(moved, parked=None), now, now if step else None)

    def collect_waits(
        self,
        why: str,
        now: datetime,
        due: datetime,
        *,
        code: WaitCode = WaitCode.ANOTHER_TRY,
        latest: datetime | None = None,
    ) -> Self:
        """
        The step can't be done yet, through no fault of the job: try again at `due`, or
        later if it has waited for long (MAX_PAUSE at most). The resume that led here
        doesn't count. A job that waits for longer than POSTPONED_FOR is announced as
        stalled, once.

        After PATIENCE the job is parked, unless it waits for a grant.

        Args:
            code: what it waits for. GRANT: a person has to grant what `why` names.
            latest: the pause ends at this time, if that is still to come.
        """
        self._collecting_or_raise()
        not_allowed = code is WaitCode.GRANT
        if self.not_allowed and not not_allowed:
            # It is granted: what keeps the job now has not lasted for as long.
            granted = replace(self, not_allowed=None, postponed=None)
            return granted.collect_waits(why, now, due, code=code, latest=latest)
        failing = self._failing(why, now, not_allowed)
        since = failing["postponed"].since
        if now - since >= PATIENCE and not not_allowed:
            # Parking announces the job by itself.
            return replace(self, postponed=failing["postponed"]).park(
                now, f"no step forward since {since:%Y-%m-%d %H:%M} UTC: {why}"
            )
        due = max(due, now + min(now - since, MAX_PAUSE))
        if latest and latest > now:
            due = min(due, latest)
        moved = self._moved(
            self.phase,
            now,
            note=HealthCode.NOT_ALLOWED if not_allowed else why,
            put_off=self._waiting(code, why, now),
            **failing,
        )
        return self._let_go(moved, now, due, self._resumes_before())

    def collected(
        self,
        now: datetime,
        *,
        results: Results,
        over: Round | None = None,
        skipped: Skipped | None = None,
        **counts: Any,
    ) -> Self:
        """
        Every line of the file has its result: the job is done, which is announced. A
        part and a round announce nothing.

        Args:
            over: the round that is over, if rows went again.
            skipped: why rows did not go again that failed for a passing reason.
            counts: the arguments of `_counted`.

        Raises:
            ValueError: the counts don't add up.
        """
        self._collecting_or_raise()
        moved = self._moved(
            self.phase,
            now,
            note="results",
            collecting=None,
            results=results,
            gathered=None,
            rounds=self._with(over) if over else self.rounds,
            skipped=skipped,
            parked=None,
            parts_held=None,
            round_held=None,
            seq=self._seq_at_end,
            **self._counted(now, **counts),
        )
        return self._let_go(moved, now, resumes=0)

    def _with(self, over: Round) -> tuple[Round, ...]:
        """The rounds, one of which is over."""
        return tuple(over if one.n == over.n else one for one in self.rounds)

    def _counted(
        self,
        now: datetime,
        *,
        rows: Rows,
        usage: Usage,
        cost: Cost | None = None,
        no_cost: str | None = None,
        failures: tuple[Failure, ...] = (),
        strangers: int = 0,
        superseded: int = 0,
        same_rows: int = 0,
        answers_short: str | None = None,
        columns_lost: str | None = None,
    ) -> dict[str, Any]:
        """
        The fields of a job whose results were made.

        Args:
            rows: all counts of the job but `fixed`, which stays.
            usage, cost: of all rounds so far.
            no_cost: why there is no cost, in words.
            answers_short: that there are fewer answers than the API counts, in words.
            columns_lost: that the rows' keys and columns are gone, in words.

        Raises:
            ValueError: the counts don't add up.
        """
        if rows.total != rows.refused + sum(rows.outcomes.values()):
            raise ValueError(f"job {self.id}: the counts of its rows don't add up")
        facts = {"answers_short": answers_short, "columns_lost": columns_lost}
        return {
            "rows": replace(rows, fixed=self.rows.fixed),
            "usage": usage,
            "cost": cost,
            "no_cost": no_cost and brief(no_cost, MAX_NOTE),
            "failures": failures[:MAX_FAILURES],
            "strangers": strangers,
            "superseded": superseded,
            "same_rows": same_rows,
            "answers_at_risk": None,
            **{
                name: Fact(since=now, message=why) if why else None
                for name, why in facts.items()
            },
            **FORWARD,
        }

    def settled(self, now: datetime) -> Self:
        """
        The job is done: what it reserved of its day becomes what it has cost, which is
        nothing if nothing was sent. If that isn't known, or answers are short, the
        estimate stays.
        """
        if self.reserved is None or self.reserved.settled or not self.is_done:
            return self
        micros = self.reserved.micros
        if self.phase is Phase.REJECTED:
            micros = 0
        elif (cost := self.own_cost) and not self.is_lost:
            # Answers that nobody has found are paid as well.
            least = micros if self.answers_short else 0
            micros = max(least, cost.micros)
        reserved = replace(self.reserved, micros=micros, settled=True)
        return replace(self, reserved=reserved, updated_at=now)

    def _collecting_or_raise(self) -> Collecting:
        if self.collecting is None:
            raise ValueError(f"job {self.id}: no answers of it are to be collected")
        return self.collecting

    def _to_collect(self, batch: Batch | None, now: datetime) -> Collecting | None:
        """
        What remains to be done once the batch has ended, or is lost:

            a table or dataset, whose rows have no ids of ours     nothing
            results = "off", answers lie at the Developer API      copy them
            results = "off"                                        nothing
            the Developer API                                      copy the answers
            Vertex AI                                              freeze their list
        """
        spec = self.spec
        if spec is None or spec.source:
            return None
        copies = spec.backend == Backend.DEVELOPER
        kept = batch is not None and batch.has_answers
        if spec.results == "off" and not (copies and kept):
            return None
        step = Step.COPY if copies else Step.FREEZE
        return Collecting(round=self.round, step=step, due=now)
