"""A tick reads what there is to do, however many other documents there are."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from batchdrop.jobs import codes
from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import CancelRequest, Problem
from batchdrop.worker.tick import OUTDATED_EVERY
from tests.reads import counted
from tests.worker.batches import submit
from tests.worker.world import World


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
    world.advance(OUTDATED_EVERY)
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

    with counted() as counts:
        world.ticks(1)

    assert counts["requests"] <= 11
    assert counts["writes"] == 3  # the lock, twice, and when the sweep was


def test_a_tick_that_finds_no_change_sends_few_requests(world: World) -> None:
    submit(world)
    world.ticks(8)  # the job runs

    with counted() as counts:
        world.ticks(1)

    assert counts["requests"] <= 13


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
