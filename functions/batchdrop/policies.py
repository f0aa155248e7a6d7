"""What a deployment wants done about jobs that take long, or are long over."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from batchdrop.batches import ClientError
from batchdrop.crash import crash
from batchdrop.errors import Superseded
from batchdrop.jobs import Health, Job
from batchdrop.ledger import Ledger
from batchdrop.service import Service
from batchdrop.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """Each of them is off unless its setting is there."""

    ledger: Ledger
    service: Service
    settings: Settings
    now: Callable[[], datetime]

    def run(self, deadline: datetime) -> list[Exception]:
        """
        Carries them out.

        Returns:
            what went wrong on the way; nothing holds up anything else.
        """
        errors: list[Exception] = []
        for jobs, policy in (
            (self._long_running, self._cancel),
            (self._long_over, self._delete),
            (self._standing_still, self._stalled),
        ):
            for job in jobs():
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

    def _ago(self, seconds: float) -> datetime:
        return self.now() - timedelta(seconds=seconds)

    # -- BATCHDROP_CANCEL_AFTER -------------------------------------------------

    def _long_running(self) -> list[Job]:
        after = self.settings.cancel_after
        return [] if after is None else self.ledger.running_since(self._ago(after))

    def _cancel(self, job: Job) -> None:
        by = f"BATCHDROP_CANCEL_AFTER={self.settings.cancel_after:g}"
        log.warning("cancel wanted", extra={"job": job.id, "by": by})
        now = self.now()
        self.ledger.advance(job, lambda j: j.cancel_wanted(by, now))

    # -- BATCHDROP_DELETE_AFTER -------------------------------------------------

    def _long_over(self) -> list[Job]:
        after = self.settings.delete_after
        return [] if after is None else self.ledger.over_since(self._ago(after))

    def _delete(self, job: Job) -> None:
        """Deletes the batch at the service; its answers, and our document, stay."""
        assert job.batch is not None
        try:
            self.service.delete(job.batch.name)
        except ClientError as exc:
            if exc.code != 404:
                raise
        crash("after_delete")
        log.info("deleted", extra={"job": job.id, "batch": job.batch.name})
        self.ledger.advance(job, lambda j: j.deleted(self.now()))

    # -- BATCHDROP_STALLED_AFTER ------------------------------------------------

    def _standing_still(self) -> list[Job]:
        after = self.settings.stalled_after
        if not after:
            return []
        return [
            job
            for job in self.ledger.still_since(self._ago(min(after.values())))
            if self._stands_still(job)
        ]

    def _stands_still(self, job: Job) -> bool:
        state, since = job.batch.state if job.batch else "", job.state_since
        after = self.settings.stalled_after
        seconds = after.get(state, after.get(""))
        if seconds is None or since is None:
            return False
        return since <= self._ago(seconds)

    def _stalled(self, job: Job) -> None:
        """Tells of it, once for each state that it stands still in; cancels nothing."""
        state, since = job.batch.state if job.batch else "", job.state_since
        log.warning("stalled", extra={"job": job.id, "state": state})
        now = self.now()
        health = Health(
            code="stalled", message=f"{state} since {since:%Y-%m-%d %H:%M}", since=now
        )
        self.ledger.advance(job, lambda j: j.stalled(health, now))
        crash("after_stalled")
