"""Copies answers out of the Developer API, which deletes them after two days."""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from batchdrop.backends import Backends, is_not_allowed
from batchdrop.batches import BatchesError, ClientError
from batchdrop.errors import Misconfigured, SourceGone
from batchdrop.failpoints import failpoint
from batchdrop.jobs.codes import Step
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Batch
from batchdrop.storage import Differs, Storage
from batchdrop.stored import split_uri
from batchdrop.worker.collect_steps import CREATE, Done, Learnt, Places, Waits, granted
from batchdrop.worker.setbacks import Setbacks

log = logging.getLogger(__name__)

#: The File API keeps a file for 48 hours (ai.google.dev/gemini-api/docs/files). Until
#: then a 403 or 404 does not mean that the answers are gone.
KEPT_FOR = timedelta(hours=48)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """Copies answers that lie in no bucket, or in a table, to the work bucket."""

    storage: Storage
    backends: Backends
    places: Places
    setbacks: Setbacks

    def make(self, job: Job) -> None:
        """
        Copies the answers unless they are copied already.

        Raises:
            ClientError: the API doesn't have them, or doesn't show them.
            Unavailable, Misconfigured: they are not copied; try again.
        """
        copy = self.places.copy(job)
        if self.storage.find(*split_uri(copy)) is not None:
            return
        try:
            # Another collector's copy may have them in another order.
            with suppress(Differs), self.storage.creating(copy) as new:
                self.backends.of(job).answers(job, new.write)
        except BatchesError as exc:
            if isinstance(exc, ClientError) and exc.code == 404:
                raise
            table = job.batch.output_table if job.batch else None
            if table and is_not_allowed(exc):
                raise Misconfigured(
                    f"its answers: {exc}. Grant the service account of collect "
                    f"roles/bigquery.dataViewer on {table}"
                ) from exc
            raise self.setbacks.trouble(job, "its answers", exc) from exc
        failpoint("collect_copied")


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """
    The first step over the Developer API: the answers go into the work bucket, which
    needs nobody's grant.
    """

    copies: Copies
    now: Callable[[], datetime]

    def __call__(self, job: Job) -> Learnt:
        """
        Raises:
            Unavailable, Misconfigured: they are not copied; try again.
        """
        batch = job.batch
        if batch is None or job.is_lost or not batch.has_answers:
            return Done(step=_after_copies(job))
        try:
            self.copies.make(job)
        except ClientError as exc:
            if not self._are_gone(job, batch):
                return Waits(why=f"its answers: {exc}")
            log.error(
                "answers gone",
                extra={"event": "collect.answers_gone", "job": job.id},
            )
            return Done(step=_after_copies(job))
        return Done(step=Step.DELIVER)

    def _are_gone(self, job: Job, batch: Batch) -> bool:
        """Whether there is no use in asking for the answers again."""
        if batch.state == "JOB_STATE_EXPIRED":
            return True
        return self.now() - job.ended_on >= KEPT_FOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliver:
    """The second step: the copy goes to the directory that the job's end has named."""

    storage: Storage
    places: Places

    def __call__(self, job: Job) -> Learnt:
        """
        Raises:
            Unavailable, Misconfigured: it is not there; try again.
        """
        assert job.batch is not None
        target = f"{job.batch.output_directory}/predictions.jsonl"
        try:
            self.storage.copy(self.places.copy(job), target)
        except (Misconfigured, SourceGone) as exc:
            if self.storage.find(*split_uri(self.places.copy(job))) is None:
                # Its collectors stood still for so long that the bucket deleted it.
                return Done(step=Step.COPY)
            # A bucket that is not there looks like a copy that is not there.
            bucket, _ = split_uri(target)
            raise Misconfigured(f"{exc}. {granted(bucket, CREATE)}") from exc
        failpoint("collect_delivered")
        return Done(step=_after_copies(job))


def _after_copies(job: Job) -> Step | None:
    """The step that follows; None if no results are made."""
    assert job.spec is not None
    return None if job.spec.results == "off" else Step.FREEZE
