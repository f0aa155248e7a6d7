"""The benchmark runs, and says what it promises to say."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.proof


def test_the_bench_prints_its_figures_and_one_object_last() -> None:
    command = [sys.executable, "-m", "tests.bench.client", "--json"]

    done = subprocess.run(
        [*command, "--rounds", "1", "--seconds", "0.05"],
        capture_output=True,
        text=True,
        check=True,
    )

    *shown, last = done.stdout.splitlines()
    said = json.loads(last)
    assert "google-genai" in shown[0]
    for name in ("import_ratio", "get_ratio", "list_ratio", "get_floor_ratio"):
        assert said[name] > 0
    # The two that no busy machine can turn round.
    assert said["import_ratio"] > 1
    assert said["list_ratio"] > 1
