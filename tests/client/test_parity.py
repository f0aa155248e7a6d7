"""
The official SDK and this client say the same on the wire.

Each row is one call that both can do. What is compared: the number of requests and of
each the method, path, query, JSON body, and the headers that an API looks at.
Differences that are wanted are the rows of `test_differences.py`, each with its reason.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.client.credential import Token
from tests.client.official import DEVELOPER, VERTEX, Speakers, content_of, ours, theirs
from tests.client.recorder import Answer, Recorder

JOB = {"name": "projects/1/locations/us-central1/batchPredictionJobs/7"}
NAME = "projects/p/locations/us-central1/batchPredictionJobs/7"
DATASET = "projects/p/locations/us-central1/datasets/5"


def _create(**kw: Any) -> tuple[str, dict[str, Any]]:
    return "create", {"model": "gemini-3.8-flash", **kw}


VERTEX_ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    # Models.
    "a bare model": _create(src="gs://b/in.jsonl"),
    "a publisher's model": _create(model="anthropic/claude-x", src="gs://b/in.jsonl"),
    "a publisher's model in full": _create(
        model="publishers/google/models/m", src="gs://b/in.jsonl"
    ),
    "a tuned model": _create(
        model="projects/p/locations/l/models/1@2", src="gs://b/in.jsonl"
    ),
    "models/": _create(model="models/m", src="gs://b/in.jsonl"),
    "tunedModels/": _create(model="tunedModels/x", src="gs://b/in.jsonl"),
    # Sources and the destinations that follow from them.
    "gs:// with a made up destination": _create(src="gs://b/d/in.jsonl"),
    "gs:// of another kind": _create(src="gs://b/d/*"),
    "bq:// with a made up destination": _create(src="bq://p.d.t"),
    "bq:// with a name": _create(src="bq://p.d.t", config={"display_name": "n"}),
    "a dataset": _create(src=DATASET),
    "a dict of several gs://": _create(
        src={"format": "jsonl", "gcs_uri": ["gs://b/1.jsonl", "gs://b/2.jsonl"]}
    ),
    "a dict in camelCase": _create(
        src={"format": "bigquery", "bigqueryUri": "bq://p.d.t"}
    ),
    "a dict of a dataset": _create(
        src={"format": "vertex-dataset", "vertex_dataset_name": DATASET}
    ),
    # Destinations.
    "to gs://": _create(src="gs://b/in.jsonl", config={"dest": "gs://o/p"}),
    "to bq://": _create(src="gs://b/in.jsonl", config={"dest": "bq://p.d.o"}),
    "to a dict": _create(
        src="bq://p.d.t",
        config={"dest": {"format": "bigquery", "bigquery_uri": "bq://p.d.o"}},
    ),
    "to a dataset": _create(
        src=DATASET,
        config={
            "dest": {
                "format": "vertex-dataset",
                "vertex_dataset": {
                    "bigquery_destination": "bq://p.d.o",
                    "display_name": "n",
                },
            }
        },
    ),
    "with a name": _create(src="gs://b/in.jsonl", config={"display_name": "n"}),
    "with a name in camelCase": _create(
        src="gs://b/in.jsonl", config={"displayName": "n"}
    ),
    # How it is sent.
    "an extra body": _create(
        src="gs://b/in.jsonl",
        config={
            "http_options": {
                "extra_body": {
                    "labels": {"a": "b"},
                    "inputConfig": {"instancesFormat": "x"},
                }
            }
        },
    ),
    "headers and a version": _create(
        src="gs://b/in.jsonl",
        config={"http_options": {"headers": {"x-mine": "1"}, "api_version": "v1"}},
    ),
    # The others.
    "get by full name": ("get", {"name": NAME}),
    "get by id": ("get", {"name": "7"}),
    "cancel": ("cancel", {"name": NAME}),
    "cancel by id": ("cancel", {"name": "7"}),
    "delete": ("delete", {"name": NAME}),
    "list": ("list", {}),
    "list some": (
        "list",
        {
            "config": {
                "page_size": 10,
                "page_token": "a b&c",
                "filter": 'state="JOB_STATE_FAILED" AND labels.a:*',
            }
        },
    ),
}

TEXT = {"parts": [{"text": "x"}], "role": "user"}


def _inline(*requests: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return _create(src=list(requests))


def _config(**config: Any) -> tuple[str, dict[str, Any]]:
    return _inline({"contents": "hi", "config": config})


DEVELOPER_ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    # Models.
    "a bare model": _create(src="files/f"),
    "models/": _create(model="models/m", src="files/f"),
    "tunedModels/": _create(model="tunedModels/x", src="files/f"),
    "a slash": _create(model="anthropic/claude-x", src="files/f"),
    # Sources.
    "a file": _create(src="files/f", config={"display_name": "n"}),
    "a dict of a file": _create(src={"file_name": "files/f"}),
    "a dict of requests": _create(src={"inlined_requests": [{"contents": "a"}]}),
    "a webhook": _create(
        src="files/f",
        config={"webhook_config": {"uris": ["u"], "user_metadata": {"a_b": 1}}},
    ),
    # Contents.
    "a string": _inline({"contents": "hi", "metadata": {"key": "k1"}}),
    "two requests": _inline({"contents": "a"}, {"contents": "b"}),
    "strings": _inline({"contents": ["a", "b"]}),
    "a content": _inline({"contents": TEXT}),
    "a content without a role": _inline({"contents": {"parts": [{"text": "a"}]}}),
    "a part": _inline({"contents": {"text": "a"}}),
    "parts": _inline(
        {
            "contents": [
                {"text": "a"},
                {"file_data": {"file_uri": "gs://x", "mime_type": "y"}},
            ]
        }
    ),
    "a conversation": _inline(
        {
            "contents": [
                {"role": "user", "parts": [{"text": "a"}]},
                {"role": "model", "parts": [{"text": "b"}]},
                "c",
            ]
        }
    ),
    "strings around a content": _inline(
        {"contents": ["a", "b", {"role": "model", "parts": [{"text": "x"}]}, "c"]}
    ),
    "lists in a list": _inline({"contents": [["a", "b"], "c"]}),
    "bytes": _inline(
        {
            "contents": [
                {"inline_data": {"mime_type": "i/p", "data": b"\xff\xfe\xfa??>"}}
            ]
        }
    ),
    "a function's call and a word": _inline(
        {"contents": [{"function_call": {"name": "f", "args": {"a_b": 1}}}, "t"]}
    ),
    "a function's response": _inline(
        {
            "contents": [
                {
                    "role": "user",
                    "parts": [
                        {"function_response": {"name": "f", "response": {"a_b": 1}}}
                    ],
                }
            ]
        }
    ),
    # Configs.
    "numbers": _config(
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        candidate_count=1,
        max_output_tokens=5,
        stop_sequences=["x"],
        seed=1,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        response_logprobs=True,
        logprobs=2,
    ),
    "numbers in camelCase": _config(maxOutputTokens=5, topK=3),
    "nothing in the config": _inline({"contents": "x", "config": {}}),
    "a model of its own": _inline({"contents": "x", "model": "gemini-4-argon"}),
    "a system instruction": _config(system_instruction="sys"),
    "a system instruction as a content": _config(
        system_instruction={"parts": [{"text": "s"}]}
    ),
    "a system instruction in parts": _config(system_instruction=["s", "t"]),
    "safety": _config(
        safety_settings=[
            {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}
        ]
    ),
    "tools": _config(
        tools=[
            {"google_search": {}},
            {
                "function_declarations": [
                    {
                        "name": "f",
                        "parameters": {
                            "type": "object",
                            "properties": {"a_b": {"type": "string", "max_length": 3}},
                        },
                    }
                ]
            },
            {"code_execution": {}},
            {"url_context": {}},
        ],
        tool_config={
            "function_calling_config": {
                "mode": "ANY",
                "allowed_function_names": ["f"],
            }
        },
    ),
    "JSON": _config(response_mime_type="application/json"),
    "a schema": _config(
        response_mime_type="application/json",
        response_schema={
            "type": "object",
            "properties": {
                "a_b": {"type": "string", "minLength": 1},
                "c": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                "d": {"type": "array", "items": {"type": "number"}},
            },
            "required": ["a_b"],
        },
    ),
    "a JSON schema": _config(
        response_json_schema={
            "type": "object",
            "properties": {"a_b": {"type": "string"}},
        }
    ),
    "thinking": _config(thinking_config={"thinking_budget": 5}),
    "speech": _config(response_modalities=["AUDIO"], speech_config="Kore"),
    "an image": _config(image_config={"aspect_ratio": "1:1", "image_size": "1K"}),
    "the rest": _config(
        cached_content="abc",
        labels={"a_b": "c_d"},
        service_tier="flex",
        media_resolution="MEDIA_RESOLUTION_LOW",
    ),
    # Embeddings.
    "embeddings": (
        "create_embeddings",
        {
            "model": "gemini-embedding-2",
            "src": {
                "inlined_requests": {
                    "contents": ["a", "b"],
                    "config": {
                        "task_type": "RETRIEVAL_QUERY",
                        "output_dimensionality": 64,
                        "title": "t",
                    },
                }
            },
            "config": {"display_name": "n"},
        },
    ),
    "one embedding": (
        "create_embeddings",
        {"model": "m", "src": {"inlined_requests": {"contents": "a"}}},
    ),
    "embeddings of contents": (
        "create_embeddings",
        {
            "model": "m",
            "src": {"inlined_requests": {"contents": [{"parts": [{"text": "x"}]}]}},
        },
    ),
    "embeddings of a file": (
        "create_embeddings",
        {"model": "m", "src": {"file_name": "files/x"}},
    ),
    # The others.
    "get": ("get", {"name": "batches/abc"}),
    "cancel": ("cancel", {"name": "batches/abc"}),
    "delete": ("delete", {"name": "batches/abc"}),
    "list": ("list", {}),
    "list some": ("list", {"config": {"page_size": 5, "page_token": "t"}}),
}

BOTH = [
    *((VERTEX, name, row) for name, row in VERTEX_ROWS.items()),
    *((DEVELOPER, name, row) for name, row in DEVELOPER_ROWS.items()),
]
IDS = [f"{'vertex' if a is VERTEX else 'developer'}: {name}" for a, name, _ in BOTH]


@pytest.fixture(scope="module")
def speakers() -> Iterator[Speakers]:
    with Recorder(Answer(body=JOB)) as server:
        speakers = Speakers(server)
        yield speakers
        speakers.close()


@pytest.mark.parametrize(("arguments", "name", "row"), BOTH, ids=IDS)
def test_the_same_call_sends_the_same(
    speakers: Speakers,
    arguments: dict[str, Any],
    name: str,
    row: tuple[str, dict[str, Any]],
) -> None:
    method, kwargs = row

    def use(client: Any) -> None:
        getattr(client.batches, method)(**kwargs)

    expected = speakers.wire(theirs, use, arguments)
    sent = speakers.wire(ours, use, arguments)

    assert [content_of(r) for r in sent] == [content_of(r) for r in expected]
    assert len(sent) == 1


@pytest.mark.parametrize(("arguments", "name", "row"), BOTH, ids=IDS)
def test_the_same_call_sends_the_same_from_asyncio(
    speakers: Speakers,
    arguments: dict[str, Any],
    name: str,
    row: tuple[str, dict[str, Any]],
) -> None:
    method, kwargs = row

    async def use(client: Any) -> None:
        await getattr(client.batches, method)(**kwargs)

    expected = speakers.wire(theirs, use, arguments)
    sent = speakers.wire(ours, use, arguments)

    assert [content_of(r) for r in sent] == [content_of(r) for r in expected]
    assert len(sent) == 1


REFUSED: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    *(
        (arguments, "create", {"model": model, "src": src})
        for arguments, src in ((VERTEX, "gs://b/in.jsonl"), (DEVELOPER, "files/f"))
        for model in ("", "a/../b", "a?b", "a&b")
    ),
    (VERTEX, "create", {"model": "m", "src": "in.jsonl"}),
    (VERTEX, "create", {"model": "m", "src": "files/f"}),
    (VERTEX, "create", {"model": "m", "src": {"file_name": "files/f"}}),
    (
        VERTEX,
        "create",
        {"model": "m", "src": {"gcs_uri": ["gs://b/a"], "bigquery_uri": "bq://p.d.t"}},
    ),
    (VERTEX, "create", {"model": "m", "src": {}}),
    (
        VERTEX,
        "create",
        {"model": "m", "src": "gs://b/in.jsonl", "config": {"dest": "o/p"}},
    ),
    (
        VERTEX,
        "create",
        {
            "model": "m",
            "src": "gs://b/in.jsonl",
            "config": {"webhook_config": {"uris": ["u"]}},
        },
    ),
    (DEVELOPER, "create", {"model": "m", "src": "in.jsonl"}),
    (DEVELOPER, "create", {"model": "m", "src": "bq://p.d.t"}),
    (DEVELOPER, "create", {"model": "m", "src": {"bigquery_uri": "bq://p.d.t"}}),
    (
        DEVELOPER,
        "create",
        {"model": "m", "src": "files/f", "config": {"dest": "bq://p.d.t"}},
    ),
    (DEVELOPER, "create", {"model": "m", "src": [{"contents": []}]}),
    (
        DEVELOPER,
        "create",
        {
            "model": "m",
            "src": [{"contents": "a", "config": {"audio_timestamp": True}}],
        },
    ),
    (DEVELOPER, "list", {"config": {"filter": "a"}}),
    (VERTEX, "get", {"name": "batches/1"}),
    (VERTEX, "get", {"name": "nightly"}),
    (VERTEX, "cancel", {"name": "7a"}),
    (VERTEX, "delete", {"name": "-7"}),
    (VERTEX, "cancel", {"name": "a b"}),
    (VERTEX, "delete", {"name": "projects/p/batchPredictionJobs/1"}),
    (DEVELOPER, "get", {"name": "batches/a/b"}),
    (DEVELOPER, "cancel", {"name": "files/a"}),
    (DEVELOPER, "delete", {"name": ""}),
]


@pytest.mark.parametrize(("arguments", "method", "kwargs"), REFUSED)
def test_calls_that_the_official_one_refuses_are_refused(
    speakers: Speakers, arguments: dict[str, Any], method: str, kwargs: dict[str, Any]
) -> None:
    def use(client: Any) -> None:
        with pytest.raises(ValueError, match=r"."):
            getattr(client.batches, method)(**kwargs)

    assert speakers.wire(theirs, use, arguments) == []
    assert speakers.wire(ours, use, arguments) == []


def test_both_read_all_pages_in_the_same_way() -> None:
    pages = [
        Answer(body={"batchPredictionJobs": [JOB], "nextPageToken": "a"}),
        Answer(body={"batchPredictionJobs": [JOB, JOB]}),
    ]
    sent_by = []
    for make in (theirs, ours):
        with Recorder(*pages) as server:
            client = make(server.url, VERTEX)
            pager = client.batches.list(config={"page_size": 2})
            assert (pager.name, pager.page_size, len(pager.page)) == (
                "batch_jobs",
                2,
                1,
            )
            assert len(list(pager)) == 3
            sent_by.append([content_of(r) for r in server.requests])
            client.close()

    assert sent_by[0] == sent_by[1]


def test_the_quota_project_is_sent(speakers: Speakers) -> None:
    arguments = {**VERTEX, "credentials": Token("payer")}

    def use(client: Any) -> None:
        client.batches.get(name="7")

    expected = speakers.wire(theirs, use, arguments)
    sent = speakers.wire(ours, use, arguments)

    assert content_of(sent[0]) == content_of(expected[0])
    assert sent[0].headers["x-goog-user-project"] == "payer"


def test_a_path_in_the_base_address_is_kept() -> None:
    sent_by = []
    for make in (theirs, ours):
        with Recorder() as server:
            client = make(f"{server.url}/x", DEVELOPER)
            client.batches.get(name="batches/abc")
            client.close()
            sent_by.append(server.requests[0].path)

    assert sent_by == ["/x/v1/batches/abc"] * 2


def test_a_timeout_is_sent_to_the_api(speakers: Speakers) -> None:
    def use(client: Any) -> None:
        client.batches.get(name="batches/abc")

    # Theirs counts milliseconds, ours seconds.
    expected = speakers.wire(theirs, use, DEVELOPER, timeout=2500)
    sent = speakers.wire(ours, use, DEVELOPER, timeout=2.5)

    assert content_of(sent[0]) == content_of(expected[0])
    assert sent[0].headers["x-server-timeout"] == "3"


def test_every_request_names_its_sender(speakers: Speakers) -> None:
    def use(client: Any) -> None:
        client.batches.get(name="batches/abc")

    (sent,) = speakers.wire(ours, use, DEVELOPER)

    assert re.fullmatch(r"batchdrop/\S+ gl-python/\S+", sent.headers["user-agent"])
    assert sent.headers["x-goog-api-client"] == sent.headers["user-agent"]
