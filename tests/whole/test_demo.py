"""`batchdrop demo`: the main job from end to end, as anyone sees it first."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from batchdrop_local import samples
from tests.whole.test_local_up import marked


def test_the_demo_runs_the_main_job_and_leaves_nothing_running(
    tmp_path: Path, firestore_emulator: str, pubsub_emulator: str
) -> None:
    ran = demo(tmp_path, dict(os.environ) | {"TEST_MARK": tmp_path.name})

    assert ran.returncode == 0, ran.stderr
    outcome = json.loads(ran.stdout.splitlines()[-1])
    assert len(outcome["job_id"]) == 26
    assert outcome["state"] == "JOB_STATE_SUCCEEDED"
    assert outcome["phase"] == "ended"
    assert {outcome: n for outcome, n in outcome["rows"].items() if n} == {
        "total": 1000,
        "accepted": 1000,
        "ok": 974,
        "failed": 14,
        "blocked": 6,
        "missing": 6,
    }
    assert outcome["answers"] == 994
    assert outcome["announcement"]["type"] == "dev.batchdrop.job.succeeded.v1"
    assert outcome["announcement"]["id"]
    assert f"/{outcome['job_id']}/" in outcome["output_directory"]
    assert outcome["results"]["uri"].endswith(f"/{outcome['job_id']}/results.jsonl")
    assert outcome["results"]["bytes"] > 0
    assert 0 < sum(outcome["steps"].values()) <= outcome["seconds"] < 60
    assert outcome["addresses"]["firestore"] == firestore_emulator
    assert "arrived > prepared > submitting > submitted" in ran.stderr
    for state in ("JOB_STATE_PENDING", "JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED"):
        assert f"follow the batch: {state}" in ran.stderr
    for said in ("-> ok: ", "-> failed: The model", "-> blocked", "-> missing"):
        assert f" {said}" in ran.stderr
    assert ran.stderr.splitlines()[-1] == (
        "1,000 rows: 974 ok, 14 failed, 6 blocked, 6 missing"
    )
    assert marked(tmp_path.name) == []


def test_a_demo_that_fails_names_the_step_and_exits_1(tmp_path: Path) -> None:
    env = dict(os.environ) | {"PATH": str(tmp_path)}
    env.pop("FIRESTORE_EMULATOR_HOST", None)

    ran = demo(tmp_path, env)

    assert ran.returncode == 1
    assert "the demo failed at: find the firestore" in ran.stderr
    assert "there is no gcloud on the PATH" in ran.stderr
    assert ran.stdout == ""


def test_the_samples_are_the_same_each_time_and_differ_from_each_other() -> None:
    rows = list(samples.requests(1000))

    assert rows == list(samples.requests(1000))
    assert len(set(rows)) == 1000


@pytest.mark.parametrize("number", [0, 499, 999])
def test_a_sample_has_the_plain_shape(number: int) -> None:
    row = json.loads(list(samples.requests(1000))[number])

    (content,) = row.pop("contents")
    assert row == {}
    assert content["role"] == "user"
    assert [list(part) for part in content["parts"]] == [["text"]]


def demo(directory: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "batchdrop.cli", "demo", "--json"],
        cwd=directory,
        env=env,
        capture_output=True,
        text=True,
        timeout=90,
    )
