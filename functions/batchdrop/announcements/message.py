"""Announcements: CloudEvents 1.0, made from a job and stored until they are sent."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Self

import msgspec

from batchdrop import subscribe
from batchdrop.jobs.codes import STALLS, Outcome, Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Failure, Health, Results, Stats, derived_id

#: The announcement that someone should look at a job, which is not done.
STALLED = "dev.batchdrop.job.stalled.v1"
#: The announcement that every line of the file has its result.
RESULTS = "dev.batchdrop.results.ready.v1"
#: All types of announcements.
TYPES = (*(f"dev.batchdrop.job.{each}.v1" for each in Outcome), STALLED, RESULTS)

# Limits in bytes of the texts in a body, as JSON. They keep body and attributes
# together below 10 kB, whatever users and the API put into names and messages.
MAX_WORDS = 400  #: the message of an error or a health
MAX_NAME = 1100  #: an object's name
MAX_URIS = 1300  #: all URIs together
MAX_LABELS = 1000  #: all labels together, as JSON
MAX_TEXT = 200  #: any other text
MAX_FAILURES = 400  #: all kinds of errors of rows together, as JSON
MAX_FAILURE = 100  #: the message of one of them
MAX_ATTRIBUTE = 1024  #: Pub/Sub's own limit, and Cloud Storage's for an object's name


def word_of(type: str) -> str:
    """What people call a type of announcement: `failed`, `results`."""
    kind, word = type.split(".")[-3:-1]
    return word if kind == "job" else kind


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
        The announcement of a job that has just ended, was rejected or has stalled, or
        has its results.

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
            "event": event.event,
            "state": _state(job) or str(job.phase),
            "bucket": job.source.bucket,
        }
        if event.event == "ended":
            attributes["batch_rows"] = batch_rows(job)
        if event.event == "results":
            attributes["rows_outcome"] = rows_outcome(job)
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
    def word(self) -> str:
        """What people call its type."""
        return word_of(self.type)

    @property
    def is_waiting(self) -> bool:
        """Whether it is still to be published."""
        return self.published_at is None and self.set_aside_at is None

    @property
    def replay_of(self) -> str | None:
        """The id of the announcement that this one repeats under an id of its own."""
        return self.attributes.get("ce-replayof")

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


def batch_rows(job: Job) -> str:
    """
    What became of a batch's rows, by the API's counts. Where these leave one out, it is
    zero, and a negative one is unknown. The Developer API does not count the rows that
    it left when it stopped early:

        complete      every row is answered
        incomplete    some are
        none          no row is answered, or nothing was sent
        unknown       the API gives no counts, or the batch is lost
    """
    if not job.is_split:
        sent = job.phase is not Phase.REJECTED
        if job.is_lost:
            return "unknown"
        return _answered(job.stats, job.rows.accepted, sent=sent)
    words = {
        _answered(
            part.stats, part.staging.rows, sent=part.outcome is not Outcome.REJECTED
        )
        for part in job.parts.values()
    }
    if len(words) == 1:
        return words.pop()
    return "unknown" if words == {"complete", "unknown"} else "incomplete"


def _answered(stats: Stats | None, rows: int, *, sent: bool) -> str:
    if stats is None:
        return "unknown" if sent else "none"
    if not stats.successful:
        return "none"
    left = max(stats.failed or 0, 0) + max(stats.incomplete or 0, 0)
    return "incomplete" if left or stats.successful < rows else "complete"


def rows_outcome(job: Job) -> str:
    """`complete` if every line's row is ok, `none` if no one is, else `incomplete`."""
    if not job.rows.ok:
        return "none"
    return "complete" if job.rows.ok == job.rows.total else "incomplete"


def _type(job: Job) -> str:
    """The type of the announcement that a job's latest move makes."""
    # At its end a job has none of these facts: see `Job.ended`.
    waits = job.parked or job.postponed or job.answers_at_risk or job.round_held
    if not job.is_over or waits:
        return STALLED
    if job.results and not job.collecting:
        return RESULTS
    return f"dev.batchdrop.job.{job.outcome}.v1"


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
    uris, shortened = _fitting_uris(job)

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

    failures = _failures(job.failures)
    if failures != tuple(map(_told, job.failures)):
        shortened.append("failures")
    labels = _fitting(spec.labels if spec else {})
    if spec and len(labels) < len(spec.labels):
        shortened.append("labels")
    return subscribe.JobEvent(
        id=announcement_id(job.id, job.seq),
        type=_type(job),
        deployment=source,
        seq=job.seq,
        job_id=job.id,
        parent=job.parent,
        part_of=job.part_of,
        parts=_parts(job),
        phase=str(job.phase),
        state=brief("state", state) if state else None,
        outcome=job.outcome,
        source=subscribe.Source(
            bucket=brief("source.bucket", job.source.bucket),
            name=brief("source.name", job.source.name, MAX_NAME),
            generation=job.source.generation,
            size=job.source.size,
        ),
        kind=spec.kind if spec else None,
        backend=spec.backend if spec else None,
        location=brief("location", spec.location) if spec else None,
        model=brief("model", spec.model) if spec else None,
        labels=labels,
        batch=brief("batch", batch.name) if batch else None,
        output_directory=uris["output_directory"],
        output_table=uris["output_table"],
        rows=subscribe.Rows(**asdict(job.rows)),
        report=uris["report"],
        results=_results(job.results, uris),
        usage=subscribe.Usage(**asdict(job.usage)) if job.usage else None,
        cost=subscribe.Cost(**asdict(job.cost)) if job.cost else None,
        failures=failures,
        strangers=job.strangers,
        superseded=job.superseded,
        round=job.results.round if job.results else 0,
        skipped=subscribe.Problem(
            **problem("skipped", job.skipped.code, job.skipped.message)
        )
        if job.skipped
        else None,
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
    """The worst trouble; while work remains, the worst that makes it stall."""
    troubles = job.troubles
    if not job.is_done:
        troubles = [one for one in troubles if one.code in STALLS] or troubles
    return next(iter(troubles), None)


def _told(failure: Failure) -> subscribe.Failure:
    """A kind of errors, as it is announced."""
    return subscribe.Failure(
        code=failure.code,
        message=failure.message,
        count=failure.count,
        example=failure.example,
    )


def _failures(failures: Iterable[Failure]) -> tuple[subscribe.Failure, ...]:
    """As many kinds of errors as fit into MAX_FAILURES bytes, with short texts."""
    kept: list[subscribe.Failure] = []
    for each in failures:
        short = subscribe.Failure(
            code=_clipped(each.code, MAX_FAILURE),
            message=_clipped(each.message, MAX_FAILURE),
            count=each.count,
            example=_clipped(each.example, MAX_FAILURE),
        )
        if _size([*kept, short]) > MAX_FAILURES:
            break
        kept.append(short)
    return tuple(kept)


def _fitting_uris(job: Job) -> tuple[dict[str, str | None], list[str]]:
    """
    The URIs by their fields, those first that readers need most, and the fields of
    those that don't fit into MAX_URIS bytes.
    """
    results = job.results
    uris = {
        "results.uri": results.uri if results else None,
        "output_directory": _output(job),
        "output_table": _table(job),
        "report": job.report,
        "results.strangers": results.strangers if results else None,
        "results.index": results.index if results else None,
    }
    left, left_out = MAX_URIS, []
    for field, uri in uris.items():
        size = _size(uri) if uri else 0
        if size > left:
            uris[field] = None
            left_out.append(field)
        else:
            left -= size
    return uris, left_out


def _results(
    results: Results | None, uris: Mapping[str, str | None]
) -> subscribe.Results | None:
    if results is None:
        return None
    return subscribe.Results(
        uri=uris["results.uri"],
        generation=results.generation,
        crc32c=results.crc32c,
        bytes=results.bytes,
        index=uris["results.index"],
        strangers=uris["results.strangers"],
    )


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
