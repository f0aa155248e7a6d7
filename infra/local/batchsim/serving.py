"""A server whose connections can be broken on purpose."""

import asyncio
import contextlib
import logging
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

#: Where a request finds its connection: `scope["state"][TRANSPORT]`.
TRANSPORT = "batchsim.transport"


class _Protocol(H11Protocol):
    """uvicorn's own, and requests can get at their connection."""

    def connection_made(  # type: ignore[override]  # as uvicorn's own does
        self, transport: asyncio.Transport
    ) -> None:
        self.app_state = {**self.app_state, TRANSPORT: transport}
        super().connection_made(transport)


def hang_up(scope: Any, *, reset: bool = False) -> None:
    """End the request's connection without an answer; `reset` sends a TCP RST."""
    transport: asyncio.Transport = scope["state"][TRANSPORT]
    if reset:
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, linger
        )
    transport.abort()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Unless the protocol is named, asyncio leaves TCP_NODELAY off, and each answer on a
    # kept-alive connection is 44 ms late.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener


@contextlib.contextmanager
def serving(app: ASGIApp, listener: socket.socket) -> Iterator[None]:
    """Serve `app` on a thread until the block ends."""
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
            server_header=False,
            date_header=False,  # the app has one, of its own clock
        )
    )
    # uvicorn logs its start at INFO: noise in a test's output.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    loop = asyncio.new_event_loop()

    def serve() -> None:
        asyncio.set_event_loop(loop)
        with contextlib.closing(loop):
            loop.run_until_complete(server.serve(sockets=[listener]))

    thread = threading.Thread(target=serve, name="batchsim-server", daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("batchsim's server ended before it was ready")
            time.sleep(0.002)
        yield
    finally:
        server.should_exit = True
        if thread.is_alive():
            # A graceful end takes uvicorn 0.2 s, for which each test would wait.
            asyncio.run_coroutine_threadsafe(_close(server), loop).result(timeout=5)
        listener.close()


async def _close(server: uvicorn.Server) -> None:
    for one in server.servers:
        one.close()
    for connection in list(server.server_state.connections):
        connection.transport.abort()
