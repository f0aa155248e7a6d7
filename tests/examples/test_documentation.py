"""
Every example of the client runs as it is, and so do the files that the APIs' own
documentation shows, on both APIs, against batchsim and the emulators.
"""

import json
import runpy
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials

from batchdrop import Client, JobState
from batchdrop.batches import BatchJob
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
from tests.there import there


@pytest.fixture
def sim(storage_emulator: str) -> Iterator[BatchSim]:
    """A simulator whose jobs have ended when they are asked for."""
    with BatchSim(speed=0, queue_seconds=0, run_seconds=0) as sim:
        yield sim


def client_of(sim: BatchSim, backend: str) -> Client:
    if backend == "developer":
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
    """A bucket with requests as the documentation writes them into a file."""
    bucket.put(
        "requests.jsonl",
        b'{"contents":[{"role":"user","parts":[{"text":"one"}]}]}\n'
        b'{"contents":[{"role":"user","parts":[{"text":"two"}]}],'
        b'"generationConfig":{"temperature":0}}\n'
        b'{"contents":[{"role":"user","parts":[{"text":"three"}]}]}\n',
    )
    return bucket


def texts(client: Client, job: BatchJob) -> set[str | None]:
    return {row.text for row in client.batches.results(job)}


# The programs.


def test_generate_from_gcs(client: Client, prompts: Bucket) -> None:
    job = generate_from_gcs.main(client, prompts.name)

    assert job.state is JobState.SUCCEEDED
    assert texts(client, job) == {"one", "two", "three"}
    if not client.vertexai:
        home = there(job.output_info).gcs_output_directory
        assert len(prompts.rows(f"{home}/predictions.jsonl")) == 3


def test_inline_requests(client: Client, bucket: Bucket) -> None:
    assert inline_requests.main(client, bucket.name) == {
        "question-1": "What is AI?",
        "question-2": "What is ML?",
        "question-3": "What is deep learning?",
    }


def test_from_bigquery(
    storage_emulator: str, bigquery: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", bigquery)
    request = '{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}'
    with (
        Dataset(bigquery) as dataset,
        BatchSim(speed=0, queue_seconds=0, run_seconds=0) as sim,
        client_of(sim, "vertex") as client,
    ):
        table = dataset.table(
            "prompts",
            {"custom_id": "STRING", "request": "STRING"},
            [{"custom_id": key, "request": request} for key in ("a", "b", "c")],
        )
        rows = from_bigquery.main(client, table, f"{dataset.full_name}.answers")

    assert {row.key: row.text for row in rows} == {"a": "hi", "b": "hi", "c": "hi"}


def test_embeddings(client: Client, bucket: Bucket) -> None:
    assert embeddings.main(client, bucket.name) == {"greeting": 64, "farewell": 64}


@pytest.mark.parametrize("backend", ["vertex", "developer"])
def test_managing_jobs(backend: str, prompts: Bucket) -> None:
    now = datetime.now(UTC)
    clock = Clock(speed=0, start=now - timedelta(days=10))
    with (
        BatchSim(clock=clock, queue_seconds=0, run_seconds=4 * 3600) as sim,
        client_of(sim, backend) as client,
    ):

        def create() -> str:
            job = client.batches.create(
                model="gemini-3.8-flash",
                src=[{"contents": "hi"}],
                config={"dest": prompts.uri("o")},
            )
            return job.name.rpartition("/")[2]

        old = create()
        clock.advance(hours=8 * 24)
        recent = create()
        clock.advance(hours=2 * 24 - 3)
        slow = create()
        clock.advance(hours=2)
        young = create()
        clock.advance(hours=1)

        cancelled, deleted = managing_jobs.main(client)

        left = {job.name.rpartition("/")[2] for job in client.batches.list()}
    assert [name.rpartition("/")[2] for name in deleted] == [old]
    assert [name.rpartition("/")[2] for name in cancelled] == [slow]
    assert left == {recent, slow, young}


def test_create_with_retry(sim: BatchSim, vertex: Client, prompts: Bucket) -> None:
    """The API creates the job, and its answer is lost."""
    sim.faults.add("drop_reply", op="create", count=1)

    job = create_with_retry.main(vertex, prompts.name, "order-1")
    again = create_with_retry.main(vertex, prompts.name, "order-1")

    assert there(again).name == there(job).name
    assert len(list(vertex.batches.list())) == 1


@pytest.mark.parametrize("backend", ["vertex", "developer"])
def test_in_parallel(backend: str, bucket: Bucket) -> None:
    # Its clock runs: of jobs made at one time, each ends a microsecond after another.
    with (
        BatchSim(queue_seconds=0, run_seconds=0) as sim,
        client_of(sim, backend) as client,
    ):
        jobs = in_parallel.main(client, bucket.name)

    assert [job.state for job in jobs] == [JobState.SUCCEEDED] * 3
    assert len({job.name for job in jobs}) == 3


def test_process_results(sim: BatchSim, client: Client, bucket: Bucket) -> None:
    sim.faults.add("row_failed", match={"row_text": "bad"})
    sim.faults.add("row_blocked", match={"row_text": "forbidden"})
    job = client.batches.create(
        model="gemini-3.8-flash",
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


def test_generation_config(client: Client, prompts: Bucket) -> None:
    job = generation_config.main(client, prompts.name)

    assert job.state is JobState.SUCCEEDED
    assert texts(client, job) == {"one", "two", "three"}
    if client.vertexai:
        (staged,) = there(there(job.src).gcs_uri)
        sent = [row["request"] for row in prompts.rows(staged)]
        configs = [request["generationConfig"] for request in sent]
        assert [config["temperature"] for config in configs] == [0.7, 0, 0.7]
        assert {config["topK"] for config in configs} == {40}
        assert all("systemInstruction" in request for request in sent)


def test_an_example_runs_as_a_script(
    sim: BatchSim,
    prompts: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    script = inline_requests.__file__
    monkeypatch.setattr("sys.argv", [script, prompts.name])
    monkeypatch.setenv("GEMINI_API_KEY", "k")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", sim.url)

    runpy.run_path(script, run_name="__main__")

    assert "question-1 What is AI?" in capsys.readouterr().out


# The files. Each has the form that the page shows, for either API.


def _user(text: str, **more: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"text": text}]}], **more}


_GENERATE = {
    "Vertex AI, batch prediction from Cloud Storage": [
        {"request": _user("a", generationConfig={"temperature": 0.4, "topP": 1})},
        {"request": _user("b")},
    ],
    "requests alone, as for generateContent": [_user("a"), _user("b")],
    "Gemini API, batch mode, input file": [
        {
            "key": "request-1",
            "request": {
                "contents": [{"parts": [{"text": "a"}]}],
                "generation_config": {"temperature": 0.7},
            },
        },
        {"key": "request-2", "request": {"contents": [{"parts": [{"text": "b"}]}]}},
    ],
    "google-genai, README, myrequests.json": [
        {
            "key": "request_1",
            "request": {
                "contents": [{"parts": [{"text": "a"}]}],
                "generation_config": {"response_modalities": ["TEXT"]},
            },
        },
        {"key": "request_2", "request": {"contents": [{"parts": [{"text": "b"}]}]}},
    ],
    "Vertex AI, a custom id beside the request": [
        {"custom_id": "id-1", "request": _user("a")},
        {"custom_id": "id-2", "request": _user("b")},
    ],
}

_EMBED = {
    "Vertex AI, batch text embeddings": [{"content": "a"}, {"content": "b"}],
    "Vertex AI, Gemini embeddings": [
        {
            "key": f"id_{number}",
            "request": {
                "content": {"parts": [{"text": text}]},
                "embed_content_config": {"output_dimensionality": 64},
            },
        }
        for number, text in enumerate("ab")
    ],
    "Gemini API, batch embeddings": [
        {
            "key": f"request_{number}",
            "request": {
                "output_dimensionality": 64,
                "content": {"parts": [{"text": text}]},
            },
        }
        for number, text in enumerate("ab")
    ],
    "contents alone": [_user("a"), _user("b")],
}


def _put(bucket: Bucket, rows: list[dict[str, Any]]) -> str:
    content = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    return bucket.put("input.jsonl", content)


@pytest.mark.parametrize("rows", _GENERATE.values(), ids=_GENERATE)
def test_a_documented_file_is_answered(
    client: Client, bucket: Bucket, rows: list[dict[str, Any]]
) -> None:
    job = client.batches.create(model="gemini-3.8-flash", src=_put(bucket, rows))

    assert texts(client, client.batches.wait(job)) == {"a", "b"}


@pytest.mark.parametrize("make", ["create", "create_embeddings"])
@pytest.mark.parametrize("rows", _EMBED.values(), ids=_EMBED)
def test_a_documented_file_is_embedded(
    client: Client, bucket: Bucket, rows: list[dict[str, Any]], make: str
) -> None:
    if make == "create" and not client.vertexai:
        pytest.skip("the Developer API has a call of its own for embeddings")
    create: Callable[..., BatchJob] = getattr(client.batches, make)

    job = create(model="gemini-embedding-2", src=_put(bucket, rows))

    answers = list(client.batches.results(client.batches.wait(job)))
    assert len(answers) == 2
    assert all(row.response and row.error is None for row in answers)
