"""
Finds the row of each answer: by the id that the API echoes; where an answer has none,
by the request that it echoes. Never by its position.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple

import msgspec
from msgspec import Struct

from batchdrop.batches.answer_lines import row_of
from batchdrop.errors import SourceGone
from batchdrop.results.content import mark_of_answer, mark_of_row
from batchdrop.results.questions import Lines, line_of
from batchdrop.results.reading import HELD, lines_of, size_of
from batchdrop.results.values import Answers, Open, Why

#: What can't be decoded, whatever the reason.
UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Fate(IntEnum):
    """What becomes of an answer that no row takes; else it is the index of its row."""

    UNREADABLE = -1
    NO_SUCH_ROW = -2
    NO_MATCH = -3
    SUPERSEDED = -4

    @property
    def why(self) -> Why:
        return Why[self.name]


class _Keyed(Struct, gc=False):
    key: str | None = None


class _Instance(Struct, gc=False):
    content: str | None = None
    key: str | None = None
    custom_id: str | None = None


class _Ids(Struct, gc=False):
    """The members of an answer that may have its id."""

    key: str | None = None
    custom_id: str | None = None
    instance: _Instance | None = None
    metadata: _Keyed | None = None


_ids = msgspec.json.Decoder(_Ids).decode


def id_of(line: bytes) -> str | None:
    """
    The id that an answer echoes; None if it has none. It is read as by `row_of`.

    Raises:
        MsgspecError, UnicodeDecodeError, RecursionError: it is not a JSON object.
    """
    try:
        found = _ids(line)
    except msgspec.ValidationError:
        value = msgspec.json.decode(line)
        if not isinstance(value, dict):
            raise
        return row_of(value).key
    if found.key is not None:
        return found.key
    if found.custom_id is not None:
        return found.custom_id
    instance = found.instance
    if instance is not None and instance.content is not None:
        if instance.key is not None:
            return instance.key
        if instance.custom_id is not None:
            return instance.custom_id
    return found.metadata.key if found.metadata is not None else None


#: Some lines: their object's place in the sequence, and the number of the first one.
Piece = tuple[int, int, list[bytes]]


class Source:
    """
    The lines of all answers. They are kept while they fit into the memory; otherwise
    their objects are read again.
    """

    def __init__(self, answers: Sequence[Answers]) -> None:
        self.answers = answers
        self._kept: list[Piece] | None = []
        self._size = 0

    def first(self) -> Iterator[Piece]:
        """Reads the objects, and keeps what fits."""
        for piece in self._read():
            yield piece
            if self._kept is None:
                continue
            self._size += sum(map(size_of, piece[2]))
            self._kept.append(piece)
            if self._size > HELD:
                self._kept = None

    def again(self) -> Iterator[Piece]:
        """The same lines, which are forgotten as they are returned."""
        if self._kept is None:
            yield from self._read()
            return
        self._kept.reverse()
        while self._kept:
            yield self._kept.pop()

    def _read(self) -> Iterator[Piece]:
        for n, each in enumerate(self.answers):
            number = 1
            for lines in lines_of(each.open()):
                yield n, number, lines
                number += len(lines)


class Joined:
    """
    What becomes of each answer, in their order.

    Attributes:
        fates: of each answer the index of its row, or a `Fate`.
        counts: how many answers each row has.
        same_rows: the rows without ids that took one of several equal answers.
    """

    def __init__(
        self, lines: Lines, rows: int, source: Source, open_staged: Open | None
    ) -> None:
        self.fates = array("q")
        self.counts = array("I", bytes(array("I").itemsize * rows))
        self.same_rows = 0
        self._lines = lines
        #: The answers without an id, by the hash of their request.
        self._nameless: dict[bytes, list[_Nameless]] = defaultdict(list)
        #: Once there are answers of final objects: whether each row has one.
        self._in_final: bytes | None = None
        finals = [each.final for each in source.answers]
        for n, _, some in source.first():
            if not finals[n] and any(finals) and self._in_final is None:
                self._in_final = bytes(map(bool, self.counts))
            self._survey(some)
        if self._nameless:
            self._match(open_staged)

    def _survey(self, some: list[bytes]) -> None:
        fates, counts, index_of = self.fates, self.counts, self._lines.index_of
        in_final = self._in_final
        for line in some:
            text = line.strip()
            if not text:
                continue
            try:
                id = id_of(text)
                if not text.isascii():
                    text.decode()  # what the decoder skips is not checked
                if id is None:
                    self._take_nameless(text)
                    continue
            except UNDECODABLE:
                fates.append(Fate.UNREADABLE)
                continue
            number = line_of(id)
            index = -1 if number is None else index_of(number)
            if index < 0:
                fates.append(Fate.NO_SUCH_ROW)
            elif in_final is not None and in_final[index]:
                fates.append(Fate.SUPERSEDED)
            else:
                fates.append(index)
                counts[index] += 1

    def _take_nameless(self, text: bytes) -> None:
        mark = mark_of_answer(text)
        if mark is not None:
            place = len(self.fates)
            late = self._in_final is not None
            self._nameless[mark].append(_Nameless(place, hash(text), late))
        self.fates.append(Fate.NO_MATCH)

    def _match(self, open_staged: Open | None) -> None:
        """Gives answers without an id to the rows with the same request."""
        rows: dict[bytes, list[int]] = defaultdict(list)
        for line in _staged(open_staged):
            mark = mark_of_row(line)
            if mark in self._nameless:
                number = line_of(id_of(line) or "")
                index = -1 if number is None else self._lines.index_of(number)
                if index >= 0:
                    rows[mark].append(index)
        for mark, equal in rows.items():
            self._share(self._nameless[mark], equal)

    def _share(self, answers: "list[_Nameless]", rows: list[int]) -> None:
        """
        Gives each of the rows, whose requests are equal, one of the answers to it. More
        answers than rows are doubled.
        """
        free = [index for index in rows if not self.counts[index]]
        free.reverse()
        taken: dict[int, int] = {}
        replaced = None  #: whether final objects have answers to all of the rows
        for each in answers:
            if each.late:
                replaced = not free if replaced is None else replaced
                if replaced or each.line in taken:
                    self.fates[each.place] = Fate.SUPERSEDED
                    continue
            if free:
                index = taken[each.line] = free.pop()
                self.same_rows += len(rows) > 1
            else:
                index = taken.get(each.line, rows[0])
            self.fates[each.place] = index
            self.counts[index] += 1


class _Nameless(NamedTuple):
    """An answer without an id."""

    place: int  #: in `Joined.fates`
    line: int  #: a hash
    late: bool  #: beside a final object that has all rows


def _staged(open: Open | None) -> Iterator[bytes]:
    """The rows as sent; none if they are gone."""
    if open is None:
        return
    try:
        for lines in lines_of(open()):
            yield from filter(None, lines)
    except SourceGone:
        return
