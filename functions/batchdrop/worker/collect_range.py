"""Joins sorted answers to the rows of the file: a range of rows in each step."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from batchdrop.errors import SourceGone
from batchdrop.failpoints import failpoint
from batchdrop.jobs.codes import Step
from batchdrop.jobs.job import Job
from batchdrop.results import ranges
from batchdrop.results.writing import Reached
from batchdrop.storage import Storage
from batchdrop.worker.collect_freeze import PLAN, Freeze, Frozen
from batchdrop.worker.collect_inputs import Inputs
from batchdrop.worker.collect_objects import (
    Gone,
    Late,
    Plan,
    Segment,
    StepObjects,
    back,
    run_name,
    segment_name,
)
from batchdrop.worker.collect_round import counted_again
from batchdrop.worker.collect_steps import NDJSON, Done, Learnt


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeOfRows:
    """
    One range a call. It reads the sorted answers of its rows and writes their results.

    A range has 1 GiB of answers at most: at 60 MB/s it takes 36 s to read it and to
    write about as much, and 20 s to judge it. 240 runs, which are 60 GB, take 1,300
    requests of up to 1 MiB, 60 s more at 45 ms each: 120 s of the 270 s that are half
    of the function's time.
    """

    storage: Storage
    freeze: Freeze
    inputs: Inputs

    def __call__(self, job: Job) -> Learnt:
        """
        Raises:
            DoesNotAddUp, TooLarge: nothing is published; a person has to look.
            Unavailable, Misconfigured, SourceGone: try again.
        """
        try:
            frozen, folder = self.freeze.read_marked(job)
        except SourceGone:
            return Done(step=Step.FREEZE)
        objects = StepObjects(self.storage, folder, job.lease.epoch)
        if PLAN not in objects:
            return Done(step=Step.SORT)
        plan = objects.read(PLAN, Plan)
        j = objects.first_missing(map(segment_name, range(len(plan.ranges))))
        if j is None:
            return Done(step=Step.COMPOSE)
        try:
            self._merge(job, frozen, objects, plan, j)
        except Gone as exc:
            return back(objects, exc)
        failpoint("collect_ranged")
        if j + 1 < len(plan.ranges):
            return Done(step=Step.RANGE, n=j + 1)
        return Done(step=Step.COMPOSE)

    def _merge(
        self,
        job: Job,
        frozen: Sequence[Frozen],
        objects: StepObjects,
        plan: Plan,
        j: int,
    ) -> None:
        assert job.spec is not None
        bill = self.inputs.bill(job)
        data = objects.own(segment_name(j), "")
        size = ranges.read_size(len(plan.runs))
        with ExitStack() as stack:
            strangers_name = objects.own(segment_name(j), "-strangers")
            strangers = Late(self.storage, objects.uri(strangers_name), stack)
            with self.storage.creating(objects.uri(data), NDJSON) as new:
                found = ranges.merge(
                    self.inputs.questions(job),
                    self.inputs.answers(frozen),
                    plan.ranges,
                    j,
                    [
                        partial(self._open, run_name(k), objects.uri(name), size)
                        for k, name in enumerate(plan.runs)
                    ],
                    write=new.write,
                    write_stranger=strangers.write,
                    since=self._since(objects, j),
                    full=job.spec.results == "full",
                    round=job.round,
                    bill=bill,
                    again=counted_again(job),
                )
        objects.record(
            segment_name(j),
            Segment(
                data=data,
                strangers=strangers_name if strangers.is_written else None,
                totals=found.totals,
                reached=found.reached,
                tokens=bill.tokens(),
            ),
        )

    def _since(self, objects: StepObjects, j: int) -> Reached | None:
        return objects.read(segment_name(j - 1), Segment).reached if j else None

    def _open(
        self, record: str, uri: str, size: int, start: int = 0, end: int | None = None
    ) -> Iterator[bytes]:
        """
        The bytes of a run.

        Raises:
            Gone: it no longer exists.
        """
        try:
            yield from self.storage.chunks(uri, start, end, size)
        except SourceGone as exc:
            raise Gone(record) from exc
