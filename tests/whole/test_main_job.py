"""The main job on the whole stack: main.py in its own processes, settings alone."""

import json
import os
import signal
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.cloud import firestore, pubsub_v1, storage

from batchdrop.jobs.values import Drop, Location
from batchdrop_local.stack import Stack
from tests.waiting import until

#: How these tests pull; the streaming way has threads to wait for.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The return_immediately flag is deprecated"
)

ROW = '{"contents":[{"role":"user","parts":[{"text":"row %d"}]}]}\n'


@dataclass
class Deployment:
    """The stack as its users see it: buckets, documents, messages."""

    stack: Stack
    gcs: storage.Client
    database: firestore.Client
    subscriber: pubsub_v1.SubscriberClient
    subscription: str
    messages: list[Any] = field(default_factory=list)

    def drop(self, rows: int | str, name: str | None = None) -> Drop:
        """Uploads a file of that many rows, or of that text, to the inbox."""
        text = rows if isinstance(rows, str) else "".join(ROW % n for n in range(rows))
        bucket = self.gcs.bucket(self.stack.buckets["inbox"])
        blob = bucket.blob(name or f"{uuid.uuid4().hex}.jsonl")
        blob.upload_from_string(text)
        return Drop(
            bucket=bucket.name,
            name=blob.name,
            generation=int(blob.generation),
            size=int(blob.size),
        )

    def job(self, drop: Drop) -> dict[str, Any] | None:
        """The job's document as it is now; None if there is none."""
        snapshot = self.database.collection("jobs").document(drop.job_id).get()
        found: dict[str, Any] | None = snapshot.to_dict()
        return found

    def at(self, drop: Drop, *phases: str) -> dict[str, Any] | None:
        """The job's document if it is in one of these phases, else None."""
        job = self.job(drop)
        return job if job and job["phase"] in phases else None

    def batches(self, drop: Drop) -> list[dict[str, Any]]:
        """What the service ever made of a drop."""
        jobs = httpx.get(f"{self.stack.addresses['batchsim']}/_sim/jobs").json()["jobs"]
        return [job for job in jobs if job["displayName"] == drop.name]

    def announced(self, drop: Drop) -> list[Any]:
        """The messages about a drop that have come so far."""
        pulled = self.subscriber.pull(
            subscription=self.subscription, max_messages=100, return_immediately=True
        ).received_messages
        if pulled:
            self.subscriber.acknowledge(
                subscription=self.subscription, ack_ids=[m.ack_id for m in pulled]
            )
        self.messages += [one.message for one in pulled]
        return [
            message
            for message in self.messages
            if message.attributes["job_id"] == drop.job_id
        ]

    def ends(self, drop: Drop) -> list[Any]:
        """The same without those of results, which are written after the end."""
        messages = self.announced(drop)
        return [one for one in messages if one.attributes["event"] != "results"]

    def answers(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        """The lines that the API wrote for a job's batch, from all its objects."""
        place = Location.parse(job["batch"]["output_directory"])
        return [
            json.loads(line)
            for blob in self.gcs.list_blobs(place.bucket, prefix=place.prefix)
            for line in blob.download_as_text().splitlines()
        ]


@pytest.fixture
def deployment(stack: Stack) -> Iterator[Deployment]:
    """The shared stack, with a subscription of this test's own."""
    with pubsub_v1.SubscriberClient() as subscriber:
        name = f"projects/{stack.project}/subscriptions/test-{uuid.uuid4().hex[:8]}"
        subscriber.create_subscription(name=name, topic=stack.topic)
        gcs = storage.Client()
        database = firestore.Client()
        yield Deployment(stack, gcs, database, subscriber, name)
        database.close()
        gcs.close()


def lines_with(text: str, log: Path) -> list[str]:
    """The lines of a log that contain the text."""
    return [line for line in log.read_text().splitlines() if text in line]


def test_a_dropped_file_ends_in_answers_and_an_announcement(
    deployment: Deployment,
) -> None:
    drop = deployment.drop(25)

    job = until(lambda: deployment.at(drop, "ended"))
    (message,) = until(lambda: deployment.ends(drop))

    assert job["batch"]["state"] == "JOB_STATE_SUCCEEDED"
    assert [moment["phase"] for moment in job["history"]][:4] == [
        "arrived",
        "prepared",
        "submitting",
        "submitted",
    ]
    keys = sorted(answer["key"] for answer in deployment.answers(job))
    assert keys == [f"r{n:07}" for n in range(1, 26)]
    assert message.attributes["ce-type"] == "dev.batchdrop.job.succeeded.v1"
    assert message.ordering_key == drop.job_id
    body = json.loads(message.data)
    assert body["output_directory"] == job["batch"]["output_directory"]


def test_the_same_event_twenty_times_at_once_makes_one_batch(
    deployment: Deployment,
) -> None:
    drop = deployment.drop(200)
    event = {
        "ce-specversion": "1.0",
        "ce-type": "google.cloud.storage.object.v1.finalized",
        "ce-source": f"//storage.googleapis.com/projects/_/buckets/{drop.bucket}",
        "ce-subject": f"objects/{drop.name}",
        "ce-time": "2026-03-01T12:00:00Z",
        "content-type": "application/json",
    }
    data = {
        "bucket": drop.bucket,
        "name": drop.name,
        "generation": str(drop.generation),
        "size": str(drop.size),
    }

    def deliver(n: int) -> int:
        url = deployment.stack.addresses["on_upload"]
        headers = event | {"ce-id": str(n)}
        return httpx.post(url, json=data, headers=headers, timeout=30).status_code

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(deliver, range(20)))
    until(lambda: deployment.at(drop, "ended"))
    until(lambda: deployment.ends(drop))

    assert answers == [200] * 20
    assert len(deployment.batches(drop)) == 1
    assert len(deployment.ends(drop)) == 1


def test_a_bad_file_is_rejected_by_line_and_announced_and_costs_nothing(
    deployment: Deployment,
) -> None:
    drop = deployment.drop(ROW % 1 + "{not json\n" + ROW % 3)

    job = until(lambda: deployment.at(drop, "rejected"))
    (message,) = until(lambda: deployment.ends(drop))

    assert job["error"]["code"] == "bad_rows"
    assert [fault["line"] for fault in job["row_errors"]] == [2]
    assert message.attributes["ce-type"] == "dev.batchdrop.job.rejected.v1"
    assert "line 2" in json.loads(message.data)["error"]["message"]
    assert deployment.batches(drop) == []


def test_a_killed_on_upload_still_ends_with_one_batch_and_one_answer_set(
    deployment: Deployment,
) -> None:
    rows = 20_000  # so many that staging them takes a while
    drop = deployment.drop(rows)
    until(lambda: deployment.at(drop, "arrived"))

    for pid in deployment.stack.pids["on_upload"]:
        os.kill(pid, signal.SIGKILL)
    killed_at = deployment.job(drop)
    job = until(lambda: deployment.at(drop, "ended"))
    until(lambda: deployment.ends(drop))

    assert killed_at is not None
    assert killed_at["phase"] == "arrived"
    assert job["lease"]["epoch"] > 1
    (batch,) = deployment.batches(drop)
    assert job["batch"]["name"] == batch["name"]
    answers = deployment.answers(job)
    assert len(answers) == rows
    assert len({answer["key"] for answer in answers}) == rows
    assert len(deployment.ends(drop)) == 1


def test_a_file_dropped_while_the_service_is_down_is_submitted_later(
    deployment: Deployment,
) -> None:
    deployment.stack.stop("batchsim")
    drop = deployment.drop(3)
    until(lambda: deployment.at(drop, "waiting"))

    deployment.stack.start("batchsim")
    job = until(lambda: deployment.at(drop, "ended"))

    assert len(deployment.answers(job)) == 3
    assert len(deployment.batches(drop)) == 1


@pytest.mark.parametrize("name", ["notes.txt", "reviews.csv"])
def test_a_file_of_another_kind_leaves_a_log_line_and_nothing_else(
    deployment: Deployment, name: str
) -> None:
    drop = deployment.drop(1, name)

    log = deployment.stack.log("on_upload")
    line = json.loads(until(lambda: lines_with(str(drop), log))[0])

    assert (line["severity"], line["message"]) == ("INFO", "object ignored")
    assert line["logging.googleapis.com/trace"].startswith(
        f"projects/{deployment.stack.project}/traces/"
    )
    assert deployment.job(drop) is None
