"""Joins the results of a round, in which rows went again, to those before it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec

from batchdrop.errors import SourceGone
from batchdrop.failpoints import failpoint
from batchdrop.jobs.codes import Outcome, Phase, SkipCode, Step
from batchdrop.jobs.job import Job
from batchdrop.jobs.retries import not_again
from batchdrop.jobs.values import Drop, Location, Results, Round, Skipped
from batchdrop.ledger import Ledger
from batchdrop.results.again import Again, again_of
from batchdrop.results.healing import Healed, heal, plan
from batchdrop.results.totals import Totals
from batchdrop.storage import Storage
from batchdrop.worker.alerts import log_parked
from batchdrop.worker.collect_compose import Compose
from batchdrop.worker.collect_objects import Gone, StepObjects, segment_name
from batchdrop.worker.collect_published import (
    composed,
    index_of,
    published,
    read_index,
    writing_results,
)
from batchdrop.worker.collect_round import Gathering, Next, awaited, earlier_rounds
from batchdrop.worker.collect_steps import (
    NDJSON,
    Done,
    Learnt,
    Places,
    Turned,
    folder,
)
from batchdrop.worker.moved import all_moved
from batchdrop.worker.round_sums import counts_of, with_round, without_round


class Segment(msgspec.Struct, kw_only=True):
    """The joined results of a range."""

    data: str  #: the name of the object
    found: Healed


class BeforeGone(Exception):
    """The results before the round are not there any more."""


class SentGone(Exception):
    """The round's own results are not there any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heal:
    """
    One range of the results a call, and after the last one what follows: a further
    round, or the end. The results before the round, and the round's own, are read once.

    A range has 1 GiB of results at most: it takes as long as a range of answers, and
    nothing is judged.
    """

    ledger: Ledger
    storage: Storage
    places: Places
    compose: Compose
    gathering: Gathering
    now: Callable[[], datetime]

    def __call__(self, job: Job) -> Learnt:
        """
        Raises:
            DoesNotAddUp, TooLarge: nothing is published; a person has to look.
            Unavailable, Misconfigured: try again.
        """
        one = job.round_now
        sent = self.ledger.get(one.job)
        if sent is None or not sent.is_done:
            return awaited(job)
        try:
            if sent.results is None:
                return self._without_answers(job, one, sent)
            before = job.results if one.by else job.gathered
            assert before is not None
            return self._healed(job, one, sent, before)
        except SentGone:
            # They are made again of the round's answers.
            log_parked(
                self.ledger.advance(sent, lambda j: j.collected_anew(self.now()))
            )
            return awaited(job)
        except BeforeGone as exc:
            if one.by:
                return self._void(job, sent, SkipCode.RESULTS_GONE, str(exc))
            # The work bucket has lost what was gathered: it is made again of the
            # answers, and the rounds that were sent are joined to it.
            return Turned(move=lambda j, now: j.collected_anew(now))

    def _void(self, job: Job, sent: Job, code: SkipCode, why: str) -> Learnt:
        """What is published stays as it is: nothing can be joined to it."""
        over = job.round_over(sent, 0)
        skipped = Skipped(code=code, message=f"round {over.n}, job {sent.id}: {why}")
        self._let_expire(job)
        return Turned(move=lambda j, now: j.round_void(now, skipped, over))

    def _without_answers(self, job: Job, one: Round, sent: Job) -> Learnt:
        """The round was not sent: the results before it are the last."""
        if one.by:
            return self._void(job, sent, *_why_not(sent))
        assert job.gathered is not None
        next = Next.of(job, one.rows, job.round_over(sent, 0))
        if next.again:
            # A later round was sent, before the work bucket lost what was gathered.
            return next.learnt(job, counts_of(job) | {"results": job.gathered})
        code, why = _why_not(sent)
        message = f"{not_again(one.rows)}: round {one.n}, job {sent.id}"
        next = replace(next, skipped=Skipped(code=code, message=f"{message}: {why}"))
        try:
            results = self.gathering.publish(job, job.gathered)
        except SourceGone as exc:
            raise BeforeGone(str(exc)) from exc
        made = without_round(job, sent)
        return self._ended(job, next, made | {"results": results})

    def _healed(self, job: Job, one: Round, sent: Job, before: Results) -> Learnt:
        assert sent.results is not None
        again = again_of(job, earlier_rounds(self.ledger, job, one.n + 1))
        ranges = plan(self._offsets(before), before.bytes)
        both = f"{ranges} {before.drop} {sent.results.drop}"
        mark = sha256(both.encode()).hexdigest()[:16]
        steps = folder(f"{self.places.work(job)}{mark}")
        objects = StepObjects(self.storage, steps, job.lease.epoch)
        names = [segment_name(j) for j in range(len(ranges))]
        if (j := objects.first_missing(names)) is not None:
            is_last = j + 1 == len(ranges)
            self._join(objects, j, ranges[j], is_last, before, sent.results, again)
            failpoint("collect_healed")
            return Done(step=Step.HEAL, n=j + 1)
        found = [objects.read(name, Segment) for name in names]
        totals = Totals.of(each.found.totals for each in found)
        counts = with_round(job, sent, totals)
        over = job.round_over(sent, sum(each.found.healed for each in found))
        if one.by:
            next = Next(over=over)
        else:
            passing = again.count(counts["rows"], totals.passing)
            next = Next.of(job, passing, over)
        try:
            sources = [
                objects.find(name, each.data)
                for name, each in zip(names, found, strict=True)
            ]
        except Gone as exc:
            objects.lose(exc.record)
            return Done(step=Step.HEAL, goes_on=False)
        results = self._composed(
            job,
            self.gathering.home(job, next),
            objects.folder,
            sources,
            totals,
            before,
            sent.results,
        )
        failpoint("collect_heal_written")
        return self._ended(job, next, counts | {"results": results})

    def _join(
        self,
        objects: StepObjects,
        j: int,
        range: tuple[int, int],
        is_last: bool,
        before: Results,
        sent: Results,
        again: Again,
    ) -> None:
        since = objects.read(segment_name(j - 1), Segment).found.reached if j else 0
        data = objects.own(segment_name(j), "")
        with self.storage.creating(objects.uri(data), NDJSON) as new:
            found = heal(
                self._read(BeforeGone, before, *range),
                self._read(SentGone, sent, since),
                write=new.write,
                again=again.without_missing,
                since=since,
                is_last=is_last,
            )
        objects.record(segment_name(j), Segment(data=data, found=found))

    def _composed(
        self,
        job: Job,
        home: Location,
        work: Location,
        sources: Sequence[Drop],
        totals: Totals,
        before: Results,
        sent: Results,
    ) -> Results:
        """Makes one object of all ranges, and of the strangers of both."""
        one = job.round_now
        # What a person asked for comes beside what is published already.
        name = f"-{one.n}" if one.by else ""
        beside = self._strangers(before, sent, asked=bool(one.by))

        def publish(suffix: str) -> Results:
            return composed(
                self.compose,
                home,
                f"{name}{suffix}",
                work,
                results=sources,
                strangers=beside,
                index=index_of(totals.lines, totals.offsets),
                round=one.n,
            )

        with writing_results(home):
            return published(job, publish)

    def _ended(self, job: Job, next: Next, made: dict[str, Any]) -> Learnt:
        if next.again:
            return next.learnt(job, made)
        self._let_expire(job)
        return next.learnt(job, made, self.gathering.leftovers(job, job.rounds))

    def _let_expire(self, job: Job) -> None:
        """The rounds expire as any job that is done: see `Parts`."""
        rounds = earlier_rounds(self.ledger, job)
        all_moved(self.ledger, rounds, Job.let_expire, self.now)

    def _offsets(self, before: Results) -> list[tuple[int, int]]:
        """The sparse index of the results; without one they are one range."""
        if before.index is None:
            return []
        try:
            return read_index(self.storage, before.index).offsets
        except SourceGone:
            return []

    def _read(
        self,
        gone: type[Exception],
        results: Results,
        start: int = 0,
        end: int | None = None,
    ) -> Iterator[bytes]:
        try:
            yield from self.storage.read(results.drop, start, end)
        except SourceGone as exc:
            raise gone(str(exc)) from exc

    def _strangers(self, before: Results, sent: Results, asked: bool) -> list[Drop]:
        """The objects with strangers of both."""
        found: list[Drop] = []
        for results, gone in ((before, BeforeGone), (sent, SentGone)):
            try:
                if results.strangers:
                    found.append(self.storage.present(results.strangers))
            except SourceGone as exc:
                # Someone may have deleted those that were published.
                if gone is SentGone or not asked:
                    raise gone(str(exc)) from exc
        return found


def _why_not(sent: Job) -> tuple[SkipCode, str]:
    """Why a round has no answers."""
    error = sent.error
    why = error.message if error else f"it is {sent.phase}"
    if sent.phase is Phase.ENDED:
        return SkipCode.CANCELLED, "its answers were left"
    if sent.outcome is Outcome.CANCELLED:
        return SkipCode.CANCELLED, why
    if error and error.code in tuple(SkipCode):
        return SkipCode(error.code), why
    return SkipCode.REJECTED, why
