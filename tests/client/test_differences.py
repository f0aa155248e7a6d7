"""
Where this client speaks or reads otherwise than the official SDK, on purpose.

Each test shows both: what the official one does, and what is done here in its place.
The same list, with the reasons, is a table in the client's README. Where the official
one's types refuse what it refuses, they are told to look away.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from google import genai
from google.genai import types

from batchdrop import Client, JobState, ServerError
from tests.client.official import DEVELOPER, VERTEX, ours, theirs
from tests.client.recorder import Answer, Recorder
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


def test_a_names_own_project_and_location_are_asked(
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


def test_a_name_can_say_batch_jobs(
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


def test_a_source_without_a_format_gets_the_one_it_has(
    server: Recorder, official: genai.Client, client: Client
) -> None:
    # The service requires instancesFormat, so the official call can only fail.
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


def test_nested_camel_case_is_left_as_it_was_written(
    server: Recorder, official_developer: genai.Client, developer: Client
) -> None:
    # Both spellings are read by the service at every level.
    src: Any = [{"contents": "x", "config": {"thinkingConfig": {"thinkingBudget": 5}}}]

    official_developer.batches.create(model="m", src=src)
    developer.batches.create(model="m", src=src)

    said = [
        r.json["batch"]["inputConfig"]["requests"]["requests"][0]["request"]
        for r in server.requests
    ]
    assert [s["generationConfig"]["thinkingConfig"] for s in said] == [
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


def test_an_empty_page_in_the_middle_is_walked_through() -> None:
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


def test_an_unclear_create_is_not_repeated_though_retries_are_on() -> None:
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


def test_a_read_is_repeated_though_nobody_asked_for_it() -> None:
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
    # The official one asks the bare address, unsigned: the project is forgotten.
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
