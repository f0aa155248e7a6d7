"""Rows that failed go again, and their results are joined before they are published."""

from datetime import timedelta
from typing import Any

import pytest

from batchdrop.jobs.codes import Outcome, SkipCode
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Drop
from batchdrop.stored import split_uri
from tests.there import there
from tests.worker.collecting import collected, ended, outcomes, questions, submit
from tests.worker.dying import Killed, at, die
from tests.worker.world import World

BOTH = pytest.mark.parametrize("world", ["vertex", "developer"], indirect=True)


def fails(world: World, *rows: int, times: int | None = 1, code: int = 503) -> None:
    """The model's server fails at these questions, so many times."""
    for n in rows:
        row = {"row_text": f"question {n}"}
        world.sim.faults.add("row_failed", code=code, match=row, count=times)


def drop(world: World, rows: int = 20, **options: Any) -> Drop:
    return submit(world, questions(rows), **({"retry": 1} | options))


def round_of(world: World, job: Job, n: int = 1) -> Job:
    return there(world.ledger.get(job.round_id(n)))


def results_told(world: World) -> list[Any]:
    return [each for each in world.announced if "results" in each.type]


def published(world: World, job: Job) -> list[str]:
    """The names of the objects in the folder of a job's results."""
    bucket, name = split_uri(there(job.results).uri)
    folder = name.rpartition("/")[0]
    found = world.gcs.list_blobs(bucket, prefix=f"{folder}/")
    names = (blob.name.removeprefix(f"{folder}/") for blob in found)
    return sorted(name for name in names if name.startswith(("results", "strangers")))


@BOTH
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


def test_what_is_gathered_is_deleted_once_it_is_published(world: World) -> None:
    fails(world, 3)

    job = collected(world, drop(world))

    left = world.storage.names(world.traces.folder(job.id))
    left += world.storage.names(world.traces.folder(job.round_id(1)))
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
    bucket, name = split_uri(there(job.staging).uri)
    world.gcs.bucket(bucket).blob(name).delete()

    job = collected(world, dropped)

    assert outcomes(world, job)[2] == "failed"
    assert there(job.skipped).code is SkipCode.REJECTED
    assert job.rounds[1].outcome is Outcome.REJECTED
    assert len(world.batches()) == 1


def test_results_that_the_work_bucket_loses_are_made_again_and_no_round_is_sent_twice(
    world: World,
) -> None:
    fails(world, 3)
    dropped = drop(world)
    ended(world, dropped)
    world.collect()
    job = world.job(dropped)
    world.ticks_until(lambda: round_of(world, job).is_over)
    bucket, name = split_uri(there(job.gathered).uri)
    world.gcs.bucket(bucket).blob(name).delete()

    job = collected(world, dropped)

    assert outcomes(world, job) == ["ok"] * 20
    assert len(world.batches()) == 2
    first, second = job.rounds
    total = there(first.usage).total + there(second.usage).total
    assert there(job.usage).total == total


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    "point",
    ["collect_turned", "collect_healed", "collect_heal_written", "collect_collected"],
)
def test_a_collector_that_dies_between_rounds_changes_nothing(
    world: World, point: str, big: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if big:
        monkeypatch.setattr("batchdrop.results.healing.RANGE", 2000)
        monkeypatch.setattr("batchdrop.results.writing.EVERY", 5)
        monkeypatch.setattr("batchdrop.worker.collect_freeze.MOST", 1000)
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
