"""Functions as Cloud Run keeps them: each in its own process, replaced when it dies."""

import contextlib
import secrets
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from batchdrop_local.nursery import Nursery
from batchdrop_local.processes import Process, Processes, StackError


class Function:
    """
    One function under the functions-framework, always at the same address.

    `pids` are those of the server and of its workers. When any of them dies there
    are soon others, and `replaced` is called; `log` takes a line about it.
    """

    def __init__(
        self,
        target: str,
        *,
        source: Path,
        port: int,
        env: Mapping[str, str],
        processes: Processes,
        nursery: Nursery,
        replaced: Callable[[], None],
        log: Callable[[str], None],
    ) -> None:
        self.target = target
        self.address = f"http://127.0.0.1:{port}"
        self.pids: list[int] = []
        self._env = env
        self._processes = processes
        self._nursery = nursery
        self._replaced = replaced
        self._log = log
        self._members: list[psutil.Process] = []
        self._stopping = threading.Event()
        self._arguments = [
            *("--target", target, "--source", str(source)),
            *("--host", "127.0.0.1", "--port", str(port)),
        ]
        self._process = self._start()
        self._thread = threading.Thread(target=self._keep, name=f"keeper of {target}")

    def wait_until_ready(self) -> None:
        """Return when it serves; from then on it is replaced when it dies."""
        self._process.wait_until_ready()
        self._look_again()
        self._thread.start()

    def leave(self) -> Process:
        """
        Kill its process, which this returns, and replace it no more. What it works on
        ends with the stack: to end by itself would take it seconds.
        """
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._process.signal(signal.SIGKILL)
        return self._process

    def _start(self) -> Process:
        self._started = time.monotonic()
        # Any other path would call a function that serves HTTP.
        url = f"{self.address}/robots.txt"
        return self._nursery.start(
            self._processes, self.target, self._arguments, self._env, url
        )

    def _keep(self) -> None:
        while not self._stopping.wait(0.1):
            if self._process.status is not None:
                self._replace()
            elif not all(member.is_running() for member in self._members):
                self._log(f"a worker of {self.target} died")
                self._look_again()
                self._replaced()

    def _replace(self) -> None:
        self._log(f"{self.target} ended with status {self._process.status}")
        # The workers of a server that was killed still hold its port.
        self._processes.stop(self._process)
        if time.monotonic() - self._started < 1:
            # It cannot run as it is. Look again once in a while, not all the time.
            self._stopping.wait(1)
        self._process = self._start()
        try:
            self._process.wait_until_ready()
        except StackError as exc:
            self._log(str(exc))
            return
        self._look_again()
        self._log(f"{self.target} is back as {self._process.pid}")
        self._replaced()

    def _look_again(self) -> None:
        """Find out who runs now, once each worker that died has a successor."""
        all_of_them = int(self._env.get("WORKERS", 1))
        while not self._stopping.is_set():
            with contextlib.suppress(psutil.NoSuchProcess):
                server = psutil.Process(self._process.pid)
                workers = server.children(recursive=True)
                if len(workers) >= all_of_them:
                    self._members = [server, *workers]
                    self.pids = [member.pid for member in self._members]
                    return
            if self._process.status is not None:
                return
            time.sleep(0.02)


def new_trace() -> dict[str, str]:
    """The header with which Cloud Run's front end begins a trace (W3C's)."""
    return {"traceparent": f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"}
