"""Objects in Cloud Storage, read and written through Google's own client."""

import functools
import os
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import IO, Any

from batchsim.jobs import JobFailed, Status

#: Bytes of a large object that are sent at once and held in memory, not 100 MiB.
CHUNK = 16 * 1024 * 1024

#: Seconds until an emulator that doesn't answer fails the job.
PATIENCE = 3.0

NO_EMULATOR = (
    "batchsim has no Cloud Storage to work with: in tests, take a bucket of "
    "`batchsim.storage` before a client is made, or set STORAGE_EMULATOR_HOST to an "
    "emulator's address, such as http://127.0.0.1:4443, or pass storage=..."
)


class Buckets:
    """
    The buckets of an emulator. `address` is by default `STORAGE_EMULATOR_HOST`.

    Never Google's own: a job made here by mistake must touch nobody's data. Raises
    JobFailed for whatever goes wrong: 9 if a bucket or object doesn't exist, 7 for one
    that may not be touched.
    """

    def __init__(self, address: str | None = None) -> None:
        self._address = address
        #: batchsim's own address, where the fixture sends clients without an emulator.
        self.own: str | None = None
        self._seen: set[str] = set()

    @property
    def address(self) -> str | None:
        """The emulator's address with its scheme; None without an emulator."""
        address = self._address or os.environ.get("STORAGE_EMULATOR_HOST")
        if not address:
            return None
        if "://" not in address:
            address = f"http://{address}"
        return None if address == self.own else address

    def use(self, address: str | None) -> None:
        """Use the emulator at `address`; None for the environment's."""
        self._address = address

    def expand(self, uris: Iterable[str]) -> tuple[list[str], list[Status]]:
        """The objects that `uris` match, wildcards included, and a Status for each URI
        that matches none."""
        found: list[str] = []
        missing: list[Status] = []
        for uri in uris:
            bucket, pattern = split(uri)
            prefix = re.split(r"[*?[]", pattern, maxsplit=1)[0]
            if prefix == pattern:
                found.append(uri)
                continue
            with _translated(uri):
                listed = self._client().list_blobs(
                    bucket, prefix=prefix, retry=_retry()
                )
                names = [blob.name for blob in listed]
            matches = [name for name in names if _means(pattern, name)]
            if not matches and pattern in names:
                matches = [pattern]  # [ and ? are letters of its name
            found += [f"gs://{bucket}/{name}" for name in matches]
            if not matches:
                missing.append(Status(9, f"No object matches {uri}."))
        return found, missing

    def fetch(self, uri: str, into: IO[bytes]) -> None:
        """Appends the whole object to `into`."""
        bucket, name = split(uri)
        with _translated(uri):
            self._bucket(bucket).blob(name).download_to_file(into, retry=_retry())

    def check(self, bucket: str) -> None:
        """JobFailed 9 if the bucket doesn't exist."""
        # A bucket that exists is checked once: thousands of jobs share it. If it is
        # deleted later, writing to it fails with the same code.
        if bucket in self._seen:
            return
        with _translated(f"gs://{bucket}"):
            if self._client().lookup_bucket(bucket, retry=_retry()) is None:
                raise JobFailed(
                    9,
                    f"Failed to get GCS bucket location for {bucket}. Check that the "
                    "bucket exists.",
                )
        self._seen.add(bucket)

    def put(self, uri: str, content: IO[bytes]) -> None:
        """Creates the object from the rest of `content`."""
        bucket, name = split(uri)
        start = content.tell()
        # With the size, the client sends a small object in one request, not in two.
        size = content.seek(0, os.SEEK_END) - start
        content.seek(start)
        with _translated(uri):
            self._bucket(bucket).blob(name, chunk_size=CHUNK).upload_from_file(
                content,
                size=size,
                content_type="application/octet-stream",
                retry=_retry(),
            )

    def _bucket(self, name: str) -> Any:
        return self._client().bucket(name)

    def _client(self) -> Any:
        address = self.address
        if address is None:
            raise JobFailed(9, NO_EMULATOR)
        return client(address)


def split(uri: str) -> tuple[str, str]:
    """`gs://bucket/a/b` -> `("bucket", "a/b")`."""
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    return bucket, name


def _means(pattern: str, name: str) -> bool:
    """Whether a pattern matches an object. Only `**` matches across folders."""
    folders = "**" in pattern or name.count("/") == pattern.count("/")
    return folders and fnmatchcase(name, pattern)


def session() -> Any:
    """The session of Google's clients: no credentials, no proxy."""
    # Imported when the first job needs it, as that takes half a second.
    from google.auth.credentials import AnonymousCredentials
    from google.auth.transport.requests import AuthorizedSession

    made = AuthorizedSession(AnonymousCredentials())  # type: ignore[no-untyped-call]
    made.trust_env = False
    return made


@functools.cache
def client(address: str) -> Any:
    """Google's own, for the emulator at an address. One serves all threads."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.storage import Client

    return Client(
        project="batchsim",
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": address},
        _http=session(),
    )


def _retry() -> Any:
    # By default the client retries for two minutes if the emulator is gone.
    from google.cloud.storage.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(PATIENCE)


class _translated:
    """Raise the storage client's errors as a job's."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        if exc is None or isinstance(exc, JobFailed):
            return
        from google.api_core import exceptions

        if isinstance(exc, exceptions.NotFound):
            raise JobFailed(
                9,
                f"Cannot read {self._uri}: the bucket or the object doesn't exist.",
            ) from exc
        if isinstance(exc, exceptions.Forbidden | exceptions.Unauthorized):
            raise JobFailed(
                7,
                f"Permission denied on {self._uri} for the service agent of AI "
                "Platform.",
            ) from exc
        if isinstance(exc, exceptions.GoogleAPIError | OSError):
            raise JobFailed(13, f"Cannot use {self._uri}: {exc}") from exc
