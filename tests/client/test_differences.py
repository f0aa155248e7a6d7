"""
Where this client sends or reads something else than the official SDK, on purpose.

Each test shows both: what the official one does, and what is done here in its place.
The same list, with the reasons, is a table in docs/reference/client.md. Where the
official types refuse what the client takes, comments tell mypy to ignore it.
"""

import contextlib
import copy
import enum
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pydantic
import pytest
from google import genai
from google.genai import types

from batchdrop import Client, JobState, ServerError
from tests.client.buckets import Bucket
from tests.client.official import DEVELOPER, VERTEX, ours, theirs
from tests.client.recorder import Answer, FileKeeper, Recorder
from tests.there import there

JOB = {"name": "projects/1/locations/us-central1/batchPredictionJobs/7"}
ELSEWHERE = "projects/other/locations/europe-west1/batchPredictionJobs/7"


@pytest.fixture
def server() -> Iterator[Recorder]:
    with Recorder(Answer(body=JOB)) as server:
        yield server


@pytest.fixture
def official(server: Recorder) -> Iterator[genai.Client]:
    with theirs(server.url, VERTEX) as client:
        yield client


@pytest.fixture
def client(server: Recorder) -> Iterator[Client]:
    with ours(server.url, VERTEX) as client:
        yield client


@pytest.fixture
def official_developer(server: Recorder) -> Iterator[genai.Client]:
    with theirs(server.url, DEVELOPER) as client:
        yield client


@pytest.fixture
def developer(server: Recorder) -> Iterator[Client]:
    with ours(server.url, DEVELOPER) as client:
        yield client


def test_labels_and_a_key_can_be_given(
    server: Recorder, official: genai.Client, client: Client
) -> None:
    config = {"labels": {"a": "b"}, "encryption_spec": {"kms_key_name": "k"}}

    with pytest.raises(ValueError, match="labels"):
        official.batches.create(
            model="m",
            src="gs://b/in.jsonl",
            config=config,  # type: ignore[arg-type]
        )
    client.batches.create(model="m", src="gs://b/in.jsonl", config=config)

    assert server.requests[0].json["labels"] == {"a": "b"}
    assert server.requests[0].json["encryptionSpec"] == {"kmsKeyName": "k"}


def test_a_destination_can_be_spelled_as_the_documentation_does(
    server: Recorder, official: genai.Client, client: Client
) -> None:
    config = {"destination": "gs://o/p"}

    with pytest.raises(ValueError, match="destination"):
        official.batches.create(
            model="m",
            src="gs://b/in.jsonl",
            config=config,  # type: ignore[arg-type]
        )
    client.batches.create(model="m", src="gs://b/in.jsonl", config=config)

    output = server.requests[0].json["outputConfig"]
    assert output["gcsDestination"] == {"outputUriPrefix": "gs://o/p"}


def test_a_file_of_plain_requests_is_sent_as_a_copy_that_the_api_takes(
    server: Recorder, official: genai.Client, client: Client, bucket: Bucket
) -> None:
    line = b'{"contents":[{"role":"user","parts":[{"text":"a"}]}]}'
    src = bucket.put("in.jsonl", line)

    official.batches.create(model="m", src=src)
    client.batches.create(model="m", src=src)

    uris = [r.json["inputConfig"]["gcsSource"]["uris"] for r in server.requests]
    assert uris[0] == [src]
    assert bucket.read(uris[1][0]) == b'{"key":"request-1","request":%b}\n' % line


def test_a_full_name_is_read_in_its_own_project_and_location(
    server: Recorder, official: genai.Client, client: Client
) -> None:
    official.batches.get(name=ELSEWHERE)
    client.batches.get(name=ELSEWHERE)

    theirs_, mine = server.requests
    assert theirs_.path.startswith("/v1beta1/projects/p/locations/us-central1/")
    assert mine.path == f"/v1beta1/{ELSEWHERE}"


def test_without_a_base_url_a_names_own_region_is_the_host() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(200, json=JOB)

    makers: tuple[Callable[..., Any], ...] = (genai.Client, Client)
    for make in makers:
        with httpx.Client(transport=httpx.MockTransport(answer)) as http:
            client = make(**VERTEX, http_options={"httpx_client": http})
            client.batches.get(name=ELSEWHERE)

    assert asked == [
        "us-central1-aiplatform.googleapis.com",
        "europe-west1-aiplatform.googleapis.com",
    ]


def test_a_name_may_contain_batch_jobs(
    server: Recorder, official: genai.Client, client: Client
) -> None:
    name = "projects/p/locations/us-central1/batchJobs/7"

    with pytest.raises(ValueError, match="Invalid batch job name"):
        official.batches.get(name=name)
    client.batches.get(name=name)

    assert server.requests[0].path.endswith("/batchPredictionJobs/7")


def test_a_bare_id_is_a_name_on_the_developer_api(
    server: Recorder, official_developer: genai.Client, developer: Client
) -> None:
    with pytest.raises(ValueError, match="Invalid batch job name"):
        official_developer.batches.get(name="abc")
    developer.batches.get(name="abc")

    assert server.requests[0].path == "/v1/batches/abc"


def test_a_source_without_a_format_gets_the_matching_one(
    server: Recorder, official: genai.Client, client: Client
) -> None:
    # The API requires instancesFormat, so the official call can only fail.
    src: types.BatchJobSourceDict = {"gcs_uri": ["gs://b/in.jsonl"]}
    config: types.CreateBatchJobConfigDict = {
        "dest": {"gcs_uri": "gs://o/p"},
        "display_name": "n",
    }

    official.batches.create(model="m", src=src, config=config)
    client.batches.create(model="m", src=src, config=config)

    theirs_, mine = (r.json for r in server.requests)
    assert "instancesFormat" not in theirs_["inputConfig"]
    assert mine["inputConfig"].pop("instancesFormat") == "jsonl"
    assert "predictionsFormat" not in theirs_["outputConfig"]
    assert mine["outputConfig"].pop("predictionsFormat") == "jsonl"
    assert mine == theirs_


def test_a_list_of_addresses_is_a_source(
    server: Recorder, official: genai.Client, client: Client
) -> None:
    src = ["gs://b/1.jsonl", "gs://b/2.jsonl"]

    with pytest.raises(ValueError, match="inlined_requests"):
        official.batches.create(model="m", src=src)  # type: ignore[arg-type]
    client.batches.create(model="m", src=src)

    source = server.requests[0].json["inputConfig"]["gcsSource"]
    assert source == {"uris": src}


def test_nested_camel_case_is_not_rewritten(
    server: Recorder, official_developer: genai.Client, developer: Client
) -> None:
    # Both spellings are read by the API at every level.
    src: Any = [{"contents": "x", "config": {"thinkingConfig": {"thinkingBudget": 5}}}]

    official_developer.batches.create(model="m", src=src)
    developer.batches.create(model="m", src=src)

    sent = [
        r.json["batch"]["inputConfig"]["requests"]["requests"][0]["request"]
        for r in server.requests
    ]
    assert [s["generationConfig"]["thinkingConfig"] for s in sent] == [
        {"thinking_budget": 5},
        {"thinkingBudget": 5},
    ]


def test_a_priority_can_be_given(
    server: Recorder, official_developer: genai.Client, developer: Client
) -> None:
    with pytest.raises(ValueError, match="priority"):
        official_developer.batches.create(
            model="m",
            src="files/f",
            config={"priority": 5},  # type: ignore[arg-type]
        )
    developer.batches.create(model="m", src="files/f", config={"priority": 5})

    assert server.requests[0].json["batch"]["priority"] == "5"


def test_an_empty_page_in_the_middle_does_not_end_a_list() -> None:
    counted: list[int | str] = []
    for make in (theirs, ours):
        pages = [
            Answer(body={"batchPredictionJobs": [JOB], "nextPageToken": "a"}),
            Answer(body={"nextPageToken": "b"}),
            Answer(body={"batchPredictionJobs": [JOB]}),
        ]
        with Recorder(*pages) as server, make(server.url, VERTEX) as client:
            try:
                counted.append(len(list(client.batches.list())))
            except IndexError as exc:
                counted.append(repr(exc))

    assert counted == ["IndexError('list index out of range')", 2]


def test_a_partly_successful_job_has_ended() -> None:
    job = {**JOB, "state": "JOB_STATE_PARTIALLY_SUCCEEDED"}
    done = []
    for make in (theirs, ours):
        with Recorder(Answer(body=job)) as server, make(server.url, VERTEX) as client:
            done.append(client.batches.get(name="7").done)

    assert done == [False, True]


def test_a_failed_developer_job_has_its_error() -> None:
    operation = {
        "name": "batches/a",
        "metadata": {
            "state": "BATCH_STATE_FAILED",
            "batchStats": {"requestCount": "3", "failedRequestCount": "3"},
            "priority": "-2",
        },
        "done": True,
        "error": {"code": 13, "message": "it broke", "details": [{"a": 1}]},
    }
    jobs = []
    for make in (theirs, ours):
        with (
            Recorder(Answer(body=operation)) as server,
            make(server.url, DEVELOPER) as client,
        ):
            jobs.append(client.batches.get(name="batches/a"))

    official, job = jobs
    assert official.error is None
    assert job.state is JobState.FAILED
    error, stats = there(job.error), there(job.completion_stats)
    assert (error.code, error.message) == (13, "it broke")
    assert error.details == [{"a": 1}]
    assert stats.failed_count == 3
    assert stats.request_count == 3
    assert job.priority == -2
    assert job.raw == operation


def test_an_unclear_create_is_not_repeated_even_with_retries_on() -> None:
    # A repeated create is a second paid job.
    sent = []
    for make in (theirs, ours):
        retries = {"attempts": 3, "initial_delay": 0.0, "max_delay": 0.0, "jitter": 0.0}
        with (
            Recorder(Answer(503)) as server,
            make(server.url, VERTEX, retry_options=retries) as client,
        ):
            with pytest.raises((ServerError, genai.errors.ServerError)):
                client.batches.create(model="m", src="gs://b/in.jsonl")
            sent.append(len(server.requests))

    assert sent == [3, 1]


def test_a_read_is_repeated_by_default() -> None:
    sent = []
    for make in (theirs, ours):
        answers = [Answer(503, headers={"retry-after": "0"}), Answer(body=JOB)]
        with Recorder(*answers) as server, make(server.url, VERTEX) as client:
            with contextlib.suppress(genai.errors.ServerError):
                client.batches.get(name="7")
            sent.append(len(server.requests))

    assert sent == [1, 2]


def test_any_2xx_is_a_success() -> None:
    for make, fails in ((theirs, True), (ours, False)):
        with (
            Recorder(Answer(201, JOB)) as server,
            make(server.url, VERTEX) as client,
        ):
            if fails:
                with pytest.raises(genai.errors.APIError):
                    client.batches.get(name="7")
            else:
                assert client.batches.get(name="7").name == JOB["name"]


def test_a_base_url_keeps_its_path_when_the_environment_has_the_project(
    server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The official one calls the bare address, unsigned and without the project.
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "q")
    arguments = {k: v for k, v in VERTEX.items() if k not in ("project", "location")}

    with theirs(server.url, arguments) as official:
        official.batches.get(name="7")
    with ours(server.url, arguments) as client:
        client.batches.get(name="7")

    theirs_, mine = server.requests
    assert theirs_.path == "/"
    assert "authorization" not in theirs_.headers
    path = "/v1beta1/projects/q/locations/global/batchPredictionJobs/7"
    assert mine.path == path
    assert "authorization" in mine.headers


def test_a_function_as_a_tool_is_refused(
    server: Recorder, official_developer: genai.Client, developer: Client
) -> None:
    def weather(city: str) -> str:
        """The weather."""
        return city

    src: list[types.InlinedRequestDict] = [
        {"contents": "x", "config": {"tools": [weather]}}
    ]

    official_developer.batches.create(model="m", src=src)
    with pytest.raises(ValueError, match="function_declarations"):
        developer.batches.create(model="m", src=src)

    assert len(server.requests) == 1


def test_inline_requests_and_embeddings_on_vertex_are_refused_by_the_official_one(
    server: Recorder, official: genai.Client, client: Client
) -> None:
    src: list[types.InlinedRequestDict] = [{"contents": "x"}]

    with pytest.raises(ValueError, match="Exactly one of"):
        official.batches.create(model="m", src=src)
    with (
        pytest.warns(genai._common.ExperimentalWarning),
        pytest.raises(ValueError, match="does not support"),
    ):
        official.batches.create_embeddings(
            model="m", src={"inlined_requests": {"contents": "x"}}
        )
    # Here they need a bucket to lie in; tests of staging show what is made of them.
    with pytest.raises(ValueError, match="staging"):
        client.batches.create(model="m", src=src)
    with pytest.raises(ValueError, match="staging"):
        client.batches.create_embeddings(
            model="m", src={"inlined_requests": {"contents": "x"}}
        )

    assert server.requests == []


def _sent(server: Recorder) -> list[Any]:
    """The inline requests that were sent, one of each client."""
    return [
        r.json["batch"]["inputConfig"]["requests"]["requests"][0]["request"]
        for r in server.requests
    ]


def test_a_dict_of_http_options_counts_seconds_and_an_object_milliseconds(
    server: Recorder, official_developer: genai.Client, developer: Client
) -> None:
    for client in (official_developer, developer):
        for options in ({"timeout": 2500}, types.HttpOptions(timeout=2500)):
            config: Any = {"http_options": options}
            client.batches.get(name="batches/a", config=config)

    sent = [r.headers["x-server-timeout"] for r in server.requests]
    assert sent == ["3", "3", "2500", "3"]


def test_an_extra_body_is_put_into_requests_that_have_a_body(
    server: Recorder, official: genai.Client, client: Client
) -> None:
    config: Any = {"http_options": {"extra_body": {"a": 1}}}

    official.batches.get(name="7", config=config)
    client.batches.get(name="7", config=config)

    assert [r.body for r in server.requests] == [b'{"a": 1}', b""]


def test_an_uploaded_file_and_a_list_of_contents_are_sources(
    server: Recorder, official_developer: genai.Client, developer: Client
) -> None:
    file: Any = types.File(name="files/f")
    contents: Any = ["a", "b"]

    with pytest.raises(ValueError, match="Unsupported source"):
        official_developer.batches.create(model="m", src=file)
    for src in ("files/f", contents):
        with (
            pytest.warns(genai._common.ExperimentalWarning),
            pytest.raises(ValueError, match="Unsupported source"),
        ):
            official_developer.batches.create_embeddings(
                model="m",
                src=src,  # type: ignore[arg-type]
            )
    developer.batches.create(model="m", src=file)
    developer.batches.create_embeddings(model="m", src="files/f")
    developer.batches.create_embeddings(model="m", src=contents)

    assert len(server.requests) == 3


def test_the_parts_of_an_embeddings_content_are_in_camel_case_as_all_parts(
    server: Recorder, official_developer: genai.Client, developer: Client
) -> None:
    # Both spellings are read by the API.
    contents = {"parts": [{"inline_data": {"data": b"a", "mime_type": "b/c"}}]}
    src: Any = {"inlined_requests": {"contents": contents}}

    with pytest.warns(genai._common.ExperimentalWarning):
        official_developer.batches.create_embeddings(model="m", src=src)
    developer.batches.create_embeddings(model="m", src=src)

    parts = [[*sent["content"]["parts"][0]] for sent in _sent(server)]
    assert parts == [["inline_data"], ["inlineData"]]


def test_a_request_without_contents_is_refused(
    server: Recorder, official_developer: genai.Client, developer: Client
) -> None:
    # The API refuses it, after a model's name or a key has been looked at.
    src: Any = [{"config": {"temperature": 0}}]

    official_developer.batches.create(model="m", src=src)
    with pytest.raises(ValueError, match="needs contents"):
        developer.batches.create(model="m", src=src)

    assert len(server.requests) == 1


def test_inline_requests_with_the_same_key_are_refused(
    server: Recorder, official_developer: genai.Client, developer: Client
) -> None:
    # Their answers could not be told apart.
    src: Any = [{"contents": "x", "metadata": {"key": "k"}}] * 2

    official_developer.batches.create(model="m", src=src)
    with pytest.raises(ValueError, match="the same as in inline request 1"):
        developer.batches.create(model="m", src=src)

    assert len(server.requests) == 1


def test_an_unknown_member_of_a_config_is_sent(
    server: Recorder, official_developer: genai.Client, developer: Client
) -> None:
    # A new member needs no new release here; preflight knows the names of today.
    src: Any = [{"contents": "x", "config": {"newer_than_both": 1}}]

    with pytest.raises(ValueError, match="newer_than_both"):
        official_developer.batches.create(model="m", src=src)
    developer.batches.create(model="m", src=src)

    (sent,) = _sent(server)
    assert sent["generationConfig"] == {"newerThanBoth": 1}


class Number(enum.IntEnum):
    TEN = 10
    TWENTY = 20


class Leaf(pydantic.BaseModel):
    """What a leaf is."""

    a: int


class Tree(pydantic.BaseModel):
    leaf: Leaf = pydantic.Field(description="What this leaf is.")


class Endless(pydantic.BaseModel):
    below: list["Endless"]


def _schemas(server: Recorder, clients: tuple[Any, ...], given: Any) -> list[Any]:
    for client in clients:
        src = [{"contents": "x", "config": {"response_schema": copy.deepcopy(given)}}]
        client.batches.create(model="m", src=src)
    return [sent["generationConfig"]["responseSchema"] for sent in _sent(server)]


def test_a_description_beside_a_reference_is_kept(
    server: Recorder, official_developer: genai.Client, developer: Client
) -> None:
    sent = _schemas(server, (official_developer, developer), Tree)

    described = [schema["properties"]["leaf"]["description"] for schema in sent]
    assert described == ["What a leaf is.", "What this leaf is."]


def test_an_enum_of_numbers_has_its_own_values(
    server: Recorder, official_developer: genai.Client, developer: Client
) -> None:
    sent = _schemas(server, (official_developer, developer), Number)

    assert [schema["enum"] for schema in sent] == [["1", "2"], ["10", "20"]]


def test_a_recursive_schema_is_refused(
    server: Recorder, official_developer: genai.Client, developer: Client
) -> None:
    # The API refuses a schema without a type, which theirs ends with.
    (sent,) = _schemas(server, (official_developer,), Endless)
    assert sent["properties"]["below"]["items"] == {}

    with pytest.raises(ValueError, match="refers to itself"):
        _schemas(server, (developer,), Endless)


def test_types_of_the_typing_module_and_models_as_json_schemas_are_taken(
    server: Recorder, official_developer: genai.Client, developer: Client
) -> None:
    listed: Any = typing.List[int]  # noqa: UP006
    src: Any = [{"contents": "x", "config": {"response_json_schema": Leaf}}]

    with pytest.raises(ValueError, match="Unsupported schema type"):
        _schemas(server, (official_developer,), listed)
    with pytest.raises(TypeError):
        official_developer.batches.create(model="m", src=src)
    assert _schemas(server, (developer,), listed)[0]["items"] == {"type": "INTEGER"}
    developer.batches.create(model="m", src=src)

    sent = _sent(server)[-1]["generationConfig"]["responseJsonSchema"]
    assert sent == Leaf.model_json_schema()


def test_a_functions_parameters_may_refer_to_each_other(
    server: Recorder, official_developer: genai.Client, developer: Client
) -> None:
    parameters = Tree.model_json_schema()
    tool = {"function_declarations": [{"name": "f", "parameters": parameters}]}
    src: Any = [{"contents": "x", "config": {"tools": [tool]}}]

    with pytest.raises(ValueError, match="defs"):
        official_developer.batches.create(model="m", src=copy.deepcopy(src))
    developer.batches.create(model="m", src=src)

    (sent,) = _sent(server)
    made = sent["tools"][0]["functionDeclarations"][0]["parameters"]
    assert made["properties"]["leaf"]["type"] == "OBJECT"


def test_a_file_of_unknown_type_is_uploaded_as_jsonl(
    official_developer: genai.Client, developer: Client, tmp_path: Path
) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_bytes(b"{}\n")

    with pytest.raises(ValueError, match="mimetype"):
        official_developer.files.upload(file=path)
    with FileKeeper() as server, ours(server.url, DEVELOPER) as client:
        client.files.upload(file=path)

    sent = server.requests[0].headers["x-goog-upload-header-content-type"]
    assert sent == "application/jsonl"


def test_an_upload_keeps_the_callers_headers(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"a")
    config: Any = {
        "mime_type": "text/plain",
        "http_options": {"headers": {"x-mine": "1"}},
    }
    sent = []
    for make in (theirs, ours):
        with FileKeeper() as server, make(server.url, DEVELOPER) as client:
            client.files.upload(file=path, config=config)
            sent.append([r.headers.get("x-mine") for r in server.requests])

    assert sent == [[None, None], ["1", "1"]]
