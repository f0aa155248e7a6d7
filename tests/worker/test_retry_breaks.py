"""Cancels and gone objects at the moments at which rounds begin."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from batchdrop.jobs.codes import SkipCode, Step
from batchdrop.worker.collect_parts import parts_of
from tests.often import mostly
from tests.there import there
from tests.worker.collecting import (
    A_BATCH,
    collected,
    ended,
    lines,
    outcomes,
    question,
    submit,
)
from tests.worker.dying import Killed, at, die
from tests.worker.rounds import asked, drop, fails, results_told, round_of
from tests.worker.world import World


def once(act: Callable[[], object]) -> Callable[[], None]:
    def acts() -> None:
        act()

    return acts


def test_a_cancel_that_comes_while_the_round_is_decided_sends_none(
    world: World,
) -> None:
    fails(world, 3)
    dropped = drop(world)
    ended(world, dropped)
    cancel = once(lambda: world.worker.commands.cancel(dropped.job_id, "ada"))

    with at(["collect_written"], cancel) as waiting:
        world.collect()

    assert waiting == []
    job = world.job(dropped)
    assert world.ledger.get(job.round_id(1)) is None
    assert (job.is_done, job.rounds) == (True, ())
    assert there(job.skipped).code is SkipCode.CANCELLED
    assert outcomes(world, job)[2] == "failed"
    assert len(results_told(world)) == 1


def test_a_cancel_that_comes_while_a_person_s_rows_are_chosen_sends_none(
    world: World,
) -> None:
    fails(world, 3)
    dropped = drop(world, retry=0)
    before = collected(world, dropped)
    cancel = once(lambda: world.worker.commands.cancel(dropped.job_id, "bob"))

    with at(["collect_rows_chosen"], cancel) as waiting:
        job = asked(world, dropped)

    assert waiting == []
    assert world.ledger.get(job.round_id(1)) is None
    assert there(job.skipped).code is SkipCode.CANCELLED
    assert job.results == before.results


@pytest.mark.proof
def test_a_cancel_while_parts_are_asked_reaches_all_of_them(world: World) -> None:
    fails(world, 8, 18, times=None)
    dropped = drop(world, 30, part_rows=10, retry=0)
    before = collected(world, dropped)
    cancel = once(lambda: world.worker.commands.cancel(dropped.job_id, "bob"))

    with at(["collect_parts_needed"], cancel) as waiting:
        job = asked(world, dropped)

    assert waiting == []
    assert job.results == before.results
    assert there(job.skipped).code is SkipCode.CANCELLED
    assert len(world.batches()) == 3
    assert all(part.used for part in parts_of(world.ledger, job))


@pytest.mark.proof
def test_a_cancel_after_the_death_of_who_asked_the_parts_loses_no_round(
    world: World,
) -> None:
    fails(world, 8, 18)
    dropped = drop(world, 30, part_rows=10, retry=0)
    collected(world, dropped)
    world.worker.commands.retry(dropped.job_id, "ada")
    with at(["collect_parts_asked"], die), pytest.raises(Killed):
        world.tick()
    # The parts have sent their rows, and are done, before the cancel comes.
    for _ in range(12):
        world.advance(timedelta(minutes=4))
        world.worker.tick()
        world.woken[:] = [id for id in world.woken if id != dropped.job_id]
        world.collect()
    assert there(world.job(dropped).collecting).step == Step.RETRY

    world.worker.commands.cancel(dropped.job_id, "bob")
    job = collected(world, dropped)

    assert outcomes(world, job)[7] == "ok"
    assert [one.n for one in job.rounds] == [1]
    assert all(part.is_done and part.used for part in parts_of(world.ledger, job))


def test_an_announcement_of_a_split_file_says_why_rows_of_a_part_did_not_go_again(
    world: World,
) -> None:
    fails(world, 11, 12, 13)

    job = collected(world, drop(world, 20, part_rows=10))

    assert outcomes(world, job).count("failed") == 3
    skipped = there(job.skipped)
    assert skipped.code is SkipCode.OVER_SHARE
    part = parts_of(world.ledger, job)[1]
    assert skipped.message.startswith(f"part 2 of 2, job {part.id}: 3 rows don't go")


def test_a_round_of_a_person_never_takes_a_row_s_columns_away(world: World) -> None:
    rows = [question(n, key=f"own-{n}") for n in range(1, 7)]
    fails(world, 3)
    dropped = submit(world, lines(rows), retry=0)
    before = collected(world, dropped)
    world.delete(there(there(before.staging).sidecar))

    job = asked(world, dropped)

    assert there(job.skipped).code is SkipCode.STAGING_GONE
    assert job.results == before.results


@pytest.mark.parametrize("by", mostly("options", also=["a person"]))
def test_a_cancel_publishes_what_is_there_although_no_one_can_collect_the_round(
    world: World, by: str
) -> None:
    fails(world, 3)
    dropped = drop(world, retry=int(by == "options"))
    if by == "options":
        ended(world, dropped)
        world.collect()
    else:
        collected(world, dropped)
        world.worker.commands.retry(dropped.job_id, "ada")
        world.tick()
    job = world.job(dropped)
    world.advance(timedelta(minutes=1))
    world.worker.tick()
    world.advance(A_BATCH)
    world.worker.tick()
    sent = round_of(world, job)
    assert sent.is_over
    world.ledger.advance(sent, lambda j: j.park(world.now(), "its answers are odd"))
    world.ticks(2)
    assert there(world.job(dropped).health).code == "round_held"

    world.worker.commands.cancel(dropped.job_id, "bob")
    job = collected(world, dropped)

    assert outcomes(world, job)[2] == "failed"
    assert there(job.skipped).code is SkipCode.CANCELLED
    assert "were left" in there(job.skipped).message
    assert (job.health, job.rounds[1].healed) == (None, 0)
    assert "were left" in there(job.rounds[1].no_cost)
    if by == "options":
        assert (job.cost, job.rounds[1].job in there(job.no_cost)) == (None, True)
    assert round_of(world, job).used
    assert len(results_told(world)) == 1


def test_parts_that_no_round_came_of_expire_as_they_would(world: World) -> None:
    fails(world, 8)
    dropped = drop(world, 20, part_rows=10, retry=0)
    collected(world, dropped)
    world.worker.commands.retry(dropped.job_id, "ada")
    with at(["collect_parts_needed"], die), pytest.raises(Killed):
        world.tick()

    world.worker.commands.cancel(dropped.job_id, "bob")
    job = collected(world, dropped)

    assert there(job.skipped).code is SkipCode.CANCELLED
    assert all(part.used for part in parts_of(world.ledger, job))


@pytest.mark.proof
def test_results_of_a_round_that_nobody_can_make_again_are_given_up(
    world: World,
) -> None:
    fails(world, 3)
    dropped = drop(world)
    ended(world, dropped)
    world.collect()
    job = world.job(dropped)

    def ticks_for(id: str, until: Callable[[], bool]) -> None:
        """Ticks that wake collectors for one job alone."""
        for _ in range(20):
            if until():
                return
            world.advance(timedelta(minutes=1))
            world.worker.tick()
            world.woken[:] = [each for each in world.woken if each == id]
            world.collect()
        raise AssertionError("it isn't so")

    sent = round_of(world, job)
    ticks_for(sent.id, lambda: round_of(world, job).is_done)
    world.delete(there(round_of(world, job).results).uri)
    ticks_for(job.id, lambda: not round_of(world, job).is_done)
    sent = round_of(world, job)
    assert there(sent.collecting).step == Step.FREEZE
    world.ledger.advance(sent, lambda j: j.park(world.now(), "its answers are odd"))

    world.worker.commands.cancel(dropped.job_id, "bob")
    job = collected(world, dropped)

    assert outcomes(world, job)[2] == "failed"
    paid = [there(one.cost).micros for one in job.rounds]
    assert there(job.cost).micros == sum(paid)
    assert there(job.usage).total == sum(there(r.usage).total for r in job.rounds)


def test_equal_rows_without_ids_are_counted_once_in_all_rounds(world: World) -> None:
    world.sim.faults.add("rows_without_key", rows=1000)
    fails(world, 1, times=2)
    rows = [question(1, key=f"own-{n}") for n in range(10)]

    job = collected(world, submit(world, lines(rows), retry=1))

    found = world.results(job)
    assert [one["key"] for one in found] == [f"own-{n}" for n in range(10)]
    assert (job.rows.ok, job.rounds[1].rows, job.same_rows) == (10, 2, 10)


@pytest.mark.proof
def test_a_second_cancel_of_a_split_file_gives_up_the_round_of_a_part(
    world: World,
) -> None:
    fails(world, 8, times=None)
    dropped = drop(world, 20, part_rows=10)
    ended(world, dropped)
    world.collect()
    part = parts_of(world.ledger, world.job(dropped))[0]
    while not (sent := round_of(world, part)).is_over:
        world.advance(timedelta(minutes=1))
        world.worker.tick()
    world.worker.commands.cancel(dropped.job_id, "bob")
    world.ledger.advance(sent, lambda j: j.park(world.now(), "its answers are odd"))
    world.ticks(3)
    assert not world.job(dropped).is_done

    world.worker.commands.cancel(dropped.job_id, "bob")
    job = collected(world, dropped)

    assert outcomes(world, job)[7] == "failed"
    assert there(job.skipped).code is SkipCode.CANCELLED
