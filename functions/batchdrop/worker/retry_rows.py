"""Stages the rows of a job that go again, as a job of their own: a round."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from batchdrop.errors import SourceGone, Unavailable
from batchdrop.failpoints import failpoint
from batchdrop.jobs.codes import ErrorCode, Step
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Cost, Part, Problem, Results, Staging, Timing
from batchdrop.ledger import Ledger
from batchdrop.results import DoesNotAddUp, Questions
from batchdrop.results.again import again_of, selected
from batchdrop.results.lines import Kind
from batchdrop.results.questions import Lines
from batchdrop.results.reading import lines_of
from batchdrop.rows import Rows
from batchdrop.storage import Storage
from batchdrop.worker.choices import Ceilings, Choices, rules_of
from batchdrop.worker.collect_inputs import Inputs
from batchdrop.worker.collect_round import earlier_rounds
from batchdrop.worker.estimating import Estimating, Pricing
from batchdrop.worker.recorded import Recorded
from batchdrop.worker.setbacks import Setbacks
from batchdrop.worker.traces import Traces

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRows:
    """
    The first step of a round: from `arrived` to `prepared` or `rejected`. Nothing is
    chosen, and the dropped object is not read: the rows are those that are staged of
    the job that the round belongs to, under the same ids.
    """

    ledger: Ledger
    storage: Storage
    traces: Traces
    inputs: Inputs
    ceilings: Ceilings
    pricing: Pricing
    setbacks: Setbacks
    timing: Timing
    now: Callable[[], datetime]

    def prepare(self, job: Job) -> Job:
        """
        Stages the rows that the results so far name.

        Raises:
            Superseded, Unavailable, Misconfigured: nothing is written; try again.
        """
        assert job.retry_of is not None
        root = self.ledger.get(job.retry_of)
        if root is None:
            raise Unavailable(f"the ledger lacks job {job.retry_of}, whose rows go")
        if root.is_done:
            why = f"job {root.id} is done, and waits for no round"
            return self._reject(job, ErrorCode.ALREADY_DONE, why)
        left, results = root.collecting, root.gathered or root.results
        waits = left and (left.round, left.step) == (job.round, Step.ROUND)
        if not waits or results is None or root.staging is None:
            raise Unavailable(f"the results of job {root.id} are being made")
        if job.lease.epoch > 1:
            self.setbacks.clear_below(job, job.lease.epoch)
        try:
            staged = self._stage(job, root, results)
        except SourceGone as exc:
            return self._reject(job, ErrorCode.STAGING_GONE, str(exc))
        if not staged.staging.rows:
            why = f"the results of job {root.id} name no row that goes again"
            return self._reject(job, ErrorCode.NO_ROWS, why)
        failpoint("round_staged")
        return self._prepared(job, root, staged)

    def _reject(self, job: Job, code: ErrorCode, why: str) -> Job:
        return self.setbacks.reject(job, Problem(code=code, message=why))

    def _stage(self, job: Job, root: Job, results: Results) -> Part:
        """
        Writes the rows, and what became of the lines between the first and the last of
        them: those are blank. The rows' own keys and columns stay where they lie.
        """
        assert job.spec is not None
        again = again_of(root, earlier_rounds(self.ledger, root, job.round))
        wanted = selected(self.storage.read(results.drop), again)
        rows = _rows(self.inputs.questions(root), wanted)
        estimating = self.pricing.estimating(job.spec, rules_of(job.spec, ()))
        own = self.traces.staging(job.id, job.lease.epoch)
        with self.storage.writing(own.uri) as write:
            with Recorded(own.uri, self.storage.writing) as recorded:
                own = self._written(own, rows, write, recorded, estimating)
                recorded.finish()
            failpoint("round_recorded")
        staging = replace(
            own,
            first=recorded.first,
            json=recorded.json,
            lines=recorded.lines,
            sidecar=root.staging.sidecar if root.staging else None,
        )
        estimate = estimating.of(staging.rows, staging.bytes)
        return Part(n=0, first=0, last=0, staging=staging, estimate=estimate)

    def _written(
        self,
        staging: Staging,
        rows: "Iterator[tuple[int, Kind, bytes]]",
        write: Callable[[bytes], None],
        recorded: Recorded,
        estimating: Estimating,
    ) -> Staging:
        count = size = last = 0
        for line, kind, row in rows:
            data = row + b"\n"
            write(data)
            estimating.add(data)
            recorded.add_run(last + 1, Kind.BLANK, line - last - 1)
            recorded.add_run(line, kind, 1)
            count, size, last = count + 1, size + len(data), line
        return replace(staging, rows=count, bytes=size)

    def _prepared(self, job: Job, root: Job, staged: Part) -> Job:
        spec, staging = job.spec, staged.staging
        assert spec is not None
        made = Choices(spec=spec, origin=job.spec_from, manifest=None, inputs=())
        if over := self.ceilings.over_day([staged]) or self.ceilings.over_cost(
            made, [staged], spent=self._spent(root)
        ):
            return self.setbacks.reject(job, over)
        rows = Rows(total=staging.rows, accepted=staging.rows)

        def move(job: Job) -> Job:
            return job.prepared(
                spec,
                staging,
                rows,
                self.now(),
                self.timing,
                estimate=staged.estimate,
            )

        self.traces.leave(move(job))
        job = self.ledger.advance(job, move)
        failpoint("round_prepared")
        log.info(
            "round prepared",
            extra={
                "event": "job.round_prepared",
                "job": job.id,
                "retry_of": root.id,
                "round": job.round,
                "rows": rows.total,
            },
        )
        return job

    def _spent(self, root: Job) -> int:
        """
        Millionths that the file has cost so far, and its other rounds are estimated to.
        Asked for only where a ceiling on the file's cost is set.
        """
        if root.spec is None or root.spec.max_cost is None:
            return 0
        jobs = [root]
        if root.part_of and (split := self.ledger.get(root.part_of)):
            jobs = list(self.ledger.get_all(split.parts))
        return sum(_spent_by(one, now_too=one.id != root.id) for one in jobs)


def _spent_by(job: Job, *, now_too: bool) -> int:
    """
    What a job, and the rounds of its rows, have cost so far.

    Args:
        now_too: whether its round that is under way counts. A cost that isn't known is
            the rows' share of the job's estimate.
    """
    guess = job.estimate.cost if job.estimate else None

    def spent(rows: int, cost: Cost | None) -> int:
        if cost or not guess:
            return cost.micros if cost else 0
        return guess.micros * rows // max(job.rows.accepted, 1)

    if not job.rounds:
        return spent(job.rows.accepted, job.cost)
    # One that is over without usage was not paid.
    paid = (r for r in job.rounds if (r.usage if r.outcome else now_too))
    return sum(spent(each.rows, each.cost) for each in paid)


def _rows(
    questions: Questions, wanted: Iterator[int]
) -> Iterator[tuple[int, Kind, bytes]]:
    """
    Yields the staged rows of some lines of the file, with their lines and kinds.

    Args:
        wanted: the lines, in the file's order.

    Raises:
        SourceGone: the staged rows, or the results, are gone.
        DoesNotAddUp: a wanted line has no staged row.
    """
    assert questions.open_staged is not None
    rows = (one for some in lines_of(questions.open_staged()) for one in some if one)
    line = questions.staging.first
    next_line = next(wanted, None)
    for kind, count in Lines(questions).runs():
        if kind in (Kind.STAGED, Kind.STAGED_JSON):
            for here in range(line, line + count):
                if next_line is None:
                    return
                if (row := next(rows, None)) is None:
                    raise DoesNotAddUp("fewer rows are staged than staging counted")
                if here == next_line:
                    yield here, kind, row
                    next_line = next(wanted, None)
        line += count
    if next_line is not None:
        raise DoesNotAddUp(f"no row was staged of line {next_line}")
