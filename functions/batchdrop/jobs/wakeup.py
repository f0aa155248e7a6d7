"""The message with which `poll` wakes a worker that collects a job's answers."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import msgspec

from batchdrop.errors import NotAWakeUp
from batchdrop.jobs.values import is_job_id

#: Eventarc's type of a published message (google.events.cloud.pubsub.v1
#: MessagePublishedData).
PUBLISHED = "google.cloud.pubsub.topic.v1.messagePublished"
#: Bytes of a message's data as Base64; ours have 56.
MAX_DATA = 1024


class _Body(msgspec.Struct):
    job_id: str


def body(job_id: str) -> bytes:
    """The data of a message."""
    return msgspec.json.encode(_Body(job_id))


def job_id_of(type: str, data: Any) -> str:
    """
    Reads an event's type and data: `{"message": {"data": ..}}`, the message's data in
    Base64.

    Raises:
        NotAWakeUp: not a message, or it names no job.
    """
    if type != PUBLISHED:
        raise NotAWakeUp(f"an event of another type than {PUBLISHED!r}")
    message = data.get("message") if isinstance(data, Mapping) else None
    if not isinstance(message, Mapping):
        # Data that isn't valid JSON arrives as bytes.
        raise NotAWakeUp("an event without a message")
    text = message.get("data")
    if not isinstance(text, str) or len(text) > MAX_DATA:
        raise NotAWakeUp("a message whose data is missing, too long, or not a string")
    try:
        found = msgspec.json.decode(base64.b64decode(text, validate=True), type=_Body)
    except (binascii.Error, ValueError, RecursionError):
        raise NotAWakeUp("a message whose data can't be read") from None
    if not is_job_id(found.job_id):
        raise NotAWakeUp("a message whose job_id is not the id of a job")
    return found.job_id
