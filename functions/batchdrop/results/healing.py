"""
Joins the results of a round, in which rows went again, to the results before it. Both
are in the file's order, so each is read once, and neither is kept in memory.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from batchdrop.results.again import Again, Line, read_line
from batchdrop.results.failures import Failures, code_of
from batchdrop.results.questions import row_id
from batchdrop.results.reading import lines_of
from batchdrop.results.totals import Totals
from batchdrop.results.values import BEST_FIRST, DoesNotAddUp
from batchdrop.results.writing import Write, Written
from batchdrop.rows import RowOutcome

#: Bytes of the results before that are joined in one step.
RANGE = 1024**3
_RANKS = {each.value: n for n, each in enumerate((*BEST_FIRST, RowOutcome.MISSING))}
_OK, _FAILED = RowOutcome.OK.value, RowOutcome.FAILED.value


class Healed(Struct, frozen=True, kw_only=True):
    """What came of a range. It can be written as JSON."""

    totals: Totals  #: of the results that are written; it has no answers and no tokens
    healed: int  #: rows whose outcome is better than before
    reached: int  #: how many bytes of the round's results have been used


def plan(offsets: Sequence[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    """
    Cuts results into ranges of at most RANGE bytes, unless the lines between two
    entries of the index have more; at least one.

    Args:
        offsets: the sparse index: how many lines lie before a place, and how many
            bytes.
        size: bytes of the results.

    Returns:
        From which byte up to which each range has its lines.
    """
    places = [at for _, at in offsets if 0 < at < size] + [size]
    ranges: list[tuple[int, int]] = []
    start = 0
    while start < size or not ranges:
        n = bisect_right(places, start + RANGE) - 1
        end = places[n] if n >= 0 and places[n] > start else _after(places, start)
        ranges.append((start, end))
        start = end
    return ranges


def _after(places: Sequence[int], start: int) -> int:
    return places[min(bisect_right(places, start), len(places) - 1)]


def heal(
    before: Iterable[bytes],
    sent: Iterable[bytes],
    *,
    write: Write,
    again: Again,
    since: int = 0,
    is_last: bool = True,
) -> Healed:
    """
    Writes the results of one range. A row keeps its best outcome, and of equal ones
    the later round's, unless it was only cancelled in that.

    Args:
        before: the results before, from the range's first byte up to its last.
        sent: the round's own results, from the byte `since` on.
        write: takes the results, many lines at a time.
        again: which rows are counted as `passing`, and which rounds were cancelled.
        is_last: whether no range follows: then the round has no further results.

    Raises:
        DoesNotAddUp: the round has a row that the results before don't have, or a line
            that is not a result.
        TooLarge: a line is too long for the memory.
    """
    healing = _Healing(write, again)
    round = _Sent(sent, since)
    for some in lines_of(before):
        for text in some:
            if text:
                one = read_line(text)
                if round.line == one.line:
                    healing.add_better(one, text, round.one, round.text)
                    round.move_on()
                elif round.line < one.line:
                    raise _unknown(round.line)
                else:
                    healing.add(one, text)
    if is_last and round.line < _NO_LINE:
        raise _unknown(round.line)
    return Healed(totals=healing.finish(), healed=healing.healed, reached=round.at)


def _unknown(line: int) -> DoesNotAddUp:
    return DoesNotAddUp(f"a round has a result of line {line:,}, which was not staged")


_NO_LINE = 2**63


class _Sent:
    """
    The results of the round.

    Attributes:
        line: that of the next one.
        at: the byte at which it begins.
    """

    def __init__(self, sent: Iterable[bytes], at: int) -> None:
        self._texts = _texts(sent)
        self.at = at
        self.text = b""
        self.line = -1
        self._next()

    def move_on(self) -> None:
        """The next one has been used."""
        self.at += len(self.text) + 1
        self._next()

    def _next(self) -> None:
        text = next(self._texts, None)
        if text is None:
            self.line = _NO_LINE
            return
        self.text, self.one = text, read_line(text)
        if self.one.line <= self.line:
            raise DoesNotAddUp("the results of a round are not in the file's order")
        self.line = self.one.line


def _texts(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for some in lines_of(chunks):
        yield from some


class _Healing:
    """Writes the results of a range, and counts them."""

    def __init__(self, write: Write, again: Again) -> None:
        self.healed = 0
        self._takes, self._was_cancelled = again.takes, again.was_cancelled
        self._totals = Totals()
        self._written = Written(write, self._totals)
        self._outcomes: Counter[str] = Counter()
        self._failures = Failures()

    def add_better(self, had: Line, before: bytes, got: Line, after: bytes) -> None:
        """Adds the better one of two results of a row."""
        was, now = _RANKS[had.outcome], _RANKS[got.outcome]
        self.healed += now < was
        if now < was or (now == was and not self._was_cancelled(got)):
            self.add(got, after)
        else:
            self.add(had, before)

    def add(self, one: Line, text: bytes) -> None:
        outcome = one.outcome
        self._outcomes[outcome] += 1
        if outcome != _OK:
            self._count(one)
        self._written.add(text + b"\n")

    def _count(self, one: Line) -> None:
        """Counts a row that is not ok."""
        if one.outcome == _FAILED:
            error = one.error
            code = code_of(error.code, error.status) if error else "unknown"
            kind = (code, error.message if error else "")
            # The row went again: nothing better came of any round.
            self._failures.add(kind, row_id(one.line), always=one.round > 0)
        if self._takes(one):
            self._totals.passing += 1

    def finish(self) -> Totals:
        self._written.finish()
        totals = self._totals
        totals.outcomes = {RowOutcome(name): n for name, n in self._outcomes.items()}
        totals.failures = self._failures.all()
        return totals
