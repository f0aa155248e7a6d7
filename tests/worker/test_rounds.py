"""Rows that failed go again, and their results are joined before they are published."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from batchdrop.jobs.codes import Outcome, SkipCode
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Drop
from batchdrop.stored import split_uri
from batchdrop.worker.collect_parts import parts_of
from tests.there import there
from tests.worker.collecting import collected, ended, outcomes, questions, submit
from tests.worker.dying import Killed, at, die
from tests.worker.world import World

SOON = timedelta(seconds=20)
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


def test_rows_of_the_outcomes_that_are_chosen_go_again(world: World) -> None:
    world.sim.faults.add("row_max_tokens", match={"row_text": "question 3"}, count=1)
    world.sim.faults.add("row_blocked", match={"row_text": "question 5"}, count=1)

    job = collected(world, drop(world, retry_on=("truncated",)))

    found = outcomes(world, job)
    assert (found[2], found[4]) == ("ok", "blocked")
    assert [one.rows for one in job.rounds] == [20, 1]


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


# -- because a person asks for it ------------------------------------------------------


def asked(world: World, dropped: Drop, only: Sequence[str] = ()) -> Job:
    """The job once the round that a person wants is over."""
    world.worker.commands.retry(dropped.job_id, "ada", only)
    return collected(world, dropped)


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


@pytest.mark.parametrize("code", [400, 503])
def test_a_person_who_names_no_outcome_means_passing_failures(
    world: World, code: int
) -> None:
    fails(world, 3, code=code)
    dropped = drop(world, retry=0)
    collected(world, dropped)

    job = asked(world, dropped)

    assert len(world.batches()) == 1 + (code == 503)
    assert (job.skipped is None) == (code == 503)


@pytest.mark.parametrize("only", [[], ["blocked", "empty"]])
def test_a_round_that_no_row_is_meant_by_sends_nothing(
    world: World, only: list[str]
) -> None:
    dropped = drop(world)
    before = collected(world, dropped)

    job = asked(world, dropped, only)

    assert (job.results, job.rounds) == (before.results, ())
    assert there(job.skipped).code is SkipCode.NO_ROWS
    assert len(world.batches()) == len(results_told(world)) == 1


@pytest.mark.parametrize("gone", [SkipCode.STAGING_GONE, SkipCode.RESULTS_GONE])
def test_what_is_gone_sends_no_round(world: World, gone: SkipCode) -> None:
    fails(world, 3)
    dropped = drop(world, retry=0)
    before = collected(world, dropped)
    uri = there(before.staging).uri
    if gone is SkipCode.RESULTS_GONE:
        uri = there(before.results).uri
    bucket, name = split_uri(uri)
    world.gcs.bucket(bucket).blob(name).delete()

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
    ["collect_rows_chosen", "collect_parts_needed", "collect_parts_asked"],
)
def test_a_collector_that_dies_while_it_chooses_rows_sends_them_once(
    world: World, point: str
) -> None:
    fails(world, 8, 18)
    dropped = drop(world, 30, part_rows=10, retry=0)
    collected(world, dropped)

    with at([point], die) as waiting:
        try:
            asked(world, dropped)
        except Killed:
            world.advance(timedelta(seconds=world.settings.lease))
        job = collected(world, dropped)

    assert waiting == []
    assert outcomes(world, job) == ["ok"] * 30
    assert len(world.batches()) == 5
    assert len(results_told(world)) == 2
