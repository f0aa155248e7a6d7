"""Announcements: CloudEvents 1.0 over Pub/Sub, written to an outbox before they go."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

import msgspec

from batchdrop.errors import Unavailable
from batchdrop.jobs import Job, Phase, derived_id

if TYPE_CHECKING:
    from google.cloud.pubsub_v1 import PublisherClient

#: An announcement that isn't taken within this many seconds stays in the outbox.
PUBLISH_TIMEOUT = 10.0

#: How the service's end is called in an announcement's type.
WORDS = {
    "JOB_STATE_SUCCEEDED": "succeeded",
    "JOB_STATE_PARTIALLY_SUCCEEDED": "partially_succeeded",
    "JOB_STATE_FAILED": "failed",
    "JOB_STATE_CANCELLED": "cancelled",
    "JOB_STATE_EXPIRED": "expired",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """
    One message, as it will be sent. Its id follows from the job and `seq`, and its
    bytes are stored with it, so that every repeat is the same.
    """

    id: str
    job_id: str
    seq: int
    type: str
    body: bytes
    attributes: dict[str, str]
    created_at: datetime
    published_at: datetime | None = None
    attempts: int = 0

    @classmethod
    def of(cls, job: Job, source: str) -> Self:
        """
        What there is to say of a job that has just ended, was rejected or parked.

        Args:
            source: the deployment, as a CloudEvents `source`.
        """
        id = derived_id(job.id, str(job.seq))
        type = f"dev.batchdrop.job.{_word(job)}.v1"
        body = msgspec.json.encode(_body(job))
        # CloudEvents' binary mode for Pub/Sub puts the context into `ce-` attributes;
        # the plain ones are there for subscriptions to filter on.
        attributes = {
            "ce-specversion": "1.0",
            "ce-id": id,
            "ce-type": type,
            "ce-source": source,
            "ce-subject": job.id,
            "ce-time": job.updated_at.isoformat(),
            "content-type": "application/json",
            "job_id": job.id,
            "state": job.batch.state if job.batch else str(job.phase),
            "bucket": job.source.bucket,
            "object": job.source.name,
        }
        if job.spec:
            attributes |= {"model": job.spec.model, "kind": job.spec.kind}
        return cls(
            id=id,
            job_id=job.id,
            seq=job.seq,
            type=type,
            body=body,
            attributes=attributes,
            created_at=job.updated_at,
        )


def _word(job: Job) -> str:
    if job.phase is Phase.REJECTED:
        return "rejected"
    if job.is_lost:
        return "lost"
    if job.is_parked or job.batch is None:
        return "stalled"
    return WORDS[job.batch.state]


def _body(job: Job) -> dict[str, Any]:
    """The payload: where things are and how they went, never what rows say."""
    spec, batch = job.spec, job.batch
    return {
        "job_id": job.id,
        "parent": job.parent,
        "phase": job.phase,
        "state": batch.state if batch else None,
        "source": job.source,
        "kind": spec.kind if spec else None,
        "backend": spec.backend if spec else None,
        "location": spec.location if spec else None,
        "model": spec.model if spec else None,
        "labels": spec.labels if spec else {},
        "batch": batch.name if batch else None,
        "output_directory": batch.output_directory if batch else None,
        "rows": job.rows,
        "report": job.report,
        "stats": batch.completion_stats if batch else None,
        "error": job.error or (batch.error if batch else None),
        "health": job.health,
        "created_at": job.created_at,
        "started_at": batch.start_time if batch else None,
        "ended_at": batch.end_time if batch else None,
        "announced_at": job.updated_at,
    }


class Publisher:
    """Sends announcements to the topic, in order per job."""

    def __init__(self, connect: Callable[[], "PublisherClient"], topic: str) -> None:
        """
        Args:
            connect: makes the client when there is something to send; its message
                ordering must be on.
            topic: full name, `projects/P/topics/T`.
        """
        self._connect = connect
        self._topic = topic

    def __call__(self, announcement: Announcement) -> None:
        """
        Raises:
            Unavailable: Pub/Sub has not confirmed it. It may have been sent.
        """
        client = self._connect()
        key = announcement.job_id
        try:
            client.publish(
                self._topic,
                announcement.body,
                ordering_key=key,
                timeout=PUBLISH_TIMEOUT,
                **announcement.attributes,
            ).result(timeout=PUBLISH_TIMEOUT)
        except Exception as exc:
            # The client holds back all that follows a failure on the same key.
            client.resume_publish(self._topic, key)
            raise Unavailable(
                f"announcement {announcement.id} of job {key}: {exc!r}"
            ) from exc
