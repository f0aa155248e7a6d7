"""A file whose batch ends, and what is collected of it."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Drop
from tests.worker.dying import at
from tests.worker.world import World


def question(n: int, **members: Any) -> dict[str, Any]:
    """A line of a file, as a value; each has its own text, and may have columns."""
    contents = [{"role": "user", "parts": [{"text": f"question {n}"}]}]
    return {"request": {"contents": contents}} | members


def lines(questions: Sequence[Any]) -> str:
    return "".join(f"{json.dumps(each)}\n" for each in questions)


def questions(count: int) -> str:
    """A file of so many good lines."""
    return lines([question(n) for n in range(1, count + 1)])


def submit(world: World, text: str | bytes = "", **options: Any) -> Drop:
    """Drops a file over a deployment that makes results, and has it sent."""
    world.choose(**({"results": "on"} | options))
    drop = world.upload(text or questions(5))
    world.worker.take(drop)
    return drop


def ended(world: World, drop: Drop) -> Job:
    """The job once a tick has seen the end of its batch; nothing is collected yet."""
    for _ in range(4):
        world.advance(timedelta(minutes=8))
        world.worker.tick()
        if (job := world.job(drop)).is_over:
            return job
    raise AssertionError(f"the job is {job.phase}")


def collected(world: World, drop: Drop) -> Job:
    """The job once its answers are collected, within hours of ticks."""
    collecting = 0
    for _ in range(60):
        # A tick a minute sees the end of a batch no better than these do: of the job's
        # own, and of a round's.
        collecting += world.job(drop).is_over
        minutes = 8 if not collecting else 1 if collecting <= 2 else 4
        world.advance(timedelta(minutes=minutes))
        world.tick()
        if (job := world.job(drop)).is_over and job.collecting is None:
            return job
    raise AssertionError(f"it waits: {job.collecting}, {job.health}")


def finished_while_one_sleeps(world: World, drop: Drop, point: str) -> Job:
    """A collector wakes at a point after another one has finished; the other's job."""
    seen: list[Job] = []

    def sleep() -> None:
        world.woken.clear()
        seen.append(collected(world, drop))

    with at([point], sleep) as waiting:
        world.collect()
    world.ticks(2)
    assert waiting == []
    return seen[0]


def outcomes(world: World, job: Job) -> list[str]:
    """The outcome of each line of the file, in its order."""
    found = world.results(job)
    assert [one["line"] for one in found] == sorted(one["line"] for one in found)
    return [one["outcome"] for one in found]
