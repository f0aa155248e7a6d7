"""Claims a drop: the first delivery creates the job, every other one finds it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from batchdrop.errors import NotWritable
from batchdrop.failpoints import failpoint
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Drop, Timing
from batchdrop.ledger import Ledger
from batchdrop.options.names import why_ignored
from batchdrop.options.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """Makes the job of a drop, once."""

    ledger: Ledger
    settings: Settings
    timing: Timing
    now: Callable[[], datetime]
    holder: Callable[[], str]  #: a name nobody else has, for each claim

    def claim(self, drop: Drop) -> Job | None:
        """
        Claims a drop for this worker. Nothing of the object is read before the claim,
        so that an object that kills workers is counted.

        Returns:
            The job; None if the drop makes none, or another delivery has claimed it.

        Raises:
            Unavailable: the claim could not be made; deliver it again.
        """
        if reason := self.ignores(drop):
            log.info(
                "object ignored",
                extra={"event": "drop.ignored", "object": str(drop), "reason": reason},
            )
            return None
        return self._claim(Job.claimed(drop, self.holder(), self.now(), self.timing))

    def claim_missed(self, drop: Drop) -> None:
        """
        Claims a drop whose event never came. Nobody holds the job: `poll` resumes it
        at its next tick, so that one object can't keep others from being claimed.

        Raises:
            Unavailable: the claim could not be made; try again.
        """
        claim = Job.claimed(drop, "nobody", self.now(), Timing.none(), missed=True)
        if job := self._claim(claim):
            log.warning(
                "missed event claimed",
                extra={"event": "drop.missed", "job": job.id, "object": str(drop)},
            )

    def _claim(self, claim: Job) -> Job | None:
        id, source = claim.id, str(claim.source)
        try:
            job = self.ledger.claim(claim)
        except NotWritable as exc:
            # Another delivery would fail in the same way.
            log.error(
                "drop not claimed",
                extra={
                    "event": "drop.not_claimed",
                    "job": id,
                    "object": source,
                    "reason": str(exc),
                },
            )
            return None
        if job is None:
            log.info(
                "duplicate event ignored",
                extra={"event": "drop.duplicate", "job": id, "object": source},
            )
            return None
        failpoint("after_claim")
        log.info(
            "drop claimed", extra={"event": "drop.claimed", "job": id, "object": source}
        )
        return job

    def claim_anew(self, kept: Job) -> None:
        """
        Claims a job that the ledger has lost, from the traces in the work bucket.
        Nobody holds the job: `poll` resumes it at its next tick, and finds it staged.

        Raises:
            Unavailable: the claim could not be made; try again.
        """
        drop = kept.source
        claim = Job.claimed(drop, "nobody", self.now(), Timing.none(), missed=True)
        if self.ledger.claim(replace(claim, id=kept.id, parent=kept.parent)):
            log.warning(
                "lost job claimed again",
                extra={
                    "event": "job.claimed_again",
                    "job": kept.id,
                    "object": str(drop),
                },
            )

    def ignores(self, drop: Drop) -> str | None:
        """Why this object is ignored; None if it becomes a job."""
        return self._is_elsewhere(drop) or why_ignored(drop.name)

    def is_misnamed(self, drop: Drop) -> bool:
        """Whether this object is ignored for its name alone, as no folder's is."""
        folder = drop.name.endswith("/")
        named = bool(folder or self._is_elsewhere(drop))
        return not named and why_ignored(drop.name) is not None

    def _is_elsewhere(self, drop: Drop) -> str | None:
        settings = self.settings
        for place in (settings.work, settings.output):
            if place.holds(drop.bucket, drop.name):
                return f"an object of the worker's own, under {place}"
        if drop.bucket != settings.inbox:
            return f"not in the inbox bucket {settings.inbox}"
        return None
