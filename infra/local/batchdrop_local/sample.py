"""
Files that show what batchdrop does: `batchdrop local up --sample` drops them, and some
more while the stack is up. Their rows are made up.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

import httpx
from google.cloud import storage

from batchdrop import wiring
from batchdrop.jobs.values import Drop
from batchdrop_local import samples
from batchdrop_local.looker import exported
from batchdrop_local.processes import StackError
from batchdrop_local.stack import Stack

#: Seconds from one file to the next, once the first ones are dropped.
EVERY = 15.0
#: No more files than this are dropped, however long the stack is up.
MOST = 200
#: How long batches take in which nothing is wrong, so that some are always open.
QUEUE_SECONDS, RUN_SECONDS = 4.0, 12.0

#: One queue a model: a file of `slow/` waits for the one before it, and for no other.
ROUTES = """\
[[route]]
match = "nightly/**"
name = "nightly"
labels = {team = "support", env = "prod"}

[[route]]
match = "translations/**"
name = "translations"
model = "gemini-4-argon"
labels = {team = "shop"}
max_cost_per_day = 2

[[route]]
match = "archive/**"
name = "archive"
model = "gemini-3.5-flash-lite"
labels = {team = "research"}
part_rows = 150

[[route]]
match = "slow/**"
name = "slow"
model = "gemini-3.1-pro-preview"
labels = {team = "research", env = "test"}
max_active = 1
stalled_after = {RUNNING = 20}
"""
SETTINGS = {
    "BATCHDROP_MAX_COST_PER_DAY": "10",
    # Many batches begin at once, and batchsim may be late to show that one runs.
    "BATCHDROP_LIST_LAG": "4",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file to drop."""

    name: str
    rows: int
    bad: int = 0  #: lines that no API takes, among the others
    cancelled: bool = False  #: somebody cancels its job once it runs

    def content(self) -> bytes:
        """Its lines; the same for the same name."""
        lines = list(samples.reviews(self.rows, seed=len(self.name) + self.rows))
        for n in range(self.bad):
            lines[7 * n + 2] = samples.bad_line() + b"\n"
        return b"".join(lines)


#: What is dropped first, in this order.
FILES = (
    File(name="slow/yearly-report.jsonl", rows=40),
    File(name="archive/reviews-2026.jsonl", rows=1_000),
    File(name="nightly/reviews-01.jsonl", rows=300),
    File(name="translations/catalogue.jsonl", rows=120),
    File(name="imports/shop-export.jsonl", rows=60, bad=3),
    File(name="drafts/wrong-region.jsonl", rows=25),
    File(name="support/tickets.jsonl", rows=150),
    File(name="slow/quarterly-report.jsonl", rows=30),
    File(name="drafts/first-try.jsonl", rows=80, cancelled=True),
)
BUSY = {"fault": "row_failed", "code": 429} | {
    "message": "Resource exhausted. Please try again later."
}
INVALID = {"fault": "row_failed", "code": 400} | {
    "message": "Request contains an invalid argument."
}
#: What goes wrong with them, as batchsim takes it.
FAULTS: tuple[Mapping[str, Any], ...] = (
    # Whichever comes first.
    {"fault": "stuck_running", "match": {"display_name": "slow/*"}, "count": 1}
    | {"for_ever": True},
    {"fault": "failed", "match": {"display_name": "drafts/wrong-region*"}, "code": 9}
    | {"message": "The model is not available in this region."},
    *(
        {"match": {"display_name": name, "row_text": text}, "count": count} | fault
        for name, text, count, fault in (
            ("nightly/*", "is much louder", 9, BUSY),
            ("nightly/*", "smells of glue", 2, {"fault": "row_blocked"}),
            ("archive/*", "is much louder", 4, BUSY),
            ("archive/*", "smells of glue", 6, {"fault": "row_max_tokens"}),
            ("support/*", "is much louder", 7, INVALID),
            ("support/*", "smells of glue", 4, {"fault": "row_blocked"}),
            ("support/*", "came with a deep scratch", 3, {"fault": "row_max_tokens"}),
            ("support/*", "stopped working", 2, {"fault": "row_empty"}),
        )
    ),
)


def later() -> Iterator[File]:
    """What is dropped afterwards, one by one, without an end."""
    for n in count(2):
        folder = ("nightly/reviews", "translations/catalogue", "support/tickets")[n % 3]
        bad = 1 if n % 10 == 0 else 0
        yield File(name=f"{folder}-{n:02}.jsonl", rows=20 + 37 * n % 160, bad=bad)


def settings(folder: Path) -> dict[str, str]:
    """The functions' environment for the sample; its routes are put into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    routes = folder / "routes.toml"
    routes.write_text(ROUTES)
    return SETTINGS | {"BATCHDROP_ROUTES": str(routes)}


@contextmanager
def dropping(stack: Stack, say: Callable[[str], None]) -> Iterator[None]:
    """
    Meanwhile, files are dropped into a stack that has `settings`.

    Args:
        say: gets a line when the last one is dropped, or if one can't be.
    """
    ended = threading.Event()

    def drop_all() -> None:
        try:
            _drop_all(stack, ended, say)
        except Exception as exc:
            # The stack is of use without them; and where it ends, so do its services.
            if not ended.is_set():
                say(f"sample: no more files are dropped: {type(exc).__name__}: {exc}")

    with exported(stack.env):
        thread = threading.Thread(target=drop_all, name="sample", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(5)


def _drop_all(stack: Stack, ended: threading.Event, say: Callable[[str], None]) -> None:
    url = f"{stack.addresses['batchsim']}/_sim/faults"
    httpx.post(url, json=list(FAULTS), trust_env=False).raise_for_status()
    bucket = storage.Client().bucket(stack.buckets["inbox"])
    say(f"sample: a file every {EVERY:g} seconds, at most {MOST} in all")
    for file in FILES:
        drop = _drop(bucket, file)
        if file.cancelled:
            _cancel(drop, ended)
    for file in islice(later(), MOST - len(FILES)):
        if ended.wait(EVERY):
            return
        _drop(bucket, file)
    say(f"sample: all {MOST} files are dropped")


def _drop(bucket: Any, file: File) -> Drop:
    content = file.content()
    blob = bucket.blob(file.name)
    blob.upload_from_string(content, "application/jsonl")
    return Drop(
        bucket=bucket.name,
        name=file.name,
        generation=int(blob.generation),
        size=len(content),
    )


def _cancel(drop: Drop, ended: threading.Event) -> None:
    """Cancels a job once its batch runs."""
    ledger, worker = wiring.ledger(), wiring.worker()
    while not ended.wait(0.2):
        job = ledger.get(drop.job_id)
        if job is not None and job.batch and job.batch.state == "JOB_STATE_RUNNING":
            worker.commands.cancel(job.id, by="ada")
            return
        if job is not None and job.is_over:
            raise StackError("cancel a job of the sample", f"it is {job.phase}")
