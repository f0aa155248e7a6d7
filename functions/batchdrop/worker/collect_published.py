"""What the job's document says of results once they are written."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec

from batchdrop.errors import Misconfigured
from batchdrop.failpoints import failpoint
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Drop, Location, Results
from batchdrop.pricing import Bill, Unpriced
from batchdrop.results import Summary
from batchdrop.results.seeking import Index
from batchdrop.rows import agreed, counted
from batchdrop.storage import Created, Differs, Storage
from batchdrop.worker.collect_compose import Compose
from batchdrop.worker.collect_freeze import NotGranted, answers_counted
from batchdrop.worker.collect_steps import CREATE, granted

T = TypeVar("T")


@contextmanager
def writing_results(folder: Location) -> Iterator[None]:
    """Says what a person has to grant where results may not be written."""
    try:
        yield
    except Misconfigured as exc:
        if isinstance(exc, NotGranted) or folder.bucket not in str(exc):
            raise
        raise Misconfigured(f"{exc}. {granted(folder.bucket, CREATE)}") from exc


def published(job: Job, publish: Callable[[str], T]) -> T:
    """
    Publishes results, under a name of this collector's own where another object has
    theirs: what is there stays.

    Args:
        publish: writes them; its argument is what the names end with.
    """
    try:
        return publish("")
    except Differs:
        return publish(f".{job.lease.epoch}")


def read_index(storage: Storage, uri: str) -> Index:
    """
    The sparse index that was published.

    Raises:
        SourceGone, Unavailable, Misconfigured: as `Storage.chunks`.
    """
    return msgspec.json.decode(b"".join(storage.chunks(uri)), type=Index)


def index_of(lines: int, offsets: Sequence[tuple[int, int]]) -> bytes:
    """The sparse index as it is published."""
    return msgspec.json.encode({"lines": lines, "offsets": offsets})


def cost(job: Job, bill: Bill) -> dict[str, Any]:
    """The arguments of `Job.collected` that say what the answers cost."""
    if job.is_lost:
        # It may have been paid: nobody can read what it has answered.
        return {"no_cost": "the API does not know the batch any more"}
    if job.has_no_output:
        return {"no_cost": "the API never named the answers, which it may have charged"}
    found = bill.cost()
    return {"no_cost": found.why} if isinstance(found, Unpriced) else {"cost": found}


def results_of(
    written: Created, index: Created, strangers: Created | None, round: int
) -> Results:
    """
    The objects of a job's results, as its document names them.

    Args:
        round: the last one that they have answers of.
    """
    return Results(
        uri=written.uri,
        generation=written.generation,
        crc32c=written.crc32c,
        bytes=written.bytes,
        index=index.uri,
        strangers=strangers.uri if strangers else None,
        round=round,
    )


def composed(
    compose: Compose,
    home: Location,
    ending: str,
    work: Location,
    *,
    results: Sequence[Drop],
    strangers: Sequence[Drop],
    index: bytes,
    round: int,
) -> Results:
    """
    Makes the objects of a job's results of those that have pieces of them.

    Args:
        home: the folder in which they are made.
        ending: what their names end with, before their types.
        work: a folder in the work bucket for what lies between.
        index: as `index_of` makes it.
        round: as for `results_of`.

    Raises:
        Differs, SourceGone, Unavailable, Misconfigured: as `Compose`.
    """
    left = None
    if strangers:
        left = compose(strangers, work, f"{home}strangers{ending}.jsonl")
    uri = f"{home}results{ending}.index.json"
    written = compose.storage.create(uri, index, "application/json")
    failpoint("collect_indexed")
    # The results come last: whoever finds them finds the others.
    whole = compose(results, work, f"{home}results{ending}.jsonl")
    return results_of(whole, written, left, round)


def changes(job: Job, summary: Summary) -> dict[str, Any]:
    """The arguments of `Job.collected`, but for `results` and the cost."""
    rows = summary.rows
    answered, expected = rows.accepted - (rows.missing or 0), answers_counted(job)
    short = lost = None
    if expected is not None and answered < expected and not job.is_lost:
        short = (
            f"the API counts {counted(expected, 'answer')}, and "
            f"{counted(answered, 'row')} {agreed(answered, 'has', 'have')} one"
        )
    if summary.columns_lost:
        lost = (
            "the object with the rows' own keys and columns is gone: the results have "
            "ids and lines alone"
        )
    return {
        "rows": rows,
        "usage": summary.usage,
        "failures": summary.failures,
        "strangers": summary.strangers,
        "superseded": summary.superseded,
        "same_rows": summary.same_rows,
        "answers_short": short,
        "columns_lost": lost,
    }
