"""The benchmark of the check runs and prints its figures."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.proof


def test_the_bench_prints_its_figures_and_one_object_last() -> None:
    bench = [sys.executable, "-m", "tests.bench.preflight"]
    command = [*bench, "--mb", "1", "--rounds", "2", "--json"]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    found = json.loads(done.stdout.splitlines()[-1])
    assert found["mb_per_s"] > 0
    for name in (
        "5k",
        "5k_bad",
        "500",
        "500_merged",
        "500_embedding",
        "500_open",
        "500_keys_kept",
        "500_columns_kept",
        "500_bad",
        "500_varied",
    ):
        assert found[f"orjson_ratio_{name}"] > 0
    # These hold on a busy machine too.
    assert found["genai_ratio_500"] > 1
    assert found["orjson_ratio_500_varied"] > 0.03
    assert found["peak_mb"] < 300
