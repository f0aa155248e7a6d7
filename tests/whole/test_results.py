"""A dropped file ends with a result for each of its lines, on the whole stack."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet
import pytest
from google.cloud.storage import Blob

from tests.waiting import until
from tests.whole.deployment import Deployment

pytestmark = pytest.mark.filterwarnings(
    "ignore:The return_immediately flag is deprecated"
)

NAME = "faulty.jsonl"


def lines() -> list[dict[str, Any]]:
    """40 lines with keys and columns of their own."""
    texts = {5: "a poisoned row", 11: "a forbidden row", 17: "a forgotten row"}
    return [
        {
            "key": f"{n:03}",
            "customer": {"number": n},
            "request": {
                "contents": [
                    {"role": "user", "parts": [{"text": texts.get(n, f"row {n}")}]}
                ]
            },
        }
        for n in range(1, 41)
    ]


@pytest.fixture
def faults(deployment: Deployment) -> None:
    """One row of NAME fails, one is blocked, one has no answer: in each round."""
    rules = [
        {"fault": "row_failed", "code": 503, "match": {"row_text": "poisoned"}},
        {"fault": "row_blocked", "match": {"row_text": "forbidden"}},
        {"fault": "row_unanswered", "match": {"row_text": "forgotten"}},
    ]
    url = f"{deployment.stack.addresses['batchsim']}/_sim/faults"
    httpx.post(url, json=rules).raise_for_status()


@pytest.mark.usefixtures("faults")
def test_a_dropped_file_ends_in_a_result_for_each_line_counted_and_announced(
    deployment: Deployment,
    tmp_path: Path,
) -> None:
    dropped = lines()
    text = "".join(json.dumps(line) + "\n" for line in dropped)

    drop = deployment.drop(text, NAME)
    messages = until(
        lambda: [
            message
            for message in deployment.announced(drop)
            if message.attributes["event"] == "results"
        ]
    )

    job = deployment.job(drop)
    assert job is not None
    results = [
        json.loads(line)
        for line in Blob.from_uri(job["results"]["uri"], deployment.gcs)
        .download_as_bytes()
        .splitlines()
    ]
    assert job["results"]["uri"].endswith(f"/{NAME}/{drop.job_id}/results.jsonl")
    assert [result["line"] for result in results] == list(range(1, 41))
    assert [result["key"] for result in results] == [each["key"] for each in dropped]
    assert [result["columns"] for result in results] == [
        {"customer": each["customer"]} for each in dropped
    ]
    odd = {each["line"]: each["outcome"] for each in results if each["outcome"] != "ok"}
    assert odd == {5: "failed", 11: "blocked", 17: "missing"}
    assert results[0]["text"] == "row 1"
    assert results[4]["error"]["code"] == 503
    assert "collecting" not in job
    # It may come more than once, with the same id.
    message = messages[0]
    assert {one.attributes["ce-id"] for one in messages} == {
        message.attributes["ce-id"]
    }
    body = json.loads(message.data)
    counts = Counter(result["outcome"] for result in results)
    for rows in (job["rows"], body["rows"]):
        assert {name: rows[name] for name in counts} == counts
        assert rows["total"] == 40
    assert message.attributes["ce-type"] == "dev.batchdrop.results.ready.v1"
    assert message.attributes["rows_outcome"] == "incomplete"
    assert body["results"]["uri"] == job["results"]["uri"]
    columns = "--format=csv", "--columns=line,key,customer,outcome"
    address = f"gs://{drop.bucket}/{NAME}"
    assert fetched(deployment, address, "--only=failed,missing", *columns) == (
        "line,key,customer,outcome\n"
        '5,005,"{""number"": 5}",failed\n'
        '17,017,"{""number"": 17}",missing\n'
    )
    file = tmp_path / "results.parquet"
    said = fetched(deployment, drop.job_id, f"-o{file}", "--json")
    assert json.loads(said)["results"] == 40
    assert pyarrow.parquet.read_table(file).column("key").to_pylist() == [
        each["key"] for each in dropped
    ]


def fetched(deployment: Deployment, *arguments: str) -> str:
    """What `batchdrop results` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "batchdrop.cli", "results", *arguments],
        env=os.environ | deployment.stack.env,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.proof
def test_results_follow_the_end_of_a_batch_within_seconds(
    firestore_emulator: str, pubsub_emulator: str
) -> None:
    command = [sys.executable, "-m", "tests.bench.ready", "--json"]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    said = json.loads(done.stdout.splitlines()[-1])
    assert len(said["seconds"]) == 5
    assert said["median"] < 3
