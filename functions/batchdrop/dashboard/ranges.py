"""
Reads pages of results, and single rows, by ranges of bytes. Whatever an object's size,
a page takes a few short reads and little memory.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from batchdrop.dashboard.contents import Listed, listed, outcome_of
from batchdrop.errors import SourceGone
from batchdrop.results.again import read_line
from batchdrop.results.seeking import (
    WINDOW,
    Found,
    Index,
    Line,
    NotReached,
    Read,
    Row,
    Seeker,
    entry_after,
    entry_before,
    lines,
)
from batchdrop.results.values import DoesNotAddUp

if TYPE_CHECKING:
    from batchdrop.jobs.values import Results
    from batchdrop.storage import Storage

#: Rows of a page.
PAGE = 50
#: Bytes that are read for a page: of all rows, and of those that have some outcome.
#: Only a line that is longer is read to its end.
PAGE_BYTES, LOOK_BYTES = 2 * 1024**2, 16 * 1024**2
#: Seconds for the lines of a page; the next page has the others. Who writes rows can
#: make long ones that take a second each.
SECONDS = 4.0
#: Bytes that are kept of a line: in a page of many, and of one alone.
KEPT, KEPT_ALONE = 64 * 1024, 256 * 1024
#: Bytes of one read where many are read, and of the longest line that is passed.
STEP, LONGEST = 1024**2, 64 * 1024**2
#: An index of 60 million results has 1.5 MB. In memory it can be fifteen times larger,
#: and four pages at once have 512 MiB.
MAX_INDEX = 2 * 1024**2
_index = msgspec.json.Decoder(Index).decode


class NoPlace(Exception):
    """No line begins there."""


class Place(NamedTuple):
    """A place in the results."""

    n: int  #: the number of the result that begins there, counted from 1
    at: int  #: the byte


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some results in a row, or those of them that have some outcome."""

    rows: list[Listed]
    first: int  #: the number of the first result that was looked at, counted from 1
    looked: int  #: how many were
    next: Place | None  #: where to go on; None at the end
    stuck: bool = False  #: the last line is so long that nothing behind it was reached


class Ranges:
    """
    One version of a job's results.

    Each method raises SourceGone if it was deleted or replaced; Unavailable and
    Misconfigured as `Storage.read` does; and NotReached if lines are so long that a
    place takes too many reads.
    """

    def __init__(self, storage: "Storage", results: "Results", total: int) -> None:
        """
        Args:
            total: how many results there are.
        """
        self._storage = storage
        self._results = results
        self._read = storage.ranges(results.drop)
        self._size = results.bytes
        self._total = max(total, 1)

    def page(self, n: int, at: int | None = None, only: Collection[str] = ()) -> Page:
        """
        A page of results.

        Args:
            n: the number of the first one, counted from 1.
            at: the byte with which it begins, if that is known.
            only: the outcomes that are listed; empty for all.

        Raises:
            NoPlace: no line begins at `at`.
        """
        start = Place(n, at) if at is not None else self._place(n)
        until = monotonic() + SECONDS
        step = STEP if only else self._step(PAGE)
        pieces = self._pieces(start.at, LOOK_BYTES if only else PAGE_BYTES, step)
        found: list[Listed] = []
        n, at, stuck = start.n, start.at, False
        for line in lines(pieces, KEPT, start.at):
            ends = line.is_ended or line.start + line.size >= self._size
            if not ends and n > start.n:
                break  # the next page has it
            if not only or _outcome(line) in only:
                found.append(listed(line.head, line.size))
            n += 1
            if not ends:
                end = self._end(line.start + line.size)
                at, stuck = end or self._size, end is None
                break
            at = line.end
            if len(found) == PAGE or monotonic() >= until:
                break
        more = Place(n, at) if at < self._size else None
        return Page(
            rows=found, first=start.n, looked=n - start.n, next=more, stuck=stuck
        )

    def row(self, number: int) -> tuple[Found, Line | None]:
        """
        The result of a line of the file, and what lies beside it.

        Returns:
            Where it is, and its line with at most KEPT_ALONE bytes; None if there is no
            such result.
        """
        before, start, after, end = self._around(number - 1)
        # Without blank lines the n-th result is that of line n, and with some it comes
        # earlier.
        guess = Row(start, before + 1), Row(end, after + 1)
        found = Seeker(self._read, self._size).find(number, guess)
        if found.row is None:
            return found, None
        return found, line_at(self._read, self._size, found.row.start)

    @cached_property
    def _offsets(self) -> Sequence[tuple[int, int]]:
        """The sparse index; empty if it is missing, too large or unreadable."""
        if self._results.index is None:
            return ()
        try:
            drop = self._storage.present(self._results.index)
            if not 0 < drop.size <= MAX_INDEX:
                return ()
            data = self._storage.ranges(drop)(0, drop.size)
            return _index(data).offsets
        except (SourceGone, msgspec.MsgspecError, UnicodeDecodeError):
            return ()  # whoever may write beside the results may have changed it

    def _around(self, n: int) -> tuple[int, int, int, int]:
        """
        The entries of the index around the result that has `n` results before it: how
        many are before each, and where it begins.
        """
        before = entry_before(self._offsets, n)
        after = entry_after(self._offsets, n) or (self._total, self._size)
        if not 0 <= before[1] < after[1] <= self._size or before[0] < 0:
            before, after = (0, 0), (self._total, self._size)
        return *before, *after

    def _place(self, n: int) -> Place:
        """The place of a result; an earlier one if it takes too much reading."""
        before, start, after, end = self._around(n - 1)
        skip = n - 1 - before
        try:
            if end - start > PAGE_BYTES and skip:
                row = self._sought(start, end, after - before, skip)
                if row:
                    return Place(n, row.start)
            return self._passed(before, start, skip)
        except NoPlace:
            return Place(1, 0)  # it is an index of something else

    def _sought(self, start: int, end: int, count: int, skip: int) -> Row | None:
        """
        The row that is `skip` rows after the one at `start`. It is known by its line,
        if there are no blank lines between `start` and `end`; else None.

        Args:
            count: how many rows there are between these.
        """
        seeker = Seeker(self._read, self._size)
        first, last = seeker.first(start), seeker.last(end)
        if not first or not last or last.number - first.number != count - 1:
            return None
        high = Row(end, last.number + 1)
        return seeker.find(first.number + skip, (first, high)).row

    def _passed(self, before: int, start: int, skip: int) -> Place:
        """
        The place `skip` lines after another one; an earlier one if that is further away
        than a page may read.
        """
        if not skip:
            return Place(before + 1, start)
        passed, at = 0, start
        for piece in self._pieces(start, LONGEST, max(self._step(skip), WINDOW)):
            count = piece.count(b"\n")
            if passed + count >= skip:
                rest = piece.split(b"\n", skip - passed)[-1]
                return Place(before + skip + 1, at + len(piece) - len(rest))
            passed += count
            at += len(piece)
            if count and at - start >= LOOK_BYTES:
                rest = piece.rpartition(b"\n")[2]
                return Place(before + passed + 1, at - len(rest))
        raise NotReached

    def _pieces(self, start: int, most: int, step: int) -> Iterator[bytes]:
        """
        Yields the bytes from a line's first one on.

        Raises:
            NoPlace: no line begins there.
        """
        if not 0 <= start < self._size:
            raise NoPlace
        end = min(self._size, start + most)
        # The byte before it shows whether it is a line's first one.
        data = self._read(max(0, start - 1), min(start + step, end))
        if start:
            if not data.startswith(b"\n"):
                raise NoPlace
            data = data[1:]
        yield data
        for at in range(start + step, end, step):
            yield self._read(at, min(at + step, end))

    def _end(self, start: int) -> int | None:
        """The byte behind the next line feed; None if it is too far away."""
        for at in range(start, min(start + LONGEST, self._size), 4 * STEP):
            piece = self._read(at, min(at + 4 * STEP, self._size))
            if (place := piece.find(b"\n")) >= 0:
                return at + place + 1
        return None

    def _step(self, rows: int) -> int:
        """About how many bytes `rows` rows have, and some more."""
        usual = self._size // self._total * rows * 5 // 4
        return min(max(usual, WINDOW), PAGE_BYTES)


def line_at(read: Read, size: int, start: int) -> Line:
    """
    The line that begins at a byte, with at most KEPT_ALONE bytes.

    Args:
        size: bytes of the object.
    """
    places = start, start + WINDOW, start + KEPT_ALONE
    pieces = (read(at, min(end, size)) for at, end in pairwise(places) if at < size)
    line = next(lines(pieces, KEPT_ALONE, start))
    return line._replace(is_ended=line.is_ended or line.start + line.size >= size)


def _outcome(line: Line) -> str:
    if line.is_whole:
        try:
            return read_line(line.head).outcome
        except DoesNotAddUp:
            pass
    return outcome_of(line.head)
