"""The real services that tests run against, started once a run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batchdrop_local import emulators
from batchdrop_local.processes import Processes


@contextmanager
def running(emulator: emulators.Emulator, logs: Path) -> Iterator[str]:
    """
    Yield the address (HOST:PORT) of an emulator that runs until the end.

    Where this machine has none, the tests that ask for it are skipped with the
    reason; on CI, where nobody reads the reasons of skips, they fail.
    """
    with Processes(logs) as processes:
        try:
            service = emulators.start(emulator, processes)
        except emulators.NoEmulator as exc:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(exc))
        service.wait_until_ready()
        yield service.address
