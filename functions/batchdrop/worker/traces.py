"""The metadata and files in the work bucket from which a lost ledger is rebuilt."""

import json
import logging
import re
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import OWN_LABELS, Lease, Location, Staging, derived_id
from batchdrop.ledger.documents import sparse
from batchdrop.options.settings import Settings
from batchdrop.storage import Storage

log = logging.getLogger(__name__)

#: Custom metadata of staged rows: the job, as JSON; or, of a part's, the split job.
JOB, PART_OF = "batchdrop_job", "batchdrop_part_of"
#: Most bytes of custom metadata that an object takes, names included
#: (https://cloud.google.com/storage/quotas#objects).
MAX_METADATA = 8 * 1024
#: Such an object says it of a job without staged rows: of a split job, or of a table.
NAME = "job.json"
#: The repetitions of a job among which a repetition's id is looked for.
MAX_RERUNS = 1000
_JOB = msgspec.json.Decoder(Job)
#: What a job can do without, the first one first, where that is too long.
_SPARE: tuple[dict[str, Any], ...] = (
    {"spec_from": {}},
    {"inputs": ()},
    {"estimate": None},
    {"labels": None},
    {"report": None},
    {"manifest": None},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What was found of a job."""

    epoch: int  #: the highest under which anything lies
    newest: str | None  #: the address of the newest rows
    job: Job | None  #: the job as it was when it was staged
    part_of: str | None  #: the job of which it is a part

    def staging(self, before: Staging) -> Staging:
        """Where rows lie now that were staged there; a table lies where it lay."""
        uri = self.newest or before.uri
        epoch = int(uri.split("/")[-2]) if self.newest else self.epoch
        return replace(before, epoch=epoch, uri=uri)


@dataclass(frozen=True, slots=True)
class Traces:
    """
    Written when a job is staged, before the ledger knows that it is: without them no
    request of it was ever sent. Copies of the rows keep their metadata.

        rows of a job            metadata `batchdrop_job`: the job
        rows of a part           metadata `batchdrop_part_of`: the split job's id
        split job, or a table    job.json, in the folder of the epoch
    """

    storage: Storage
    settings: Settings

    def folder(self, job_id: str) -> Location:
        """Where a job's rows lie as they are sent."""
        work = self.settings.work
        return Location(bucket=work.bucket, prefix=f"{work.prefix}{job_id}/")

    def staging(self, job_id: str, epoch: int) -> Staging:
        """Where the holder of an epoch stages a job's rows."""
        return Staging(epoch=epoch, uri=f"{self.folder(job_id)}{epoch}/requests.jsonl")

    # -- writing ----------------------------------------------------------------

    def leave(self, job: Job) -> None:
        """
        Says what a job is that is about to be prepared, or split.

        Raises:
            Unavailable, Misconfigured: it isn't written.
        """
        assert job.spec is not None
        if job.phase is Phase.SPLIT or job.spec.source is not None:
            uri = f"{self.folder(job.id)}{job.lease.epoch}/{NAME}"
            self.storage.write(uri, iter([_json(_kept(job)).encode()]))
        else:
            assert job.staging is not None
            self.storage.describe(job.staging.uri, {JOB: described(job)})

    def leave_part(self, job: Job, staging: Staging) -> None:
        """Says of staged rows that they are a part of a job."""
        self.storage.describe(staging.uri, {PART_OF: job.id})

    # -- reading ----------------------------------------------------------------

    def of(self, job_id: str) -> Trace | None:
        """
        What there is of a job. What doesn't fit the job's id, or is another
        deployment's, counts for nothing.

        Raises:
            Unavailable, Misconfigured: there is no telling.
        """
        folder = self.folder(job_id)
        found: list[tuple[int, str, str, dict[str, str]]] = []
        for uri, metadata in self.storage.described(folder):
            match = re.fullmatch(
                rf"(\d{{1,9}})/(requests\.jsonl|{re.escape(NAME)})",
                uri[len(str(folder)) :],
            )
            if match:
                found.append((int(match[1]), match[2], uri, metadata))
        if not found:
            return None
        found.sort(reverse=True)
        newest, job, part_of = None, None, None
        for _, name, uri, metadata in found:
            if name == NAME:
                job = job or self._read(job_id, self._text(uri))
                continue
            newest = newest or uri
            part_of = part_of or metadata.get(PART_OF)
            if JOB in metadata:
                job = job or self._read(job_id, metadata[JOB])
        return Trace(epoch=found[0][0], newest=newest, job=job, part_of=part_of)

    def _text(self, uri: str) -> str:
        with self.storage.open(uri) as file:
            return file.read().decode(errors="replace")

    def _read(self, job_id: str, text: str) -> Job | None:
        try:
            job = _JOB.decode(text)
        except (msgspec.MsgspecError, UnicodeError):
            log.exception(
                "trace unreadable", extra={"event": "trace.unreadable", "job": job_id}
            )
            return None
        spec = job.spec
        marks = {
            "batchdrop_job": job_id,
            "batchdrop_deployment": self.settings.deployment,
        }
        if (
            job.id == job_id
            and _is_id_of(job)
            and spec is not None
            and (job.staging is not None or job.phase is Phase.SPLIT)
            and {name: spec.labels.get(name) for name in marks} == marks
        ):
            return job
        log.error(
            "trace of another job",
            extra={"event": "trace.foreign", "job": job_id, "says": job.id[:26]},
        )
        return None


def described(job: Job) -> str:
    """A job as it stands in custom metadata: without what is too much for that."""
    kept = _kept(job)
    text = _json(kept)
    for spare in _SPARE:
        if len(text) + len(JOB) <= MAX_METADATA:
            break
        assert kept.spec is not None
        if "labels" in spare:
            own = {
                k: v for k, v in kept.spec.labels.items() if k.startswith(OWN_LABELS)
            }
            kept = replace(kept, spec=replace(kept.spec, labels=own))
        else:
            kept = replace(kept, **spare)
        text = _json(kept)
    return text


def _kept(job: Job) -> Job:
    """What was chosen for a job, and counted; nothing of a row's, and no health."""
    assert job.spec is not None
    return Job(
        id=job.id,
        phase=job.phase,
        source=job.source,
        lease=Lease(until=job.created_at, epoch=job.lease.epoch, by=""),
        created_at=job.created_at,
        updated_at=job.created_at,
        # The staged rows have it already, and it may be long.
        spec=replace(job.spec, generation_config=None),
        spec_from=job.spec_from,
        manifest=job.manifest,
        inputs=job.inputs,
        parts=job.parts,
        staging=job.staging,
        estimate=job.estimate,
        rows=job.rows,
        report=job.report,
        missed=job.missed,
        parent=job.parent,
        retry_of=job.retry_of,
        round=job.round,
    )


def _json(job: Job) -> str:
    """In ASCII: Cloud Storage also shows metadata as HTTP headers."""
    return json.dumps(sparse(msgspec.to_builtins(job)), separators=(",", ":"))


def _is_id_of(job: Job) -> bool:
    """
    Whether the id follows from what was dropped, or from the job that it repeats, or
    whose rows it sends again.
    """
    if job.retry_of is not None:
        return job.id == derived_id(job.retry_of, f"round-{job.round}")
    if job.parent is None:
        return job.id == job.source.job_id
    reruns = (derived_id(job.parent, f"rerun-{n}") for n in range(1, MAX_RERUNS + 1))
    return job.id in reruns
