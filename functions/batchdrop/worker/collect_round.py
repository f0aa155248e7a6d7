"""Decides, before results are published, whether rows go again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from batchdrop.jobs.codes import SkipCode
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Drop, Location, Results, Round, Skipped
from batchdrop.ledger import Ledger
from batchdrop.results.again import Again, again_of
from batchdrop.storage import Created, Storage
from batchdrop.worker.collect_published import (
    published,
    results_of,
    writing_results,
)
from batchdrop.worker.collect_steps import (
    GATHERED,
    NDJSON,
    Collected,
    Learnt,
    Places,
    Turned,
    folder,
)


def counted_again(job: Job) -> Again | None:
    """
    Which rows of a job's own batch are to be counted while their results are written;
    None if none goes again whatever they say.
    """
    if job.retry_of or not job.spec or not job.spec.retry:
        return None
    return again_of(job, ()).without_missing


def awaited(job: Job) -> Turned:
    """The step of a job whose round is not done or is missing: `poll` handles it."""
    return Turned(move=lambda j, now: j.round_awaited(now))


def unless_cancelled(
    known: Job, begin: Callable[[Job, datetime], Job]
) -> Callable[[Job, datetime], Job]:
    """
    The move that begins a round. Where somebody has cancelled the job since the step
    read it, nothing changes, and the step is done once more.
    """

    def move(job: Job, now: datetime) -> Job:
        cancelled = job.cancel_request and not known.cancel_request
        return job if cancelled else begin(job, now)

    return move


def earlier_rounds(ledger: Ledger, job: Job, n: int | None = None) -> list[Job]:
    """
    The jobs of the rounds in which rows of a job went again, those that the ledger
    still has.

    Args:
        n: only those before this round.
    """
    ids = [
        one.job for one in job.rounds if one.n and one.job and (n is None or one.n < n)
    ]
    return ledger.get_all(ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """
    What follows once the results of a job are made, or its round is over: another
    round, or the end.
    """

    passing: int = 0  #: the rows that failed for a passing reason
    again: bool = False  #: whether they go again
    skipped: Skipped | None = None  #: why they don't
    over: Round | None = None  #: the round that is over, if rows went again

    @classmethod
    def of(cls, job: Job, passing: int, over: Round | None = None) -> "Next":
        assert job.collecting is not None
        assert job.spec is not None
        n = job.collecting.round + 1
        if not job.retry_of and any(one.n == n for one in job.rounds):
            # Its results were lost, and are made again: a round is sent once.
            return cls(passing=passing, again=True, over=over)
        if job.retry_of or not job.spec.retry or not passing:
            return cls(passing=passing, over=over)
        skipped = job.skip(passing, over)
        return cls(passing=passing, again=not skipped, skipped=skipped, over=over)

    @classmethod
    def after_batch(cls, job: Job, made: dict[str, Any], passing: int) -> "Next":
        """
        The same once the results of the job's own batch are counted.

        Args:
            made: the arguments of `Job.collected`.
            passing: as `Summary.passing`.
        """
        if counted_again(job) is None:
            return cls()
        again = again_of(job, (), short=bool(made["answers_short"]))
        rows = made["rows"]
        if passing := again.count(rows, passing):
            return cls.of(job, passing)
        # Nobody knows whether these were paid: the reason not to send them is said.
        why = job.skip(rows.missing) if rows.missing else None
        left_none = why is not None and why.code is SkipCode.NO_ANSWERS
        return replace(cls.of(job, 0), skipped=why if left_none else None)

    def learnt(
        self, job: Job, made: dict[str, Any], leftovers: tuple[Location, ...] = ()
    ) -> Learnt:
        """
        What a step says of it.

        Args:
            made: the arguments of `Job.collected`.
            leftovers: folders that are of no use then.
        """
        if not self.again:
            more = {"over": self.over, "skipped": self.skipped}
            return Collected(changes=made | more, leftovers=leftovers)
        counts = {name: value for name, value in made.items() if name != "results"}

        def goes_again(job: Job, now: datetime) -> Job:
            return job.goes_again(
                now,
                gathered=made["results"],
                passing=self.passing,
                over=self.over,
                **counts,
            )

        return Turned(move=unless_cancelled(job, goes_again), leftovers=leftovers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathering:
    """Results that lie in the work bucket until no row goes again."""

    storage: Storage
    places: Places

    def first_home(self, job: Job) -> Location:
        """
        Where results are written while it isn't known yet whether rows go again: where
        they are published, if none goes again whatever they say.
        """
        if job.retry_of or job.rounds:
            return self.places.gathered(job)
        if counted_again(job) is None or job.skip(1) is not None:
            return self.places.results(job)
        return self.places.gathered(job)

    def home(self, job: Job, next: Next) -> Location:
        """Where they are written once that is known."""
        if job.retry_of or next.again:
            return self.places.gathered(job)
        return self.places.results(job)

    def publish(self, job: Job, gathered: Results) -> Results:
        """
        Copies the objects to where they are published, within Cloud Storage.

        Raises:
            SourceGone: they are not in the work bucket any more.
            Unavailable, Misconfigured: try again.
        """
        home = self.places.results(job)

        def copied(one: Drop, name: str, type: str = NDJSON) -> Created:
            return self.storage.copy_generation(one, f"{home}{name}", type)

        def publish(suffix: str) -> Results:
            strangers = None
            if uri := gathered.strangers:
                strangers = copied(
                    self.storage.present(uri), f"strangers{suffix}.jsonl"
                )
            assert gathered.index is not None
            index = copied(
                self.storage.present(gathered.index),
                f"results{suffix}.index.json",
                "application/json",
            )
            # The results come last: whoever finds them finds the others.
            written = copied(gathered.drop, f"results{suffix}.jsonl")
            return results_of(written, index, strangers, gathered.round)

        with writing_results(home):
            return published(job, publish)

    def leftovers(self, job: Job, rounds: Sequence[Round]) -> tuple[Location, ...]:
        """What rounds leave in the work bucket, which is of no use at the end."""
        left = [folder(f"{self.places.round(job.id, 0)}{GATHERED}")]
        for one in rounds:
            if one.n and one.job:
                ids = (job.id, one.job)
                left += (folder(self.places.round(id, one.n)) for id in ids)
        return tuple(left)
