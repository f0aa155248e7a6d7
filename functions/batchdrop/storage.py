"""Cloud Storage, as far as the worker needs it: streams in, streams out, copies."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from batchdrop.errors import SourceGone, Unavailable
from batchdrop.jobs import Drop
from batchdrop.settings import Location

if TYPE_CHECKING:
    from google.cloud import storage

#: Bytes asked for, and sent, at a time. A multiple of 256 KiB, as uploads must be.
CHUNK = 8 * 1024 * 1024


class Storage:
    """Objects by address. Nothing here overwrites."""

    def __init__(self, connect: Callable[[], "storage.Client"]) -> None:
        """
        Args:
            connect: gives the client, made on first use.
        """
        self._connect = connect

    def read(self, drop: Drop) -> Iterator[bytes]:
        """
        The bytes of a dropped generation, a chunk at a time.

        Raises:
            SourceGone: that generation is not there any more.
            Unavailable: Cloud Storage gave no answer.
        """
        bucket = self._connect().bucket(drop.bucket)
        blob = bucket.blob(drop.name, generation=drop.generation)
        with (
            _translated(str(drop), gone=True),
            blob.open("rb", chunk_size=CHUNK) as stream,
        ):
            yield from iter(lambda: stream.read(CHUNK), b"")

    def write(self, uri: str, lines: Iterator[bytes]) -> None:
        """
        Writes an object that must not be there yet, streaming. When `lines` raises,
        no object is made. That it is there already is no error: a name under one
        epoch belongs to one worker, whose repeated upload met its own. `lines` is
        read to its end in any case.

        Raises:
            Unavailable: Cloud Storage gave no answer.
        """
        from google.api_core import exceptions

        with _translated(uri):
            try:
                with self._blob(uri).open(
                    "wb",
                    chunk_size=CHUNK,
                    content_type="application/jsonl",
                    if_generation_match=0,
                ) as stream:
                    for line in lines:
                        stream.write(line)
            except exceptions.PreconditionFailed:
                for _ in lines:
                    pass

    def copy(self, uri: str, target: str) -> None:
        """
        Copies an object to a name of this worker's own, within the service.

        Raises:
            SourceGone: there is nothing to copy.
            Unavailable: Cloud Storage gave no answer.
        """
        from google.api_core import exceptions

        source, blob = self._blob(uri), self._blob(target)
        with _translated(uri, gone=True):
            try:
                token, *_ = blob.rewrite(source, if_generation_match=0)
                while token is not None:
                    token, *_ = blob.rewrite(source, token=token, if_generation_match=0)
            except exceptions.PreconditionFailed:
                return

    def names(self, folder: Location) -> list[str]:
        """
        The addresses of all objects under a folder.

        Raises:
            Unavailable: Cloud Storage gave no answer.
        """
        with _translated(str(folder)):
            found = self._connect().list_blobs(folder.bucket, prefix=folder.prefix)
            return [f"gs://{folder.bucket}/{blob.name}" for blob in found]

    def delete(self, uri: str) -> None:
        """
        Deletes an object; that it is gone already is no error.

        Raises:
            Unavailable: Cloud Storage gave no answer.
        """
        from google.api_core import exceptions

        with _translated(uri), suppress(exceptions.NotFound):
            self._blob(uri).delete()

    def _blob(self, uri: str) -> "storage.Blob":
        from google.cloud.storage import Blob

        return Blob.from_uri(uri, client=self._connect())


@contextmanager
def _translated(what: str, *, gone: bool = False) -> Iterator[None]:
    """Cloud Storage's errors made ours, with the object's name in them."""
    from google.api_core import exceptions
    from google.auth.exceptions import TransportError
    from requests import RequestException

    try:
        yield
    except exceptions.NotFound as exc:
        if gone:
            raise SourceGone(f"{what} was overwritten or deleted") from exc
        raise Unavailable(f"{what}: {exc}") from exc
    except (
        exceptions.GoogleAPICallError,
        exceptions.RetryError,
        RequestException,
        TransportError,
    ) as exc:
        raise Unavailable(f"{what}: {exc}") from exc
