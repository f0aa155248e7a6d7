"""Files whose rows fail, and rounds in which they go again."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Drop
from batchdrop.stored import split_uri
from tests.there import there
from tests.worker.collecting import (
    collected,
    questions,
    submit,
)
from tests.worker.world import World

SOON = timedelta(seconds=20)


def fails(world: World, *rows: int, times: int | None = 1, code: int = 503) -> None:
    """The model's server fails at these questions, so many times."""
    for n in rows:
        row = {"row_text": f"question {n}"}
        world.sim.faults.add("row_failed", code=code, match=row, count=times)


def drop(world: World, rows: int = 20, **options: Any) -> Drop:
    return submit(world, questions(rows), **({"retry": 1} | options))


def round_of(world: World, job: Job, n: int = 1) -> Job:
    return there(world.ledger.get(job.round_id(n)))


def in_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets answers be sorted, and results be joined, in several steps."""
    for name, value in {
        "results.healing.RANGE": 2000,
        "results.writing.EVERY": 5,
        "worker.collect_freeze.MOST": 1000,
    }.items():
        monkeypatch.setattr(f"batchdrop.{name}", value)


def results_told(world: World) -> list[Any]:
    return [each for each in world.announced if "results" in each.type]


def published(world: World, job: Job) -> list[str]:
    """The names of the objects in the folder of a job's results."""
    bucket, name = split_uri(there(job.results).uri)
    folder = name.rpartition("/")[0]
    found = world.gcs.list_blobs(bucket, prefix=f"{folder}/")
    names = (blob.name.removeprefix(f"{folder}/") for blob in found)
    return sorted(name for name in names if name.startswith(("results", "strangers")))


def asked(world: World, dropped: Drop, only: Sequence[str] = ()) -> Job:
    """The job once the round that a person wants is over."""
    world.worker.commands.retry(dropped.job_id, "ada", only)
    return collected(world, dropped)
