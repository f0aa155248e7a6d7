"""`parse` reads the same event from every kind of delivery."""

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import flask
import functions_framework
import pytest
from cloudevents.http import CloudEvent, from_http
from google.cloud.pubsub_v1.subscriber.message import Message
from google.pubsub_v1.types import PubsubMessage, ReceivedMessage
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.announcements.message import Announcement
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Problem
from batchdrop.subscribe import BadAnnouncement, JobEvent, Stats, parse
from tests import announcements
from tests.jobs import DROP, TIMING
from tests.rules.test_announcements import NOW, collected, ended, of, submitted

CLAIMED = Job.claimed(DROP, "w", NOW, TIMING)
EMPTY = Problem(code="no_rows", message="empty")
FAILED = of(ended("FAILED", error=Problem(code=9, message="bad bucket"), end_time=None))


def pubsub_message(announcement: Announcement) -> PubsubMessage:
    return PubsubMessage(
        data=announcement.body,
        attributes=announcement.attributes,
        message_id="2070443601311540",
        ordering_key=announcement.job_id,
    )


def streamed(announcement: Announcement) -> Message:
    """What a callback of the subscriber client is called with."""
    raw = pubsub_message(announcement)
    return Message(PubsubMessage.pb(raw), "ack", 2, request_queue=None)


def pulled(announcement: Announcement) -> ReceivedMessage:
    return ReceivedMessage(
        ack_id="ack", message=pubsub_message(announcement), delivery_attempt=2
    )


def pushed_in_snake_case(announcement: Announcement) -> dict[str, Any]:
    message = announcements.push(announcement)["message"]
    del message["messageId"]
    return {"message": message, "subscription": "s", "delivery_attempt": 2}


def cloud_event(announcement: Announcement) -> CloudEvent:
    body, headers = announcements.eventarc(announcement)
    return from_http(headers, body)


def raw_cloud_event(announcement: Announcement) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "type": "google.cloud.pubsub.topic.v1.messagePublished",
        "id": "2070443601311540",
        "source": "//pubsub.googleapis.com/projects/p/topics/t",
        "data": announcements.push(announcement),
    }


ONE_ARGUMENT: list[Callable[[Announcement], Any]] = [
    streamed,
    pulled,
    announcements.push,
    pushed_in_snake_case,
    lambda one: json.dumps(announcements.push(one)),
    lambda one: json.dumps(announcements.push(one)).encode(),
    cloud_event,
    raw_cloud_event,
]


@pytest.mark.parametrize("deliver", ONE_ARGUMENT)
def test_every_delivery_is_read_the_same(deliver: Callable[..., Any]) -> None:
    event = parse(deliver(FAILED))

    assert event == JobEvent(
        id=FAILED.id,
        type="dev.batchdrop.job.failed.v1",
        deployment="//batchdrop/projects/p/deployments/d",
        seq=1,
        message_id="2070443601311540",
        attempt=2,
        **{
            name: getattr(event, name)
            for name in event.__struct_fields__
            if name in json.loads(FAILED.body)
        },
    )
    assert event.job_id == FAILED.job_id
    assert event.outcome == "failed"
    assert event.state == "JOB_STATE_FAILED"
    assert event.source.name == "a/b c.jsonl"
    assert event.source.generation == 2**60
    assert event.rows.total == 3
    assert event.stats is None
    assert event.error is not None
    assert (event.error.code, event.error.message) == ("9", "bad bucket")
    assert event.created_at == datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    assert event.ended_at is None


@pytest.mark.parametrize(
    ("announcement", "event", "outcome"),
    [
        (of(ended("SUCCEEDED")), "ended", "succeeded"),
        (of(ended("CANCELLED")), "ended", "cancelled"),
        (of(submitted().lost(NOW)), "ended", "lost"),
        (of(CLAIMED.cancelled(NOW)), "ended", "cancelled"),
        (of(CLAIMED.rejected(EMPTY, NOW)), "rejected", "rejected"),
        (of(CLAIMED.park(NOW)), "stalled", None),
        (of(ended("EXPIRED").park(NOW)), "stalled", "expired"),
        (of(collected(ended("EXPIRED"), ok=1)), "results", "expired"),
    ],
)
def test_an_event_says_what_is_announced_and_how_the_job_ended(
    announcement: Announcement, event: str, outcome: str | None
) -> None:
    read = parse(announcements.push(announcement))

    assert (read.event, read.outcome) == (event, outcome)
    assert announcement.attributes["event"] == event


def test_a_bare_message_is_read_without_the_fields_of_the_push() -> None:
    event = parse(announcements.push(FAILED)["message"])

    assert (event.id, event.attempt) == (FAILED.id, None)


@pytest.mark.parametrize("deliver", [announcements.eventarc, announcements.unwrapped])
def test_body_and_headers_are_read(deliver: Callable[..., Any]) -> None:
    body, headers = deliver(FAILED)

    event = parse(body, headers)

    assert (event.id, event.seq) == (FAILED.id, 1)
    assert event.message_id == "2070443601311540"


def test_a_wrapped_push_is_read_with_its_headers_as_well() -> None:
    body = json.dumps(announcements.push(FAILED)).encode()

    assert parse(body, {"Content-Type": "application/json"}).id == FAILED.id


# functions-framework 3.10 works out a time with it for each push, needed or not. Python
# 3.12 deprecates it.
@pytest.mark.filterwarnings(
    r"ignore:datetime\.datetime\.utcnow\(\):DeprecationWarning"
    ":functions_framework.event_conversion"
)
@pytest.mark.parametrize(
    "deliver",
    [
        announcements.eventarc,
        announcements.unwrapped,
        lambda one: (
            json.dumps(announcements.push(one)),
            {"content-type": "application/json"},
        ),
    ],
)
def test_a_function_reads_the_event_that_functions_framework_passes_it(
    deliver: Callable[..., Any], tmp_path: Any
) -> None:
    source = tmp_path / "main.py"
    source.write_text(
        "import functions_framework\n"
        "from batchdrop.subscribe import parse\n"
        "heard = []\n"
        "@functions_framework.cloud_event\n"
        "def listen(event):\n"
        "    heard.append(parse(event).id)\n"
    )
    app: flask.Flask = functions_framework.create_app("listen", str(source))
    body, headers = deliver(FAILED)

    answer = app.test_client().post("/", data=body, headers=headers)

    assert answer.status_code == 200
    assert sys.modules["main"].heard == [FAILED.id]


def test_the_apis_row_counts_are_typed() -> None:
    from batchdrop.jobs.values import Stats as Counted

    announcement = of(ended("SUCCEEDED", completion_stats=Counted(successful=2)))

    assert parse(announcements.push(announcement)).stats == Stats(successful=2)


def test_an_event_cannot_be_changed() -> None:
    event = parse(announcements.push(FAILED))

    with pytest.raises(AttributeError):
        event.state = "JOB_STATE_SUCCEEDED"  # type: ignore[misc]


def test_an_unknown_field_is_skipped() -> None:
    push = changed(body={"mood": {"good": 3}})

    assert parse(push).id == FAILED.id


def changed(
    attributes: dict[str, Any] | None = None, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A push with attributes and body fields changed; None removes an attribute."""
    push = announcements.push(FAILED)
    message = push["message"]
    told = message["attributes"] | (attributes or {})
    message["attributes"] = {k: v for k, v in told.items() if v is not None}
    data = json.dumps(json.loads(FAILED.body) | (body or {})).encode()
    message["data"] = base64.b64encode(data).decode()
    return push


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (None, "NoneType is no Pub/Sub message"),
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[1]", "no object"),
        (b"[" * 100_000, "not JSON"),
        ({}, "no message with attributes"),
        ({"message": "hello"}, "no message with attributes"),
        ({"message": {"data": "e30="}}, "no message with attributes"),
        ({"attributes": [1]}, "no map"),
        ({"attributes": {"ce-id": 1}}, "not all texts"),
        ({"attributes": {}, "data": "%"}, "not Base64"),
        ({"attributes": {}}, "ce-type is None"),
        (json.loads(FAILED.body), "write_metadata"),
        ({"specversion": "1.0", "type": "other"}, "ce-type is 'other'"),
        (changed({"ce-type": None}), "ce-type is None"),
        (changed({"ce-type": "dev.batchdrop.job.failed.v2"}), "this version reads"),
        (changed({"ce-type": "com.example.v1"}), "com.example.v1"),
        (changed({"ce-id": None}), "ce-id is None"),
        (changed({"ce-id": "../../jobs/x"}), "ce-id is '../../jobs/x'"),
        (changed({"ce-subject": "z" * 26}), "ce-subject"),
        (changed(body={"rows": None}), r"\$.rows"),
        (changed(body={"created_at": "yesterday"}), r"\$.created_at"),
        (changed(body={"source": {"bucket": "b"}}), r"\$.source"),
        (changed(body={"labels": {"a": 1}}), r"\$.labels"),
    ],
)
def test_anything_else_is_a_bad_announcement_with_a_reason(
    message: object, words: str
) -> None:
    with pytest.raises(BadAnnouncement, match=words):
        parse(message)


def test_a_body_cannot_pretend_to_be_another_event() -> None:
    event = parse(changed(body={"id": "a" * 26, "type": "x", "attempt": 99}))

    assert (event.id, event.type, event.attempt) == (FAILED.id, FAILED.type, 2)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
#: Anything, in the places that are looked at.
NEAR = st.fixed_dictionaries(
    {},
    optional={
        "specversion": JSON,
        "type": JSON,
        "data": JSON,
        "attributes": JSON,
        "deliveryAttempt": JSON,
        "message": JSON
        | st.fixed_dictionaries({"attributes": JSON}, optional={"data": JSON}),
    },
)


@given(st.one_of(NEAR, JSON, st.binary(), st.text()))
def test_no_message_raises_anything_but_a_bad_announcement(message: object) -> None:
    with pytest.raises(BadAnnouncement):
        parse(message)


@given(st.dictionaries(st.sampled_from(sorted(json.loads(FAILED.body))), JSON))
def test_no_body_raises_anything_but_a_bad_announcement(body: dict[str, Any]) -> None:
    try:
        event = parse(changed(body=body))
    except BadAnnouncement:
        return
    assert event.id == FAILED.id


def test_it_imports_nothing_heavy() -> None:
    script = (
        "import sys, batchdrop.subscribe; "
        "heavy = [m for m in ('google.cloud.firestore', 'google.auth', 'grpc', "
        "'cloudevents', 'flask', 'httpx', 'batchdrop.announcements.message') "
        "if m in sys.modules]; "
        "assert not heavy, heavy"
    )

    done = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
