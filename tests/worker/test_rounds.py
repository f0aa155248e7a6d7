"""Rows that failed go again, and their results are joined before they are published."""

import pytest

from batchdrop.jobs.codes import Outcome, SkipCode
from batchdrop.worker.collect_parts import parts_of
from tests.often import mostly
from tests.there import there
from tests.worker.backends import BOTH, EACH
from tests.worker.collecting import (
    collected,
    ended,
    outcomes,
)
from tests.worker.rounds import (
    drop,
    fails,
    published,
    results_told,
    round_of,
)
from tests.worker.world import World


@EACH
def test_rows_that_failed_for_a_passing_reason_go_again_and_are_healed(
    world: World,
) -> None:
    fails(world, 3, 5)

    job = collected(world, drop(world))

    assert outcomes(world, job) == ["ok"] * 20
    found = world.results(job)
    assert [one["line"] for one in found if one["round"]] == [3, 5]
    assert len(world.batches()) == 2
    assert len(results_told(world)) == 1
    first, second = job.rounds
    assert (first.rows, second.rows, second.healed) == (20, 2, 2)
    assert second.outcome is Outcome.SUCCEEDED
    assert there(job.results).round == 1
    assert (job.gathered, job.skipped, job.health) == (None, None, None)
    sent = round_of(world, job)
    assert sent.used
    assert there(job.usage).total == there(first.usage).total + there(sent.usage).total
    assert there(job.cost).micros == there(first.cost).micros + there(sent.cost).micros
    assert published(world, job) == ["results.index.json", "results.jsonl"]
    # What was gathered is deleted once it is published.
    left = world.storage.names(world.traces.folder(job.id))
    left += world.storage.names(world.traces.folder(sent.id))
    assert not [uri for uri in left if "results" in uri or "/collect-1/" in uri]


def test_a_file_whose_rows_are_all_ok_is_published_at_once(world: World) -> None:
    job = collected(world, drop(world))

    assert (job.rounds, job.skipped) == ((), None)
    assert len(world.batches()) == 1
    left = world.storage.names(world.traces.folder(job.id))
    assert not [uri for uri in left if "gathered" in uri]


@BOTH
def test_each_round_heals_some_and_a_row_that_fails_in_all_is_named(
    world: World,
) -> None:
    fails(world, 2)
    fails(world, 4, times=2)
    fails(world, 6, times=None)

    job = collected(world, drop(world, retry=3))

    assert [one.healed for one in job.rounds] == [0, 1, 1, 0]
    assert [one.rows for one in job.rounds] == [20, 3, 2, 1]
    assert len(world.batches()) == 4
    found = world.results(job)
    assert [one["round"] for one in found if one["round"]] == [1, 2, 3]
    assert found[5]["outcome"] == "failed"
    assert there(job.skipped).code is SkipCode.NONE_HEALED
    (failure,) = job.failures
    assert (failure.count, failure.always) == (1, ("r0000006",))


def test_permanent_failures_never_go_again_by_themselves(world: World) -> None:
    fails(world, 2, code=400)

    job = collected(world, drop(world))

    assert len(world.batches()) == 1
    assert outcomes(world, job).count("failed") == 1
    assert job.skipped is None


def test_too_many_failures_do_not_go_again(world: World) -> None:
    fails(world, *range(10, 15))

    job = collected(world, drop(world))

    assert len(world.batches()) == 1
    assert there(job.skipped).code is SkipCode.OVER_SHARE
    assert published(world, job) == ["results.index.json", "results.jsonl"]


def test_a_cancel_between_rounds_publishes_what_is_there(world: World) -> None:
    fails(world, 3)
    dropped = drop(world)
    ended(world, dropped)
    world.collect()
    job = world.job(dropped)
    assert job.awaits == "round"

    world.worker.commands.cancel(job.id, "ada")
    job = collected(world, dropped)

    assert outcomes(world, job)[2] == "failed"
    assert there(job.skipped).code is SkipCode.CANCELLED
    assert len(world.batches()) == 1
    assert len(results_told(world)) == 1


def test_a_round_that_is_rejected_publishes_what_is_there(world: World) -> None:
    fails(world, 3)
    dropped = drop(world)
    job = ended(world, dropped)
    world.collect()
    world.delete(staged := there(job.staging).uri)

    job = collected(world, dropped)

    assert outcomes(world, job)[2] == "failed"
    skipped = there(job.skipped)
    assert skipped.code is SkipCode.STAGING_GONE
    assert job.round_id(1) in skipped.message
    assert staged.removeprefix("gs://").partition("/")[2] in skipped.message
    assert job.rounds[1].outcome is Outcome.REJECTED
    assert len(world.batches()) == 1


@pytest.mark.parametrize("cancelled", mostly(False, also=[True]))
def test_results_that_the_work_bucket_loses_are_made_again_and_no_round_is_sent_twice(
    world: World, cancelled: bool
) -> None:
    fails(world, 3)
    dropped = drop(world)
    ended(world, dropped)
    world.collect()
    job = world.job(dropped)
    world.ticks_until(lambda: round_of(world, job).is_over)
    world.delete(there(job.gathered).uri)
    if cancelled:
        # What was paid already is joined all the same.
        world.worker.commands.cancel(job.id, "ada")

    job = collected(world, dropped)

    assert outcomes(world, job) == ["ok"] * 20
    assert len(world.batches()) == 2
    first, second = job.rounds
    total = there(first.usage).total + there(second.usage).total
    assert there(job.usage).total == total


def test_a_part_sends_its_own_rows_again_and_the_file_waits_for_it(
    world: World,
) -> None:
    fails(world, 8)

    job = collected(world, drop(world, 20, part_rows=10))

    assert outcomes(world, job) == ["ok"] * 20
    assert len(world.batches()) == 3
    assert len(results_told(world)) == 1
    assert there(job.results).round == 1
    assert job.rounds == ()
    whole = there(job.cost).micros
    assert whole == sum(there(one.cost).micros for one in parts_of(world.ledger, job))


def test_rows_of_the_outcomes_that_are_chosen_go_again(world: World) -> None:
    world.sim.faults.add("row_max_tokens", match={"row_text": "question 3"}, count=1)
    world.sim.faults.add("row_blocked", match={"row_text": "question 5"}, count=1)

    job = collected(world, drop(world, retry_on=("truncated",)))

    found = outcomes(world, job)
    assert (found[2], found[4]) == ("ok", "blocked")
    assert [one.rows for one in job.rounds] == [20, 1]
