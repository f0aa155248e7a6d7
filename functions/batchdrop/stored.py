"""An object of Cloud Storage: its address, and its bytes as they are stored."""

import io
from collections.abc import Iterator
from typing import Any

#: Bytes asked for at a time.
CHUNK = 8 * 1024 * 1024


def split_uri(uri: str) -> tuple[str, str]:
    """
    gs://bucket/a/b -> ("bucket", "a/b"). The name may have any character, also line
    feeds, and is empty where the address has none.

    Raises:
        ValueError: it is no gs:// address.
    """
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    if not uri.startswith("gs://") or not bucket:
        raise ValueError(f"not a gs:// address: {uri!r}; write gs://bucket/name")
    return bucket, name


def is_unanswered(error: Any) -> bool:
    """
    Whether nobody answered who gives tokens, so that the same may work later; else the
    credentials are missing or refused.

    Args:
        error: a `google.auth.exceptions.GoogleAuthError`. A function's own credentials
            wrap what went wrong on the way (google/auth/compute_engine/credentials.py).
    """
    from google.auth.exceptions import TransportError

    on_the_way = isinstance(error, TransportError)
    return on_the_way or isinstance(error.__cause__, TransportError) or error.retryable


class ShortRead(Exception):
    """
    A range of an object came with fewer or more bytes than the object's size promises,
    or not at all. It says nothing about where the object ends: read it again later.
    """


class Stored(io.RawIOBase):
    """
    One version of an object, as a file that can be sought.

    The bytes are the stored ones, whatever `Content-Encoding` says: only those are
    counted by the object's size and by ranges. Cloud Storage would unpack an object
    with `Content-Encoding: gzip`, and ignore the range while it does
    (https://cloud.google.com/storage/docs/transcoding).

    Args:
        blob: a `google.cloud.storage.Blob` with its generation, so that all ranges are
            of the same version.
        size: its bytes, by its metadata.
        retry: a `google.api_core.retry.Retry` for each range; by default the library's.

    Raises:
        ShortRead: on reading, when what came is not what was asked for.
    """

    def __init__(self, blob: Any, size: int, retry: Any = None) -> None:
        self._blob = blob
        self._size = size
        self._more = {"retry": retry} if retry else {}
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

    def chunks(self) -> Iterator[bytes]:
        """All bytes from here to the end, a chunk at a time."""
        return iter(lambda: self.read(CHUNK), b"")

    def _range(self, start: int, end: int) -> bytes:
        from google.api_core.exceptions import RequestRangeNotSatisfiable
        from urllib3.exceptions import HTTPError

        try:
            # The library resumes a connection that breaks. A checksum is known of the
            # whole object alone.
            data: bytes = self._blob.download_as_bytes(
                start=start, end=end - 1, raw_download=True, checksum=None, **self._more
            )
        except (RequestRangeNotSatisfiable, HTTPError) as exc:
            raise ShortRead(f"no bytes from {start:,} on came: {exc}") from exc
        if len(data) != end - start:
            raise ShortRead(
                f"{len(data):,} bytes came for the {end - start:,} from {start:,} on, "
                f"of {self._size:,} in all"
            )
        return data
