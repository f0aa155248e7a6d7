"""Checks what was paid and announced after a race."""

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
    Calls `act` when a worker first passes a failpoint. That worker is frozen during the
    call, and other workers may pass. If `act` raises `Killed`, the worker is dead.

    Yields:
        the failpoints that were passed, in order.
    """
    passed: list[str] = []

    def failpoint(name: str) -> None:
        passed.append(name)
        if name == point and passed.count(name) == 1:
            act()

    with failpoints(failpoint):
        yield passed


def keys(n: int) -> list[str]:
    """The keys of all rows of `rows(n)`, whose second line is blank."""
    return [f"r{line:07}" for line in (1, *range(3, n + 2))]


def paid(world: World) -> list[dict[str, Any]]:
    return [batch for batch in world.batches() if is_paid(batch)]


def parts_are_paid_once(world: World, drop: Drop, n: int) -> None:
    """Checks what holds for every split job that has ended."""
    job = world.job(drop)
    assert (job.phase, job.outcome) == (Phase.ENDED, "succeeded")
    parts = split_job(world, job)
    kept = {part.batch.name for part in parts if part.batch}
    assert {batch["name"] for batch in paid(world)} == kept
    assert len(kept) == len(parts)
    assert sorted(answered(world)) == keys(n)
    assert [one.type for one in world.announced] == ["dev.batchdrop.job.succeeded.v1"]
    assert world.announced[0].job_id == job.id
