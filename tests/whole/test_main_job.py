"""The main job on the whole stack: main.py in its own processes, settings alone."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.often import mostly
from tests.waiting import until
from tests.whole.deployment import ROW, Deployment

#: How these tests pull; the streaming way has threads to wait for.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The return_immediately flag is deprecated"
)


def lines_with(text: str, log: Path) -> list[str]:
    """The lines of a log that contain the text."""
    return [line for line in log.read_text().splitlines() if text in line]


def test_a_dropped_file_ends_in_answers_and_an_announcement(
    deployment: Deployment,
) -> None:
    drop = deployment.drop(25)

    job = until(lambda: deployment.at(drop, "ended"))
    (message,) = until(lambda: deployment.ends(drop))

    assert job["batch"]["state"] == "JOB_STATE_SUCCEEDED"
    assert [moment["phase"] for moment in job["history"]][:4] == [
        "arrived",
        "prepared",
        "submitting",
        "submitted",
    ]
    keys = sorted(answer["key"] for answer in deployment.answers(job))
    assert keys == [f"r{n:07}" for n in range(1, 26)]
    assert message.attributes["ce-type"] == "dev.batchdrop.job.succeeded.v1"
    assert message.ordering_key == drop.job_id
    body = json.loads(message.data)
    assert body["output_directory"] == job["batch"]["output_directory"]


def test_the_same_event_twenty_times_at_once_makes_one_batch(
    deployment: Deployment,
) -> None:
    drop = deployment.drop(200)
    event = {
        "ce-specversion": "1.0",
        "ce-type": "google.cloud.storage.object.v1.finalized",
        "ce-source": f"//storage.googleapis.com/projects/_/buckets/{drop.bucket}",
        "ce-subject": f"objects/{drop.name}",
        "ce-time": "2026-03-01T12:00:00Z",
        "content-type": "application/json",
    }
    data = {
        "bucket": drop.bucket,
        "name": drop.name,
        "generation": str(drop.generation),
        "size": str(drop.size),
    }

    def deliver(n: int) -> int:
        url = deployment.stack.addresses["on_upload"]
        headers = event | {"ce-id": str(n)}
        return httpx.post(url, json=data, headers=headers, timeout=30).status_code

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(deliver, range(20)))
    until(lambda: deployment.at(drop, "ended"))
    until(lambda: deployment.ends(drop))

    assert answers == [200] * 20
    assert len(deployment.batches(drop)) == 1
    assert len(deployment.ends(drop)) == 1


def test_a_bad_file_is_rejected_by_line_and_announced_and_costs_nothing(
    deployment: Deployment,
) -> None:
    drop = deployment.drop(ROW % 1 + "{not json\n" + ROW % 3)

    job = until(lambda: deployment.at(drop, "rejected"))
    (message,) = until(lambda: deployment.ends(drop))

    assert job["error"]["code"] == "bad_rows"
    assert [fault["line"] for fault in job["row_errors"]] == [2]
    assert message.attributes["ce-type"] == "dev.batchdrop.job.rejected.v1"
    assert "line 2" in json.loads(message.data)["error"]["message"]
    assert deployment.batches(drop) == []


@pytest.mark.proof  # tests/exactly_once kills it with few rows
def test_a_killed_on_upload_still_ends_with_one_batch_and_one_answer_set(
    deployment: Deployment,
) -> None:
    rows = 20_000  # so many that staging them takes a while
    drop = deployment.drop(rows)
    until(lambda: deployment.at(drop, "arrived"))

    for pid in deployment.stack.pids["on_upload"]:
        os.kill(pid, signal.SIGKILL)
    killed_at = deployment.job(drop)
    job = until(lambda: deployment.at(drop, "ended"))
    until(lambda: deployment.ends(drop))

    assert killed_at is not None
    assert killed_at["phase"] == "arrived"
    assert job["lease"]["epoch"] > 1
    (batch,) = deployment.batches(drop)
    assert job["batch"]["name"] == batch["name"]
    answers = deployment.answers(job)
    assert len(answers) == rows
    assert len({answer["key"] for answer in answers}) == rows
    assert len(deployment.ends(drop)) == 1


def test_a_file_dropped_while_the_service_is_down_is_submitted_later(
    deployment: Deployment,
) -> None:
    deployment.stack.stop("batchsim")
    drop = deployment.drop(3)
    until(lambda: deployment.at(drop, "waiting"))

    deployment.stack.start("batchsim")
    job = until(lambda: deployment.at(drop, "ended"))

    assert len(deployment.answers(job)) == 3
    assert len(deployment.batches(drop)) == 1


def test_a_batch_that_somebody_cancels_is_over_and_announced_by_their_name(
    deployment: Deployment,
) -> None:
    name = "to-cancel.jsonl"
    rule = {"fault": "stuck_running", "for_ever": True, "match": {"display_name": name}}
    url = f"{deployment.stack.addresses['batchsim']}/_sim/faults"
    httpx.post(url, json=rule).raise_for_status()
    drop = deployment.drop(2, name)
    until(lambda: deployment.at(drop, "submitted"))

    subprocess.run(
        [sys.executable, "-m", "batchdrop.cli", "cancel", drop.job_id],
        env=os.environ | {"LOGNAME": "a tester"},
        check=True,
        capture_output=True,
    )
    job = until(lambda: deployment.at(drop, "ended"))
    (message,) = until(lambda: deployment.ends(drop))

    assert job["batch"]["state"] == "JOB_STATE_CANCELLED"
    assert job["cancel_request"]["by"] == "a tester"
    assert message.attributes["ce-type"] == "dev.batchdrop.job.cancelled.v1"
    assert len(deployment.batches(drop)) == 1


@pytest.mark.parametrize("name", mostly("notes.txt", also=["reviews.csv"]))
def test_a_file_of_another_kind_leaves_a_log_line_and_nothing_else(
    deployment: Deployment, name: str
) -> None:
    drop = deployment.drop(1, name)

    log = deployment.stack.log("on_upload")
    line = json.loads(until(lambda: lines_with(str(drop), log))[0])

    assert (line["severity"], line["message"]) == ("INFO", "object ignored")
    assert line["logging.googleapis.com/trace"].startswith(
        f"projects/{deployment.stack.project}/traces/"
    )
    assert deployment.job(drop) is None
