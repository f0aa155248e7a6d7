"""A server on loopback that records each request and sends prepared answers."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Request:
    """One request that arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None


@dataclass(frozen=True)
class Answer:
    """One answer to send."""

    status: int = 200
    #: bytes as they are, else as JSON; what has a name can be taken for any object
    body: Any = field(default_factory=lambda: {"name": "batches/made"})
    headers: Mapping[str, str] = field(default_factory=dict)


class Recorder:
    """
    Use as a context manager. `answers` are given in order, the last one forever;
    `requests` are those that arrived.
    """

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers) or [Answer()]
        self.requests: list[Request] = []
        self._lock = threading.Lock()
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _any(self) -> None:
                recorder._answer(self)

            do_GET = do_POST = do_DELETE = do_PATCH = do_PUT = _any

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, request: Request) -> Answer:
        """The answer to this request; called for one request at a time."""
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        request = Request(
            handler.command,
            parts.path,
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            {k.lower(): v for k, v in handler.headers.items()},
            body,
        )
        with self._lock:
            self.requests.append(request)
            answer = self.answer(request)
        content = answer.body
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
        handler.send_response(answer.status)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(content)))
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


FILE = {"name": "files/f", "uri": "https://h/v1/files/f"}


class FileKeeper(Recorder):
    """Answers every call with FILE, and with an address of its own for uploads."""

    def answer(self, request: Request) -> Answer:
        address = f"{self.url}/upload/v1/files?upload_id=1"
        headers = {"x-goog-upload-url": address, "x-goog-upload-status": "final"}
        return Answer(body={"file": FILE, "files": [FILE], **FILE}, headers=headers)
