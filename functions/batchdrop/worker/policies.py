"""Policies for jobs that take long, or ended long ago: cancel, delete, report."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from batchdrop.backends import Backends
from batchdrop.batches import ClientError
from batchdrop.failpoints import failpoint
from batchdrop.jobs.job import Job
from batchdrop.ledger import Ledger
from batchdrop.worker.stages import Tick, few_at_once

log = logging.getLogger(__name__)

#: How many batches one tick deletes at most.
MAX_DELETES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """
    A policy is off for a job whose `spec` doesn't have it. The job's document says when
    it is due, so that a tick reads no other documents.
    """

    ledger: Ledger
    backends: Backends
    now: Callable[[], datetime]

    def apply(self, tick: Tick) -> None:
        """Cancels and reports the submitted jobs whose time has come."""
        for jobs, policy in (
            (self.ledger.timed_out_jobs, self._cancel),
            (self.ledger.stalled_jobs, self._stalled),
        ):
            for job in tick.each(jobs(self.now())):
                with tick.job(job.id):
                    policy(job)
            if tick.is_over:
                return

    def _cancel(self, job: Job) -> None:
        """`cancel_after`: the same as a cancel request of a person."""
        after = job.spec.cancel_after if job.spec else None
        by = (
            f"cancel_after={after:g} of {job.spec_from.get('cancel_after', 'its spec')}"
        )
        log.warning(
            "cancel requested",
            extra={"event": "job.cancel_requested", "job": job.id, "by": by},
        )
        now = self.now()
        self.ledger.advance(job, lambda j: j.request_cancel(by, now))

    def delete(self, tick: Tick) -> None:
        """`delete_after`: the batch goes; its answers, and our document, stay."""
        if next(self.ledger.jobs_to_delete(self.now()), None) is None:
            return
        cursor = self.ledger.cursor("delete")
        at: dict[str, Any] = {}

        def due() -> Iterator[Job]:
            nonlocal at
            asked = 0
            for job in self.ledger.jobs_to_delete(self.now(), cursor):
                if tick.is_over or asked == MAX_DELETES:
                    return
                if not self.backends.is_silent(job, "delete"):
                    asked += 1
                    at = {"delete_at": job.delete_at, "id": job.id}
                    yield job
            at = {}

        for job, answer in few_at_once(self._delete_batch, due()):
            with tick.job(job.id):
                answer.result()
                failpoint("after_delete")
                name = job.batch.name if job.batch else ""
                log.info(
                    "batch deleted",
                    extra={"event": "batch.deleted", "job": job.id, "batch": name},
                )
                self.ledger.advance(job, lambda j: j.deleted(tick.now()))
        self.ledger.move_cursor("delete", cursor, at)

    def _delete_batch(self, job: Job) -> None:
        assert job.batch is not None
        try:
            self.backends.of(job).delete(job.batch.name)
        except ClientError as exc:
            if exc.code != 404:
                raise

    def _stalled(self, job: Job) -> None:
        """`stalled_after`: announced once for each state; cancels nothing."""
        state, since = job.batch.state if job.batch else "", job.state_since
        log.warning(
            "job stalled", extra={"event": "job.stalled", "job": job.id, "state": state}
        )
        now = self.now()
        message = f"{state} since {since:%Y-%m-%d %H:%M} UTC"
        self.ledger.advance(job, lambda j: j.stall(message, now))
        failpoint("after_stalled")
