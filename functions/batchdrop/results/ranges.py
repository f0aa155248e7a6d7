"""
Writes results from sorted runs, a range of rows at a time.

The runs' sparse indexes say how many bytes of answers a range of rows has. All runs are
read side by side, a piece of each, so that all answers of a row are at hand together.
"""

from bisect import bisect_left
from collections.abc import Sequence
from heapq import heapify, heappop, heappush

from msgspec import Struct

from batchdrop.results.again import Again
from batchdrop.results.questions import NO_LINE, Lines
from batchdrop.results.reading import HELD, size_of
from batchdrop.results.runs import records
from batchdrop.results.slices import Run, Write
from batchdrop.results.strangers import Answer, Strangers
from batchdrop.results.totals import Totals
from batchdrop.results.values import (
    Answers,
    Bill,
    DoesNotAddUp,
    OpenAt,
    Questions,
    TooLarge,
    finals_first,
)
from batchdrop.results.writing import Kept, Reached, Results

#: Bytes of answers that one range has, unless a single row has more; and most rows, as
#: a result takes some 20 us however short it is.
RANGE, ROWS = 1024**3, 4_000_000
#: Bytes of a run that are read at a time.
_READ = 1024**2


class Range(Struct, frozen=True, kw_only=True):
    """Some rows, and their answers. It can be written as JSON."""

    first: int  #: the index of its first row
    end: int  #: that of the next range's first row
    spans: list[tuple[int, int]]  #: of each run the bytes that have all of its answers

    @property
    def size(self) -> int:
        """Bytes of the runs that are read."""
        return sum(end - start for start, end in self.spans)


class Segment(Struct, frozen=True, kw_only=True):
    """What came of a range. It can be written as JSON."""

    totals: Totals
    reached: Reached


def plan(questions: Questions, runs: Sequence[Run]) -> list[Range]:
    """
    Cuts all rows into ranges of at most RANGE bytes of answers, and some ROWS rows; at
    least one.
    """
    ranges: list[Range] = []
    first, size = 0, 0
    for row, bytes in sorted(_blocks(runs)):
        if row > first and (size + bytes > RANGE or row - first > ROWS):
            ranges.append(_range(first, row, runs))
            first, size = row, _overlap(row, runs)
        size += bytes
    return [*ranges, _range(first, max(questions.staging.rows, first), runs)]


def _blocks(runs: Sequence[Run]) -> list[tuple[int, int]]:
    """The parts of all runs between entries of their indexes: first row, and bytes."""
    found = []
    for run in runs:
        ends = [at for _, at in run.index[1:]] + [run.size]
        pairs = zip(run.index, ends, strict=True) if run.index else ()
        found += [(row, end - at) for (row, at), end in pairs]
    return found


def _range(first: int, end: int, runs: Sequence[Run]) -> Range:
    spans = [(_start(run, first), _end(run, end)) for run in runs]
    return Range(first=first, end=end, spans=spans)


def _overlap(row: int, runs: Sequence[Run]) -> int:
    """Bytes that both the range up to a row and the one from it on have to read."""
    return sum(_end(run, row) - _start(run, row) for run in runs)


def _start(run: Run, row: int) -> int:
    """A byte of a run from which on all answers to rows from this one on are."""
    n = bisect_left(run.index, (row, -1))
    return run.index[n - 1][1] if n else 0


def _end(run: Run, row: int) -> int:
    """A byte of a run before which all answers to rows before this one are."""
    n = bisect_left(run.index, (row, -1))
    return run.index[n][1] if n < len(run.index) else run.size


def read_size(runs: int) -> int:
    """How many bytes of a run to read at a time, so that all of them can be held."""
    return min(_READ, HELD // max(runs, 1))


def merge(
    questions: Questions,
    answers: Sequence[Answers],
    ranges: Sequence[Range],
    j: int,
    runs: Sequence[OpenAt],
    *,
    write: Write,
    write_stranger: Write,
    since: Reached | None = None,
    full: bool = False,
    round: int = 0,
    bill: Bill | None = None,
    again: Again | None = None,
) -> Segment:
    """
    Writes the results of one range, and of the refused lines between its rows and up to
    the next range; the first one has those before its rows as well.

    Args:
        answers: those that were sorted; their bytes aren't read again.
        ranges: of `plan`.
        j: which range, counted from 0.
        runs: what opens each run, in the order of the slices; pieces of `read_size`.
        write, write_stranger, full, round, bill, again: as for `collected`. The sum of
            the bills of all ranges is the job's.
        since: what the range before has reached; None for the first one.

    Raises:
        DoesNotAddUp: the runs have other answers than were sorted.
        TooLarge: the answers to one row need more memory than there is.
    """
    answers = finals_first(answers)
    lines, totals = Lines(questions), Totals()
    strangers = Strangers(answers, write_stranger, totals)
    results = Results(questions, write, round, bill, totals, since, again)
    merging = _Merging(ranges[j], runs, [each.final for each in answers], totals)
    start = lines.line_of(ranges[j].first) if j else 0
    end = lines.line_of(ranges[j].end) if j + 1 < len(ranges) else NO_LINE
    results.write(lines, Kept(merging.take, strangers, full, totals).said, start, end)
    reached = results.finish()
    merging.finish()
    return Segment(totals=totals, reached=reached)


class _Merging:
    """The answers to the rows of a range, from all runs."""

    def __init__(
        self,
        range: Range,
        runs: Sequence[OpenAt],
        finals: Sequence[bool],
        totals: Totals,
    ) -> None:
        self._pieces = [
            records(open(*span), range.first, range.end) if span[0] < span[1] else None
            for open, span in zip(runs, range.spans, strict=True)
        ]
        #: Of each run that has more: a row before which it has no more answers.
        self._ahead = [
            (range.first, k) for k, piece in enumerate(self._pieces) if piece
        ]
        heapify(self._ahead)
        self._held: dict[int, _Read | list[_Read]] = {}
        self._size = 0  #: of all that are held
        self._finals = finals
        self._totals = totals

    def take(self, row: int) -> Answer | list[Answer] | None:
        """The answer to a row, or all of them in their order; None if none came."""
        ahead = self._ahead
        while ahead and ahead[0][0] <= row:
            self._pull()
        found = self._held.pop(row, None)
        if found is None:
            return None
        if isinstance(found, list):
            self._size -= sum(size_of(text) for text, _, _ in found)
            return self._not_superseded(found)
        text, tag, number = found
        self._size -= size_of(text)
        return text, tag >> 1, number

    def finish(self) -> None:
        """Makes sure that nothing is left, once all rows have had their turn."""
        while self._ahead:
            self._pull()
        if self._held:
            raise DoesNotAddUp("the sorted answers changed while they were read")

    def _pull(self) -> None:
        """Reads the next piece of the run that is the least far ahead."""
        _, k = heappop(self._ahead)
        pieces = self._pieces[k]
        piece = next(pieces, None) if pieces else None
        if piece is None:
            return
        held, size = self._held, 0
        for row, tag, number, text in piece:
            size += size_of(text)
            answer = (text, tag, number)
            others = held.get(row)
            if others is None:
                held[row] = answer
            elif isinstance(others, list):
                others.append(answer)
            else:
                held[row] = [others, answer]
        heappush(self._ahead, (piece[-1][0], k))
        self._size += size
        if self._size > _MOST:
            raise TooLarge(f"the answers to a row have more than {HELD:,} bytes")

    def _not_superseded(self, found: "list[_Read]") -> Answer | list[Answer]:
        """
        The answers in the order in which they were read, without those that a final
        object replaces.
        """
        found.sort(key=lambda each: (each[1] >> 1, each[2]))
        in_final = any(self._finals[tag >> 1] and not tag & 1 for _, tag, _ in found)
        kept = [
            (text, tag >> 1, number)
            for text, tag, number in found
            if tag & 1 or self._finals[tag >> 1] or not in_final
        ]
        self._totals.superseded += len(found) - len(kept)
        return kept if len(kept) > 1 else kept[0]


#: An answer's text, tag and line number.
_Read = tuple[bytes, int, int]
#: Bytes that may be held: those of tiny answers take more memory than was read.
_MOST = 2 * HELD
