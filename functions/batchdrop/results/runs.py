"""
A run: the answers of a slice, sorted by their rows.

An answer is stored as four numbers of four bytes each (the index of its row, its tag,
the number of its line, the length of its text in bytes) and its text. The tag is twice
the position of its object in the sequence, plus 1 if the answer has no id.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator
from struct import Struct as Layout

from batchdrop.results.reading import HELD
from batchdrop.results.values import DoesNotAddUp, TooLarge

#: Bytes of a run between two entries of its sparse index.
EVERY = 128 * 1024
#: Bytes that are written at a time.
_BLOCK = 1_000_000
_HEAD = Layout("<4I")
#: A row's index, and the byte at which its answers begin.
Entry = tuple[int, int]
#: Of an answer: its row, its tag, the number of its line, its text.
Record = tuple[int, int, int, bytes]


class Sorting:
    """
    The answers of a slice, one after the other in one buffer, and where each ends: some
    20 bytes of memory for an answer besides its text.
    """

    def __init__(self) -> None:
        self.text = bytearray()
        self.rows = array("i")  #: of each answer, negative if it is in no run
        self.tags = array("I")
        self.numbers = array("I")  #: of their lines
        self._ends = array("I")

    def add(self, text: bytes, row: int, tag: int, number: int) -> None:
        """Adds an answer; what was added to `rows` may be changed afterwards."""
        self.text += text
        self._ends.append(len(self.text))
        self.rows.append(row)
        self.tags.append(tag)
        self.numbers.append(number)

    def text_of(self, place: int) -> bytes:
        start = self._ends[place - 1] if place else 0
        return bytes(self.text[start : self._ends[place]])

    def write(
        self, rows: int, write: Callable[[bytes], object]
    ) -> tuple[int, list[Entry]]:
        """
        Writes the answers that have a row, those of a row in the order in which they
        were added.

        Args:
            rows: how many there are in all.

        Returns:
            The bytes written, and a sparse index of them.
        """
        block: list[bytes | memoryview] = []
        index: list[Entry] = []
        size = written = due = 0
        ends, tags, numbers, pack = self._ends, self.tags, self.numbers, _HEAD.pack
        all_rows = self.rows
        with memoryview(self.text) as text:
            for place in self._order(rows):
                row = all_rows[place]
                start, end = ends[place - 1] if place else 0, ends[place]
                if written + size >= due:
                    index.append((row, written + size))
                    due = written + size + EVERY
                block.append(pack(row, tags[place], numbers[place], end - start))
                block.append(text[start:end])
                size += _HEAD.size + end - start
                if size > _BLOCK:
                    write(b"".join(block))
                    block.clear()
                    written, size = written + size, 0
            if block:
                write(b"".join(block))
                block.clear()
        return written + size, index

    def _order(self, rows: int) -> Iterator[int]:
        """The places of the answers, by row."""
        # Sorting all at once would take an object for each answer.
        shift = max(rows.bit_length() - 12, 0)
        buckets = [array("I") for _ in range((rows >> shift) + 1)]
        for place, row in enumerate(self.rows):
            if row >= 0:
                buckets[row >> shift].append(place)
        for bucket in buckets:
            if shift:
                yield from sorted(bucket, key=self.rows.__getitem__)
            else:
                yield from bucket


def records(chunks: Iterable[bytes], first: int, end: int) -> Iterator[list[Record]]:
    """
    Yields the answers of a run to the rows from `first` up to `end`, those of a chunk
    at a time.

    Args:
        chunks: bytes of the run that begin with an answer.

    Raises:
        DoesNotAddUp: the run ends within an answer.
        TooLarge: an answer has more than HELD bytes.
    """
    unpack, head = _HEAD.unpack_from, _HEAD.size
    rest = b""
    for chunk in chunks:
        data = rest + chunk if rest else chunk
        found: list[Record] = []
        at, most = 0, len(data)
        while at + head <= most:
            row, tag, number, size = unpack(data, at)
            if row >= end:
                if found:
                    yield found
                return
            if size > HELD:
                raise TooLarge(f"an answer has more than {HELD:,} bytes")
            start = at + head
            after = start + size
            if after > most:
                break
            if row >= first:
                found.append((row, tag, number, data[start:after]))
            at = after
        rest = data[at:]
        if found:
            yield found
    if rest:
        raise DoesNotAddUp("a run of sorted answers ends within one of them")
