"""The benchmark of a tick runs, and says what it promises to say."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.proof


def test_the_bench_prints_its_figures_and_one_object_last(
    firestore_emulator: str,
) -> None:
    command = [sys.executable, "-m", "tests.bench.poll", "--json"]

    done = subprocess.run(
        [*command, "--jobs", "300", "--ticks", "2", "--part", "10", "--waiting", "12"],
        capture_output=True,
        text=True,
        check=True,
    )

    said = json.loads(done.stdout.splitlines()[-1])
    # 300 jobs are 3 pages, and 100 of them come to another state.
    assert said["requests"] <= 4
    assert 100 <= said["reads"] < 200
    assert 100 <= said["writes"] < 200
    assert said["seconds"] > 0
    assert said["speedup"] > 0
    assert said["admit_speedup"] > 1
