"""Every example runs, against batchsim and the emulators, on both services."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials

from batchdrop import Client, JobState
from batchsim import BatchSim, Clock
from tests.client.buckets import Bucket
from tests.client.datasets import Dataset
from tests.examples import (
    create_with_retry,
    embeddings,
    from_bigquery,
    generate_from_gcs,
    generation_config,
    in_parallel,
    inline_requests,
    managing_jobs,
    process_results,
)


@pytest.fixture
def sim(storage_emulator: str) -> Iterator[BatchSim]:
    """A service that is done with a job as soon as it is made."""
    with BatchSim(queue_seconds=0, run_seconds=0) as sim:
        yield sim


def client_of(sim: BatchSim, service: str) -> Client:
    if service == "developer":
        return Client(api_key="k", http_options={"base_url": sim.url})
    return Client(
        vertexai=True,
        project="p",
        location="us-central1",
        credentials=AnonymousCredentials(),
        http_options={"base_url": sim.url},
    )


@pytest.fixture
def vertex(sim: BatchSim) -> Iterator[Client]:
    with client_of(sim, "vertex") as client:
        yield client


@pytest.fixture(params=["vertex", "developer"])
def client(sim: BatchSim, request: pytest.FixtureRequest) -> Iterator[Client]:
    with client_of(sim, request.param) as client:
        yield client


@pytest.fixture
def prompts(bucket: Bucket) -> Bucket:
    """A bucket with three requests; the second has a temperature of its own."""
    bucket.put(
        "requests.jsonl",
        b'{"key":"a","request":{"contents":[{"role":"user","parts":[{"text":"one"}]}]}}\n'
        b'{"key":"b","request":{"contents":[{"role":"user","parts":[{"text":"two"}]}],'
        b'"generationConfig":{"temperature":0}}}\n'
        b'{"key":"c","request":{"contents":[{"role":"user","parts":[{"text":"x"}]}]}}\n',
    )
    return bucket


def test_generate_from_gcs(vertex: Client, prompts: Bucket):
    job = generate_from_gcs.main(vertex, prompts.name)

    assert job.state is JobState.SUCCEEDED
    assert {row.key for row in vertex.batches.results(job)} == {"a", "b", "c"}


def test_generate_from_gcs_on_the_developer_api(sim: BatchSim, prompts: Bucket):
    with client_of(sim, "developer") as client:
        job = generate_from_gcs.main(client, prompts.name)

    home = job.output_info.gcs_output_directory
    rows = prompts.rows(f"{home}/predictions.jsonl")
    assert {row["key"] for row in rows} == {"a", "b", "c"}


def test_inline_requests(client: Client, bucket: Bucket):
    assert inline_requests.main(client, bucket.name) == {
        "question-1": "What is AI?",
        "question-2": "What is ML?",
        "question-3": "What is deep learning?",
    }


def test_from_bigquery(
    storage_emulator: str, bigquery: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", bigquery)
    request = '{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}'
    with (
        Dataset(bigquery) as dataset,
        BatchSim(queue_seconds=0, run_seconds=0) as sim,
        client_of(sim, "vertex") as client,
    ):
        table = dataset.table(
            "prompts",
            {"custom_id": "STRING", "request": "STRING"},
            [{"custom_id": key, "request": request} for key in ("a", "b", "c")],
        )
        rows = from_bigquery.main(client, table, f"{dataset.full_name}.answers")

    assert {row.key: row.text for row in rows} == {"a": "hi", "b": "hi", "c": "hi"}


def test_embeddings(client: Client, bucket: Bucket):
    assert embeddings.main(client, bucket.name) == {"greeting": 64, "farewell": 64}


@pytest.mark.parametrize("service", ["vertex", "developer"])
def test_managing_jobs(service: str, prompts: Bucket):
    now = datetime.now(UTC)
    clock = Clock(speed=0, start=now - timedelta(days=10))
    with (
        BatchSim(clock=clock, queue_seconds=0, run_seconds=4 * 3600) as sim,
        client_of(sim, service) as client,
    ):

        def create() -> str:
            return client.batches.create(
                model="gemini-2.5-flash",
                src=[{"contents": "hi"}],
                config={"dest": prompts.uri("o")},
            ).name

        old = create()
        clock.advance(hours=8 * 24)
        recent = create()
        clock.advance(hours=2 * 24 - 3)
        slow = create()
        clock.advance(hours=2)
        young = create()
        clock.advance(hours=1)

        cancelled, deleted = managing_jobs.main(client)

        left = {job.name: job.done for job in client.batches.list()}
    ids = [name.rpartition("/")[2] for name in (old, recent, slow, young)]
    assert [n.rpartition("/")[2] for n in deleted] == ids[:1]
    assert [n.rpartition("/")[2] for n in cancelled] == [ids[2]]
    assert {n.rpartition("/")[2] for n in left} == set(ids[1:])


def test_create_with_retry(sim: BatchSim, vertex: Client, prompts: Bucket):
    """The service makes the job, and its answer is lost."""
    sim.faults.add("drop_reply", op="create", count=1)

    job = create_with_retry.main(vertex, prompts.name, "order-1")
    again = create_with_retry.main(vertex, prompts.name, "order-1")

    assert job is not None
    assert again is not None
    assert again.name == job.name
    assert len(list(vertex.batches.list())) == 1


def test_in_parallel(client: Client, bucket: Bucket):
    jobs = in_parallel.main(client, bucket.name)

    assert [job.state for job in jobs] == [JobState.SUCCEEDED] * 3
    assert len({job.name for job in jobs}) == 3


def test_process_results(sim: BatchSim, client: Client, bucket: Bucket):
    sim.faults.add("row_failed", match={"row_text": "bad"})
    sim.faults.add("row_blocked", match={"row_text": "forbidden"})
    job = client.batches.create(
        model="gemini-2.5-flash",
        src=[
            {"contents": text, "metadata": {"key": text}}
            for text in ("good", "bad", "forbidden")
        ],
        config={"dest": bucket.uri("o")},
    )
    client.batches.wait(job)

    count = process_results.main(client, job.name, {"good", "bad", "lost"})

    assert (count["answered"], count["failed"], count["empty"]) == (1, 1, 1)
    assert count["missing"] == 1
    assert count["tokens"] > 0


def test_generation_config(client: Client, prompts: Bucket):
    job = generation_config.main(client, prompts.name)

    assert job.state is JobState.SUCCEEDED
    assert job.config.generation_config["temperature"] == 0.7
    if client.vertexai:
        (staged,) = job.src.gcs_uri
        sent = [row["request"]["generationConfig"] for row in prompts.rows(staged)]
        assert [one["temperature"] for one in sent] == [0.7, 0, 0.7]
        assert {one["topK"] for one in sent} == {40}


def test_an_example_runs_as_a_script(sim: BatchSim, prompts: Bucket):
    script = Path(inline_requests.__file__)
    env: dict[str, Any] = {
        **os.environ,
        "GEMINI_API_KEY": "k",
        "GOOGLE_GEMINI_BASE_URL": sim.url,
    }

    done = subprocess.run(
        [sys.executable, str(script), prompts.name],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "question-1 What is AI?" in done.stdout
