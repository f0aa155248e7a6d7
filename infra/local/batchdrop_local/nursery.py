"""
A process that has imported what functions import, and forks their servers.

The imports take a second of CPU, for each server that starts and for each that follows
a dead one. A fork takes hundredths.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import IO, Any

from batchdrop_local.processes import Process, Processes

#: The name of its log.
NAME = "nursery"
#: Makes a nursery of `function.py`, for the requests that come through a socket.
OPTION = "--nursery"
#: Seconds after which a nursery that forks nothing is no help.
PATIENCE = 60
#: What macOS loads into a process does not survive a fork.
FORKS = sys.platform != "darwin"
_COMMAND = (sys.executable, "-m", "batchdrop_local.function")


class Nursery:
    """
    Starts servers in stacks: forked, or by a command where that can't be.

    A nursery that died is replaced when the next server is to start. Those that it has
    forked count as dead, too: nobody else learns how they end.

    Args:
        processes: what it is one of; its servers may be others's.
        env: what it imports with. Each server has an environment of its own.
    """

    def __init__(self, processes: Processes, env: Mapping[str, str]) -> None:
        self._processes = processes
        self._env = env
        self._lock = threading.Lock()
        if FORKS:
            self._begin()

    def start(
        self,
        processes: Processes,
        name: str,
        arguments: Sequence[str],
        env: Mapping[str, str],
        url: str,
    ) -> Process:
        """Start a server as one of `processes`, as their `start` does a command."""
        server = self._fork() if FORKS else None
        if server is None:
            # If there is something that can't be imported, its log shows that.
            return processes.start(name, [*_COMMAND, *arguments], env, url)
        process = processes.add(name, server, server.output, url)
        # Only now: a stack that is killed before leaves no server that has begun.
        server.begin(arguments, env)
        return process

    def close(self) -> None:
        """Have it end; its servers run on."""
        if FORKS:
            self._requests.close()

    def _begin(self) -> None:
        self._requests, theirs = socket.socketpair()
        with theirs:
            fd = theirs.fileno()
            command = [*_COMMAND, OPTION, str(fd)]
            self._process = self._processes.start(NAME, command, self._env, fds=[fd])

    def _fork(self) -> "_Server | None":
        """A process that waits to become a server; None if the nursery gives none."""
        with self._lock:
            if self._process.status is not None:
                self._requests.close()
                self._processes.stop(self._process)
                self._begin()
        with ExitStack() as undo, suppress(EOFError, OSError):
            ours, theirs = Pipe()
            reading, writing = os.pipe()
            output = undo.enter_context(open(reading, "rb"))
            with theirs, open(writing, "wb"):
                fds = [theirs.fileno(), writing]
                socket.send_fds(self._requests, [b"\n"], fds)
            if not ours.poll(PATIENCE):
                return None
            server = _Server(ours.recv(), ours, output)
            undo.pop_all()
            return server
        return None


class _Server:
    """A server that was forked; as much of a `Popen` as a `Process` needs."""

    def __init__(self, pid: int, line: Connection, output: IO[bytes]) -> None:
        self.pid = pid
        self.output = output
        self._line = line
        self._status: int | None = None
        self._lock = threading.Lock()

    def begin(self, arguments: Sequence[str], env: Mapping[str, str]) -> None:
        """Serve. If it has been killed, its status says so."""
        with suppress(OSError):
            self._line.send((arguments, dict(env)))

    def poll(self) -> int | None:
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        with self._lock:
            if self._status is None:
                if not self._line.poll(timeout):
                    raise subprocess.TimeoutExpired(NAME, timeout or 0)
                try:
                    self._status = int(self._line.recv())
                except (EOFError, OSError):  # the nursery died
                    self._status = -signal.SIGKILL
            return self._status


def forked(fd: int) -> list[str]:
    """
    Fork a process for each request that comes through the socket, and return in these
    alone, with the command line of each. The nursery itself ends with the stack.

    A request is two file descriptors: a line to the stack, and where output goes. The
    new process sends its number on the line, and gets its command line and environment.
    When it has ended, the nursery sends its exit status.
    """
    requests = socket.socket(fileno=fd)
    lines: dict[int, Connection] = {}

    def reap(*_: Any) -> None:
        with suppress(ChildProcessError):  # none is left
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                with lines.pop(ended[0]) as line, suppress(BrokenPipeError):
                    line.send(os.waitstatus_to_exitcode(ended[1]))

    signal.signal(signal.SIGCHLD, reap)
    while fds := socket.recv_fds(requests, 1, 2)[1]:
        line, output = Connection(fds[0]), fds[1]
        # It could end before `lines` has it.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        pid = os.fork()
        if pid == 0:
            break
        lines[pid] = line
        os.close(output)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    else:
        sys.exit()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    os.setsid()
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    # The nursery alone keeps these: when it dies, the stack sees the end of each line.
    requests.close()
    for other in lines.values():
        other.close()
    with line:
        line.send(os.getpid())
        arguments, env = line.recv()
    os.environ.clear()
    os.environ.update(env)
    return list(arguments)
