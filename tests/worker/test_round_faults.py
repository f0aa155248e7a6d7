"""Rounds while batches fail, answers are missing, and collectors die or sleep."""

from datetime import timedelta

import pytest

from batchdrop.jobs.codes import Outcome, SkipCode
from batchdrop.stored import split_uri
from tests.there import there
from tests.worker.backends import BOTH
from tests.worker.collecting import (
    collected,
    ended,
    finished_while_one_sleeps,
    outcomes,
)
from tests.worker.dying import Killed, at, die
from tests.worker.rounds import (
    SOON,
    drop,
    fails,
    in_ranges,
    published,
    results_told,
    round_of,
)
from tests.worker.world import World

#: `test_rounds.py` and `test_deaths.py` have what each run proves.
pytestmark = pytest.mark.proof


@pytest.mark.parametrize(
    "point",
    ["collect_turned", "collect_healed", "collect_heal_written", "collect_collected"],
)
def test_a_collector_that_dies_among_the_ranges_of_results_changes_nothing(
    world: World, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_ranges(monkeypatch)  # in one step: `test_deaths.py`
    fails(world, 3, 15)
    dropped = drop(world)
    ended(world, dropped)

    with at([point], die):
        try:
            collected(world, dropped)
        except Killed:
            world.advance(timedelta(seconds=world.settings.lease))
        job = collected(world, dropped)

    assert outcomes(world, job) == ["ok"] * 20
    assert len(world.batches()) == 2
    assert len(results_told(world)) == 1
    assert published(world, job) == ["results.index.json", "results.jsonl"]


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    "point",
    [
        *("collect_taken", "collect_turned", "collect_healed"),
        *("collect_heal_written", "collect_collected"),
    ],
)
def test_a_collector_that_wakes_after_another_one_changes_nothing(
    world: World, point: str, big: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if big:
        in_ranges(monkeypatch)
    fails(world, 3, 15)
    dropped = drop(world)
    ended(world, dropped)
    if point not in ("collect_taken", "collect_turned"):
        world.collect()
        job = world.job(dropped)
        world.ticks_until(lambda: round_of(world, job).is_done)
        world.worker.tick()

    seen = finished_while_one_sleeps(world, dropped, point)

    job = world.job(dropped)
    assert job == seen
    assert outcomes(world, job) == ["ok"] * 20
    assert len(world.batches()) == 2
    assert len(results_told(world)) == 1


@BOTH
def test_rows_without_an_answer_that_the_api_does_not_count_go_again(
    world: World,
) -> None:
    world.sim.faults.add("row_unanswered", match={"row_text": "question 3"}, count=1)

    job = collected(world, drop(world))

    assert outcomes(world, job) == ["ok"] * 20
    assert [one.healed for one in job.rounds] == [0, 1]


@BOTH
def test_rows_whose_answers_the_api_counts_are_paid_and_do_not_go_again(
    world: World,
) -> None:
    fails(world, 3)
    world.sim.faults.add("rows_missing", rows=2, count=1)

    job = collected(world, drop(world))

    assert outcomes(world, job).count("missing") == 2
    assert [one.rows for one in job.rounds] == [20, 1]
    assert there(job.answers_short).message.startswith("the API counts 20 answers")


@BOTH
@pytest.mark.parametrize("fault", ["failed", "expired"])
def test_a_round_whose_batch_leaves_no_answers_is_the_last(
    world: World, fault: str
) -> None:
    fails(world, 3)
    dropped = drop(world, retry=3)
    ended(world, dropped)
    world.collect()
    world.sim.faults.add(fault, count=1)

    job = collected(world, dropped)

    assert outcomes(world, job)[2] == "failed"
    assert outcomes(world, job).count("ok") == 19
    assert there(job.skipped).code is SkipCode.NONE_HEALED
    assert len(world.batches()) == 2


def test_a_batch_that_left_no_answers_is_not_sent_again(world: World) -> None:
    world.sim.faults.add("failed", count=1)

    job = collected(world, drop(world))

    assert there(job.skipped).code is SkipCode.NO_ANSWERS
    assert len(world.batches()) == 1


def test_the_rest_of_a_batch_that_ended_early_goes_again(world: World) -> None:
    world.sim.faults.add("expired", rows=0.9, count=1)

    job = collected(world, drop(world))

    assert job.outcome is Outcome.EXPIRED
    assert outcomes(world, job) == ["ok"] * 20
    assert len(world.batches()) == 2


def test_a_round_that_someone_cancels_at_the_api_is_the_last(world: World) -> None:
    fails(world, 3)
    dropped = drop(world, retry=3)
    ended(world, dropped)
    world.collect()
    job = world.job(dropped)
    world.ticks_until(lambda: round_of(world, job).batch is not None, every=SOON)
    sent = round_of(world, job)

    world.backends.of(sent).cancel(there(sent.batch).name)
    job = collected(world, dropped)

    assert there(job.skipped).code is SkipCode.CANCELLED
    assert len(world.batches()) == 2


def test_answers_of_a_round_that_belong_to_no_row_join_the_others(
    world: World,
) -> None:
    fails(world, 3)
    world.sim.faults.add("rows_foreign", rows=1, count=2)

    job = collected(world, drop(world))

    bucket, name = split_uri(there(there(job.results).strangers))
    text = world.gcs.bucket(bucket).blob(name).download_as_text()
    assert job.strangers == len(text.splitlines()) == 2


@pytest.mark.parametrize("what", ["results.jsonl", "strangers.jsonl"])
def test_results_of_a_round_that_are_gone_are_made_again(
    world: World, what: str
) -> None:
    fails(world, 3)
    world.sim.faults.add("rows_foreign", rows=1, count=2)
    dropped = drop(world)
    ended(world, dropped)
    world.collect()
    job = world.job(dropped)
    world.ticks_until(lambda: round_of(world, job).is_done)
    bucket, name = split_uri(there(round_of(world, job).results).uri)
    name = name.replace("results.jsonl", what)
    world.gcs.bucket(bucket).blob(name).delete()

    job = collected(world, dropped)

    assert outcomes(world, job) == ["ok"] * 20
    assert job.strangers == 2
    assert len(world.batches()) == 2


def test_a_round_whose_answers_are_gone_too_heals_nothing(world: World) -> None:
    fails(world, 3)
    dropped = drop(world)
    ended(world, dropped)
    world.collect()
    job = world.job(dropped)
    world.ticks_until(lambda: round_of(world, job).is_done)
    sent = round_of(world, job)
    for uri in (there(sent.results).uri, there(there(sent.batch).output_directory)):
        bucket, prefix = split_uri(uri)
        for blob in world.gcs.list_blobs(bucket, prefix=prefix):
            blob.delete()
    for uri in world.storage.names(world.traces.folder(sent.id)):
        bucket, name = split_uri(uri)
        if name.endswith("answers.json"):
            world.gcs.bucket(bucket).blob(name).delete()

    job = collected(world, dropped)

    assert outcomes(world, job)[2] == "failed"
    assert there(job.skipped).code is SkipCode.NONE_HEALED
    assert len(world.batches()) == 2
