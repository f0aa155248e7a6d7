"""What limits count: the rows and bytes that are sent, whatever was dropped."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from batchdrop.cli import main
from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Drop, Location
from batchdrop.ledger import documents
from batchdrop.options.routes import BadRoutes
from tests.there import there
from tests.worker.dying import Killed, failpoints
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


#: Files that are stored small, and sent large.
SMALL = (
    a_packed_file,
    a_manifest_of_a_file,
    a_packed_file_of_a_manifest,
    rows_with_a_configuration,
)


def sent(world: World, job: Job) -> list[bytes]:
    """The lines that a job has staged."""
    assert job.staging is not None
    with world.storage.open(job.staging.uri) as rows:
        return rows.read().splitlines(keepends=True)


def test_documents_and_the_day_count_what_is_sent_of_files(world: World) -> None:
    world.choose(max_bytes_per_day=10**9)
    drops = [drop(world) for drop in SMALL]

    for drop in drops:
        world.worker.take(drop)
    world.tick()

    rows = size = 0
    for drop in drops:
        job = world.job(drop)
        lines = sent(world, job)
        assert job.phase is Phase.SUBMITTED
        assert job.staging is not None
        assert job.staging.rows == len(lines)
        assert job.staging.bytes == sum(map(len, lines)) > 2 * drop.size
        rows, size = rows + job.staging.rows, size + job.staging.bytes
    spent = world.ledger.spending_on(f"{world.now():%Y-%m-%d}")
    assert (spent.rows, spent.bytes) == (rows, size)


def test_no_file_is_sent_over_a_limit_because_it_is_stored_small(world: World) -> None:
    limits = ("max_bytes", "max_bytes_per_day")
    for drop in SMALL:
        for limit in limits:
            dropped = drop(world)
            world.choose(None, **dict.fromkeys(limits) | {limit: 2 * dropped.size})

            world.worker.take(dropped)

            error = there(world.job(dropped).error)
            assert error.code == "over_limit"
            assert f"over BATCHDROP_{limit.upper()}={2 * dropped.size}" in error.message
    world.ticks(2)
    assert world.batches() == []


def test_a_check_before_the_drop_counts_what_is_staged(
    world: World, tmp_path: Path
) -> None:
    config = json.dumps({"max_output_tokens": 7, "system_instruction": "Be brief."})
    world.choose(generation_config=config)
    drop = world.upload(PLAIN)
    world.worker.take(drop)
    file = tmp_path / "rows.jsonl"
    file.write_text(PLAIN)

    command = ["check", str(file), "--json", "--generation-config", config]
    done = CliRunner().invoke(main, command)

    estimate, staging = json.loads(done.stdout)["estimate"], world.job(drop).staging
    assert staging is not None
    assert (estimate["rows"], estimate["bytes"]) == (staging.rows, staging.bytes)


def test_lines_that_are_left_out_count_nowhere(world: World) -> None:
    world.choose(on_invalid="skip", max_rows=3, max_rows_per_day=3)
    drop = world.upload(GOOD * 3 + "not json\n" * 5)

    world.worker.take(drop)
    world.tick()

    assert world.job(drop).phase is Phase.SUBMITTED
    assert world.ledger.spending_on(f"{world.now():%Y-%m-%d}").rows == 3


def test_a_file_is_read_no_further_than_its_limit(world: World) -> None:
    world.choose(max_bytes=1_000_000, part_bytes=500_000)
    drop = world.upload(gzip.compress(GOOD.encode() * 1_000_000), "bomb.jsonl.gz")

    world.worker.take(drop)

    job = world.job(drop)
    assert job.phase is Phase.REJECTED
    assert job.error is not None
    assert job.error.message == (
        "more than 1,000,000 bytes would be sent, over BATCHDROP_MAX_BYTES=1000000"
    )
    assert job.rows.total < 200_000


def test_what_nobody_can_count_is_not_sent_where_there_is_a_limit(
    world: World,
) -> None:
    limits = ("max_rows", "max_bytes", "max_rows_per_day", "max_bytes_per_day")
    for limit in limits:
        chosen = dict.fromkeys(limits) | {limit: 10**9}
        world.choose(None, datasets=("p.d",), **chosen)
        drop = world.upload(json.dumps({"src": "bq://p.d.t"}), "table.job.json")

        world.worker.take(drop)

        error = there(world.job(drop).error)
        assert error.code == "not_possible"
        assert f"BATCHDROP_{limit.upper()}=1000000000 limits them" in error.message
    world.ticks(2)
    assert world.batches() == []


# -- what a job's document takes -----------------------------------------------------


def written(world: World) -> list[str]:
    """The names of all that was ever staged, and is there yet."""
    return [blob.name for blob in world.gcs.list_blobs(world.settings.work.bucket)]


CONFIG = {"systemInstruction": {"parts": [{"text": "x" * 1_100_000}]}}
ADDRESSES = [f"gs://bucket/{n:04}/{'x' * 900}.jsonl" for n in range(1200)]


def of_a_manifest(world: World) -> Drop:
    config = {"generation_config": CONFIG}
    world.upload(json.dumps({"config": config}), "a.job.json")
    return world.upload(GOOD, "a.jsonl")


def of_metadata(world: World) -> Drop:
    said = {"batchdrop-generation-config": json.dumps(CONFIG)}
    return world.upload(GOOD, metadata=said)


def of_addresses(world: World) -> Drop:
    return world.upload(json.dumps({"src": ADDRESSES}), "many.job.json")


TOO_LARGE: tuple[tuple[Callable[[World], Drop], str], ...] = (
    (
        of_a_manifest,
        "config.generation_config: it has 1,100,048 characters; write at most 100,000",
    ),
    (
        of_metadata,
        "batchdrop-generation-config: it has 1,100,048 characters; write at most "
        "100,000",
    ),
    (of_addresses, "the 1,200 addresses in src take"),
)


def test_what_is_chosen_too_large_is_refused_with_words_and_nothing_is_staged(
    world: World,
) -> None:
    world.choose(sources=(Location(bucket="bucket", prefix=""),))
    for drop, words in TOO_LARGE:
        dropped = drop(world)

        world.worker.take(dropped)

        job = world.job(dropped)
        assert job.phase is Phase.REJECTED
        assert words in there(job.error).message
    assert written(world) == []


def test_a_configuration_too_large_in_a_manifest_names_the_manifest_and_the_option(
    world: World,
) -> None:
    drop = of_a_manifest(world)

    world.worker.take(drop)

    manifest, job = world.storage.find(drop.bucket, "a.job.json"), world.job(drop)
    assert manifest is not None
    assert job.error is not None
    assert job.error.message == (
        f"{manifest}: config.generation_config: it has 1,100,048 characters; write at "
        "most 100,000"
    )


def test_a_routes_configuration_is_held_to_the_same_size(world: World) -> None:
    text = "x" * 100_000
    route = f'[[route]]\nmatch = "**"\ngeneration_config = {{ a = "{text}" }}\n'

    with pytest.raises(BadRoutes, match="write at most 100,000"):
        world.choose(route)


def test_what_can_never_be_written_rejects_the_job_with_words(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "MAX_COMMIT", 16_000)
    world.choose(part_rows=1)
    drop = world.upload(GOOD * 12)

    world.worker.take(drop)
    world.ticks(1)

    job = world.job(drop)
    assert job.phase is Phase.REJECTED
    assert job.error is not None
    assert job.error.code == "too_large"
    assert "the commit of 13 documents has" in job.error.message


# -- copies of the rows that are no longer needed --------------------------------------


def dies(world: World, drop: Drop, point: str) -> None:
    """The next worker dies at this point."""

    def failpoint(name: str) -> None:
        if name == point:
            raise Killed

    def work() -> None:
        if world.ledger.get(drop.job_id) is None:
            world.worker.take(drop)
        else:
            world.advance(world.timing.lease)
            world.tick()

    with failpoints(failpoint), pytest.raises(Killed):
        work()


def test_workers_that_die_leave_no_more_than_one_copy(world: World) -> None:
    drop = world.upload(GOOD * 3)

    for _ in range(4):
        dies(world, drop, "after_staging")

    assert list(world.staged(drop)) == ["4/requests.jsonl"]


def test_parts_that_were_check_pointed_keep_their_copies(world: World) -> None:
    world.choose(part_rows=1)
    drop = world.upload(GOOD * 4)
    dies(world, drop, "after_part")

    world.until_over(drop)

    assert world.job(drop).outcome == "succeeded"


def test_what_was_staged_of_a_rejected_file_is_deleted(world: World) -> None:
    for rows, rows_per_day in (5, None), (None, 1):
        world.choose(part_rows=2, max_rows=rows, max_rows_per_day=rows_per_day)
        drop = world.upload(GOOD * 7)

        world.worker.take(drop)

        assert world.job(drop).phase is Phase.REJECTED
        assert len(world.job(drop).parts) > 1
        assert written(world) == []


def test_what_was_staged_of_a_cancelled_job_is_deleted(world: World) -> None:
    world.choose(paused=True)
    drop = world.upload(GOOD)
    world.worker.take(drop)
    assert len(written(world)) == 1

    world.worker.commands.cancel(drop.job_id, "ada")

    assert world.job(drop).phase is Phase.REJECTED
    assert written(world) == []
