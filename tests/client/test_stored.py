"""Objects that are packed, falsely declared as packed, or cut short."""

import gzip
import json
from collections.abc import Iterator

import httpx
import pytest
from google.auth.credentials import AnonymousCredentials

from batchdrop import Client
from batchdrop.batches import BatchJob, JobState, OutputInfo, TransportError
from batchdrop.batches.objects import Objects
from batchdrop.stored import CHUNK
from tests.client.buckets import Bucket
from tests.client.recorder import Answer, Recorder
from tests.cloud_storage import CloudStorage, cloud_storage

LINES = b'{"key":"a","request":{"contents":[{"role":"user","parts":[{"text":"a"}]}]}}\n'


@pytest.fixture
def served(gcs: str) -> Iterator[CloudStorage]:
    with cloud_storage(gcs) as server:
        yield server


@pytest.fixture
def storage_emulator(served: CloudStorage, monkeypatch: pytest.MonkeyPatch) -> str:
    """In place of fake-gcs-server itself."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", served.url)
    return served.url


@pytest.fixture
def objects(storage_emulator: str) -> Iterator[Objects]:
    objects = Objects(AnonymousCredentials(), "p")
    yield objects
    objects.close()


@pytest.mark.parametrize(
    "content",
    [LINES, b"\xef\xbb\xbf" + LINES, gzip.compress(LINES), gzip.compress(b"")],
    ids=["plain", "with a mark", "packed", "packed nothing"],
)
@pytest.mark.parametrize("encoding", [None, "gzip"])
def test_an_object_is_read_by_its_bytes_and_its_size_is_what_is_read(
    objects: Objects, bucket: Bucket, content: bytes, encoding: str | None
) -> None:
    (found,) = objects.find(bucket.put("in.jsonl", content, encoding))

    read = b"".join(objects.read(found))

    plain = gzip.decompress(content) if content[:1] == b"\x1f" else content
    assert (read, objects.size(found)) == (plain, len(plain))


def test_an_object_that_cannot_be_unpacked_is_named(
    objects: Objects, bucket: Bucket
) -> None:
    uri = bucket.put("in.jsonl", gzip.compress(LINES)[:-9], "gzip")
    (found,) = objects.find(uri)

    with pytest.raises(ValueError, match="ends in its middle") as caught:
        list(objects.read(found))

    assert uri in str(caught.value)


def test_an_object_that_is_cut_short_is_a_transport_error(
    objects: Objects, bucket: Bucket, served: CloudStorage
) -> None:
    (found,) = objects.find(bucket.put("in.jsonl", LINES))
    served.holds_back = 1

    with pytest.raises(TransportError, match="got 75 bytes for the 76"):
        list(objects.read(found))


def test_a_missing_range_is_not_the_end_of_an_object(
    objects: Objects, bucket: Bucket
) -> None:
    (found,) = objects.find(bucket.put("in.jsonl", b"\n" * CHUNK))

    with pytest.raises(TransportError, match=f"got no bytes from byte {CHUNK:,} on"):
        list(objects.read(found._replace(size=CHUNK + 1)))


def test_packed_rows_are_uploaded_unpacked(
    bucket: Bucket, storage_emulator: str
) -> None:
    src = bucket.put("in.jsonl", gzip.compress(LINES), "gzip")
    start = Answer(headers={"x-goog-upload-url": "https://x/upload?upload_id=1"})
    final = Answer(
        body={"file": {"name": "files/f1"}}, headers={"x-goog-upload-status": "final"}
    )
    with (
        Recorder(start, final, Answer(body={"name": "batches/abc"})) as server,
        Client(api_key="k3y", http_options={"base_url": server.url}) as client,
    ):
        client.batches.create(model="gemini-x", src=src)

    announced = server.requests[0].headers["x-goog-upload-header-content-length"]
    assert (announced, server.requests[1].body) == (str(len(LINES)), LINES)


def test_packed_results_are_read(bucket: Bucket) -> None:
    rows = [{"key": str(n), "response": {"a": n}} for n in range(3)]
    shard = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    bucket.put("out/predictions.jsonl", gzip.compress(shard), "gzip")
    job = BatchJob(
        name="projects/1/locations/l/batchPredictionJobs/7",
        state=JobState.SUCCEEDED,
        output_info=OutputInfo(gcs_output_directory=bucket.uri("out")),
    )

    with Client(
        vertexai=True, project="p", location="l", credentials=AnonymousCredentials()
    ) as client:
        keys = [row.key for row in client.batches.results(job=job)]

    assert keys == ["0", "1", "2"]


# The stand-in for Cloud Storage.


@pytest.mark.parametrize(
    ("accepts", "range", "answered"),
    [
        ("identity", "bytes=0-1", (200, None, LINES)),
        ("gzip", "bytes=0-1", (206, "gzip", b"\x1f\x8b")),
        ("gzip", "bytes=9999-", (416, "gzip", b"")),
    ],
)
def test_ranges_count_stored_bytes_unless_the_object_is_unpacked_for_us(
    served: CloudStorage, bucket: Bucket, accepts: str, range: str, answered: object
) -> None:
    packed = gzip.compress(LINES)
    bucket.put("in.jsonl", packed, "gzip")
    path = f"/download/storage/v1/b/{bucket.name}/o/in.jsonl?alt=media"
    headers = {"accept-encoding": accepts, "range": range}

    with httpx.stream("GET", served.url + path, headers=headers) as answer:
        encoding, body = answer.headers.get("content-encoding"), answer.iter_raw()
        assert (answer.status_code, encoding, b"".join(body)) == answered
        assert answer.headers["x-goog-stored-content-encoding"] == "gzip"
        assert answer.headers["x-goog-stored-content-length"] == str(len(packed))
