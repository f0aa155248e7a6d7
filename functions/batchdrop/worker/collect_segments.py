"""The last step for sorted answers: composes the results of all ranges."""

from collections.abc import Sequence
from dataclasses import dataclass

from batchdrop.errors import SourceGone
from batchdrop.failpoints import failpoint
from batchdrop.jobs.codes import Step
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Drop, Location, Results
from batchdrop.results import Summary
from batchdrop.results.totals import Totals
from batchdrop.storage import Storage
from batchdrop.worker.collect_compose import Compose
from batchdrop.worker.collect_freeze import PLAN, Freeze
from batchdrop.worker.collect_inputs import Inputs
from batchdrop.worker.collect_objects import (
    Gone,
    Plan,
    Segment,
    StepObjects,
    back,
    run_name,
    segment_name,
)
from batchdrop.worker.collect_published import (
    changes,
    composed,
    cost,
    index_of,
    published,
    writing_results,
)
from batchdrop.worker.collect_round import Gathering, Next
from batchdrop.worker.collect_steps import GATHERED, Done, Learnt, Places, folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """
    Adds up what the ranges counted, and makes one object of their results. It reads
    none: 60 GB are 60 small records and 4 requests that compose, some seconds in all.
    The copy takes one more request if both buckets have one location and class.
    """

    storage: Storage
    places: Places
    freeze: Freeze
    inputs: Inputs
    compose: Compose
    gathering: Gathering

    def __call__(self, job: Job) -> Learnt:
        """
        Raises:
            DoesNotAddUp: nothing is published; a person has to look.
            Unavailable, Misconfigured, SourceGone: try again.
        """
        try:
            _, steps = self.freeze.read_marked(job)
        except SourceGone:
            return Done(step=Step.FREEZE)
        objects = StepObjects(self.storage, steps, job.lease.epoch)
        if PLAN not in objects:
            return Done(step=Step.SORT)
        plan = objects.read(PLAN, Plan)
        names = [segment_name(j) for j in range(len(plan.ranges))]
        if (j := objects.first_missing(names)) is not None:
            return Done(step=Step.RANGE, n=j)
        found = [objects.read(name, Segment) for name in names]
        bill = self.inputs.bill(job)
        for one in found:
            bill.include(one.tokens)
        summary = Totals.of([plan.totals, *(one.totals for one in found)]).summary(
            self.inputs.questions(job)
        )
        results = [(name, one.data) for name, one in zip(names, found, strict=True)]
        strangers = [
            *((run_name(k), one) for k, one in enumerate(plan.strangers)),
            *((name, one.strangers) for name, one in zip(names, found, strict=True)),
        ]
        counts = changes(job, summary) | cost(job, bill)
        next = Next.after_batch(job, counts, summary.passing)
        try:
            made = self._publish(
                job,
                self.gathering.home(job, next),
                summary,
                objects.folder,
                [objects.find(*one) for one in results],
                [objects.find(record, one) for record, one in strangers if one],
            )
        except Gone as exc:
            return back(objects, exc)
        return next.learnt(job, counts | {"results": made}, self._folders(job))

    def _folders(self, job: Job) -> tuple[Location, ...]:
        """What the steps have made of this list of answers, and of others before it."""
        work = folder(self.places.work(job))
        below = [uri.removeprefix(str(work)) for uri in self.storage.names(work)]
        marks = {name.partition("/")[0] for name in below if "/" in name}
        marks -= {GATHERED}
        return tuple(Location.parse(f"{work}{mark}") for mark in sorted(marks))

    def _publish(
        self,
        job: Job,
        home: Location,
        summary: Summary,
        work: Location,
        results: Sequence[Drop],
        strangers: Sequence[Drop],
    ) -> Results:
        def publish(suffix: str) -> Results:
            return composed(
                self.compose,
                home,
                suffix,
                work,
                results=results,
                strangers=strangers,
                index=index_of(summary.lines, summary.offsets),
                round=job.round,
            )

        with writing_results(home):
            found = published(job, publish)
        failpoint("collect_published")
        return found
