"""The benchmark of collecting runs and prints its figures."""

import json
import subprocess
import sys

import pytest


@pytest.mark.proof
@pytest.mark.parametrize("order", [[], ["--shuffled"]], ids=["in_order", "shuffled"])
def test_the_bench_prints_its_figures_and_one_object_last(order: list[str]) -> None:
    bench = [sys.executable, "-m", "tests.bench.collect", *order]
    command = [*bench, "--rows", "2000", "--rounds", "2", "--json"]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    found = json.loads(done.stdout.splitlines()[-1])
    assert found["mb_per_s"] > 0
    assert found["seconds"] > 0
    # These hold on a busy machine too.
    assert found["orjson_ratio"] > 0.15
    assert found["peak_mb"] < 300


@pytest.mark.parametrize(
    "much",
    [
        pytest.param(["--rows", "2000", "--steps"], id="texts"),
        pytest.param(["--embeddings", "200"], id="embeddings", marks=pytest.mark.proof),
    ],
)
def test_the_bench_of_steps_counts_what_is_read_and_written(much: list[str]) -> None:
    command = [sys.executable, "-m", "tests.bench.collect", *much, "--json"]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    found = json.loads(done.stdout.splitlines()[-1])
    assert found["steps"] == 4  # a slice, the plan, a range, and the sum
    # Sorted answers have some bytes more than those that were read.
    assert 2 <= found["reads"] < 2.05
    assert 1 < found["writes"] < 2.05
    assert found["longest_s"] < found["half_s"]
    assert found["peak_mb"] < 300
