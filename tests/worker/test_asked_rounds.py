"""Rounds that a person asks for, after everything is published."""

from datetime import timedelta

import pytest

from batchdrop.jobs.codes import SkipCode
from batchdrop.stored import split_uri
from batchdrop.worker.collect_parts import parts_of
from tests.often import mostly
from tests.there import there
from tests.worker.backends import BOTH
from tests.worker.collecting import (
    collected,
    ended,
    outcomes,
)
from tests.worker.dying import Killed, at, die
from tests.worker.rounds import (
    SOON,
    asked,
    drop,
    fails,
    published,
    results_told,
    round_of,
)
from tests.worker.world import World


@BOTH
def test_a_person_sends_rows_again_and_both_results_stay(world: World) -> None:
    fails(world, 3, 5, code=400)
    dropped = drop(world)
    before = collected(world, dropped)

    job = asked(world, dropped, ["failed"])

    assert outcomes(world, job) == ["ok"] * 20
    assert outcomes(world, before)[2] == "failed"
    assert there(job.results).uri.endswith("/results-1.jsonl")
    assert published(world, job) == [
        *("results-1.index.json", "results-1.jsonl"),
        *("results.index.json", "results.jsonl"),
    ]
    assert len(world.batches()) == len(results_told(world)) == 2
    own, round = job.rounds
    assert (round.by, round.only, round.rows, round.healed) == (
        "ada",
        ("failed",),
        2,
        2,
    )
    assert there(job.usage).total == there(own.usage).total + there(round.usage).total
    assert round_of(world, job).used


@pytest.mark.proof
def test_a_second_round_of_a_person_joins_the_first(world: World) -> None:
    fails(world, 3)
    fails(world, 5, times=2)
    dropped = drop(world, retry=0)
    collected(world, dropped)

    asked(world, dropped)
    job = asked(world, dropped)

    assert [one["round"] for one in world.results(job) if one["round"]] == [1, 2]
    assert there(job.results).uri.endswith("/results-2.jsonl")
    assert outcomes(world, job) == ["ok"] * 20
    assert len(world.batches()) == 3


@pytest.mark.parametrize("code", mostly(503, also=[400]))
def test_a_person_who_names_no_outcome_means_passing_failures(
    world: World, code: int
) -> None:
    fails(world, 3, code=code)
    dropped = drop(world, retry=0)
    collected(world, dropped)

    job = asked(world, dropped)

    assert len(world.batches()) == 1 + (code == 503)
    assert (job.skipped is None) == (code == 503)


def test_a_round_that_no_row_is_meant_by_sends_nothing(world: World) -> None:
    dropped = drop(world)
    before = collected(world, dropped)

    for only in ([], ["blocked", "empty"]):
        job = asked(world, dropped, only)

        assert (job.results, job.rounds) == (before.results, ())
        assert there(job.skipped).code is SkipCode.NO_ROWS
        assert len(world.batches()) == len(results_told(world)) == 1


def test_what_is_gone_sends_no_round(world: World) -> None:
    fails(world, 3)
    dropped = drop(world, retry=0)
    before = collected(world, dropped)

    # What is staged is looked for first.
    for uri, gone in (
        (there(before.results).uri, SkipCode.RESULTS_GONE),
        (there(before.staging).uri, SkipCode.STAGING_GONE),
    ):
        world.delete(uri)

        job = asked(world, dropped)

        assert there(job.skipped).code is gone
        assert job.results == before.results
        assert len(world.batches()) == 1


def test_a_round_of_a_person_that_is_cancelled_leaves_what_is_published(
    world: World,
) -> None:
    fails(world, 3, times=None)
    dropped = drop(world, retry=0)
    before = collected(world, dropped)

    world.worker.commands.retry(dropped.job_id, "ada")
    world.tick()
    world.worker.commands.cancel(dropped.job_id, "ada")
    job = collected(world, dropped)
    again = asked(world, dropped)

    assert job.results == before.results
    assert there(job.skipped).code is SkipCode.CANCELLED
    assert [one.n for one in job.rounds] == [0, 1]
    # The next one has a number of its own.
    assert there(again.results).uri.endswith("/results-2.jsonl")
    assert len(world.batches()) == 2


@pytest.mark.proof
def test_a_split_job_asks_those_of_its_parts_that_have_such_rows(world: World) -> None:
    fails(world, 8, 18)
    dropped = drop(world, 30, part_rows=10, retry=0)
    collected(world, dropped)

    job = asked(world, dropped)

    assert outcomes(world, job) == ["ok"] * 30
    assert there(job.results).uri.endswith("/results-1.jsonl")
    assert len(world.batches()) == 5
    assert len(results_told(world)) == 2
    (one,) = job.rounds
    assert (one.n, one.rows, one.healed, one.by) == (1, 2, 2, "ada")
    parts = parts_of(world.ledger, job)
    assert [there(part.results).round for part in parts] == [1, 1, 0]
    assert all(part.used for part in parts)


@pytest.mark.proof
def test_a_split_job_none_of_whose_parts_sends_a_row_keeps_its_results(
    world: World,
) -> None:
    fails(world, 8, 18, code=400)
    dropped = drop(world, 30, part_rows=10, retry=0)
    before = collected(world, dropped)

    job = asked(world, dropped)

    assert job.results == before.results
    assert there(job.skipped).code is SkipCode.NO_ROWS
    assert all(part.used for part in parts_of(world.ledger, job))
    assert len(results_told(world)) == 1


@pytest.mark.parametrize(
    "point",
    mostly("collect_rows_chosen", also=["collect_parts_needed", "collect_parts_asked"]),
)
def test_a_collector_that_dies_while_it_chooses_rows_sends_them_once(
    world: World, point: str
) -> None:
    fails(world, 8)
    dropped = drop(world, 20, part_rows=10, retry=0)
    collected(world, dropped)

    with at([point], die) as waiting:
        try:
            asked(world, dropped)
        except Killed:
            world.advance(timedelta(seconds=world.settings.lease))
        job = collected(world, dropped)

    assert waiting == []
    assert outcomes(world, job) == ["ok"] * 20
    assert len(world.batches()) == 3
    assert len(results_told(world)) == 2


@pytest.mark.proof
def test_results_that_are_deleted_while_rows_go_again_are_not_made_up(
    world: World,
) -> None:
    fails(world, 3)
    dropped = drop(world, retry=0)
    before = collected(world, dropped)
    world.worker.commands.retry(dropped.job_id, "ada")
    world.tick()
    world.ticks_until(lambda: round_of(world, before).batch is not None, every=SOON)
    world.delete(there(before.results).uri)

    job = collected(world, dropped)

    assert there(job.skipped).code is SkipCode.RESULTS_GONE
    assert job.results == before.results
    assert [one.n for one in job.rounds] == [0, 1]


@pytest.mark.proof
def test_a_split_job_needs_all_of_its_parts_until_the_round_is_over(
    world: World,
) -> None:
    fails(world, 8)
    dropped = drop(world, 30, part_rows=10, retry=0)
    collected(world, dropped)

    world.worker.commands.retry(dropped.job_id, "ada")
    world.tick()

    job = world.job(dropped)
    assert job.awaits == "results"
    assert not any(part.used for part in parts_of(world.ledger, job))
    # Those that send no row are done, and the file waits for the other.
    assert world.ledger.undone_part_count(job.id) == 1


@pytest.mark.proof
def test_parts_that_finish_before_their_file_knows_that_it_asked_are_sent_once(
    world: World,
) -> None:
    fails(world, 8)
    dropped = drop(world, 20, part_rows=10, retry=0)
    job = collected(world, dropped)
    world.worker.commands.retry(dropped.job_id, "ada")
    with at(["collect_parts_asked"], die), pytest.raises(Killed):
        world.tick()

    for _ in range(12):
        world.advance(timedelta(minutes=4))
        world.worker.tick()
        world.woken[:] = [id for id in world.woken if id != job.id]
        world.collect()
    assert all(part.is_done for part in parts_of(world.ledger, job))
    job = collected(world, dropped)

    assert outcomes(world, job) == ["ok"] * 20
    assert there(job.results).round == 1
    assert len(world.batches()) == 3


@pytest.mark.proof
def test_a_round_of_a_person_takes_no_number_that_a_part_has_used(
    world: World,
) -> None:
    fails(world, 8)
    dropped = drop(world, 20, part_rows=10)
    ended(world, dropped)
    world.collect()
    part = parts_of(world.ledger, world.job(dropped))[0]
    bucket, name = split_uri(there(part.staging).uri)
    blob = world.gcs.bucket(bucket).blob(name)
    rows = blob.download_as_bytes()
    blob.delete()
    first = collected(world, dropped)
    assert outcomes(world, first)[7] == "failed"  # its round was rejected
    blob.upload_from_string(rows)

    job = asked(world, dropped)

    assert outcomes(world, job) == ["ok"] * 20
    assert there(job.results).uri.endswith("/results-2.jsonl")
    assert len(world.batches()) == 3
