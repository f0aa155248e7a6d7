"""Announcements: CloudEvents 1.0, made from a job and stored until they are sent."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Self

import msgspec

from batchdrop import subscribe
from batchdrop.jobs.codes import HealthCode, Outcome
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Health, derived_id

#: The announcement that someone should look at a job, which has not ended.
STALLED = "stalled"
#: All types of announcements.
TYPES = tuple(f"dev.batchdrop.job.{word}.v1" for word in (*Outcome, STALLED))
#: The troubles that make a job stall. `stalled` announces the worst of them.
STALLS = (
    HealthCode.PARKED,
    HealthCode.NOT_ALLOWED,
    HealthCode.STALLED,
    HealthCode.POSTPONED,
)

# Limits in bytes of the texts in a body, as JSON. They keep body and attributes
# together below 10 kB, whatever users and the API put into names and messages.
MAX_WORDS = 400  #: the message of an error or a health
MAX_PATH = 1100  #: an object's name, the output directory, the report
MAX_LABELS = 1000  #: all labels together, as JSON
MAX_TEXT = 200  #: any other text
MAX_ATTRIBUTE = 1024  #: Pub/Sub's own limit, and Cloud Storage's for an object's name


def announcement_id(job_id: str, seq: int) -> str:
    """The event id of a job's n-th announcement, counted from 1."""
    return derived_id(job_id, str(seq))


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """
    One message, as it is sent. Its id is derived from the job and `seq`, and its bytes
    are stored, so every repeat is identical.
    """

    id: str
    job_id: str
    seq: int
    type: str
    body: bytes
    attributes: dict[str, str]
    created_at: datetime
    published_at: datetime | None = None
    attempts: int = 0  #: publish requests, answered or not
    refusals: int = 0  #: how often Pub/Sub refused it
    reason: str | None = None  #: Pub/Sub's words for the last refusal
    set_aside_at: datetime | None = (
        None  #: when the attempts stopped after too many refusals
    )

    @classmethod
    def of(cls, job: Job, source: str) -> Self:
        """
        The announcement of a job that has just ended, was rejected or has stalled.

        Args:
            source: the deployment, as a CloudEvents `source`.
        """
        event = event_of(job, source)
        # CloudEvents' binary mode for Pub/Sub puts the context into `ce-` attributes.
        # The plain attributes are for the filters of subscriptions.
        attributes = {
            "ce-specversion": "1.0",
            "ce-id": event.id,
            "ce-type": event.type,
            "ce-source": source,
            "ce-subject": job.id,
            "ce-time": job.updated_at.isoformat(),
            # The CloudEvents extension for subscribers without message ordering.
            "ce-sequence": _sequence(job.seq),
            "content-type": "application/json",
            "job_id": job.id,
            "state": _state(job) or str(job.phase),
            "bucket": job.source.bucket,
        }
        if job.spec:
            attributes |= {"model": job.spec.model, "kind": job.spec.kind}
        attributes = {k: _clipped(text, MAX_TEXT) for k, text in attributes.items()}
        name = job.source.name.encode()[:MAX_ATTRIBUTE].decode(errors="ignore")
        attributes["object"] = name
        return cls(
            id=event.id,
            job_id=job.id,
            seq=job.seq,
            type=event.type,
            body=event.body(),
            attributes=attributes,
            created_at=job.updated_at,
        )

    @property
    def is_waiting(self) -> bool:
        """Whether it is still to be published."""
        return self.published_at is None and self.set_aside_at is None

    def waiting(self) -> Self:
        """The same announcement, to be published again."""
        return replace(self, published_at=None, set_aside_at=None, refusals=0)

    def anew(self, seq: int, now: datetime) -> Self:
        """The same content with a new event id, so that subscribers that deduplicate
        handle it again."""
        id = announcement_id(self.job_id, seq)
        changed = {"ce-id": id, "ce-sequence": _sequence(seq), "ce-replayof": self.id}
        return replace(
            self,
            id=id,
            seq=seq,
            attributes=self.attributes | changed,
            created_at=now,
            published_at=None,
            attempts=0,
            refusals=0,
            reason=None,
            set_aside_at=None,
        )

    def set_aside_because(self, why: str) -> str:
        """The job's trouble after this announcement was set aside, and what to do."""
        return (
            f"Pub/Sub refused the announcement {self.id} ({self.type}) too often: "
            f"{why}. Mend that, then run `batchdrop announcements replay --job "
            f"{self.job_id}`"
        )


def _state(job: Job) -> str | None:
    """The API's name for how far the batch is, or for how a split job ended."""
    if job.outcome and (job.is_split or job.has_no_output):
        return job.outcome.state  # it agrees with the type
    return job.batch.state if job.batch else None


def _sequence(seq: int) -> str:
    return f"{seq:08}"  # of fixed width, so that they sort as texts


def event_of(job: Job, source: str) -> subscribe.JobEvent:
    """
    The event that announces a job's state: where things are and how they went, never
    a row's text.

    Whatever is too long is shortened, and `shortened` names it. Texts end in an
    ellipsis. Labels are left out, from the last in the order of their names. A URI is
    left out, as half a path points elsewhere. The ledger has all of it.

    Args:
        source: the deployment, as a CloudEvents `source`.
    """
    spec, batch, state = job.spec, job.batch, _state(job)
    error = job.error or (batch.error if batch else None)
    health = _health(job)
    shortened: list[str] = []

    def brief(field: str, text: str, limit: int = MAX_TEXT) -> str:
        cut = _clipped(text, limit)
        if cut != text:
            shortened.append(field)
        return cut

    def problem(field: str, code: str | int, message: str) -> dict[str, str]:
        # Our codes are words, the API's are numbers; a schema has one type.
        return {
            "code": brief(f"{field}.code", str(code)),
            "message": brief(f"{field}.message", message, MAX_WORDS),
        }

    def place(field: str, uri: str | None) -> str | None:
        if uri is None or _size(uri) <= MAX_PATH:
            return uri
        shortened.append(field)
        return None

    labels = _fitting(spec.labels if spec else {})
    if spec and len(labels) < len(spec.labels):
        shortened.append("labels")
    return subscribe.JobEvent(
        id=announcement_id(job.id, job.seq),
        type=f"dev.batchdrop.job.{job.outcome or STALLED}.v1",
        deployment=source,
        seq=job.seq,
        job_id=job.id,
        parent=job.parent,
        part_of=job.part_of,
        parts=_parts(job),
        phase=str(job.phase),
        state=brief("state", state) if state else None,
        source=subscribe.Source(
            bucket=brief("source.bucket", job.source.bucket),
            name=brief("source.name", job.source.name, MAX_PATH),
            generation=job.source.generation,
            size=job.source.size,
        ),
        kind=spec.kind if spec else None,
        backend=spec.backend if spec else None,
        location=brief("location", spec.location) if spec else None,
        model=brief("model", spec.model) if spec else None,
        labels=labels,
        batch=brief("batch", batch.name) if batch else None,
        output_directory=place("output_directory", _output(job)),
        output_table=place("output_table", _table(job)),
        rows=subscribe.Rows(**asdict(job.rows)),
        report=place("report", job.report),
        stats=subscribe.Stats(**asdict(job.stats)) if job.stats else None,
        error=subscribe.Problem(**problem("error", error.code, error.message))
        if error
        else None,
        health=subscribe.Health(
            **problem("health", health.code, health.message),
            since=health.since,
        )
        if health
        else None,
        cancelled_by=brief("cancelled_by", job.cancel_request.by)
        if job.cancel_request
        else None,
        created_at=job.created_at,
        submitted_at=batch.create_time if batch else None,
        # The Developer API gives no start: then it is when a tick first saw it run.
        started_at=(batch.start_time or job.running_since) if batch else None,
        ended_at=batch.end_time if batch else None,
        announced_at=job.updated_at,
        shortened=tuple(shortened),
    )


def _parts(job: Job) -> subscribe.Parts | None:
    """For a split job that has ended: how many parts ended in which way."""
    if not (job.is_split and job.outcome):
        return None
    ends = [part.outcome.counted for part in job.parts.values() if part.outcome]
    counted = [outcome for outcome in Outcome if outcome.counted is outcome]
    counts = {str(outcome): ends.count(outcome) for outcome in counted}
    return subscribe.Parts(total=len(ends), **counts)


def _health(job: Job) -> Health | None:
    """The worst trouble; while the job is open, the worst that makes it stall."""
    # `stats` has the rows that failed.
    troubles = [one for one in job.troubles if one.code != HealthCode.ROWS_FAILED]
    if not job.is_over:
        troubles = [one for one in troubles if one.code in STALLS] or troubles
    return next(iter(troubles), None)


def _output(job: Job) -> str | None:
    """Where the answers are. Each part of a split job has a folder under it."""
    if job.is_split and job.spec and job.spec.destination.startswith("gs://"):
        return job.spec.destination
    return job.batch.output_directory if job.batch else None


def _table(job: Job) -> str | None:
    """The table with the answers, if they are in no directory."""
    return job.batch.output_table if job.batch and not _output(job) else None


def _size(value: Any) -> int:
    """Bytes as JSON: quotes and control characters take two to six."""
    return len(msgspec.json.encode(value))


def _clipped(text: str, limit: int) -> str:
    """The text, or its beginning if it takes more than `limit` bytes as JSON."""
    if _size(text) <= limit + 2:
        return text
    # No character takes less than a byte, so this cut is safe; then a tenth at a time.
    text = text[: limit - 3]
    while _size(text) > limit - 1:
        text = text[: len(text) * 9 // 10]
    return text + "…"


def _fitting(labels: Mapping[str, str]) -> dict[str, str]:
    """As many labels as fit into MAX_LABELS bytes, in the order of their names."""
    kept: dict[str, str] = {}
    for name in sorted(labels):
        if _size(kept | {name: labels[name]}) > MAX_LABELS:
            break
        kept[name] = labels[name]
    return kept
