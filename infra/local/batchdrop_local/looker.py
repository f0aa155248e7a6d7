"""What anyone outside sees of a stack: objects, the ledger, announcements, batches."""

import json
import os
import queue
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
from google.cloud import firestore, storage
from google.cloud.pubsub_v1 import SubscriberClient
from google.cloud.pubsub_v1.subscriber.message import Message
from google.pubsub_v1.types import Subscription

from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Drop
from batchdrop.ledger import Ledger
from batchdrop.stored import split_uri
from batchdrop_local.eventarc import cloud_event_headers
from batchdrop_local.stack import Stack

#: The type of the announcement that the results are there.
RESULTS_READY = "dev.batchdrop.results.ready.v1"
#: What takes longer, in seconds, has failed.
PATIENCE = 45


class Looker:
    """Drops files into a running stack and sees what becomes of them."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._inbox = stack.buckets["inbox"]
        self._storage = storage.Client()
        self._ledger = Ledger(firestore.Client, event_source="demo")
        self._messages: queue.Queue[Message] = queue.Queue()
        self._subscriber = SubscriberClient()
        name = f"projects/{stack.project}/subscriptions/demo"
        self._subscriber.create_subscription(
            Subscription(name=name, topic=stack.topic, enable_message_ordering=True)
        )
        self._pull = self._subscriber.subscribe(name, self._messages.put)

    def close(self) -> None:
        self._pull.cancel()
        self._pull.result()
        self._subscriber.close()

    def inject(self, faults: Iterable[Mapping[str, Any]]) -> None:
        """Have batchsim do what the faults say, from now on."""
        url = f"{self._stack.addresses['batchsim']}/_sim/faults"
        httpx.post(url, json=list(faults), trust_env=False).raise_for_status()

    def upload(self, rows: bytes, name: str) -> Drop:
        """Drop a file into the inbox."""
        blob = self._storage.bucket(self._inbox).blob(name)
        blob.upload_from_string(rows, "application/jsonl", if_generation_match=0)
        return Drop(
            bucket=self._inbox,
            name=blob.name,
            generation=int(blob.generation),
            size=len(rows),
        )

    def deliver(self, drop: Drop) -> None:
        """Deliver the event of a drop to `on_upload`, beside what Eventarc does."""
        gcs, on_upload = (self._stack.addresses[name] for name in ("gcs", "on_upload"))
        with httpx.Client(timeout=PATIENCE, trust_env=False) as http:
            found = http.get(f"{gcs}/storage/v1/b/{drop.bucket}/o/{drop.name}")
            data = found.raise_for_status().json()
            about = {
                "bucketId": drop.bucket,
                "objectId": drop.name,
                "eventTime": data["timeCreated"],
            }
            headers = cloud_event_headers(about, "delivered-by-the-demo")
            http.post(on_upload, json=data, headers=headers).raise_for_status()

    def duplicates(self, job_id: str) -> int:
        """How many events of a job's drop were ignored, by the log of `on_upload`."""
        lines = self._stack.log("on_upload").read_text(errors="replace").splitlines()
        said = (json.loads(line) for line in lines if '"drop.duplicate"' in line)
        return sum(entry.get("job") == job_id for entry in said)

    def hurry(self) -> None:
        """Batches that are made from now on take a second."""
        url = f"{self._stack.addresses['batchsim']}/_sim/settings"
        seconds = {"queue_seconds": 0.5, "run_seconds": 0.5}
        httpx.post(url, json=seconds, trust_env=False).raise_for_status()

    def batches(self) -> int:
        """How many batches the API has ever made."""
        url = f"{self._stack.addresses['batchsim']}/_sim/jobs"
        answer = httpx.get(url, trust_env=False).raise_for_status()
        return len(answer.json()["jobs"])

    def wait_until(self, there: Callable[[], bool], what: str) -> None:
        """Wait until something is there."""
        deadline = time.monotonic() + PATIENCE
        while not there():
            self._stack.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not there after {PATIENCE} s")
            time.sleep(0.1)

    def wait_for(
        self,
        job_id: str,
        ready: Callable[[Job], bool],
        seen: Callable[[str], None] = lambda state: None,
    ) -> Job:
        """The job once it is `ready`; `seen` gets each state of its batch."""
        last = None
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self._stack.check()
            job = self._ledger.get(job_id)
            if job is not None:
                if job.batch is not None and job.batch.state != last:
                    last = job.batch.state
                    seen(last)
                if ready(job):
                    return job
                if job.phase is Phase.REJECTED:
                    raise RuntimeError(f"job {job_id} was rejected: {job.error}")
            time.sleep(0.1)
        raise TimeoutError(f"job {job_id} is not that far after {PATIENCE} s")

    def announcement(self, job_id: str, type: str | None = None) -> dict[str, str]:
        """The attributes of the next message about a job, if need be of a type."""
        while True:
            try:
                message = self._messages.get(timeout=PATIENCE)
            except queue.Empty:
                raise TimeoutError(f"no announcement after {PATIENCE} s") from None
            message.ack()
            if message.attributes.get("ce-subject") == job_id and (
                type is None or message.attributes["ce-type"] == type
            ):
                return dict(message.attributes)

    def names(self, uri: str) -> list[str]:
        """The addresses of the objects under a gs:// prefix."""
        bucket, prefix = split_uri(uri)
        found = self._storage.list_blobs(bucket, prefix=prefix)
        return [f"gs://{bucket}/{blob.name}" for blob in found]

    def read(self, uri: str) -> bytes:
        """The content of an object."""
        bucket, name = split_uri(uri)
        content: bytes = self._storage.bucket(bucket).blob(name).download_as_bytes()
        return content


@contextmanager
def exported(env: Mapping[str, str]) -> Iterator[None]:
    """Let Google's clients in this process find the stack."""
    before = dict(os.environ)
    os.environ.update(env)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
