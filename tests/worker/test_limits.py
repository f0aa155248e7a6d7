"""What limits count: the rows and bytes that are sent, whatever was dropped."""

import gzip
import json
from typing import Any

import pytest

from batchdrop.jobs import Job
from batchdrop.records import Drop, Phase
from tests.worker.world import GOOD, World

ROWS = 40
PLAIN = GOOD * ROWS


def a_packed_file(world: World) -> Drop:
    return world.upload(gzip.compress(PLAIN.encode()), "packed.jsonl.gz")


def a_manifest_of_a_file(world: World) -> Drop:
    """A short text that names many rows."""
    bucket = world.settings.inbox
    world.gcs.bucket(bucket).blob("rows").upload_from_string(PLAIN)
    return world.upload(json.dumps({"src": f"gs://{bucket}/rows"}), "rows.job.json")


def a_packed_file_of_a_manifest(world: World) -> Drop:
    bucket = world.settings.inbox
    packed = gzip.compress(PLAIN.encode())
    world.gcs.bucket(bucket).blob("packed").upload_from_string(packed)
    return world.upload(json.dumps({"src": f"gs://{bucket}/packed"}), "p.job.json")


def rows_with_a_configuration(world: World) -> Drop:
    config = json.dumps({"systemInstruction": {"parts": [{"text": "x" * 3000}]}})
    return world.upload(GOOD * 2, metadata={"batchdrop-generation-config": config})


small = pytest.mark.parametrize(
    "drop",
    [
        a_packed_file,
        a_manifest_of_a_file,
        a_packed_file_of_a_manifest,
        rows_with_a_configuration,
    ],
)


def sent(world: World, job: Job) -> list[bytes]:
    """The lines that a job has staged."""
    assert job.staging is not None
    with world.storage.open(job.staging.uri) as rows:
        return rows.read().splitlines(keepends=True)


@small
def test_the_document_says_what_is_sent_of_a_file(world: World, drop: Any) -> None:
    dropped = drop(world)

    world.intake.take(dropped)

    job = world.job(dropped)
    lines = sent(world, job)
    assert job.staging is not None
    assert job.staging.rows == len(lines)
    assert job.staging.bytes == sum(map(len, lines)) > 2 * dropped.size


@small
@pytest.mark.parametrize("limit", ["max_bytes", "max_bytes_per_day"])
def test_no_file_is_sent_over_a_limit_because_it_is_stored_small(
    world: World, drop: Any, limit: str
) -> None:
    dropped = drop(world)
    world.choose(None, **{limit: 2 * dropped.size})

    world.intake.take(dropped)
    world.ticks(2)

    job = world.job(dropped)
    assert job.error is not None
    assert job.error.code == "over_limit"
    assert f"over BATCHDROP_{limit.upper()}={2 * dropped.size}" in job.error.message
    assert world.batches() == []


@small
def test_a_day_counts_what_is_sent_on_it(world: World, drop: Any) -> None:
    world.choose(max_bytes_per_day=10**9)
    dropped = drop(world)

    world.intake.take(dropped)
    world.tick()

    job = world.job(dropped)
    lines = sent(world, job)
    assert job.phase is Phase.SUBMITTED
    spent = world.ledger.spent(f"{world.now():%Y-%m-%d}")
    assert (spent.rows, spent.bytes) == (len(lines), sum(map(len, lines)))


def test_lines_that_are_left_out_count_nowhere(world: World) -> None:
    world.choose(on_invalid="skip", max_rows=3, max_rows_per_day=3)
    drop = world.upload(GOOD * 3 + "not json\n" * 5)

    world.intake.take(drop)
    world.tick()

    assert world.job(drop).phase is Phase.SUBMITTED
    assert world.ledger.spent(f"{world.now():%Y-%m-%d}").rows == 3


def test_a_file_is_read_no_further_than_its_limit(world: World) -> None:
    world.choose(max_bytes=1_000_000, part_bytes=500_000)
    drop = world.upload(gzip.compress(GOOD.encode() * 1_000_000), "bomb.jsonl.gz")

    world.intake.take(drop)

    job = world.job(drop)
    assert job.phase is Phase.REJECTED
    assert job.error is not None
    assert job.error.message == (
        "more than 1,000,000 bytes would be sent, over BATCHDROP_MAX_BYTES=1000000"
    )
    assert job.rows.total < 200_000


@pytest.mark.parametrize(
    "limit", ["max_rows", "max_bytes", "max_rows_per_day", "max_bytes_per_day"]
)
def test_what_nobody_can_count_is_not_sent_where_there_is_a_limit(
    world: World, limit: str
) -> None:
    world.choose(None, datasets=("p.d",), **{limit: 10**9})
    drop = world.upload(json.dumps({"src": "bq://p.d.t"}), "table.job.json")

    world.intake.take(drop)
    world.ticks(2)

    job = world.job(drop)
    assert job.error is not None
    assert job.error.code == "not_possible"
    assert f"BATCHDROP_{limit.upper()}=1000000000 limits them" in job.error.message
    assert world.batches() == []
