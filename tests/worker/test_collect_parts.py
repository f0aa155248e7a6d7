"""The results of a split job: those of its parts, once all of them are done."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from google.cloud import firestore

from batchdrop.jobs.codes import HealthCode, Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Drop
from batchdrop.stored import split_uri
from tests.often import mostly
from tests.there import there
from tests.worker.backends import BOTH
from tests.worker.batches import vanish
from tests.worker.collecting import (
    A_BATCH,
    collected,
    lines,
    outcomes,
    question,
    questions,
)
from tests.worker.collecting import submit as submit_whole
from tests.worker.dying import Killed, at, die
from tests.worker.split_jobs import announced_types, parts
from tests.worker.world import Wire, World

#: What a tick, and then the collector of a split job, pass in this order.
POINTS = (
    "collect_parts_counted",
    "collect_woken",
    "collect_taken",
    "collect_indexed",
    "collect_composed",
    "collect_parts_written",
    "collect_collected",
    "collect_announcing",
)


def submit(world: World, text: str, rows: int = 2, **options: Any) -> Drop:
    """Drops a file that is split into parts of so many rows, and has them sent."""
    drop = submit_whole(world, text, part_rows=rows, **options)
    world.tick()
    return drop


def parts_done(world: World, drop: Drop) -> Job:
    """The split job once its parts are done, which it doesn't know yet."""
    world.ticks_until(
        lambda: all(part.is_done for part in parts(world, world.job(drop))),
        every=A_BATCH,
    )
    return world.job(drop)


def text_of(world: World, uri: str) -> bytes:
    bucket, name = split_uri(uri)
    found: bytes = world.gcs.bucket(bucket).blob(name).download_as_bytes()
    return found


def ready(world: World) -> list[str]:
    """The results that were announced, once for each announcement."""
    bodies = [json.loads(one.body) for one in world.announced]
    return [body["results"]["uri"] for body in bodies if body["results"]]


@pytest.fixture(scope="module")
def whole(lasting: World) -> Job:
    """
    A split job that is collected. Its file has five good lines, and one that is
    refused, in two parts; the batch of each has an answer to no row.
    """
    lasting.sim.faults.add("rows_foreign", rows=1, count=2)
    good = [question(n, key=f"own-{n}", customer=n) for n in range(1, 6)]
    text = lines(good[:2]) + "not json\n" + lines(good[2:])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("batchdrop.results.writing.EVERY", 2)
        drop = submit(lasting, text, rows=3, on_invalid="skip")
        assert expiring(lasting, parts_done(lasting, drop)) == [False, False]
        job = collected(lasting, drop)
    lasting.ticks(1)
    return job


def expiring(world: World, job: Job) -> list[bool]:
    """Whether the document of each part expires."""
    jobs = world.database.collection("jobs")
    documents = [there(jobs.document(id).get().to_dict()) for id in job.parts]
    return ["expire_at" in one for one in documents]


def test_parts_that_are_done_make_the_results_of_the_file(
    lasting: World, whole: Job
) -> None:
    found = lasting.results(whole)
    assert [one["line"] for one in found] == [1, 2, 3, 4, 5, 6]
    assert [one.get("key") for one in found] == [
        *("own-1", "own-2", None),
        *("own-3", "own-4", "own-5"),
    ]
    results = there(whole.results)
    folder = f"gs://{lasting.settings.output.bucket}/reviews.jsonl/{whole.id}/"
    assert results.uri == f"{folder}results.jsonl"
    assert results.bytes == len(text_of(lasting, results.uri))
    assert (whole.rows.total, whole.rows.ok, whole.rows.refused) == (6, 5, 1)
    assert there(whole.usage).total == sum(
        there(part.usage).total for part in parts(lasting, whole)
    )
    assert there(whole.cost).micros == sum(
        there(part.cost).micros for part in parts(lasting, whole)
    )
    assert announced_types(lasting) == ["succeeded", "ready"]
    assert ready(lasting) == [results.uri]
    assert whole.resumes == 0


def test_each_part_of_a_split_file_has_results_of_its_own(
    lasting: World, whole: Job
) -> None:
    found = []
    for n, part in enumerate(parts(lasting, whole)):
        assert part.is_done
        assert f"/part-{n:04}/" in there(part.results).uri
        found += lasting.results(part)
    assert [one["line"] for one in found] == [1, 2, 3, 4, 5, 6]
    assert Counter(one["outcome"] for one in found) == {"ok": 5, "refused": 1}
    assert lasting.results(whole) == found


def test_the_index_finds_a_result_of_each_part(lasting: World, whole: Job) -> None:
    results = there(whole.results)
    index = json.loads(text_of(lasting, there(results.index)))
    text = text_of(lasting, results.uri)
    assert [before for before, _ in index["offsets"]] == [0, 2, 4]
    assert index["lines"] == 6
    for before, byte in index["offsets"]:
        assert json.loads(text[byte:].split(b"\n")[0])["line"] == before + 1


def test_answers_to_no_row_of_any_part_are_in_one_object(
    lasting: World, whole: Job
) -> None:
    beside = [there(part.results).strangers for part in parts(lasting, whole)]
    assert len([one for one in beside if one]) == whole.strangers == 2
    assert text_of(lasting, there(there(whole.results).strangers)) == b"".join(
        text_of(lasting, one) for one in beside if one
    )


def test_a_document_of_a_part_expires_only_once_its_file_is_collected(
    lasting: World, whole: Job
) -> None:
    assert expiring(lasting, whole) == [True, True]


@BOTH
def test_rows_of_a_part_that_was_never_sent_are_missing(world: World) -> None:
    world.choose(results="on", part_rows=2)
    drop = world.upload(questions(4))
    world.wire.creates = [Wire.says(400)]
    world.worker.take(drop)

    job = collected(world, drop)

    assert sorted(Counter(outcomes(world, job)).items()) == [("missing", 2), ("ok", 2)]
    missing = [one for one in world.results(job) if one["outcome"] == "missing"]
    assert {one["error"]["status"] for one in missing} == {"service_refused"}
    assert (job.rows.ok, job.rows.missing) == (2, 2)
    assert announced_types(world) == ["partially_succeeded", "ready"]


def test_rows_of_parts_that_were_cancelled_or_lost_are_missing(world: World) -> None:
    world.sim.faults.add("stuck_running")
    drop = submit(world, questions(4), max_active_jobs=1)
    world.ticks(2)
    [sent] = [part for part in parts(world, world.job(drop)) if part.batch]
    vanish(world, sent)
    world.choose(paused=True)
    world.ticks(5, timedelta(minutes=20))
    world.worker.commands.cancel(drop.job_id, "ada")

    job = collected(world, drop)

    assert {part.outcome for part in job.parts.values()} == {"lost", "cancelled"}
    lost = range(there(sent.part).first, there(sent.part).last + 1)
    for one in world.results(job):
        why = "lost" if one["line"] in lost else "cancelled"
        assert (one["outcome"], one["error"]["status"]) == ("missing", why)
    assert (job.rows.total, job.rows.missing) == (4, 4)


def test_a_split_job_that_was_cancelled_before_it_was_sent_has_results(
    world: World,
) -> None:
    world.choose(paused=True)
    drop = submit(world, questions(3))
    world.worker.commands.cancel(drop.job_id, "ada")

    job = collected(world, drop)

    assert job.outcome == "cancelled"
    assert outcomes(world, job) == ["missing"] * 3
    assert {one["error"]["message"] for one in world.results(job)} == {
        "cancelled by ada"
    }
    assert there(job.cost).micros == 0


def test_without_results_a_split_job_is_done_when_it_has_ended(world: World) -> None:
    world.choose(results="off", part_rows=2)
    drop = world.upload(questions(4))
    world.worker.take(drop)

    job = world.until_over(drop)

    assert (job.is_done, job.results) == (True, None)
    assert all(part.may_expire for part in parts(world, job))
    assert announced_types(world) == ["succeeded"]


@pytest.mark.proof
@pytest.mark.timeout(400)
def test_a_hundred_parts_that_are_done_at_once_leave_their_split_job_alone(
    world: World,
) -> None:
    world.choose(results="on", paused=True, part_rows=1)
    drop = world.upload(questions(100))
    world.worker.take(drop)
    world.worker.commands.cancel(drop.job_id, "ada")
    world.worker.tick()
    before = world.job(drop)
    woken, world.woken = world.woken, []
    assert len(set(woken)) == 100

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(world.worker.collect, woken))

    assert all(part.is_done for part in parts(world, before))
    assert world.job(drop) == before
    world.ticks(2)
    job = world.job(drop)
    assert job.is_done
    assert [one["line"] for one in world.results(job)] == list(range(1, 101))
    assert ready(world) == [there(job.results).uri]


@pytest.mark.parametrize("point", mostly("collect_parts_written", also=POINTS))
def test_a_collector_of_a_split_job_that_dies_is_followed_by_another_one(
    world: World, point: str
) -> None:
    drop = submit(world, questions(4))
    parts_done(world, drop)
    world.advance(timedelta(minutes=1))

    with at([point], die) as waiting, suppress(Killed):
        world.tick()
    assert waiting == []
    job = collected(world, drop)
    world.ticks(1)

    assert outcomes(world, job) == ["ok"] * 4
    assert ready(world) == [there(job.results).uri]
    assert there(job.results).uri.endswith(f"/{job.id}/results.jsonl")
    assert job.resumes == 0


@pytest.mark.parametrize("point", mostly("collect_parts_counted", also=POINTS))
def test_a_collector_of_a_split_job_that_wakes_late_changes_nothing(
    world: World, point: str
) -> None:
    drop = submit(world, questions(4))
    parts_done(world, drop)
    world.advance(timedelta(minutes=1))
    seen: list[Job] = []

    def sleep() -> None:
        world.woken.clear()
        world.advance(timedelta(seconds=world.settings.lease))
        seen.append(collected(world, drop))

    with at([point], sleep) as waiting:
        world.tick()
    world.ticks(2)

    assert waiting == []
    job = world.job(drop)
    assert job.results == seen[0].results
    assert outcomes(world, job) == ["ok"] * 4
    assert len(set(ready(world))) == 1


def test_a_split_job_says_which_parts_it_waits_for(world: World) -> None:
    drop = submit(world, questions(4))
    first, second = parts(world, world.job(drop))
    world.advance(A_BATCH)
    world.worker.tick()
    assert world.job(drop).is_over
    second = there(world.ledger.get(second.id))
    world.ledger.advance(second, lambda j: j.park(world.now(), "its bucket is gone"))

    world.ticks(2)

    job = world.job(drop)
    assert there(world.ledger.get(first.id)).is_done
    assert there(job.put_off).message == "1 of 2 parts is not done"
    assert there(job.waiting_for).code == "person"
    health = there(job.health)
    assert health.code is HealthCode.PARTS_HELD
    assert second.id in health.message
    assert "results" not in [*map(str, announced_types(world))]
    version = job.version
    world.ticks(1)
    assert world.job(drop).version == version

    world.worker.commands.unpark(second.id, "ada")
    done = collected(world, drop)
    assert done.health is None
    assert outcomes(world, done) == ["ok"] * 4


def test_a_split_job_says_that_a_part_which_was_not_sent_is_parked(
    world: World,
) -> None:
    world.choose(paused=True)
    drop = submit(world, questions(4))
    part = parts(world, world.job(drop))[0]
    world.ledger.advance(part, lambda j: j.park(world.now(), "workers die on it"))

    world.ticks(1)

    job = world.job(drop)
    assert job.phase is Phase.SPLIT
    assert there(job.health).code is HealthCode.PARTS_HELD

    world.worker.commands.unpark(part.id, "ada")
    world.ticks(1)
    assert world.job(drop).health is None


def test_parts_whose_rows_are_not_those_of_the_file_park_it(world: World) -> None:
    drop = submit(world, questions(4))
    job = parts_done(world, drop)
    part = parts(world, job)[0]
    document = world.database.collection("jobs").document(part.id)
    document.update({"rows.total": 3, "rows.accepted": 3, "rows.ok": 3})

    world.ticks(2)

    job = world.job(drop)
    assert job.is_parked
    assert "the parts have 5 rows (total), the file 4" in there(job.parked).message
    assert job.results is None
    assert "ready" not in announced_types(world)


def test_a_part_whose_document_is_gone_parks_the_file(world: World) -> None:
    drop = submit(world, questions(4))
    job = parts_done(world, drop)
    part = parts(world, job)[0]
    world.database.collection("jobs").document(part.id).delete()

    world.ticks(2)

    message = there(world.job(drop).parked).message
    assert f"1 of 2 parts are gone or can't be read, such as {part.id}" in message


def test_parts_whose_results_nobody_kept_end_their_file_and_expire(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    drop = submit(world, questions(4))
    part = parts(world, parts_done(world, drop))[0]
    document = world.database.collection("jobs").document(part.id)
    document.update({"results": firestore.DELETE_FIELD})

    world.ticks(2)

    job = world.job(drop)
    assert (job.is_done, job.results) == (True, None)
    events = [vars(record).get("event") for record in caplog.records]
    assert "collect.parts_without_results" in events
    assert all(one.may_expire for one in parts(world, job))


def test_results_that_someone_else_has_put_there_stay(world: World) -> None:
    drop = submit(world, questions(4))
    job = parts_done(world, drop)
    name = f"reviews.jsonl/{job.id}/results.jsonl"
    blob = world.gcs.bucket(world.settings.output.bucket).blob(name)
    blob.upload_from_string("mine\n")

    job = collected(world, drop)

    assert blob.download_as_text() == "mine\n"
    assert there(job.results).uri.endswith(f"/results.{job.lease.epoch}.jsonl")
    assert outcomes(world, job) == ["ok"] * 4


def test_a_tick_without_split_jobs_asks_for_them_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    ask = world.ledger.jobs_awaiting

    def noted(most: int, after: str = "") -> list[Job]:
        asked.append(most)
        return ask(most, after)

    monkeypatch.setattr(world.ledger, "jobs_awaiting", noted)
    for name in ("undone_part_count", "held_part_ids"):
        monkeypatch.setattr(world.ledger, name, asked.append)
    # The first tick of an instance runs all stages.
    world.worker.poll.none_outdated_at = None

    world.ticks(1)

    assert len(asked) == 1


@pytest.mark.proof
def test_more_split_jobs_than_a_tick_looks_at_have_their_turns(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchdrop.worker.awaiting.MOST", 2)
    world.choose(results="on", part_rows=1)
    drops = [world.upload(questions(2), f"{n}.jsonl") for n in range(5)]
    for drop in drops:
        world.worker.take(drop)
    jobs = sorted((world.job(drop) for drop in drops), key=lambda job: job.id)
    # The first ones wait for ever.
    for job in jobs[:2]:
        part = parts(world, job)[0]
        world.ledger.advance(part, lambda j: j.park(world.now(), "it is broken"))

    world.ticks(10, timedelta(minutes=4))

    assert [world.job(job.source).is_done for job in jobs] == [
        *(False, False),
        *(True, True, True),
    ]
