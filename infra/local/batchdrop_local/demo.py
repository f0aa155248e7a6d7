"""The main job once, from the drop of a file to its results, each step shown."""

import json
import os
import queue
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from google.cloud import firestore, storage
from google.cloud.pubsub_v1 import SubscriberClient
from google.cloud.pubsub_v1.subscriber.message import Message
from google.pubsub_v1.types import Subscription
from rich.console import Console

from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Batch, Drop, Location
from batchdrop.ledger import Ledger
from batchdrop.rows import RowOutcome
from batchdrop.stored import split_uri
from batchdrop_local import samples
from batchdrop_local.stack import Stack
from batchdrop_local.steps import Steps

ROWS = 1_000
#: What goes wrong on purpose, as batchsim takes it: some rows, chosen by their text, so
#: that each run has the same ones.
FAULTS = (
    {
        "fault": "row_failed",
        "code": 503,
        "message": "The model is overloaded.",
        "match": {"row_text": "smells of glue"},
        "count": 14,
    },
    {"fault": "row_blocked", "match": {"row_text": "wrong colour"}, "count": 6},
    {"fault": "row_unanswered", "match": {"row_text": "Via Roma"}, "count": 6},
)
#: In the order in which the count line names them.
OUTCOMES = (
    *(RowOutcome.OK, RowOutcome.TRUNCATED, RowOutcome.FAILED, RowOutcome.BLOCKED),
    *(RowOutcome.MALFORMED, RowOutcome.EMPTY, RowOutcome.UNCLEAR),
    *(RowOutcome.MISSING, RowOutcome.REFUSED),
)
#: The type of the announcement that the results are there.
RESULTS_READY = "dev.batchdrop.results.ready.v1"
#: A step that takes longer, in seconds, has failed.
PATIENCE = 45


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it; the object that `batchdrop demo --json` prints."""

    job_id: str
    state: str
    phase: str
    rows: dict[str, int]  #: how many there are, and how many have which outcome
    announcement: dict[str, str]  #: of the batch's end
    output_directory: str
    answers: int  #: lines found there
    results: dict[str, str | int]  #: the object with a result for each row
    seconds: float  #: all steps together, the start of the stack included
    steps: dict[str, float]  #: seconds of each
    addresses: dict[str, str]

    @property
    def summary(self) -> str:
        """The counts in one line, such as `1,000 rows: 998 ok, 2 failed`."""
        found = (f"{self.rows[one]:,} {one}" for one in OUTCOMES if self.rows.get(one))
        return f"{self.rows['total']:,} rows: {', '.join(found)}"


def run(directory: Path, console: Console) -> Outcome:
    """
    Start a stack, drop a file, follow it to its results, end the stack.

    Raises:
        StackError: a step failed; it names the step, the reason and the log.
    """
    began = time.monotonic()
    with Steps(console) as steps, ExitStack() as undo:
        with steps.step("start the stack") as step:
            stack = undo.enter_context(Stack(directory))
            undo.enter_context(exported(stack.env))
            looker = Looker(stack)
            undo.callback(looker.close)
            step.say(f"logs in {stack.log('on_upload').parent}")
            looker.inject(FAULTS)
            step.say("some rows will fail, on purpose")
        with steps.step(f"upload {ROWS:,} requests", stack.log("gcs")) as step:
            drop = looker.upload(b"".join(samples.requests(ROWS)))
            step.say(f"gs://{drop.bucket}/{drop.name}")
        with steps.step("deliver the event", stack.log("on_upload")) as step:
            job = looker.wait_for(drop.job_id, lambda job: True)
            step.say(f"job {job.id}")
        with steps.step("stage and submit", stack.log("on_upload")) as step:
            job = looker.wait_for(job.id, lambda job: job.batch is not None)
            step.say(" > ".join(moment.phase for moment in job.history))
            number = _batch(job).name.rpartition("/")[2]
            step.say(f"{job.rows.accepted:,} rows in batch {number}")
        with steps.step("follow the batch", stack.log("poll")) as step:
            job = looker.wait_for(job.id, lambda job: _batch(job).terminal, step.say)
        with steps.step("announce the end", stack.log("poll")) as step:
            announcement = looker.announcement(job.id)
            step.say(announcement["ce-type"])
        with steps.step("collect the answers", stack.log("collect")) as step:
            step.say(looker.announcement(job.id, RESULTS_READY)["ce-type"])
            job = looker.wait_for(job.id, lambda job: job.results is not None)
            assert job.results is not None
            step.say(job.results.uri)
        with steps.step("read the results", stack.log("gcs")) as step:
            output = _batch(job).output_directory or ""
            answers = looker.answers(output)
            for line in _picked(looker.results(job.results.uri, drop)):
                step.say(line)
    outcome = Outcome(
        job_id=job.id,
        state=_batch(job).state,
        phase=job.phase,
        rows={
            "total": job.rows.total,
            "accepted": job.rows.accepted,
            "refused": job.rows.refused,
            **{str(each): count for each, count in job.rows.outcomes.items()},
        },
        announcement={
            "id": announcement["ce-id"],
            "type": announcement["ce-type"],
        },
        output_directory=output,
        answers=answers,
        results={"uri": job.results.uri, "bytes": job.results.bytes},
        seconds=round(time.monotonic() - began, 3),
        steps=steps.seconds,
        addresses=stack.addresses,
    )
    console.out(outcome.summary, highlight=False)
    return outcome


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

    def inject(self, faults: Iterable[Mapping[str, Any]]) -> None:
        """Have batchsim do what the faults say, from now on."""
        url = f"{self._stack.addresses['batchsim']}/_sim/faults"
        httpx.post(url, json=list(faults), trust_env=False).raise_for_status()

    def upload(self, rows: bytes, name: str = "reviews-and-tickets.jsonl") -> Drop:
        """Drop a file into the inbox."""
        blob = self._storage.bucket(self._inbox).blob(name)
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

    def answers(self, directory: str) -> int:
        """How many lines the API wrote into a directory."""
        place = Location.parse(directory)
        return sum(
            len(blob.download_as_bytes().splitlines())
            for blob in self._storage.list_blobs(place.bucket, prefix=place.prefix)
            if blob.name.endswith(".jsonl")
        )

    def results(self, uri: str, drop: Drop) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each line of a dropped file: what it asks, and its result."""
        questions = self._lines(f"gs://{drop.bucket}/{drop.name}")
        for result in map(json.loads, self._lines(uri)):
            asked = json.loads(questions[result["line"] - 1])
            yield asked["contents"][0]["parts"][0]["text"], result

    def _lines(self, uri: str) -> list[bytes]:
        bucket, name = split_uri(uri)
        content: bytes = self._storage.bucket(bucket).blob(name).download_as_bytes()
        return content.splitlines()


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


def _batch(job: Job) -> Batch:
    assert job.batch is not None
    return job.batch


def _picked(results: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    """A line about the first result of each outcome, and about the first two."""
    seen = Counter[str]()
    for question, result in results:
        outcome = result["outcome"]
        seen[outcome] += 1
        if seen[outcome] == 1 or seen.total() <= 2:
            said = result.get("text") or (result.get("error") or {}).get("message")
            said = f": {_short(said)}" if said else ""
            yield f"{_short(question)} -> {outcome}{said}"


def _short(text: str) -> str:
    """The last line, which is what differs from row to row, cut short."""
    line = text.splitlines()[-1]
    return line if len(line) <= 15 else f"{line[:14]}…"
