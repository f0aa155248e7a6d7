"""Jobs that are submitted, and their batches at the API."""

import json
from contextlib import suppress
from datetime import timedelta
from typing import Any

import httpx

from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from tests.worker.world import GOOD, Fault, World


def state(world: World, job: Job) -> str:
    batch = world.job(job.source).batch
    assert batch is not None
    return batch.state


def vanish(world: World, *jobs: Job) -> None:
    """The API answers 404 for these batches, and lists them no more."""
    for job in jobs:
        assert job.batch is not None
        world.backends.of(job).cancel(job.batch.name)
        world.client.batches.delete(name=job.batch.name)


def several(world: World, n: int, text: str = GOOD) -> list[Job]:
    """Jobs that arrive one second apart."""
    drops = []
    for k in range(n):
        drops.append(world.upload(text, f"{k}.jsonl"))
        world.worker.take(drops[-1])
        world.advance(timedelta(seconds=1))
    return [world.job(drop) for drop in drops]


def reconcile(world: World) -> None:
    """Runs the next reconcile, and a tick that resumes the jobs that it claimed."""
    world.advance(timedelta(seconds=world.settings.reconcile_every))
    world.ticks(2)


def empty_ledger(world: World) -> None:
    for snapshot in world.database.collection("jobs").stream():
        snapshot.reference.delete()


def batch_of(world: World, job: Job, **labels: str) -> str:
    """Creates another batch of a job's own staged rows; returns its name."""
    assert job.spec is not None
    assert job.staging is not None
    made = world.client.batches.create(
        model="gemini-3.8-flash",
        src=job.staging.uri,
        config={
            "destination": job.spec.destination,
            "labels": job.spec.labels | labels,
        },
    )
    return made.name


def states(world: World) -> dict[str, str]:
    return {batch["name"]: batch["state"] for batch in world.batches()}


def submit(world: World, name: str = "reviews.jsonl", rows: int = 3) -> Job:
    drop = world.upload(GOOD * rows, name)
    world.worker.take(drop)
    return world.job(drop)


def resource(world: World, job: Job, **changes: Any) -> dict[str, Any]:
    """A Vertex batch as the API shows it now, with some members changed."""
    assert job.batch is not None
    found = httpx.get(f"{world.sim.url}/v1/{job.batch.name}").raise_for_status()
    return dict(found.json() | changes)


def listed(world: World, *resources: dict[str, Any]) -> None:
    """The next list has exactly these batches."""
    world.wire.lists.append(says({"batchPredictionJobs": list(resources)}))


def says(answer: dict[str, Any]) -> Fault:
    # Encoded now: the test may change `answer` later.
    text = json.dumps(answer)
    return lambda _: httpx.Response(200, text=text)


def quiet_ticks(world: World, n: int) -> None:
    """Runs ticks and ignores their errors."""
    for _ in range(n):
        world.advance(timedelta(minutes=1))
        with suppress(ExceptionGroup):
            world.tick()


def claimed(world: World) -> Job:
    """A job whose worker died right after its claim."""
    drop = world.upload()
    claim = Job.claimed(drop, world.holder(), world.now(), world.timing)
    job = world.ledger.claim(claim)
    assert job is not None
    return job


def intended(world: World) -> Job:
    """A job whose worker died, or froze, with its intent written."""
    job = claimed(world)
    while job.phase is not Phase.SUBMITTING:
        step = world.worker.runner._step(job, admitted=False)
        assert step is not None
        job = step(job)
    return job
