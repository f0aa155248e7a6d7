"""Objects that are overwritten or deleted while they are read."""

import json

import pytest

from batchdrop.errors import BatchdropError
from batchdrop.jobs.codes import Phase
from batchdrop.jobs.values import Drop
from tests.cloud_storage import CloudStorage
from tests.worker.world import GOOD, World

#: Bytes of a range here, and more rows than one holds.
RANGE = 4096
LONG = RANGE // len(GOOD) + 100
OTHER = GOOD.replace("hello", "other")


@pytest.fixture
def served(cloud: CloudStorage, monkeypatch: pytest.MonkeyPatch) -> CloudStorage:
    """A Cloud Storage that is read in short ranges."""
    monkeypatch.setattr("batchdrop.stored.CHUNK", RANGE)
    return cloud


def overwrite(world: World, drop: Drop, text: str) -> Drop:
    return world.upload(text, drop.name, bucket=drop.bucket)


def code(world: World, drop: Drop) -> object:
    error = world.job(drop).error
    return error and error.code


def test_rows_of_two_versions_are_never_mixed(
    world: World, served: CloudStorage
) -> None:
    drop, new = world.upload(GOOD * LONG), []
    served.meanwhile = lambda: new.append(overwrite(world, drop, OTHER * LONG))

    world.worker.take(drop)

    assert (world.job(drop).phase, code(world, drop)) == (Phase.REJECTED, "source_gone")
    assert world.staged(drop) == {}
    world.worker.take(new[0])
    ((_, staged),) = world.staged(new[0]).items()
    assert staged.count("other") == LONG
    assert len(world.batches()) == 1


def test_a_file_that_is_deleted_while_it_is_read_is_a_rejection(
    world: World, served: CloudStorage
) -> None:
    drop = world.upload(GOOD * LONG)
    served.meanwhile = world.gcs.bucket(drop.bucket).blob(drop.name).delete

    world.worker.take(drop)

    assert code(world, drop) == "source_gone"
    assert world.staged(drop) == {}
    assert world.batches() == []


def test_one_version_of_an_object_of_ours_is_read(
    world: World, served: CloudStorage
) -> None:
    work = world.settings.work.bucket
    world.upload(GOOD * LONG, "rows.jsonl", bucket=work)
    served.meanwhile = lambda: world.upload(OTHER * LONG, "rows.jsonl", bucket=work)

    def read() -> None:
        with world.storage.open(f"gs://{work}/rows.jsonl") as file:
            while file.read(RANGE):
                pass

    with pytest.raises(BatchdropError):
        read()


def test_rows_that_a_manifest_names_are_read_anew_when_they_are_overwritten(
    world: World, served: CloudStorage
) -> None:
    rows = world.upload(GOOD * LONG, "rows.jsonl")
    world.choose(sources=(world.settings.work,))
    src = f"gs://{world.settings.inbox}/rows.jsonl"
    drop = world.upload(json.dumps({"src": src}), "week.job.json")
    served.meanwhile = lambda: overwrite(world, rows, OTHER * LONG)

    world.worker.take(drop)
    job = world.job(drop)
    assert job.phase is Phase.ARRIVED
    assert job.postponed is not None
    assert "overwritten or deleted while it was read" in job.postponed.message

    world.ticks(1)
    assert world.job(drop).phase is Phase.SUBMITTED
    (staged,) = (x for name, x in world.staged(drop).items() if "requests" in name)
    assert staged.count("other") == LONG


def test_rows_that_are_partly_staged_are_not_read_in_another_version(
    world: World, served: CloudStorage
) -> None:
    world.choose(sources=(world.settings.work,), part_rows=20)
    rows = world.upload(GOOD * LONG, "rows.jsonl")
    src = f"gs://{world.settings.inbox}/rows.jsonl"
    drop = world.upload(json.dumps({"src": src}), "week.job.json")
    served.meanwhile = lambda: overwrite(world, rows, OTHER * LONG)

    world.worker.take(drop)
    world.ticks(1)

    assert (world.job(drop).phase, code(world, drop)) == (Phase.REJECTED, "source_gone")
    assert world.batches() == []


def test_a_manifest_that_is_overwritten_while_it_is_read_is_read_anew(
    world: World, served: CloudStorage
) -> None:
    spaces = " " * RANGE  # the second range has the end
    beside = world.upload(
        '{"config":{"labels":{"v":"1"}}}' + spaces, "reviews.job.json"
    )
    drop = world.upload()
    manifest = '{"config":{"labels":{"v":"2"}}}'
    served.meanwhile = lambda: overwrite(world, beside, manifest)

    world.worker.take(drop)
    assert world.job(drop).phase is Phase.ARRIVED

    world.ticks(1)
    job = world.job(drop)
    assert job.phase is Phase.SUBMITTED, job.error
    assert job.spec is not None
    assert job.spec.labels["v"] == "2"
