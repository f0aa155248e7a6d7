"""A tick reads what there is to do, however many other documents there are."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from batchdrop.jobs import codes
from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import CancelRequest, Problem
from tests.database import CountedDatabase
from tests.reads import counted
from tests.worker.batches import submit
from tests.worker.world import World


@pytest.fixture
def database(firestore_emulator: str, project: str) -> Iterator[CountedDatabase]:
    with closing(CountedDatabase(project)) as client:
        yield client


def calls_of_a_tick(world: World) -> Counter[str]:
    """The calls of the next tick to Firestore, by their names."""
    assert isinstance(world.database, CountedDatabase)
    world.database.calls.clear()
    world.ticks(1)
    return Counter(world.database.calls)


def copies(world: World, job: Job, n: int, **changes: Any) -> None:
    """Writes n copies of a job's document, under other ids."""
    document = world.ledger._document(replace(job, **changes))
    ids = [f"{job.id[:20]}{k:06}" for k in range(n)]
    jobs = world.database.collection("jobs")
    while ids:
        batch = world.database.batch()
        for id in ids[:400]:
            batch.set(jobs.document(id), document | {"id": id})
        batch.commit()
        ids = ids[400:]


def reads(world: World) -> int:
    # Each of these ticks looks for documents of an earlier release.
    world.worker.poll.outdated_every = timedelta(0)
    with counted() as counts:
        world.tick()
    return counts["reads"]


@pytest.mark.proof
def test_a_tick_reads_no_document_of_a_job_that_is_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(world)
    world.until_ended()
    ended = world.job(job.source)
    assert ended.phase is Phase.ENDED
    assert ended.spec is not None
    before = reads(world)

    old = ended.created_at
    copies(world, ended, 500, id="a" * 26)
    copies(
        world,
        ended,
        500,
        id="b" * 26,
        spec=replace(ended.spec, backend=codes.Backend.DEVELOPER),
    )
    problem = Problem(code="cancelled", message="cancelled by ann")
    wanted = CancelRequest(cancel=True, by="ann", at=old)
    rejected = replace(ended, batch=None, error=problem, cancel_request=wanted)
    copies(world, rejected, 500, id="c" * 26, phase=Phase.REJECTED)
    sums: list[int] = []
    count = world.ledger._count

    def noted(*conditions: Any, **more: Any) -> int:
        sums.append(count(*conditions, **more))
        return sums[-1]

    monkeypatch.setattr(world.ledger, "_count", noted)

    assert reads(world) == before
    assert set(sums) == {0}


def test_a_tick_with_nothing_to_do_sends_few_requests(world: World) -> None:
    world.ticks(2)

    calls = calls_of_a_tick(world)

    # The lock is read, with what else a tick begins with; the outbox, and what is due.
    reads = {"BatchGetDocuments": 1, "RunQuery": 2, "RunAggregationQuery": 1}
    # The lock is taken, and released with the record of the sweep.
    assert calls == reads | {"Commit": 2}


def test_a_tick_that_finds_no_change_asks_no_more_than_one_without_jobs(
    world: World,
) -> None:
    world.ticks(2)
    idle = calls_of_a_tick(world)
    submit(world)
    world.ticks(2, timedelta(minutes=4))  # the job runs

    assert calls_of_a_tick(world) == idle


def test_a_tick_that_ends_a_job_sends_few_requests(world: World) -> None:
    submit(world)
    world.ticks(14)
    assert world.announced == []

    calls = calls_of_a_tick(world)

    assert [one.type for one in world.announced] == ["dev.batchdrop.job.succeeded.v1"]
    # Besides those of any tick: the job and its end, then the outbox and a mark.
    assert calls.total() <= 6 + 2 + 2


def test_arrivals_since_an_old_batch_are_counted_only_up_to_a_limit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchdrop.worker.sweep.PAGE", 10)
    world.sim.faults.add("stuck_pending")
    job = submit(world)
    copies(
        world, world.job(job.source), 100, phase=Phase.ENDED, id="a" * 26, batch=None
    )
    world.advance(timedelta(hours=5))
    sums: list[int] = []
    count = world.ledger._count

    def noted(*conditions: Any, **more: Any) -> int:
        sums.append(count(*conditions, **more))
        return sums[-1]

    monkeypatch.setattr(world.ledger, "_count", noted)

    world.ticks(1)

    assert max(sums) == 20


@pytest.mark.proof
def test_a_paused_queue_costs_one_page_and_one_lock(
    world: World,
) -> None:
    world.choose(max_active_jobs=5)
    job = submit(world)
    assert job.phase is Phase.WAITING
    world.ledger.pause_queue(job.queue, world.now(), timedelta(hours=1))
    before = reads(world)

    copies(world, job, 400, id="a" * 26)

    assert reads(world) <= before + 100


@pytest.mark.proof
def test_a_queue_without_a_due_job_costs_one_lock(world: World) -> None:
    world.choose(max_active_jobs=5)
    job = submit(world)
    later = world.now() + timedelta(hours=1)
    copies(world, job, 300, id="a" * 26, due=later)
    world.ledger.advance(job, lambda j: replace(j, due=later))

    assert reads(world) < 2 * 300
