"""The services that tests run against, each in a process of its own."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchdrop_local import emulators
from batchdrop_local import fake_gcs as gcs_server
from batchdrop_local.processes import Logs, Processes, free_port


def unavailable(why: str) -> None:
    """Skip the test, saying why; where `CI` is set, fail it instead."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


@contextlib.contextmanager
def running(emulator: emulators.Emulator, logs: Path) -> Iterator[str]:
    """
    Yield the address (HOST:PORT) of an emulator that runs until the end.

    Where this machine has none, the tests that ask for it are skipped with the
    reason; on CI, where nobody reads the reasons of skips, they fail.
    """
    if address := emulators.named(emulator):
        yield address
        return
    port = free_port()
    with Processes(Logs(logs)) as processes:
        try:
            process = emulators.start(emulator, processes, port)
        except emulators.NoEmulator as exc:
            unavailable(str(exc))
        process.wait_until_ready()
        yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def fake_gcs(logs: Path) -> Iterator[str]:
    """
    A Cloud Storage of one's own, in memory. Gives its address, http://127.0.0.1:PORT.

    The address is not put into the environment: a test that wants clients to find it
    sets `STORAGE_EMULATOR_HOST` itself (the fixture `storage_emulator` does).
    """
    port = free_port()
    with Processes(Logs(logs)) as processes:
        gcs_server.start(processes, port).wait_until_ready()
        yield f"http://127.0.0.1:{port}"
