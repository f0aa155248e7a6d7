"""Processes of the stack: started together, logged by name, ended with the stack."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self

import httpx

from batchdrop_local import tether

#: Seconds that a process has to end by itself.
_GRACE = 5
#: Takes each line of every log as it is written: (name, line).
Show = Callable[[str, str], None]

# The shell passes its number to the tether before it becomes the program. It holds the
# pipe (as its standard input) until then, so the tether cannot see the pipe's end
# before it has read the number.
_ANNOUNCED = 'echo $$ >&0; exec "$@" </dev/null'


class StackError(Exception):
    """
    The stack could not do a step.

    `step` names what failed; `log` is the file to read, if there is one.
    """

    def __init__(self, step: str, reason: str, log: Path | None = None) -> None:
        text = f"{step}: {reason}"
        if log is not None:
            text += f"\n  log: {log}"
        super().__init__(text)
        self.step = step
        self.reason = reason
        self.log = log


class Logs:
    """One file for each part of the stack, and whoever looks on."""

    def __init__(self, directory: Path, show: Show | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        for old in directory.glob("*.log"):
            old.unlink()
        self._directory = directory
        self._show = show

    def path(self, name: str) -> Path:
        return self._directory / f"{name}.log"

    def add(self, name: str, line: str) -> None:
        with self.path(name).open("a", encoding="utf-8", errors="replace") as file:
            file.write(f"{line}\n")
        if self._show is not None:
            self._show(name, line)


class Child(Protocol):
    """What a `Process` needs of a `subprocess.Popen`."""

    pid: int

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...


class Process:
    """
    A running program, the leader of a process group of its own.

    `url` is answered, with whatever status, once it is ready.
    """

    def __init__(self, name: str, child: Child, url: str, log: Path) -> None:
        self.name = name
        self.log = log
        self.pid = child.pid
        self._child = child
        self._url = url

    @property
    def status(self) -> int | None:
        """The exit status (negative: the signal that ended it); None while it runs."""
        return self._child.poll()

    def signal(self, number: int) -> None:
        """Send a signal to the whole group."""
        # macOS answers EPERM for a group with nothing left but a zombie.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def wait(self, seconds: float) -> bool:
        """Wait until it ends; False if it still runs after the time."""
        try:
            self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def wait_until_ready(self, seconds: float = 60) -> None:
        """
        Return when it answers.

        Raises:
            StackError: it ended first, or did not answer within the time.
        """
        step = f"start {self.name}"
        deadline = time.monotonic() + seconds
        with httpx.Client(timeout=5, trust_env=False) as http:
            while True:
                if self.status is not None:
                    raise StackError(step, self.how_it_ended(), self.log)
                with contextlib.suppress(httpx.TransportError):
                    http.get(self._url)
                    return
                if time.monotonic() > deadline:
                    reason = f"no answer from {self._url} after {seconds:g} s"
                    raise StackError(step, reason, self.log)
                time.sleep(0.02)

    def how_it_ended(self) -> str:
        """Its exit status, and the last lines of its log."""
        lines = self.log.read_text(errors="replace").splitlines()[-8:]
        tail = "".join(f"\n  | {line}" for line in lines)
        return f"it ended with status {self.status}{tail}"


class Processes:
    """
    The processes of one stack. Leaving the context ends them all.

    A process is the leader of a group of its own: Ctrl-C on the terminal reaches the
    stack alone, which then ends the others in order, and what a process has forked
    ends with it. Should the stack be killed, its tether kills the groups.
    """

    def __init__(self, logs: Logs) -> None:
        self._logs = logs
        self._running: list[Process] = []
        self._readers: list[threading.Thread] = []

    def __enter__(self) -> Self:
        reading, self._pipe = os.pipe()
        self._tether = subprocess.Popen(
            [sys.executable, "-I", "-S", tether.__file__],
            stdin=reading,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(reading)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop(*self._running)
        for reader in self._readers:
            reader.join()
        os.close(self._pipe)
        self._tether.wait()

    def start(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str],
        url: str = "",
        fds: Collection[int] = (),
    ) -> Process:
        """Start a program that will answer at `url`; its output goes to `NAME.log`."""
        popen = subprocess.Popen(
            ["/bin/sh", "-c", _ANNOUNCED, name, *command],
            env=dict(env),
            stdin=self._pipe,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=fds,
        )
        assert popen.stdout is not None
        return self._add(name, popen, popen.stdout, url)

    def add(self, name: str, child: Child, output: IO[bytes], url: str) -> Process:
        """The same for a program that leads a group already, and waits to begin."""
        os.write(self._pipe, b"%d\n" % child.pid)
        return self._add(name, child, output, url)

    def stop(self, *processes: Process) -> None:
        """End processes together: asked to, and after a few seconds made to."""
        for process in processes:
            process.signal(signal.SIGTERM)
        deadline = time.monotonic() + _GRACE
        for process in processes:
            process.wait(max(0.0, deadline - time.monotonic()))
            # Also what a leader leaves behind: the workers of a server that was killed.
            process.signal(signal.SIGKILL)
            process.wait(_GRACE)
            os.write(self._pipe, b"-%d\n" % process.pid)
            self._running.remove(process)

    def _add(self, name: str, child: Child, output: IO[bytes], url: str) -> Process:
        self._logs.path(name).touch()
        process = Process(name, child, url, self._logs.path(name))
        self._running.append(process)
        reader = threading.Thread(
            target=self._read, args=(name, output), name=f"log of {name}"
        )
        reader.start()
        self._readers.append(reader)
        return process

    def _read(self, name: str, output: IO[bytes]) -> None:
        with output:
            for line in output:
                self._logs.add(name, line.decode(errors="replace").rstrip("\r\n"))


#: Ports that this process has given away: other stacks of it may not listen yet.
_GIVEN: set[int] = set()
_CHOOSING = threading.Lock()


def free_port(taken: Collection[int] = ()) -> int:
    """
    A free loopback port that is not among `taken`.

    It is below the ranges that systems give to outgoing connections (32768 up on Linux,
    49152 up on macOS), one of which could otherwise take it before its server has, or
    while its server is being replaced.
    """
    with _CHOOSING:
        for port in random.sample(range(20_000, 32_000), 100):
            if port not in taken and port not in _GIVEN and is_free(port):
                _GIVEN.add(port)
                return port
    raise StackError("find a free port", "100 ports between 20000 and 32000 are taken")


def is_free(port: int) -> bool:
    """True if no process listens on the loopback port."""
    with socket.socket() as probe:
        # As servers do: what an earlier one left behind is not in the way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
