"""What is to be done about jobs that take long, or are long over."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from batchdrop.backends import Services
from batchdrop.batches import ClientError
from batchdrop.errors import Superseded
from batchdrop.failpoints import failpoint
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Health
from batchdrop.ledger import Ledger
from batchdrop.quoting import told
from batchdrop.worker.stages import few_at_once

log = logging.getLogger(__name__)

#: So many batches are deleted in one tick.
MAX_DELETES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """
    Each of them is off for a job whose `spec` doesn't have it. The job itself knows
    when its time has come, so that a tick reads the documents of no others.
    """

    ledger: Ledger
    services: Services
    now: Callable[[], datetime]

    def run(self, deadline: datetime) -> list[Exception]:
        """
        Carries them out.

        Returns:
            what went wrong on the way; nothing holds up anything else.
        """
        errors: list[Exception] = []
        for jobs, policy in (
            (self.ledger.timed_out_jobs, self._cancel),
            (self.ledger.stalled_jobs, self._stalled),
        ):
            for job in jobs(self.now()):
                if self.now() >= deadline:
                    return errors
                try:
                    policy(job)
                except Superseded:
                    continue
                except Exception as exc:
                    _note(errors, exc, job)
        # Last, as nobody waits for it.
        self._delete_all(deadline, errors)
        return errors

    def _cancel(self, job: Job) -> None:
        """`cancel_after`: as if somebody had asked for it."""
        after = job.spec.cancel_after if job.spec else None
        by = (
            f"cancel_after={after:g} of {job.spec_from.get('cancel_after', 'its spec')}"
        )
        log.warning("cancel wanted", extra={"job": job.id, "by": by})
        now = self.now()
        self.ledger.advance(job, lambda j: j.request_cancel(by, now))

    def _delete_all(self, deadline: datetime, errors: list[Exception]) -> None:
        """`delete_after`: the batch goes; its answers, and our document, stay."""
        if next(self.ledger.jobs_to_delete(self.now()), None) is None:
            return
        cursor = self.ledger.cursor("delete")
        at: dict[str, Any] = {}

        def due() -> Iterator[Job]:
            nonlocal at
            asked = 0
            for job in self.ledger.jobs_to_delete(self.now(), cursor):
                if self.now() >= deadline or asked == MAX_DELETES:
                    return
                if not self.services.is_silent(job, "delete"):
                    asked += 1
                    at = {"delete_at": job.delete_at, "id": job.id}
                    yield job
            at = {}

        for job, answer in few_at_once(self._delete, due()):
            try:
                answer.result()
                failpoint("after_delete")
                name = job.batch.name if job.batch else ""
                log.info("deleted", extra={"job": job.id, "batch": name})
                self.ledger.advance(job, lambda j: j.deleted(self.now()))
            except Superseded:
                continue
            except Exception as exc:
                _note(errors, exc, job)
        self.ledger.move_cursor("delete", cursor, at)

    def _delete(self, job: Job) -> None:
        assert job.batch is not None
        try:
            self.services.of(job).delete(job.batch.name)
        except ClientError as exc:
            if exc.code != 404:
                raise

    def _stalled(self, job: Job) -> None:
        """`stalled_after`: told once for each state it stands in; cancels nothing."""
        state, since = job.batch.state if job.batch else "", job.state_since
        log.warning("stalled", extra={"job": job.id, "state": state})
        now = self.now()
        health = Health(
            code="stalled", message=f"{state} since {since:%Y-%m-%d %H:%M}", since=now
        )
        self.ledger.advance(job, lambda j: j.stalled(health, now))
        failpoint("after_stalled")


def _note(errors: list[Exception], exc: Exception, job: Job) -> None:
    exc.add_note(f"while looking at job {job.id}")
    log.error("policy not carried out", extra={"job": job.id, "reason": told(exc)})
    errors.append(exc)
