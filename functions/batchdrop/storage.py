"""Cloud Storage for the worker: streams in, streams out, copies."""

import base64
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import IO, TYPE_CHECKING, Any, cast

from batchdrop.errors import Misconfigured, NotReadable, SourceGone, Unavailable
from batchdrop.jobs.codes import ErrorCode
from batchdrop.jobs.values import MAX_OBJECT_NAME, Drop, Location
from batchdrop.preflight.lines import unpacked
from batchdrop.stored import (
    CHUNK,
    ShortRead,
    Stored,
    is_unanswered,
    reason,
    split_uri,
)

if TYPE_CHECKING:
    from google.cloud import storage

#: HTTP statuses after which a later call may succeed.
LATER = frozenset({408, 429, 500, 502, 503, 504})
#: Seconds for which a request is repeated while Cloud Storage gives no answer. Google's
#: default is 120, half of a tick's 240. The next tick tries again.
RETRY_FOR = 20.0
#: If Cloud Storage can't copy an object in one request, a copy takes several: at most
#: this many, and at most MAX_IDLE in a row that copy nothing. Each copies a MiB or more
#: (https://cloud.google.com/storage/docs/json_api/v1/objects/rewrite).
MAX_REWRITES = 2_500
MAX_IDLE = 3
#: Most objects that one request composes
#: (https://cloud.google.com/storage/docs/json_api/v1/objects/compose).
MAX_SOURCES = 32
#: How many objects are deleted at once: the library keeps ten connections open.
AT_ONCE = 8
#: Bytes that an upload gets at a time.
PIECE = 1024 * 1024


JSONL = "application/jsonl"
#: The key in an object's metadata by which an upload knows the object that it made.
_UPLOAD = "upload"


class Differs(Exception):
    """An object of this name exists, and has another content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """One version of an object, and its content's checksum."""

    uri: str
    generation: int
    crc32c: str  #: base64, as Cloud Storage writes it
    bytes: int


class Storage:
    """Reads and writes objects by address. No method overwrites an object."""

    def __init__(
        self, connect: Callable[[], "storage.Client"], patience: float | None = None
    ) -> None:
        """
        Args:
            connect: returns the client; called on first use.
            patience: how many seconds `find`, `present` and `ranges` wait for an
                answer. None: RETRY_FOR, and for a connection that says nothing as long
                as Google's library does, which is a minute.
        """
        self._connect = connect
        self._patience = patience

    def read(
        self,
        drop: Drop,
        start: int = 0,
        end: int | None = None,
        size: int | None = None,
    ) -> Iterator[bytes]:
        """
        Yields the stored bytes of one generation of an object, a chunk at a time. They
        are exactly as many as the range has, or the object. How many it has is asked
        for: `drop` may come from an event, which may be forged.

        Args:
            start: the first byte, counted from 0.
            end: the byte after the last one; None, or more than the object has, stands
                for the object's end.
            size: most bytes of a chunk, each of which is one request.

        Raises:
            SourceGone: that generation no longer exists.
            Unavailable: Cloud Storage gave no answer, or fewer bytes.
            Misconfigured: the bucket, or the right to it, is missing.
        """
        with _translated(str(drop), gone=True):
            yield from _stored(self._dropped(drop)).chunks(start, end, size)

    def chunks(
        self, uri: str, start: int = 0, end: int | None = None, size: int | None = None
    ) -> Iterator[bytes]:
        """
        Yields the stored bytes of an object that this deployment wrote, or of a range
        of it, as `read`.

        Raises:
            SourceGone: it is not there.
            Unavailable: Cloud Storage gave no answer, or fewer bytes than there are.
            Misconfigured: the bucket, or the right to it, is missing.
        """
        with _translated(uri, gone=True):
            yield from _stored(self._blob(uri)).chunks(start, end, size)

    def ranges(self, drop: Drop) -> Callable[[int, int], bytes]:
        """
        Returns what reads from one byte of a generation up to another one, in a request
        each. Nothing is asked before: its size is taken from `drop`.

        Raises:
            SourceGone: (when it reads) that generation no longer exists.
            Unavailable, Misconfigured: as `read`.
        """
        stored = Stored(self._dropped(drop), drop.size, **self._in_time)

        def read(start: int, end: int) -> bytes:
            with _translated(str(drop), gone=True):
                return b"".join(stored.chunks(start, end, end - start))

        return read

    def content(self, drop: Drop, most: int) -> bytes:
        """
        Returns the whole content of a small object, unpacked.

        Raises:
            NotReadable: it has more than `most` bytes, or can't be unpacked.
            SourceGone, Unavailable, Misconfigured: as `read`.
        """
        found = bytearray()
        try:
            for chunk in unpacked(self.read(drop), most):
                found += chunk
                if len(found) > most:
                    raise NotReadable(ErrorCode.OVER_LIMIT, f"more than {most:,} bytes")
        except NotReadable as exc:
            raise NotReadable(exc.code, f"{drop}: {exc}") from exc
        return bytes(found)

    def metadata(self, drop: Drop) -> dict[str, str]:
        """
        Returns the custom metadata of a dropped generation.

        Raises:
            SourceGone, Unavailable, Misconfigured: as `read`.
        """
        with _translated(str(drop), gone=True):
            blob = self._dropped(drop)
            blob.reload(retry=_again())
            return dict(blob.metadata or {})

    def find(self, bucket: str, name: str) -> Drop | None:
        """
        Returns the current generation of an object; None if there is no object.

        Raises:
            Unavailable: Cloud Storage gave no answer.
            Misconfigured: the bucket, or the right to it, is missing.
        """
        if len(name.encode()) > MAX_OBJECT_NAME:
            return None  # no object has so long a name; the answer would be 400
        with _translated(f"gs://{bucket}/{name}"):
            blob = self._connect().bucket(bucket).get_blob(name, **self._in_time)
        if blob is None:
            return None
        return _drop_of(blob)

    def present(self, uri: str) -> Drop:
        """
        The current generation of an object that has to be there.

        Raises:
            SourceGone: it is not.
            Unavailable, Misconfigured: as `find`.
        """
        found = self.find(*split_uri(uri))
        if found is None:
            raise SourceGone(f"{uri} was deleted")
        return found

    def objects(
        self, bucket: str, after: str | None = None, prefix: str | None = None
    ) -> Iterator[tuple[Drop, datetime]]:
        """
        Yields all objects of a bucket in the order of their names, each with the time
        when it was created.

        Args:
            after: skip the names up to and including this one.
            prefix: skip the names that don't begin with this.

        Raises:
            Unavailable: Cloud Storage gave no answer.
            Misconfigured: the bucket, or the right to it, is missing.
        """
        fields = "items(name,generation,size,timeCreated),nextPageToken"
        with _translated(f"gs://{bucket}"):
            for blob in self._connect().list_blobs(
                bucket,
                prefix=prefix,
                fields=fields,
                start_offset=after,
                retry=_again(),
            ):
                if blob.name == after:
                    continue  # the list includes the offset itself
                yield _drop_of(blob), blob.time_created

    @contextmanager
    def open(self, uri: str) -> Iterator[IO[bytes]]:
        """
        Opens an object that this deployment wrote, as a file to read.

        Raises:
            Unavailable: Cloud Storage gave no answer, or fewer bytes than there are.
            Misconfigured: the bucket, or the right to it, is missing.
        """
        with _translated(uri):
            yield cast("IO[bytes]", _stored(self._blob(uri)))

    def write(self, uri: str, lines: Iterator[bytes]) -> None:
        """
        Writes a new object, streaming. If `lines` raises, no object is created. If the
        object exists, it stays as it is, and `lines` is still read to its end.

        Raises:
            Unavailable: Cloud Storage gave no answer.
            Misconfigured: the bucket, or the right to it, is missing.
        """
        with self.writing(uri) as write:
            for line in lines:
                write(line)

    @contextmanager
    def writing(self, uri: str) -> Iterator[Callable[[bytes], None]]:
        """
        Opens a new object and yields a function that writes to it. The object is
        created when the context ends; if it ends with an error, no object is created.

        If the object exists already, the new bytes are dropped without an error. A name
        belongs to one epoch, or one job, and so to one generation: a repeated upload
        finds the object that it wrote before.

        Raises:
            Unavailable: Cloud Storage gave no answer.
            Misconfigured: the bucket, or the right to it, is missing.
        """
        with _translated(uri):
            upload = _Upload(self._blob(uri))
            try:
                yield upload.write
                upload.close()
            except BaseException:
                upload.end()
                raise

    @contextmanager
    def creating(self, uri: str, content_type: str = JSONL) -> Iterator["Creation"]:
        """
        Opens a new object to write to, as `writing` does, and says what became of it:
        after the context, `created` of what it yields is the object of this name, whose
        content is what was written. It may be an earlier attempt that made it.

        Raises:
            Differs: an object of this name exists, and has another content.
            Unavailable: Cloud Storage gave no answer.
            Misconfigured: the bucket, or the right to it, is missing.
        """
        with _translated(uri):
            creation = Creation(self._blob(uri), content_type)
            try:
                yield creation
                creation.close()
            except BaseException:
                creation.end()
                raise
            creation.compare(uri)

    def create(self, uri: str, content: bytes, content_type: str = JSONL) -> Created:
        """
        Writes a small object.

        Raises:
            Differs, Unavailable, Misconfigured: as `creating`.
        """
        with self.creating(uri, content_type) as creation:
            creation.write(content)
        assert creation.created is not None
        return creation.created

    def upload(
        self,
        uri: str,
        file: IO[bytes],
        size: int,
        *,
        metadata: Mapping[str, str],
        replaces: int = 0,
    ) -> Drop:
        """
        Uploads a file as one new generation of an object, however often a part of it
        has to be sent.

        Args:
            size: bytes of the file.
            metadata: the object's own.
            replaces: the object's present generation; 0 if there is none.

        Raises:
            Differs: another generation is there by now.
            Unavailable: Cloud Storage gave no answer.
            Misconfigured: the bucket, or the right to it, is missing.
        """
        blob = self._blob(uri)
        blob.metadata = {**metadata, _UPLOAD: secrets.token_hex(8)}
        blob.chunk_size = CHUNK
        with _translated(uri):
            try:
                blob.upload_from_file(
                    file,
                    size=size,
                    content_type=JSONL,
                    if_generation_match=replaces,
                    checksum="crc32c",
                    retry=_again(),
                )
            except Exception as exc:
                if not _is_there_already(exc):
                    raise
                # Or it is our own, and its answer was lost.
                mark = blob.metadata[_UPLOAD]
                blob.reload(retry=_again())
                if (blob.metadata or {}).get(_UPLOAD) != mark:
                    raise Differs(f"{uri} was uploaded by somebody else") from exc
        return _drop_of(blob)

    def copy(self, uri: str, target: str) -> None:
        """
        Copies an object within Cloud Storage, to a name that only this worker uses.

        Raises:
            SourceGone: there is nothing to copy.
            Unavailable: Cloud Storage gave no answer, or the copy makes no progress.
            Misconfigured: the bucket, or the right to it, is missing.
        """
        with _translated(uri, gone=True):
            _rewrite(self._blob(uri), self._blob(target))

    def copy_generation(self, drop: Drop, target: str, content_type: str) -> Created:
        """
        Copies one generation of an object within Cloud Storage, into any bucket.
        Nothing is read. In the same location and class that takes one request whatever
        its size; else Cloud Storage copies the bytes in several.

        Returns:
            The object of this name. It may be an earlier attempt that made it.

        Raises:
            Differs: an object of this name exists, and has another content.
            SourceGone: that generation no longer exists.
            Unavailable: Cloud Storage gave no answer, or the copy makes no progress.
            Misconfigured: the bucket, or the right to it, is missing.
        """
        with _translated(str(drop), gone=True):
            source = self._dropped(drop)
            source.reload(retry=_again())
        with _translated(target):
            blob = self._blob(target)
            found = blob.bucket.get_blob(blob.name, retry=_again())
            if found is None:
                blob.content_type = content_type
                _rewrite(source, blob)
            return _equal(blob, target, int(source.size), source.crc32c)

    def compose(
        self, sources: Sequence[Drop], target: str, content_type: str
    ) -> Created:
        """
        Makes one new object of up to 32, in their order, without reading them. All lie
        in one bucket and have one storage class.

        An object of the target's name that exists stays: its name follows from the
        sources, so an earlier attempt has made it.

        Raises:
            Differs: an object of this name exists, and has another size.
            SourceGone: one of the sources no longer exists.
            Unavailable: Cloud Storage gave no answer.
            Misconfigured: the bucket, or the right to it, is missing.
        """
        from google.api_core.exceptions import Forbidden, PreconditionFailed

        assert len(sources) <= MAX_SOURCES
        with _translated(target, gone=True):
            blob = self._blob(target)
            if blob.bucket.get_blob(blob.name, retry=_again()) is None:
                blob.content_type = content_type
                try:
                    blob.compose(
                        [self._dropped(each) for each in sources],
                        # A generation of 0 means that the object must not exist yet.
                        if_generation_match=0,
                        retry=_again(),
                    )
                except (Forbidden, PreconditionFailed) as exc:
                    if not _is_there_already(exc):
                        raise
            return _equal(blob, target, sum(each.size for each in sources))

    def renew(self, drop: Drop) -> None:
        """
        Copies an object onto itself: its name, content and metadata stay, and its age
        begins anew. If this version of it no longer exists, nothing is made: what a
        fence has deleted never comes back.

        Raises:
            Unavailable: Cloud Storage gave no answer, or the copy makes no progress.
            Misconfigured: the bucket, or the right to it, is missing.
        """
        from google.api_core import exceptions

        with _translated(str(drop)), suppress(exceptions.NotFound):
            source = self._dropped(drop)
            source.reload(retry=_again())
            _rewrite(source, source, drop.generation)

    def describe(self, uri: str, metadata: dict[str, str]) -> None:
        """
        Adds custom metadata to an object that this deployment wrote. Copies keep it.

        Raises:
            Unavailable: Cloud Storage gave no answer.
            Misconfigured: the object, the bucket, or the right to it, is missing.
        """
        with _translated(uri):
            blob = self._blob(uri)
            blob.metadata = metadata
            blob.patch(retry=_again())

    def described(self, folder: Location) -> list[tuple[str, dict[str, str]]]:
        """
        Lists the address and the custom metadata of each object under a folder.

        Raises:
            Unavailable: Cloud Storage gave no answer.
            Misconfigured: the bucket, or the right to it, is missing.
        """
        with _translated(str(folder)):
            return [
                (f"gs://{folder.bucket}/{blob.name}", dict(blob.metadata or {}))
                for blob in self._below(folder, "name,metadata")
            ]

    def listed(self, folder: Location) -> list[Drop]:
        """
        Lists the current generations of all objects under a folder, by name.

        Raises:
            Unavailable: Cloud Storage gave no answer.
            Misconfigured: the bucket, or the right to it, is missing.
        """
        with _translated(str(folder)):
            return [
                _drop_of(blob) for blob in self._below(folder, "name,generation,size")
            ]

    def names(self, folder: Location) -> list[str]:
        """
        Lists the addresses of all objects under a folder.

        Raises:
            Unavailable: Cloud Storage gave no answer.
            Misconfigured: the bucket, or the right to it, is missing.
        """
        with _translated(str(folder)):
            return [
                f"gs://{folder.bucket}/{blob.name}"
                for blob in self._below(folder, "name")
            ]

    def delete(self, uri: str) -> None:
        """
        Deletes an object. If it no longer exists, this does nothing.

        Raises:
            Unavailable: Cloud Storage gave no answer.
            Misconfigured: the bucket, or the right to it, is missing.
        """
        from google.api_core import exceptions

        with _translated(uri), suppress(exceptions.NotFound):
            self._blob(uri).delete(retry=_again())

    def delete_below(self, folder: Location) -> int:
        """
        Deletes all objects under a folder, some at once.

        Returns:
            How many there were.

        Raises:
            Unavailable, Misconfigured: as `delete`; some may be left.
        """
        found = self.names(folder)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            try:
                list(pool.map(self.delete, found))
            finally:
                pool.shutdown(cancel_futures=True)
        return len(found)

    def _below(self, folder: Location, fields: str) -> Iterator["storage.Blob"]:
        """The objects under a folder, by name, with these fields alone."""
        yield from self._connect().list_blobs(
            folder.bucket,
            prefix=folder.prefix,
            fields=f"items({fields}),nextPageToken",
            retry=_again(),
        )

    @property
    def _in_time(self) -> dict[str, Any]:
        """What a short read is given, so that it takes no longer than it may."""
        given: dict[str, Any] = {"retry": _again(self._patience)}
        return given if self._patience is None else given | {"timeout": self._patience}

    def _dropped(self, drop: Drop) -> "storage.Blob":
        bucket = self._connect().bucket(drop.bucket)
        return bucket.blob(drop.name, generation=drop.generation)

    def _blob(self, uri: str) -> "storage.Blob":
        bucket, name = split_uri(uri)
        return self._connect().bucket(bucket).blob(name)


def _again(patience: float | None = None) -> Any:
    """
    Returns the policy for repeating a request that gets no answer.

    Args:
        patience: seconds after which to give up; None: RETRY_FOR.
    """
    from google.cloud.storage.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(RETRY_FOR if patience is None else patience)


def _drop_of(blob: "storage.Blob") -> Drop:
    """The generation that Cloud Storage describes."""
    return Drop(
        bucket=blob.bucket.name,
        name=blob.name,
        generation=int(blob.generation),
        size=int(blob.size),
    )


def _rewrite(source: "storage.Blob", blob: "storage.Blob", generation: int = 0) -> None:
    """
    Copies an object to where this generation is the current one; 0: where there is no
    object. Nothing happens if another one is there.

    Raises:
        Unavailable: the copy makes no progress.
    """
    from google.api_core.exceptions import Forbidden, PreconditionFailed

    new: dict[str, Any] = {"if_generation_match": generation, "retry": _again()}
    try:
        token, copied, size = blob.rewrite(source, **new)
        requests, idle = 1, 0 if copied else 1
        while token is not None:
            if idle >= MAX_IDLE or requests >= MAX_REWRITES:
                raise Unavailable(
                    f"gs://{source.bucket.name}/{source.name}: its copy stands at "
                    f"{copied:,} of {size:,} bytes after {requests:,} requests"
                )
            before = copied
            token, copied, size = blob.rewrite(source, token=token, **new)
            requests, idle = requests + 1, 0 if copied > before else idle + 1
    except PreconditionFailed:
        pass
    except Forbidden as exc:
        if generation or not _is_there_already(exc):
            raise


def _equal(
    blob: "storage.Blob", uri: str, size: int, crc32c: str | None = None
) -> Created:
    """
    The object of this name: the one that this blob has made, as the answer to that
    described it; else the one that is there.

    Args:
        crc32c: what its content sums up to; None if only the size is known.

    Raises:
        Differs: it has another content.
        Unavailable: it is not there.
    """
    found = blob
    if blob.generation is None:
        found = blob.bucket.get_blob(blob.name, retry=_again())
    if found is None:
        raise Unavailable(f"{uri} was deleted as soon as it was written")
    if int(found.size) != size or crc32c not in (None, found.crc32c):
        raise Differs(f"{uri} exists, and has another content")
    return Created(
        uri=uri, generation=int(found.generation), crc32c=found.crc32c, bytes=size
    )


def _stored(blob: "storage.Blob") -> Stored:
    """Opens the generation that the blob names, else the current one."""
    known = blob.bucket.blob(blob.name, generation=blob.generation)
    known.reload(retry=_again())
    # A blob that has loaded its metadata downloads from the address in there, not from
    # the client's endpoint. A new one uses the endpoint.
    blob = blob.bucket.blob(blob.name, generation=int(known.generation))
    return Stored(blob, known.size, _again())


class _Upload:
    """
    Writes a new object: a small one in one request, a larger one as a stream. This
    class closes or terminates the stream itself: the garbage collector would close a
    writer whose close() failed once more, and so could upload at any time.
    """

    def __init__(self, blob: "storage.Blob", content_type: str = JSONL) -> None:
        self._blob = blob
        self._content_type = content_type
        self._waiting = bytearray()
        self._stream: Any = None  #: once there is more than one request takes
        self._over = False

    def write(self, data: bytes) -> None:
        if len(self._waiting) + len(data) <= PIECE:
            self._waiting += data
        else:
            # What is large is not copied into what waits.
            self._send(self._taken())
            self._send(data)

    def close(self) -> None:
        data = self._taken()
        if self._stream is not None:
            self._send(data)
        if not self._over:
            small = partial(self._create, data)
            self._try(small if self._stream is None else self._stream.close)

    def end(self) -> None:
        """Gives up: no object is created."""
        from google.auth.exceptions import GoogleAuthError
        from requests import RequestException

        self._over = True
        if self._stream is not None:
            with suppress(RequestException, GoogleAuthError):
                self._stream.terminate()

    def _taken(self) -> bytes:
        data = bytes(self._waiting)
        self._waiting.clear()
        return data

    def _send(self, data: bytes) -> None:
        if self._stream is None:
            self._stream = self._blob.open(
                "wb",
                chunk_size=CHUNK,
                content_type=self._content_type,
                if_generation_match=0,
                retry=_again(),
            )
        # The stream copies the whole argument of a write before it sends anything.
        for start in range(0, len(data), PIECE):
            if not self._over:
                piece = memoryview(data)[start : start + PIECE]
                self._try(partial(self._stream.write, piece))

    def _create(self, data: bytes) -> None:
        self._blob.upload_from_string(
            data, self._content_type, if_generation_match=0, retry=_again()
        )

    def _try(self, step: Callable[[], object]) -> None:
        try:
            step()
        except BaseException as exc:
            self.end()
            if not _is_there_already(exc):
                raise


class Creation(_Upload):
    """
    A new object while it is written. Its bytes are counted and summed up, so that the
    object of its name can be compared with them.
    """

    def __init__(self, blob: "storage.Blob", content_type: str) -> None:
        from google_crc32c import Checksum

        super().__init__(blob, content_type)
        self._sum: Any = Checksum()  # type: ignore[no-untyped-call]
        self._size = 0
        #: The object of this name; None until the context is over.
        self.created: Created | None = None

    def compare(self, uri: str) -> None:
        """
        Raises:
            Differs: the object of this name has another content.
        """
        crc32c = base64.b64encode(self._sum.digest()).decode()
        self.created = _equal(self._blob, uri, self._size, crc32c)

    def write(self, data: bytes) -> None:
        self._sum.update(data)
        self._size += len(data)
        super().write(data)


def _is_there_already(exc: BaseException) -> bool:
    """
    Returns True if an upload failed because the object exists. For an account that may
    only create objects, Cloud Storage may refuse to replace one before it looks at the
    precondition: the right to delete is needed for nothing else
    (https://cloud.google.com/storage/docs/access-control/iam-permissions).
    """
    from google.api_core.exceptions import Forbidden, PreconditionFailed
    from google.cloud.storage.exceptions import InvalidResponse

    if isinstance(exc, InvalidResponse):
        code, text = exc.response.status_code, str(exc.response.text)
    elif isinstance(exc, Forbidden | PreconditionFailed):
        code, text = exc.code, str(exc)
    else:
        return False
    refused = code == Forbidden.code and "storage.objects.delete" in text
    return refused or bool(code == PreconditionFailed.code)


@contextmanager
def _translated(what: str, *, gone: bool = False) -> Iterator[None]:
    """
    Translates Cloud Storage's errors into ours, and adds the object's name.

        404, if `gone`                       SourceGone
        408 429 5xx, no or a short answer    Unavailable
        no answer from the token server      Unavailable
        404 otherwise, 401, 403, ...         Misconfigured
        no credentials, or refused ones      Misconfigured
    """
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError
    from google.cloud.storage.exceptions import InvalidResponse
    from requests import RequestException

    try:
        yield
    except exceptions.NotFound as exc:
        if gone:
            raise SourceGone(f"{what} was overwritten or deleted") from exc
        raise Misconfigured(f"{what}: 404 {reason(exc)}") from exc
    except (exceptions.ServerError, exceptions.TooManyRequests) as exc:
        raise Unavailable(f"{what}: {exc.code} {reason(exc)}") from exc
    except (exceptions.RetryError, RequestException, ShortRead) as exc:
        raise Unavailable(f"{what}: {exc}") from exc
    except GoogleAuthError as exc:
        if is_unanswered(exc):
            raise Unavailable(f"{what}: no token for Google Cloud: {exc}") from exc
        raise Misconfigured(f"{what}: no token for Google Cloud: {exc}") from exc
    except InvalidResponse as exc:
        # Only the library's uploads raise this error.
        if exc.response.status_code in LATER:
            raise Unavailable(f"{what}: {exc}") from exc
        raise Misconfigured(f"{what}: {exc}") from exc
    except exceptions.ClientError as exc:
        raise Misconfigured(f"{what}: {exc.code} {reason(exc)}") from exc
