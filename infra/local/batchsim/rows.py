"""Rows of a job on disk, so that the largest file needs no memory."""

import tempfile
from array import array
from collections.abc import Iterable, Iterator
from typing import IO, cast

#: Up to this many bytes are kept in memory: most jobs never touch the disk.
IN_MEMORY = 64 * 1024


class Rows:
    """Lines in a temporary file, to be read in any order by their number (from 0)."""

    def __init__(self) -> None:
        self._file = scratch()
        self._starts = array("Q")
        self._lengths = array("L")

    @classmethod
    def of_file(cls, source: IO[bytes]) -> "Rows":
        """The lines of `source` that aren't blank; takes `source` over."""
        rows = cls()
        rows._file.close()
        rows._file = source
        source.seek(0)
        at = 0
        for line in source:
            if text := line.rstrip():
                rows._starts.append(at)
                rows._lengths.append(len(text))
            at += len(line)
        return rows

    @classmethod
    def of_lines(cls, lines: Iterable[bytes]) -> "Rows":
        """Lines without their line ends."""
        rows = cls()
        for line in lines:
            rows.append(line)
        return rows

    def append(self, line: bytes) -> None:
        """Add a line, given without its line end."""
        self._file.seek(0, 2)
        self._starts.append(self._file.tell())
        self._lengths.append(len(line))
        self._file.write(line)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, number: int) -> bytes:
        self._file.seek(self._starts[number])
        return self._file.read(self._lengths[number])

    def __iter__(self) -> Iterator[bytes]:
        return (self[number] for number in range(len(self)))

    def close(self) -> None:
        self._file.close()


def scratch() -> IO[bytes]:
    """A temporary file that stays in memory while it is small."""
    return cast(
        IO[bytes], tempfile.SpooledTemporaryFile(max_size=IN_MEMORY, mode="w+b")
    )
