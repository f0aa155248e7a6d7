"""The services that tests run against, each in a process of its own."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest

from batchdrop_local import emulators
from batchdrop_local.nursery import Nursery
from batchdrop_local.processes import Logs, Processes, free_port

#: Where what tests install is kept from run to run; git ignores it.
CACHE = Path(__file__).resolve().parent.parent / ".batchdrop" / "tests"


class NotInstalled(Exception):
    """This machine can't install it; the text says why."""


def unavailable(why: str) -> NoReturn:
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


class Shared:
    """Services that all processes of a run of tests share."""

    def __init__(self, temporary: pytest.TempPathFactory) -> None:
        self._temporary = temporary
        self._folder = temporary.getbasetemp()
        if "PYTEST_XDIST_WORKER" in os.environ:
            self._folder = self._folder.parent
        self._started = contextlib.ExitStack()
        self._users = (self._folder / "users").open("w")
        fcntl.flock(self._users, fcntl.LOCK_SH)

    def address(
        self, name: str, run: Callable[[Path], AbstractContextManager[str]]
    ) -> str:
        """Where it is. The first who asks starts it: `run`, with a folder for logs."""
        file = self._folder / f"{name}.address"
        with (self._folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not file.exists():
                logs = self._temporary.mktemp(name)
                file.write_text(self._started.enter_context(run(logs)))
        return file.read_text()

    @contextlib.contextmanager
    def emulator(self, emulator: emulators.Emulator) -> Iterator[str]:
        """Where an emulator is. Google's client finds it as well, until the end."""
        address = self.address(emulator.name, partial(running, emulator))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(emulator.variable, address)
            yield address

    def close(self) -> None:
        """Ends what this process has started, when the others have done with it."""
        fcntl.flock(self._users, fcntl.LOCK_UN)
        fcntl.flock(self._users, fcntl.LOCK_EX)
        self._started.close()
        self._users.close()


@contextlib.contextmanager
def a_nursery(logs: Path, env: Mapping[str, str] = os.environ) -> Iterator[Nursery]:
    """A nursery, for functions in whichever stacks."""
    with (
        Processes(Logs(logs)) as processes,
        contextlib.closing(Nursery(processes, env)) as nursery,
    ):
        yield nursery


@contextlib.contextmanager
def bigquery_emulator(logs: Path) -> Iterator[str]:
    """A BigQuery of one's own, in memory. Gives its address, http://127.0.0.1:PORT."""
    # DuckDB 1.5.5 is the last that this emulator starts with, and it won't start
    # without the spatial extension, which DuckDB would fetch from its own site.
    python = environment(
        "bqemulator",
        "bqemulator==1.4.0",
        "duckdb==1.5.5",
        "duckdb-extension-spatial==1.5.5",
        "numpy>=2",
    )
    home = python.parent.parent / "home"
    packages = python.parent.parent.glob("lib/*/site-packages/duckdb_extension_*")
    for extension in (one for each in packages for one in each.rglob("*.duckdb_ext*")):
        for platform in ("linux_amd64", "linux_arm64", "osx_amd64", "osx_arm64"):
            folder = home / ".duckdb/extensions" / extension.parent.name / platform
            folder.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                (folder / extension.name).symlink_to(extension)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [str(python.parent / "bqemulator"), "start", "--log-level", "error"]
    command += ["--rest-port", str(port), "--grpc-port", "0"]
    with Processes(Logs(logs)) as processes:
        env = {**os.environ, "HOME": str(home)}
        where = f"{url}/bigquery/v2/projects/p/datasets"
        processes.start("bigquery", command, env, where).wait_until_ready()
        yield url


def environment(name: str, *requirements: str) -> Path:
    """
    The Python of an environment with `requirements`, made once and then kept.

    For what can't be installed beside our own dependencies. Skips the test where it
    can't be made.
    """
    folder = CACHE / f"{name}-{_fingerprint(*requirements)}"
    python = folder / "bin" / "python"
    try:
        with _once(folder) as is_first:
            if is_first:
                uv = [sys.executable, "-m", "uv", "--quiet"]
                _install([*uv, "venv", "--clear", str(folder)])
                into = ["--python", str(python)]
                _install([*uv, "pip", "install", *into, *requirements])
    except NotInstalled as exc:
        unavailable(str(exc))
    return python


def node_folder(*packages: str) -> Path:
    """
    A folder with Node `packages` installed, made once and then kept. Skips the test
    where it can't be made.
    """
    try:
        return installed(*packages)
    except NotInstalled as exc:
        unavailable(str(exc))


def installed(*packages: str) -> Path:
    """
    The same, for what is no test.

    Raises:
        NotInstalled: it can't be made.
    """
    if not shutil.which("node") or not shutil.which("npm"):
        raise NotInstalled("needs node and npm on the PATH")
    folder = CACHE / f"node-{_fingerprint(*packages)}"
    with _once(folder) as is_first:
        if is_first:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "package.json").write_text('{"private": true}')
            quiet = ["--no-audit", "--no-fund", "--ignore-scripts"]
            _install(["npm", "install", "--prefix", str(folder), *quiet, *packages])
    return folder


@contextlib.contextmanager
def _once(folder: Path) -> Iterator[bool]:
    """
    Yields whether the folder is still to be filled, and takes it for filled when that
    went well. Other processes that want the same wait.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    done = folder / "done"
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        is_first = not done.exists()
        yield is_first
        if is_first:
            done.touch()


def _install(argv: list[str]) -> None:
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=110)
    if ran.returncode:
        raise NotInstalled(f"{' '.join(argv[:4])} ... failed: {ran.stderr[-500:]}")


def _fingerprint(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:10]
