"""Lines as people write them, sent to either API, and their answers."""

import asyncio
import codecs
import gzip
import json
import re
import sys
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials

from batchdrop import Client
from batchdrop.batches import BatchJob, ResultRow
from batchdrop.batches.staging import Source, Wire
from batchsim import BatchSim
from tests.client.buckets import Bucket
from tests.client.recorder import Answer, Recorder

GEMINI, EMBEDDING, OLDER = (
    "gemini-3.8-flash",
    "gemini-embedding-2",
    "text-embedding-005",
)


@pytest.fixture
def sim(storage_emulator: str) -> Iterator[BatchSim]:
    """An API whose jobs end at once."""
    with BatchSim(speed=0, queue_seconds=0, run_seconds=0) as sim:
        yield sim


def vertex_at(url: str) -> Client:
    return Client(
        vertexai=True,
        project="p",
        location="us-central1",
        credentials=AnonymousCredentials(),
        http_options={"base_url": url},
    )


@pytest.fixture
def vertex(sim: BatchSim) -> Iterator[Client]:
    with vertex_at(sim.url) as client:
        yield client


@pytest.fixture(params=["vertex", "developer"])
def client(sim: BatchSim, request: pytest.FixtureRequest) -> Iterator[Client]:
    with (
        vertex_at(sim.url)
        if request.param == "vertex"
        else Client(api_key="k", http_options={"base_url": sim.url})
    ) as client:
        yield client


@pytest.fixture
def server() -> Iterator[Recorder]:
    job = {"name": "projects/1/locations/l/batchPredictionJobs/7"}
    with Recorder(Answer(body=job)) as server:
        yield server


def lines(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def request(text: str, **more: object) -> dict[str, object]:
    return {"contents": [{"role": "user", "parts": [{"text": text}]}], **more}


def part(**part: object) -> dict[str, object]:
    """An inline request of one part."""
    return {"contents": [{"role": "model", "parts": [part]}]}


def answers(client: Client, job: BatchJob) -> list[ResultRow]:
    job = client.batches.wait(job, interval=0.001)
    return sorted(client.batches.results(job), key=lambda row: row.key or "")


def texts(client: Client, job: BatchJob) -> dict[str | None, str | None]:
    return {row.key: row.text for row in answers(client, job)}


# Files in a bucket.


def test_plain_requests_get_keys_and_answers(client: Client, bucket: Bucket) -> None:
    src = bucket.put("in.jsonl", lines(request("one"), request("two")))

    job = client.batches.create(model=GEMINI, src=src)

    assert texts(client, job) == {"request-1": "one", "request-2": "two"}
    assert bucket.rows("in.jsonl") == [request("one"), request("two")]


@pytest.mark.parametrize("model", [EMBEDDING, OLDER])
@pytest.mark.parametrize(
    "rows",
    [
        [{"content": "one"}, {"content": "two"}],
        [{"text": "one"}, {"text": "two"}],
        [{"content": {"parts": [{"text": text}]}} for text in ("one", "two")],
        [
            {"contents": [{"role": "user", "parts": [{"text": text}]}]}
            for text in ("one", "two")
        ],
    ],
    ids=["texts", "text", "content", "contents"],
)
def test_plain_texts_are_embedded(
    client: Client, bucket: Bucket, model: str, rows: list[object]
) -> None:
    src = bucket.put("in.jsonl", lines(*rows))

    job = client.batches.create_embeddings(model=model, src=src)

    found = answers(client, job)
    assert len(found) == 2
    assert all(row.response and not row.error for row in found)


def test_lines_that_the_api_takes_are_submitted_in_place(
    server: Recorder, bucket: Bucket
) -> None:
    for model, row in [
        (GEMINI, {"request": request("a"), "key": "a", "mine": 1}),
        (EMBEDDING, {"key": "a", "request": {"content": {"parts": [{"text": "a"}]}}}),
        (OLDER, {"content": "a", "title": "t"}),
        ("anthropic/claude-x", {"custom_id": "a", "request": {"messages": []}}),
        ("projects/p/locations/l/models/7", {"anything": 1}),
    ]:
        src = bucket.put(f"{model}.jsonl", lines(row))
        with vertex_at(server.url) as client:
            client.batches.create(model=model, src=src)

        uris = server.requests[-1].json["inputConfig"]["gcsSource"]["uris"]
        assert uris == [src]


def test_an_object_that_we_may_not_read_is_submitted_as_it_is(server: Recorder) -> None:
    with vertex_at(server.url) as client:
        client.batches.create(model=GEMINI, src="gs://no-such-bucket/in.jsonl")

    uris = server.requests[-1].json["inputConfig"]["gcsSource"]["uris"]
    assert uris == ["gs://no-such-bucket/in.jsonl"]


def test_without_the_storage_library_a_file_is_submitted_as_it_is(
    server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "google.cloud.storage", None)

    with vertex_at(server.url) as client:
        client.batches.create(model=GEMINI, src="gs://b/in.jsonl")

    uris = server.requests[-1].json["inputConfig"]["gcsSource"]["uris"]
    assert uris == ["gs://b/in.jsonl"]


def test_a_first_line_of_any_length_is_read(client: Client, bucket: Bucket) -> None:
    text = "x" * 600_000
    src = bucket.put("in.jsonl", lines(request(text), request("b")))

    job = client.batches.create(model=GEMINI, src=src)

    assert texts(client, job) == {"request-1": text, "request-2": "b"}


@pytest.mark.parametrize(
    "content",
    [b"", b"\n \n", gzip.compress(b"")],
    ids=["nothing", "blank", "packed nothing"],
)
def test_a_file_without_a_request_is_refused(
    client: Client, bucket: Bucket, content: bytes
) -> None:
    src = bucket.put("in.jsonl", content)

    with pytest.raises(ValueError, match=r"in\.jsonl, line 1: there is no request"):
        client.batches.create(model=GEMINI, src=src)

    assert bucket.names() == ["in.jsonl"]


def test_a_file_can_be_submitted_unread(server: Recorder, bucket: Bucket) -> None:
    src = bucket.put("in.jsonl", lines(request("a")))

    with vertex_at(server.url) as client:
        client.batches.create(model=GEMINI, src=src, config={"as_is": True})
        with pytest.raises(ValueError, match="as_is"):
            client.batches.create(
                model=GEMINI,
                src=src,
                config={"as_is": True, "generation_config": {"seed": 1}},
            )

    uris = server.requests[-1].json["inputConfig"]["gcsSource"]["uris"]
    assert uris == [src]


def test_a_copy_is_under_the_destination_or_else_in_the_sources_bucket(
    server: Recorder, bucket: Bucket
) -> None:
    src = bucket.put("dir/in.jsonl", lines(request("a")))

    def copied(**config: str) -> str:
        with vertex_at(server.url) as client:
            client.batches.create(model=GEMINI, src=src, config=config)
        (uri,) = server.requests[-1].json["inputConfig"]["gcsSource"]["uris"]
        assert bucket.rows(uri)[0]["request"] == request("a")
        return str(uri)

    staged, placed, usual, table = (
        copied(staging=bucket.uri("work"), dest=bucket.uri("out")),
        copied(dest=bucket.uri("out")),
        copied(),
        copied(dest="bq://p.d.t"),
    )

    assert staged.startswith(bucket.uri("work/batchdrop-"))
    assert placed.startswith(bucket.uri("out/staging/"))
    assert usual.startswith(bucket.uri("dir/in/dest/staging/"))
    assert table.startswith(bucket.uri("batchdrop-staging/"))


def test_a_byte_order_mark_is_not_copied(client: Client, bucket: Bucket) -> None:
    row = lines({"key": "a", "request": request("one")})
    src = bucket.put("in.jsonl", codecs.BOM_UTF8 + row)

    job = client.batches.create(model=GEMINI, src=src)

    assert texts(client, job) == {"a": "one"}


def test_a_column_may_have_the_name_of_an_answers_member(
    vertex: Client, bucket: Bucket
) -> None:
    rows = [{"key": key, "status": "new", "request": request(key)} for key in "ab"]
    src = bucket.put("in.jsonl", lines(*rows))

    job = vertex.batches.create(model=GEMINI, src=src)

    assert texts(vertex, job) == {"a": "a", "b": "b"}


def test_a_file_of_answers_is_refused(server: Recorder, bucket: Bucket) -> None:
    answered: dict[str, Any] = {
        "response": {"candidates": [{"content": {"parts": []}}]}
    }
    src = bucket.put("out.jsonl", lines({"request": request("a"), **answered}))

    with vertex_at(server.url) as client, pytest.raises(ValueError, match="line 1: "):
        client.batches.create(model=GEMINI, src=src)

    assert server.requests == []


def test_a_models_short_name_includes_its_publisher(
    vertex: Client, bucket: Bucket
) -> None:
    body = {"model": "meta/llama-x", "messages": [{"role": "user", "content": "hi"}]}
    posted = {"method": "POST", "url": "/v1/chat/completions", "body": body}
    src = bucket.put("in.jsonl", lines({"custom_id": "007", **posted}))

    job = vertex.batches.create(model="meta/llama-x", src=src)

    assert texts(vertex, job) == {"007": "hi"}


@pytest.mark.parametrize("key", ["custom_id", "key"])
def test_openai_style_lines_are_sent_to_the_developer_api(
    sim: BatchSim, bucket: Bucket, key: str
) -> None:
    body = {"messages": [{"role": "user", "content": "hi"}]}
    posted = {"method": "POST", "url": "/v1/chat/completions", "body": body}
    src = bucket.put("in.jsonl", lines({key: "007", **posted}))

    with Client(api_key="k", http_options={"base_url": sim.url}) as client:
        job = client.batches.create(model=GEMINI, src=src)

        assert texts(client, job) == {"007": "hi"}


def test_a_name_may_have_the_letters_of_a_wildcard(
    client: Client, bucket: Bucket
) -> None:
    src = bucket.put("week [final]?.jsonl", lines(request("a")))

    job = client.batches.create(model=GEMINI, src=src)

    assert texts(client, job) == {"request-1": "a"}


def test_a_packed_file_is_unpacked(client: Client, bucket: Bucket) -> None:
    row = {"key": "a", "request": request("one")}
    src = bucket.put("in.jsonl", gzip.compress(lines(row)))

    job = client.batches.create(model=GEMINI, src=src)

    assert texts(client, job) == {"a": "one"}


def test_several_files_are_checked_together(
    vertex: Client, sim: BatchSim, bucket: Bucket
) -> None:
    for name, key in (("1", "a"), ("2", "b")):
        row = {"key": key, "request": request(key)}
        bucket.put(f"in/{name}.jsonl", lines(row))
    config = {"generation_config": {"seed": 1}, "staging": bucket.uri("w")}
    wanted = bucket.uri("in/*.jsonl")

    job = vertex.batches.create(model=GEMINI, src=wanted, config=config)
    assert set(texts(vertex, job)) == {"a", "b"}

    again = bucket.put("again.jsonl", lines({"key": "a", "request": request("x")}))
    staged = bucket.names()
    same = r"again\.jsonl, line 1: key is the same as in gs://.*/in/1\.jsonl, line 1;"
    with pytest.raises(ValueError, match=same):
        vertex.batches.create(model=GEMINI, src=[wanted, again], config=config)
    assert bucket.names() == staged


def test_a_large_file_is_copied_in_constant_memory() -> None:
    piece = lines(request("x" * 2000)) * 100
    source = Source(
        read=lambda: (piece for _ in range(100)), place=lambda number: f"line {number}"
    )
    (copy,) = Wire(vertex=True, model=GEMINI).copies([source])

    tracemalloc.start()
    size = sum(map(len, copy))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert size > 20e6
    assert most < 4e6


def test_a_plain_file_is_copied_from_asyncio(vertex: Client, bucket: Bucket) -> None:
    src = bucket.put("in.jsonl", lines(request("one")))

    async def run() -> BatchJob:
        async with vertex.aio as aio:
            return await aio.batches.create(model=GEMINI, src=src)

    assert texts(vertex, asyncio.run(run())) == {"request-1": "one"}


# Keys and columns of answers.


def test_keys_and_columns_come_back_as_they_were_given(
    client: Client, bucket: Bucket
) -> None:
    rows: list[dict[str, Any]] = [
        {"key": "007", "team": "x", "odd name": None, "request": request("a")},
        {"key": "7", "team": 3, "request": request("b")},
        {"key": "1e5", "team": {}, "request": request("c")},
        {"key": "2026-01-02", "request": request("d")},
        {"key": "true", "request": request("e")},
    ]
    src = bucket.put("in.jsonl", lines(*rows))

    job = client.batches.create(model=GEMINI, src=src)

    found = {row.key: row for row in answers(client, job)}
    assert {key: row.text for key, row in found.items()} == {
        "007": "a",
        "7": "b",
        "1e5": "c",
        "2026-01-02": "d",
        "true": "e",
    }
    if client.vertexai:
        assert found["007"].raw["odd name"] is None
        assert found["7"].raw["team"] == 3


def test_a_custom_id_is_the_key(client: Client, bucket: Bucket) -> None:
    src = bucket.put("in.jsonl", lines({"custom_id": "12", "request": request("a")}))

    job = client.batches.create(model=GEMINI, src=src)

    assert texts(client, job) == {"12": "a"}


@pytest.mark.parametrize("model", [EMBEDDING, OLDER])
def test_embeddings_have_the_keys_and_the_metadata_that_were_given(
    vertex: Client, bucket: Bucket, model: str
) -> None:
    metadata = [{"key": "007", "a b": None}, {"key": "7", "n": 1}, {"n": "x"}]

    job = vertex.batches.create_embeddings(
        model=model,
        src=[{"content": "a", "metadata": one} for one in metadata],
        config={"staging": bucket.uri("w")},
    )

    rows = answers(vertex, job)
    assert [row.key for row in rows] == ["007", "7", "request-3"]
    assert [row.metadata for row in rows] == [{"key": "007"}, *metadata[1:]]


# Inline requests.


def test_metadata_of_any_kind_comes_back_from_either_api(
    client: Client, bucket: Bucket
) -> None:
    metadata = [{"key": "007", "odd name": "a"}, {"key": "7", "n": "1"}]

    job = client.batches.create(
        model=GEMINI,
        src=[{"contents": m["key"], "metadata": m} for m in metadata],
        config={"dest": bucket.uri("out")},
    )

    rows = answers(client, job)
    assert [(row.key, row.text, row.metadata) for row in rows] == [
        (one["key"], one["key"], one) for one in metadata
    ]


def test_requests_are_mended_where_possible(vertex: Client, bucket: Bucket) -> None:
    job = vertex.batches.create(
        model=GEMINI,
        src=[
            {"contents": [{"parts": [{"text": "no role"}]}]},
            {"contents": "no settings", "config": {}},
            {"request": request("nulls", safetySettings=None, labels={})},
            part(functionCall={"name": "f", "args": {}}) | {"metadata": {"key": "f"}},
        ],
        config={"staging": bucket.uri("w")},
    )

    assert texts(vertex, job) == {
        "request-1": "no role",
        "request-2": "no settings",
        "request-3": "nulls",
        "f": None,
    }


@pytest.mark.parametrize(
    ("src", "why"),
    [
        (
            [{"contents": "a"}, {"contents": [{"parts": ["b"]}, {"parts": ["c"]}]}],
            "inline request 2: request.contents[0] has no role; write",
        ),
        (
            [{"contents": "a", "config": {"tools": [{"google_search": {}}]}}],
            "inline request 1: request.tools[0].googleSearch is an object without",
        ),
        (
            [
                {"contents": "a", "config": {"stop_sequences": ["a"]}},
                {"contents": "a", "config": {"stop_sequences": "a"}},
            ],
            "inline request 2: request.generationConfig.stopSequences",
        ),
        (
            [{"contents": "a", "metadata": {"key": "k"}}] * 2,
            "inline request 2: key is the same as in inline request 1; give",
        ),
        (
            [
                {
                    "contents": "a",
                    "config": {"response_json_schema": {"$defs": {"a": {}}}},
                }
            ],
            "inline request 1: request.generationConfig.responseJsonSchema.$defs",
        ),
        # Members of the caller's own data are not omitted silently.
        (
            [part(functionCall={"name": "f", "args": {"a": None}})],
            "inline request 1: request.contents[0].parts[0].functionCall.args.a is nu",
        ),
        (
            [part(functionResponse={"name": "f", "response": {"a": {"b": None}}})],
            "inline request 1: request.contents[0].parts[0].functionResponse.respons",
        ),
        (
            [part(function_call={"name": "f", "args": {"a": [1, None, 3]}})],
            "inline request 1: request.contents[0].parts[0].functionCall.args.a[1] is",
        ),
        (
            [
                {
                    "contents": "a",
                    "config": {"response_json_schema": {"enum": ["a", None]}},
                }
            ],
            "inline request 1: request.generationConfig.responseJsonSchema.enum[1] is",
        ),
    ],
    ids=[
        *("no role", "empty struct", "mixed types", "one key twice", "bad name"),
        *("null argument", "null in a response", "null in a list", "null in an enum"),
    ],
)
def test_a_request_that_cannot_be_mended_is_an_error_before_a_byte_is_written(
    server: Recorder, bucket: Bucket, src: list[object], why: str
) -> None:
    with (
        vertex_at(server.url) as client,
        pytest.raises(ValueError, match=f"^{re.escape(why)}"),
    ):
        client.batches.create(
            model=GEMINI, src=src, config={"staging": bucket.uri("w")}
        )

    assert (server.requests, bucket.names()) == ([], [])


def test_an_embedding_that_cannot_be_sent_is_an_error_before_a_byte_is_written(
    server: Recorder, bucket: Bucket
) -> None:
    with (
        vertex_at(server.url) as client,
        pytest.raises(ValueError, match=r"inline request 2: request\.content"),
    ):
        client.batches.create_embeddings(
            model=EMBEDDING, src=["a", ""], config={"staging": bucket.uri("w")}
        )

    assert (server.requests, bucket.names()) == ([], [])


@pytest.mark.parametrize("keys", [("k", "k"), (7, "7")])
def test_a_duplicate_key_is_an_error_on_the_developer_api_too(
    server: Recorder, keys: tuple[object, object]
) -> None:
    src = [{"contents": "a", "metadata": {"key": key}} for key in ("x", *keys)]
    texts = [{"content": "a", "metadata": one["metadata"]} for one in src]
    twice = r"inline request 3: metadata\.key is the same as in inline request 2; give"

    with Client(api_key="k", http_options={"base_url": server.url}) as client:
        with pytest.raises(ValueError, match=twice):
            client.batches.create(model=GEMINI, src=src)
        with pytest.raises(ValueError, match=twice):
            client.batches.create_embeddings(model=EMBEDDING, src=texts)

    assert server.requests == []


@pytest.mark.parametrize(
    "src",
    [
        "bq://p.d.t$20260301",
        "bq://p.d.t@-3600000",
        "bq://p.d.rows_*",
        "bq://`p.d.t`; DROP TABLE x",
        'bq://p.d.t", "outputUri": "bq://others.d.t',
        "bq://p.d.a b\r\nx-goog-user-project: others",
        "bq://p.d.tä\u2028\0",
        "bq://p.d." + "t" * 1_000_000,
    ],
)
def test_a_tables_name_reaches_the_api_unchanged_or_is_refused(
    server: Recorder, src: str
) -> None:
    with vertex_at(server.url) as client:
        client.batches.create(model=GEMINI, src=src, config={"dest": "bq://p.d.out"})

    (request,) = server.requests
    assert request.json["inputConfig"] == {
        "instancesFormat": "bigquery",
        "bigquerySource": {"inputUri": src},
    }
    assert request.json["outputConfig"] == {
        "predictionsFormat": "bigquery",
        "bigqueryDestination": {"outputUri": "bq://p.d.out"},
    }
    assert "x-goog-user-project" not in {name.lower() for name in request.headers}
