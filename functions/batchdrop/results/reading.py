"""Splits objects into lines of any length, some at a time."""

from collections.abc import Iterable, Iterator

from batchdrop.results.values import TooLarge

#: Bytes of answers that are kept in memory at once.
HELD = 200_000_000
#: What Python needs for a line besides its bytes, wherever it is kept.
_OBJECTS = 250


def lines_of(chunks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """
    Yields the lines of JSONL, without line feeds, those of a chunk at a time.

    Raises:
        TooLarge: a line is longer than HELD.
    """
    rest: list[bytes] = []
    size = 0
    for chunk in chunks:
        first, *others = chunk.split(b"\n")
        rest.append(first)
        size += len(first)
        if size > HELD:
            raise TooLarge(f"a line has more than {HELD:,} bytes")
        if others:
            others.insert(0, b"".join(rest))
            last = others.pop()
            rest, size = [last], len(last)
            yield others
    if size:
        yield [b"".join(rest)]


def size_of(line: bytes) -> int:
    """The bytes of memory that a line takes."""
    return len(line) + _OBJECTS
