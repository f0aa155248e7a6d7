"""A Vertex job from its creation to its answers, over plain HTTP."""

import json
from collections.abc import Iterator

import httpx
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from batchsim.sim import BatchSim

JOBS = "/v1/projects/p/locations/us-central1/batchPredictionJobs"


@pytest.fixture
def bucket(storage_emulator: str) -> storage.Bucket:
    client = storage.Client(
        project="p",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": storage_emulator},
    )
    return (
        client.bucket("slice")
        if client.lookup_bucket("slice")
        else (client.create_bucket("slice"))
    )


@pytest.fixture
def sim(storage_emulator: str) -> Iterator[BatchSim]:
    with BatchSim(speed=0, queue_seconds=60, run_seconds=60) as sim:
        yield sim


def create(sim: BatchSim, name: str = "in.jsonl") -> str:
    body = {
        "displayName": "d",
        "model": "publishers/google/models/gemini-2.5-flash",
        "inputConfig": {
            "instancesFormat": "jsonl",
            "gcsSource": {"uris": [f"gs://slice/{name}"]},
        },
        "outputConfig": {
            "predictionsFormat": "jsonl",
            "gcsDestination": {"outputUriPrefix": "gs://slice/out"},
        },
    }
    answer = httpx.post(sim.url + JOBS, json=body).raise_for_status().json()
    assert answer["state"] == "JOB_STATE_PENDING"
    return str(answer["name"])


def test_a_job_answers_every_row_under_its_key_in_another_order(
    sim: BatchSim, bucket: storage.Bucket
) -> None:
    lines = [
        {
            "key": f"k{i}",
            "request": {
                "contents": [{"role": "user", "parts": [{"text": f"row {i}"}]}]
            },
        }
        for i in range(9)
    ]
    bucket.blob("in.jsonl").upload_from_string("\n".join(map(json.dumps, lines)))
    name = create(sim)

    sim.clock.advance(minutes=3)

    job = httpx.get(f"{sim.url}/v1/{name}").json()
    assert job["state"] == "JOB_STATE_SUCCEEDED"
    assert job["completionStats"] == {"successfulCount": "9"}
    directory = job["outputInfo"]["gcsOutputDirectory"].removeprefix("gs://slice/")
    text = bucket.blob(f"{directory}/predictions.jsonl").download_as_text()
    answers = [json.loads(line) for line in text.splitlines()]
    said = [
        (a["key"], a["response"]["candidates"][0]["content"]["parts"][0]["text"])
        for a in answers
    ]
    assert sorted(said) == [(f"k{i}", f"row {i}") for i in range(9)]
    assert said != sorted(said)


def test_an_input_that_is_gone_when_the_job_runs_fails_it_without_rows(
    sim: BatchSim, bucket: storage.Bucket
) -> None:
    bucket.blob("gone.jsonl").upload_from_string('{"request":{"contents":[]}}')
    name = create(sim, "gone.jsonl")
    bucket.blob("gone.jsonl").delete()

    sim.clock.advance(minutes=3)

    job = httpx.get(f"{sim.url}/v1/{name}").json()
    assert job["state"] == "JOB_STATE_FAILED"
    assert "gs://slice/gone.jsonl" in job["error"]["message"]
    assert "outputInfo" not in job
