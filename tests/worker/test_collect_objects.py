"""New objects that are compared with what is there, and answers by generation."""

import pytest

from batchdrop.errors import SourceGone
from batchdrop.jobs.values import Location
from batchdrop.storage import Differs
from tests.cloud_storage import CloudStorage, cloud_storage
from tests.often import mostly
from tests.worker.world import World, storage_at


def uri(world: World, name: str) -> str:
    return f"gs://{world.settings.output.bucket}/{name}"


def test_a_created_object_has_the_checksum_that_the_bucket_has(world: World) -> None:
    with world.storage.creating(uri(world, "a.jsonl"), "application/x-ndjson") as new:
        for n in range(3):
            new.write(b"%d\n" % n * 1_000_000)

    blob = world.gcs.bucket(world.settings.output.bucket).get_blob("a.jsonl")
    assert new.created is not None
    assert new.created.bytes == blob.size == 6_000_000
    assert new.created.crc32c == blob.crc32c
    assert new.created.generation == blob.generation
    assert blob.content_type == "application/x-ndjson"


def test_an_object_that_was_created_before_is_found_if_its_content_is_equal(
    world: World,
) -> None:
    first = world.storage.create(uri(world, "a.jsonl"), b"1\n2\n")

    again = world.storage.create(uri(world, "a.jsonl"), b"1\n2\n")

    assert again == first


def test_an_object_with_another_content_stays_and_is_not_taken_for_ours(
    world: World,
) -> None:
    for n, other in enumerate((b"1\n3\n", b"1\n2\n3\n", b"")):
        world.storage.create(uri(world, f"{n}.jsonl"), other)

        with pytest.raises(Differs):
            world.storage.create(uri(world, f"{n}.jsonl"), b"1\n2\n")

        blob = world.gcs.bucket(world.settings.output.bucket).blob(f"{n}.jsonl")
        assert blob.download_as_bytes() == other


def test_a_small_object_is_written_in_one_request_and_a_large_one_as_a_stream(
    world: World, cloud: CloudStorage
) -> None:
    megabyte = b"line\n" * 200_000
    for name, size in (("none", 0), ("small", 1), ("large", 9)):
        world.storage.write(uri(world, name), iter([megabyte] * size))

        blob = world.gcs.bucket(world.settings.output.bucket).blob(name)
        assert blob.download_as_bytes() == megabyte * size
    assert cloud.uploads == ["multipart", "multipart", "resumable"]


@pytest.mark.parametrize("other", mostly(b"2\n" * 10_000_000, also=[b"1\n"]))
def test_a_large_object_is_compared_with_what_has_its_name(
    world: World, gcs: str, other: bytes
) -> None:
    with cloud_storage(gcs) as storage:
        client = storage_at(storage.url, world.settings.project)
        direct, world.gcs = world.gcs, client
        name, content = uri(world, "a.jsonl"), b"1\n" * 10_000_000
        first = world.storage.create(name, content)

        again = world.storage.create(name, content)
        with pytest.raises(Differs):
            world.storage.create(name, other)

        assert again == first
        client.close()
        world.gcs = direct


def test_an_object_is_compared_also_by_who_may_not_replace_it(
    world: World, gcs: str
) -> None:
    with cloud_storage(gcs) as storage:
        client = storage_at(storage.url, world.settings.project)
        direct, world.gcs = world.gcs, client
        storage.may_delete = False
        name, content = uri(world, "a.jsonl"), b"1\n" * 10_000_000
        first = world.storage.create(name, content)

        again = world.storage.create(name, content)
        with pytest.raises(Differs):
            world.storage.create(name, content[2:])

        assert again == first
        client.close()
        world.gcs = direct


@pytest.mark.parametrize("lines", [3, 10_000_000])
def test_an_object_whose_writer_fails_is_not_created(world: World, lines: int) -> None:
    def fail() -> None:
        with world.storage.creating(uri(world, "a.jsonl")) as new:
            new.write(b"1\n" * lines)
            raise ValueError("the counts don't add up")

    with pytest.raises(ValueError, match="counts"):
        fail()

    bucket = world.gcs.bucket(world.settings.output.bucket)
    assert bucket.get_blob("a.jsonl") is None


def test_a_listed_object_is_read_in_its_generation_or_not_at_all(world: World) -> None:
    world.storage.create(uri(world, "d/a.jsonl"), b"1\n")
    (found,) = world.storage.listed(Location.parse(uri(world, "d")))
    bucket = world.gcs.bucket(world.settings.output.bucket)
    assert b"".join(world.storage.read(found)) == b"1\n"

    bucket.blob("d/a.jsonl").upload_from_string("other\n")

    with pytest.raises(SourceGone):
        list(world.storage.read(found))
