"""A file of twelve parts that end in every way has one object with all its results."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.cloud.storage.blob import Blob

from batchdrop.jobs.values import Drop
from batchdrop_local.function import STEP_BYTES
from batchdrop_local.nursery import Nursery
from batchdrop_local.stack import Stack
from tests.waiting import until
from tests.whole.deployment import Deployment, looking_at

pytestmark = pytest.mark.filterwarnings(
    "ignore:The return_immediately flag is deprecated"
)

NAME = "twelve.jsonl"
ROUTES = """
[[route]]
match = "*.jsonl"
part_rows = 2
on_invalid = "skip"
"""
#: What happens to a part, by its number; nothing to the others. The test cancels 6,
#: which the API queues, and 7, which the API never takes.
FAULTS: dict[int, dict[str, Any]] = {
    2: {"fault": "failed"},
    3: {"fault": "partially_succeeded"},
    4: {"fault": "expired"},
    5: {"fault": "http_error", "op": "create", "code": 400},
    6: {"fault": "stuck_pending", "for_ever": True},
    7: {"fault": "unavailable", "op": "create"},
    8: {"fault": "rows_foreign", "rows": 1},
    9: {"fault": "row_unanswered", "match": {"row_text": "row 17"}},
    10: {"fault": "output_sharded", "shards": 2},
    11: {"fault": "row_failed", "code": 503},
}


@pytest.fixture
def deployment(
    tmp_path: Path,
    firestore_emulator: str,
    pubsub_emulator: str,
    nursery: Nursery,
) -> Iterator[Deployment]:
    """A stack of its own, whose routes split files and whose steps are short."""
    (tmp_path / "routes.toml").write_text(ROUTES)
    env = {
        "BATCHDROP_ROUTES": str(tmp_path / "routes.toml"),
        "BATCHDROP_LEASE": "30",
        # An answer has some 700: most parts are sorted and joined in several steps.
        STEP_BYTES: "1000",
    }
    with (
        Stack(
            tmp_path,
            poll_every=0.5,
            queue_seconds=0.2,
            run_seconds=0.2,
            env=env,
            pages=False,
            nursery=nursery,
        ) as stack,
        looking_at(stack, "twelve", Deployment) as made,
    ):
        yield made


def lines() -> list[str]:
    """24 lines; two rows a part, and a line between them that can't be sent."""
    good = [
        json.dumps(
            {
                "key": f"own-{n}",
                "request": {
                    "contents": [{"role": "user", "parts": [{"text": f"row {n}"}]}]
                },
            }
        )
        for n in range(1, 25)
    ]
    return [*good[:3], "not json", *good[3:]]


def cancel(job_id: str) -> None:
    """Cancels a part. A worker may write to it at the same moment."""
    command = [sys.executable, "-m", "batchdrop.cli", "cancel", job_id]
    until(lambda: subprocess.run(command, capture_output=True).returncode == 0)


def part(deployment: Deployment, drop: Drop, number: int) -> dict[str, Any] | None:
    """The document of a part, by its number from 1."""
    found = (deployment.job(drop) or {}).get("parts", {})
    for id, each in found.items():
        if each["n"] == number - 1:
            document = deployment.database.collection("jobs").document(id).get()
            held: dict[str, Any] | None = document.to_dict()
            return held
    return None


def steps_taken(deployment: Deployment) -> set[str]:
    """The steps that collectors have logged as done."""
    log = deployment.stack.log("collect").read_text().splitlines()
    told = (json.loads(line) for line in log if line.startswith("{"))
    return {one["step"] for one in told if one.get("event") == "collect.step"}


@pytest.mark.proof
@pytest.mark.timeout(300)
def test_a_file_whose_parts_end_in_every_way_has_a_result_for_each_line(
    deployment: Deployment,
) -> None:
    rules = [
        rule
        | {"match": {"display_name": f"{NAME} part {n}/12"} | rule.get("match", {})}
        for n, rule in FAULTS.items()
    ]
    url = f"{deployment.stack.addresses['batchsim']}/_sim/faults"
    httpx.post(url, json=rules).raise_for_status()
    drop = deployment.drop("".join(f"{line}\n" for line in lines()), NAME)

    def stuck(number: int, *phases: str) -> dict[str, Any] | None:
        found = part(deployment, drop, number)
        return found if found and found["phase"] in phases else None

    cancel(until(lambda: stuck(6, "submitted"))["id"])
    cancel(until(lambda: stuck(7, "submitting", "waiting"))["id"])
    messages = until(
        lambda: [
            message
            for message in deployment.announced(drop)
            if message.attributes["event"] == "results"
        ],
        seconds=200,
    )

    job = deployment.job(drop)
    assert job is not None
    assert "collecting" not in job
    blob = Blob.from_uri(job["results"]["uri"], deployment.gcs)
    assert job["results"]["uri"].endswith(f"/{NAME}/{drop.job_id}/results.jsonl")
    found = [json.loads(line) for line in blob.download_as_bytes().splitlines()]
    assert [one["line"] for one in found] == list(range(1, 26))
    keys = [f"own-{n}" for n in range(1, 25)]
    assert [one.get("key") for one in found] == [*keys[:3], None, *keys[3:]]
    assert found[3]["outcome"] == "refused"
    rows = [one for one in found if one["outcome"] != "refused"]
    by_part = {n: rows[2 * n - 2 : 2 * n] for n in range(1, 13)}
    outcomes = {n: {one["outcome"] for one in each} for n, each in by_part.items()}
    assert outcomes == {
        **{n: {"ok"} for n in (1, 8, 10, 12)},
        **{n: {"missing"} for n in (2, 4, 5, 6, 7)},
        **{n: {"ok", "missing"} for n in (3, 9)},
        11: {"failed"},
    }
    assert by_part[5][0]["error"]["status"] == "service_refused"
    assert by_part[7][0]["error"]["status"] == "cancelled"
    ends = {each["n"] + 1: each["outcome"] for each in job["parts"].values()}
    assert (ends[2], ends[3], ends[4]) == ("failed", "partially_succeeded", "expired")
    assert (ends[5], ends[6], ends[7]) == ("rejected", "cancelled", "cancelled")
    counts = job["rows"]
    assert (counts["total"], counts["accepted"], counts["refused"]) == (25, 24, 1)
    assert (counts["ok"], counts["missing"], counts["failed"]) == (10, 12, 2)
    assert job["strangers"] == 1
    assert {one.attributes["ce-id"] for one in messages} == {
        messages[0].attributes["ce-id"]
    }
    body = json.loads(messages[0].data)
    assert body["rows"]["ok"] == 10
    assert body["parts"]["total"] == 12
    assert {one.attributes["job_id"] for one in deployment.messages} == {drop.job_id}
    assert {"sort", "range"} <= steps_taken(deployment)
