"""Files that are split into parts."""

import json

from batchdrop.jobs.job import Job
from tests.worker.world import World


def rows(n: int) -> str:
    """Returns `n` requests, each with a text of its own, and a blank second line."""
    lines = [
        json.dumps({"contents": [{"role": "user", "parts": [{"text": f"row {i}"}]}]})
        for i in range(1, n + 1)
    ]
    return "\n".join([lines[0], "", *lines[1:]]) + "\n"


def split_job(world: World, job: Job) -> list[Job]:
    """The jobs of a file's parts, in order."""
    found = world.ledger.get_all(job.parts)
    return sorted(found, key=lambda one: one.part.n if one.part else -1)
