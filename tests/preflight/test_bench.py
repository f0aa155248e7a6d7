"""The benchmark of the check runs, and says what it promises to say."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.proof


def test_the_bench_prints_its_figures_and_one_object_last() -> None:
    bench = [sys.executable, "-m", "tests.bench.preflight"]
    command = [*bench, "--mb", "1", "--rounds", "2", "--json"]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    said = json.loads(done.stdout.splitlines()[-1])
    assert said["mb_per_s"] > 0
    for name in (
        "5k",
        "5k_bad",
        "500",
        "500_merged",
        "500_embedding",
        "500_open",
        "500_bad",
    ):
        assert said[f"orjson_ratio_{name}"] > 0
    # What no busy machine can turn round.
    assert said["genai_ratio_500"] > 1
    assert said["peak_mb"] < 300
