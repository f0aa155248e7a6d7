"""What happens to a job between its creation and its end."""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from batchsim import formats, storage
from batchsim.clock import Clock
from batchsim.formats import Answering
from batchsim.jobs import (
    CANCELLED,
    CANCELLING,
    EXPIRED,
    FAILED,
    PENDING,
    RUNNING,
    SUCCEEDED,
    Job,
    JobFailed,
    Status,
    Tally,
)
from batchsim.models import RowFailed
from batchsim.rows import Rows, scratch
from batchsim.settings import Settings
from batchsim.store import Store
from batchsim.timeline import Timeline
from batchsim.wire import ApiError, timestamp

log = logging.getLogger(__name__)

IMPORT_FAILED = (
    "Failed to import data. Please check the 'Prepare input' section of the "
    "documentation of batch inference. "
)

#: Vertex names the directory after a moment some two seconds before `createTime`.
_DIRECTORY_LEAD = timedelta(seconds=1.886)

Step = Callable[[Job, datetime], None]


@dataclass(slots=True)
class Runner:
    """
    Moves jobs along the timeline:

        PENDING   queue_seconds, at most 72 h     then EXPIRED
        RUNNING   run_seconds, at most 24 h       then FAILED, with the rows done so far
        an end

    The input is read on the way from PENDING to RUNNING; the answers are made and
    written when RUNNING ends, as many of them as the time was enough for.
    """

    clock: Clock
    timeline: Timeline
    store: Store
    settings: Settings
    buckets: storage.Buckets
    _inputs: dict[str, Rows] = field(default_factory=dict)

    def submit(self, job: Job) -> None:
        """Take a new job on."""
        job.move(job.created, PENDING)
        self.store.add(job)
        queue = timedelta(seconds=self.settings.queue_seconds)
        longest = self.settings.limits.vertex_queue
        if queue > longest:
            self._plan(job, job.created + longest, self._expire)
        else:
            self._plan(job, job.created + queue, self._start)

    def cancel(self, job: Job) -> None:
        """
        Stop a job: PENDING ends at once, RUNNING once its finished rows are written.

        ApiError 400 FAILED_PRECONDITION if it is over (seen live).
        """
        with self.store.lock:
            now = self.clock.now()
            if job.over:
                raise ApiError(
                    400,
                    f"The job {job.name} is in state {job.state} and can't be "
                    "cancelled.",
                    status="FAILED_PRECONDITION",
                )
            if job.ending:
                return
            job.turn += 1
            if job.phase == PENDING:
                self._end(job, now, CANCELLED, Status(1, "CANCELED"))
                return
            job.ending = True
            done = job.rows_done(now)
            job.move(now, CANCELLING)

        def stop(job: Job, at: datetime) -> None:
            tally = self._answer(job, done, at) if done else Tally(len(self._rows(job)))
            with self.store.lock:
                job.tally = tally
                self._end(job, at, CANCELLED, Status(1, "CANCELED"))

        self._plan(job, now, stop)

    def forget(self) -> None:
        """Drop every job's rows and plans."""
        self.timeline.clear()
        for rows in list(self._inputs.values()):
            rows.close()
        self._inputs.clear()

    def _plan(self, job: Job, due: datetime, step: Step) -> None:
        turn = job.turn

        def action(at: datetime) -> None:
            if job.turn != turn:
                return
            try:
                step(job, at)
            except JobFailed as failed:
                self._fail(job, at, failed.status, turn)
            except Exception as exc:
                log.exception("a job broke", extra={"job": job.name})
                self._fail(job, at, Status(13, f"INTERNAL: {exc!r}"), turn)

        self.timeline.at(due, action)

    def _start(self, job: Job, at: datetime) -> None:
        turn = job.turn
        rows = self._read(job)
        with self.store.lock:
            if job.turn != turn:
                rows.close()
                return
            self._inputs[job.name] = rows
            job.tally = Tally(total=len(rows))
            job.move(at, RUNNING)
            job.due = at + timedelta(seconds=self.settings.run_seconds)
            longest = at + self.settings.limits.vertex_run
        if job.due > longest:
            self._plan(job, longest, self._cut_off)
        else:
            self._plan(job, job.due, self._finish)

    def _finish(self, job: Job, at: datetime) -> None:
        if not self._last_step(job):
            return
        tally = self._answer(job, job.tally.total, at)
        with self.store.lock:
            job.tally = tally
            self._end(job, at, SUCCEEDED)

    def _cut_off(self, job: Job, at: datetime) -> None:
        if not self._last_step(job):
            return
        tally = self._answer(job, job.rows_done(at), at)
        with self.store.lock:
            job.tally = tally
            error = Status(4, "The job did not finish within 24 hours of running.")
            self._end(job, at, FAILED, error)

    def _expire(self, job: Job, at: datetime) -> None:
        with self.store.lock:
            error = Status(4, "The job expired after 72 hours in the queue.")
            self._end(job, at, EXPIRED, error)

    def _last_step(self, job: Job) -> bool:
        """Whether the end may begin: no cancel came between."""
        with self.store.lock:
            if job.over or job.ending:
                return False
            job.ending = True
            return True

    def _fail(self, job: Job, at: datetime, error: Status, turn: int) -> None:
        with self.store.lock:
            if job.turn == turn and not job.over:
                self._end(job, at, FAILED, error)

    def _end(
        self, job: Job, at: datetime, phase: str, error: Status | None = None
    ) -> None:
        job.turn += 1
        job.error = error
        job.move(at, phase)
        if rows := self._inputs.pop(job.name, None):
            rows.close()

    def _rows(self, job: Job) -> Rows:
        return self._inputs[job.name]

    def _read(self, job: Job) -> Rows:
        """The import: everything that can be wrong with the input fails the job."""
        self.buckets.check(storage.split(_output_prefix(job))[0])
        uris, missing = self.buckets.expand(job.source)
        content = scratch()
        try:
            for uri in uris:
                try:
                    self.buckets.fetch(uri, content)
                except JobFailed as failed:
                    missing.append(failed.status)
                content.write(b"\n")
            if missing and len(missing) >= len(uris):
                raise JobFailed(missing[0].code, missing[0].message)
            rows = Rows.of_file(content)
            _check_rows(rows)
        except BaseException:
            content.close()
            raise
        job.partial_failures = missing[:20]
        return rows

    def _answer(self, job: Job, count: int, at: datetime) -> Tally:
        """Answer the first `count` rows and write them; the whole job's tally."""
        rows = self._rows(job)
        answers = Rows()
        failed = 0
        began = job.started or at
        for number in range(count):
            line: dict[str, Any] = msgspec.json.decode(rows[number])
            share = (number + 1) / len(rows)
            answering = Answering(
                model=job.model,
                ask=self.settings.model,
                at=began + (at - began) * share,
            )
            try:
                out = formats.vertex_gemini(line, answering)
            except RowFailed as exc:
                failed += 1
                out = formats.vertex_failure(line, exc, answering)
            answers.append(msgspec.json.encode(out))
        self._export(job, answers)
        answers.close()
        return Tally(total=len(rows), ok=count - failed, failed=failed)

    def _export(self, job: Job, answers: Rows) -> None:
        directory = _output_prefix(job).rstrip("/")
        directory += f"/prediction-model-{timestamp(job.created - _DIRECTORY_LEAD)}"
        job.output = {"gcsOutputDirectory": directory}
        order = list(range(len(answers)))
        random.Random(f"{self.settings.seed}/{job.display_name}").shuffle(order)
        if len(order) > 1 and order == sorted(order):
            order.reverse()
        content = scratch()
        for number in order:
            content.write(answers[number] + b"\n")
        content.seek(0)
        self.buckets.put(f"{directory}/predictions.jsonl", content)
        content.close()


def _output_prefix(job: Job) -> str:
    destination = job.body["outputConfig"]["gcsDestination"]
    return str(destination["outputUriPrefix"])


def _check_rows(rows: Rows) -> None:
    for number, line in enumerate(rows, 1):
        try:
            parsed = msgspec.json.decode(line)
        except msgspec.DecodeError as exc:
            raise JobFailed(3, f"{IMPORT_FAILED}Row {number}: {exc}") from None
        if not isinstance(parsed, dict) or "request" not in parsed:
            raise JobFailed(3, f"{IMPORT_FAILED}Row {number} has no `request`.")
    if not len(rows):
        raise JobFailed(3, f"{IMPORT_FAILED}The input holds no rows.")
