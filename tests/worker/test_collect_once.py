"""Several collectors of one job, and collectors that die, sleep or wake late."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest

from batchdrop.jobs.codes import HealthCode
from batchdrop.jobs.job import Job
from batchdrop.jobs.steps import MAX_RESUMES
from batchdrop.stored import split_uri
from tests.often import mostly
from tests.there import there
from tests.worker.backends import DEVELOPER
from tests.worker.collecting import (
    A_BATCH,
    collected,
    ended,
    finished_while_one_sleeps,
    lines,
    outcomes,
    question,
    questions,
    submit,
)
from tests.worker.dying import Killed, at, die, failpoints
from tests.worker.world import World

RESULTS = "dev.batchdrop.results.ready.v1"
#: What a collector passes, in this order; the Developer API's points first.
POINTS = (
    "collect_taken",
    "collect_copied",
    "collect_delivered",
    "collect_frozen",
    "collect_stepped",
    "collect_merged",
    "collect_written",
    "collect_collected",
    "collect_announcing",
)


def ready(world: World) -> list[str]:
    """The results that were announced, once for each announcement."""
    found = [one for one in world.announced if one.type == RESULTS]
    return [json.loads(one.body)["results"]["uri"] for one in found]


def published(world: World, job: Job) -> list[str]:
    """The names of all results beside the answers of a job."""
    prefix = f"{job.source.name}/{job.id}/results"
    bucket = world.settings.output.bucket
    return [
        blob.name.rpartition("/")[2]
        for blob in world.gcs.list_blobs(bucket, prefix=prefix)
        if blob.name.endswith(".jsonl")
    ]


def test_of_many_messages_at_once_one_has_the_job_collected(world: World) -> None:
    drop = submit(world, questions(5))
    job = ended(world, drop)
    world.woken.clear()

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(world.worker.collect, [job.id] * 20))

    after = world.job(drop)
    assert after.is_done
    assert after.lease.epoch == job.lease.epoch + 1
    assert after.results is not None
    assert ready(world) == [after.results.uri]
    assert published(world, job) == ["results.jsonl"]


def test_a_message_for_a_job_that_is_done_or_unknown_changes_nothing(
    world: World,
) -> None:
    drop = submit(world, questions(2))
    job = collected(world, drop)

    world.worker.collect(job.id)
    world.worker.collect("a" * 26)

    assert world.job(drop) == job


@pytest.mark.parametrize(
    "point", mostly("collect_delivered", "collect_written", also=POINTS)
)
@DEVELOPER
def test_a_collector_that_dies_is_followed_by_another_one(
    world: World, point: str
) -> None:
    drop = submit(world, questions(5))
    ended(world, drop)

    with at([point], die) as waiting, suppress(Killed):
        world.collect()
    assert waiting == []
    job = collected(world, drop)
    world.ticks(1)

    assert outcomes(world, job) == ["ok"] * 5
    assert job.results is not None
    assert ready(world) == [job.results.uri]
    assert published(world, job) == ["results.jsonl"]
    assert job.resumes == 0


@pytest.mark.parametrize("point", mostly("collect_merged", also=POINTS))
@DEVELOPER
def test_a_collector_that_sleeps_while_another_one_finishes_changes_nothing(
    world: World, point: str
) -> None:
    drop = submit(world, questions(5))
    ended(world, drop)

    seen = finished_while_one_sleeps(world, drop, point)

    assert world.job(drop).results == seen.results
    assert outcomes(world, world.job(drop)) == ["ok"] * 5
    assert len(set(ready(world))) == 1
    assert published(world, seen) == ["results.jsonl"]


def test_a_shard_that_comes_late_changes_no_results_that_are_being_made(
    world: World,
) -> None:
    world.sim.faults.add("rows_missing", rows=1)
    drop = submit(world, questions(3))
    job = ended(world, drop)
    world.collect()
    world.advance(timedelta(minutes=20))
    world.worker.tick()
    assert job.batch is not None
    bucket = world.gcs.bucket(world.settings.output.bucket)
    prefix = (job.batch.output_directory or "").removeprefix(f"gs://{bucket.name}/")
    late = bucket.blob(f"{prefix}/predictions-00001-of-00002.jsonl")
    answers = [{"key": f"r000000{n}", "status": "late"} for n in (1, 2, 3)]

    def sleep() -> None:
        world.woken.clear()
        late.upload_from_string(lines(answers))
        collected(world, drop)

    with at(["collect_merged"], sleep) as waiting:
        world.collect()

    assert waiting == []
    assert sorted(outcomes(world, world.job(drop))) == ["missing", "ok", "ok"]
    assert published(world, job) == ["results.jsonl"]
    assert len(ready(world)) == 1


@pytest.mark.parametrize("point", mostly("collect_written", also=["collect_merged"]))
def test_of_two_collectors_whose_results_differ_the_document_names_what_it_counts(
    world: World, point: str
) -> None:
    text = lines([question(n, key=f"k{n}") for n in range(1, 4)])
    drop = submit(world, text)
    sidecar = there(ended(world, drop).staging).sidecar
    columns_lost: list[Job] = []

    def sleep() -> None:
        world.woken.clear()
        world.storage.delete(there(sidecar))
        columns_lost.append(collected(world, drop))

    with at([point], sleep):
        world.collect()
    world.ticks(2)

    job = world.job(drop)
    assert job == columns_lost[0]
    named = there(job.results)
    bucket, name = split_uri(named.uri)
    blob = there(world.gcs.bucket(bucket).get_blob(name))
    assert (blob.crc32c, blob.size) == (named.crc32c, named.bytes)
    assert job.columns_lost is not None
    assert all("key" not in line for line in world.results(job))
    assert ready(world) == [named.uri]
    assert len(published(world, job)) == 2


def test_a_collector_that_dies_again_and_again_has_its_job_parked(
    world: World,
) -> None:
    drop = submit(world, questions(2))
    ended(world, drop)

    with failpoints(lambda name: die() if name == "collect_merged" else None):
        while not (job := world.job(drop)).is_parked:
            assert job.resumes <= MAX_RESUMES
            with suppress(Killed):
                world.collect()
            world.advance(timedelta(minutes=11))
            world.worker.tick()
    assert ready(world) == []

    now = world.now()
    world.ledger.advance(job, lambda j: j.unpark("a test", now))
    assert outcomes(world, collected(world, drop)) == ["ok"] * 2


def test_results_never_replace_an_object_of_the_users(world: World) -> None:
    drop = submit(world, questions(2))
    job = ended(world, drop)
    bucket = world.gcs.bucket(world.settings.output.bucket)
    theirs = bucket.blob(f"{drop.name}/{job.id}/results.jsonl")
    theirs.upload_from_string("theirs")

    job = collected(world, drop)

    assert theirs.download_as_text() == "theirs"
    assert job.results is not None
    assert job.results.uri.endswith(f"/results.{job.lease.epoch}.jsonl")
    assert outcomes(world, job) == ["ok"] * 2


def test_a_job_whose_counts_do_not_add_up_is_parked_and_publishes_nothing(
    world: World,
) -> None:
    drop = submit(world, questions(3) + "not json\n", on_invalid="skip")
    job = ended(world, drop)
    assert job.staging is not None
    assert job.staging.lines is not None
    world.storage.delete(job.staging.lines)
    world.storage.create(job.staging.lines, b"\x09")

    world.collect()

    job = world.job(drop)
    assert job.is_parked
    assert job.health is not None
    assert job.health.code == HealthCode.PARKED
    assert job.resumes <= 1
    assert published(world, job) == []
    world.ticks(2, timedelta(minutes=10))
    assert [one.type.split(".")[-2] for one in world.announced].count("stalled") == 1


def test_messages_that_can_not_be_published_are_published_later(world: World) -> None:
    drop = submit(world, questions(2))
    world.pubsub_down = True
    for _ in range(2):
        world.advance(A_BATCH)
        with suppress(ExceptionGroup):
            world.worker.tick()
    assert world.job(drop).collecting is not None
    assert world.woken == []

    world.pubsub_down = False
    job = collected(world, drop)

    assert outcomes(world, job) == ["ok"] * 2


# On Vertex AI the answers lie in a bucket, which deletes nothing with the batch.
@pytest.mark.parametrize("world", mostly("developer", also=["vertex"]), indirect=True)
def test_a_batch_that_is_deleted_at_the_api_is_collected_all_the_same(
    world: World,
) -> None:
    drop = submit(world, questions(3))
    job = ended(world, drop)
    assert job.batch is not None
    world.client.batches.delete(name=job.batch.name)

    job = collected(world, drop)

    assert outcomes(world, job) == ["ok"] * 3


def test_a_rerun_while_a_job_is_collected_has_results_of_its_own(world: World) -> None:
    drop = submit(world, questions(2))
    job = ended(world, drop)

    again = world.worker.commands.rerun(job.id, "ada")
    first = collected(world, drop)

    assert outcomes(world, first) == ["ok"] * 2
    world.ticks_until(lambda: there(world.ledger.get(again.id)).is_done, every=A_BATCH)
    other = there(world.ledger.get(again.id))
    assert other.results is not None
    assert other.results.uri != (first.results.uri if first.results else "")


def test_a_cancel_while_a_job_is_collected_is_refused(world: World) -> None:
    drop = submit(world, questions(2))
    job = ended(world, drop)

    now = world.now()
    with pytest.raises(ValueError, match="is over"):
        world.ledger.advance(job, lambda j: j.request_cancel("a test", now))

    assert outcomes(world, collected(world, drop)) == ["ok"] * 2


def test_a_batch_and_its_document_are_kept_until_its_answers_are_collected(
    world: World,
) -> None:
    drop = submit(world, questions(2), delete_after=60.0)
    job = ended(world, drop)
    document = world.database.collection("jobs").document(job.id)
    assert "expire_at" not in (document.get().to_dict() or {})
    world.advance(timedelta(minutes=5))
    world.worker.tick()
    assert world.job(drop).deleted_at is None
    assert world.job(drop).delete_at is None

    collected(world, drop)
    world.ticks(1)

    assert world.job(drop).deleted_at is not None
    assert (document.get().to_dict() or {})["expire_at"] is not None


def test_the_record_of_the_lines_that_is_gone_parks_the_job(world: World) -> None:
    drop = submit(world, questions(3) + "not json\n", on_invalid="skip")
    job = ended(world, drop)
    assert job.staging is not None
    world.storage.delete(job.staging.lines or "")

    world.collect()

    job = world.job(drop)
    assert job.parked is not None
    assert "what staging recorded" in job.parked.message
    assert published(world, job) == []
