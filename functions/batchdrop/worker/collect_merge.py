"""Joins answers to the rows of the file, and writes the results."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from batchdrop.errors import Misconfigured, SourceGone
from batchdrop.failpoints import failpoint
from batchdrop.jobs.codes import Step
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Results
from batchdrop.ledger import Ledger
from batchdrop.pricing import Bill, Prices, Unpriced
from batchdrop.results import (
    Answers,
    DoesNotAddUp,
    OpenAt,
    Questions,
    Summary,
    TooLarge,
    collected,
)
from batchdrop.storage import Created, Creation, Differs, Storage
from batchdrop.worker.collect_freeze import (
    Freeze,
    Frozen,
    NotGranted,
    answers_counted,
    answers_of,
)
from batchdrop.worker.collect_steps import (
    CREATE,
    Collected,
    Done,
    Learnt,
    Places,
    granted,
)

#: Bytes of answers that one step reads.
MOST = 1024**3
NDJSON = "application/x-ndjson"


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """The last step: questions and answers become results, in one commit."""

    ledger: Ledger
    storage: Storage
    places: Places
    freeze: Freeze
    prices: Callable[[], Prices]
    now: Callable[[], datetime]

    def __call__(self, job: Job) -> Learnt:
        """
        Raises:
            DoesNotAddUp, TooLarge: nothing is published; a person has to look.
            Unavailable, Misconfigured, SourceGone: try again.
        """
        try:
            frozen = self.freeze.read(job)
        except SourceGone:
            return Done(step=Step.FREEZE)
        if (size := sum(one.size for one in frozen)) > MOST:
            raise TooLarge(
                f"{size:,} bytes of answers: this release collects at most {MOST:,} of "
                "a batch; the next one sorts them in several steps"
            )
        questions = self._questions(job)
        answers = [
            Answers(one.name, one.final, partial(self._open, one), one.size)
            for one in frozen
        ]
        try:
            return self._publish(job, questions, answers)
        except AnswersGone:
            # What is there now is another set of answers: it is listed anew.
            self.storage.delete(self.places.frozen(job))
            return Done(step=Step.FREEZE, goes_on=False)

    def _publish(
        self, job: Job, questions: Questions, answers: list[Answers]
    ) -> Collected:
        """
        Writes the results, under a name of this collector's own where another object
        has theirs: what is there stays.
        """
        try:
            return self._write(job, questions, answers, "")
        except Differs:
            return self._write(job, questions, answers, f".{job.lease.epoch}")

    def _write(
        self, job: Job, questions: Questions, answers: list[Answers], suffix: str
    ) -> Collected:
        assert job.spec is not None
        folder = self.places.results(job)
        bill = self._bill(job)
        try:
            with ExitStack() as stack:
                strangers = _Late(
                    self.storage, f"{folder}strangers{suffix}.jsonl", stack
                )
                uri = f"{folder}results{suffix}.jsonl"
                with self.storage.creating(uri, NDJSON) as new:
                    summary = collected(
                        questions,
                        answers,
                        write=new.write,
                        write_stranger=strangers.write,
                        full=job.spec.results == "full",
                        bill=bill,
                    )
                    # The results come last: whoever finds them finds the others.
                    stack.close()
                    index = self.storage.create(
                        f"{folder}results{suffix}.index.json",
                        _index(summary),
                        "application/json",
                    )
                    failpoint("collect_merged")
        except Misconfigured as exc:
            if isinstance(exc, NotGranted) or folder.bucket not in str(exc):
                raise
            grant = granted(folder.bucket, CREATE)
            raise Misconfigured(f"{exc}. {grant}") from exc
        failpoint("collect_written")
        assert new.created is not None
        return Collected(
            changes=_changes(job, summary, new.created, index, strangers.created)
            | _cost(bill),
        )

    def _bill(self, job: Job) -> Bill:
        assert job.spec is not None
        ended = job.batch.end_time if job.batch else None
        return Bill(
            self.prices(),
            model=job.spec.model,
            backend=job.spec.backend,
            location=job.spec.location,
            day=(ended or self.now()).date(),
        )

    def _questions(self, job: Job) -> Questions:
        staging = job.staging
        assert staging is not None
        whole = job
        if job.part_of and (split := self.ledger.get(job.part_of)) is not None:
            whole = split  # it has what its parts have in common
        batch_error = job.batch.error if job.batch else None
        return Questions(
            staging=staging,
            open_lines=partial(self._lines, staging.lines) if staging.lines else None,
            open_sidecar=self._opener(staging.sidecar),
            open_report=self._opener(whole.report if staging.refused else None),
            open_staged=self._opener(staging.uri),
            inputs=whole.inputs,
            error=job.error or batch_error,
        )

    def _opener(self, uri: str | None) -> OpenAt | None:
        return None if uri is None else partial(self.storage.chunks, uri)

    def _lines(self, uri: str) -> Iterator[bytes]:
        try:
            yield from self.storage.chunks(uri)
        except SourceGone as exc:
            raise DoesNotAddUp(f"what staging recorded of each line: {exc}") from exc

    def _open(
        self, one: Frozen, start: int = 0, end: int | None = None
    ) -> Iterator[bytes]:
        try:
            yield from answers_of(self.storage, one, start, end)
        except SourceGone as exc:
            raise AnswersGone(str(exc)) from exc


class AnswersGone(Exception):
    """An object with answers was overwritten or deleted since it was listed."""


class _Late:
    """An object that is created when something is written to it."""

    def __init__(self, storage: Storage, uri: str, stack: ExitStack) -> None:
        self._storage = storage
        self._uri = uri
        self._stack = stack
        self._new: Creation | None = None

    @property
    def created(self) -> Created | None:
        return self._new.created if self._new else None

    def write(self, data: bytes) -> None:
        if self._new is None:
            creating = self._storage.creating(self._uri, NDJSON)
            self._new = self._stack.enter_context(creating)
        self._new.write(data)


def _index(summary: Summary) -> bytes:
    return msgspec.json.encode({"lines": summary.lines, "offsets": summary.offsets})


def _cost(bill: Bill) -> dict[str, Any]:
    """The arguments of `Job.collected` that say what the answers cost."""
    cost = bill.cost()
    return {"no_cost": cost.why} if isinstance(cost, Unpriced) else {"cost": cost}


def _changes(
    job: Job,
    summary: Summary,
    written: Created,
    index: Created,
    strangers: Created | None,
) -> dict[str, Any]:
    """The arguments of `Job.collected`."""
    rows = summary.rows
    answered, counted = rows.accepted - (rows.missing or 0), answers_counted(job)
    short = lost = None
    if counted is not None and answered < counted and not job.is_lost:
        short = f"the API counts {counted:,} answers, and {answered:,} rows have one"
    if summary.columns_lost:
        lost = (
            "the object with the rows' own keys and columns is gone: the results have "
            "ids and lines alone"
        )
    return {
        "results": Results(
            uri=written.uri,
            generation=written.generation,
            crc32c=written.crc32c,
            bytes=written.bytes,
            index=index.uri,
            strangers=strangers.uri if strangers else None,
        ),
        "rows": rows,
        "usage": summary.usage,
        "failures": summary.failures,
        "strangers": summary.strangers,
        "superseded": summary.superseded,
        "same_rows": summary.same_rows,
        "answers_short": short,
        "columns_lost": lost,
    }
