"""
The Developer API's File API: resumable upload, look-up, download.

An upload gets an address of its own, and its bytes go there in chunks of 8 MiB. After
a chunk without a clear answer, the client asks how many bytes arrived. The address is
a capability: no key is sent to it, and no log line shows it.
"""

import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import IO, Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec
from msgspec import Raw, Struct

from batchdrop.batches.call import Call, Flow, Pause, ask, work
from batchdrop.batches.developer import Developer
from batchdrop.batches.errors import (
    ServerError,
    TransportError,
    UnclearAnswer,
    envelope,
)
from batchdrop.batches.pager import Page
from batchdrop.batches.types import HttpOptions, HttpRetryOptions, Int64, JobError, Time
from batchdrop.batches.vertex import read_nothing
from batchdrop.batches.wire import page_of, read, read_object, unclear

CHUNK = 8 * 1024 * 1024
JSONL = "application/jsonl"

_NAME = re.compile(r"(?:files/)?([a-z0-9-]+)")
_FILE_URI = re.compile(r"https://[^?#]*?/files/([a-z0-9-]+)")
_ANEW = "upload it anew"
_NOT_LOST = "the file is still at the API"
#: Bytes; a longer download is a file, not an error of the API's.
_LARGEST_ERROR = 64 * 1024


class File(Struct, frozen=True, kw_only=True, rename="camel"):
    """
    A file of the File API, kept for 48 hours. Only GENERATED ones can be downloaded.

    In answers seen live, `sha256_hash` is base64 of the hex digest's text.
    """

    name: str = ""  #: files/..
    display_name: str | None = None
    mime_type: str | None = None
    size_bytes: Int64 | None = None
    create_time: Time | None = None
    update_time: Time | None = None
    expiration_time: Time | None = None
    sha256_hash: str | None = None
    uri: str | None = None
    download_uri: str | None = None
    state: str | None = None  #: PROCESSING, ACTIVE or FAILED
    source: str | None = None  #: UPLOADED, GENERATED or REGISTERED
    error: JobError | None = None


class UploadFileConfig(Struct, frozen=True, kw_only=True):
    """The options of an upload."""

    mime_type: str | None = None  #: guessed from the file's name
    display_name: str | None = None  #: at most 512 characters
    name: str | None = None  #: files/ and at most 40 of a-z, 0-9, "-"
    http_options: HttpOptions | None = None  #: how to send this upload's requests


class ListFilesConfig(Struct, frozen=True, kw_only=True):
    """The options of `list`."""

    page_size: int | None = None  #: default 10, at most 100
    page_token: str | None = None
    http_options: HttpOptions | None = None


class RegisterFilesResponse(Struct, frozen=True, kw_only=True):
    """The files that `register_files` made, in the order of the addresses."""

    files: tuple[File, ...] = ()


class _Page(Struct, rename="camel"):
    files: list[Raw] | None = None
    next_page_token: str | None = None
    error: Any = None  #: pages have no such member: the answer is an error


_file_decoder = msgspec.json.Decoder(File, strict=False)
_page_decoder = msgspec.json.Decoder(_Page, strict=False)


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of an upload: "active" or "final", bytes received, the file if made."""

    status: str
    received: int | None
    file: File | None


@dataclass(frozen=True, slots=True)
class FileApi:
    """The calls of the File API, as values."""

    dialect: Developer

    def start(
        self,
        size: int,
        about: Mapping[str, Any],
        options: HttpOptions | None = None,
        path: str | None = None,
    ) -> Call[str]:
        """
        Begins an upload; the answer is its address.

        Args:
            size: bytes to come.
            about: `mime_type`, and maybe `display_name` or `name`.
            path: of the file; its last part is sent to the API.
        """
        base = (options and options.base_url) or self.dialect.base_url
        file_name = PurePath(path or "").name

        def address(body: bytes, headers: Mapping[str, str]) -> str:
            url = headers.get("x-goog-upload-url")
            if not url:
                raise unclear(body, "has no address for the upload")
            return _moved(url, base) if base else url

        return Call(
            "POST",
            f"{self.dialect.root(options)}/upload/{self.dialect.version(options)}files",
            _unread,
            body={"file": {**about, "size_bytes": size}},
            options=options,
            headers={
                # A header can hold ASCII alone.
                **(
                    {"x-goog-upload-file-name": file_name}
                    if file_name and file_name.isascii() and file_name.isprintable()
                    else {}
                ),
                "x-goog-upload-protocol": "resumable",
                "x-goog-upload-command": "start",
                "x-goog-upload-header-content-length": str(size),
                "x-goog-upload-header-content-type": about["mime_type"],
            },
            read_whole=address,
        )

    def chunk(
        self,
        url: str,
        offset: int,
        content: bytes,
        last: bool,
        options: HttpOptions | None = None,
    ) -> Call[Progress]:
        """Sends some bytes of an upload."""
        return Call(
            "POST",
            url,
            _unread,
            content=content,
            options=options,
            repeatable=False,  # the API counts; ask it before sending again
            headers={
                "x-goog-upload-command": "upload, finalize" if last else "upload",
                "x-goog-upload-offset": str(offset),
            },
            signed=False,
            read_whole=_read_progress,
        )

    def query(self, url: str, options: HttpOptions | None = None) -> Call[Progress]:
        """Asks how many bytes of an upload arrived."""
        return Call(
            "POST",
            url,
            _unread,
            options=options,
            headers={"x-goog-upload-command": "query"},
            signed=False,
            read_whole=_read_progress,
        )

    def get(self, name: str, options: HttpOptions | None = None) -> Call[File]:
        """A file's description."""
        return Call("GET", self._url(name, options), read_file, options=options)

    def delete(self, name: str, options: HttpOptions | None = None) -> Call[None]:
        """Removes a file."""
        return Call("DELETE", self._url(name, options), read_nothing, options=options)

    def list(self, config: ListFilesConfig) -> Call[Page[File]]:
        """One page of files, and the token of the next."""
        query = {"pageSize": config.page_size, "pageToken": config.page_token}
        given = urlencode({k: v for k, v in query.items() if v is not None})
        url = self.dialect.url("files", config.http_options)
        return Call(
            "GET",
            f"{url}?{given}" if given else url,
            _read_page,
            options=config.http_options,
        )

    def download(self, name: str, options: HttpOptions | None = None) -> Call[bytes]:
        """The bytes of a generated file."""
        url = f"{self._url(name, options)}:download?alt=media"
        return Call(
            "GET", url, lambda body: b"".join(checked((body,))), options=options
        )

    def register(
        self,
        uris: Sequence[str],
        signed: Mapping[str, str],
        options: HttpOptions | None = None,
    ) -> Call[RegisterFilesResponse]:
        """
        Registers objects of Cloud Storage as files; they stay where they are.

        Args:
            signed: headers that authorize reading the objects.
        """
        return Call(
            "POST",
            self.dialect.url("files:register", options),
            _read_registered,
            body={"uris": list(uris)},
            repeatable=False,
            options=options,
            headers=signed,
        )

    def _url(self, name: str, options: HttpOptions | None) -> str:
        file = _NAME.fullmatch(name) or _FILE_URI.match(name)
        if not file:
            raise ValueError(f"Invalid file name: {name!r}; write files/ID")
        return self.dialect.url(f"files/{file[1]}", options)


def upload(
    api: FileApi,
    pieces: Iterable[bytes],
    size: int,
    about: Mapping[str, Any],
    retry: HttpRetryOptions | None = None,
    *,
    options: HttpOptions | None = None,
    path: str | None = None,
) -> Flow[File]:
    """
    Uploads a stream of known size in constant memory.

    Args:
        path: of the file; its last part is sent to the API.
        retry: attempts a chunk, and the waits between them.

    Raises:
        ValueError: there were more or fewer bytes than `size`.
        TransportError: the upload was not confirmed.
    """
    if options and options.retry_options:
        retry = options.retry_options
    url = yield from ask(api.start(size, about, options, path))
    chunks = _chunks(pieces)
    offset = 0
    while True:
        chunk = yield from work(lambda: next(chunks, b""))
        end = offset + len(chunk)
        if end > size or (not chunk and end < size):
            raise ValueError(f"the source has {end} bytes where {size} were announced")
        file = yield from _sent(
            api, url, offset, chunk, end == size, retry or HttpRetryOptions(), options
        )
        if file is not None:
            return file
        offset = end


def _sent(
    api: FileApi,
    url: str,
    offset: int,
    chunk: bytes,
    last: bool,
    retry: HttpRetryOptions,
    options: HttpOptions | None,
) -> Flow[File | None]:
    """Sends a chunk until the API has all of it; returns the file after the last."""
    attempts = max(1, retry.attempts)
    for attempt in range(1, attempts + 1):
        try:
            progress = yield from ask(api.chunk(url, offset, chunk, last, options))
        except (TransportError, ServerError):
            if attempt == attempts:
                raise
            growing = retry.initial_delay * retry.exp_base ** (attempt - 1)
            yield Pause(min(growing, retry.max_delay))
            progress = yield from ask(api.query(url, options))
            if progress.status == "active" and progress.received is not None:
                # Don't send what has arrived, which may be all of the chunk.
                chunk = chunk[max(0, progress.received - offset) :]
                offset = max(offset, progress.received)
                if chunk or last:
                    continue
        if progress.status == "final" and last and progress.file is not None:
            return progress.file
        if progress.status == "active" and not last:
            return None
        break
    raise TransportError(
        f"the upload is {progress.status!r} after byte {offset + len(chunk)}; {_ANEW}",
        sent=True,
        method="POST",
        url=url.partition("?")[0],
    )


def _chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of exactly CHUNK, but for the last."""
    held = bytearray()
    for piece in pieces:
        held += piece
        while len(held) >= CHUNK:
            yield bytes(held[:CHUNK])
            del held[:CHUNK]
    if held:
        yield bytes(held)


def _read_progress(body: bytes, headers: Mapping[str, str]) -> Progress:
    status = headers.get("x-goog-upload-status", "")
    if not status:
        raise unclear(body, "does not say how far the upload is", _ANEW)
    received = headers.get("x-goog-upload-size-received")
    return Progress(
        status=status,
        received=int(received) if received and received.isdigit() else None,
        file=read_made(body) if status == "final" and body else None,
    )


def checked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """
    The bytes of a download, unchanged.

    Raises:
        UnclearAnswer: under a success status, the body is an error of the API's or a
            page of HTML, and not the file.
    """
    pieces = iter(pieces)
    head = b""
    for piece in pieces:
        head += piece
        if len(head) > _LARGEST_ERROR:
            break
    else:
        if _is_an_error(head):
            raise unclear(head, then=_NOT_LOST)
    if head.lstrip()[:1] == b"<":
        raise unclear(head, "is no file of answers", _NOT_LOST)
    yield head
    yield from pieces


def _is_an_error(body: bytes) -> bool:
    """
    True for an error of the API's. The answer to a row that failed is no such error: it
    has a key beside its error, or a code of gRPC's, which is below 17.
    """
    try:
        alone = read_object(body).keys() == {"error"}
    except UnclearAnswer:
        alone = body.lstrip()[:1] == b"["  # some front ends wrap it in a list
    code = envelope(body).get("code")
    return alone and isinstance(code, int) and code >= 400


def read_file(body: bytes) -> File:
    """A file from its JSON object; UnclearAnswer without a name."""
    file = read(_file_decoder, body)
    if not file.name:
        raise unclear(body, "is no file")
    return file


def read_made(body: bytes) -> File:
    """The file in the answer to an upload; UnclearAnswer if there is none."""
    file = read_object(body).get("file")
    if not isinstance(file, dict) or not file.get("name"):
        raise unclear(body, "has no file", _ANEW)
    return read_file(msgspec.json.encode(file))


def _read_page(body: bytes) -> Page[File]:
    return page_of(_page_decoder, body, lambda page: page.files, read_file)


def _unread(body: bytes) -> Any:
    raise AssertionError("read_whole reads this answer")


def _read_registered(body: bytes) -> RegisterFilesResponse:
    files, _ = _read_page(body)
    return RegisterFilesResponse(files=tuple(files))


def _moved(url: str, base: str) -> str:
    """The address, at the host of `base`."""
    to = urlsplit(base)
    return urlunsplit(urlsplit(url)._replace(scheme=to.scheme, netloc=to.netloc))


def local(
    file: str | os.PathLike[str] | IO[bytes],
    *,
    mime_type: str | None = None,
    display_name: str | None = None,
    name: str | None = None,
) -> tuple[Iterator[bytes], int, dict[str, Any]]:
    """
    The arguments of `upload` for a local file, or for an open binary stream that can
    seek: pieces, size, and what describes it.
    """
    import mimetypes

    path = None if hasattr(file, "read") else os.fspath(file)
    guessed = mimetypes.guess_type(path)[0] if path else None
    if path and PurePath(path).suffix == ".jsonl":
        guessed = JSONL
    about: dict[str, Any] = {}
    if name is not None:
        about["name"] = name if name.startswith("files/") else f"files/{name}"
    if display_name is not None:
        about["display_name"] = display_name
    about["mime_type"] = mime_type or guessed or JSONL
    if path is not None:
        return _read_path(path), os.stat(path).st_size, about
    stream: IO[bytes] = file  # type: ignore[assignment]
    start = stream.tell()
    size = stream.seek(0, io.SEEK_END) - start
    stream.seek(start)
    return iter(lambda: stream.read(CHUNK), b""), size, about


def _read_path(path: str) -> Iterator[bytes]:
    with open(path, "rb") as stream:
        while piece := stream.read(CHUNK):
            yield piece
