"""The client and the Developer API's wire: jobs, files, and buckets beside them."""

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials

from batchdrop import Client, JobState
from batchdrop.batches import (
    ClientError,
    NoResults,
    ServerError,
    TransportError,
)
from tests.client.buckets import Bucket
from tests.client.recorder import Answer, Recorder
from tests.there import there

MIB = 1024 * 1024
OPERATION = {"name": "batches/abc", "metadata": {"state": "BATCH_STATE_PENDING"}}
START = Answer(
    headers={"x-goog-upload-url": "https://elsewhere/upload/v1/files?upload_id=1"}
)
ACTIVE = Answer(headers={"x-goog-upload-status": "active"})
FINAL = Answer(
    body={"file": {"name": "files/f1", "sizeBytes": "4", "state": "ACTIVE"}},
    headers={"x-goog-upload-status": "final"},
)


def ended(**output: Any) -> dict[str, Any]:
    return {
        "name": "batches/abc",
        "metadata": {"state": "BATCH_STATE_SUCCEEDED", "output": output},
        "done": True,
    }


def client_of(server: Recorder) -> Client:
    return Client(
        api_key="k3y",
        http_options={
            "base_url": server.url,
            "retry_options": {"attempts": 2, "initial_delay": 0, "jitter": 0},
        },
    )


# Uploads.


def test_a_file_is_uploaded_and_its_description_read(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"abc\n")
    with Recorder(START, FINAL) as server, client_of(server) as client:
        file = client.files.upload(file=path, config={"displayName": "d", "name": "n"})

    assert (file.name, file.size_bytes, file.state) == ("files/f1", 4, "ACTIVE")
    start, chunk = server.requests
    assert start.path == "/upload/v1/files"
    assert start.json == {
        "file": {
            "name": "files/n",
            "display_name": "d",
            "mime_type": "application/jsonl",
            "size_bytes": 4,
        }
    }
    assert start.headers["x-goog-upload-header-content-length"] == "4"
    assert start.headers["x-goog-upload-protocol"] == "resumable"
    assert start.headers["x-goog-api-key"] == "k3y"
    assert chunk.query == {"upload_id": "1"}
    assert chunk.headers["x-goog-upload-command"] == "upload, finalize"
    assert chunk.headers["x-goog-upload-offset"] == "0"
    assert chunk.body == b"abc\n"
    assert "x-goog-api-key" not in chunk.headers


def test_a_large_file_goes_in_chunks_of_8_mib() -> None:
    content = bytes(range(256)) * (8 * MIB // 256) + b"rest"
    with Recorder(START, ACTIVE, FINAL) as server, client_of(server) as client:
        client.files.upload(file=io.BytesIO(content))

    _, first, second = server.requests
    assert first.headers["x-goog-upload-command"] == "upload"
    assert second.headers["x-goog-upload-offset"] == str(8 * MIB)
    assert len(first.body) == 8 * MIB
    assert first.body + second.body == content


def test_a_stream_is_uploaded_from_its_current_position() -> None:
    stream = io.BytesIO(b"skipped, sent")
    stream.seek(9)
    with Recorder(START, FINAL) as server, client_of(server) as client:
        client.files.upload(file=stream)

    assert server.requests[1].body == b"sent"


def test_a_chunk_without_a_clear_answer_resumes_after_the_bytes_that_arrived() -> None:
    so_far = Answer(
        headers={
            "x-goog-upload-status": "active",
            "x-goog-upload-size-received": "3",
        }
    )
    with (
        Recorder(START, Answer(503), so_far, FINAL) as server,
        client_of(server) as client,
    ):
        file = client.files.upload(file=io.BytesIO(b"abcdef"))

    assert file.name == "files/f1"
    _, whole, query, rest = server.requests
    assert whole.body == b"abcdef"
    assert query.headers["x-goog-upload-command"] == "query"
    assert (rest.headers["x-goog-upload-offset"], rest.body) == ("3", b"def")


def test_a_chunk_that_arrived_is_not_sent_again() -> None:
    arrived = Answer(
        headers={
            "x-goog-upload-status": "active",
            "x-goog-upload-size-received": str(8 * MIB),
        }
    )
    content = b"x" * (8 * MIB) + b"y"
    with (
        Recorder(START, Answer(503), arrived, FINAL) as server,
        client_of(server) as client,
    ):
        client.files.upload(file=io.BytesIO(content))

    assert [len(r.body) for r in server.requests[1:]] == [8 * MIB, 0, 1]


def test_an_upload_that_is_not_confirmed_is_an_error() -> None:
    with Recorder(START, Answer()) as server, client_of(server) as client:
        with pytest.raises(TransportError, match="upload it anew"):
            client.files.upload(file=io.BytesIO(b"abc"))
        server.answers = [START, Answer(500)]
        with pytest.raises(ServerError):
            client.files.upload(file=io.BytesIO(b"abc"))


def test_an_upload_works_from_asyncio() -> None:
    async def run(client: Client) -> str:
        async with client.aio as aio:
            return (await aio.files.upload(file=io.BytesIO(b"abc"))).name

    with Recorder(START, FINAL) as server, client_of(server) as client:
        assert asyncio.run(run(client)) == "files/f1"

    assert server.requests[1].body == b"abc"


def test_files_are_listed_read_and_removed() -> None:
    pages = [
        Answer(body={"files": [{"name": "files/a"}], "nextPageToken": "t"}),
        Answer(body={"files": [{"name": "files/b", "sizeBytes": "7"}]}),
        Answer(body={"name": "files/b"}),
        Answer(body={}),
        Answer(body=b"bytes"),
    ]
    with Recorder(*pages) as server, client_of(server) as client:
        files = list(client.files.list(page_size=1))
        got = client.files.get(name="files/b")
        client.files.delete(name="b")
        content = client.files.download(file="files/batch-x")

    assert [f.name for f in files] == ["files/a", "files/b"]
    assert files[1].size_bytes == 7
    assert got.name == "files/b"
    assert content == b"bytes"
    assert [(r.method, r.path, r.query) for r in server.requests] == [
        ("GET", "/v1/files", {"pageSize": "1"}),
        ("GET", "/v1/files", {"pageSize": "1", "pageToken": "t"}),
        ("GET", "/v1/files/b", {}),
        ("DELETE", "/v1/files/b", {}),
        ("GET", "/v1/files/batch-x:download", {"alt": "media"}),
    ]


def test_vertex_has_no_files() -> None:
    client = Client(vertexai=True, project="p", credentials=AnonymousCredentials())

    with pytest.raises(ValueError, match="gs:// objects"):
        client.files.get(name="files/a")


# A bucket's object as a source.


def test_an_object_is_streamed_through_the_file_api(bucket: Bucket) -> None:
    content = b'{"key": "a", "request": {}}\n'
    src = bucket.put("dir/in.jsonl", content)
    with (
        Recorder(START, FINAL, Answer(body=OPERATION)) as server,
        client_of(server) as client,
    ):
        job = client.batches.create(model="m", src=src)

    start, chunk, create = server.requests
    assert start.json["file"]["display_name"] == "in.jsonl"
    assert start.json["file"]["size_bytes"] == len(content)
    assert chunk.body == content
    assert create.path == "/v1/models/m:batchGenerateContent"
    assert create.json == {"batch": {"inputConfig": {"fileName": "files/f1"}}}
    assert job.state is JobState.PENDING


def test_objects_are_merged_with_the_jobs_config_and_announced_at_their_new_size(
    bucket: Bucket,
) -> None:
    contents = [{"parts": [{"text": "hi"}]}]
    one = {"key": "a", "request": {"contents": contents}}
    other = {"contents": contents, "generationConfig": {"topK": 1}}
    bucket.put("in/1.jsonl", json.dumps(one).encode())
    bucket.put("in/2.jsonl", json.dumps({"key": "b", "request": other}).encode())
    with (
        Recorder(START, FINAL, Answer(body=OPERATION)) as server,
        client_of(server) as client,
    ):
        client.batches.create(
            model="m",
            src=bucket.uri("in/*"),
            config={"generation_config": {"temperature": 0}},
        )

    start, chunk, _ = server.requests
    assert start.json["file"]["size_bytes"] == len(chunk.body)
    assert [json.loads(line) for line in chunk.body.splitlines()] == [
        {
            "key": "a",
            "request": {"contents": contents, "generationConfig": {"temperature": 0}},
        },
        {
            "key": "b",
            "request": {
                "contents": contents,
                "generationConfig": {"topK": 1, "temperature": 0},
            },
        },
    ]


def test_a_jobs_config_is_merged_into_inline_requests() -> None:
    with Recorder(Answer(body=OPERATION)) as server, client_of(server) as client:
        client.batches.create(
            model="m",
            src=[{"contents": "a", "metadata": {"key": "1"}}],
            config={"generation_config": {"temperature": 0, "system_instruction": "s"}},
        )

    (sent,) = server.requests[0].json["batch"]["inputConfig"]["requests"]["requests"]
    assert sent["metadata"] == {"key": "1"}
    assert sent["request"]["generationConfig"] == {"temperature": 0}
    assert sent["request"]["systemInstruction"]["parts"] == [{"text": "s"}]


@pytest.mark.parametrize(
    ("src", "config", "why"),
    [
        ("files/f", {"generation_config": {"seed": 1}}, "can't be read back"),
        ("bq://p.d.t", {}, "exactly one of"),
        ("files/f", {"dest": "bq://p.d.t"}, "only a gs:// destination"),
        ("files/f", {"labels": {"a": "b"}}, "Vertex AI's"),
        ([{"contents": "a", "config": {"audio_timestamp": True}}], {}, "Vertex AI's"),
        ("local.jsonl", {}, "Unsupported source"),
        ([], {}, "empty list"),
        (7, {}, "Unsupported source"),
        ([{"contents": []}], {}, "needs contents"),
        ([{"prompt": "a"}], {}, "'prompt'"),
        ("files/f", {"displayname": "x"}, "it can have: display_name"),
        ("files/f", {"displayName": "x", "display_name": "y"}, "twice"),
        ("files/f", {"idempotency_token": "No!"}, "idempotency_token"),
    ],
)
def test_what_the_api_does_not_have_is_refused_before_anything_is_sent(
    src: Any, config: dict[str, Any], why: str
) -> None:
    with (
        Recorder() as server,
        client_of(server) as client,
        pytest.raises(ValueError, match=why),
    ):
        client.batches.create(model="m", src=src, config=config)

    assert server.requests == []


# A bucket as a destination.


def test_waiting_fills_a_bucket_from_the_responses_file(bucket: Bucket) -> None:
    answers = b'{"key":"a","response":{}}\n{"key":"b","error":{"code":3}}\n'
    with (
        Recorder(
            Answer(body=OPERATION),
            Answer(body=OPERATION),
            Answer(body=ended(responsesFile="files/batch-abc")),
            Answer(body=answers),
        ) as server,
        client_of(server) as client,
    ):
        job = client.batches.create(
            model="m", src="files/f", config={"dest": bucket.uri("out/")}
        )
        assert job.config.destination == bucket.uri("out/")
        job = client.batches.wait(job, interval=0.001)
        again = client.batches.collect(job)

    assert "outputConfig" not in server.requests[0].json["batch"]
    assert job.state is JobState.SUCCEEDED
    assert there(job.output_info).gcs_output_directory == bucket.uri("out/abc")
    assert again.output_info == job.output_info
    assert bucket.names() == ["out/abc/predictions.jsonl"]
    assert bucket.read("out/abc/predictions.jsonl") == answers


def test_collecting_replaces_nothing(bucket: Bucket) -> None:
    bucket.put("o/abc/predictions.jsonl", b"collected before")
    with (
        Recorder(
            Answer(body=ended(responsesFile="files/batch-abc")), Answer(body=b"new")
        ) as server,
        client_of(server) as client,
    ):
        job = client.batches.collect("abc", destination=bucket.uri("o"))

    assert len(server.requests) == 1  # and nothing is downloaded
    assert there(job.output_info).gcs_output_directory == bucket.uri("o/abc")
    assert bucket.read("o/abc/predictions.jsonl") == b"collected before"


@pytest.mark.parametrize("content", [b"", b"\n \n"], ids=["empty", "blank"])
def test_collecting_no_rows_is_an_error_and_leaves_no_object(
    bucket: Bucket, content: bytes
) -> None:
    answers = Answer(body=ended(responsesFile="files/f")), Answer(body=content)

    with (
        Recorder(*answers) as server,
        client_of(server) as client,
        pytest.raises(NoResults, match=r"SUCCEEDED and left no rows in files/f"),
    ):
        client.batches.collect("abc", destination=bucket.uri("o"))

    assert bucket.names() == []


def test_collecting_writes_inline_answers_line_by_line(bucket: Bucket) -> None:
    output = {
        "inlinedResponses": {
            "inlinedResponses": [
                {"response": {"candidates": []}, "metadata": {"key": "a"}},
                {"error": {"code": 3, "message": "no"}, "metadata": {"key": "b"}},
            ]
        }
    }

    async def run(client: Client) -> None:
        async with client.aio as aio:
            await aio.batches.collect("batches/abc", destination=bucket.uri("o"))

    with Recorder(Answer(body=ended(**output))) as server, client_of(server) as client:
        asyncio.run(run(client))

    rows = bucket.rows("o/abc/predictions.jsonl")
    assert [row["metadata"]["key"] for row in rows] == ["a", "b"]
    assert rows[0]["response"] == {"candidates": []}
    assert rows[1]["error"]["message"] == "no"


def test_collecting_requires_a_destination() -> None:
    done = ended(responsesFile="files/batch-abc")
    with Recorder(Answer(body=done)) as server, client_of(server) as client:
        job = client.batches.get(name="abc")
        with pytest.raises(ValueError, match="pass the job that `create` returned"):
            client.batches.collect(job)


# Results.


def test_results_of_a_file_are_streamed_and_joined_by_key() -> None:
    lines = (
        b'{"key":"b","response":{"a":1}}\n\nnonsense\n{"key":"a","error":{"code":3}}'
    )
    with (
        Recorder(
            Answer(body=ended(responsesFile="files/batch-abc")), Answer(body=lines)
        ) as server,
        client_of(server) as client,
    ):
        rows = list(client.batches.results("abc"))

    assert [row.key for row in rows] == ["b", None, "a"]
    assert rows[0].response == {"a": 1}
    assert rows[1].raw == {"line": "nonsense"}
    assert "files/batch-abc, line 3" in there(there(rows[1].error).message)
    assert there(rows[2].error).code == 3


def test_a_download_is_tried_again_until_it_begins() -> None:
    with (
        Recorder(
            Answer(body=ended(responsesFile="files/batch-abc")),
            Answer(503),
            Answer(body=b'{"key":"a"}'),
        ) as server,
        client_of(server) as client,
    ):
        (row,) = client.batches.results("abc")

    assert row.key == "a"
    assert len(server.requests) == 3


def test_a_download_that_is_refused_is_an_error() -> None:
    refused = Answer(403, {"error": {"message": "not yours", "status": "DENIED"}})
    done = Answer(body=ended(responsesFile="files/batch-abc"))
    with (
        Recorder(done, refused) as server,
        client_of(server) as client,
        pytest.raises(ClientError, match="not yours"),
    ):
        list(client.batches.results("abc"))


def test_results_of_a_listed_job_read_the_job_again() -> None:
    """A list omits the answers."""
    item = {
        "response": {"candidates": [{"content": {"parts": [{"text": "hi"}]}}]},
        "metadata": {"key": "k"},
    }
    listed = {"operations": [{**ended(), "metadata": ended()["metadata"]}]}
    whole = ended(inlinedResponses={"inlinedResponses": [item, None]})
    with (
        Recorder(Answer(body=listed), Answer(body=whole)) as server,
        client_of(server) as client,
    ):
        (job,) = client.batches.list()
        rows = list(client.batches.results(job))

    assert (rows[0].key, rows[0].text) == ("k", "hi")
    assert rows[1].response is None
    assert there(rows[1].error).message == "no answer but None"


def test_inline_embeddings_are_separate_from_generated_answers() -> None:
    item = {"response": {"embedding": {"values": [1.0]}}, "metadata": {"key": "k"}}
    whole = ended(inlinedResponses={"inlinedResponses": [item]})
    with Recorder(Answer(body=whole)) as server, client_of(server) as client:
        job = client.batches.get(name="abc")
        (row,) = client.batches.results(job)

    dest = there(job.dest)
    assert dest.inlined_responses is None
    (embedded,) = there(dest.inlined_embed_content_responses)
    assert embedded.response == item["response"]
    assert row.response == item["response"]


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        (OPERATION, "JOB_STATE_PENDING: wait"),
        (
            {**OPERATION, "done": True, "error": {"code": 13, "message": "it broke"}},
            "JOB_STATE_FAILED and left no rows: it broke",
        ),
        (
            {"name": "batches/abc", "metadata": {"state": "BATCH_STATE_EXPIRED"}},
            "JOB_STATE_EXPIRED and left no rows",
        ),
    ],
)
def test_a_job_without_rows_gives_the_reason(
    operation: dict[str, Any], why: str
) -> None:
    with (
        Recorder(Answer(body=operation)) as server,
        client_of(server) as client,
        pytest.raises(NoResults, match=why) as caught,
    ):
        list(client.batches.results("abc"))

    assert caught.value.job.name == "batches/abc"


ANSWERS = {"inlinedResponses": {"inlinedResponses": [{"response": {"a": 1}}]}}
NAMED = {"responsesFile": "files/batch-abc"}


@pytest.mark.parametrize("empty", [None, {}, {"inlinedResponses": {}}, "x"])
@pytest.mark.parametrize("response", [ANSWERS, NAMED, {"output": ANSWERS}])
def test_an_empty_output_does_not_hide_the_response(
    empty: Any, response: dict[str, Any]
) -> None:
    operation = {**ended(), "response": {"@type": "x", **response}}
    operation["metadata"]["output"] = empty
    file = Answer(body={"response": {"a": 1}})
    with Recorder(Answer(body=operation), file) as server, client_of(server) as client:
        (row,) = client.batches.results("abc")

    assert row.response == {"a": 1}


def test_results_wait_until_a_successful_job_names_its_output() -> None:
    async def run(client: Client) -> list[Any]:
        async with client.aio as aio:
            return [row.response async for row in aio.batches.results("abc")]

    pages = [Answer(body=ended()), Answer(body=ended(**ANSWERS))]
    with Recorder(*pages) as server, client_of(server) as client:
        rows = client.batches.results("abc")
        server.answers = pages[:]
        again = asyncio.run(run(client))

    assert [row.response for row in rows] == again == [{"a": 1}]


def test_a_job_without_a_named_output_long_after_its_end_is_an_error() -> None:
    operation = ended()
    operation["metadata"]["endTime"] = "2026-01-01T00:00:00Z"
    with Recorder(Answer(body=operation)) as server, client_of(server) as client:
        with pytest.raises(NoResults, match="doesn't say where its answers are"):
            client.batches.results("abc")
        with pytest.raises(NoResults, match="doesn't say where its answers are"):
            client.batches.collect("abc", destination="gs://b/o")

    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("operation", "state"),
    [
        ({"done": True, "response": {"@type": "x"}}, JobState.SUCCEEDED),
        ({"done": True, "error": {"code": 1}}, JobState.CANCELLED),
        ({"done": True, "error": {"code": 13}}, JobState.FAILED),
        (
            {"done": True, "metadata": {"state": "BATCH_STATE_RUNNING"}},
            JobState.SUCCEEDED,
        ),
        ({"metadata": {"state": "BATCH_STATE_NEW"}}, "BATCH_STATE_NEW"),
        ({}, JobState.UNSPECIFIED),
    ],
)
def test_an_operation_that_is_done_has_ended_whatever_its_metadata_has(
    operation: dict[str, Any], state: str
) -> None:
    answer = Answer(body={"name": "batches/abc", **operation})
    with Recorder(answer) as server, client_of(server) as client:
        job = client.batches.get(name="abc")

    assert job.state == state
    assert job.done == bool(operation.get("done"))
