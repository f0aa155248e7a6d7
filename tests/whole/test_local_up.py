"""`batchdrop local up`: what it leaves behind when it ends, however it ends."""

import json
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from batchdrop_local import emulators
from batchdrop_local.nursery import FORKS
from tests.waiting import is_alive, until


def can_start_emulators() -> bool:
    """Whether this machine has the programs to start emulators with."""
    try:
        emulators.check({"PATH": os.environ["PATH"]})
    except emulators.NoEmulator:
        # There are those that the environment names, or the tests are skipped.
        return False
    return True


CAN_START_EMULATORS = can_start_emulators()


@pytest.mark.proof  # the demo is interrupted each time, and the stack below killed
@pytest.mark.parametrize(
    ("number", "options"),
    [
        # While files are dropped, too.
        (signal.SIGINT, ("--sample",)),
        (signal.SIGTERM, ()),
        (signal.SIGKILL, ()),
    ],
)
def test_no_process_is_left_behind(
    tmp_path: Path,
    number: signal.Signals,
    options: tuple[str, ...],
    firestore_emulator: str,
    pubsub_emulator: str,
) -> None:
    with local_up(tmp_path, options=options) as (up, mark):
        file = tmp_path / ".batchdrop/stack.json"
        until(file.exists)
        everything = marked(mark)
        pids = json.loads(file.read_text())["pids"]
        if options:
            until_said(up, "sample: a file every 15 seconds, at most 200 in all")

        up.send_signal(number)
        status = up.wait(20)
        rest, _ = up.communicate(timeout=20)
        until(lambda: not marked(mark))
        after = deployed(tmp_path)

    # The stack itself, its tether, Cloud Storage, batchsim, for each function a server
    # and a worker; what forks the servers; and the emulators.
    assert len(everything) == 12 + FORKS + (2 if CAN_START_EMULATORS else 0)
    assert {pid for function in pids.values() for pid in function} < {
        p.pid for p in everything
    }
    killed = number == signal.SIGKILL
    assert status == (-9 if killed else 0)
    assert file.exists() == killed
    assert killed or rest.endswith("down; its files, jobs and results are gone.\n")
    # Among the sample is a file of tickets.
    assert options or "tick" not in rest
    assert after == []


def test_another_terminal_is_told_what_happens_to_a_drop_until_the_stack_is_killed(
    tmp_path: Path, firestore_emulator: str, pubsub_emulator: str
) -> None:
    stack, elsewhere = tmp_path / "stack", tmp_path / "elsewhere"
    stack.mkdir()
    elsewhere.mkdir()
    (elsewhere / "bad.jsonl").write_text('{"contents": []}\n')
    env = os.environ | {"BATCHDROP_ROUTES": "gs://of/another/deployment.toml"}

    with local_up(stack, os.environ) as (up, mark):
        file = stack / ".batchdrop/stack.json"
        until(file.exists)
        everything = marked(mark)
        pids = json.loads(file.read_text())["pids"]
        names = until(lambda: deployed(elsewhere))
        told = run(
            [
                "bash",
                "-c",
                'eval "$("$0" -m batchdrop.cli local env)" && env && "$0" -c "$1"',
                sys.executable,
                "import os; from google.cloud import storage;"
                "inbox = storage.Client().bucket(os.environ['BATCHDROP_INBOX']);"
                "inbox.blob('bad.jsonl').upload_from_filename('bad.jsonl')",
            ],
            elsewhere,
            env,
        )
        log = stack / ".batchdrop/logs/poll.log"
        until(lambda: "tick" in log.read_text())
        (output, said) = until_said(up, "bad.jsonl: rejected: line 1, ")
        status = json.loads(commands("status", directory=elsewhere, env=env))
        shown = json.loads(commands("show", "latest", directory=elsewhere, env=env))
        late = commands("cancel", shown["id"], directory=elsewhere, env=env, code=1)
        up.kill()
        rest, _ = up.communicate(timeout=20)
        until(lambda: not marked(mark))

    assert names == ["local"]
    assert (status["deployment"], status["ticks"]["last"] is None) == ("local", False)
    assert shown["source"]["name"] == "bad.jsonl"
    assert "is over: rejected since" in json.loads(late)["error"]
    assert "\nBATCHDROP_INBOX=inbox.localhost\n" in told
    assert "BATCHDROP_ROUTES" not in told
    assert f"http://{pubsub_emulator}/" in told  # for gcloud
    assert f'eval "$({sys.executable} -m batchdrop.cli local env)"' in output
    assert "gcloud storage cp requests.jsonl gs://inbox.localhost/" in output
    assert "Results are in gs://output.localhost/NAME/JOB_ID/results.jsonl" in output
    assert re.match(r"\d\d:\d\d bad.jsonl: ", said)
    assert "tick" not in output + said + rest
    # As above, without emulators, which are others'.
    assert len(everything) == 12 + FORKS
    assert {pid for function in pids.values() for pid in function} < {
        p.pid for p in everything
    }
    assert up.returncode == -signal.SIGKILL
    assert deployed(elsewhere) == []


def deployed(directory: Path) -> list[str]:
    """The names of the deployments that the command line knows there."""
    list_ = [sys.executable, "-m", "batchdrop.cli", "deployments", "list", "--json"]
    return [json.loads(line)["name"] for line in run(list_, directory).splitlines()]


def commands(
    *arguments: str, directory: Path, env: Mapping[str, str], code: int = 0
) -> str:
    """What `batchdrop ... --json` prints there."""
    command = [sys.executable, "-m", "batchdrop.cli", *arguments, "--json"]
    ran = subprocess.run(
        command, cwd=directory, env=env, capture_output=True, text=True
    )
    assert ran.returncode == code, ran.stderr
    return ran.stdout


def run(command: list[str], directory: Path, env: dict[str, str] | None = None) -> str:
    """Runs a command and returns its output; CalledProcessError if it fails."""
    ran = subprocess.run(
        command, cwd=directory, env=env, capture_output=True, text=True, check=True
    )
    return ran.stdout


def until_said(up: subprocess.Popen[str], part: str) -> tuple[str, str]:
    """What it printed before a line with this part, and that line."""
    assert up.stdout is not None
    before = ""
    for line in up.stdout:
        if part in line:
            return before, line
        before += line
    raise AssertionError(f"it ended without {part!r}: {before}")


@contextmanager
def local_up(
    directory: Path,
    env: os._Environ[str] | None = None,
    options: tuple[str, ...] = (),
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """
    The command in a process of its own, and a mark in the environment of all that it
    starts. Without `env` it starts emulators of its own, where it can.
    """
    mark = uuid.uuid4().hex
    inherited = dict(env or os.environ)
    if env is None and CAN_START_EMULATORS:
        inherited.pop("FIRESTORE_EMULATOR_HOST", None)
        inherited.pop("PUBSUB_EMULATOR_HOST", None)
    up = subprocess.Popen(
        [sys.executable, "-m", "batchdrop.cli", "local", "up", *options],
        cwd=directory,
        env=inherited | {"TEST_MARK": mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield up, mark
    finally:
        up.kill()
        up.communicate()
        for process in marked(mark):
            process.kill()


def marked(mark: str) -> list[psutil.Process]:
    """The living processes that have the mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TEST_MARK") == mark:
                found.append(process)
        except psutil.Error:
            # Somebody else's, or gone.
            continue
    return [process for process in found if is_alive(process)]
