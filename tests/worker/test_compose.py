"""Many objects become one, without being read: in the work bucket, and then copied."""

import pytest
from google.cloud.storage import Bucket

from batchdrop.errors import Misconfigured, SourceGone
from batchdrop.jobs.values import Drop, Location
from batchdrop.storage import Differs
from batchdrop.worker.collect_compose import Compose
from tests.cloud_storage import CloudStorage
from tests.often import mostly
from tests.worker.world import World


@pytest.fixture
def compose(world: World) -> Compose:
    return Compose(world.storage)


@pytest.fixture
def target(world: World) -> str:
    return f"gs://{world.settings.output.bucket}/a/results.jsonl"


def work(world: World) -> Location:
    return Location(bucket=world.settings.work.bucket, prefix="steps/")


def put(bucket: Bucket, name: str, content: bytes) -> Drop:
    blob = bucket.blob(name)
    blob.upload_from_string(content)
    return Drop(
        bucket=bucket.name,
        name=name,
        generation=int(blob.generation),
        size=len(content),
    )


def segments(world: World, count: int) -> list[Drop]:
    bucket = world.gcs.bucket(world.settings.work.bucket)
    return [put(bucket, f"segment-{n}", b"%d\n" % n) for n in range(count)]


def content(world: World, uri: str) -> bytes:
    return b"".join(world.storage.chunks(uri))


@pytest.mark.parametrize("count", mostly(1, 33, also=[2, 32, 100]))
def test_many_objects_become_one_in_their_order(
    world: World, compose: Compose, target: str, count: int
) -> None:
    made = compose(segments(world, count), work(world), target)

    assert content(world, target) == b"".join(b"%d\n" % n for n in range(count))
    blob = world.gcs.bucket(world.settings.output.bucket).get_blob("a/results.jsonl")
    assert (made.bytes, made.crc32c) == (blob.size, blob.crc32c)
    assert made.generation == blob.generation
    assert blob.content_type == "application/x-ndjson"


def test_all_that_lies_between_is_in_the_work_bucket(
    world: World, compose: Compose, target: str, cloud: CloudStorage
) -> None:
    sources = segments(world, 66)

    compose(sources, work(world), target)

    output = world.storage.names(world.settings.output)
    assert output == [target]
    between = world.storage.names(work(world))
    assert len(between) == 4  # 32, 32 and 2 of them, and these three
    assert not cloud.reads
    world.storage.delete_below(work(world))
    assert world.storage.names(work(world)) == []


@pytest.mark.parametrize("empty", [[], [b"", b""]])
def test_of_no_bytes_an_empty_object_is_made(
    world: World, compose: Compose, target: str, empty: list[bytes]
) -> None:
    bucket = world.gcs.bucket(world.settings.work.bucket)
    sources = [put(bucket, f"{n}", text) for n, text in enumerate(empty)]

    made = compose(sources, work(world), target)

    assert (made.bytes, content(world, target)) == (0, b"")


def test_objects_of_another_bucket_are_copied_first(
    world: World, compose: Compose, target: str
) -> None:
    bucket = world.gcs.bucket(world.settings.output.bucket)
    sources = [put(bucket, f"part-{n}/results.jsonl", b"%d\n" % n) for n in range(3)]

    compose(sources, work(world), target)

    assert content(world, target) == b"0\n1\n2\n"


def test_a_second_call_finds_what_the_first_one_made(
    world: World, compose: Compose, target: str, cloud: CloudStorage
) -> None:
    sources = segments(world, 40)
    made = compose(sources, work(world), target)
    between = world.storage.listed(work(world))

    again = compose(sources, work(world), target)

    assert again == made
    assert world.storage.listed(work(world)) == between


@pytest.mark.parametrize("may_delete", mostly(False, also=[True]))
def test_an_object_that_appears_just_before_stays_as_it_is(
    world: World,
    compose: Compose,
    target: str,
    cloud: CloudStorage,
    may_delete: bool,
) -> None:
    sources = segments(world, 3)
    cloud.may_delete = may_delete
    first: list[list[Drop]] = []

    def other() -> None:
        compose(sources, work(world), target)
        first.append(world.storage.listed(work(world)))
        first.append(world.storage.listed(world.settings.output))

    cloud.before_new = other
    compose(sources, work(world), target)

    assert first == [
        world.storage.listed(work(world)),
        world.storage.listed(world.settings.output),
    ]


@pytest.mark.parametrize(
    ("theirs", "may_delete"),
    mostly(
        (b"0\n1\n3\n", False),
        also=[(b"0\n1\n3\n", True), (b"0\n", True), (b"0\n", False)],
    ),
)
def test_an_object_with_another_content_is_not_taken_for_ours(
    world: World,
    compose: Compose,
    target: str,
    cloud: CloudStorage,
    theirs: bytes,
    may_delete: bool,
) -> None:
    sources = segments(world, 3)
    cloud.may_delete = may_delete
    world.storage.create(target, theirs)

    with pytest.raises(Differs):
        compose(sources, work(world), target)

    assert content(world, target) == theirs
    made = compose(sources, work(world), f"{target}.2")
    assert content(world, made.uri) == b"0\n1\n2\n"


def test_an_object_that_appears_just_before_the_copy_is_compared(
    world: World, compose: Compose, target: str, cloud: CloudStorage
) -> None:
    (source,) = segments(world, 1)

    def theirs() -> None:
        world.storage.create(target, b"theirs")

    cloud.before_new = theirs
    with pytest.raises(Differs):
        compose([source], work(world), target)

    assert content(world, target) == b"theirs"


def test_a_source_that_is_gone_is_said(
    world: World, compose: Compose, target: str, cloud: CloudStorage
) -> None:
    sources = segments(world, 3)
    world.storage.delete(f"gs://{sources[1].bucket}/{sources[1].name}")

    with pytest.raises(SourceGone):
        compose(sources, work(world), target)

    assert world.storage.names(world.settings.output) == []


def test_a_bucket_that_takes_no_results_is_named(
    world: World, compose: Compose, target: str, cloud: CloudStorage
) -> None:
    bucket = world.settings.output.bucket
    sources = segments(world, 3)
    cloud.refuses = {bucket: {"POST", "GET"}}

    with pytest.raises(Misconfigured, match=bucket):
        compose(sources, work(world), target)
