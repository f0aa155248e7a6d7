"""A function that tells a chat of jobs that stall or fail, and of rows that do."""

import logging
import os

import functions_framework
import httpx
from cloudevents.http import CloudEvent
from google.cloud import firestore

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
    failed = job.outcome in ("failed", "lost", "expired")
    if job.event == "stalled" or (job.event == "ended" and failed):
        tell(job)
    if job.event == "results" and job.rows.ok != job.rows.total:
        tell(job)


@once(Handled("tell-chat", firestore.Client))
def tell(job: JobEvent) -> None:
    """Posts to CHAT_WEBHOOK, as Google Chat and Slack take it. Raising: again later."""
    why = job.error or job.health
    text = f"{job.source.name}: {job.outcome if job.event == 'ended' else job.event}"
    if job.event == "results":
        text += f", ok: {job.rows.ok} of {job.rows.total}"
    elif why is not None:
        text += f" ({why.code}: {why.message})"
    answer = httpx.post(
        os.environ["CHAT_WEBHOOK"],
        json={"text": f"{text}, job {job.job_id}"},
        timeout=20,
    )
    answer.raise_for_status()
