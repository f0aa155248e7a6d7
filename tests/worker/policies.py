"""Jobs to test policies with."""

from typing import Any

from batchdrop.jobs.job import Job
from tests.worker.world import GOOD, World


def submitted(world: World, **settings: Any) -> Job:
    """A submitted job of a deployment with these settings."""
    world.choose(**settings)
    drop = world.upload(GOOD)
    world.worker.take(drop)
    return world.job(drop)


def types(world: World) -> list[str]:
    return [one.type.removeprefix("dev.batchdrop.job.") for one in world.announced]
