"""Joins answers to the rows of the file, and writes the results."""

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from batchdrop.errors import SourceGone
from batchdrop.failpoints import failpoint
from batchdrop.jobs.codes import Step
from batchdrop.jobs.job import Job
from batchdrop.results import Answers, Questions, TooLarge, collected
from batchdrop.storage import Storage
from batchdrop.worker.collect_freeze import Freeze, fit_one_step
from batchdrop.worker.collect_inputs import AnswersGone, Inputs
from batchdrop.worker.collect_objects import Late
from batchdrop.worker.collect_published import (
    changes,
    cost,
    index_of,
    published,
    results_of,
    writing_results,
)
from batchdrop.worker.collect_round import Gathering, Next, counted_again
from batchdrop.worker.collect_steps import NDJSON, Done, Learnt, Places


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """
    The step that makes results, if the answers fit into one: questions and answers are
    joined in one go.
    """

    storage: Storage
    places: Places
    freeze: Freeze
    inputs: Inputs
    gathering: Gathering

    def __call__(self, job: Job) -> Learnt:
        """
        Raises:
            DoesNotAddUp: nothing is published; a person has to look.
            Unavailable, Misconfigured, SourceGone: try again.
        """
        try:
            frozen = self.freeze.read(job)
        except SourceGone:
            return Done(step=Step.FREEZE)
        if not fit_one_step(frozen):
            # Another collector has listed them anew meanwhile.
            return Done(step=Step.SORT)
        try:
            questions = self.inputs.questions(job)
            answers = self.inputs.answers(frozen)
            write = partial(self._write, job, questions, answers)
            made, passing = published(job, write)
        except TooLarge:
            # The lines take more memory than their bytes say.
            return Done(step=Step.SORT)
        except AnswersGone:
            # What is there now is another set of answers: it is listed anew.
            self.storage.delete(self.places.frozen(job))
            return Done(step=Step.FREEZE, goes_on=False)
        next = Next.after_batch(job, made, passing)
        published_now = self.gathering.first_home(job) == self.places.results(job)
        if job.retry_of or next.again or published_now:
            return next.learnt(job, made)
        made["results"] = self.gathering.publish(job, made["results"])
        return next.learnt(job, made, self.gathering.leftovers(job, ()))

    def _write(
        self, job: Job, questions: Questions, answers: list[Answers], suffix: str
    ) -> tuple[dict[str, Any], int]:
        """The arguments of `Job.collected`, and how many rows pass."""
        assert job.spec is not None
        folder = self.gathering.first_home(job)
        bill = self.inputs.bill(job)
        with writing_results(folder), ExitStack() as stack:
            uri = f"{folder}strangers{suffix}.jsonl"
            strangers = Late(self.storage, uri, stack)
            uri = f"{folder}results{suffix}.jsonl"
            with self.storage.creating(uri, NDJSON) as new:
                summary = collected(
                    questions,
                    answers,
                    write=new.write,
                    write_stranger=strangers.write,
                    full=job.spec.results == "full",
                    round=job.round,
                    bill=bill,
                    again=counted_again(job),
                )
                # The results come last: whoever finds them finds the others.
                stack.close()
                index = self.storage.create(
                    f"{folder}results{suffix}.index.json",
                    index_of(summary.lines, summary.offsets),
                    "application/json",
                )
                failpoint("collect_merged")
        failpoint("collect_written")
        assert new.created is not None
        results = results_of(new.created, index, strangers.created, job.round)
        made = changes(job, summary) | cost(job, bill) | {"results": results}
        return made, summary.passing
