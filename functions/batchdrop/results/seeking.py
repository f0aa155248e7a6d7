"""
Finds rows in an object without reading all of it, by ranges of its bytes.

The object is JSONL, each line of which begins with its row's number: results
(`{"id":"r0000017",`), staged rows (`{"key":"r0000017",`), or a report of refused lines
(`{"line":17,`). The numbers ascend, and some may be missing. Lines that begin in
another way are skipped.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from msgspec import Struct

#: Reads from a byte up to another one; both lie in the object.
Read = Callable[[int, int], bytes]

#: Bytes that are read to see which rows are at a place.
WINDOW = 64 * 1024
#: What finding one row may take: reads, and bytes. A line may have 30 MB.
MAX_READS, MAX_BYTES = 25, 64 * 1024**2
#: Most bytes of one read within a long line. Each is twice as long as the one before.
MAX_READ = 8 * 1024**2
#: How often a position is guessed from the rows' numbers, before the rest is halved.
GUESSES = 6
_NUMBER = re.compile(rb'\{"\w{1,20}":(?:"r|\[)?([0-9]{1,18})')
#: How many bytes of a line are sure to contain its whole number.
_ENOUGH = 64


class Index(Struct):
    """
    The sparse index of results: the number of results before some of them, and the byte
    with which these begin.
    """

    lines: int
    offsets: list[tuple[int, int]]


class NotReached(Exception):
    """Finding a row takes too many reads: the lines around it are too long."""


class Row(NamedTuple):
    """Where a row's line begins, and the number that it begins with."""

    start: int
    number: int


class Found(NamedTuple):
    """
    What lies at a row's place. If there is no such row, `before` and `after` are its
    neighbours. Of a row that is there they are its neighbours if they were seen.
    """

    row: Row | None
    before: Row | None = None
    after: Row | None = None


class Line(NamedTuple):
    """A line, of which at most some bytes are kept."""

    start: int
    head: bytes
    size: int  #: bytes, without the line feed
    is_ended: bool  #: whether its line feed was read

    @property
    def is_whole(self) -> bool:
        return len(self.head) == self.size and self.is_ended

    @property
    def end(self) -> int:
        """The byte behind its line feed."""
        return self.start + self.size + 1


def lines(pieces: Iterable[bytes], most: int, start: int = 0) -> Iterator[Line]:
    """
    Yields the lines of pieces of JSONL; the last one may not have ended.

    Args:
        most: bytes that are kept of a line; the others only pass.
        start: the byte with which the pieces begin.
    """
    head, size = bytearray(), 0
    for piece in pieces:
        first, *others = piece.split(b"\n")
        head += first[: most - len(head)]
        size += len(first)
        if others:
            yield Line(start, bytes(head), size, True)
            start += size + 1
            last = others.pop()
            for line in others:
                yield Line(start, line[:most], len(line), True)
                start += len(line) + 1
            head, size = bytearray(last[:most]), len(last)
    if size:
        yield Line(start, bytes(head), size, False)


def entry_before(offsets: Sequence[tuple[int, int]], n: int) -> tuple[int, int]:
    """
    The last entry of a sparse index with at most `n` results before it: how many there
    are, and the byte behind them.
    """
    at = bisect_right(offsets, n, key=lambda entry: entry[0]) - 1
    return offsets[at] if at >= 0 else (0, 0)


def entry_after(offsets: Sequence[tuple[int, int]], n: int) -> tuple[int, int] | None:
    """The first entry with more than `n` results before it; None if there is none."""
    at = bisect_right(offsets, n, key=lambda entry: entry[0])
    return offsets[at] if at < len(offsets) else None


class Seeker:
    """Finds rows in one object, within MAX_READS and MAX_BYTES for all of them."""

    def __init__(self, read: Read, size: int) -> None:
        """
        Args:
            size: bytes of the object.
        """
        self._read_range = read
        self._size = size
        self.reads = 0
        self.bytes = 0

    def find(self, number: int, guess: tuple[Row, Row]) -> Found:
        """
        Finds the row with a number.

        Args:
            guess: about where two rows begin between which it lies; any two will do.

        Raises:
            NotReached: it takes too many reads.
        """
        before: Row | None = None
        after: Row | None = None
        # If the row is there, its line begins from `start` on, and before `end`.
        start, end = 0, self._size
        tries = 0
        while start < end:
            left = before or (guess[0] if guess[0].start < end else Row(0, 1))
            right = after or guess[1]
            if before and before.number + 1 == number:
                at = start  # it is the next one
            elif right.start > start and tries < GUESSES:
                at = _guess(number, left, right)
            else:
                at = (start + end) // 2
            at = start if end - start <= WINDOW else min(max(at, start), end - WINDOW)
            tries += 1
            rows = self._rows(at, end)
            if not rows or number < rows[0].number:
                after = rows[0] if rows else after
                if at == start:
                    break
                end = at
            elif number > rows[-1].number:
                before = rows[-1]
                start = before.start + 1
            else:
                n = bisect_right(rows, number, key=lambda row: row.number) - 1
                next = rows[n + 1] if n + 1 < len(rows) else None
                if rows[n].number != number:
                    return Found(None, rows[n], next)
                if n:
                    before = rows[n - 1]
                elif at > start:
                    before = None  # there may be another row between them
                return Found(rows[n], before, next)
        return Found(None, before, after)

    def first(self, start: int) -> Row | None:
        """The row that begins at a byte; None if none does."""
        rows = self._rows(start, start + 1)
        return rows[0] if rows else None

    def last(self, end: int) -> Row | None:
        """The last row that begins before a byte; None if its line is long."""
        rows = self._within(max(0, end - WINDOW), self._read(end - WINDOW - 1, end))
        return rows[-1] if rows else None

    def _rows(self, at: int, end: int) -> list[Row]:
        """
        The rows that begin in the window at a byte; if none does, the first ones behind
        it. Empty if none begins before `end`.
        """
        step = WINDOW
        while at < end:
            data = self._read(at - 1, at + step)
            if rows := self._within(at, data):
                return [row for row in rows if row.start < end]
            # The beginning of a line at the end of the window may be too short.
            at, step = at + step - _ENOUGH, min(2 * step, MAX_READ)
        return []

    def _within(self, at: int, data: bytes) -> list[Row]:
        """
        The rows that begin in some bytes.

        Args:
            data: from the byte before `at` on, if there is one.
        """
        rows = []
        base = at - 1 if at else 0
        place = data.find(b"\n") + 1 if at else 0
        is_end = base + len(data) >= self._size
        while (place or not at) and place < len(data):
            found = _NUMBER.match(data, place)
            if found and (is_end or place + _ENOUGH <= len(data)):
                rows.append(Row(base + place, int(found[1])))
            place = data.find(b"\n", place) + 1
            if not place:
                break
        return rows

    def _read(self, start: int, end: int) -> bytes:
        start, end = max(0, start), min(end, self._size)
        if self.reads >= MAX_READS or self.bytes + end - start > MAX_BYTES:
            raise NotReached
        self.reads += 1
        self.bytes += end - start
        return self._read_range(start, end)


def _guess(number: int, left: Row, right: Row) -> int:
    """A place from which on the row is likely the first one, or in the window."""
    rows = right.number - left.number
    if rows <= 0:
        return left.start
    length = (right.start - left.start) // rows
    place = left.start + (number - left.number) * length
    return place - max(WINDOW, length) // 2
