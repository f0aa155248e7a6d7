"""The main job once, from the drop of a file to its answers, each step shown."""

import json
import os
import queue
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from google.cloud import firestore, storage
from google.cloud.pubsub_v1 import SubscriberClient
from google.cloud.pubsub_v1.subscriber.message import Message
from google.pubsub_v1.types import Subscription
from rich.console import Console

from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Batch, Drop, Location
from batchdrop.ledger import Ledger
from batchdrop_local import samples
from batchdrop_local.stack import Stack
from batchdrop_local.steps import Steps

ROWS = 1_000
#: A step that takes longer, in seconds, has failed.
PATIENCE = 45


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it; the object that `batchdrop demo --json` prints."""

    job_id: str
    state: str
    phase: str
    rows: dict[str, int]
    announcement: dict[str, str]
    output_directory: str
    answers: int  #: lines found there
    seconds: float  #: all steps together, the start of the stack included
    steps: dict[str, float]  #: seconds of each
    addresses: dict[str, str]


def run(directory: Path, console: Console) -> Outcome:
    """
    Start a stack, drop a file, follow it to its answers, end the stack.

    Raises:
        StackError: a step failed; it names the step, the reason and the log.
    """
    began = time.monotonic()
    with Steps(console) as steps, ExitStack() as undo:
        with steps.step("start the stack") as step:
            stack = undo.enter_context(Stack(directory))
            undo.enter_context(_exported(stack.env))
            looker = Looker(stack)
            undo.callback(looker.close)
            step.say(f"logs in {stack.log('on_upload').parent}")
        with steps.step(f"upload {ROWS:,} requests", stack.log("gcs")) as step:
            drop = looker.upload(b"".join(samples.requests(ROWS)))
            step.say(f"gs://{drop.bucket}/{drop.name}, {drop.size:,} bytes")
        with steps.step("deliver the event", stack.log("on_upload")) as step:
            job = looker.wait_for(drop.job_id, lambda job: True)
            step.say(f"job {job.id} is in Firestore")
        with steps.step("stage and submit", stack.log("on_upload")) as step:
            job = looker.wait_for(job.id, lambda job: job.batch is not None)
            step.say(" > ".join(moment.phase for moment in job.history))
            step.say(f"{job.rows.accepted:,} rows in {_batch(job).name}")
        with steps.step("follow the batch", stack.log("poll")) as step:
            job = looker.wait_for(job.id, lambda job: _batch(job).terminal, step.say)
        with steps.step("announce the end", stack.log("poll")) as step:
            announcement = looker.announcement(job.id)
            step.say(f"{announcement['ce-type']}, id {announcement['ce-id']}")
        with steps.step("read the answers", stack.log("batchsim")) as step:
            output = _batch(job).output_directory or ""
            answers = looker.answers(output)
            step.say(f"{len(answers):,} in {output}")
            for asked, answered in answers[:3]:
                step.say(f"{_short(asked)} -> {_short(answered)}")
    return Outcome(
        job_id=job.id,
        state=_batch(job).state,
        phase=job.phase,
        rows={"total": job.rows.total, "accepted": job.rows.accepted},
        announcement={
            "id": announcement["ce-id"],
            "type": announcement["ce-type"],
        },
        output_directory=output,
        answers=len(answers),
        seconds=round(time.monotonic() - began, 3),
        steps=steps.seconds,
        addresses=stack.addresses,
    )


class Looker:
    """What anyone outside sees of a stack: objects, the ledger, announcements."""

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

    def upload(self, rows: bytes) -> Drop:
        """Drop a file into the inbox."""
        blob = self._storage.bucket(self._inbox).blob("reviews-and-tickets.jsonl")
        blob.upload_from_string(rows, "application/jsonl", if_generation_match=0)
        return Drop(
            bucket=self._inbox,
            name=blob.name,
            generation=int(blob.generation),
            size=len(rows),
        )

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
                if job.phase is Phase.REJECTED:
                    raise RuntimeError(f"job {job_id} was rejected: {job.error}")
                if ready(job):
                    return job
            time.sleep(0.05)
        raise TimeoutError(f"job {job_id} is not that far after {PATIENCE} s")

    def announcement(self, job_id: str) -> dict[str, str]:
        """The attributes of the first message about a job."""
        while True:
            try:
                message = self._messages.get(timeout=PATIENCE)
            except queue.Empty:
                raise TimeoutError(f"no announcement after {PATIENCE} s") from None
            message.ack()
            if message.attributes.get("ce-subject") == job_id:
                return dict(message.attributes)

    def answers(self, directory: str) -> list[tuple[str, str]]:
        """Each row in a directory of results: what was asked, what was answered."""
        place = Location.parse(directory)
        found = []
        for blob in self._storage.list_blobs(place.bucket, prefix=place.prefix):
            if blob.name.endswith(".jsonl"):
                for line in blob.download_as_bytes().splitlines():
                    row = json.loads(line)
                    answer = row["response"]["candidates"][0]["content"]
                    found.append((_text(row["request"]["contents"][0]), _text(answer)))
        return found


@contextmanager
def _exported(env: Mapping[str, str]) -> Iterator[None]:
    """Let Google's clients in this process find the stack."""
    before = dict(os.environ)
    os.environ.update(env)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _batch(job: Job) -> Batch:
    assert job.batch is not None
    return job.batch


def _text(content: Mapping[str, list[dict[str, str]]]) -> str:
    return content["parts"][0]["text"]


def _short(text: str) -> str:
    """The last line, which is what differs from row to row, cut short."""
    line = text.splitlines()[-1]
    return line if len(line) <= 32 else f"{line[:31]}…"
