"""Answers that are torn, missing, doubled, foreign or late, and batches that failed."""

import json
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from batchdrop.jobs.codes import HealthCode
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Location
from batchdrop.stored import split_uri
from tests.cloud_storage import CloudStorage
from tests.often import mostly
from tests.worker.backends import BOTH
from tests.worker.batches import vanish
from tests.worker.collecting import (
    collected,
    ended,
    lines,
    outcomes,
    question,
    questions,
    submit,
)
from tests.worker.world import World


def strangers(world: World, job: Job) -> list[dict[str, Any]]:
    assert job.results is not None
    assert job.results.strangers is not None
    bucket, name = split_uri(job.results.strangers)
    text = world.gcs.bucket(bucket).blob(name).download_as_text()
    return [json.loads(line) for line in text.splitlines()]


def objects(world: World, job: Job) -> list[Any]:
    """The objects that the API has written its answers to."""
    assert job.batch is not None
    place = Location.parse(job.batch.output_directory or "")
    return list(world.gcs.list_blobs(place.bucket, prefix=place.prefix))


# -- single rows -----------------------------------------------------------------------


@BOTH
def test_rows_that_failed_were_blocked_or_cut_off_are_counted(world: World) -> None:
    for fault, n in (("row_failed", 2), ("row_blocked", 3), ("row_max_tokens", 4)):
        world.sim.faults.add(fault, match={"row_text": f"question {n}"})
    drop = submit(world, questions(5))

    job = collected(world, drop)

    expected = ["ok", "failed", "blocked", "truncated", "ok"]
    assert outcomes(world, job) == expected
    rows = job.rows
    assert (rows.ok, rows.failed, rows.blocked, rows.truncated) == (2, 1, 1, 1)
    (failure,) = job.failures
    assert (failure.count, failure.example) == (1, "r0000002")


def test_answers_that_are_fewer_than_counted_are_waited_for(world: World) -> None:
    drop = submit(world, questions(4))
    job = ended(world, drop)
    (answers,) = objects(world, job)
    text = answers.download_as_bytes()
    answers.upload_from_string(b"".join(text.splitlines(keepends=True)[:3]))
    world.collect()
    waits = world.job(drop)
    assert waits.waiting_for is not None
    assert waits.waiting_for.code == "answers"
    assert waits.waiting_for.message == "3 of 4 answers are there"

    answers.upload_from_string(text)
    job = collected(world, drop)

    assert outcomes(world, job) == ["ok"] * 4
    assert job.health is None


@BOTH
def test_rows_without_an_answer_are_missing_and_answers_to_no_row_are_strangers(
    world: World,
) -> None:
    world.sim.faults.add("rows_missing", rows=2)
    world.sim.faults.add("rows_doubled", rows=2)
    world.sim.faults.add("rows_foreign", rows=1)
    drop = submit(world, questions(10))

    job = collected(world, drop)

    assert Counter(outcomes(world, job)) == {"ok": 8, "missing": 2}
    assert job.rows.missing == 2
    assert job.answers_short is not None
    assert "counts 10 answers, and 8 rows have one" in job.answers_short.message
    found = strangers(world, job)
    assert job.strangers + job.superseded == 3
    assert len(found) == job.strangers
    assert "no_such_row" in {one["why"] for one in found}


@pytest.mark.proof  # in tests/results
@BOTH
def test_a_torn_last_line_is_a_stranger_and_its_row_is_missing(world: World) -> None:
    world.sim.faults.add("output_torn")
    drop = submit(world, questions(4))

    job = collected(world, drop)

    assert Counter(outcomes(world, job)) == {"ok": 3, "missing": 1}
    assert [one["why"] for one in strangers(world, job)] == ["unreadable"]


@pytest.mark.proof  # in tests/results
def test_answers_without_an_id_are_joined_by_what_they_answer(world: World) -> None:
    world.sim.faults.add("rows_without_key", rows=5)
    drop = submit(world, questions(5))

    job = collected(world, drop)

    found = world.results(job)
    assert {one["outcome"] for one in found} == {"ok"}
    assert all(f"question {one['line']}" in one["text"] for one in found)


def test_vectors_without_an_id_are_joined_by_what_was_embedded(world: World) -> None:
    world.sim.faults.add("rows_without_key", rows=2)
    rows = [{"text": text, "key": text} for text in ("Hello", "Good day to you")]
    drop = submit(world, lines(rows), model="gemini-embedding-2")

    job = collected(world, drop)

    found = world.results(job)
    assert [one["key"] for one in found] == ["Hello", "Good day to you"]
    assert [one["usage"]["prompt"] for one in found] == [2, 4]


@pytest.mark.proof  # in tests/results
def test_equal_rows_without_ids_each_take_one_of_the_equal_answers(
    world: World,
) -> None:
    world.sim.faults.add("rows_without_key", rows=1000)
    drop = submit(world, lines([question(1)] * 1000))

    job = collected(world, drop)

    assert Counter(outcomes(world, job)) == {"ok": 1000}
    assert job.strangers == 0
    assert job.same_rows == 1000


# -- objects ---------------------------------------------------------------------------


def test_the_rows_of_a_shard_that_is_gone_are_missing(world: World) -> None:
    world.sim.faults.add("output_sharded", shards=3)
    drop = submit(world, questions(10))
    job = ended(world, drop)
    _, gone, _ = objects(world, job)
    lost = len(gone.download_as_bytes().splitlines())
    gone.delete()

    job = collected(world, drop)

    # Those of the others are read.
    assert Counter(outcomes(world, job)) == {"ok": 10 - lost, "missing": lost}
    assert lost in (3, 4)
    assert job.answers_short is not None


def test_a_shard_beside_the_final_object_adds_only_what_that_lacks(
    world: World,
) -> None:
    drop = submit(world, questions(5))
    job = ended(world, drop)
    (final,) = objects(world, job)
    answers = final.download_as_bytes().splitlines(keepends=True)
    shard = final.name.replace("predictions.jsonl", "predictions-00000-of-00002.jsonl")
    final.bucket.blob(shard).upload_from_string(b"".join(answers[:3]))

    job = collected(world, drop)

    assert outcomes(world, job) == ["ok"] * 5
    assert (job.strangers, job.superseded) == (0, 3)


@pytest.mark.proof  # in tests/results
def test_rows_of_an_empty_object_are_missing(world: World) -> None:
    drop = submit(world, questions(3))
    job = ended(world, drop)
    (answers,) = objects(world, job)
    answers.upload_from_string(b"")

    job = collected(world, drop)

    assert outcomes(world, job) == ["missing"] * 3
    assert job.answers_short is not None


def test_answers_that_are_overwritten_while_they_are_merged_are_listed_anew(
    world: World,
) -> None:
    drop = submit(world, questions(3))
    job = ended(world, drop)
    (answers,) = objects(world, job)
    text = answers.download_as_bytes()
    frozen = world.worker.collector.steps["freeze"]
    frozen(world.job(drop))

    answers.upload_from_string(text.replace(b"question", b"other"))
    job = collected(world, drop)

    assert all("other" in one["text"] for one in world.results(job))


# -- batches ---------------------------------------------------------------------------


def test_a_batch_that_failed_leaves_its_rows_missing_with_its_error(
    world: World,
) -> None:
    world.sim.faults.add("failed", code=13, message="The model broke.")
    drop = submit(world, questions(3))

    job = collected(world, drop)

    found = world.results(job)
    assert [one["outcome"] for one in found] == ["missing"] * 3
    assert all("The model broke." in one["error"]["message"] for one in found)
    assert job.outcome == "failed"
    assert job.rows.missing == 3


@pytest.mark.parametrize(
    ("fault", "outcome"),
    mostly(
        ("expired", "expired"),
        also=[("failed", "failed"), ("partially_succeeded", None)],
    ),
)
def test_a_batch_that_ended_early_leaves_the_answers_that_it_has(
    world: World, fault: str, outcome: str | None
) -> None:
    world.sim.faults.add(fault, rows=0.5)
    drop = submit(world, questions(10))

    job = collected(world, drop)

    assert job.outcome == (outcome or "partially_succeeded")
    assert Counter(outcomes(world, job)) == {"ok": 5, "missing": 5}


def test_a_batch_that_was_cancelled_leaves_the_answers_that_it_has(
    world: World,
) -> None:
    drop = submit(world, questions(10))
    world.ticks(1, timedelta(minutes=10))
    now = world.now()
    world.ledger.advance(world.job(drop), lambda j: j.request_cancel("a test", now))
    world.tick()

    job = collected(world, drop)

    assert job.outcome == "cancelled"
    assert sum(Counter(outcomes(world, job)).values()) == 10
    assert job.rows.total == 10


def test_the_rows_of_a_batch_that_is_lost_are_missing(world: World) -> None:
    drop = submit(world, questions(3))
    vanish(world, world.job(drop))

    job = collected(world, drop)

    assert job.outcome == "lost"
    assert (job.cost, job.no_cost) == (None, "the API does not know the batch any more")
    found = world.results(job)
    assert [one["outcome"] for one in found] == ["missing"] * 3
    assert "does not know" in found[0]["error"]["message"]


@BOTH
def test_the_rows_of_a_batch_that_names_no_output_are_missing(world: World) -> None:
    world.sim.faults.add("output_late", for_ever=True)
    drop = submit(world, questions(3))

    job = collected(world, drop)

    assert job.error is not None
    assert job.error.code == "no_output"
    assert outcomes(world, job) == ["missing"] * 3
    assert job.cost is None
    assert job.no_cost == "the API never named the answers, which it may have charged"


@pytest.mark.proof  # see test_late_output.py
@BOTH
def test_answers_that_are_named_late_are_collected(world: World) -> None:
    world.sim.faults.add("output_late", seconds=300)
    drop = submit(world, questions(3))

    job = collected(world, drop)

    assert outcomes(world, job) == ["ok"] * 3


@pytest.mark.proof  # as of one that failed
def test_the_rows_of_a_batch_whose_export_failed_are_missing(world: World) -> None:
    world.sim.faults.add("export_failed")
    drop = submit(world, questions(3))

    job = collected(world, drop)

    assert outcomes(world, job) == ["missing"] * 3
    assert job.outcome == "failed"


# -- the file and the bucket -----------------------------------------------------------


@pytest.mark.parametrize("how", mostly("overwritten", also=["deleted"]))
def test_results_need_no_dropped_object(world: World, how: str) -> None:
    drop = submit(world, lines([question(n, key=f"cust-{n}", c=n) for n in (1, 2)]))
    blob = world.gcs.bucket(drop.bucket).blob(drop.name)
    if how == "deleted":
        blob.delete()
    else:
        blob.upload_from_string(questions(7))

    job = collected(world, drop)

    found = world.results(job)
    assert [one["key"] for one in found] == ["cust-1", "cust-2"]
    assert [one["columns"] for one in found] == [{"c": 1}, {"c": 2}]


def test_refused_lines_have_their_results_too(world: World) -> None:
    text = questions(2) + "not json\n\n" + questions(1)
    drop = submit(world, text, on_invalid="skip")

    job = collected(world, drop)

    assert outcomes(world, job) == ["ok", "ok", "refused", "ok"]
    assert [one["line"] for one in world.results(job)] == [1, 2, 3, 5]
    assert (job.rows.total, job.rows.refused, job.rows.ok) == (4, 1, 3)


def test_a_sidecar_that_is_gone_is_told(world: World) -> None:
    drop = submit(world, lines([question(n, key=f"cust-{n}") for n in (1, 2)]))
    job = ended(world, drop)
    assert job.staging is not None
    world.storage.delete(job.staging.sidecar or "")

    job = collected(world, drop)

    assert outcomes(world, job) == ["ok", "ok"]
    assert all("key" not in one for one in world.results(job))
    assert job.health is not None
    assert job.health.code == HealthCode.COLUMNS_LOST


@pytest.mark.proof
def test_a_bucket_that_may_not_be_read_is_waited_for(
    world: World, cloud: CloudStorage
) -> None:
    drop = submit(world, questions(3))
    job = ended(world, drop)
    bucket = world.settings.output.bucket
    cloud.refuses = {bucket: {"GET"}}
    world.collect()

    waits = world.job(drop)
    assert waits.not_allowed is not None
    assert "roles/storage.objectViewer" in waits.not_allowed.message
    assert bucket in waits.not_allowed.message
    assert waits.health is not None
    assert waits.health.code == HealthCode.NOT_ALLOWED
    for _ in range(6):
        world.advance(timedelta(hours=2))
        world.tick()
    waits = world.job(drop)
    assert not waits.is_parked
    assert waits.collecting is not None

    cloud.refuses = {}
    job = collected(world, drop)

    assert outcomes(world, job) == ["ok"] * 3
    assert job.health is None


def test_a_bucket_that_may_not_be_written_to_is_waited_for(
    world: World, cloud: CloudStorage
) -> None:
    drop = submit(world, questions(3))
    ended(world, drop)
    bucket = world.settings.output.bucket
    cloud.refuses = {bucket: {"POST", "PUT"}}
    world.collect()

    waits = world.job(drop)
    assert waits.not_allowed is not None
    assert "roles/storage.objectCreator" in waits.not_allowed.message

    cloud.refuses = {}
    assert outcomes(world, collected(world, drop)) == ["ok"] * 3
