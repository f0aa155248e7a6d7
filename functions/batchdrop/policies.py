"""What is to be done about jobs that take long, or are long over."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from batchdrop.batches import ClientError
from batchdrop.crash import crash
from batchdrop.errors import Superseded
from batchdrop.jobs import Job
from batchdrop.ledger import Ledger
from batchdrop.records import Health
from batchdrop.service import Services

log = logging.getLogger(__name__)


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
            (self.ledger.run_too_long, self._cancel),
            (self.ledger.stand_too_long, self._stalled),
            # Last, as nobody waits for it.
            (self.ledger.to_delete, self._delete),
        ):
            for job in jobs(self.now()):
                if self.now() >= deadline:
                    return errors
                try:
                    policy(job)
                except Superseded:
                    continue
                except Exception as exc:
                    exc.add_note(f"while looking at job {job.id}")
                    log.error(
                        "policy not carried out",
                        extra={"job": job.id, "reason": repr(exc)},
                    )
                    errors.append(exc)
        return errors

    def _cancel(self, job: Job) -> None:
        """`cancel_after`: as if somebody had asked for it."""
        after = job.spec.cancel_after if job.spec else None
        by = (
            f"cancel_after={after:g} of {job.spec_from.get('cancel_after', 'its spec')}"
        )
        log.warning("cancel wanted", extra={"job": job.id, "by": by})
        now = self.now()
        self.ledger.advance(job, lambda j: j.cancel_wanted(by, now))

    def _delete(self, job: Job) -> None:
        """`delete_after`: the batch goes; its answers, and our document, stay."""
        assert job.batch is not None
        try:
            self.services.of(job).delete(job.batch.name)
        except ClientError as exc:
            if exc.code != 404:
                raise
        crash("after_delete")
        log.info("deleted", extra={"job": job.id, "batch": job.batch.name})
        self.ledger.advance(job, lambda j: j.deleted(self.now()))

    def _stalled(self, job: Job) -> None:
        """`stalled_after`: told once for each state it stands in; cancels nothing."""
        state, since = job.batch.state if job.batch else "", job.state_since
        log.warning("stalled", extra={"job": job.id, "state": state})
        now = self.now()
        health = Health(
            code="stalled", message=f"{state} since {since:%Y-%m-%d %H:%M}", since=now
        )
        self.ledger.advance(job, lambda j: j.stalled(health, now))
        crash("after_stalled")
