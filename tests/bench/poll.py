"""
What a tick costs with ten thousand open jobs, beside the way it is usually done; and
how many waiting jobs it admits, beside one after another.

    python -m tests.bench.poll [--jobs N] [--ticks T] [--json]

Starts batchsim on a standing clock, Google's Firestore emulator and fake-gcs-server,
makes N open jobs, and lets T ticks run, during each of which 60 jobs move on and 40
end. The usual way (google-genai's `get` for each job, and one `set` each) is measured
over a part of the jobs and scaled up, as it takes minutes. Then W waiting jobs are
admitted while each request for the API takes 50 ms, first one after another.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.cloud import firestore, storage

from batchdrop.announcements.message import Announcement
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Batch, Drop, Location, Spec, Staging
from batchdrop.options.settings import Settings
from batchdrop.preflight import Checker, Rules
from batchdrop.rows import Rows
from batchdrop.worker import stages
from batchdrop.worker.stages import AT_ONCE, Tick
from batchdrop_local import fake_gcs
from batchdrop_local.emulators import FIRESTORE
from batchsim.sim import BatchSim
from tests import services
from tests.reads import counted
from tests.worker.world import GOOD, World

MOVE, END = 60, 40
QUEUE = RUN = timedelta(minutes=20)
MINUTE = timedelta(minutes=1)
MODEL = "gemini-3.8-flash"
LOCATION = "us-central1"
#: How many seconds the API takes for an answer while jobs are admitted.
ANSWER = 0.05
PLACE = f"vertex {LOCATION}"


class Quiet(World):
    """What is announced isn't held against its schema: that is a test's work."""

    def publish(self, announcement: Announcement) -> None:
        self.announced.append(announcement)


class Fleet:
    """Open jobs, so staggered that each minute of the measured ones moves some."""

    def __init__(self, world: World, jobs: int, ticks: int) -> None:
        self.world = world
        self.jobs = jobs
        self.ticks = ticks
        self.uri = f"gs://{world.settings.work.bucket}/shared/1/requests.jsonl"
        (block,) = Checker(Rules(model=MODEL)).blocks([GOOD.encode()])
        world.storage.write(self.uri, iter([block.staged]))

    def launch(self) -> None:
        """Makes all jobs; afterwards the clock is where the first tick is due."""
        now = self.world.now
        start = now() + QUEUE + RUN
        for minute in range(self.ticks):
            self.until(start - QUEUE - RUN + (minute + 0.5) * MINUTE)
            self.make(END)
        for minute in range(self.ticks):
            self.until(start - QUEUE + (minute + 0.5) * MINUTE)
            self.make(MOVE)
        self.until(start - QUEUE / 2)
        self.make(self.jobs - self.ticks * (END + MOVE))
        self.until(start)

    def until(self, time: datetime) -> None:
        self.world.advance(max(time - self.world.now(), timedelta(0)))

    def make(self, n: int) -> None:
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda _: self.one(), range(n)))
        jobs = iter(made)
        while some := list(islice(jobs, 300)):
            batch = self.world.database.batch()
            for job in some:
                reference = self.world.database.collection("jobs").document(job.id)
                batch.set(reference, self.world.ledger._document(job))
            batch.commit()

    def one(self) -> Job:
        world = self.world
        name = f"{world.holder()}.jsonl"
        drop = Drop(bucket=world.settings.inbox, name=name, generation=1, size=1)
        labels = {"batchdrop_job": drop.job_id, "batchdrop_deployment": "tests"}
        spec = Spec(
            kind="generation",
            backend="vertex",
            location=world.settings.location,
            model=MODEL,
            destination=f"{world.settings.output}{name}/{drop.job_id}/",
            display_name=name,
            labels=labels,
            results="off",  # the tick is measured, not what collects beside it
        )
        job = Job.claimed(drop, "bench", world.now(), world.timing)
        job = job.prepared(
            spec,
            Staging(epoch=1, uri=self.uri),
            Rows(total=1, accepted=1),
            world.now(),
            world.timing,
        )
        job = job.submitting(world.now(), world.timing)
        return job.submitted(world.backends.of(job).create(job), world.now())


def bring_up_to_date(world: World) -> None:
    """Writes the states that the jobs have by now, as ticks before would have."""
    writer = world.database.batch()
    submitted = world.ledger.submitted_jobs(PLACE)
    for n, job in enumerate(submitted, start=1):
        said: Batch = world.backends.of(job).get(job)
        if said != job.batch:
            reference = world.database.collection("jobs").document(job.id)
            after = world.ledger._document(replace(job, batch=said))
            writer.update(reference, {"batch": after["batch"]})
        if n % 300 == 0:
            writer.commit()
            writer = world.database.batch()
    writer.commit()


def ours(world: World, ticks: int) -> dict[str, float]:
    """A tick, as the median of some."""
    world.tick()  # the first one has no sweep before it to go on from
    requests = 0
    below = world.wire.handle_request

    def handle(request: Any) -> Any:
        nonlocal requests
        requests += 1
        return below(request)

    world.wire.handle_request = handle  # type: ignore[method-assign]
    seen: list[tuple[float, int, int, int]] = []
    for _ in range(ticks - 1):
        world.advance(MINUTE)
        requests = 0
        with counted() as counts:
            began = time.perf_counter()
            done = world.tick()
            seconds = time.perf_counter() - began
        assert done.ended == END, done
        assert done.changed == END + MOVE, done
        seen.append((seconds, requests, counts["reads"], counts["writes"]))
    world.wire.handle_request = below  # type: ignore[method-assign]
    columns = [statistics.median(column) for column in zip(*seen, strict=True)]
    return dict(zip(("seconds", "requests", "reads", "writes"), columns, strict=True))


def peak_mb(world: World) -> float:
    """What Python holds at the most during one more tick, in a run of its own."""
    world.advance(MINUTE)
    tracemalloc.start()
    world.tick()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def usual(world: World, jobs: int, part: int) -> dict[str, float]:
    """One `get` and one `set` a job, one after the other."""
    from google import genai
    from google.oauth2.credentials import Credentials

    client = genai.Client(
        vertexai=True,
        project=world.settings.project,
        location=world.settings.location,
        credentials=Credentials(token="x"),
        http_options={"base_url": world.sim.url},
    )
    documents = world.database.collection("usual")
    submitted = world.ledger.submitted_jobs(PLACE)
    names = [job.batch.name for job in islice(submitted, part) if job.batch]
    began = time.perf_counter()
    for name in names:
        job = client.batches.get(name=name)
        documents.document(name.rpartition("/")[2]).set(
            {"state": str(job.state), "updated": job.update_time}
        )
    seconds = (time.perf_counter() - began) / len(names) * jobs
    return {"seconds": seconds, "requests": jobs, "reads": 0, "writes": jobs}


def admission(world: World, jobs: int) -> dict[str, float]:
    """How many waiting jobs are admitted a second, one after another and as we do."""
    below = world.wire.handle_request

    def slow(request: Any) -> Any:
        time.sleep(ANSWER)
        return below(request)

    world.wire.handle_request = slow  # type: ignore[method-assign]
    found = {}
    for name, at_once in (("admitted_singly", 1), ("admitted", AT_ONCE)):
        world.choose(paused=True)
        for _ in range(jobs):
            world.worker.take(world.upload(GOOD, f"{world.holder()}.jsonl"))
        world.choose(paused=False)
        stages.AT_ONCE = at_once
        tick = Tick(now=world.now, deadline=world.now() + MINUTE)
        began = time.perf_counter()
        done = world.worker.poll.admit.run(tick)
        found[name] = done / (time.perf_counter() - began)
        assert done == jobs, done
    world.wire.handle_request = below  # type: ignore[method-assign]
    return found


@contextmanager
def a_world() -> Iterator[World]:
    with (
        tempfile.TemporaryDirectory() as logs,
        fake_gcs.running(Path(logs)) as gcs,
        services.running(FIRESTORE, Path(logs)) as emulator,
    ):
        os.environ[FIRESTORE.variable] = emulator
        os.environ["STORAGE_EMULATOR_HOST"] = gcs
        client = storage.Client(
            project="bench",
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": gcs},
        )
        settings = Settings(
            project="bench",
            location=LOCATION,
            model=MODEL,
            inbox="bench-inbox",
            work=Location(bucket="bench-work", prefix=""),
            output=Location(bucket="bench-output", prefix=""),
            topic="announcements",
            work_topic="work",
            deployment="tests",
            results="off",
        )
        for bucket in ("bench-inbox", "bench-work", "bench-output"):
            client.create_bucket(bucket)
        with BatchSim(
            speed=0,
            storage=gcs,
            queue_seconds=QUEUE.total_seconds(),
            run_seconds=RUN.total_seconds(),
        ) as sim:
            world = Quiet(
                sim=sim,
                gcs=client,
                database=firestore.Client(project="bench"),
                settings=settings,
            )
            world.ledger.last_reconcile()
            yield world
            world.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--ticks", type=int, default=5, help="at least 2")
    parser.add_argument("--part", type=int, default=500, help="of the usual way")
    parser.add_argument("--waiting", type=int, default=100, help="jobs to admit")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.jobs < (given.ticks + 1) * (MOVE + END):
        parser.error(f"--jobs must be at least {(given.ticks + 1) * (MOVE + END)}")

    with a_world() as world:
        print(f"making {given.jobs:,} jobs ...", flush=True)
        Fleet(world, given.jobs, given.ticks + 1).launch()
        bring_up_to_date(world)
        # The slower comparison isn't what is measured.
        world.ledger.record_reconcile(world.now())
        here = ours(world, given.ticks)
        memory = peak_mb(world)
        there = usual(world, given.jobs, min(given.part, given.jobs))
        queue = admission(world, given.waiting)

    speedup = there["seconds"] / here["seconds"]
    print(
        f"\na tick with {given.jobs:,} open jobs, {MOVE} moving on and {END} ending\n"
    )
    print(f"{'':12}{'requests':>10}{'reads':>10}{'writes':>10}{'seconds':>10}")
    for name, row in (("batchdrop", here), ("usual *", there)):
        figures = "".join(f"{row[k]:>10,.0f}" for k in ("requests", "reads", "writes"))
        print(f"{name:12}{figures}{row['seconds']:>10.2f}")
    print(f"\n* scaled from {min(given.part, given.jobs):,} jobs")
    print(f"speed-up {speedup:.0f}, peak of Python's memory {memory:.0f} MB")
    admit_speedup = queue["admitted"] / queue["admitted_singly"]
    print(
        f"jobs admitted a second, with {ANSWER * 1000:.0f} ms for an answer: "
        f"{queue['admitted']:.1f}, one after another {queue['admitted_singly']:.1f}; "
        f"speed-up {admit_speedup:.1f}"
    )
    if given.json:
        speedups = {"speedup": speedup, "admit_speedup": admit_speedup}
        print(json.dumps(here | queue | speedups | {"peak_mb": memory}))


if __name__ == "__main__":
    main()
