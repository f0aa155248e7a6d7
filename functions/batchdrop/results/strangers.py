"""Writes the answers that belong to no row."""

from collections.abc import Callable, Sequence

import msgspec

from batchdrop.results.ids import UNDECODABLE
from batchdrop.results.totals import Totals
from batchdrop.results.values import Answers, Why

#: An answer, the object's place in the sequence, and its line there.
Answer = tuple[bytes, int, int]


class Strangers:
    """
    Writes a line for each answer that belongs to no row, and counts them.

    Args:
        answers: the objects with answers, in the order in which they are read.
        write: takes the lines.
    """

    def __init__(
        self,
        answers: Sequence[Answers],
        write: Callable[[bytes], object],
        totals: Totals,
    ) -> None:
        self._names = [msgspec.json.encode(each.name) for each in answers]
        self._write = write
        self._totals = totals

    def add(self, answer: Answer, why: Why) -> None:
        """Writes an answer."""
        text, n, number = answer
        self._totals.strangers += 1
        try:
            text.decode()
            msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        except UNDECODABLE:
            # What isn't UTF-8 in it is written as \xNN.
            text = msgspec.json.encode(text.decode(errors="backslashreplace"))
        self._write(
            b'{"why":"%b","object":%b,"line":%d,"answer":%b}\n'
            % (why.encode(), self._names[n], number, text)
        )
