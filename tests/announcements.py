"""A check that every announcement must pass, and deliveries as subscribers get them."""

import base64
import json
from typing import Any

import jsonschema
from cloudevents.http import from_http

from batchdrop.announcements.message import TYPES, Announcement
from batchdrop.subscribe import schema

#: Readers of each type's body, strict about the forms of times.
READERS = {
    type: jsonschema.Draft202012Validator(
        schema(type), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    for type in TYPES
}


def check(announcement: Announcement) -> None:
    """
    Fails unless it is a CloudEvent 1.0 whose body matches its type's schema, within
    Pub/Sub's limits and our own.
    """
    # Binary mode is the same over HTTP, where the library knows it.
    event = from_http(announcement.attributes, announcement.body)
    READERS[announcement.type].validate(event.data)
    assert event["type"] == announcement.type
    assert event["id"] == announcement.id
    assert event["subject"] == announcement.job_id == event.data["job_id"]
    assert size(announcement) < 10_000
    for name, text in announcement.attributes.items():
        assert len(name.encode()) <= 256
        assert len(text.encode()) <= 1024


def size(announcement: Announcement) -> int:
    """The bytes that Pub/Sub counts: the body, and names and values of attributes."""
    attributes = announcement.attributes.items()
    return len(announcement.body) + sum(
        len(text.encode()) for pair in attributes for text in pair
    )


def push(announcement: Announcement) -> dict[str, Any]:
    """The body of a push (Pub/Sub docs, "Push subscriptions"): ids are spelt twice."""
    return {
        "message": {
            "attributes": announcement.attributes,
            "data": base64.b64encode(announcement.body).decode(),
            "messageId": "2070443601311540",
            "message_id": "2070443601311540",
            "orderingKey": announcement.job_id,
            "publishTime": "2026-03-01T12:00:01.5Z",
            "publish_time": "2026-03-01T12:00:01.5Z",
        },
        "subscription": "projects/p/subscriptions/s",
        "deliveryAttempt": 2,
    }


def unwrapped(announcement: Announcement) -> tuple[bytes, dict[str, str]]:
    """A push without wrapping, with metadata: body and headers."""
    headers = {
        "X-Goog-Pubsub-Message-Id": "2070443601311540",
        "X-Goog-Pubsub-Publish-Time": "2026-03-01T12:00:01.5Z",
        "X-Goog-Pubsub-Subscription-Name": "projects/p/subscriptions/s",
        "X-Goog-Pubsub-Ordering-Key": announcement.job_id,
    }
    return announcement.body, announcement.attributes | headers


def eventarc(announcement: Announcement) -> tuple[bytes, dict[str, str]]:
    """What Eventarc sends a function about a message: body and headers."""
    headers = {
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-type": "google.cloud.pubsub.topic.v1.messagePublished",
        "ce-id": "2070443601311540",
        "ce-source": "//pubsub.googleapis.com/projects/p/topics/announcements",
        "ce-time": "2026-03-01T12:00:01.5Z",
    }
    return json.dumps(push(announcement)).encode(), headers
