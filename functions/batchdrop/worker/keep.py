"""Keeps the objects of open jobs in the work bucket, which deletes old objects."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from batchdrop.jobs.codes import Step
from batchdrop.jobs.job import Job
from batchdrop.ledger import Ledger
from batchdrop.options.settings import Settings
from batchdrop.storage import Storage
from batchdrop.worker.collect_steps import COLLECTING
from batchdrop.worker.stages import Tick, few_at_once
from batchdrop.worker.traces import Traces

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """
    Copies anew what is older than half of `work_ttl`: the staged rows, what is recorded
    beside them, and the copy of answers that waits to be delivered. What else
    collectors have written stays the version that they have listed: if it is deleted,
    they make it again.

    Each object is copied onto itself, if it still is the version that was listed. So no
    address changes, and a worker that was frozen brings back nothing of what a fence
    has deleted meanwhile.
    """

    ledger: Ledger
    storage: Storage
    traces: Traces
    settings: Settings
    now: Callable[[], datetime]

    def is_staged(self, job: Job) -> bool:
        """
        Keeps the job's objects. Returns whether its rows are among them: an object that
        the list lacks does not exist, as Cloud Storage's lists never lag.

        Raises:
            Unavailable, Misconfigured: there is no telling; try again.
        """
        assert job.staging is not None
        return job.staging.uri in self._keep(job)

    def for_collecting(self, job: Job) -> None:
        """
        Keeps the objects of a job that may have some of that age.

        Raises:
            Unavailable, Misconfigured: try again.
        """
        if self.now() - job.created_at > self._half:
            self._keep(job)

    def waiting(self, tick: Tick) -> None:
        """Keeps the objects of jobs that have waited in their queues for so long."""

        def old() -> Iterator[Job]:
            for line in self.ledger.waiting_lines():
                for job in tick.each(self.ledger.waiting_jobs(line)):
                    if self.now() - job.created_at <= self._half:
                        break  # so are all behind it
                    yield job

        for job, answer in few_at_once(self._keep, old()):
            with tick.job(job.id):
                answer.result()

    @property
    def _half(self) -> timedelta:
        return timedelta(seconds=self.settings.work_ttl / 2)

    def _keep(self, job: Job) -> set[str]:
        there = self._kept_of(job, job.id)
        if job.retry_of:
            # The rows' own keys and columns lie there.
            there |= self._kept_of(job, job.retry_of)
        return there

    def _kept_of(self, job: Job, id: str) -> set[str]:
        folder, left = self.traces.folder(id), job.collecting
        delivers = left is not None and left.step == Step.DELIVER
        there, old = set(), self.now() - self._half
        for one, created in self.storage.objects(folder.bucket, prefix=folder.prefix):
            there.add(f"gs://{one.bucket}/{one.name}")
            own = one.name.startswith(f"{folder.prefix}{COLLECTING}")
            if created >= old or (own and not delivers):
                continue
            self.storage.renew(one)
            log.info(
                "staged object copied anew",
                extra={
                    "event": "staging.renewed",
                    "job": job.id,
                    "object": f"{one.bucket}/{one.name}",
                },
            )
        return there
