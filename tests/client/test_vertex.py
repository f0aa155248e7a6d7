"""The client and Vertex AI's wire."""

import socket
from datetime import UTC, datetime

import pytest
from google.auth.credentials import AnonymousCredentials

from batchdrop.batches import (
    BatchJob,
    Client,
    ClientError,
    HttpOptions,
    JobState,
    ServerError,
    TransportError,
    is_terminal,
)
from tests.client.recorder import Answer, Recorder

PARENT = "projects/p/locations/us-central1"
NAME = f"{PARENT}/batchPredictionJobs/77"

FINISHED = {
    "name": "projects/279887244472/locations/us-central1/batchPredictionJobs/77",
    "displayName": "nightly",
    "model": "publishers/google/models/gemini-3.8-flash",
    "inputConfig": {
        "instancesFormat": "jsonl",
        "gcsSource": {"uris": ["gs://b/in.jsonl"]},
    },
    "outputConfig": {
        "predictionsFormat": "jsonl",
        "gcsDestination": {"outputUriPrefix": "gs://o/p/"},
    },
    "outputInfo": {"gcsOutputDirectory": "gs://o/p/prediction-model-2026"},
    "state": "JOB_STATE_PARTIALLY_SUCCEEDED",
    "completionStats": {"successfulCount": "2", "incompleteCount": "-1"},
    "createTime": "2026-02-28T08:22:22.313780Z",
    "endTime": "2026-02-28T08:25:00Z",
    "labels": {"team": "a"},
    "partialFailures": [{"code": 3, "message": "a file can't be read"}],
    "modelVersionId": "1",
}


def client(url: str, **options: object) -> Client:
    return Client(
        vertexai=True,
        project="p",
        location="us-central1",
        credentials=AnonymousCredentials(),
        http_options={"base_url": url, "timeout": 5.0, **options},
    )


def test_a_create_sends_the_source_the_destination_and_the_labels() -> None:
    with Recorder(Answer(body=FINISHED)) as server, client(server.url) as genai:
        genai.batches.create(
            model="gemini-3.8-flash",
            src="gs://b/in.jsonl",
            config={
                "destination": "gs://o/p/",
                "displayName": "nightly",
                "labels": {"team": "a"},
                "encryption_spec": {"kms_key_name": "k"},
            },
        )

    (sent,) = server.requests
    assert (sent.method, sent.path) == (
        "POST",
        f"/v1beta1/{PARENT}/batchPredictionJobs",
    )
    assert sent.json == {
        "displayName": "nightly",
        "model": "publishers/google/models/gemini-3.8-flash",
        "inputConfig": FINISHED["inputConfig"],
        "outputConfig": FINISHED["outputConfig"],
        "labels": {"team": "a"},
        "encryptionSpec": {"kmsKeyName": "k"},
    }
    assert "authorization" not in sent.headers
    assert sent.headers["x-server-timeout"] == "5"


def test_a_finished_job_is_read_whole() -> None:
    with Recorder(Answer(body=FINISHED)) as server, client(server.url) as genai:
        job = genai.batches.get(name=NAME)

    assert isinstance(job, BatchJob)
    assert job.state is JobState.PARTIALLY_SUCCEEDED
    assert job.done
    assert job.create_time == datetime(2026, 2, 28, 8, 22, 22, 313780, UTC)
    assert job.start_time is None
    assert job.completion_stats is not None
    assert job.completion_stats.successful_count == 2
    assert job.completion_stats.failed_count is None
    assert job.completion_stats.incomplete_count == -1
    assert job.output_info is not None
    assert job.output_info.gcs_output_directory == "gs://o/p/prediction-model-2026"
    assert str(job.src) == "gs://b/in.jsonl"
    assert str(job.dest) == job.config.destination == "gs://o/p/"
    assert job.labels == {"team": "a"}
    assert job.partial_failures[0].message == "a file can't be read"
    assert job.raw == FINISHED


def test_a_job_of_another_project_and_location_is_read_there() -> None:
    elsewhere = "projects/other/locations/europe-west1/batchPredictionJobs/5"
    with Recorder(Answer(body={"name": elsewhere})) as server:
        genai = client(server.url)
        genai.batches.get(name=elsewhere)
        genai.batches.cancel(name=elsewhere)
        genai.batches.delete(name=elsewhere)
        genai.close()

    assert [(r.method, r.path) for r in server.requests] == [
        ("GET", f"/v1beta1/{elsewhere}"),
        ("POST", f"/v1beta1/{elsewhere}:cancel"),
        ("DELETE", f"/v1beta1/{elsewhere}"),
    ]


def test_an_empty_page_with_a_token_does_not_end_a_list() -> None:
    pages = [
        Answer(body={"batchPredictionJobs": [FINISHED], "nextPageToken": "a"}),
        Answer(body={"nextPageToken": "b"}),
        Answer(body={"batchPredictionJobs": [{**FINISHED, "state": "NEW"}]}),
    ]
    with Recorder(*pages) as server, client(server.url) as genai:
        jobs = list(
            genai.batches.list(config={"filter": 'state="X" AND y:*', "page_size": 1})
        )

    assert [job.state for job in jobs] == [JobState.PARTIALLY_SUCCEEDED, "NEW"]
    assert [r.query.get("pageToken") for r in server.requests] == [None, "a", "b"]
    assert {r.query["filter"] for r in server.requests} == {'state="X" AND y:*'}
    assert {r.query["pageSize"] for r in server.requests} == {"1"}


@pytest.mark.parametrize(
    ("state", "over"),
    [
        ("JOB_STATE_SUCCEEDED", True),
        ("JOB_STATE_PARTIALLY_SUCCEEDED", True),
        ("JOB_STATE_FAILED", True),
        ("JOB_STATE_CANCELLED", True),
        ("JOB_STATE_EXPIRED", True),
        ("JOB_STATE_UNSPECIFIED", False),
        ("JOB_STATE_QUEUED", False),
        ("JOB_STATE_PENDING", False),
        ("JOB_STATE_RUNNING", False),
        ("JOB_STATE_CANCELLING", False),
        ("JOB_STATE_PAUSED", False),
        ("JOB_STATE_UPDATING", False),
        ("JOB_STATE_DREAMING", False),
    ],
)
def test_exactly_five_states_are_terminal(state: str, over: bool) -> None:
    with Recorder(Answer(body={**FINISHED, "state": state})) as server:
        genai = client(server.url)
        job = genai.batches.get(name="77")
        genai.close()

    assert (job.state, job.done, is_terminal(state)) == (state, over, over)


REFUSAL = {
    "error": {
        "code": 429,
        "message": "Quota exceeded",
        "status": "RESOURCE_EXHAUSTED",
        "details": [{"@type": "x"}],
    }
}


def test_a_refusal_has_the_apis_message_and_the_address() -> None:
    answer = Answer(429, REFUSAL, {"retry-after": "7"})
    with (
        Recorder(answer) as server,
        client(server.url) as genai,
        pytest.raises(ClientError) as caught,
    ):
        genai.batches.create(model="m", src="gs://b/x.jsonl")

    error = caught.value
    assert (error.code, error.status) == (429, "RESOURCE_EXHAUSTED")
    assert (error.message, error.details) == ("Quota exceeded", [{"@type": "x"}])
    assert error.retry_after == 7.0
    assert error.method == "POST"
    assert error.url == f"{server.url}/v1beta1/{PARENT}/batchPredictionJobs"


def test_an_unclear_answer_to_a_create_is_not_followed_by_another_create() -> None:
    with Recorder(Answer(503, b"<html>")) as server, client(server.url) as genai:
        with pytest.raises(ServerError) as caught:
            genai.batches.create(model="m", src="gs://b/x.jsonl")
        retries = {"retry_options": {"attempts": 5, "initial_delay": 0, "jitter": 0}}
        with pytest.raises(ServerError):
            genai.batches.create(
                model="m", src="gs://b/x.jsonl", config={"http_options": retries}
            )

    assert caught.value.message == "<html>"
    assert len(server.requests) == 2


def test_a_read_is_repeated_until_it_is_answered() -> None:
    at_once = {"attempts": 3, "initial_delay": 0, "jitter": 0}
    with Recorder(Answer(503), Answer(429), Answer(body=FINISHED)) as server:
        genai = client(server.url, retry_options=at_once)
        job = genai.batches.get(name=NAME)
        genai.close()

    assert job.name == FINISHED["name"]
    assert len(server.requests) == 3


def test_a_connection_that_was_never_made_has_sent_nothing() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening
        genai = client(f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(TransportError) as caught:
            genai.batches.create(model="m", src="gs://b/x.jsonl")
        genai.close()

    assert caught.value.sent is False


def test_a_connection_that_was_cut_may_have_sent_everything() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        import threading

        def cut() -> None:
            connection, _ = server.accept()
            connection.recv(10)
            connection.close()

        thread = threading.Thread(target=cut)
        thread.start()
        genai = client(f"http://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(TransportError) as caught:
            genai.batches.create(model="m", src="gs://b/x.jsonl")
        genai.close()
        thread.join()

    assert caught.value.sent is True


def test_a_time_out_that_looks_like_milliseconds_is_refused() -> None:
    with pytest.raises(ValueError, match="in seconds"):
        HttpOptions(timeout=30000)
