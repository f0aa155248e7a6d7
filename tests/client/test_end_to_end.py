"""The client with batchsim, also with faults at the other end."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from google.auth.credentials import AnonymousCredentials

from batchdrop import Client, ClientError, JobState, NoResults, TransportError
from batchdrop.batches import BatchJob
from batchdrop.results import join
from batchsim import BatchSim
from tests.client.buckets import Bucket
from tests.there import there

KEYS = {"a", "b", "c", "d"}


@pytest.fixture
def sim(storage_emulator: str) -> Iterator[BatchSim]:
    with BatchSim(speed=0, queue_seconds=60, run_seconds=60) as sim:
        yield sim


@pytest.fixture(params=["vertex", "developer"])
def client(sim: BatchSim, request: pytest.FixtureRequest) -> Iterator[Client]:
    options = {
        "base_url": sim.url,
        "retry_options": {"attempts": 4, "initial_delay": 0, "jitter": 0},
    }
    if request.param == "vertex":
        made = Client(
            vertexai=True,
            project="p",
            location="us-central1",
            credentials=AnonymousCredentials(),
            http_options=options,
        )
    else:
        made = Client(api_key="k", http_options=options)
    with made as client:
        yield client


def create(client: Client, bucket: Bucket, **config: object) -> BatchJob:
    return client.batches.create(
        model="gemini-3.8-flash",
        src=[{"contents": key, "metadata": {"key": key}} for key in sorted(KEYS)],
        config={"dest": bucket.uri("out"), **config},
    )


def ended(sim: BatchSim, client: Client, job: BatchJob) -> BatchJob:
    sim.clock.advance(hours=100)
    return client.batches.wait(job, interval=0.001)


def test_a_job_runs_from_create_to_results(
    sim: BatchSim, client: Client, bucket: Bucket
) -> None:
    job = create(client, bucket, display_name="n")
    assert (job.state, job.done) == (JobState.PENDING, False)

    sim.clock.advance(90)
    assert client.batches.get(name=job.name).state is JobState.RUNNING
    with pytest.raises(NoResults, match="JOB_STATE_RUNNING"):
        client.batches.results(job)

    job = ended(sim, client, job)
    assert job.state is JobState.SUCCEEDED
    assert there(job.create_time) < there(job.end_time)
    assert there(job.completion_stats).successful_count == 4
    assert [j.display_name for j in client.batches.list()] == ["n"]
    assert {row.key: row.text for row in client.batches.results(job)} == {
        key: key for key in KEYS
    }

    client.batches.delete(name=job.name)
    with pytest.raises(ClientError) as caught:
        client.batches.get(name=job.name)
    assert caught.value.code == 404
    assert caught.value.status == "NOT_FOUND"


def test_results_are_joined_with_the_lines_that_were_sent(
    sim: BatchSim, client: Client, bucket: Bucket
) -> None:
    question = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    given = [
        {"key": "007", "team": "x", "request": question},
        {"key": "b", "team": "y", "request": question},
    ]
    lines = [json.dumps(line).encode() for line in given]
    job = client.batches.create(
        model="gemini-3.8-flash",
        src=bucket.put("in.jsonl", b"\n".join(lines)),
        config={"dest": bucket.uri("out")},
    )
    sim.clock.advance(hours=1)  # the Developer API forgets its files after two days

    job = client.batches.wait(job, interval=0.001)
    found = list(join(client.batches.results(job), lines))

    assert [(r["line"], r["key"], r["columns"], r["outcome"]) for r in found] == [
        (1, "007", {"team": "x"}, "ok"),
        (2, "b", {"team": "y"}, "ok"),
    ]


def test_a_cancelled_job_ends_cancelled(
    sim: BatchSim, client: Client, bucket: Bucket
) -> None:
    job = create(client, bucket)

    client.batches.cancel(name=job.name)

    job = ended(sim, client, job)
    assert (job.state, job.done) == (JobState.CANCELLED, True)


@pytest.mark.parametrize(
    ("fault", "state"),
    [("failed", JobState.FAILED), ("expired", JobState.EXPIRED)],
)
def test_a_job_without_output_gives_the_reason(
    sim: BatchSim, client: Client, bucket: Bucket, fault: str, state: JobState
) -> None:
    sim.faults.add(fault)
    job = ended(sim, client, create(client, bucket))

    assert job.state is state
    with pytest.raises(NoResults, match=state.value) as caught:
        client.batches.results(job)
    if fault == "failed":
        assert "Internal error encountered." in str(caught.value)


# The Developer API has one file, or none.
@pytest.mark.parametrize("client", ["vertex"], indirect=True)
def test_rows_that_are_written_twice_or_in_shards_are_read_once(
    sim: BatchSim, client: Client, bucket: Bucket
) -> None:
    sim.faults.add("output_sharded", shards=3)
    sim.faults.add("rows_doubled", rows=2)
    job = ended(sim, client, create(client, bucket))

    rows = list(client.batches.results(job))

    assert len(rows) == len(KEYS)
    assert {row.key for row in rows} == KEYS


def test_a_wait_continues_in_an_unknown_state(
    sim: BatchSim, client: Client, bucket: Bucket
) -> None:
    sim.faults.add("unknown_state", state="HIBERNATING", seconds=600)
    job = create(client, bucket)
    sim.clock.advance(120)

    job = client.batches.get(name=job.name)
    assert "HIBERNATING" in job.state
    assert not job.done
    assert ended(sim, client, job).state is JobState.SUCCEEDED


def test_a_list_with_empty_pages_is_complete(
    sim: BatchSim, client: Client, bucket: Bucket
) -> None:
    sim.faults.add("list_empty_page", where="every")
    names = {create(client, bucket).name.rpartition("/")[2] for _ in range(3)}

    async def listed() -> set[str]:
        async with client.aio as aio:
            pager = await aio.batches.list(page_size=1)
            return {job.name.rpartition("/")[2] async for job in pager}

    found = {job.name.rpartition("/")[2] for job in client.batches.list(page_size=1)}
    assert found == names
    assert asyncio.run(listed()) == names


def test_a_read_survives_errors_of_the_api(
    sim: BatchSim, client: Client, bucket: Bucket
) -> None:
    job = create(client, bucket)
    for fault in ("unavailable", "reset", "drop_reply"):
        sim.faults.add(fault, op="get", count=1)

    assert client.batches.get(name=job.name).state is JobState.PENDING


def test_a_create_whose_answer_is_lost_is_not_repeated_without_a_token(
    sim: BatchSim, client: Client, bucket: Bucket
) -> None:
    sim.faults.add("drop_reply", op="create", count=1)

    with pytest.raises(TransportError) as caught:
        create(client, bucket)

    assert caught.value.sent
    assert len(list(client.batches.list())) == 1


@pytest.mark.parametrize("fault", ["drop_reply", "reset", "unavailable"])
def test_a_token_makes_one_job_of_many_attempts(
    sim: BatchSim, client: Client, bucket: Bucket, fault: str
) -> None:
    sim.faults.add(fault, op="create", count=2)

    first = create(client, bucket, idempotency_token="order-1", display_name="n")
    again = create(client, bucket, idempotency_token="order-1", display_name="n")

    assert again.name == first.name
    assert len(list(client.batches.list())) == 1


@pytest.mark.parametrize(
    ("fault", "params", "outcome"),
    [
        ("row_failed", {"code": 400}, "failed"),
        ("row_blocked", {}, "blocked"),
        ("row_finished", {"reason": "SAFETY"}, "blocked"),
        ("row_max_tokens", {}, "truncated"),
        ("row_finished", {"reason": "MALFORMED_FUNCTION_CALL"}, "malformed"),
        ("row_empty", {}, "empty"),
        ("row_empty", {"thoughts": True}, "empty"),
        ("row_finished", {"reason": "INVENTED_IN_2027"}, "unclear"),
    ],
)
def test_a_row_can_have_any_outcome_on_either_api(
    sim: BatchSim,
    client: Client,
    bucket: Bucket,
    fault: str,
    params: dict[str, Any],
    outcome: str,
) -> None:
    sim.faults.add(fault, match={"row_text": '"c"'}, **params)

    job = ended(sim, client, create(client, bucket))

    rows = {row.key: row for row in client.batches.results(job)}
    assert {key: row.outcome for key, row in rows.items()} == {
        **dict.fromkeys("abd", "ok"),
        "c": outcome,
    }
    assert all(rows[key].usage.total > 0 for key in "abd")


@pytest.mark.parametrize(
    ("fault", "params", "outcome"),
    [
        ("row_failed", {"code": 400}, "failed"),
        ("row_blocked", {}, "blocked"),
        ("row_max_tokens", {}, "truncated"),
        ("row_empty", {}, "empty"),
        ("row_empty", {"thoughts": True}, "empty"),
        ("row_finished", {"reason": "invented_in_2027"}, "unclear"),
        ("row_unanswered", {}, None),
    ],
)
@pytest.mark.parametrize(
    "model", ["anthropic/claude-sonnet-5-5", "openai/gpt-oss-120b"]
)
def test_a_row_of_another_publisher_can_have_any_outcome(
    sim: BatchSim,
    bucket: Bucket,
    model: str,
    fault: str,
    params: dict[str, Any],
    outcome: str | None,
) -> None:
    asked = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 9}
    member = "request" if model.startswith("anthropic") else "body"
    lines = [
        msgspec.json.encode({"custom_id": key, member: {**asked, "user": key}})
        for key in ("kept", "struck")
    ]
    sim.faults.add(fault, match={"row_text": "struck"}, **params)
    with Client(
        vertexai=True,
        project="p",
        location="us-east5",
        credentials=AnonymousCredentials(),
        http_options={"base_url": sim.url},
    ) as client:
        job = client.batches.create(
            model=model,
            src=bucket.put("in.jsonl", b"\n".join(lines)),
            config={"dest": bucket.uri("out"), "as_is": True},
        )

        rows = {row.key: row for row in client.batches.results(ended(sim, client, job))}

    found = {key: row.outcome for key, row in rows.items()}
    assert found == {"kept": "ok"} | ({"struck": outcome} if outcome else {})
