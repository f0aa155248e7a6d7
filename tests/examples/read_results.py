"""A function that reads a job's results as soon as they are ready."""

import json
import logging

import functions_framework
from cloudevents.http import CloudEvent
from google.cloud import firestore, storage

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
    if job.event == "results":
        read(job)


@once(Handled("read-results", firestore.Client))
def read(job: JobEvent) -> None:
    """Logs the lines without an answer. There is one result for each line dropped."""
    assert job.results is not None
    blob = storage.Blob.from_uri(job.results.uri, client=storage.Client())
    with blob.open("rb") as lines:
        for result in map(json.loads, lines):
            if result["outcome"] != "ok":
                log.warning("line %d is %s", result["line"], result["outcome"])
    log.warning("ok: %d of %d", job.rows.ok, job.rows.total)
