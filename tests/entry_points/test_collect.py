"""`collect`, called as Eventarc and as Pub/Sub itself call it."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client

from batchdrop.jobs.wakeup import body
from tests.entry_points.app import Worker, client_of

EVENT = json.loads((Path(__file__).parents[1] / "events/published.json").read_text())
JOB = "a2" * 13


@pytest.fixture
def collect(worker: Worker) -> Client:
    return client_of("collect")


def pushed(data: Any) -> dict[str, Any]:
    """A push body whose message has this data."""
    if isinstance(data, bytes):
        data = base64.b64encode(data).decode()
    push: dict[str, Any] = EVENT["data"]
    return push | {"message": push["message"] | {"data": data}}


def deliver(
    entry_point: Client, data: Any = None, headers: dict[str, str] | None = None
) -> int:
    sent = EVENT["data"] if data is None else data
    body = sent if isinstance(sent, bytes) else json.dumps(sent)
    answer = entry_point.post(
        "/", headers=EVENT["headers"] | (headers or {}), data=body
    )
    return answer.status_code


def test_a_message_has_its_job_collected(collect: Client, worker: Worker) -> None:
    assert deliver(collect) == 200

    assert worker.collected == [JOB]


def test_what_poll_publishes_is_what_collect_reads(
    collect: Client, worker: Worker
) -> None:
    assert deliver(collect, pushed(body(JOB))) == 200

    assert worker.collected == [JOB]


def test_a_push_of_pubsub_itself_has_its_job_collected(
    collect: Client, worker: Worker
) -> None:
    answer = collect.post("/", json=EVENT["data"])

    assert answer.status_code == 200
    assert worker.collected == [JOB]


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        (b"{broken", {}),
        (b"", {}),
        (b"[]", {}),
        (b"[" * 100_000, {}),
        ({}, {}),
        ({"message": None}, {}),
        ({"message": []}, {}),
        ({"message": {}}, {}),
        (pushed(None), {}),
        (pushed(7), {}),
        (pushed(""), {}),
        (pushed("not Base64!"), {}),
        (pushed("\u00e9"), {}),
        (pushed(b"\xff\xfe"), {}),
        (pushed(b"[]"), {}),
        (pushed(b"{}"), {}),
        (pushed(b"[" * 500), {}),
        (pushed(b'{"job_id":null}'), {}),
        (pushed(b'{"job_id":[]}'), {}),
        (pushed(b'{"job_id":""}'), {}),
        (pushed(b'{"job_id":"../../locks/tick"}'), {}),
        (pushed(b'{"job_id":"' + b"A" * 26 + b'"}'), {}),
        (pushed(b'{"job_id":"' + b"a" * 27 + b'"}'), {}),
        (pushed(b'{"job_id":"' + b"a" * 5_000_000 + b'"}'), {}),
        (None, {"ce-type": "google.cloud.storage.object.v1.finalized"}),
        (b"{", {"content-type": "application/cloudevents+json"}),
        (b"[1]", {"content-type": "application/cloudevents+json"}),
    ],
)
def test_what_names_no_job_is_acknowledged_with_an_error_in_the_log(
    collect: Client,
    worker: Worker,
    capsys: pytest.CaptureFixture[str],
    data: Any,
    headers: dict[str, str],
) -> None:
    assert deliver(collect, data, headers) == 200

    assert worker.collected == []
    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert line["severity"] == "ERROR"
    assert line["message"] == "message is not a wake-up"
    assert line["event_id"] == "2070443601311540"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{broken",
        b'"text"',
        b'{"message": {"data": 7, "messageId": 7}, "subscription": 7}',
        b'{"message": 7, "subscription": 7}',
        b'{"context": {}, "data": {}}',
        b'{"context": {"eventType": "google.storage.object.finalize"}, "data": {}}',
    ],
)
@pytest.mark.parametrize("type", ["application/json", "text/plain"])
def test_what_is_no_push_either_is_acknowledged(
    collect: Client, worker: Worker, body: bytes, type: str
) -> None:
    answer = collect.post("/", data=body, headers={"content-type": type})

    assert answer.status_code == 200
    assert worker.collected == []


def test_a_message_that_cannot_be_read_is_not_quoted(
    collect: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    for data in (b"zqword", b'{"zqword":1}', b'{"job_id":"zqword"}'):
        assert deliver(collect, pushed(data), {"ce-subject": "zqword"}) == 200

    out, err = capsys.readouterr()
    assert out.count('"message": "message is not a wake-up"') == 3
    assert "zqword" not in out + err
