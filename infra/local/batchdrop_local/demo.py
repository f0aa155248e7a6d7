"""The main job once, from the drop of a file to its results, each step shown."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from batchdrop.failpoints import FAILPOINTS
from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Batch
from batchdrop.rows import counted
from batchdrop_local import samples
from batchdrop_local.looker import RESULTS_READY, Looker, exported
from batchdrop_local.processes import Show
from batchdrop_local.stack import Stack
from batchdrop_local.steps import Steps

ROWS = 1_000
#: What goes wrong on purpose, as batchsim takes it: some rows, chosen by their text, so
#: that each run has the same ones.
FAULTS = (
    {
        "fault": "row_failed",
        "code": 429,
        "message": "Resource exhausted. Please try again later.",
        "match": {"row_text": "came in the wrong colour"},
        "count": 4,
    },
    {"fault": "row_blocked", "match": {"row_text": "smells of glue"}, "count": 1},
)
#: Where the worker of the good file is killed: the batch is created but not recorded.
KILLED_AT = "after_create"
#: A killed worker's job is taken up after all three together: it is worth a wait, and
#: no long one. See `environment`.
SETTINGS = {
    "BATCHDROP_LEASE": "2.5",
    "BATCHDROP_CREATE_TIMEOUT": "1.5",
    "BATCHDROP_LIST_LAG": "0.5",
}
#: Columns of a terminal that a review is shown in.
REVIEW = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it; the object that `batchdrop demo --json` prints."""

    job_id: str
    state: str
    phase: str
    rows: dict[str, int]  #: how many there are, and how many have which outcome
    failures: list[dict[str, Any]]  #: kinds of errors of rows, and how many have each
    batches: int  #: that the API has made at first, of both files and all deliveries
    healed: int  #: rows that failed at first, and not when they were sent again
    duplicates: int  #: events of the good file that were ignored
    rejected: dict[str, str]  #: the bad file's job, and why
    announcement: dict[str, str]  #: of the batch's end
    output_directory: str
    answers: int  #: lines found there
    results: dict[str, str | int]  #: the object with a result for each row
    cost: dict[str, Any] | None  #: what it would have cost
    seconds: float  #: all steps together, the start of the stack included
    steps: dict[str, float]  #: seconds of each
    addresses: dict[str, str]


#: Called once all is shown, while the stack is still up.
After = Callable[[Stack, Outcome], None]


def run(
    directory: Path,
    console: Console,
    after: After,
    show: Show | None = None,
    pages: bool = False,
) -> None:
    """
    Start a stack, drop a good file and a bad one, follow them, end the stack. Both the
    good file and its results stay in `DIRECTORY/.batchdrop/demo`.

    Args:
        directory: where the stack is.
        console: shows the steps and what came of them.
        after: gets the stack and the outcome before the stack ends.
        show: takes each line of the stack's logs as it is written.
        pages: whether the stack has them, for whoever keeps it.

    Raises:
        StackError: a step failed; it names the step, the reason and the log.
    """
    began = time.monotonic()
    folder = directory / ".batchdrop" / "demo"
    marker = folder / KILLED_AT
    with ExitStack() as undo:
        with Steps(console) as steps:
            with steps.step("start the stack") as step:
                settings = SETTINGS | {FAILPOINTS: str(marker)}
                stack = Stack(
                    directory,
                    poll_every=0.5,
                    queue_seconds=1,
                    run_seconds=3,
                    env=settings,
                    show=show,
                    pages=pages,
                )
                undo.enter_context(stack)
                folder.mkdir(exist_ok=True)
                marker.unlink(missing_ok=True)
                undo.enter_context(exported(stack.env))
                looker = Looker(stack)
                undo.callback(looker.close)
                looker.inject(FAULTS)
                step.say("Google's emulators, a stand-in for the API")
            with steps.step("drop reviews.jsonl", stack.log("gcs")) as step:
                content = b"".join(samples.reviews(ROWS))
                drop = looker.upload(content, "reviews.jsonl")
                step.say(f"{ROWS:,} reviews to classify")
            with steps.step("kill its worker", stack.log("on_upload")) as step:
                looker.wait_until(marker.exists, "the worker's death")
                step.say("the batch is created, but not recorded")
                looker.deliver(drop)
                looker.wait_until(
                    lambda: looker.duplicates(drop.job_id) > 1, "the event again"
                )
                duplicates = looker.duplicates(drop.job_id)
                step.say(f"its event comes {counted(duplicates, 'more time')}: ignored")
            with steps.step("drop bad.jsonl", stack.log("on_upload")) as step:
                rejected = _drop_bad(looker, content)
                assert rejected.error is not None
                first = rejected.row_errors[0]
                step.say(f"rejected: line {first.line}, {first.code}")
                step.say("no batch is created, nothing is paid")
            with steps.step("find the batch", stack.log("poll")) as step:
                job = looker.wait_for(drop.job_id, lambda job: job.batch is not None)
                batches = looker.batches()
                made = counted(batches, "batch", "batches")
                step.say(f"the API has {made}: the job follows it")
                looker.hurry()
            with steps.step("follow it", stack.log("poll")) as step:
                job = looker.wait_for(
                    job.id,
                    lambda job: _batch(job).terminal,
                    lambda state: step.say(state.removeprefix("JOB_STATE_")),
                )
                announcement = looker.announcement(job.id)
            with steps.step("collect the answers", stack.log("collect")) as step:
                looker.announcement(job.id, RESULTS_READY)
                job = looker.wait_for(job.id, lambda job: job.results is not None)
                assert job.results is not None
                results = looker.read(job.results.uri)
                (folder / "reviews.jsonl").write_bytes(content)
                (folder / "results.jsonl").write_bytes(results)
                again = sum(one.rows for one in job.rounds if one.n)
                step.say(f"{counted(again, 'row')} failed: sent again automatically")
                step.say(f"in {folder.relative_to(directory)}/results.jsonl")
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
            healed=sum(one.healed for one in job.rounds),
            failures=[
                {"code": each.code, "message": each.message, "rows": each.count}
                for each in job.failures
            ],
            batches=batches,
            duplicates=duplicates,
            rejected={
                "job_id": rejected.id,
                "code": str(rejected.error.code),
                "message": rejected.error.message,
            },
            announcement={
                "id": announcement["ce-id"],
                "type": announcement["ce-type"],
            },
            output_directory=_batch(job).output_directory or "",
            answers=sum(
                looker.read(uri).count(b"\n")
                for uri in looker.names(_batch(job).output_directory or "")
                if uri.endswith(".jsonl")
            ),
            results={"uri": job.results.uri, "bytes": job.results.bytes},
            cost=asdict(job.cost) if job.cost else None,
            seconds=round(time.monotonic() - began, 3),
            steps=steps.seconds,
            addresses=stack.addresses,
        )
        _show(console, job, joined(content, results))
        after(stack, outcome)


def _drop_bad(looker: Looker, content: bytes) -> Job:
    """Drops a file whose third line is bad; its job, once it is rejected."""
    good = content.splitlines()[:2]
    lines = b"\n".join([*good, samples.bad_line(), b""])
    drop = looker.upload(lines, "bad.jsonl")
    return looker.wait_for(drop.job_id, lambda job: job.phase is Phase.REJECTED)


def joined(questions: bytes, results: bytes) -> Iterator[tuple[dict[str, Any], ...]]:
    """Each line of a dropped file with its result: they have the same order."""
    lines = questions.splitlines()
    for line in results.splitlines():
        result = json.loads(line)
        yield json.loads(lines[result["line"] - 1]), result


def _show(
    console: Console, job: Job, rows: Iterator[tuple[dict[str, Any], ...]]
) -> None:
    """Some questions with their answers, the counts, and the cost."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("key", no_wrap=True)
    table.add_column("review", no_wrap=True, max_width=REVIEW)
    table.add_column("answer", no_wrap=True)
    named: dict[str, list[str]] = {}
    seen = Counter[str]()
    for row, result in rows:
        answer = result.get("text") or result["outcome"]
        if error := result.get("error"):
            answer = f"{answer}: {error['code']}"
            kind = f"{answer} {error['status']}"
            named.setdefault(kind, []).append(result["key"])
        elif result["round"]:
            answer = f"{answer}, round {result['round']}"
            named.setdefault("healed by a second round", []).append(result["key"])
        kind = "again" if result["round"] else answer
        seen[kind] += 1
        if seen[kind] == 1:
            text = row["request"]["contents"][0]["parts"][0]["text"]
            review = text.removeprefix(samples.QUESTION).partition(" ")[2]
            table.add_row(Text(result["key"]), Text(review), Text(answer))
    console.print()
    console.print(table)
    console.print()
    console.out(job.rows, highlight=False)
    for kind, keys in named.items():
        console.out(f"{kind}: {' '.join(keys)}", highlight=False)
    if job.cost and job.usage:
        cost = f"{job.cost.micros / 1_000_000:.4f} {job.cost.currency}"
        tokens = f"{job.usage.total:,} tokens"
        console.out(f"It would have cost {cost} for {tokens}.", highlight=False)


def _batch(job: Job) -> Batch:
    assert job.batch is not None
    return job.batch
