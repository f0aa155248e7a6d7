"""The stack as its users see it: buckets, documents, messages."""

import json
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
import pytest
from google.cloud import firestore, pubsub_v1, storage

from batchdrop.jobs.values import Drop, Location
from batchdrop_local.stack import Stack

ROW = '{"contents":[{"role":"user","parts":[{"text":"row %d"}]}]}\n'


@dataclass
class Deployment:
    """A stack, and clients of it. Make one by `looking_at`."""

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


D = TypeVar("D", bound=Deployment)


@contextmanager
def looking_at(stack: Stack, subscription: str, kind: type[D]) -> Iterator[D]:
    """
    A deployment, with a subscription of its own to all announcements. Google's clients
    find the stack by the environment.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stack.env.items():
            patch.setenv(name, value)
        with (
            pubsub_v1.SubscriberClient() as subscriber,
            closing(storage.Client()) as gcs,
            closing(firestore.Client()) as database,
        ):
            name = f"projects/{stack.project}/subscriptions/{subscription}"
            subscriber.create_subscription(name=name, topic=stack.topic)
            yield kind(stack, gcs, database, subscriber, name)
