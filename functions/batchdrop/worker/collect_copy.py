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
    The first step over the Developer API. The answers go into the work bucket, which
    needs nobody's grant, and from there to the job's destination.
    """

    storage: Storage
    places: Places
    copies: Copies
    now: Callable[[], datetime]

    def __call__(self, job: Job) -> Learnt:
        """
        Raises:
            Unavailable, Misconfigured: not all is copied; try again.
        """
        assert job.spec is not None
        after = None if job.spec.results == "off" else Step.FREEZE
        batch = job.batch
        if batch is None or job.is_lost or not batch.has_answers:
            return Done(step=after)
        try:
            self.copies.make(job)
        except ClientError as exc:
            if not self._are_gone(job, batch):
                return Waits(why=f"its answers: {exc}")
            log.error(
                "answers gone",
                extra={"event": "collect.answers_gone", "job": job.id},
            )
            return Done(step=after)
        self._hand_over(job, batch)
        return Done(step=after)

    def _are_gone(self, job: Job, batch: Batch) -> bool:
        """Whether there is no use in asking for the answers again."""
        if batch.state == "JOB_STATE_EXPIRED":
            return True
        ended = batch.end_time or job.updated_at
        return self.now() - ended >= KEPT_FOR

    def _hand_over(self, job: Job, batch: Batch) -> None:
        """Brings the copy to the directory that the job has named since its end."""
        assert batch.output_directory is not None
        target = f"{batch.output_directory}/predictions.jsonl"
        try:
            self.storage.copy(self.places.copy(job), target)
        except (Misconfigured, SourceGone) as exc:
            # A bucket that is not there looks like a copy that is not there.
            bucket, _ = split_uri(target)
            grant = granted(bucket, CREATE)
            raise Misconfigured(f"{exc}. {grant}") from exc
        failpoint("collect_handed_over")
