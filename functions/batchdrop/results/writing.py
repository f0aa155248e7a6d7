"""Writes results: one line for each line of the file that was staged or refused."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable

import msgspec
from msgspec import Struct

from batchdrop.batches.row_errors import STATUS_NAMES
from batchdrop.batches.usage import RowUsage
from batchdrop.jobs.values import Input, Problem
from batchdrop.results.again import Again, read_line
from batchdrop.results.failures import Failures
from batchdrop.results.ids import UNDECODABLE
from batchdrop.results.judging import Said, judge
from batchdrop.results.lines import Kind
from batchdrop.results.questions import (
    NO_LINE,
    Lines,
    Own,
    Refusals,
    error_member,
    row_id,
)
from batchdrop.results.strangers import Answer, Strangers
from batchdrop.results.totals import Totals
from batchdrop.results.values import BEST_FIRST, Bill, Questions, Why
from batchdrop.rows import RowOutcome

#: Result lines between two entries of the sparse index.
EVERY = 1000
#: Bytes that are written at a time.
BLOCK = 1_000_000
Write = Callable[[bytes], object]
_OK = RowOutcome.OK  # an enum's members are slow to look up


class Reached(Struct, frozen=True, kw_only=True):
    """How many bytes of the sidecar and of the report have been used."""

    sidecar: int = 0
    report: int = 0


class Written:
    """Writes results, many at a time, and counts and indexes them."""

    def __init__(self, write: Write, totals: Totals) -> None:
        self._write = write
        self._totals = totals
        self._block: list[bytes] = []
        self._size = 0

    def add(self, result: bytes) -> None:
        """Adds a line, which ends in a line feed."""
        totals = self._totals
        if totals.lines % EVERY == 0:
            totals.offsets.append((totals.lines, totals.size))
        totals.lines += 1
        totals.size += len(result)
        self._block.append(result)
        self._size += len(result)
        if self._size > BLOCK:
            self.finish()

    def finish(self) -> None:
        """Writes what is left."""
        if self._block:
            self._write(b"".join(self._block))
            self._block.clear()
            self._size = 0


class Kept:
    """Decides which answer a row keeps."""

    def __init__(
        self,
        take: Callable[[int], Answer | list[Answer] | None],
        strangers: Strangers,
        full: bool,
        totals: Totals,
    ) -> None:
        """
        Args:
            take: returns the answer to a row, or all of them in their order; None if it
                has none. It is called for each row in turn.
        """
        self._take = take
        self._strangers = strangers
        self._full = full
        self._totals = totals

    def said(self, index: int, json: bool) -> Said | None:
        """What the answer to a row says; None if it has none."""
        found = self._take(index)
        if isinstance(found, list):
            return self._best(found, json)
        return self._read(found, json) if found is not None else None

    def _read(self, answer: Answer, json: bool) -> Said | None:
        try:
            return judge(answer[0], json, self._full)
        except UNDECODABLE:
            self._strangers.add(answer, Why.UNREADABLE)
            return None

    def _best(self, answers: list[Answer], json: bool) -> Said | None:
        """Keeps one of several: the best outcome, else the first."""
        different: dict[bytes, Answer] = {}
        for answer in answers:
            if answer[0] in different:
                self._totals.superseded += 1
            else:
                different[answer[0]] = answer
        read = [
            (said, answer)
            for answer in different.values()
            if (said := self._read(answer, json)) is not None
        ]
        if not read:
            return None
        kept = min(read, key=lambda pair: BEST_FIRST.index(pair[0].outcome))
        for pair in read:
            if pair is not kept:
                self._strangers.add(pair[1], Why.DOUBLED)
        return kept[0]


class Results:
    """Writes the results, and counts them."""

    def __init__(
        self,
        questions: Questions,
        write: Write,
        round: int,
        bill: Bill | None,
        totals: Totals,
        since: Reached | None = None,
        again: Again | None = None,
    ) -> None:
        since = since or Reached()
        self._totals = totals
        self._outcomes: Counter[RowOutcome] = Counter()
        self._failures = Failures()
        self._own = Own(questions.open_sidecar, since.sidecar)
        self._refusals = Refusals(questions.open_report, since.report)
        self._place = _places(questions.inputs)
        self._missing = b'"outcome":"missing"%b' % _problem(questions.error)
        self._end = b',"round":%d}\n' % round
        self._written = Written(write, totals)
        self._bill = bill
        self._takes = again.takes if again else None

    def write(
        self,
        lines: Lines,
        said: Callable[[int, bool], Said | None],
        start: int = 0,
        end: int = NO_LINE,
    ) -> None:
        """
        Writes the results of the lines from `start` up to `end`.

        Args:
            said: returns what the answer to a row says, given the row's index and
                whether it asked for JSON; None if it has none.
        """
        line, index = lines.first, 0
        for kind, count in lines.runs():
            own = range(max(line, start), min(line + count, end))
            if kind is Kind.REFUSED:
                for number in own:
                    self.refused(number)
            elif kind is not Kind.BLANK:
                json, ahead = kind is Kind.STAGED_JSON, index - line
                for number in own:
                    self.staged(number, said(ahead + number, json))
                index += count
            line += count

    def staged(self, line: int, said: Said | None) -> None:
        """Adds the result of a row; None stands for no answer."""
        if said is None:
            self._outcomes[RowOutcome.MISSING] += 1
            self._add(line, self._missing)
            return
        self._outcomes[said.outcome] += 1
        usage = self._totals.usage
        for n, tokens in enumerate(said.usage):
            usage[n] += tokens
        if said.error is not None:
            self._failures.add(said.error, row_id(line))
        if self._bill is not None and said.body is not None:
            self._bill.add(said.body, RowUsage(*said.usage), said.day)
        result = self._add(line, said.members)
        if said.outcome is not _OK and self._takes and self._takes(read_line(result)):
            self._totals.passing += 1

    def refused(self, line: int) -> None:
        """Adds the result of a line that was not sent."""
        self._outcomes[RowOutcome.REFUSED] += 1
        self._add(line, b'"outcome":"refused"' + self._refusals.error(line))

    def finish(self) -> Reached:
        """Writes what is left, and completes the totals."""
        self._written.finish()
        self._totals.outcomes = dict(self._outcomes)
        self._totals.failures = self._failures.all()
        self._totals.columns_lost = self._own.lost
        return Reached(sidecar=self._own.at, report=self._refusals.at)

    def _add(self, line: int, members: bytes) -> bytes:
        own = self._own.members(line)
        if self._place is not None:
            own = self._place(line) + own
        result = b'{"id":"r%07d","line":%d,%b%b%b' % (
            line,
            line,
            own,
            members,
            self._end,
        )
        self._written.add(result)
        return result


def _places(inputs: tuple[Input, ...]) -> Callable[[int], bytes] | None:
    """Returns what makes `"place":"OBJECT line N",`; None if there is one object."""
    if len(inputs) < 2:
        return None
    read = [each for each in inputs if each.first]
    firsts = [each.first for each in read]
    names = [msgspec.json.encode(each.uri)[:-1] for each in read]

    def place(line: int) -> bytes:
        n = bisect_right(firsts, line) - 1
        return b'"place":%b line %d",' % (names[n], line - firsts[n] + 1)

    return place


def _problem(problem: Problem | None) -> bytes:
    if problem is None:
        return b""
    if isinstance(problem.code, int):
        status = STATUS_NAMES.get(problem.code)
        return error_member(problem.code, status, problem.message)
    return error_member(status=problem.code, message=problem.message)
