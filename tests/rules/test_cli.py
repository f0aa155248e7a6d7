"""The command line: what it refuses, and with which words."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from batchdrop.cli import main


def test_help_lists_the_commands() -> None:
    ran = CliRunner().invoke(main, ["--help"])

    assert ran.exit_code == 0
    assert {"demo", "local", "sim"} <= set(ran.output.split())


@pytest.mark.parametrize("port", ["gsc=4443", "gcs=http", "gcs=0", "gcs=65536"])
def test_a_port_that_cannot_be_is_refused_with_the_parts_there_are(port: str) -> None:
    ran = CliRunner().invoke(main, ["local", "up", "--port", port])

    assert ran.exit_code == 2
    assert port in ran.output
    assert "firestore, pubsub, gcs, batchsim, on_upload, poll" in ran.output


def test_a_setting_without_a_value_is_refused() -> None:
    ran = CliRunner().invoke(main, ["local", "up", "--set", "BATCHDROP_LEASE"])

    assert ran.exit_code == 2
    assert "BATCHDROP_LEASE: it must be NAME=VALUE" in ran.output


def test_a_setting_that_nobody_reads_is_refused_by_its_name() -> None:
    ran = CliRunner().invoke(main, ["local", "up", "--set", "BATCHDROP_PART_ROW=3"])

    assert ran.exit_code == 2
    assert "there is no setting BATCHDROP_PART_ROW" in ran.output


@pytest.mark.parametrize("command", ["local up", "demo", "sim"])
def test_without_the_local_stack_it_says_what_to_install(command: str) -> None:
    # None makes the import fail as it does where the extra is not installed.
    script = (
        "import sys; sys.modules.update(psutil=None, uvicorn=None);"
        "from batchdrop.cli import main; main(sys.argv[1:])"
    )

    ran = subprocess.run(
        [sys.executable, "-c", script, *command.split()], capture_output=True, text=True
    )

    assert ran.returncode == 1
    assert "pip install 'batchdrop[local]'" in ran.stderr


def test_without_click_it_says_what_to_install() -> None:
    script = "import sys; sys.modules.update(click=None); import batchdrop.cli"

    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert ran.returncode == 1
    assert "pip install 'batchdrop[cli]'" in ran.stderr


def test_sim_hands_its_arguments_to_batchsim() -> None:
    ran = CliRunner().invoke(main, ["sim", "--help"])

    assert ran.exit_code == 0
    assert ran.output.startswith("Usage: batchdrop sim")
    assert "--queue-seconds" in ran.output


def test_a_setting_without_its_prefix_is_told_how_it_is_spelled() -> None:
    ran = CliRunner().invoke(main, ["local", "up", "--set", "PART_ROWS=2"])

    assert ran.exit_code == 2
    assert "PART_ROWS: write BATCHDROP_PART_ROWS" in ran.output


def test_what_to_export_can_not_be_told_where_no_stack_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    ran = CliRunner().invoke(main, ["local", "env"])

    assert ran.exit_code == 1
    assert "run `batchdrop local up` in another terminal" in ran.output


@pytest.mark.parametrize("missing", ["click", "starlette"])
def test_without_its_packages_batchsim_says_what_to_install(missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; import batchsim.__main__"

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].endswith("pip install 'batchdrop[sim]'")
    assert "Traceback" not in ran.stderr
