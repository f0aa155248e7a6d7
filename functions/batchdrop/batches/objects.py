"""
Cloud Storage and BigQuery, through Google's own clients, which are imported at first
use. All methods block; the async face runs them in threads.
"""

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from batchdrop.batches.errors import (
    ClientError,
    MissingExtra,
    NotSignedIn,
    ServerError,
    TransportError,
)
from batchdrop.stored import ShortRead, Stored, is_unanswered, reason, split_uri

PIECE = 8 * 1024 * 1024  #: bytes sent at a time; a multiple of 256 KiB, as GCS wants

#: For reading a first line: bytes a read, and seconds a request.
PEEK_PIECE = 256 * 1024
PEEK_SECONDS = 10.0

_WILDCARDS = frozenset("*?[")
#: What a wildcard stands for; only ** goes into folders (Cloud Storage docs).
_WILD = re.compile(r"(\*\*)|(\*)|(\?)|\[(!?)([^]]+)\]|(.)", re.DOTALL)


class Found(NamedTuple):
    """One version of one object."""

    uri: str
    size: int
    generation: int


def _pattern(name: str) -> tuple[str, Callable[[str], Any]]:
    """The part of a name before its first wildcard, and a matcher for whole names."""

    def regex(match: re.Match[str]) -> str:
        every, some, _, negated, listed, plain = match.groups()
        if listed:
            letters = re.escape(listed).replace(r"\-", "-")
            return f"[{'^' if negated else ''}{letters}]"
        if plain:
            return re.escape(plain)
        return ".*" if every else "[^/]*" if some else "[^/]"

    fixed = name[: min(name.find(c) for c in _WILDCARDS if c in name)]
    return fixed, re.compile(_WILD.sub(regex, name), re.DOTALL).fullmatch


def below(directory: str, name: str) -> str:
    """gs://b/d and x -> gs://b/d/x, whether or not the directory ends with a slash."""
    return f"{directory.rstrip('/')}/{name}"


class Objects:
    """
    Reads and writes objects and tables as streams.

    Args:
        credentials: google-auth credentials; the application default ones if None.
        project: of the requests; None: Google's client finds one.
    """

    def __init__(self, credentials: Any = None, project: str | None = None) -> None:
        self._credentials = credentials
        self._project = project
        self._lock = threading.Lock()
        self._made: dict[str, Any] = {}

    def find(self, uri: str) -> list[Found]:
        """
        The objects at an address, which may have wildcards, by name.

        Raises:
            ClientError: 404 if there is none.
        """
        bucket, name = split_uri(uri)
        with _translated("GET", uri):
            if _WILDCARDS.isdisjoint(name):
                blob = self._storage().bucket(bucket).get_blob(name)
                blobs = [blob] if blob is not None else []
            else:
                fixed, fits = _pattern(name)
                listed = self._storage().list_blobs(bucket, prefix=fixed)
                meant = [b for b in listed if fits(b.name) or b.name == name]
                # [ and ? may also be letters of a name.
                blobs = [blob for blob in meant if fits(blob.name)] or meant
        if not blobs:
            raise ClientError(
                404, "NOT_FOUND", f"no object {uri}", method="GET", url=uri
            )
        return [_found(blob) for blob in sorted(blobs, key=lambda b: str(b.name))]

    def peek(self, uri: str) -> Iterator[bytes]:
        """
        The stored bytes of the first object at an address, in small pieces. Requests
        have a short timeout and are not repeated, as the caller can do without the
        bytes.
        """
        once: dict[str, Any] = {"timeout": PEEK_SECONDS, "retry": None}
        bucket, name = split_uri(uri)
        with _translated("GET", uri):
            blob = self._storage().bucket(bucket).blob(name)
            if not _WILDCARDS.isdisjoint(name):
                fixed, fits = _pattern(name)
                listed = self._storage().list_blobs(bucket, prefix=fixed, **once)
                blob = next((b for b in listed if fits(b.name) or b.name == name), None)
            if blob is None:
                return
            start = 0
            while True:
                end = start + PEEK_PIECE
                try:
                    piece = blob.download_as_bytes(
                        start=start, end=end - 1, raw_download=True, **once
                    )
                except Exception as exc:
                    if getattr(exc, "code", None) == 416:  # past the end
                        return
                    raise
                yield piece
                if len(piece) != PEEK_PIECE:
                    return  # the last one
                start = end

    def exists(self, uri: str) -> bool:
        """True if the object exists."""
        bucket, name = split_uri(uri)
        with _translated("GET", uri):
            return bool(self._storage().bucket(bucket).blob(name).exists())

    def list(self, directory: str) -> list[Found]:
        """The objects below a directory, by name; may be empty."""
        bucket, name = split_uri(directory)
        with _translated("GET", directory):
            blobs = self._storage().list_blobs(bucket, prefix=below(name, ""))
            return sorted(_found(blob) for blob in blobs)

    def read(self, found: Found) -> Iterator[bytes]:
        """
        The bytes of one version of an object, piece by piece; gzip is unpacked.

        Raises:
            ValueError: they can't be unpacked.
            TransportError: not all of them came.
        """
        # Preflight takes a tenth of a second to import.
        from batchdrop.errors import NotReadable
        from batchdrop.preflight.lines import gunzipped

        with _translated("GET", found.uri):
            try:
                yield from gunzipped(self._stored(found).chunks(), most=None)
            except NotReadable as exc:
                raise ValueError(f"{found.uri}: {exc}") from exc

    def size(self, found: Found) -> int:
        """
        How many bytes `read` yields. This reads a packed object whole; for any other it
        is the object's size.

        Raises:
            ValueError, TransportError: as `read`.
        """
        from batchdrop.preflight.lines import GZIP

        with _translated("GET", found.uri):
            packed = self._stored(found).read(len(GZIP)) == GZIP
        return sum(map(len, self.read(found))) if packed else found.size

    def _stored(self, found: Found) -> Stored:
        bucket, name = split_uri(found.uri)
        blob = self._storage().bucket(bucket).blob(name, generation=found.generation)
        return Stored(blob, found.size)

    def write(self, uri: str, pieces: Iterable[bytes]) -> None:
        """
        Creates an object, and never replaces one. If `pieces` raises, no object is
        made.

        Raises:
            ClientError: 412 if the object exists.
        """
        bucket, name = split_uri(uri)
        with _translated("POST", uri):
            blob = self._storage().bucket(bucket).blob(name)
            with blob.open(
                "wb",
                chunk_size=PIECE,
                content_type="application/jsonl",
                if_generation_match=0,
            ) as stream:
                for piece in pieces:
                    stream.write(piece)

    def rows(self, table: str) -> Iterator[Mapping[str, Any]]:
        """The rows of a table, `project.dataset.table`."""
        with _translated("GET", f"bq://{table}"):
            for row in self._bigquery().list_rows(table):
                yield dict(row)

    def close(self) -> None:
        """Closes the clients that were made."""
        with self._lock:
            for client in self._made.values():
                client.close()
            self._made.clear()

    def _storage(self) -> Any:
        return self._client("google.cloud.storage", "storage")

    def _bigquery(self) -> Any:
        return self._client("google.cloud.bigquery", "bigquery")

    def _client(self, module: str, extra: str) -> Any:
        with self._lock:
            if extra not in self._made:
                from importlib import import_module

                try:
                    library = import_module(module)
                except ImportError as exc:
                    raise MissingExtra(
                        f"this call needs {module}, which isn't installed: "
                        f"pip install 'batchdrop[{extra}]'"
                    ) from exc
                self._made[extra] = library.Client(
                    project=self._project, credentials=self._credentials
                )
            return self._made[extra]


def _found(blob: Any) -> Found:
    return Found(f"gs://{blob.bucket.name}/{blob.name}", blob.size, blob.generation)


@contextmanager
def _translated(method: str, uri: str) -> Iterator[None]:
    """Raises errors of Google's clients as ours, with the address."""
    try:
        yield
    except Exception as exc:
        made = _translation(exc, method, uri)
        if made is None:
            raise
        raise made from exc


def _translation(exc: Exception, method: str, uri: str) -> Exception | None:
    if isinstance(exc, ShortRead):
        return TransportError(str(exc), sent=True, method=method, url=uri)
    # Recognised by module: these libraries may not be imported yet.
    module = type(exc).__module__
    if module.startswith("google.") and isinstance(
        code := getattr(exc, "code", 0), int
    ):
        message = reason(exc) if hasattr(exc, "message") else str(exc)
        if 400 <= code < 500:
            return ClientError(code, "", message, method=method, url=uri)
        if code >= 500:
            return ServerError(code, "", message, method=method, url=uri)
    if module == "google.auth.exceptions":
        if is_unanswered(exc):
            return TransportError(
                f"no token for Google Cloud, nothing was sent: {exc}",
                sent=False,
                method=method,
                url=uri,
            )
        return NotSignedIn(
            f"no credentials for Google Cloud: {exc}",
            sent=False,
            method=method,
            url=uri,
        )
    if module.startswith(("google.", "requests.")):
        return TransportError(
            f"no answer: {type(exc).__name__}: {exc}", sent=True, method=method, url=uri
        )
    return None
