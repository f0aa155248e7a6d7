"""Stages the rows of a file, part by part, with a checkpoint after each part."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any, Self

from batchdrop.errors import NotReadable
from batchdrop.failpoints import failpoint
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Part, Problem, Staging, Timing
from batchdrop.ledger import Ledger
from batchdrop.storage import Storage
from batchdrop.worker.choices import Ceilings, Choices
from batchdrop.worker.estimating import Estimating
from batchdrop.worker.reading import BadRows, Piece, Reading
from batchdrop.worker.recorded import LINES, SIDECAR, Recorded, beside
from batchdrop.worker.traces import Traces

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stager:
    """Writes what is to be sent of a file into the work bucket."""

    ledger: Ledger
    storage: Storage
    traces: Traces
    ceilings: Ceilings
    timing: Timing
    now: Callable[[], datetime]

    def stage(
        self,
        job: Job,
        made: Choices,
        reading: Reading,
        estimating: Estimating,
        files: Iterator[tuple[str, Iterator[bytes]]],
        report_uri: str,
    ) -> tuple[Job, Part]:
        """
        Writes what is to be sent, and reports what can't be. The first part is written
        to the place of a job that isn't split, as it isn't known yet whether more
        follow. Each finished part has a checkpoint: the next worker reads the file
        again, and writes only what is missing.

        Returns:
            The job as it is now, and the one part of a job that isn't split.
        """
        bad: Exception | None = None
        sent = _Sent(partial(self.ceilings.over_limit, made), estimating)
        first: _Filled | None = None
        own = self.traces.staging(job.id, job.lease.epoch)
        whole, n = Part(n=0, first=0, last=0, staging=own), 0
        with _Report(self.storage, report_uri, reading) as report:
            try:
                pieces = reading.pieces(files, report.write)
                for n, group in groupby(pieces, attrgetter("part")):
                    if n == 0:
                        first = self._write(job, _Filled(n, own, sent), group)
                        whole = first.part
                        continue
                    if first is not None:
                        job = self._first_of_several(job, made, first)
                        first = None
                    filled = _Filled(n, self._part_staging(job, n), sent)
                    filled = self._write(job, filled, group)
                    job = self._check_point(job, made, filled.part)
            except (BadRows, NotReadable, OverLimit) as exc:
                bad = exc  # the report is whole, and stays
        if bad is not None:
            raise bad
        if len(job.parts) not in (0, n + 1):
            raise Changed
        return job, whole

    def _first_of_several(self, job: Job, made: Choices, first: "_Filled") -> Job:
        """Copies what was staged as a whole to the place of the first part."""
        if job.parts:
            return job  # it has a checkpoint
        own, part = self._part_staging(job, 0), first.part
        moved = _moved(part.staging, own)
        for uri, target in (
            (part.staging.lines, moved.lines),
            (part.staging.sidecar, moved.sidecar),
            (part.staging.uri, moved.uri),
        ):
            if uri is not None and target is not None:
                self.storage.copy(uri, target)
        failpoint("after_first_part")
        return self._check_point(job, made, replace(part, staging=moved))

    def _write(self, job: Job, filled: "_Filled", pieces: Iterator[Piece]) -> "_Filled":
        """
        Writes a part; one that has a checkpoint must be the same as then. What is
        recorded beside the rows is there before the rows are.
        """
        known = job.parts.get(job.part_id(filled.part.n))
        uri = filled.part.staging.uri
        if known is None:
            with self.storage.writing(uri) as write:
                with Recorded(uri, self.storage.writing) as recorded:
                    for piece in pieces:
                        filled.take(piece)
                        write(piece.data)
                        recorded.add(piece)
                    recorded.finish()
                filled.records(recorded)
                failpoint("after_recording")
            return filled
        with Recorded(uri) as recorded:
            for piece in pieces:
                filled.take(piece)
                recorded.add(piece)
            recorded.finish()
        filled.records(recorded)
        there = _moved(known.staging, filled.part.staging)
        # Prices may have changed since.
        estimate = filled.part.estimate
        if filled.part != replace(known, staging=there, estimate=estimate):
            raise Changed
        return filled

    def _check_point(self, job: Job, made: Choices, part: Part) -> Job:
        if job.part_id(part.n) in job.parts:
            return job
        self.traces.leave_part(job, part.staging)
        job = self.ledger.advance(
            job,
            lambda j: made.on(j).part_staged(part, self.now(), self.timing),
        )
        failpoint("after_part")
        log.info(
            "part staged",
            extra={"event": "staging.part", "job": job.id, "part": part.n},
        )
        return job

    def _part_staging(self, job: Job, n: int) -> Staging:
        return self.traces.staging(job.part_id(n), job.lease.epoch)


class Changed(Exception):
    """What is read now differs from a checkpoint, which another version made."""


class _Report:
    """The object with the lines that can't be sent, made when there is one."""

    def __init__(self, storage: Storage, uri: str, reading: Reading) -> None:
        self._storage = storage
        self._uri = uri
        self._reading = reading
        self._stack = ExitStack()
        self._write: Callable[[bytes], None] | None = None

    def __enter__(self) -> Self:
        self._stack.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def write(self, line: bytes) -> None:
        if self._write is None:
            self._write = self._stack.enter_context(self._storage.writing(self._uri))
            self._reading.report = self._uri
        self._write(line)


class OverLimit(Exception):
    """A file has more rows or bytes than may be sent: ends its upload."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class _Sent:
    """Counts what is sent of a file, in all parts, against its limits."""

    def __init__(
        self, over: Callable[[int, int], Problem | None], estimating: Estimating
    ) -> None:
        """
        Args:
            over: the problem with a number of rows and bytes, if it is too many.
        """
        self._over, self.estimating = over, estimating
        self._rows = self._bytes = 0

    def add(self, piece: Piece) -> None:
        self._rows += piece.rows
        self._bytes += len(piece.data)
        self.estimating.add(piece.data)
        if problem := self._over(self._rows, self._bytes):
            raise OverLimit(problem)


class _Filled:
    """
    A part while it is written. Rows and bytes are counted here, for the limits, the
    days and the job's document.
    """

    def __init__(self, n: int, staging: Staging, sent: _Sent) -> None:
        self.part = Part(n=n, first=0, last=0, staging=staging)
        self._sent = sent

    def take(self, piece: Piece) -> None:
        """
        Counts a piece.

        Raises:
            OverLimit: it is more than may be sent of the file.
        """
        if not piece.rows:
            return
        self._sent.add(piece)
        part, staging = self.part, self.part.staging
        self.part = replace(
            part,
            first=part.first or piece.first,
            last=piece.last,
            staging=replace(
                staging,
                rows=staging.rows + piece.rows,
                bytes=staging.bytes + len(piece.data),
            ),
        )

    def records(self, recorded: Recorded) -> None:
        """Takes over what is recorded beside the rows, which are all there."""
        staging = replace(
            self.part.staging,
            first=recorded.first,
            refused=recorded.refused,
            json=recorded.json,
            lines=recorded.lines,
            sidecar=recorded.sidecar,
        )
        estimate = self._sent.estimating.of(staging.rows, staging.bytes)
        self.part = replace(self.part, staging=staging, estimate=estimate)


def _moved(staging: Staging, place: Staging) -> Staging:
    """What is staged, at another place."""
    return replace(
        staging,
        epoch=place.epoch,
        uri=place.uri,
        lines=staging.lines and beside(place.uri, LINES),
        sidecar=staging.sidecar and beside(place.uri, SIDECAR),
    )
