"""Brings answers into the order of the file, within a bounded memory."""

from collections.abc import Callable

import msgspec

from batchdrop.results.joining import Fate, Joined, Piece, Source
from batchdrop.results.reading import HELD, size_of
from batchdrop.results.values import DoesNotAddUp, TooLarge, Why


class Arriving:
    """
    The answers to the rows. An answer that comes before its row's turn is held; one
    that no row takes is written as a stranger.

    Attributes:
        strangers, superseded: how many answers of these there were.
    """

    def __init__(
        self, joined: Joined, source: Source, write_stranger: Callable[[bytes], object]
    ) -> None:
        self.strangers = self.superseded = 0
        self._fates = joined.fates
        self._counts = joined.counts
        self._source = source
        self._pieces = source.again()
        self._write_stranger = write_stranger
        self._held: dict[int, Answer] = {}  #: of rows that have one answer
        self._several: dict[int, list[Answer]] = {}  #: of the others
        self._size = 0  #: of all that are held
        self._at = 0  #: the next one of `fates`

    def take(self, row: int) -> "Answer | list[Answer] | None":
        """The answer to a row, or all of them in their order; None if none came."""
        want = self._counts[row]
        if want == 1:
            while (answer := self._held.pop(row, None)) is None:
                self._pull()
            self._size -= size_of(answer[0])
            return answer
        if not want:
            return None
        while len(self._several.get(row, ())) < want:
            self._pull()
        several = self._several.pop(row)
        self._size -= sum(size_of(answer[0]) for answer in several)
        return several

    def finish(self) -> None:
        """Reads what is left, once all rows have had their turn."""
        while (piece := next(self._pieces, None)) is not None:
            self._distribute(piece)
        if self._held or self._several or self._at != len(self._fates):
            raise _changed()

    def refuse(self, answer: "Answer", why: Why) -> None:
        """Writes an answer as a stranger."""
        text, n, number = answer
        self.strangers += 1
        try:
            text.decode()
            msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            # What isn't UTF-8 in it is written as \xNN.
            text = msgspec.json.encode(text.decode(errors="backslashreplace"))
        name = msgspec.json.encode(self._source.answers[n].name)
        self._write_stranger(
            b'{"why":"%b","object":%b,"line":%d,"answer":%b}\n'
            % (why.encode(), name, number, text)
        )

    def _pull(self) -> None:
        piece = next(self._pieces, None)
        if piece is None:
            raise _changed()
        self._distribute(piece)
        if self._size > HELD:
            raise TooLarge(
                f"the answers are not in the file's order, and over {HELD:,} bytes; to "
                "sort so many takes steps of its own"
            )

    def _distribute(self, piece: Piece) -> None:
        n, number, lines = piece
        held, several = self._held, self._several
        counts, fates, at = self._counts, self._fates, self._at
        size = 0
        for line in lines:
            text = line.strip()
            if text:
                if at == len(fates):
                    raise _changed()
                fate = fates[at]
                at += 1
                answer = (text, n, number)
                if fate >= 0:
                    size += size_of(text)
                    if counts[fate] == 1:
                        held[fate] = answer
                    else:
                        several.setdefault(fate, []).append(answer)
                elif fate == Fate.SUPERSEDED:
                    self.superseded += 1
                else:
                    self.refuse(answer, Fate(fate).why)
            number += 1
        self._at = at
        self._size += size


def _changed() -> DoesNotAddUp:
    return DoesNotAddUp("the objects with answers changed while they were read")


#: An answer, the object's place in the sequence, and its line there.
Answer = tuple[bytes, int, int]
