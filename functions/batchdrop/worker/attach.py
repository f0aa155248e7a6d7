"""Brings manifests and the files that they describe together."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from batchdrop.errors import BadChoice, SourceGone, Superseded, Unavailable
from batchdrop.failpoints import failpoint
from batchdrop.jobs.codes import ErrorCode, Phase, WaitCode
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Drop, Problem
from batchdrop.ledger import Ledger
from batchdrop.options.manifest_json import MAX_SIZE
from batchdrop.options.manifests import Manifest
from batchdrop.options.names import MANIFEST, is_file_of, is_manifest, manifest_name
from batchdrop.options.settings import Settings
from batchdrop.storage import Storage
from batchdrop.worker.setbacks import Setbacks

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attach:
    """Reads the manifest of a drop, and ends the job of one that has no rows."""

    ledger: Ledger
    storage: Storage
    setbacks: Setbacks
    settings: Settings
    now: Callable[[], datetime]

    def manifest_of(self, job: Job) -> tuple[Manifest | None, str | None]:
        """The manifest of a drop, and its address: the drop, or an object beside it."""
        drop = job.source
        if is_manifest(drop.name):
            manifest = self._read(drop)
            return manifest, str(drop) if manifest.has_source else None
        if job.spec is not None:
            return None, job.manifest  # a checkpoint has frozen what was chosen
        beside = self.storage.find(drop.bucket, manifest_name(drop.name))
        if beside is None:
            return None, None
        try:
            manifest = self._read(beside)
        except SourceGone as exc:
            # The file is there all the same: next time with the manifest of that time.
            raise Unavailable(f"{exc} while it was read") from exc
        if manifest.has_source:
            return None, None  # it has a job of its own
        return manifest, str(beside)

    def _read(self, drop: Drop) -> Manifest:
        """
        Reads a manifest.

        Raises:
            BadChoice: it can't be parsed, or chooses what is not allowed.
            NotReadable, SourceGone, Unavailable, Misconfigured: it can't be read.
        """
        try:
            return Manifest.parse(self.storage.content(drop, MAX_SIZE))
        except BadChoice as exc:
            raise BadChoice(exc.code, f"{drop}: {exc}") from exc

    def attach(self, job: Job) -> Job:
        """
        Ends the job of a manifest without rows, by the state of the file beside it:

            not there, or not claimed               attached: the worker that claims the
                                                    file reads the manifest
            claimed, not held, nothing read         attached; the file is due
            prepared with this manifest             attached
            being read right now                    again at the next tick
            prepared, or staged in part, without    rejected
            the manifest
        """
        drop, files = job.source, self.files_beside(job.source)
        for its in files:
            if its.manifest == str(drop):
                continue
            if its.phase is not Phase.ARRIVED or its.spec is not None:
                problem = Problem(
                    code=ErrorCode.MANIFEST_TOO_LATE,
                    message=f"{drop} has no src, and the file that it speaks for was "
                    "taken without it. Drop the manifest first, and then the file; or "
                    "drop both again",
                )
                return self.setbacks.reject(job, problem)
            if its.is_held(self.now()):
                return self._attach_later(job, its)
            try:
                self.ledger.advance(its, lambda j: j.read_anew(self.now()))
            except (Superseded, ValueError):
                return self._attach_later(job, its)
            failpoint("after_reading_anew")
        return self.attached(job, files)

    def files_beside(self, drop: Drop) -> list[Job]:
        """The jobs of the files that a manifest describes, where there are any."""
        if not is_manifest(drop.name):
            return []
        stem, jobs = drop.name.removesuffix(MANIFEST), []
        # Names end in .jsonl in any case: those from "J" to "n" are listed, not the
        # files of a year beside it, such as `stem.2026-03-01.jsonl`.
        for file, _ in self.storage.objects(drop.bucket, f"{stem}.J", f"{stem}."):
            if file.name > f"{stem}.o":
                break
            if is_file_of(drop.name, file.name):
                jobs.append(self.ledger.get(file.job_id))
        return [job for job in jobs if job]

    def attached(self, job: Job, files: list[Job]) -> Job:
        ids = [file.id for file in files]
        job = self.ledger.advance(job, lambda j: j.attached(ids, self.now()))
        failpoint("after_attached")
        log.info(
            "manifest attached",
            extra={
                "event": "manifest.attached",
                "job": job.id,
                "files": ", ".join(ids),
            },
        )
        return job

    def _attach_later(self, job: Job, file: Job) -> Job:
        now = self.now()
        why = f"{file.source} is being read"
        return self.ledger.advance(
            job, lambda j: j.wait(WaitCode.FILE, why, now, due=now)
        )

    def wait_for_manifest(self, job: Job) -> Job:
        """The manifest wakes the file; `poll` looks for it now and then as well."""
        name, now = manifest_name(job.source.name), self.now()
        log.info(
            "file waits for its manifest",
            extra={"event": "manifest.awaited", "job": job.id, "manifest": name},
        )
        again = now + timedelta(seconds=self.settings.reconcile_every)
        why = f"waits for {name}"
        return self.ledger.advance(
            job, lambda j: j.wait(WaitCode.MANIFEST, why, now, due=again)
        )
