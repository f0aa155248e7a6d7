"""Eventarc's stand-in, between the real Pub/Sub emulator and a tiny HTTP server."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from cloudevents.http import from_http

from batchdrop_local import eventarc
from batchdrop_local.eventarc import (
    AsEvent,
    Eventarc,
    cloud_event_headers,
    message_published,
    object_finalized,
)
from batchdrop_local.processes import free_port
from tests.waiting import until
from tests.whole.listener import Listener, Request, listening

NOTICE = {
    "notificationConfig": "projects/_/buckets/inbox/notificationConfigs/1",
    "eventType": "OBJECT_FINALIZE",
    "payloadFormat": "JSON_API_V1",
    "bucketId": "inbox",
    "objectId": "day 1/reviews.jsonl",
    "objectGeneration": "1795354306777687",
    "eventTime": "2026-11-22T13:31:46.777673Z",
}
OBJECT = {
    "kind": "storage#object",
    "bucket": "inbox",
    "name": "day 1/reviews.jsonl",
    "generation": "1795354306777687",
    "size": "352",
}


def test_a_notice_becomes_the_cloudevent_that_eventarc_sends(
    pubsub_emulator: str, project: str
) -> None:
    with delivering(pubsub_emulator, project, lambda request: 200) as (drop, listener):
        drop(NOTICE)

        request = until(lambda: listener.requests)[0]

    event = from_http(request.headers, request.body)
    assert event["type"] == "google.cloud.storage.object.v1.finalized"
    assert event["source"] == "//storage.googleapis.com/projects/_/buckets/inbox"
    assert event["subject"] == "objects/day%201/reviews.jsonl"
    assert event["time"] == "2026-11-22T13:31:46.777673Z"
    assert event["bucket"] == "inbox"
    assert event.data == OBJECT
    assert request.headers["content-type"] == "application/json"


def test_an_event_that_is_not_answered_with_2xx_is_delivered_again(
    pubsub_emulator: str, project: str
) -> None:
    statuses = iter([500, 302, 204])

    with delivering(pubsub_emulator, project, lambda _: next(statuses)) as (
        drop,
        listener,
    ):
        drop(NOTICE)

        until(lambda: len(listener.requests) == 3)

    assert len({request.headers["ce-id"] for request in listener.requests}) == 1
    assert len({request.body for request in listener.requests}) == 1


def test_an_event_waits_for_a_function_that_is_not_there_yet(
    pubsub_emulator: str, project: str
) -> None:
    failures: list[str] = []
    port = free_port()

    with delivered_to(
        f"http://127.0.0.1:{port}", pubsub_emulator, project, failures.append
    ) as drop:
        drop(NOTICE)
        until(lambda: failures)
        with listening(lambda request: 200, port) as listener:
            until(lambda: listener.requests)

    assert "no answer (ConnectError" in failures[0]
    assert "for //storage.googleapis.com/projects/_/buckets/inbox" in failures[0]


def test_a_delivery_that_takes_long_holds_up_no_other(
    pubsub_emulator: str, project: str
) -> None:
    second = threading.Event()

    def answer(request: Request) -> int:
        if request.headers["ce-subject"] == "objects/second.jsonl":
            second.set()
        # The first is answered when the second has come.
        return 200 if second.wait(10) else 500

    with delivering(pubsub_emulator, project, answer) as (drop, listener):
        drop(NOTICE | {"objectId": "first.jsonl"})
        until(lambda: listener.requests)
        drop(NOTICE | {"objectId": "second.jsonl"})

        assert second.wait(10)


def test_a_notice_of_anything_but_a_new_object_is_not_delivered(
    pubsub_emulator: str, project: str
) -> None:
    with delivering(pubsub_emulator, project, lambda request: 200) as (drop, listener):
        drop(NOTICE | {"eventType": "OBJECT_DELETE"})
        drop(NOTICE | {"objectId": "new.jsonl"})

        until(lambda: listener.requests)

    assert [r.headers["ce-subject"] for r in listener.requests] == ["objects/new.jsonl"]


def test_a_message_becomes_the_cloudevent_that_eventarc_sends(
    pubsub_emulator: str, project: str
) -> None:
    topic = f"projects/{project}/topics/notices"
    subscription = f"projects/{project}/subscriptions/eventarc"

    with delivering(
        pubsub_emulator,
        project,
        lambda request: 200,
        as_event=message_published(topic, subscription),
    ) as (drop, listener):
        drop({})

        request = until(lambda: listener.requests)[0]

    event = from_http(request.headers, request.body)
    message = event.data["message"]
    assert event["type"] == "google.cloud.pubsub.topic.v1.messagePublished"
    assert event["source"] == f"//pubsub.googleapis.com/{topic}"
    assert event["id"] == message["messageId"] == message["message_id"]
    assert event["time"] == message["publishTime"]
    assert event["time"].endswith("Z")
    assert json.loads(base64.b64decode(message["data"])) == OBJECT
    assert event.data["subscription"] == subscription


def test_without_retries_an_event_comes_once_whatever_the_answer(
    pubsub_emulator: str, project: str
) -> None:
    failures: list[str] = []

    with delivering(
        pubsub_emulator, project, lambda _: 500, retries=False, log=failures.append
    ) as (drop, listener):
        drop(NOTICE)
        until(lambda: failures)
        drop(NOTICE | {"objectId": "second.jsonl"})
        until(lambda: len(failures) == 2)

    assert [r.headers["ce-subject"] for r in listener.requests] == [
        "objects/day%201/reviews.jsonl",
        "objects/second.jsonl",
    ]
    assert failures[0].endswith("not delivered again")


def test_one_at_a_time_means_that_the_second_waits_for_the_first(
    pubsub_emulator: str, project: str
) -> None:
    under_way, most = threading.Semaphore(1), []

    def answer(request: Request) -> int:
        most.append(under_way.acquire(blocking=False))
        # Long enough for the others to come, if they could.
        threading.Event().wait(0.05)
        under_way.release()
        return 200

    with delivering(pubsub_emulator, project, answer, parallel=1) as (drop, _):
        for n in range(4):
            drop(NOTICE | {"objectId": f"{n}.jsonl"})
        until(lambda: len(most) == 4)

    assert most == [True] * 4


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("plain-1.jsonl", "objects/plain-1.jsonl"),
        ("a b.jsonl", "objects/a%20b.jsonl"),
        ("50%.jsonl", "objects/50%25.jsonl"),
        ('"quoted".jsonl', "objects/%22quoted%22.jsonl"),
        ("über.jsonl", "objects/%C3%BCber.jsonl"),
        ("line\nbreak.jsonl", "objects/line%0Abreak.jsonl"),
    ],
)
def test_an_objects_name_fits_into_a_header(name: str, subject: str) -> None:
    headers = cloud_event_headers(NOTICE | {"objectId": name}, "1")

    assert headers["ce-subject"] == subject


Drop = Callable[[dict[str, str]], None]


@contextmanager
def delivering(
    pubsub: str,
    project: str,
    answer: Callable[[Request], int],
    log: Callable[[str], None] = lambda line: None,
    **how: Any,
) -> Iterator[tuple[Drop, Listener]]:
    """Yields what publishes a notice, and the server that events are delivered to."""
    with (
        listening(answer) as listener,
        delivered_to(listener.url, pubsub, project, log, **how) as drop,
    ):
        yield drop, listener


@contextmanager
def delivered_to(
    target: str,
    pubsub: str,
    project: str,
    log: Callable[[str], None],
    *,
    as_event: AsEvent = object_finalized,
    **how: Any,
) -> Iterator[Drop]:
    """`how`: what else `Eventarc` takes."""
    topic = f"projects/{project}/topics/notices"
    with (
        eventarc.publisher(pubsub) as publisher,
        eventarc.subscriber(pubsub) as subscriber,
    ):
        publisher.create_topic(name=topic)

        def drop(attributes: dict[str, str]) -> None:
            data = json.dumps(OBJECT).encode()
            publisher.publish(topic, data, **attributes).result(10)

        with Eventarc(
            subscriber,
            topic=topic,
            subscription=f"projects/{project}/subscriptions/eventarc",
            as_event=as_event,
            target=target,
            log=log,
            **how,
        ):
            yield drop
