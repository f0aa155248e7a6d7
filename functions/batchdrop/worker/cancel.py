"""Sends cancel requests: to the API for batches, to the parts of split jobs."""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from batchdrop.backends import Backend, Backends, is_not_allowed
from batchdrop.batches import ClientError
from batchdrop.errors import Superseded
from batchdrop.failpoints import failpoint
from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Batch
from batchdrop.ledger import Ledger
from batchdrop.worker.stages import Tick, few_at_once, rotated

log = logging.getLogger(__name__)

#: How many batches one tick cancels at most.
MAX_CANCELS = 100
#: What the API answers to a cancel that comes too late: the next sweep finds the end of
#: the batch. After any other error the cancel is sent again.
OVER = frozenset({400, 404})


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Passes on the cancel requests that the ledger holds."""

    ledger: Ledger
    backends: Backends
    now: Callable[[], datetime]

    def run(self, tick: Tick) -> None:
        """Passes on to the API what batches are to be cancelled, and then to parts."""
        wanted = self.ledger.jobs_to_cancel()
        if jobs := [job for job in wanted if job.phase is Phase.SUBMITTED]:
            tick.stage(
                "cancel batches", 1 / 2, partial(self._cancel_batches, jobs), None
            )
        if jobs := [job for job in wanted if job.phase is Phase.SPLIT]:
            tick.stage("cancel parts", 1, partial(self._cancel_split_jobs, jobs), None)

    def _cancel_batches(self, wanted: list[Job], tick: Tick) -> None:
        """Asks the API to cancel the batches of jobs with a cancel request."""
        cursor, last = self.ledger.cursor("cancel"), ""

        def due() -> Iterator[Job]:
            nonlocal last
            for n, job in enumerate(rotated(wanted, cursor.get("id", ""), _id_of)):
                if tick.is_over or n == MAX_CANCELS:
                    return
                if not self.backends.is_silent(job, "cancel"):
                    last = job.id
                    yield job

        for job, answer in few_at_once(self._ask_to_cancel, due()):
            with tick.job(job.id):
                answer.result()
                failpoint("after_cancel")
                self.ledger.advance(job, lambda j: j.cancel_sent(tick.now()))
                name = job.batch.name if job.batch else ""
                log.info(
                    "batch cancelled",
                    extra={"event": "batch.cancelled", "job": job.id, "batch": name},
                )
        self.ledger.move_cursor("cancel", cursor, {"id": last} if last else {})

    def _ask_to_cancel(self, job: Job) -> None:
        assert job.batch is not None
        try:
            self.backends.of(job).cancel(job.batch.name)
        except ClientError as exc:
            if exc.code not in OVER or is_not_allowed(exc):
                raise

    def _cancel_split_jobs(self, split_jobs: list[Job], tick: Tick) -> None:
        """Sends the cancel requests of split jobs to the parts that lack them."""
        cursor, last = self.ledger.cursor("split_jobs"), ""
        for split_job in tick.each(rotated(split_jobs, cursor.get("id", ""), _id_of)):
            last = split_job.id
            with tick.job(split_job.id):
                self.cancel_parts(split_job)
        self.ledger.move_cursor("split_jobs", cursor, {"id": last} if last else {})

    def cancel_parts(self, split_job: Job) -> None:
        """Passes a cancel request on to all parts, and records when all have it."""
        assert split_job.cancel_request is not None
        by, sent = split_job.cancel_request.by, True
        for part in self.ledger.get_all(split_job.parts):
            if part.is_over and not part.may_go_again:
                continue
            if part.cancel_request and not part.is_parked:
                self.cancel_round_of(part)
                continue
            now = self.now()
            try:
                part = self.ledger.advance(
                    part, partial(Job.request_cancel, by=by, now=now)
                )
                self.cancel_round_of(part)
            except Superseded:
                sent = False  # it moved on at the same moment; at the next tick
        if sent:
            with suppress(Superseded):  # that was the last of them
                self.ledger.advance(split_job, lambda j: j.cancel_sent(self.now()))
            log.info(
                "cancel sent to all parts",
                extra={"event": "job.parts_cancelled", "job": split_job.id},
            )

    def cancel_round_of(self, job: Job) -> None:
        """
        Passes a cancel request on to the round that a job waits for, if it does. If
        that is over, and parked, its answers are given up: only a person does so.
        """
        if job.awaits == "round" and (sent := self.ledger.get(job.round_now.job)):
            with suppress(Superseded):  # `poll` does it
                sent = self.cancel_round(job, sent)
                if sent.is_over and sent.is_parked:
                    now = self.now()
                    self.ledger.advance(sent, lambda j: j.answers_left(now))

    def cancel_round(self, job: Job, sent: Job) -> Job:
        """
        The same, given the round's job, which is returned as it is then.

        Raises:
            Superseded: it moved on at the same moment; try again.
        """
        assert job.cancel_request is not None
        if sent.is_over or (sent.cancel_request and not sent.is_parked):
            return sent
        by, now = job.cancel_request.by, self.now()
        sent = self.ledger.advance(sent, partial(Job.request_cancel, by=by, now=now))
        log.info(
            "cancel sent to the round",
            extra={"event": "job.round_cancelled", "job": job.id, "round": sent.id},
        )
        return sent


def _id_of(job: Job) -> str:
    return job.id


def cancel_duplicate(
    ledger: Ledger, backend: Backend, job: Job, batch: Batch, now: datetime
) -> None:
    """
    Records a duplicate of a job's batch, and then cancels it. The worker that created
    it may have died before it did either.

    Raises:
        Superseded: the job has moved on, and may have adopted this batch.
    """
    failpoint("after_finding_duplicate")
    if not job.is_duplicate(batch.name):
        message = "another was made, and cancelled unless it was over: " + batch.name
        ledger.advance(job, lambda j: j.duplicates_found([batch.name], message, now))
        failpoint("after_recording_duplicates")
    if not batch.terminal:
        log.error(
            "duplicate batch cancelled",
            extra={"event": "batch.duplicate", "job": job.id, "cancelled": batch.name},
        )
        backend.cancel(batch.name)
        failpoint("after_cancelling_found")
