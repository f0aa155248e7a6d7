"""The benchmark runs, and prints the promised figures."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.proof


def test_the_benchmark_prints_a_table_and_then_one_json_object() -> None:
    command = [sys.executable, "-m", "tests.bench.client", "--json"]

    done = subprocess.run(
        [*command, "--rounds", "1", "--seconds", "0.05"],
        capture_output=True,
        text=True,
        check=True,
    )

    *shown, last = done.stdout.splitlines()
    figures = json.loads(last)
    assert "google-genai" in shown[0]
    for name in ("import_ratio", "get_ratio", "list_ratio", "get_floor_ratio"):
        assert figures[name] > 0
    # These two hold even on a busy machine.
    assert figures["import_ratio"] > 1
    assert figures["list_ratio"] > 1
