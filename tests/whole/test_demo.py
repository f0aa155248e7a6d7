"""`batchdrop demo`: the main job from end to end, as anyone sees it first."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from batchdrop.cli import main
from batchdrop_local import samples
from tests.waiting import until
from tests.whole.test_local_up import deployed, marked


def test_the_demo_runs_the_main_job_and_keeps_the_stack_until_told_to_end(
    tmp_path: Path, firestore_emulator: str, pubsub_emulator: str
) -> None:
    with (tmp_path / "stderr").open("w+") as stderr:
        ran = subprocess.Popen(
            [sys.executable, "-m", "batchdrop.cli", "demo", "--json", "--keep"],
            cwd=tmp_path,
            env=os.environ | {"TEST_MARK": tmp_path.name},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        assert ran.stdout is not None
        line = ran.stdout.readline()
        until(lambda: deployed(tmp_path) == ["local"])
        ran.send_signal(signal.SIGINT)
        rest = ran.communicate(timeout=30)[0]
    shown = (tmp_path / "stderr").read_text()

    assert ran.returncode == 0, shown
    assert rest == ""
    outcome = json.loads(line)
    assert len(outcome["job_id"]) == 26
    assert outcome["state"] == "JOB_STATE_SUCCEEDED"
    assert outcome["phase"] == "ended"
    assert {outcome: n for outcome, n in outcome["rows"].items() if n} == {
        "total": 1000,
        "accepted": 1000,
        "ok": 999,
        "blocked": 1,
    }
    assert outcome["healed"] == 4
    assert outcome["failures"] == []
    assert outcome["answers"] == 1000
    assert outcome["announcement"]["type"] == "dev.batchdrop.job.succeeded.v1"
    assert outcome["announcement"]["id"]
    assert f"/{outcome['job_id']}/" in outcome["output_directory"]
    assert outcome["results"]["uri"].endswith(f"/{outcome['job_id']}/results.jsonl")
    assert outcome["results"]["bytes"] > 0
    assert 0 < sum(outcome["steps"].values()) <= outcome["seconds"]
    assert outcome["addresses"]["firestore"] == firestore_emulator
    # Delivered once more by Eventarc's stand-in and once by the demo: one batch.
    assert (outcome["batches"], outcome["duplicates"]) == (1, 2)
    assert outcome["rejected"]["code"] == "bad_rows"
    assert outcome["rejected"]["message"].startswith("line 3, request.contents[0].role")
    assert outcome["cost"]["currency"] == "USD"
    assert outcome["cost"]["micros"] > 0
    assert marked(tmp_path.name) == []
    assert deployed(tmp_path) == []
    lines = shown.splitlines()
    page = lines[lines.index("The local stack is up. See its jobs in a browser:") + 2]
    assert page == f"  {outcome['addresses']['dashboard']}/"
    assert "To use it in another terminal:" in lines
    assert lines[-1] == "The local stack is down; its files, jobs and results are gone."
    assert "  find the batch: the API has 1 batch: the job follows it" in lines
    assert any(line.rstrip().endswith("  positive") for line in lines)
    assert any(line.rstrip().endswith("  mixed, round 1") for line in lines)
    assert any(line.rstrip().endswith("  blocked") for line in lines)
    counts = lines.index("1,000 rows: 999 ok, 1 blocked")
    assert lines[counts + 1].startswith("healed by a second round: review-0004")
    assert lines[counts + 2].startswith("It would have cost 0.0")
    assert max(map(len, lines[lines.index("") : counts + 3])) <= 80


def test_a_demo_that_fails_names_the_step_and_exits_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("FIRESTORE_EMULATOR_HOST", raising=False)

    ran = CliRunner().invoke(main, ["demo", "--json"])

    assert ran.exit_code == 1
    assert "the demo failed at: find the firestore" in ran.stderr
    assert "there is no gcloud on the PATH" in ran.stderr
    assert ran.stdout == ""


def test_the_samples_are_the_same_each_time_and_differ_from_each_other() -> None:
    rows = list(samples.reviews(1000))

    assert rows == list(samples.reviews(1000))
    assert len(set(rows)) == 1000
