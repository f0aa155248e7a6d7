"""The environments that `make` sets up."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_demo_needs_what_runs_the_local_stack_and_no_more(tmp_path: Path) -> None:
    assert "'.[local]'" in would_run("demo", tmp_path)
    assert "'.[dev]'" in would_run("test", tmp_path)


def test_who_develops_keeps_what_that_takes_when_the_demo_installs_anew(
    tmp_path: Path,
) -> None:
    (tmp_path / ".installed").touch()
    os.utime(tmp_path / ".installed", (0, 0))

    demo = would_run("demo", tmp_path)

    assert "'.[dev]'" in demo
    assert "'.[local]'" not in demo


def would_run(target: str, environment: Path) -> str:
    """The commands that make would run."""
    ran = subprocess.run(
        ["make", "--dry-run", target, f"VENV={environment}"],
        cwd=ROOT,
        # The make that runs the tests hands its flags and variables down.
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout
