"""The command line: what it refuses, and its messages."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from batchdrop.cli import main

ROOT = Path(__file__).parents[2]


def test_help_lists_the_commands() -> None:
    ran = CliRunner().invoke(main, ["--help"])

    assert ran.exit_code == 0
    assert {"check", "demo", "local", "cancel", "resume", "rerun", "show"} <= set(
        ran.output.split()
    )


@pytest.mark.parametrize(
    "group", [(), ("announcements",), ("deployments",), ("local",), ("routes",)]
)
def test_lists_of_commands_say_whole_sentences(group: tuple[str, ...]) -> None:
    ran = CliRunner().invoke(main, [*group, "--help"], terminal_width=80)

    assert ran.exit_code == 0
    assert not [x for x in ran.output.splitlines()[1:] if x.endswith("...")]


@pytest.mark.parametrize("port", ["gsc=4443", "gcs=http", "gcs=0", "gcs=65536"])
def test_a_wrong_port_is_refused_with_a_list_of_the_parts(port: str) -> None:
    ran = CliRunner().invoke(main, ["local", "up", "--port", port])

    assert ran.exit_code == 2
    assert port in ran.output
    assert "firestore, pubsub, gcs, batchsim, on_upload, poll" in ran.output


def test_a_setting_without_a_value_is_refused() -> None:
    ran = CliRunner().invoke(main, ["local", "up", "--set", "BATCHDROP_LEASE"])

    assert ran.exit_code == 2
    assert "BATCHDROP_LEASE: it must be NAME=VALUE" in ran.output


def test_an_unknown_setting_is_refused_by_its_name() -> None:
    ran = CliRunner().invoke(main, ["local", "up", "--set", "BATCHDROP_PART_ROW=3"])

    assert ran.exit_code == 2
    assert "there is no setting BATCHDROP_PART_ROW" in ran.output


def test_without_the_local_stack_its_commands_name_their_extra() -> None:
    # None makes the import fail as it does where the extra is not installed.
    script = (
        "import sys; sys.modules.update(psutil=None, uvicorn=None)\n"
        "from click.testing import CliRunner\n"
        "from batchdrop.cli import main\n"
        "for command in (['local', 'up'], ['demo']):\n"
        "    ran = CliRunner().invoke(main, command)\n"
        "    print(ran.exit_code, ran.stderr)"
    )

    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    codes = re.findall(r"^(\d+) .*pip install 'batchdrop\[local\]'$", ran.stdout, re.M)
    assert codes == ["1", "1"]


def test_a_setting_without_its_prefix_is_refused_with_its_full_name() -> None:
    ran = CliRunner().invoke(main, ["local", "up", "--set", "PART_ROWS=2"])

    assert ran.exit_code == 2
    assert "PART_ROWS: write BATCHDROP_PART_ROWS" in ran.output


def test_without_a_stack_there_is_nothing_to_export_and_eval_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    ran = CliRunner().invoke(main, ["local", "env"])

    assert ran.exit_code == 1
    assert ran.stdout == "false\n"
    assert "run `batchdrop local up` in another terminal" in ran.stderr


@pytest.mark.parametrize(
    ("script", "missing", "extra"),
    [
        ("batchdrop.cli", "click", "cli"),
        ("batchsim.__main__", "click", "sim"),
        ("batchsim.__main__", "starlette", "sim"),
        ("batchsim.__main__", "uvicorn", "sim"),
    ],
)
def test_a_script_without_its_packages_names_its_extra_in_one_line(
    script: str, missing: str, extra: str
) -> None:
    # None makes the import fail as it does where the package is not installed.
    code = f"import sys; sys.modules[{missing!r}] = None; from {script} import main"

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert ran.returncode == 2
    assert ran.stderr.count("\n") == 1
    assert ran.stderr.endswith(f"pip install 'batchdrop[{extra}]'\n")
    assert ran.stdout == ""


def test_the_client_alone_loads_no_plugin_of_pytest() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert "entry-points" not in project
    assert set(project["scripts"]) == {"batchdrop", "batchsim"}


def test_what_the_terminals_encoding_lacks_is_escaped(tmp_path: Path) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text('{"contents": [{"role": "\u65b0", "parts": []}]}\n')
    plain = CliRunner(charset="ascii")

    shown = plain.invoke(main, ["check", str(file)])
    data = plain.invoke(main, ["check", str(file), "--json"])

    assert shown.exit_code == data.exit_code == 1
    assert r"\u65b0" in shown.stdout
    assert json.loads(data.stdout_bytes)


def test_jobs_are_listed_by_one_state_at_a_time() -> None:
    ran = CliRunner().invoke(main, ["jobs", "--unhealthy", "--open"])

    assert ran.exit_code == 2
    assert "give one of --open, --ended and --unhealthy" in ran.output
