"""A Cloud Storage that serves objects as Google documents it, where fake-gcs-server
differs: with `Content-Encoding: gzip`, ranges, and what may go wrong on the way."""

import gzip
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import (
    SplitResult,
    parse_qs,
    quote,
    unquote,
    unquote_to_bytes,
    urlsplit,
)

import httpx

_OBJECT = re.compile(r".*/b/[^/]+/o/([^/]+)")
_BUCKET = re.compile(r".*/b/([^/]+)/o(?:/|$)")
_MEDIA = re.compile(r"(?:/download)?/storage/v1/b/([^/]+)/o/([^/]+)")
_COMPOSE = re.compile(r"((.*/b/[^/]+/o)/[^/]+)/compose")
_REWRITE = re.compile(r"(.*)/b/[^/]+/o/[^/]+/rewriteTo(/b/[^/]+/o/[^/]+)")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
#: What an account hears that may create objects and not replace them.
NO_DELETE = (
    b"collect@p.iam.gserviceaccount.com does not have storage.objects.delete access to "
    b"the Google Cloud Storage object."
)
#: Of a request or an answer, and not of what it is about.
_HOP = frozenset({"connection", "content-length", "host", "transfer-encoding"})


@dataclass
class CloudStorage:
    """
    Serves the bytes of objects itself; all else is fake-gcs-server's, which holds them.

        asked with Accept-Encoding: gzip      the stored bytes, with Content-Encoding
        asked without it                      unpacked, whole, whatever range was asked
        a range                               counts stored bytes; 416 behind the end
        a name of more than 1,024 bytes       400

    As https://cloud.google.com/storage/docs/transcoding and
    https://cloud.google.com/storage/docs/xml-api/reference-headers say.

    Attributes:
        holds_back: so many bytes are missing at the end of each range, whose headers
            look as if that were all.
        breaks: so many answers end in their middle, each with a broken connection.
        loses: so many uploads are done, and their answers break off.
        meanwhile: is called, once, before the second range of an object is served.
        refuses: of each of these buckets, the methods that are answered with 403.
        may_delete: if not, an upload, a compose or a copy to the name of an object is
            answered with 403, before its precondition is looked at.
        before_new: is called, once, before a compose or a copy.
        reads: of each object how many of its bytes were served.
        uploads: the kinds of the uploads that were begun, in order.
    """

    upstream: str
    url: str = ""
    holds_back: int = 0
    breaks: int = 0
    loses: int = 0
    meanwhile: Callable[[], object] | None = None
    refuses: dict[str, set[str]] = field(default_factory=dict)
    may_delete: bool = True
    before_new: Callable[[], object] | None = None
    reads: Counter[str] = field(default_factory=Counter)
    uploads: list[str] = field(default_factory=list)
    _http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=60))

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("content-length", 0))
        body = handler.rfile.read(length)
        parts = urlsplit(handler.path)
        named = _OBJECT.fullmatch(parts.path)
        if named and len(unquote_to_bytes(named[1])) > 1024:
            _answer(handler, 400, {}, b"The specified object name is not valid.")
            return
        bucket = _BUCKET.match(parts.path)
        if bucket and handler.command in self.refuses.get(bucket[1], ()):
            _answer(handler, 403, {}, b"The caller has no access to the bucket.")
            return
        if handler.command == "POST" and self._is_taken(parts, body):
            if self.may_delete:
                _answer(handler, 412, {}, b"At least one of the pre-conditions failed.")
            else:
                _answer(handler, 403, {}, NO_DELETE)
            return
        if (composed := _COMPOSE.fullmatch(parts.path)) and self._lacks(composed, body):
            _answer(handler, 404, {}, b"One of the source objects does not exist.")
            return
        media = _MEDIA.fullmatch(parts.path)
        if handler.command == "GET" and media and "alt=media" in parts.query:
            self._media(handler, media)
            return
        if handler.command == "POST" and parts.path.startswith("/upload/"):
            self.uploads += parse_qs(parts.query)["uploadType"]
        answer = self._ask(handler.command, handler.path, handler, body)
        headers = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP}
        if self.loses and parts.path.startswith("/upload/"):
            self.loses -= 1
            _answer(handler, answer.status_code, headers, answer.content, sent=0)
            return
        _answer(handler, answer.status_code, headers, answer.content)

    def _is_taken(self, asked: SplitResult, body: bytes) -> bool:
        """
        Whether a request may only make a new object, and there is one of this name. The
        server that holds the objects lets it be replaced.
        """
        path = self._target(asked, body)
        if not path or parse_qs(asked.query).get("ifGenerationMatch") != ["0"]:
            return False
        found = self._http.get(f"{self.upstream}{path}")
        return found.status_code == 200

    def _target(self, asked: SplitResult, body: bytes) -> str:
        """The object that a POST makes; empty if it makes none at once."""
        query = parse_qs(asked.query)
        if query.get("uploadType") == ["resumable"] and "upload_id" not in query:
            name = quote(json.loads(body)["name"], safe="")
            return f"{asked.path.removeprefix('/upload')}/{name}"
        composed, copied = (
            _COMPOSE.fullmatch(asked.path),
            _REWRITE.fullmatch(asked.path),
        )
        if (composed or copied) and self.before_new is not None:
            happens, self.before_new = self.before_new, None
            happens()
        if composed:
            return composed[1]
        return f"{copied[1]}{copied[2]}" if copied else ""

    def _lacks(self, composed: re.Match[str], body: bytes) -> bool:
        """Whether a source of a compose is gone, or another generation of it."""
        for source in json.loads(body)["sourceObjects"]:
            path = f"{composed[2]}/{quote(source['name'], safe='')}"
            found = self._http.get(f"{self.upstream}{path}")
            if found.status_code != 200:
                return True
            if found.json()["generation"] != str(source["generation"]):
                return True
        return False

    def _ask(
        self, method: str, path: str, handler: BaseHTTPRequestHandler, body: bytes
    ) -> httpx.Response:
        headers = {k: v for k, v in handler.headers.items() if k.lower() not in _HOP}
        # What is held is asked for as it is.
        headers |= {"accept-encoding": "identity"}
        headers.pop("Range", None)
        url = f"{self.upstream}{path}"
        return self._http.request(method, url, headers=headers, content=body)

    def _media(self, handler: BaseHTTPRequestHandler, found: re.Match[str]) -> None:
        query = urlsplit(handler.path).query
        asked = _RANGE.fullmatch(handler.headers.get("Range", ""))
        if self.meanwhile is not None and asked and int(asked[1]):
            happens, self.meanwhile = self.meanwhile, None
            happens()
        path = f"{found[0].removeprefix('/download')}?{query}"
        about = self._ask("GET", path.replace("alt=media", "alt=json"), handler, b"")
        if about.status_code != 200:
            _answer(handler, about.status_code, {}, about.content)
            return
        encoding = about.json().get("contentEncoding", "")
        with self._http.stream(
            "GET", f"{self.upstream}{handler.path}", headers={"accept-encoding": "gzip"}
        ) as answer:
            stored = b"".join(answer.iter_raw())
        headers = {
            "X-Goog-Generation": about.json()["generation"],
            "X-Goog-Stored-Content-Encoding": encoding or "identity",
            "X-Goog-Stored-Content-Length": str(len(stored)),
        }
        if encoding == "gzip" and "gzip" not in handler.headers["Accept-Encoding"]:
            # Its length is not known beforehand.
            headers["Transfer-Encoding"] = "chunked"
            _answer(handler, 200, headers, gzip.decompress(stored))
            return
        if encoding:
            headers["Content-Encoding"] = encoding
        if asked is None:
            _answer(handler, 200, headers, stored)
            return
        start = int(asked[1])
        if start >= len(stored):
            headers["Content-Range"] = f"bytes */{len(stored)}"
            _answer(handler, 416, headers, b"")
            return
        end = min(int(asked[2] or len(stored)) + 1, len(stored))
        part = stored[start : max(start, end - self.holds_back)]
        last = start + len(part) - 1
        self.reads[unquote(found[2])] += len(part)
        headers["Content-Range"] = f"bytes {start}-{last}/{len(stored)}"
        if self.breaks:
            self.breaks -= 1
            _answer(handler, 206, headers, part, sent=len(part) // 2)
        else:
            _answer(handler, 206, headers, part)


def _answer(
    handler: BaseHTTPRequestHandler,
    status: int,
    headers: dict[str, str],
    body: bytes,
    sent: int | None = None,
) -> None:
    handler.send_response(status)
    for name, text in headers.items():
        handler.send_header(name, text)
    if "Transfer-Encoding" in headers:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    else:
        handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[:sent])
    if sent is not None:
        handler.wfile.flush()
        handler.connection.shutdown(2)
        handler.close_connection = True


@contextmanager
def cloud_storage(upstream: str) -> Iterator[CloudStorage]:
    """One on loopback, before a fake-gcs-server."""
    storage = CloudStorage(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _any(self) -> None:
            storage.serve(self)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _any

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    storage.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield storage
    finally:
        server.shutdown()
        server.server_close()
        storage._http.close()
