"""A function that reads the answers as soon as a job has succeeded."""

import logging
import os

import functions_framework
from cloudevents.http import CloudEvent
from google.cloud import firestore

from batchdrop import Client
from batchdrop.subscribe import BadAnnouncement, Handled, JobEvent, once, parse

log = logging.getLogger(__name__)


@functions_framework.cloud_event
def on_announcement(event: CloudEvent) -> None:
    """Eventarc calls this for each message on the topic of the announcements."""
    try:
        job = parse(event)
    except BadAnnouncement as exc:
        log.error("not an announcement", extra={"reason": str(exc)})
        return  # it would be no better the next time
    if job.outcome in ("succeeded", "partially_succeeded"):
        read(job)


@once(Handled("read-results", firestore.Client))
def read(job: JobEvent) -> None:
    """Says how it went. A row can fail in a job that succeeded: look at each."""
    with Client(
        vertexai=job.backend == "vertex",
        project=os.environ["GOOGLE_CLOUD_PROJECT"],
        location=job.location,
        http_options={"base_url": os.environ.get("BATCHDROP_API_URL")},
    ) as client:
        assert job.batch is not None
        rows = list(client.batches.results(job.batch))
    failed = [row.key for row in rows if row.error is not None]
    log.warning("%d answers, %d rows failed", len(rows) - len(failed), len(failed))
