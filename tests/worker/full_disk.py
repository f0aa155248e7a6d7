"""
A file's way from its drop to its batch, in a process that may not write a byte to any
file: `python -m tests.worker.full_disk`, as `test_disk.py` calls it.
"""

import resource
import sys
import tempfile
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from batchdrop.jobs.values import Drop, Location
from batchdrop.options.settings import Settings
from batchdrop.preflight import SKIP
from tests.database import Database
from tests.worker.world import World, storage_at


def is_full() -> bool:
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"x")
            file.flush()
    except OSError:
        return True
    return False


def main(gcs: str, api: str, now: str, project: str, *drop: str) -> None:
    backend, bucket, name, generation, size = drop
    time = datetime.fromisoformat(now)
    sim: Any = SimpleNamespace(url=api, clock=SimpleNamespace(now=lambda: time))
    world = World(
        sim=sim,
        gcs=storage_at(gcs, project),
        database=Database(project=project),
        settings=Settings(
            project=project,
            location="us-central1",
            model="gemini-3.8-flash",
            inbox=bucket,
            work=Location(bucket=f"{project}-work", prefix="staging/"),
            output=Location(bucket=f"{project}-output", prefix=""),
            topic="announcements",
            work_topic="work",
            deployment="tests",
            results="off",
            on_invalid=SKIP,
            backend=backend,
        ),
    )
    dropped = Drop(bucket=bucket, name=name, generation=int(generation), size=int(size))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    assert is_full()
    world.worker.take(dropped)
    world.tick()
    job = world.job(dropped)
    print(job.phase, job.rows.accepted, job.rows.refused, job.report is not None)


if __name__ == "__main__":
    main(*sys.argv[1:])
