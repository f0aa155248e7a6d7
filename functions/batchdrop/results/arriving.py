"""Brings answers into the order of the file, in bounded memory."""

from batchdrop.results.joining import Joined, Piece, Source
from batchdrop.results.reading import HELD, size_of
from batchdrop.results.strangers import Answer, Strangers
from batchdrop.results.totals import Totals
from batchdrop.results.values import DoesNotAddUp, Fate, TooLarge


class Arriving:
    """
    The answers to the rows. An answer that comes before its row's turn is held; one
    that no row takes is a stranger.
    """

    def __init__(
        self, joined: Joined, source: Source, strangers: Strangers, totals: Totals
    ) -> None:
        self._fates = joined.fates
        self._counts = joined.counts
        self._source = source
        self._pieces = source.again()
        self._strangers = strangers
        self._totals = totals
        self._held: dict[int, Answer] = {}  #: of rows that have one answer
        self._several: dict[int, list[Answer]] = {}  #: of the others
        self._size = 0  #: of all that are held
        self._at = 0  #: the next one of `fates`

    def take(self, row: int) -> Answer | list[Answer] | None:
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

    def _pull(self) -> None:
        piece = next(self._pieces, None)
        if piece is None:
            raise _changed()
        self._distribute(piece)
        if self._size > HELD:
            raise TooLarge(
                f"the answers are not in the file's order, and over {HELD:,} bytes; to "
                "sort that many takes steps of its own"
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
                    self._totals.superseded += 1
                else:
                    self._strangers.add(answer, Fate(fate).why)
            number += 1
        self._at = at
        self._size += size


def _changed() -> DoesNotAddUp:
    return DoesNotAddUp("the objects with answers changed while they were read")
