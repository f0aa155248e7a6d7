"""The files that a command reads or writes: paths, and gs:// addresses."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from batchdrop.cli.failures import in_one_line
from batchdrop.errors import BatchdropError
from batchdrop.storage import Storage
from batchdrop.stored import split_uri

#: Bytes read at a time.
CHUNK = 1024 * 1024


class CanNotRead(Exception):
    """The file can't be read; the text says which, and why."""


def chunks(file: str) -> Iterator[bytes]:
    """
    Yields a file, or the stored bytes of an object.

    Raises:
        CanNotRead: it isn't there, or there is no way to it.
    """
    if not file.startswith("gs://"):
        if "://" in file:
            raise CanNotRead(f"{file}: write a path, or gs://bucket/name")
        try:
            with Path(file).open("rb") as source:
                yield from iter(lambda: source.read(CHUNK), b"")
        except OSError as exc:
            raise CanNotRead(f"{file}: {exc.strerror or exc}") from exc
        return
    try:
        from google.cloud import storage
    except ImportError as exc:
        raise CanNotRead(
            f"{file}: reading it needs an extra: pip install 'batchdrop[storage]'"
        ) from exc
    from google.auth.exceptions import GoogleAuthError

    objects = Storage(storage.Client)
    try:
        bucket, name = split_uri(file)
        if not name:
            raise CanNotRead(f"{file} names no object; write gs://bucket/name")
        drop = objects.find(bucket, name)
        if drop is None:
            raise CanNotRead(f"{file} is not there")
        yield from objects.read(drop)
    except (BatchdropError, GoogleAuthError, ValueError) as exc:
        raise CanNotRead(f"{file}: {in_one_line(exc)}") from exc


@contextmanager
def new_file(output: Path) -> Iterator[IO[bytes]]:
    """
    Opens a new file, and removes it if it can't be written to its end.

    Raises:
        FileExistsError: it exists.
    """
    with output.open("xb") as file:
        try:
            yield file
        except BaseException:
            output.unlink()
            raise
