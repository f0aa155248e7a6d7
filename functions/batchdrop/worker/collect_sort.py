"""
Sorts answers that are too many for one step: a slice in each step, then the plan of
the ranges of rows to join them to.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from batchdrop.errors import SourceGone
from batchdrop.failpoints import failpoint
from batchdrop.jobs.codes import Step
from batchdrop.jobs.job import Job
from batchdrop.results import Answers, Questions, ranges, slices
from batchdrop.results.totals import Totals
from batchdrop.storage import Differs, Storage
from batchdrop.worker.collect_freeze import PLAN, Freeze, Frozen
from batchdrop.worker.collect_inputs import AnswersGone, Inputs
from batchdrop.worker.collect_objects import (
    Late,
    Plan,
    SortedSlice,
    StepObjects,
    run_name,
)
from batchdrop.worker.collect_steps import NDJSON, Done, Learnt, Places

#: The hashes of all rows as sent, which answers without an id are compared with.
MARKS = "marks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sort:
    """
    One slice a call, and after the last one the plan. It reads each answer once and
    writes it once.

    A slice has 256 MiB (`slices.SLICE`): at 60 MB/s it takes 9 s to read and to write,
    and about as long to sort, of the 270 s that are half of the function's time.
    """

    storage: Storage
    places: Places
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
        answers = self.inputs.answers(frozen)
        names = [run_name(k) for k in range(slices.count(answers))]
        k = objects.first_missing(names)
        if k is None:
            return self._planned(job, frozen, objects, names)
        try:
            self._sort(job, answers, objects, k)
        except AnswersGone:
            # What is there now is another set of answers: it is listed anew.
            self.storage.delete(self.places.frozen(job))
            return Done(step=Step.FREEZE, goes_on=False)
        failpoint("collect_sorted")
        return Done(step=Step.SORT, n=k + 1)

    def _sort(
        self, job: Job, answers: Sequence[Answers], objects: StepObjects, k: int
    ) -> None:
        questions = self.inputs.questions(job)
        before, taken = self._before(objects, k)
        data = objects.own(run_name(k), "")
        with ExitStack() as stack:
            strangers_name = objects.own(run_name(k), "-strangers")
            strangers = Late(self.storage, objects.uri(strangers_name), stack)
            with self.storage.creating(objects.uri(data), NDJSON) as new:
                found = slices.sort(
                    questions,
                    answers,
                    k,
                    write=new.write,
                    write_stranger=strangers.write,
                    marks=partial(self._marks, questions, objects),
                    before=before.run if before else None,
                    taken=taken,
                )
        taken_name = objects.own(run_name(k), "-taken") if found.taken else None
        if taken_name:
            self.storage.create(objects.uri(taken_name), found.taken)
        objects.record(
            run_name(k),
            SortedSlice(
                data=data,
                strangers=strangers_name if strangers.is_written else None,
                taken=taken_name,
                run=found.run,
            ),
        )

    def _before(self, objects: StepObjects, k: int) -> tuple[SortedSlice | None, bytes]:
        """
        What the slice before has left.

        Raises:
            SourceGone: it is gone, and sorted again by the next try.
        """
        if not k:
            return None, b""
        record = run_name(k - 1)
        before = objects.read(record, SortedSlice)
        if not before.taken:
            return before, b""
        try:
            return before, b"".join(self.storage.chunks(objects.uri(before.taken)))
        except SourceGone:
            objects.lose(record)
            raise

    def _marks(self, questions: Questions, objects: StepObjects) -> bytes:
        """The hashes of all rows as sent, which are read once."""
        uri = objects.uri(MARKS)
        try:
            return b"".join(self.storage.chunks(uri))
        except SourceGone:
            pass
        found = slices.marks(questions)
        try:
            self.storage.create(uri, found)
        except Differs:  # the rows have gone meanwhile: what was read first counts
            return b"".join(self.storage.chunks(uri))
        return found

    def _planned(
        self,
        job: Job,
        frozen: Sequence[Frozen],
        objects: StepObjects,
        names: Sequence[str],
    ) -> Learnt:
        """All slices are sorted: what follows from them?"""
        if PLAN not in objects:
            found = [objects.read(name, SortedSlice) for name in names]
            runs = [one.run for one in found]
            finals = any(one.final for one in frozen)
            objects.record(
                PLAN,
                Plan(
                    answers=sum(
                        one.final if finals else one.totals.read for one in runs
                    ),
                    runs=[one.data for one in found],
                    strangers=[one.strangers for one in found],
                    totals=Totals.of(one.totals for one in runs),
                    ranges=ranges.plan(self.inputs.questions(job), runs),
                ),
            )
        failpoint("collect_planned")
        if self.freeze.too_few(job, frozen) is not None:
            # More may have come meanwhile: then the list is another one.
            self.storage.delete(self.places.frozen(job))
            return Done(step=Step.FREEZE)
        return Done(step=Step.RANGE)
