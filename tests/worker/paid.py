"""What was paid and announced, after a race."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from batchdrop.jobs.codes import Phase
from batchdrop.jobs.values import Drop
from tests.exactly_once.promise import is_paid
from tests.worker.dying import failpoints
from tests.worker.manifests import answered
from tests.worker.parts import split_job
from tests.worker.world import World


@contextmanager
def at(point: str, act: Callable[[], object]) -> Iterator[list[str]]:
    """
    Does something when a worker first comes to a point. While it does, that worker is
    frozen, and others may pass; where it raises `Killed`, that worker is dead.

    Yields:
        the points that were passed, in their order.
    """
    passed: list[str] = []

    def failpoint(name: str) -> None:
        passed.append(name)
        if name == point and passed.count(name) == 1:
            act()

    with failpoints(failpoint):
        yield passed


def keys(n: int) -> list[str]:
    """Of all rows that `rows(n)` has; the second line is blank."""
    return [f"r{line:07}" for line in (1, *range(3, n + 2))]


def paid(world: World) -> list[dict[str, Any]]:
    return [batch for batch in world.batches() if is_paid(batch)]


def parts_are_paid_once(world: World, drop: Drop, n: int) -> None:
    """What is true of a split job in the end, whatever happened on the way."""
    job = world.job(drop)
    assert (job.phase, job.outcome) == (Phase.ENDED, "succeeded")
    parts = split_job(world, job)
    kept = {part.batch.name for part in parts if part.batch}
    assert {batch["name"] for batch in paid(world)} == kept
    assert len(kept) == len(parts)
    assert sorted(answered(world)) == keys(n)
    assert [one.type for one in world.announced] == ["dev.batchdrop.job.succeeded.v1"]
    assert world.announced[0].job_id == job.id
