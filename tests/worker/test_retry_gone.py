"""Rounds of split files some of whose parts, or their results, are gone."""

from datetime import timedelta

import pytest

from batchdrop.jobs.codes import SkipCode
from batchdrop.jobs.job import Job
from batchdrop.worker.collect_parts import parts_of
from tests.often import mostly
from tests.there import there
from tests.worker.collecting import collected, outcomes
from tests.worker.rounds import SOON, asked, drop, fails, results_told, round_of
from tests.worker.world import World


def parts(world: World, job: Job) -> list[Job]:
    return parts_of(world.ledger, job)


def test_a_split_file_whose_parts_have_expired_sends_no_round(world: World) -> None:
    fails(world, 8)
    dropped = drop(world, 20, part_rows=10, retry=0)
    before = collected(world, dropped)
    gone = parts(world, before)[1]
    world.database.collection("jobs").document(gone.id).delete()

    job = asked(world, dropped)

    assert there(job.skipped).code is SkipCode.RESULTS_GONE
    assert gone.id in there(job.skipped).message
    assert (job.results, job.parked) == (before.results, None)
    assert len(world.batches()) == 2


@pytest.mark.parametrize("what", mostly("results", also=["index"]))
def test_a_round_that_could_not_be_published_is_not_paid(
    world: World, what: str
) -> None:
    fails(world, 8)
    dropped = drop(world, 20, part_rows=10, retry=0)
    before = collected(world, dropped)
    gone = parts(world, before)[1]
    found = there(gone.results)
    world.delete(found.uri if what == "results" else there(found.index))

    job = asked(world, dropped)

    assert there(job.skipped).code is SkipCode.RESULTS_GONE
    assert gone.id in there(job.skipped).message
    assert job.results == before.results
    assert len(world.batches()) == 2
    assert len(results_told(world)) == 1


@pytest.mark.proof
def test_results_of_a_part_that_are_deleted_during_a_round_hold_up_nothing(
    world: World,
) -> None:
    fails(world, 8)
    dropped = drop(world, 30, part_rows=10, retry=0)
    before = collected(world, dropped)
    first, _, last = parts(world, before)
    world.worker.commands.retry(dropped.job_id, "ada")
    world.ticks_until(
        lambda: there(world.ledger.get(first.id)).awaits == "round", every=SOON
    )
    world.ticks_until(lambda: round_of(world, first).batch is not None, every=SOON)
    world.delete(there(last.results).uri)

    job = collected(world, dropped)

    assert there(job.skipped).code is SkipCode.RESULTS_GONE
    assert job.results == before.results
    (round,) = job.rounds
    assert (round.n, round.healed) == (1, 1)


@pytest.mark.proof
def test_a_person_s_round_is_paid_once_although_the_ledger_forgets_it(
    world: World,
) -> None:
    fails(world, 8, 18, code=400)
    dropped = drop(world, 30, part_rows=10, retry=0)
    collected(world, dropped)
    world.worker.commands.retry(dropped.job_id, "ada", ["failed"])
    world.tick()
    found = parts(world, world.job(dropped))[:2]
    world.ticks_until(
        lambda: all(round_of(world, part).batch for part in found), every=SOON
    )
    for document in world.database.collection("jobs").stream():
        document.reference.delete()
    world.advance(timedelta(hours=2))
    world.ticks_until(lambda: world.ledger.get(dropped.job_id) is not None)
    collected(world, dropped)

    # The same round is found, and its answers are joined.
    job = asked(world, dropped, ["failed"])

    assert outcomes(world, job) == ["ok"] * 30
    assert len(world.batches()) == 5
