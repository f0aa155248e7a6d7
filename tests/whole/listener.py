"""A tiny HTTP server that keeps what it was sent, to stand for a function."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True)
class Request:
    """What a listener received in one call."""

    headers: dict[str, str]  #: names in lowercase
    body: bytes


@dataclass(slots=True)
class Listener:
    """`answer` says, for each request, with which status it is answered."""

    answer: Callable[[Request], int]
    url: str = ""
    requests: list[Request] = field(default_factory=list)


@contextmanager
def listening(answer: Callable[[Request], int], port: int = 0) -> Iterator[Listener]:
    """Serves on a free port, or the given one, until the block ends."""
    listener = Listener(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(headers, body)
            listener.requests.append(request)
            self.send_response(listener.answer(request))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        listener.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield listener
        finally:
            server.shutdown()
            thread.join()
