"""Reads an object in Cloud Storage: its address, and its bytes as stored."""

import io
import json
import re
from collections.abc import Iterator
from typing import Any

#: Bytes that one request reads or writes.
CHUNK = 8 * 1024 * 1024


def split_uri(uri: str) -> tuple[str, str]:
    """
    Splits gs://bucket/a/b into ("bucket", "a/b"). The name may have any character, even
    line feeds, and is empty if the address has none.

    Raises:
        ValueError: this is not a gs:// address.
    """
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    if not uri.startswith("gs://") or not bucket:
        raise ValueError(f"not a gs:// address: {uri!r}; write gs://bucket/name")
    return bucket, name


def is_unanswered(error: Any) -> bool:
    """
    Returns True if the token server gave no answer: the same call may work later. If
    False, the credentials are missing or refused.

    Args:
        error: a `google.auth.exceptions.GoogleAuthError`. The credentials of a deployed
            function wrap the transport's error
            (google/auth/compute_engine/credentials.py).
    """
    from google.auth.exceptions import TransportError

    errors = (error, error.__cause__)
    return any(isinstance(e, TransportError) for e in errors) or error.retryable


#: What the library puts before an answer: the request, with its long address.
_REQUEST = re.compile(r"\A[A-Z]+ \S+: ")
_MESSAGE = re.compile(r'"message":\s*("(?:[^"\\]|\\.)*")')


def reason(error: Any) -> str:
    """
    Why Cloud Storage refuses, in its own words, such as "The specified bucket does not
    exist."

    Args:
        error: a `google.api_core.exceptions.GoogleAPICallError`.
    """
    said = _REQUEST.sub("", str(error.message))
    # An upload's answer is the JSON of an error, and more lines behind it.
    found = _MESSAGE.search(said)
    return str(json.loads(found[1], strict=False)) if found else said


class ShortRead(Exception):
    """
    A read returned fewer or more bytes than requested, or none. The object itself may
    be complete: read it again later.
    """


class Stored(io.RawIOBase):
    """
    One version of an object, as a seekable file.

    It reads the bytes as stored, whatever `Content-Encoding` says, because an object's
    size and ranges count stored bytes. Without this, Cloud Storage would unpack an
    object with `Content-Encoding: gzip`, and ignore the range
    (https://cloud.google.com/storage/docs/transcoding).

    Args:
        blob: a `google.cloud.storage.Blob` with its generation, so that all ranges come
            from one version.
        size: bytes, from the object's metadata.
        retry: a `google.api_core.retry.Retry` for each range; default: the library's.
        timeout: seconds for which each range waits for bytes; default: the library's.

    Raises:
        ShortRead: a read returned more or fewer bytes than requested.
    """

    def __init__(
        self, blob: Any, size: int, retry: Any = None, timeout: float | None = None
    ) -> None:
        self._blob = blob
        self._size = size
        given = {"retry": retry, "timeout": timeout}
        self._more = {name: value for name, value in given.items() if value}
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}
        self._at = min(self._size, max(0, start[whence] + offset))
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self._size if size < 0 else min(self._size, self._at + size)
        if end <= self._at:
            return b""
        data = self._range(self._at, end)
        self._at = end
        return data

    def chunks(
        self, start: int = 0, end: int | None = None, size: int | None = None
    ) -> Iterator[bytes]:
        """
        Yields the bytes of a range, some at a time.

        Args:
            end: the byte after the last one; None, or more than the object has, stands
                for the object's end.
            size: most bytes of a piece; None stands for CHUNK.
        """
        self.seek(start)
        size = size or CHUNK
        end = self._size if end is None else min(end, self._size)
        while self._at < end:
            yield self.read(min(size, end - self._at))

    def _range(self, start: int, end: int) -> bytes:
        from google.api_core.exceptions import RequestRangeNotSatisfiable
        from urllib3.exceptions import HTTPError

        try:
            # The library resumes a broken connection. Cloud Storage has a checksum of
            # the whole object only.
            data: bytes = self._blob.download_as_bytes(
                start=start, end=end - 1, raw_download=True, checksum=None, **self._more
            )
        except (RequestRangeNotSatisfiable, HTTPError) as exc:
            raise ShortRead(f"got no bytes from byte {start:,} on: {exc}") from exc
        if len(data) != end - start:
            raise ShortRead(
                f"got {len(data):,} bytes for the {end - start:,} from byte {start:,} "
                f"on, of {self._size:,} in all"
            )
        return data
