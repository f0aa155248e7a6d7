"""
Finds the row of each answer: by the id that the API echoes; where an answer has none,
by the request that it echoes. Never by its position.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence

from batchdrop.results.content import mark_of_answer
from batchdrop.results.ids import UNDECODABLE, id_of
from batchdrop.results.questions import Lines, line_of
from batchdrop.results.reading import HELD, lines_of, size_of
from batchdrop.results.sharing import Nameless, Sharing, marks_of
from batchdrop.results.values import Answers, Fate, Open

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


class Rows:
    """Finds the rows of answers by their ids."""

    def __init__(self, lines: Lines) -> None:
        self._index_of = lines.index_of

    def find(self, text: bytes) -> int | bytes:
        """
        The index of the row of an answer; a `Fate` if it has none. Of an answer without
        an id it is the hash of its request.
        """
        try:
            id = id_of(text)
            if not text.isascii():
                text.decode()  # what the decoder skips is not checked
            if id is None:
                mark = mark_of_answer(text)
                return Fate.NO_MATCH if mark is None else mark
        except UNDECODABLE:
            return Fate.UNREADABLE
        number = line_of(id)
        index = -1 if number is None else self._index_of(number)
        return Fate.NO_SUCH_ROW if index < 0 else index


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
        self._find = Rows(lines).find
        #: The answers without an id, by the hash of their request.
        self._nameless: dict[bytes, list[Nameless]] = defaultdict(list)
        #: Once there are answers of final objects: whether each row has one.
        self._in_final: bytes | None = None
        finals = [each.final for each in source.answers]
        for n, _, some in source.first():
            if not finals[n] and any(finals) and self._in_final is None:
                self._in_final = bytes(map(bool, self.counts))
            self._survey(some)
        if self._nameless:
            self._match(marks_of(lines, rows, open_staged))

    def _survey(self, some: list[bytes]) -> None:
        fates, counts, find = self.fates, self.counts, self._find
        in_final = self._in_final
        for line in some:
            text = line.strip()
            if not text:
                continue
            found = find(text)
            if isinstance(found, bytes):
                late = in_final is not None
                answer = Nameless.of(len(fates), text, late)
                self._nameless[found].append(answer)
                fates.append(Fate.NO_MATCH)
            elif found < 0:
                fates.append(found)
            elif in_final is not None and in_final[found]:
                fates.append(Fate.SUPERSEDED)
            else:
                fates.append(found)
                counts[found] += 1

    def _match(self, marks: bytes) -> None:
        """Gives answers without an id to the rows with the same request."""
        sharing = Sharing(marks, len(self.counts))
        for index, count in enumerate(self.counts):
            if count:
                sharing.name(index)
        for place, fate in sharing.share(self._nameless):
            self.fates[place] = fate
            if fate >= 0:
                self.counts[fate] += 1
        self.same_rows = sharing.same_rows
