"""The job of a round, and the job whose rows it sends: each acts on the other."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from batchdrop.jobs.codes import ErrorCode, HealthCode, Outcome, SkipCode
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Drop
from tests.there import there
from tests.worker.backends import BOTH
from tests.worker.batches import empty_ledger, reconcile
from tests.worker.collecting import (
    A_BATCH,
    collected,
    questions,
    submit,
)
from tests.worker.split_jobs import announced_types, parts
from tests.worker.world import World


def failing(world: World, rows: Sequence[int], times: int = 1, code: int = 429) -> None:
    """Some questions fail so often before they are answered."""
    for n in rows:
        world.sim.faults.add(
            "row_failed", code=code, match={"row_text": f"question {n}"}, count=times
        )


def again(world: World, count: int = 10, **options: Any) -> Drop:
    """Drops a file of so many questions, whose rows may go again once."""
    return submit(world, questions(count), **({"retry": 1} | options))


def waiting(world: World, drop: Drop) -> Job:
    """The job once rows of it go again, and its round is sent."""
    world.ticks_until(lambda: world.job(drop).awaits == "round", every=A_BATCH)
    world.ticks_until(lambda: sent(world, drop).batch is not None, every=MINUTE)
    return world.job(drop)


MINUTE = timedelta(minutes=1)


def sent(world: World, drop: Drop, n: int = 1) -> Job:
    """The job of a round."""
    return there(world.ledger.get(world.job(drop).round_id(n)))


def test_a_cancel_of_a_round_is_one_of_its_job(world: World) -> None:
    failing(world, [3])
    drop = again(world)
    job = waiting(world, drop)

    world.worker.commands.cancel(job.round_id(1), "ada")
    world.ticks(1)
    job = collected(world, drop)

    assert sent(world, drop).outcome == Outcome.CANCELLED
    assert there(job.skipped).code == SkipCode.CANCELLED
    assert (job.outcome, job.rows.ok, job.rows.failed) == ("succeeded", 9, 1)
    assert announced_types(world) == ["succeeded", "ready"]


@pytest.mark.proof
def test_a_round_that_is_parked_stalls_its_job_and_is_resumed_by_it(
    world: World,
) -> None:
    failing(world, [3])
    drop = again(world)
    world.ticks_until(lambda: world.job(drop).awaits == "round")
    world.ledger.advance(sent(world, drop), lambda j: j.park(world.now(), "it dies"))

    world.ticks(2)

    held = world.job(drop)
    assert there(held.health).code == HealthCode.ROUND_HELD
    assert announced_types(world)[-1] == "stalled"

    world.worker.commands.unpark(drop.job_id, "ada")
    job = collected(world, drop)

    assert (job.rows.ok, job.health) == (10, None)
    assert "round 1 resumed by ada" in [one.note for one in job.history]
    assert announced_types(world) == ["succeeded", "stalled", "ready"]


@pytest.mark.proof
def test_a_round_counts_against_the_day_and_waits_for_the_next(world: World) -> None:
    failing(world, [3])
    drop = again(world, max_rows_per_day=10)
    world.ticks_until(lambda: world.job(drop).awaits == "round")
    world.ticks(3)

    assert sent(world, drop).phase == "waiting"
    assert there(world.job(drop).waiting_for).code == "round"

    world.advance(timedelta(days=1))
    job = collected(world, drop)

    assert job.rows.ok == 10


@BOTH
def test_a_ledger_that_is_lost_while_rows_go_again_pays_nothing_twice(
    world: World,
) -> None:
    failing(world, [3])
    drop = again(world)
    waiting(world, drop)

    empty_ledger(world)
    world.advance(timedelta(hours=2))
    world.ticks_until(lambda: world.ledger.get(drop.job_id) is not None)
    job = collected(world, drop)

    assert len(world.batches()) == 2
    assert (job.rows.ok, len(job.rounds)) == (10, 2)


@pytest.mark.proof
def test_a_cancel_of_a_split_file_reaches_the_rounds_of_its_parts(
    world: World,
) -> None:
    failing(world, [2, 5])
    drop = again(world, count=6, part_rows=2, retry_share=1)
    world.tick()

    def both_wait() -> bool:
        found = parts(world, world.job(drop))
        return sum(part.awaits == "round" for part in found) == 2

    world.ticks_until(both_wait, every=MINUTE)
    world.worker.commands.cancel(drop.job_id, "ada")
    world.ticks(1)
    job = collected(world, drop)

    assert (job.rows.ok, job.rows.failed) == (4, 2)
    found = [world.ledger.get(part.round_id(1)) for part in parts(world, job)]
    ends = [one.outcome for one in found if one]
    assert set(ends) <= {Outcome.CANCELLED, None}


def test_no_one_sends_rows_again_that_have_an_answer(world: World) -> None:
    drop = submit(world, questions(3))
    collected(world, drop)

    for outcome in ("ok", "refused", "bad"):
        with pytest.raises(ValueError, match=f"rows that are {outcome} don't go again"):
            world.worker.commands.retry(drop.job_id, "ada", [outcome])


@pytest.mark.proof
def test_a_split_file_that_is_lost_while_rows_go_again_is_not_paid_twice(
    world: World,
) -> None:
    failing(world, [2, 5])
    drop = again(world, count=6, part_rows=2, retry_share=1)
    world.tick()
    world.ticks_until(lambda: len(world.batches()) == 5)

    empty_ledger(world)
    world.advance(timedelta(hours=2))
    world.ticks_until(lambda: world.ledger.get(drop.job_id) is not None)
    job = collected(world, drop)

    assert len(world.batches()) == 5
    assert job.rows.ok == 6


@pytest.mark.proof
def test_the_batch_of_a_round_that_no_job_waits_for_is_reported(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    failing(world, [3])
    drop = again(world)
    collected(world, drop)
    sent_id = world.job(drop).round_id(1)
    world.database.collection("jobs").document(sent_id).delete()

    reconcile(world)

    reasons = [getattr(record, "reason", "") for record in caplog.records]
    assert f"job {drop.job_id}, whose rows it has, is done" in reasons
    assert world.ledger.get(sent_id) is None


@pytest.mark.proof
def test_a_round_waits_for_room_below_a_ceiling(world: World) -> None:
    failing(world, [3])
    drop = again(world, max_cost_per_day=1000.0)
    world.ticks_until(lambda: world.job(drop).awaits == "round")
    reserved = there(world.job(drop).reserved).micros
    world.choose(max_cost_per_day=reserved / 1_000_000)
    world.ticks(3)

    assert there(sent(world, drop).waiting_for).code == "ceiling"

    world.choose(max_cost_per_day=1000.0)
    job = collected(world, drop)
    world.ticks(2)

    assert job.rows.ok == 10
    for one in (world.job(drop), sent(world, drop)):
        assert there(one.reserved).settled
        assert there(one.reserved).micros == there(one.own_cost).micros


def test_poll_passes_a_cancel_on_where_the_process_that_took_it_died(
    world: World,
) -> None:
    failing(world, [3])
    drop = again(world)
    job = waiting(world, drop)

    world.ledger.advance(job, lambda j: j.request_cancel("ada", world.now()))
    world.ticks(1)
    job = collected(world, drop)

    assert sent(world, drop).outcome == Outcome.CANCELLED
    assert there(job.skipped).code == SkipCode.CANCELLED


@pytest.mark.proof
def test_what_other_parts_have_cost_counts_for_the_most_a_file_may_cost(
    world: World,
) -> None:
    failing(world, [2], code=400)
    drop = again(world, count=4, part_rows=2, max_cost=1.0)
    world.tick()
    first, second = parts(world, collected(world, drop))
    much = replace(there(second.cost), micros=1_000_000)
    world.ledger.advance(second, lambda j: replace(j, cost=much))

    world.worker.commands.retry(drop.job_id, "ada", ["failed"])
    job = collected(world, drop)

    rejected = there(world.ledger.get(first.round_id(1)))
    assert there(rejected.error).code == ErrorCode.OVER_LIMIT
    assert ", after 1.00 USD" in there(rejected.error).message
    assert (len(world.batches()), job.rows.failed) == (2, 1)
