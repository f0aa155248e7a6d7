"""Answers that are too many for one go, at lowered sizes: slices, then ranges."""

import json
import logging
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from batchdrop.cli.show import summary
from batchdrop.jobs.codes import HealthCode
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Drop, Location
from batchdrop.stored import CHUNK, split_uri
from batchdrop.worker.collect_steps import Collected
from tests.cloud_storage import CloudStorage
from tests.often import mostly
from tests.results.made import memory_of
from tests.there import there
from tests.worker.backends import BOTH
from tests.worker.collecting import (
    collected,
    ended,
    finished_while_one_sleeps,
    lines,
    outcomes,
    question,
    questions,
    submit,
)
from tests.worker.dying import Killed, at, die
from tests.worker.world import World

RESULTS = "dev.batchdrop.results.ready.v1"
#: What a collector passes from the frozen list on, in this order.
POINTS = (
    "collect_frozen",
    "collect_stepped",
    "collect_sorted",
    "collect_planned",
    "collect_ranged",
    "collect_composed",
    "collect_published",
    "collect_collected",
    "collect_tidied",
)
#: Bytes of a slice and of a range; an answer has some 700.
SIZE = 2000


@pytest.fixture(autouse=True)
def sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchdrop.worker.collect_freeze.MOST", 100)
    monkeypatch.setattr("batchdrop.results.slices.SLICE", SIZE)
    monkeypatch.setattr("batchdrop.results.slices._PIECE", 100)
    monkeypatch.setattr("batchdrop.results.runs.EVERY", 1)
    monkeypatch.setattr("batchdrop.results.ranges.RANGE", SIZE)


def ready(world: World) -> list[str]:
    """The results that were announced, once for each announcement."""
    found = [one for one in world.announced if one.type == RESULTS]
    return [json.loads(one.body)["results"]["uri"] for one in found]


def published(world: World, job: Job) -> list[str]:
    """The names of all results and strangers beside the answers of a job."""
    home = Location(
        bucket=world.settings.output.bucket, prefix=f"{job.source.name}/{job.id}/"
    )
    names = [one.name.rpartition("/")[2] for one in world.storage.listed(home)]
    return [name for name in names if name.startswith(("results", "strangers"))]


def objects(world: World, job: Job) -> list[Any]:
    """The objects that the API has written its answers to."""
    assert job.batch is not None
    place = Location.parse(job.batch.output_directory or "")
    return list(world.gcs.list_blobs(place.bucket, prefix=place.prefix))


def steps(world: World, job: Job) -> dict[str, Drop]:
    """What the steps have written, by name."""
    home = Location(
        bucket=world.settings.work.bucket,
        prefix=f"{world.settings.work.prefix}{job.id}/collect-0/",
    )
    found = [
        (one.name.removeprefix(home.prefix), one) for one in world.storage.listed(home)
    ]
    return {name.partition("/")[2]: one for name, one in found if "/" in name}


def delete(world: World, drop: Drop) -> None:
    world.storage.delete(f"gs://{drop.bucket}/{drop.name}")


def data_of(world: World, job: Job, record: str) -> Drop:
    """The object with the data of a step that is done."""
    found = steps(world, job)
    (name,) = [
        each
        for each in found
        if each.startswith(f"{record}.") and not each.endswith(".json")
    ]
    return found[name]


def odd(world: World) -> Drop:
    """A file whose answers are odd in most ways that there are."""
    for fault, n in (("row_failed", 2), ("row_blocked", 3), ("row_max_tokens", 4)):
        world.sim.faults.add(fault, match={"row_text": f"question {n}"})
    world.sim.faults.add("rows_doubled", rows=2)
    world.sim.faults.add("rows_foreign", rows=1)
    world.sim.faults.add("rows_missing", rows=2)
    world.sim.faults.add("output_torn")
    made = [question(n, key=f"k{n}", column=n) for n in range(1, 12)]
    return submit(world, lines(made) + "not json\n\n" + questions(3), on_invalid="skip")


@BOTH
def test_results_by_steps_are_those_of_one_go(world: World) -> None:
    drop = odd(world)
    before = ended(world, drop)
    job = collected(world, drop)
    found = world.results(job)
    assert there(job.results).strangers is not None
    text = b"".join(world.storage.chunks(there(there(job.results).strangers)))

    home = f"gs://{world.settings.output.bucket}/{drop.name}/{job.id}/"
    for name in published(world, job):
        world.storage.delete(f"{home}{name}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("batchdrop.worker.collect_freeze.MOST", 10**9)
        merge = world.worker.collector.steps["merge"]
        learnt = merge(replace(job, collecting=before.collecting))

    assert isinstance(learnt, Collected)
    other = learnt.changes
    assert found == world.results(replace(job, results=other["results"]))
    assert there(job.results).crc32c == other["results"].crc32c
    rows = replace(other["rows"], fixed=job.rows.fixed)
    assert (job.rows, job.usage, job.failures) == (
        rows,
        other["usage"],
        other["failures"],
    )
    assert (job.cost, job.no_cost) == (other.get("cost"), other.get("no_cost"))
    counts = (job.strangers, job.superseded, job.same_rows)
    assert counts == tuple(other[n] for n in ("strangers", "superseded", "same_rows"))
    assert sorted(text.splitlines()) == sorted(
        b"".join(world.storage.chunks(other["results"].strangers)).splitlines()
    )
    short = job.answers_short
    assert (short and short.message) == other["answers_short"]


@pytest.mark.proof
def test_the_index_leads_to_each_place(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchdrop.results.writing.EVERY", 2)
    drop = submit(world, questions(15))

    job = collected(world, drop)

    named = there(job.results)
    index = json.loads(b"".join(world.storage.chunks(there(named.index))))
    text = b"".join(world.storage.chunks(named.uri))
    assert index["lines"] == 15
    assert len(index["offsets"]) > 5
    for before, position in index["offsets"]:
        assert text[:position].count(b"\n") == before
        assert text[position - 1 : position] in (b"", b"\n")


@BOTH
def test_answers_are_read_twice_and_written_twice(
    world: World, cloud: CloudStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchdrop.results.slices.SLICE", 2500)
    monkeypatch.setattr("batchdrop.results.ranges.RANGE", 9000)
    drop = submit(world, questions(ROWS := 25))
    ended(world, drop)
    sizes: dict[str, int] = {}

    def look() -> None:
        sizes.update((n, one.size) for n, one in steps(world, world.job(drop)).items())

    with at(["collect_published"], look) as waiting:
        world.collect()

    job = world.job(drop)
    assert waiting == []
    assert outcomes(world, job) == ["ok"] * ROWS
    (answers,) = objects(world, job)
    source = answers.name if world.settings.backend == "vertex" else "answers.jsonl"
    runs = {
        n: size for n, size in sizes.items() if n[:4] == "run-" and ".json" not in n
    }
    segments = {
        n: size for n, size in sizes.items() if n[:8] == "segment-" and ".json" not in n
    }
    assert len(runs) > 3
    assert len(segments) > 1
    read = sum(n for name, n in cloud.reads.items() if name.endswith(source))
    # A slice completes its last line.
    assert answers.size <= read <= answers.size * 1.6
    again = sum(n for name, n in cloud.reads.items() if name.rpartition("/")[2] in runs)
    # Of each run a range may read an answer too many, before its own and behind them.
    beside = 2 * answers.size / ROWS * len(runs) * len(segments)
    assert again <= sum(runs.values()) + beside < 2.5 * sum(runs.values())
    assert not any(name.rpartition("/")[2] in segments for name in cloud.reads)
    assert sum(runs.values()) <= answers.size * 1.2


@pytest.mark.proof
def test_objects_that_can_not_be_deleted_keep_no_job(
    world: World, cloud: CloudStorage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    cloud.refuses = {world.settings.work.bucket: {"DELETE"}}
    drop = submit(world, questions(10))

    job = collected(world, drop)

    assert ready(world) == [there(job.results).uri]
    assert steps(world, job) != {}
    events = [vars(record).get("event") for record in caplog.records]
    assert events.count("collect.objects_left") == 1


@pytest.mark.proof  # all points in turn: below
@pytest.mark.parametrize("point", POINTS)
def test_a_collector_that_dies_is_followed_by_one_that_goes_on(
    world: World, cloud: CloudStorage, point: str
) -> None:
    drop = submit(world, questions(10))
    ended(world, drop)

    with at([point], die) as waiting, suppress(Killed):
        world.collect()
    assert waiting == []
    read = cloud.reads.copy()
    job = collected(world, drop)
    world.ticks(1)

    assert outcomes(world, job) == ["ok"] * 10
    assert ready(world) == [there(job.results).uri]
    assert published(world, job) == ["results.index.json", "results.jsonl"]
    assert job.resumes == 0
    (answers,) = objects(world, job)
    if point not in POINTS[:3]:
        # All slices were sorted; none is sorted again.
        assert cloud.reads[answers.name] == read[answers.name]


def test_collectors_that_die_at_each_point_in_turn_come_to_the_same_end(
    world: World, cloud: CloudStorage
) -> None:
    drop = submit(world, questions(10))
    ended(world, drop)

    # After the death at the last but one the job is done.
    with at(POINTS[:-1], die) as waiting:
        for _ in POINTS:
            with suppress(Killed):
                world.collect()
            world.advance(timedelta(minutes=11))
            world.worker.tick()
        assert waiting == []
        job = collected(world, drop)

    assert outcomes(world, job) == ["ok"] * 10
    assert ready(world) == [there(job.results).uri]
    assert published(world, job) == ["results.index.json", "results.jsonl"]
    # Each of the four slices is sorted once, though its last line is read to its end.
    (answers,) = objects(world, job)
    assert cloud.reads[answers.name] <= answers.size * 1.2


@pytest.mark.proof  # with all other points: above
@pytest.mark.parametrize("times", [1, 2, 3])
def test_no_slice_is_sorted_twice_by_those_that_follow(
    world: World, cloud: CloudStorage, times: int
) -> None:
    drop = submit(world, questions(10))
    ended(world, drop)
    for _ in range(times):
        with at(["collect_sorted"], die), suppress(Killed):
            world.collect()
        world.advance(timedelta(minutes=11))
        world.worker.tick()

    job = collected(world, drop)

    assert outcomes(world, job) == ["ok"] * 10
    (answers,) = objects(world, job)
    assert cloud.reads[answers.name] <= answers.size * 1.6


@pytest.mark.proof
@pytest.mark.parametrize("point", POINTS)
def test_a_collector_that_sleeps_while_another_one_finishes_changes_nothing(
    world: World, cloud: CloudStorage, point: str
) -> None:
    drop = submit(world, questions(10))
    ended(world, drop)

    seen = finished_while_one_sleeps(world, drop, point)

    assert world.job(drop).results == seen.results
    assert outcomes(world, world.job(drop)) == ["ok"] * 10
    assert len(set(ready(world))) == 1
    assert published(world, seen) == ["results.index.json", "results.jsonl"]


@pytest.mark.parametrize("point", mostly("collect_ranged", also=["collect_sorted"]))
def test_of_two_collectors_the_document_names_what_it_counts(
    world: World, point: str
) -> None:
    made = [question(n, key=f"k{n}") for n in range(1, 7)]
    drop = submit(world, lines(made))
    sidecar = there(ended(world, drop).staging).sidecar

    def sleep() -> None:
        world.woken.clear()
        world.storage.delete(there(sidecar))
        collected(world, drop)

    with at([point], sleep) as waiting:
        world.collect()
    world.ticks(2)

    job = world.job(drop)
    assert waiting == []
    named = there(job.results)
    bucket, name = split_uri(named.uri)
    blob = there(world.gcs.bucket(bucket).get_blob(name))
    assert (blob.crc32c, blob.size) == (named.crc32c, named.bytes)
    assert outcomes(world, job) == ["ok"] * 6
    assert job.columns_lost is not None
    assert ready(world) == [named.uri]


@pytest.mark.parametrize("n", mostly(1, also=[0]))
@pytest.mark.parametrize(
    ("point", "what"),
    mostly(
        ("collect_ranged", "segment"),
        also=[
            ("collect_sorted", "run"),
            ("collect_planned", "run"),
            ("collect_ranged", "run"),
        ],
    ),
)
def test_what_is_gone_is_made_again(
    world: World, point: str, what: str, n: int
) -> None:
    drop = submit(world, questions(6))
    job = ended(world, drop)
    passed: list[str] = []

    def lose() -> None:
        passed.append(point)
        if len(passed) == n + 1:
            delete(world, data_of(world, job, f"{what}-{n:05}"))

    with at([point] * (n + 1), lose):
        job = collected(world, drop)

    assert outcomes(world, job) == ["ok"] * 6
    assert published(world, job) == ["results.index.json", "results.jsonl"]


@pytest.mark.parametrize(
    "record", mostly("plan.json", also=["run-00000.json", "segment-00000.json"])
)
def test_a_record_that_is_gone_is_made_again(world: World, record: str) -> None:
    drop = submit(world, questions(6))
    job = ended(world, drop)

    def lose() -> None:
        delete(world, steps(world, job)[record])

    with at(["collect_ranged"], lose) as waiting:
        job = collected(world, drop)

    assert waiting == []
    assert outcomes(world, job) == ["ok"] * 6


@pytest.mark.proof
def test_a_job_whose_objects_are_deleted_again_and_again_is_parked(
    world: World,
) -> None:
    drop = submit(world, questions(10))
    job = ended(world, drop)

    def lose() -> None:
        delete(world, data_of(world, job, "run-00000"))

    with at(["collect_planned"] * 20, lose):
        world.ticks_until(lambda: world.job(drop).is_parked, every=timedelta(minutes=1))
    job = world.job(drop)
    assert "deleted again and again" in there(job.parked).message

    now = world.now()
    world.ledger.advance(job, lambda j: j.unpark("a test", now))
    assert outcomes(world, collected(world, drop)) == ["ok"] * 10


@pytest.mark.parametrize("point", mostly("collect_sorted", also=["collect_frozen"]))
def test_answers_that_are_replaced_between_slices_are_listed_anew(
    world: World, point: str
) -> None:
    drop = submit(world, questions(6))
    job = ended(world, drop)
    (answers,) = objects(world, job)
    text = answers.download_as_bytes()

    def replaced() -> None:
        answers.upload_from_string(text.replace(b"question", b"other"))

    with at([point], replaced) as waiting:
        job = collected(world, drop)

    assert waiting == []
    assert outcomes(world, job) == ["ok"] * 6
    assert all("other" in one["text"] for one in world.results(job))
    assert steps(world, job) == {}


@pytest.mark.proof
def test_answers_that_are_sorted_and_too_few_are_waited_for(
    world: World, cloud: CloudStorage
) -> None:
    drop = submit(world, questions(10))
    job = ended(world, drop)
    (answers,) = objects(world, job)
    text = answers.download_as_bytes()
    answers.upload_from_string(b"".join(text.splitlines(keepends=True)[:9]))
    world.collect()
    waits = world.job(drop)
    assert there(waits.collecting).step == "freeze"
    assert there(waits.waiting_for).message == "9 of 10 answers are there"
    read = cloud.reads[answers.name]
    world.ticks(3)
    assert cloud.reads[answers.name] == read

    answers.upload_from_string(text)
    job = collected(world, drop)

    assert outcomes(world, job) == ["ok"] * 10
    assert job.health is None


@pytest.mark.proof
def test_answers_that_stay_too_few_are_sorted_once(
    world: World, cloud: CloudStorage
) -> None:
    world.sim.faults.add("rows_missing", rows=2)
    drop = submit(world, questions(10))

    job = collected(world, drop)

    assert sorted(outcomes(world, job)) == ["missing"] * 2 + ["ok"] * 8
    assert job.answers_short is not None
    (answers,) = objects(world, job)
    assert cloud.reads[answers.name] <= answers.size * 1.7


@pytest.mark.parametrize("lost", mostly("", also=["-taken", "marks"]))
def test_answers_without_an_id_are_joined_over_all_slices(
    world: World, lost: str
) -> None:
    world.sim.faults.add("rows_without_key", rows=10)
    drop = submit(world, lines([question(min(n, 7)) for n in range(1, 11)]))
    job = ended(world, drop)

    def lose() -> None:
        found = steps(world, job)
        for name in found:
            if lost and lost in name:
                delete(world, found[name])

    with at(["collect_sorted"], lose) as waiting:
        job = collected(world, drop)

    assert waiting == []
    assert outcomes(world, job) == ["ok"] * 10
    found = world.results(job)
    assert all(f"question {min(one['line'], 7)}" in one["text"] for one in found)
    assert (job.same_rows, job.strangers, job.superseded) == (4, 0, 0)


@pytest.mark.proof
def test_rows_that_are_copied_anew_while_they_are_read_are_not_gone(
    world: World, cloud: CloudStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchdrop.results.slices.SLICE", 10**6)
    world.sim.faults.add("rows_without_key", rows=10)
    drop = submit(world, questions(10))
    staging = there(ended(world, drop).staging)
    bucket, name = split_uri(staging.uri)
    rows = world.gcs.bucket(bucket).blob(name)
    # Blank lines make them more than one request reads.
    rows.upload_from_string(rows.download_as_bytes() + b"\n" * CHUNK)
    cloud.meanwhile = lambda: world.storage.renew(
        there(world.storage.find(bucket, name))
    )

    job = collected(world, drop)

    assert cloud.meanwhile is None
    assert outcomes(world, job) == ["ok"] * 10
    assert job.strangers == 0


@pytest.mark.proof
def test_a_shard_beside_the_final_object_adds_only_what_that_lacks(
    world: World,
) -> None:
    drop = submit(world, questions(10))
    job = ended(world, drop)
    (final,) = objects(world, job)
    answers = final.download_as_bytes().splitlines(keepends=True)
    shard = final.name.replace("predictions.jsonl", "predictions-00000-of-00002.jsonl")
    final.bucket.blob(shard).upload_from_string(b"".join(answers[:7]))
    final.upload_from_string(b"".join(answers[1:]))

    world.advance(timedelta(minutes=11))
    job = collected(world, drop)

    assert outcomes(world, job) == ["ok"] * 10
    assert (job.strangers, job.superseded) == (0, 6)


def test_answers_that_take_more_memory_than_their_bytes_say_are_sorted(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("batchdrop.worker.collect_freeze.MOST", 10**9)
    caplog.set_level(logging.INFO)
    drop = submit(world, questions(6))
    job = ended(world, drop)
    (answers,) = objects(world, job)
    text = answers.download_as_bytes()
    answers.upload_from_string(b"".join(reversed(text.splitlines(keepends=True))))

    with memory_of(2000):
        job = collected(world, drop)

    assert outcomes(world, job) == ["ok"] * 6
    assert "sort" in {vars(one).get("step") for one in caplog.records}
    assert published(world, job) == ["results.index.json", "results.jsonl"]


def test_slices_are_counted_while_they_are_read_and_deleted_once_the_job_is_done(
    world: World,
) -> None:
    drop = submit(world, questions(10))
    ended(world, drop)
    shown: list[str] = []

    with at(["collect_planned"], lambda: shown.extend(summary(world.job(drop), None))):
        world.collect()

    assert "collecting: sort (3 done)" in shown
    job = world.job(drop)
    assert job.is_done
    assert steps(world, job) == {}
    assert published(world, job) == ["results.index.json", "results.jsonl"]


@pytest.mark.proof
def test_results_never_replace_an_object_of_the_users(
    world: World, cloud: CloudStorage
) -> None:
    drop = submit(world, questions(10))
    job = ended(world, drop)
    theirs = f"gs://{world.settings.output.bucket}/{drop.name}/{job.id}/results.jsonl"
    world.storage.create(theirs, b"theirs")

    job = collected(world, drop)

    assert b"".join(world.storage.chunks(theirs)) == b"theirs"
    assert there(job.results).uri.endswith(f"/results.{job.lease.epoch}.jsonl")
    assert outcomes(world, job) == ["ok"] * 10


@pytest.mark.proof
def test_a_bucket_that_may_not_be_written_to_is_waited_for(
    world: World, cloud: CloudStorage
) -> None:
    drop = submit(world, questions(10))
    ended(world, drop)
    cloud.refuses = {world.settings.output.bucket: {"POST", "PUT"}}
    world.collect()

    waits = world.job(drop)
    assert waits.health is not None
    assert waits.health.code == HealthCode.NOT_ALLOWED
    assert "roles/storage.objectCreator" in there(waits.not_allowed).message
    assert there(waits.collecting).step == "compose"

    cloud.refuses = {}
    assert outcomes(world, collected(world, drop)) == ["ok"] * 10


@pytest.mark.proof
def test_each_step_is_logged_with_its_number(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    drop = submit(world, questions(10))

    collected(world, drop)

    logged = [
        (line["step"], line["n"])
        for line in map(vars, caplog.records)
        if line.get("event") == "collect.step"
    ]
    sorts = [n for step, n in logged if step == "sort"]
    assert sorts == list(range(len(sorts)))
    assert {step for step, _ in logged} == {"freeze", "sort", "range"}
