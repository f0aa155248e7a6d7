"""Objects as Cloud Storage serves them: packed, labelled as packed, and cut short."""

import gzip
import json
import random
from base64 import b64encode
from contextlib import suppress
from datetime import timedelta

import pytest

from batchdrop.errors import NotReadable, Unavailable
from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Drop
from batchdrop.storage import Storage
from batchdrop.stored import CHUNK
from tests.client.recorder import Answer, Recorder, Request
from tests.cloud_storage import CloudStorage
from tests.often import mostly
from tests.worker.backends import DEVELOPER
from tests.worker.world import GOOD, World, storage_at

#: As `gcloud storage cp --gzip-local-all` sets it, whatever the bytes are.
SAYS_GZIP = "gzip"


def packed(data: bytes, times: int = 1) -> bytes:
    for _ in range(times):
        data = gzip.compress(data, 1, mtime=0)
    return data


def taken(world: World, drop: Drop) -> Job:
    world.worker.take(drop)
    return world.job(drop)


def code(job: Job) -> object:
    assert job.phase is Phase.REJECTED
    assert job.error is not None
    return job.error.code


def test_no_row_of_a_packed_object_is_lost(world: World, cloud: CloudStorage) -> None:
    noise, rows = random.Random(1), 45_000
    text = "".join(
        GOOD.replace("hello", b64encode(noise.randbytes(195)).decode())
        for _ in range(rows)
    )
    drop = world.upload(packed(text.encode()), encoding=SAYS_GZIP)
    assert drop.size > CHUNK  # more than one range

    job = taken(world, drop)

    assert (job.rows.total, job.rows.accepted) == (rows, rows)
    assert job.phase is Phase.SUBMITTED
    ((_, staged),) = world.staged(drop).items()
    assert staged.count("\n") == rows


@pytest.mark.parametrize("times", mostly(1, also=[0, 2, 3]))
@pytest.mark.parametrize("encoding", mostly(SAYS_GZIP, also=[None]))
def test_a_file_is_read_by_its_bytes_whatever_its_metadata_says(
    world: World, cloud: CloudStorage, times: int, encoding: str | None
) -> None:
    data = packed((GOOD * 3).encode(), times)

    job = taken(world, world.upload(data, encoding=encoding))

    assert job.rows.accepted == 3


def test_a_packing_that_cannot_be_undone_is_a_rejection(
    world: World, cloud: CloudStorage
) -> None:
    for name, data in {
        "cut": packed((GOOD * 3).encode())[:-9],
        "cut inside": packed(packed((GOOD * 3).encode())[:-9]),
        "not gzip": b"\x1f\x8b" + GOOD.encode(),
        "packed too often": packed(GOOD.encode(), 4),
    }.items():
        drop = world.upload(data, f"{name}.jsonl", encoding=SAYS_GZIP)
        assert code(taken(world, drop)) == "bad_gzip", name


def test_a_packed_manifest_applies_to_packed_rows(
    world: World, cloud: CloudStorage
) -> None:
    world.choose(sources=(world.settings.work,))
    world.upload(packed((GOOD * 2).encode()), "rows.jsonl", encoding=SAYS_GZIP)
    manifest = json.dumps({"src": f"gs://{world.settings.inbox}/rows.jsonl"})
    drop = world.upload(packed(manifest.encode()), "week.job.json", encoding=SAYS_GZIP)

    job = taken(world, drop)

    assert job.rows.accepted == 2


def test_a_manifest_that_is_cut_is_a_rejection(
    world: World, cloud: CloudStorage
) -> None:
    data = packed(b'{"src": "gs://inbox/x.jsonl"}')[:-9]

    job = taken(world, world.upload(data, "week.job.json", encoding=SAYS_GZIP))

    assert code(job) == "bad_gzip"
    assert job.error is not None
    assert "week.job.json" in job.error.message


def test_a_manifest_that_unpacks_to_too_much_is_a_rejection(
    world: World, cloud: CloudStorage
) -> None:
    data = packed(b" " * 21_000_000)

    job = taken(world, world.upload(data, "week.job.json", encoding=SAYS_GZIP))

    assert code(job) == "too_large_unpacked"


def test_a_range_that_comes_short_is_no_end_of_the_file(
    world: World, cloud: CloudStorage
) -> None:
    drop = world.upload(GOOD * 3)
    cloud.holds_back = len(GOOD)

    job = taken(world, drop)
    assert job.phase is Phase.ARRIVED
    assert job.postponed is not None
    assert f"got {2 * len(GOOD)} bytes for" in job.postponed.message
    assert world.staged(drop) == {}

    cloud.holds_back = 0
    world.ticks(1)
    job = world.job(drop)
    assert (job.rows.accepted, job.postponed) == (3, None)


@pytest.mark.proof
def test_a_file_that_comes_short_for_hours_is_announced_once(
    world: World, cloud: CloudStorage
) -> None:
    drop = world.upload(GOOD * 3)
    cloud.holds_back = 1
    world.worker.take(drop)

    for _ in range(16):
        # The tick's own object in the work bucket comes short as well.
        with suppress(ExceptionGroup):
            world.ticks(1, timedelta(minutes=10))

    job = world.job(drop)
    assert job.phase is Phase.ARRIVED
    assert job.health is not None
    assert job.health.code == "postponed"
    assert [one.type for one in world.announced] == ["dev.batchdrop.job.stalled.v1"]


@pytest.mark.proof
def test_a_connection_that_breaks_is_resumed(world: World, cloud: CloudStorage) -> None:
    drop = world.upload(packed((GOOD * 3).encode()), encoding=SAYS_GZIP)
    cloud.breaks = 1

    assert taken(world, drop).rows.accepted == 3


@DEVELOPER
def test_staged_rows_that_come_short_are_not_handed_over(
    world: World, cloud: CloudStorage
) -> None:
    world.choose(paused=True)
    drop = world.upload(GOOD * 3)
    assert taken(world, drop).phase is Phase.WAITING

    cloud.holds_back = 1
    world.choose(paused=False)
    world.ticks(1)
    job = world.job(drop)
    assert job.postponed is not None
    assert "got 260 bytes for the 261" in job.postponed.message

    cloud.holds_back = 0
    world.ticks(1)
    assert world.job(drop).phase is Phase.SUBMITTED
    assert len(world.batches()) == 1


def test_a_small_packed_object_is_read_as_a_whole(
    world: World, cloud: CloudStorage
) -> None:
    drop = world.upload(packed(b"[[route]]"), "routes.toml", encoding=SAYS_GZIP)

    assert world.storage.content(drop, most=9) == b"[[route]]"
    with pytest.raises(NotReadable, match=r"routes\.toml.* more than 8 bytes"):
        world.storage.content(drop, most=8)


def test_a_file_whose_manifests_name_would_be_too_long_has_none(
    world: World, cloud: CloudStorage
) -> None:
    job = taken(world, world.upload(GOOD, "a" * 1018 + ".jsonl"))

    assert code(job) == "name_too_long"


class Copies(Recorder):
    """A Cloud Storage whose copies take long: it says how far one is, and a token."""

    def __init__(self, size: int, *copied: int) -> None:
        super().__init__(
            *(
                Answer(
                    body={
                        "totalBytesRewritten": str(each),
                        "objectSize": str(size),
                        "done": False,
                        "rewriteToken": f"token-{each}",
                    }
                )
                for each in copied
            )
        )

    def answer(self, request: Request) -> Answer:
        # The library may look at the bucket besides.
        return super().answer(request) if request.method == "POST" else Answer()


def copy(server: Copies) -> None:
    client = storage_at(server.url, "tests")
    try:
        Storage(lambda: client).copy("gs://work/a", "gs://work/b")
    finally:
        client.close()


def test_a_copy_that_does_not_get_on_is_given_up() -> None:
    with (
        Copies(10, 2, 4, 5) as server,
        pytest.raises(Unavailable, match="at 5 of 10 bytes after 6 requests"),
    ):
        copy(server)


def test_a_copy_that_gets_on_by_too_little_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("batchdrop.storage.MAX_REWRITES", 5)
    with (
        Copies(99, *range(1, 9)) as server,
        pytest.raises(Unavailable, match="at 5 of 99 bytes after 5 requests"),
    ):
        copy(server)
