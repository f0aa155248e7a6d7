"""Finds the rows that go again because a person asks for it, and begins their round."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from batchdrop.errors import SourceGone
from batchdrop.failpoints import failpoint
from batchdrop.jobs.codes import SkipCode, WaitCode
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Round, Skipped
from batchdrop.ledger import Ledger
from batchdrop.results import DoesNotAddUp
from batchdrop.results.again import again_of, selected
from batchdrop.rows import RowOutcome, agreed
from batchdrop.storage import Storage
from batchdrop.stored import split_uri
from batchdrop.worker.collect_parts import gone_of, parts_of
from batchdrop.worker.collect_round import earlier_rounds, unless_cancelled
from batchdrop.worker.collect_steps import Learnt, Turned, Waits
from batchdrop.worker.moved import all_moved


@dataclass(frozen=True, slots=True, kw_only=True)
class ChooseRows:
    """
    Counts the rows that are meant, in one pass over the results, and begins the round.
    A split job asks those of its parts that may have such rows.
    """

    ledger: Ledger
    storage: Storage
    now: Callable[[], datetime]

    def __call__(self, job: Job) -> Learnt:
        """
        Raises:
            DoesNotAddUp, TooLarge: the results can't be read; a person has to look.
            Unavailable, Misconfigured: try again.
        """
        one = job.round_now
        if job.parts:
            return self._ask_parts(job, one)
        if job.cancel_request:
            return _void(SkipCode.CANCELLED, "the job was cancelled")
        if not self._is_staged(job):
            return _void(
                SkipCode.STAGING_GONE,
                "the staged rows are gone from the work bucket; run `batchdrop rerun`, "
                "which reads the dropped file",
            )
        try:
            rows = self._count(job, one) if _may_have(job, one) else 0
        except SourceGone as exc:
            return _void(SkipCode.RESULTS_GONE, f"the results are gone: {exc}")
        failpoint("collect_rows_chosen")
        if not rows:
            return _void(SkipCode.NO_ROWS, _none(one))
        begin = unless_cancelled(job, lambda j, now: j.round_chosen(rows, now))
        return Turned(move=begin)

    def _is_staged(self, job: Job) -> bool:
        """
        Whether the rows are there, and their own keys and columns: results that are
        better must not lack these.
        """
        if job.staging is None:
            return False
        beside = None if job.columns_lost else job.staging.sidecar
        uris = [uri for uri in (job.staging.uri, beside) if uri]
        return all(self.storage.find(*split_uri(uri)) for uri in uris)

    def _count(self, job: Job, one: Round) -> int:
        assert job.results is not None
        again = again_of(job, earlier_rounds(self.ledger, job, one.n))
        results = self.storage.read(job.results.drop)
        return sum(1 for _ in selected(results, again))

    def _ask_parts(self, job: Job, one: Round) -> Learnt:
        try:
            parts = parts_of(self.ledger, job)
        except DoesNotAddUp as exc:
            # What is published needs no part.
            return _void(SkipCode.RESULTS_GONE, str(exc))
        begun = {part.id for part in parts if any(r.n == one.n for r in part.rounds)}
        asked = [part for part in parts if part.id in begun or _may_have(part, one)]
        if job.cancel_request:
            # Those that were asked before it have rows to join, or are cancelled.
            asked = [part for part in parts if part.id in begun]
        if job.cancel_request and not asked:
            all_moved(self.ledger, parts, Job.let_expire, self.now)
            return _void(SkipCode.CANCELLED, "the job was cancelled")
        if not asked:
            return _void(SkipCode.NO_ROWS, _none(one))
        undone = [part for part in parts if not part.is_done and part.id not in begun]
        if undone:
            return Waits(
                why=f"{len(undone):,} of its parts "
                f"{agreed(len(undone), 'is', 'are')} not done",
                code=WaitCode.PARTS,
            )
        if not begun and (gone := gone_of(self.storage, parts)):
            all_moved(self.ledger, parts, Job.let_expire, self.now)
            return _void(SkipCode.RESULTS_GONE, gone)
        # The job needs all of its parts once more.
        all_moved(self.ledger, parts, Job.needed, self.now)
        failpoint("collect_parts_needed")
        all_moved(
            self.ledger,
            asked,
            lambda part, now: part.retry_begun(one.n, one.by, one.only, now),
            self.now,
        )
        failpoint("collect_parts_asked")
        return Turned(move=lambda j, now: j.parts_asked(now))


def _may_have(job: Job, one: Round) -> bool:
    """Whether a job may have rows that are meant, by the counts of its document."""
    if job.results is None:
        return False
    assert job.spec is not None
    asked = one.only or (RowOutcome.FAILED, RowOutcome.MISSING, *job.spec.retry_on)
    counts = job.rows.outcomes
    return any(counts.get(RowOutcome(outcome)) for outcome in asked)


def _none(one: Round) -> str:
    if one.only:
        return f"no row is {' or '.join(one.only)}"
    return "no row failed for a passing reason; name outcomes to send others again"


def _void(code: SkipCode, why: str) -> Turned:
    skipped = Skipped(code=code, message=why)
    return Turned(move=lambda j, now: j.round_void(now, skipped))
