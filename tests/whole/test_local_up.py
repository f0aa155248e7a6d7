"""`batchdrop local up`: what it leaves behind when it ends, however it ends."""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from batchdrop_local import emulators
from tests.waiting import is_alive, until


def can_start_emulators() -> bool:
    try:
        emulators.check({"PATH": os.environ["PATH"]})
    except emulators.NoEmulator:
        # There are those that the environment names, or the tests are skipped.
        return False
    return True


CAN_START_EMULATORS = can_start_emulators()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_behind(
    tmp_path: Path,
    number: signal.Signals,
    firestore_emulator: str,
    pubsub_emulator: str,
) -> None:
    with local_up(tmp_path) as (up, mark):
        file = tmp_path / ".batchdrop/stack.json"
        until(file.exists)
        everything = marked(mark)
        pids = json.loads(file.read_text())["pids"]

        up.send_signal(number)
        status = up.wait(20)
        until(lambda: not marked(mark))

    # The stack itself, its tether, Cloud Storage, batchsim, for each function a server
    # and a worker; and the emulators.
    assert len(everything) == 10 + (2 if CAN_START_EMULATORS else 0)
    assert {pid for function in pids.values() for pid in function} < {
        p.pid for p in everything
    }
    assert status == (-9 if number == signal.SIGKILL else 0)
    assert file.exists() == (number == signal.SIGKILL)


def test_it_prints_how_to_drop_a_file_and_shows_the_logs_by_name(
    tmp_path: Path, firestore_emulator: str, pubsub_emulator: str
) -> None:
    with local_up(tmp_path, os.environ) as (up, _):
        until((tmp_path / ".batchdrop/stack.json").exists)
        log = tmp_path / ".batchdrop/logs/poll.log"
        until(lambda: log.exists() and "tick" in log.read_text())
        told = subprocess.run(
            [
                "bash",
                "-c",
                'eval "$("$0" -m batchdrop.cli local env)"; env',
                sys.executable,
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        up.terminate()
        output, _ = up.communicate(timeout=20)

    assert "gcloud storage cp requests.jsonl gs://batchdrop-inbox/" in output
    assert 'storage.Client("' in output
    assert "Results are in gs://batchdrop-output/NAME/JOB_ID/results.jsonl." in output
    assert 'eval "$(batchdrop local env)"' in output
    assert "\nBATCHDROP_INBOX=batchdrop-inbox\n" in told
    assert f"http://{pubsub_emulator}/" in told  # for gcloud
    tick = log.read_text().splitlines()[0]
    assert f"     poll | {tick}" in output


@contextmanager
def local_up(
    directory: Path, env: os._Environ[str] | None = None
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
        [sys.executable, "-m", "batchdrop.cli", "local", "up"],
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
