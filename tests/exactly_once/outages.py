"""A way to a server that can be cut, or on which words come late or never."""

import contextlib
import socket
import threading
from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import Self


class State(Enum):
    """What the way does at the moment."""

    OPEN = "open"  #: passes everything on
    CUT = "cut"  #: hangs up on those who are connected, and on whoever connects
    MUTE = "mute"  #: takes requests through, and throws the answers away
    LOST = "lost"  #: throws away requests and answers
    SLOW = "slow"  #: keeps what it is given, and passes it on when it is open again


class Line:
    """
    Connects to `target` (HOST:PORT) whoever connects to `address`.

        with Line("127.0.0.1:8085") as way:
            env["PUBSUB_EMULATOR_HOST"] = way.address
            way.become(State.MUTE)

    Connections on which something was thrown away are hung up on in the end: nobody
    could go on after having lost a part of an answer.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = host, int(port)
        self._state = State.OPEN
        self._changed = threading.Condition()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._broken: set[tuple[socket.socket, socket.socket]] = set()
        self._threads: list[threading.Thread] = []

    def become(self, state: State) -> None:
        """Do this from now on."""
        with self._changed:
            self._state = state
            lost = self._pairs if state is State.CUT else self._broken
            for pair in list(lost):
                self._hang_up(pair)
            self._changed.notify_all()

    def __enter__(self) -> Self:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # A plain close would leave `accept` waiting.
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.become(State.CUT)
        for thread in self._threads:
            thread.join()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, name="line")
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            far = socket.create_connection(self._target)
            pair = near, far
            for end in pair:
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._changed:
                self._pairs.add(pair)
                if self._state is State.CUT:
                    self._hang_up(pair)
                    continue
            self._start(self._pass, pair, near, far)
            self._start(self._pass, pair, far, near)

    def _pass(
        self,
        pair: tuple[socket.socket, socket.socket],
        source: socket.socket,
        sink: socket.socket,
    ) -> None:
        is_answer = source is pair[1]
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                with self._changed:
                    self._changed.wait_for(lambda: self._state is not State.SLOW)
                    if self._state is State.LOST or (
                        is_answer and self._state is State.MUTE
                    ):
                        self._broken.add(pair)
                        continue
                sink.sendall(data)
        with self._changed:
            self._hang_up(pair)

    def _hang_up(self, pair: tuple[socket.socket, socket.socket]) -> None:
        self._pairs.discard(pair)
        self._broken.discard(pair)
        for end in pair:
            # It wakes whoever waits for something to come, as closing doesn't.
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
