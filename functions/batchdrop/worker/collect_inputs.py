"""What results are made from: a job's questions, its answers, and their prices."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from batchdrop.errors import SourceGone, Unavailable
from batchdrop.jobs.job import Job
from batchdrop.ledger import Ledger
from batchdrop.pricing import Bill, Prices
from batchdrop.results import Answers, DoesNotAddUp, OpenAt, Questions
from batchdrop.storage import Storage
from batchdrop.stored import split_uri
from batchdrop.worker.collect_freeze import Frozen, answers_of


class AnswersGone(Exception):
    """An object with answers was overwritten or deleted since it was listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Opens what results are made of. Nothing is read before it is asked for."""

    ledger: Ledger
    storage: Storage
    prices: Callable[[], Prices]

    def answers(self, frozen: Sequence[Frozen]) -> list[Answers]:
        """
        The objects with answers. They raise AnswersGone if one of them is no longer
        there.
        """
        return [
            Answers(one.name, one.final, partial(self._open, one), one.size)
            for one in frozen
        ]

    def bill(self, job: Job) -> Bill:
        assert job.spec is not None
        return Bill(
            self.prices(),
            model=job.spec.model,
            backend=job.spec.backend,
            location=job.spec.location,
            day=job.ended_on.date(),
        )

    def questions(self, job: Job) -> Questions:
        staging = job.staging
        assert staging is not None
        whole, above = job, job.belongs_to
        while above and (found := self.ledger.get(above)) is not None:
            # A split job has what its parts have in common, a round's job its inputs.
            whole, above = found, found.belongs_to
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
        return None if uri is None else partial(self._read, uri)

    def _read(
        self,
        uri: str,
        start: int = 0,
        end: int | None = None,
    ) -> Iterator[bytes]:
        """
        Raises:
            SourceGone: no object has this name.
            Unavailable: it was replaced, as `Keep` does it; its content is the same.
        """
        try:
            yield from self.storage.chunks(uri, start, end)
        except SourceGone as exc:
            if self.storage.find(*split_uri(uri)) is None:
                raise
            raise Unavailable(f"{uri} was replaced while it was read") from exc

    def _lines(self, uri: str) -> Iterator[bytes]:
        try:
            yield from self._read(uri)
        except SourceGone as exc:
            raise DoesNotAddUp(f"what staging recorded of each line: {exc}") from exc

    def _open(
        self, one: Frozen, start: int = 0, end: int | None = None
    ) -> Iterator[bytes]:
        try:
            yield from answers_of(self.storage, one, start, end)
        except SourceGone as exc:
            raise AnswersGone(str(exc)) from exc
