"""
What became of each line of a file when it was staged, as runs of equal lines.

A run is one number, `count * 4 + kind`, written as a base-128 varint, the lowest seven
bits first. So a file of a million good lines takes three bytes, and one in which every
other line is bad takes one byte a line.
"""

from collections.abc import Iterable, Iterator
from enum import IntEnum


class Kind(IntEnum):
    """What became of a line."""

    BLANK = 0  #: it has no result
    STAGED = 1
    STAGED_JSON = 2  #: staged, and its request asks for JSON
    REFUSED = 3


class Runs:
    """Collects the kinds of lines in their order."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._kind = Kind.BLANK
        self._count = 0

    def add(self, kind: Kind, count: int = 1) -> None:
        """Adds the next `count` lines."""
        if kind is not self._kind:
            self._end()
            self._kind = kind
        self._count += count

    @property
    def size(self) -> int:
        """Bytes of the runs that are over."""
        return len(self._bytes)

    def taken(self) -> bytes:
        """The runs that are over since the last call; the last one may go on."""
        taken = bytes(self._bytes)
        self._bytes.clear()
        return taken

    def encoded(self) -> bytes:
        """The runs so far."""
        self._end()
        return bytes(self._bytes)

    def _end(self) -> None:
        if not self._count:
            return
        number = self._count * 4 + self._kind
        while number > 0x7F:
            self._bytes.append(number & 0x7F | 0x80)
            number >>= 7
        self._bytes.append(number)
        self._count = 0


def decoded(chunks: Iterable[bytes]) -> Iterator[tuple[Kind, int]]:
    """
    The runs, each with its number of lines.

    Raises:
        ValueError: they end within a number.
    """
    number = shift = 0
    for chunk in chunks:
        for byte in chunk:
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                yield Kind(number & 3), number >> 2
                number = shift = 0
    if shift:
        raise ValueError("the runs end within a number")
