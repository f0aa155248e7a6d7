"""Files that become several parts."""

import json

from batchdrop.jobs.job import Job
from tests.worker.world import World


def rows(n: int) -> str:
    """Makes `n` requests, each with its own text, and one blank line."""
    lines = [
        json.dumps({"contents": [{"role": "user", "parts": [{"text": f"row {i}"}]}]})
        for i in range(1, n + 1)
    ]
    return "\n".join([lines[0], "", *lines[1:]]) + "\n"


def split_job(world: World, job: Job) -> list[Job]:
    """The jobs of a file's parts, in their order."""
    found = world.ledger.get_all(job.parts)
    return sorted(found, key=lambda one: one.part.n if one.part else -1)
