"""Results of each shape of line, on both APIs, and of each kind of deployment."""

import json
from datetime import timedelta
from typing import Any

import pytest

from batchdrop.jobs.codes import HealthCode
from tests.client.datasets import Dataset
from tests.worker.backends import BOTH, DEVELOPER
from tests.worker.collecting import (
    collected,
    ended,
    lines,
    outcomes,
    question,
    questions,
    submit,
)
from tests.worker.manifests import dataset as dataset
from tests.worker.world import World

MESSAGES = [{"role": "user", "content": "hello"}]
CLAUDE = {
    "anthropic_version": "vertex-2023-10-16",
    "messages": MESSAGES,
    "max_tokens": 99,
}


@pytest.mark.parametrize(
    ("model", "row"),
    [
        ("publishers/anthropic/models/claude-sonnet-5-5", {"request": CLAUDE}),
        (
            "publishers/meta/models/llama-4-scout-17b-16e-instruct-maas",
            {
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"messages": MESSAGES},
            },
        ),
    ],
    ids=["claude", "openai"],
)
def test_other_publishers_answers_have_text_usage_and_finish_reason(
    world: World, model: str, row: dict[str, Any]
) -> None:
    rows = [{"custom_id": f"own-{n}"} | row for n in range(3)]
    drop = submit(world, lines(rows), model=model)

    job = collected(world, drop)

    found = world.results(job)
    assert [one["key"] for one in found] == ["own-0", "own-1", "own-2"]
    assert {one["outcome"] for one in found} == {"ok"}
    assert all(one["text"] and one["finish_reason"] for one in found)
    assert all(one["usage"]["total"] for one in found)


@DEVELOPER
def test_openai_style_answers_of_the_developer_api_are_joined_and_judged(
    world: World,
) -> None:
    rows = [
        {
            "custom_id": f"own-{n}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"messages": [{"role": "user", "content": f"question {n}"}]},
            "region": "eu",
        }
        for n in range(1, 5)
    ]
    world.sim.faults.add("row_failed", match={"row_text": "question 2"}, code=400)
    world.sim.faults.add("row_max_tokens", match={"row_text": "question 3"})
    drop = submit(world, lines(rows))

    job = collected(world, drop)

    found = world.results(job)
    assert [one["key"] for one in found] == ["own-1", "own-2", "own-3", "own-4"]
    assert outcomes(world, job) == ["ok", "failed", "truncated", "ok"]
    assert [one["columns"] for one in found] == [{"region": "eu"}] * 4
    assert found[0]["text"] == "question 1"
    assert found[1]["error"]["code"] == 400
    assert found[3]["usage"] == {
        "prompt": 3,
        "cached": 0,
        "output": 3,
        "thoughts": 0,
        "total": 6,
    }
    (first,) = [one for one in world.answers(job) if one["custom_id"] == "r0000001"]
    assert first.keys() == {"custom_id", "response"}
    assert first["response"]["body"]["usage"] == {
        "promptTokens": 3,
        "completionTokens": 3,
        "totalTokens": 6,
    }


@pytest.mark.parametrize(
    ("world", "model"),
    [
        ("vertex", "gemini-embedding-2"),
        pytest.param("vertex", "text-embedding-005", marks=pytest.mark.proof),
        ("developer", "gemini-embedding-2"),
    ],
    indirect=["world"],
)
def test_embeddings_have_their_values_in_the_response(world: World, model: str) -> None:
    drop = submit(world, '{"text":"a"}\n{"text":"b"}\n', model=model)

    job = collected(world, drop)

    found = world.results(job)
    assert [one["outcome"] for one in found] == ["ok", "ok"]
    assert all("values" in json.dumps(one["response"]) for one in found)


@BOTH
def test_json_that_was_asked_for_is_parsed_or_malformed(world: World) -> None:
    schema = {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}
    wish = {"responseMimeType": "application/json", "responseSchema": schema}
    rows = [question(n) for n in range(1, 4)]
    for row in rows[1:]:
        row["request"]["generationConfig"] = wish
    world.sim.faults.add("row_malformed", match={"row_text": "question 3"})
    drop = submit(world, lines(rows))

    job = collected(world, drop)

    found = world.results(job)
    assert [one["outcome"] for one in found] == ["ok", "ok", "malformed"]
    assert "text" in found[0]
    assert "json" in found[1]
    assert "json" not in found[2]


@BOTH
def test_keys_and_columns_come_back_byte_for_byte(world: World) -> None:
    keys = ['"007"', "4672", "1" * 30, '"7"', '"\\u00e9"']
    own = '"n":1.10,"id":4672,"big":' + "1" * 30
    text = "".join(
        f'{{"key":{key},{own},"request":{json.dumps(question(1)["request"])}}}\n'
        for key in keys
    )
    drop = submit(world, text)

    job = collected(world, drop)

    assert job.results is not None
    bucket = world.gcs.bucket(world.settings.output.bucket)
    name = f"{drop.name}/{job.id}/results.jsonl"
    written = bucket.blob(name).download_as_text().splitlines()
    for key, line in zip(keys, written, strict=True):
        assert f'"key":{key},' in line
        assert own in line


@BOTH
def test_results_lie_in_the_folder_of_any_name(world: World) -> None:
    world.choose(results="on")
    names = ("/a.jsonl", "a b/é?#.jsonl", "a//b.jsonl")
    drops = [world.upload(questions(2), name) for name in names]
    for drop in drops:
        world.worker.take(drop)

    collected(world, drops[0])

    output = world.settings.output.bucket
    for job, name in zip(map(world.job, drops), names, strict=True):
        assert outcomes(world, job) == ["ok", "ok"]
        assert job.results is not None
        assert job.results.uri == f"gs://{output}/{name}/{job.id}/results.jsonl"


def test_full_results_have_the_whole_response(world: World) -> None:
    drop = submit(world, questions(2), results="full")

    job = collected(world, drop)

    assert all("candidates" in one["response"] for one in world.results(job))


def test_a_job_without_results_is_done_when_it_has_ended(world: World) -> None:
    drop = submit(world, questions(2), results="off")

    job = ended(world, drop)

    assert job.is_done
    assert job.results is None
    assert world.woken == []


@DEVELOPER
def test_without_results_the_developer_apis_answers_are_copied(world: World) -> None:
    drop = submit(world, questions(2), results="off")

    job = collected(world, drop)

    assert job.results is None
    assert len(world.answers(job)) == 2


@pytest.mark.proof
@DEVELOPER
def test_answers_that_can_not_be_copied_for_a_day_are_at_risk(world: World) -> None:
    drop = submit(world, questions(2))
    ended(world, drop)
    world.woken.clear()
    world.sim.faults.add("unavailable", op="download")
    world.ticks(15, timedelta(hours=2))

    job = world.job(drop)
    assert job.health is not None
    assert job.health.code == HealthCode.ANSWERS_AT_RISK
    assert not job.is_parked
    world.sim.faults.clear()
    assert outcomes(world, collected(world, drop)) == ["ok", "ok"]
    assert world.job(drop).answers_at_risk is None


@pytest.mark.proof
@DEVELOPER
def test_answers_that_are_copied_are_not_at_risk_without_a_destination(
    world: World,
) -> None:
    drop = submit(world, questions(2))
    ended(world, drop)
    output = world.gcs.bucket(world.settings.output.bucket)
    output.delete()
    world.ticks(15, timedelta(hours=4))

    job = world.job(drop)
    assert job.health is not None
    assert job.health.code == HealthCode.NOT_ALLOWED
    assert "storage.objectCreator" in job.health.message
    assert job.answers_at_risk is None
    world.gcs.create_bucket(output.name)
    job = collected(world, drop)
    assert outcomes(world, job) == ["ok", "ok"]
    assert len(world.answers(job)) == 2


@DEVELOPER
def test_answers_that_the_api_has_deleted_leave_their_rows_missing(
    world: World,
) -> None:
    drop = submit(world, questions(2))
    ended(world, drop)
    world.sim.faults.add("http_error", op="download", code=404)
    world.collect()
    waits = world.job(drop)
    assert waits.collecting is not None
    assert "404" in (waits.waiting_for.message if waits.waiting_for else "")

    world.advance(timedelta(hours=49))
    job = collected(world, drop)

    assert outcomes(world, job) == ["missing", "missing"]
    assert job.answers_short is not None


@DEVELOPER
def test_a_key_that_the_api_refuses_is_waited_for(world: World) -> None:
    drop = submit(world, questions(2))
    ended(world, drop)
    world.sim.faults.add("http_error", op="download", code=403, count=1)
    world.collect()

    waits = world.job(drop)
    assert waits.not_allowed is not None
    assert "GEMINI_API_KEY" in waits.not_allowed.message
    assert outcomes(world, collected(world, drop)) == ["ok", "ok"]


@pytest.mark.proof
def test_an_answer_of_thirty_megabytes_has_its_result(world: World) -> None:
    drop = submit(world, questions(2))
    job = ended(world, drop)
    assert job.batch is not None
    assert job.batch.output_directory is not None
    bucket = world.gcs.bucket(world.settings.output.bucket)
    prefix = job.batch.output_directory.removeprefix(f"gs://{bucket.name}/")
    (answers,) = list(bucket.list_blobs(prefix=prefix))
    first, second = answers.download_as_text().splitlines()
    row = json.loads(first)
    row["response"]["candidates"][0]["content"]["parts"][0]["text"] = "x" * 30_000_000
    answers.upload_from_string(f"{json.dumps(row)}\n{second}\n")

    job = collected(world, drop)

    assert outcomes(world, job) == ["ok", "ok"]
    assert max(len(one["text"]) for one in world.results(job)) == 30_000_000


def test_answers_in_a_table_have_their_results_under_output(
    world: World, dataset: Dataset
) -> None:
    world.choose(results="on", datasets=(dataset.full_name,))
    drop = world.upload(
        lines([question(n, key=f"own-{n}") for n in (1, 2, 3)]),
        metadata={"batchdrop-destination": f"bq://{dataset.full_name}"},
    )
    world.worker.take(drop)

    job = collected(world, drop)

    found = world.results(job)
    assert [one["outcome"] for one in found] == ["ok"] * 3
    assert [one["key"] for one in found] == ["own-1", "own-2", "own-3"]
    assert all(f"question {one['line']}" in one["text"] for one in found)
    assert job.results is not None
    assert (
        job.results.uri == f"{world.settings.output}{drop.name}/{job.id}/results.jsonl"
    )
