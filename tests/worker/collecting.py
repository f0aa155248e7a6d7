"""A file whose batch ends, and what is collected of it."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Drop
from tests.worker.dying import at
from tests.worker.world import World

#: A batch that is sent now has ended by then.
A_BATCH = timedelta(minutes=16)


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
    for _ in range(3):
        world.advance(A_BATCH)
        world.worker.tick()
        if (job := world.job(drop)).is_over:
            return job
    raise AssertionError(f"the job is {job.phase}")


def collected(world: World, drop: Drop) -> Job:
    """The job once its answers are collected, within hours of ticks."""
    for n in range(30):
        # What follows from an end is sent a minute later, and has ended by the next.
        world.advance(timedelta(minutes=1) if n % 2 else A_BATCH)
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
