"""The real services that tests run against, started once a run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batchdrop_local import emulators
from batchdrop_local.processes import Logs, Processes, free_port


@contextmanager
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
            if os.environ.get("CI"):
                raise
            pytest.skip(str(exc))
        process.wait_until_ready()
        yield f"127.0.0.1:{port}"
