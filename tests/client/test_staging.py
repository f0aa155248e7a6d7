"""What `create` stages for the API."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials

from batchdrop import Client
from batchdrop.batches import ClientError, InlinedRequest
from tests.client.buckets import Bucket
from tests.client.recorder import Answer, Recorder

JOB = {"name": "projects/1/locations/l/batchPredictionJobs/7"}


@pytest.fixture
def server() -> Iterator[Recorder]:
    with Recorder(Answer(body=JOB)) as server:
        yield server


@pytest.fixture
def client(server: Recorder) -> Iterator[Client]:
    with Client(
        vertexai=True,
        project="p",
        location="l",
        credentials=AnonymousCredentials(),
        http_options={"base_url": server.url},
    ) as client:
        yield client


SAFETY = [
    {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_ONLY_HIGH"},
]


def sources(server: Recorder) -> list[str]:
    return list(server.requests[-1].json["inputConfig"]["gcsSource"]["uris"])


def lines(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def request(text: str, **more: object) -> dict[str, object]:
    return {"contents": [{"role": "user", "parts": [{"text": text}]}], **more}


# Inline requests on Vertex.


def test_inline_requests_are_written_as_one_file_with_a_key_in_every_line(
    server: Recorder, client: Client, bucket: Bucket
) -> None:
    client.batches.create(
        model="gemini-3.8-flash",
        src=[
            InlinedRequest(contents="a", metadata={"key": "one", "team": "x"}),
            {"contents": "b", "config": {"temperature": 0, "system_instruction": "s"}},
        ],
        config={"dest": bucket.uri("out"), "staging": bucket.uri("work")},
    )

    (uri,) = sources(server)
    assert uri.startswith(bucket.uri("work/batchdrop-"))
    assert bucket.rows(uri) == [
        {
            "key": "one",
            "batchdrop_own": '{"key":"one","metadata":{"key":"one","team":"x"}}',
            "request": request("a"),
        },
        {
            "key": "request-2",
            "request": request(
                "b",
                systemInstruction={"parts": [{"text": "s"}], "role": "user"},
                generationConfig={"temperature": 0},
            ),
        },
    ]
    output = server.requests[-1].json["outputConfig"]["gcsDestination"]
    assert output == {"outputUriPrefix": bucket.uri("out")}


def test_without_a_staging_prefix_inline_requests_are_under_the_destination(
    server: Recorder, client: Client, bucket: Bucket
) -> None:
    client.batches.create(
        model="m", src=[{"contents": "a"}], config={"dest": bucket.uri("out/")}
    )

    (uri,) = sources(server)
    assert uri.startswith(bucket.uri("out/staging/"))
    assert bucket.rows(uri)[0]["request"] == request("a")


def test_without_a_destination_the_answers_go_beside_the_staged_file(
    server: Recorder, client: Client, bucket: Bucket
) -> None:
    client.batches.create(
        model="m", src=[{"contents": "a"}], config={"staging": bucket.uri("work")}
    )

    (uri,) = sources(server)
    output = server.requests[-1].json["outputConfig"]["gcsDestination"]
    assert output == {"outputUriPrefix": f"{uri.rpartition('/')[0]}/dest"}


def test_a_request_of_another_model_is_refused_before_anything_is_written(
    server: Recorder, client: Client, bucket: Bucket
) -> None:
    with pytest.raises(ValueError, match="a job has one model"):
        client.batches.create(
            model="m",
            src=[{"contents": "a"}, {"contents": "b", "model": "n"}],
            config={"staging": bucket.uri("work")},
        )

    assert server.requests == []
    assert bucket.names() == []


def test_a_wrong_option_is_refused_before_anything_is_written(
    server: Recorder, client: Client, bucket: Bucket
) -> None:
    with pytest.raises(ValueError, match="priority"):
        client.batches.create(
            model="m",
            src=[{"contents": "a"}],
            config={"staging": bucket.uri("work"), "priority": 1},
        )

    assert bucket.names() == []


# A job's config.


def test_a_jobs_config_is_merged_into_every_line_and_the_lines_own_value_wins(
    server: Recorder, client: Client, bucket: Bucket
) -> None:
    given = b"".join(
        [
            b'{"request":{"contents":[{"role":"user","parts":[{"text":"a"}]}],'
            b'"generationConfig":{"topP":0.50}},"key":"a","big":12345678901234567890}',
            b"\n\n",
            lines({"key": "b", "request": request("b", safetySettings=[])}),
            lines(
                {
                    "key": "c",
                    "request": request(
                        "c",
                        generationConfig={"temperature": 1, "maxOutputTokens": 3},
                        systemInstruction={"parts": [{"text": "own"}]},
                    ),
                }
            ),
        ]
    )
    client.batches.create(
        model="gemini-3.8-flash",
        src=bucket.put("in.jsonl", given),
        config={
            "dest": bucket.uri("out"),
            "generationConfig": {
                "temperature": 0.2,
                "max_output_tokens": 100,
                "system_instruction": "job",
                "safety_settings": SAFETY,
            },
        },
    )

    (uri,) = sources(server)
    assert uri.startswith(bucket.uri("out/staging/"))
    assert bucket.read("in.jsonl") == given
    assert b'"topP":0.50' in bucket.read(uri)
    job = {"parts": [{"text": "job"}], "role": "user"}
    rows = bucket.rows(uri)
    assert [row["key"] for row in rows] == ["a", "b", "c"]
    assert rows[0]["batchdrop_own"] == '{"key":"a","big":12345678901234567890}'
    assert [row["request"] for row in rows] == [
        request(
            "a",
            systemInstruction=job,
            safetySettings=SAFETY,
            generationConfig={
                "topP": 0.5,
                "temperature": 0.2,
                "maxOutputTokens": 100,
            },
        ),
        request(
            "b",
            systemInstruction=job,
            safetySettings=[],
            generationConfig={"temperature": 0.2, "maxOutputTokens": 100},
        ),
        request(
            "c",
            systemInstruction={"parts": [{"text": "own"}]},
            safetySettings=SAFETY,
            generationConfig={"temperature": 1, "maxOutputTokens": 3},
        ),
    ]


def test_every_file_that_a_wildcard_finds_is_staged(
    server: Recorder, client: Client, bucket: Bucket
) -> None:
    bucket.put("in/1.jsonl", lines({"request": request("a")}))
    bucket.put("in/2.jsonl", lines({"request": request("b")}))
    bucket.put("in/3.txt", b"not this one")
    bucket.put("in/deep/4.jsonl", b"nor this: * doesn't go into folders")

    client.batches.create(
        model="m",
        src=bucket.uri("in/*.jsonl"),
        config={"staging": bucket.uri("w"), "generation_config": {"top_k": 1}},
    )

    staged = [bucket.rows(uri) for uri in sources(server)]
    assert [rows[0]["request"]["contents"] for rows in staged] == [
        request("a")["contents"],
        request("b")["contents"],
    ]
    assert all(rows[0]["request"]["generationConfig"] == {"topK": 1} for rows in staged)


def test_a_jobs_config_is_merged_into_inline_requests_too(
    server: Recorder, client: Client, bucket: Bucket
) -> None:
    client.batches.create(
        model="m",
        src=[{"contents": "a"}, {"contents": "b", "config": {"temperature": 1}}],
        config={"staging": bucket.uri("w"), "generation_config": {"temperature": 0}},
    )

    rows = bucket.rows(sources(server)[0])
    assert [row["request"]["generationConfig"] for row in rows] == [
        {"temperature": 0},
        {"temperature": 1},
    ]


def test_a_job_keeps_the_config_of_its_create(client: Client, bucket: Bucket) -> None:
    job = client.batches.create(
        model="m",
        src=[{"contents": "a"}],
        config={"staging": bucket.uri("w"), "generation_config": {"temperature": 0}},
    )

    assert job.config.generation_config == {"temperature": 0}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{", "line 2: ends in the middle"),
        (b"[]", "line 2: is a JSON array"),
        (b'{"request": "a"}', "line 2: request must be a JSON object"),
        (
            b'{"request": {"contents": []}}',
            "line 2: request.contents must not be empty",
        ),
    ],
)
def test_a_line_that_cannot_take_a_config_is_named_and_leaves_no_object(
    server: Recorder, client: Client, bucket: Bucket, line: bytes, why: str
) -> None:
    good = lines({"request": request("a")})
    src = bucket.put("in.jsonl", good + line + b"\n")

    with pytest.raises(ValueError, match=why) as caught:
        client.batches.create(
            model="m",
            src=src,
            config={"staging": bucket.uri("w"), "generation_config": {"seed": 1}},
        )

    assert src in str(caught.value)
    assert bucket.names() == ["in.jsonl"]
    assert server.requests == []


@pytest.mark.parametrize(
    ("src", "model", "why"),
    [
        ("bq://p.d.t", "m", "a table of yours is not rewritten"),
        ("projects/p/locations/l/datasets/1", "m", "not rewritten"),
        ("gs://b/in.jsonl", "anthropic/claude-x", "is Gemini's"),
    ],
)
def test_a_jobs_config_that_cannot_be_merged_is_refused_with_the_reason(
    server: Recorder, client: Client, src: str, model: str, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        client.batches.create(
            model=model, src=src, config={"generation_config": {"temperature": 0}}
        )

    assert server.requests == []


def test_a_missing_source_is_a_404_with_its_address(
    client: Client, bucket: Bucket
) -> None:
    with pytest.raises(ClientError) as caught:
        client.batches.create(
            model="m",
            src=bucket.uri("gone.jsonl"),
            config={"generation_config": {"temperature": 0}},
        )

    assert caught.value.code == 404
    assert bucket.uri("gone.jsonl") in str(caught.value)


# Embeddings on Vertex.


def test_embeddings_are_written_in_the_form_of_the_newer_models(
    server: Recorder, client: Client, bucket: Bucket
) -> None:
    client.batches.create_embeddings(
        model="gemini-embedding-2",
        src={
            "inlined_requests": {
                "contents": ["a", "b"],
                "config": {"outputDimensionality": 64, "task_type": "RETRIEVAL_QUERY"},
            }
        },
        config={"staging": bucket.uri("w")},
    )

    config = {"output_dimensionality": 64, "task_type": "RETRIEVAL_QUERY"}
    assert bucket.rows(sources(server)[0]) == [
        {
            "key": f"request-{n}",
            "request": {
                "content": {"parts": [{"text": text}]},
                "embed_content_config": config,
            },
        }
        for n, text in ((1, "a"), (2, "b"))
    ]


def test_embeddings_are_written_in_the_form_of_the_older_models(
    server: Recorder, client: Client, bucket: Bucket
) -> None:
    client.batches.create_embeddings(
        model="text-embedding-005",
        src=["a", {"content": "b", "config": {"title": "t"}, "metadata": {"key": "k"}}],
        config={"staging": bucket.uri("w")},
    )

    assert bucket.rows(sources(server)[0]) == [
        {"key": "request-1", "content": "a"},
        {
            "key": "k",
            "batchdrop_own": '{"key":"k","metadata":{"key":"k"}}',
            "content": "b",
            "title": "t",
        },
    ]


def test_ready_embedding_lines_are_submitted_in_place(
    server: Recorder, client: Client
) -> None:
    client.batches.create_embeddings(
        model="gemini-embedding-2", src="gs://b/in.jsonl", config={"dest": "gs://o"}
    )

    assert sources(server) == ["gs://b/in.jsonl"]


@pytest.mark.parametrize(
    ("item", "why"),
    [
        ({"inline_data": {"mime_type": "image/png", "data": "x"}}, "text alone"),
        ({"content": "a", "config": {"output_dimensionality": 3}}, "task_type"),
    ],
)
def test_content_that_the_older_models_cannot_embed_is_refused(
    client: Client, item: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        client.batches.create_embeddings(
            model="text-embedding-005", src=["a", item], config={"staging": "gs://b/w"}
        )


# From asyncio.


def test_staging_works_from_asyncio(
    server: Recorder, client: Client, bucket: Bucket
) -> None:
    async def run() -> None:
        async with client.aio as aio:
            await asyncio.gather(
                *(
                    aio.batches.create(
                        model="m",
                        src=[{"contents": text}],
                        config={"staging": bucket.uri(text)},
                    )
                    for text in ("a", "b")
                )
            )

    asyncio.run(run())

    made = [r.json["inputConfig"]["gcsSource"]["uris"][0] for r in server.requests]
    texts = [bucket.rows(uri)[0]["request"]["contents"][0]["parts"] for uri in made]
    assert sorted(t[0]["text"] for t in texts) == ["a", "b"]
