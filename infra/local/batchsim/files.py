"""The Developer API's File API: uploads, metadata, list, download, expiry."""

import base64
import hashlib
import re
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any

from batchsim.clock import Clock
from batchsim.listing import page_size
from batchsim.messages import Reader
from batchsim.rows import scratch
from batchsim.settings import Settings
from batchsim.store import developer_id
from batchsim.wire import ApiError, invalid, timestamp

Json = dict[str, Any]

#: Longer names are refused, even those that the API itself gives to result files.
LONGEST_NAME = 40

#: The request that begins an upload (fileservice v1beta proto). Members that only the
#: server writes are accepted and ignored.
_MESSAGES: dict[str, dict[str, str]] = {
    "CreateFileRequest": {"file": "@File"},
    "File": {
        "name": "string",
        "displayName": "string",
        "mimeType": "string",
        "sizeBytes": "integer",
        "createTime": "any",
        "updateTime": "any",
        "expirationTime": "any",
        "sha256Hash": "any",
        "uri": "any",
        "downloadUri": "any",
        "state": "any",
        "source": "any",
        "error": "any",
        "videoMetadata": "any",
    },
}

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_CHUNK = 256 * 1024


@dataclass(slots=True, eq=False)
class File:
    """One file; `source` is UPLOADED or GENERATED (fileservice v1beta proto)."""

    id: str
    display_name: str
    mime_type: str
    source: str
    created: datetime
    expires: datetime | None
    content: IO[bytes]
    size: int
    sha256: str

    def json(self, base: str) -> Json:
        """The `File` resource; `base` is the API's address with the version."""
        value: Json = {
            "name": f"files/{self.id}",
            "mimeType": self.mime_type,
            "sizeBytes": str(self.size),
            "createTime": timestamp(self.created),
            "updateTime": timestamp(self.created),
            # Base64 of the digest's hexadecimal text, not of the digest (seen live).
            "sha256Hash": base64.b64encode(self.sha256.encode()).decode(),
            "uri": f"{base}/files/{self.id}",
            "state": "ACTIVE",
            "source": self.source,
        }
        if self.display_name:
            value["displayName"] = self.display_name
        if self.expires:
            value["expirationTime"] = timestamp(self.expires)
        if self.source == "GENERATED":
            value["downloadUri"] = f"{base}/files/{self.id}:download?alt=media"
        return value

    def chunks(self) -> Iterator[bytes]:
        """The bytes. Several threads may read at once."""
        at = 0
        while True:
            with _reading:
                self.content.seek(at)
                chunk = self.content.read(_CHUNK)
            if not chunk:
                return
            at += len(chunk)
            yield chunk

    def lines(self) -> Iterator[bytes]:
        """The lines, without their newlines."""
        rest = b""
        for chunk in self.chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
        if rest:
            yield rest


#: Held while a file is read: all its readers share one file position.
_reading = threading.Lock()


@dataclass(slots=True, eq=False)
class _Upload:
    """An unfinished upload."""

    meta: Json
    size: int | None
    content: IO[bytes] = field(default_factory=scratch)
    received: int = 0
    digest: Any = field(default_factory=hashlib.sha256)


@dataclass(slots=True)
class Files:
    """All files of the simulator. Each is deleted when the clock reaches its expiry."""

    clock: Clock
    settings: Settings
    _files: dict[str, File] = field(default_factory=dict)
    _uploads: dict[str, _Upload] = field(default_factory=dict)

    def begin(self, body: Json, headers: Mapping[str, str]) -> str:
        """Returns an upload's id. ApiError 400 for a bad name or too large a file."""
        reader = Reader(_MESSAGES, "google.ai.generativelanguage.v1beta")
        meta: Json = reader.read("CreateFileRequest", body).get("file") or {}
        reader.refuse()
        name = meta.get("name", "").removeprefix("files/")
        if name:
            _check_name(name)
            if self._alive(name):
                raise ApiError(409, f"File files/{name} already exists.")
        if len(meta.get("displayName", "")) > 512:
            raise invalid("file.display_name: at most 512 characters.")
        announced = headers.get("x-goog-upload-header-content-length")
        size = int(announced) if announced and announced.isdigit() else None
        self._check_size(size or 0)
        meta["mimeType"] = (
            headers.get("x-goog-upload-header-content-type")
            or meta.get("mimeType")
            or "application/octet-stream"
        )
        id = developer_id(48)
        self._uploads[id] = _Upload(meta, size)
        return id

    async def receive(
        self, id: str, command: str, offset: str | None, body: AsyncIterator[bytes]
    ) -> tuple[File | None, int]:
        """
        Receives a chunk. Returns the file, None until it is complete, and the number of
        bytes received so far.

        `command` is `upload`, `finalize`, both, `query` or `cancel`. ApiError 400 for
        an offset that doesn't continue the upload.
        """
        upload = self._uploads.get(id)
        if upload is None:
            raise ApiError(404, "Unknown upload, or one that has ended.")
        commands = {word.strip() for word in command.split(",")}
        if commands == {"query"}:
            return None, upload.received
        if commands == {"cancel"}:
            self._uploads.pop(id).content.close()
            return None, upload.received
        if not commands or not commands <= {"upload", "finalize"}:
            raise invalid(f"X-Goog-Upload-Command: {command!r} is unknown.")
        if "upload" in commands:
            if offset != str(upload.received):
                raise invalid(
                    f"X-Goog-Upload-Offset is {offset}; continue at "
                    f"{upload.received}, the number of bytes received."
                )
            async for chunk in body:
                upload.content.write(chunk)
                upload.digest.update(chunk)
                upload.received += len(chunk)
            self._check_size(upload.received)
        if "finalize" not in commands:
            return None, upload.received
        if upload.size is not None and upload.received != upload.size:
            raise invalid(
                f"The upload was announced with {upload.size} bytes; "
                f"{upload.received} were received."
            )
        del self._uploads[id]
        return self._uploaded(upload), upload.received

    async def store(
        self, body: Json, mime_type: str, content: AsyncIterator[bytes]
    ) -> File:
        """Stores a file that is sent in one request. ApiError as for `begin`."""
        id = self.begin(body, {"x-goog-upload-header-content-type": mime_type})
        file, _ = await self.receive(id, "upload, finalize", "0", content)
        assert file
        return file

    def generate(self, id: str, content: IO[bytes], display_name: str) -> File:
        """Stores a result file."""
        content.seek(0)
        digest = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
        now = self.clock.now()
        made = File(
            id=id,
            display_name=display_name,
            mime_type="application/jsonl",
            source="GENERATED",
            created=now,
            expires=None,
            content=content,
            size=content.seek(0, 2),
            sha256=digest,
        )
        self._files[id] = made
        return made

    def get(self, id: str) -> File:
        """ApiError 400 for a name over 40 characters, 403 for an unknown file."""
        _check_name(id)
        return self.find(id)

    def find(self, id: str) -> File:
        """As `get`, but finds result files by their long names too."""
        if file := self._alive(id):
            return file
        raise ApiError(
            403,
            f"You do not have permission to access the File {id} or it may not exist.",
        )

    def downloadable(self, id: str) -> File:
        """ApiError 400 for an uploaded file: only result files can be downloaded."""
        file = self.find(id)
        if file.source != "GENERATED":
            raise invalid(
                f"The file files/{id} was uploaded; only generated files can be "
                "downloaded."
            )
        return file

    def delete(self, id: str) -> None:
        """Deletes a file. ApiError as for `get`."""
        self.get(id)
        self._drop(id)

    def page(self, query: Mapping[str, str], base: str) -> Json:
        """A page of files, newest first: 10 by default, at most 100."""
        size = page_size(query.get("pageSize") or query.get("page_size"), 10, 100)
        token = query.get("pageToken") or query.get("page_token") or "0"
        if not token.isdigit():
            raise invalid("page_token: not a token of this list.")
        start = int(token)
        alive = [id for id in list(self._files) if self._alive(id)]
        chosen = alive[::-1][start : start + size]
        answer: Json = {}
        if chosen:
            answer["files"] = [self._files[id].json(base) for id in chosen]
        if start + size < len(alive):
            answer["nextPageToken"] = str(start + size)
        return answer

    def clear(self) -> None:
        """Deletes everything."""
        for id in list(self._files):
            self._drop(id)
        for upload in self._uploads.values():
            upload.content.close()
        self._uploads.clear()

    def _uploaded(self, upload: _Upload) -> File:
        name = upload.meta.get("name", "").removeprefix("files/")
        now = self.clock.now()
        file = File(
            id=name or developer_id(12),
            display_name=upload.meta.get("displayName", ""),
            mime_type=upload.meta["mimeType"],
            source="UPLOADED",
            created=now,
            expires=now + self.settings.limits.file_life,
            content=upload.content,
            size=upload.received,
            sha256=upload.digest.hexdigest(),
        )
        self._files[file.id] = file
        return file

    def _check_size(self, size: int) -> None:
        limits = self.settings.limits
        if size > limits.file_bytes:
            raise invalid(
                f"The file has {size} bytes; the limit is {limits.file_bytes}."
            )
        alive = (self._files[id] for id in list(self._files) if self._alive(id))
        stored = sum(file.size for file in alive)
        if stored + size > limits.storage_bytes:
            raise ApiError(
                429,
                f"{stored} bytes are stored and the file has {size}; the limit is "
                f"{limits.storage_bytes} in all. Delete files, or wait until they "
                "expire.",
            )

    def _alive(self, id: str) -> File | None:
        file = self._files.get(id)
        if file and file.expires and file.expires <= self.clock.now():
            self._drop(id)
            return None
        return file

    def _drop(self, id: str) -> None:
        if file := self._files.pop(id, None):
            with _reading:
                file.content.close()


def _check_name(id: str) -> None:
    if len(id) > LONGEST_NAME or not _NAME.fullmatch(id):
        raise invalid(
            f"file name: {id!r} must be at most {LONGEST_NAME} lower-case letters, "
            "digits and dashes, and neither start nor end with a dash."
        )
