"""
Gives answers without an id to the rows with the same request. Of rows with equal
requests, each takes one answer.
"""

import hashlib
from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from batchdrop.errors import SourceGone
from batchdrop.results.content import MARK, mark_of_row
from batchdrop.results.ids import id_of
from batchdrop.results.questions import Lines, line_of
from batchdrop.results.reading import lines_of
from batchdrop.results.values import Fate, Open

#: Who took a row; 0 stands for nobody. An answer without an id adds a hash of its line.
_NAMED, _FINAL, _LATE = 1, 2, 3


class Nameless(NamedTuple):
    """An answer without an id."""

    place: int  #: among the answers that are read together
    line: int  #: a hash of it, of 62 bits
    late: bool  #: beside a final object that has all rows

    @classmethod
    def of(cls, place: int, text: bytes, late: bool) -> "Nameless":
        digest = hashlib.blake2b(text, digest_size=8).digest()
        return cls(place, int.from_bytes(digest, "little") >> 2, late)


def marks_of(lines: Lines, rows: int, open_staged: Open | None) -> bytes:
    """
    The hashes of all requests as sent, MARK bytes each, by the index of the row; none
    if the rows are gone.
    """
    marks = bytearray(MARK * rows)
    if open_staged is None:
        return b""
    try:
        for some in lines_of(open_staged()):
            for line in filter(None, some):
                number = line_of(id_of(line) or "")
                index = -1 if number is None else lines.index_of(number)
                if index >= 0:
                    marks[MARK * index : MARK * (index + 1)] = mark_of_row(line)
    except SourceGone:
        return b""
    return bytes(marks)


class Sharing:
    """
    Which rows are taken.

    Where answers are read slice by slice, the next slice goes on from `taken`. A row
    whose answer with an id comes in a later slice isn't taken yet. So of equal rows one
    may get two answers, and another none, if some answers have ids and others haven't;
    read at once they would get one each.

    Attributes:
        same_rows: the rows that took one of several equal answers.
    """

    def __init__(self, marks: bytes, rows: int, taken: bytes = b"") -> None:
        """
        Args:
            marks: see `marks_of`.
            taken: `taken` of the slice before.
        """
        self.same_rows = 0
        self._marks = marks
        self._taken = array("Q", taken or bytes(8 * rows))

    @property
    def taken(self) -> bytes:
        """Who took each row, for the next slice; 8 bytes a row."""
        return self._taken.tobytes()

    def name(self, index: int) -> None:
        """A row has an answer with its id."""
        if not self._taken[index]:
            self._taken[index] = _NAMED

    def share(
        self, nameless: Mapping[bytes, Sequence[Nameless]]
    ) -> Iterator[tuple[int, int]]:
        """
        Yields the place of each answer that has a row, and the row's index, or
        `Fate.SUPERSEDED`.

        Args:
            nameless: answers by the hash of their request, those of each in order.
        """
        rows: dict[bytes, list[int]] = defaultdict(list)
        marks = self._marks
        for index in range(len(marks) // MARK):
            mark = marks[MARK * index : MARK * (index + 1)]
            if mark in nameless:
                rows[mark].append(index)
        for mark, equal in rows.items():
            yield from self._share(nameless[mark], equal)

    def _share(
        self, answers: Sequence[Nameless], rows: list[int]
    ) -> Iterator[tuple[int, int]]:
        """More answers than rows are doubled."""
        taken = self._taken
        free = [index for index in rows if not taken[index]]
        free.reverse()
        lines = {taken[index] >> 2: index for index in rows if taken[index] > _NAMED}
        replaced = None  #: whether final objects have answers to all of the rows
        for each in answers:
            if each.late:
                if replaced is None:
                    replaced = all(
                        taken[index] & 3 in (_NAMED, _FINAL) for index in rows
                    )
                if replaced or each.line in lines:
                    yield each.place, Fate.SUPERSEDED
                    continue
            if free:
                index = lines[each.line] = free.pop()
                taken[index] = each.line << 2 | (_LATE if each.late else _FINAL)
                self.same_rows += len(rows) > 1
            else:
                index = lines.get(each.line, rows[0])
            yield each.place, index
