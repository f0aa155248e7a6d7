"""A short soak; `make soak` is the long one."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_short_soak_breaks_no_promise(
    firestore_emulator: str, pubsub_emulator: str
) -> None:
    command = [sys.executable, "-m", "tests.soak", "--json"]
    command += ["--drops", "25", "--seconds", "10", "--seed", "3"]

    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=110
    )

    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["broken"] == []
    assert found["drops"] == found["jobs"] == found["announcements"] == 25
    whole = 25 - found["rejected"] - found["families"]
    assert found["kept"] == found["paid"] == whole + found["parts"]
    assert found["families"] > 0
    assert found["batches"] >= found["paid"]
