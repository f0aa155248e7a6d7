"""The Pythons that we support are the same wherever they are listed."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def text(name: str) -> str:
    return (ROOT / name).read_text()


def supported() -> list[str]:
    """What pyproject.toml's classifiers say, as 3.11."""
    begins = "Programming Language :: Python :: "
    return [
        each.removeprefix(begins)
        for each in PYPROJECT["project"]["classifiers"]
        if each.startswith(begins)
    ]


def deployed() -> str:
    """The Python that the functions run on, as 3.13."""
    (runtime,) = re.findall(r'runtime\s*= "python3(\d+)"', text("infra/functions.tf"))
    return f"3.{runtime}"


def test_ci_runs_on_the_newest_python_besides_its_own() -> None:
    (listed,) = re.findall(r"^for version in (.*); do$", text(".ci/run"), re.M)

    assert listed.split() == supported()[-1:]


def test_the_functions_run_on_a_python_that_is_supported() -> None:
    assert deployed() in supported()


def test_cloud_build_tests_on_the_python_that_is_deployed() -> None:
    images = re.findall(r"name: python:(\d+\.\d+)", text("cloudbuild.yaml"))

    assert set(images) == {deployed()}


def test_the_oldest_python_is_the_one_that_all_is_written_and_pinned_for() -> None:
    oldest = supported()[0]

    assert PYPROJECT["project"]["requires-python"] == f">={oldest}"
    assert PYPROJECT["tool"]["mypy"]["python_version"] == oldest
    assert PYPROJECT["tool"]["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"
    assert f"--python-version {oldest} " in text("Makefile")
    assert f"Python {oldest} or later" in text("README.md")


def test_a_python_that_make_is_told_has_an_environment_of_its_own() -> None:
    def runs(*said: str) -> str:
        done = subprocess.run(
            ["make", "--dry-run", "test", *said],
            cwd=ROOT,
            # The make that runs the tests hands its flags and variables down.
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.splitlines()[-1].partition("/bin/")[0]

    assert runs("PYTHON=python3") == ".venv"
    assert runs("PYTHON=python3.13") == ".venv-python3.13"
    assert runs("PYTHON=/opt/bin/python3.13") == ".venv-python3.13"
    assert runs("VENV=.venv-ci", "PYTHON=python3.13") == ".venv-ci"
