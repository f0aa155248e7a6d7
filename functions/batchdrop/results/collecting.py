"""Collects a job: reads its answers, and writes a result for each line of the file."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from batchdrop.batches.row_errors import STATUS_NAMES
from batchdrop.batches.usage import RowUsage
from batchdrop.jobs.values import Input, Problem, Usage
from batchdrop.results.arriving import Answer, Arriving
from batchdrop.results.failures import Failures
from batchdrop.results.joining import UNDECODABLE, Joined, Source
from batchdrop.results.judging import Said, judge
from batchdrop.results.lines import Kind
from batchdrop.results.questions import Lines, Own, Refusals, error_member, row_id
from batchdrop.results.values import (
    BEST_FIRST,
    Answers,
    Bill,
    DoesNotAddUp,
    Questions,
    Summary,
    Why,
)
from batchdrop.rows import RowOutcome, Rows

#: Result lines between two entries of the sparse index.
EVERY = 1000
#: Bytes that are written at a time.
_BLOCK = 1_000_000
Write = Callable[[bytes], object]


def collected(
    questions: Questions,
    answers: Sequence[Answers],
    *,
    write: Write,
    write_stranger: Write,
    full: bool = False,
    round: int = 0,
    bill: Bill | None = None,
) -> Summary:
    """
    Writes a result for each line that was staged or refused, in the file's order.

    Args:
        write: takes the results, many lines at a time.
        write_stranger: takes a line for each answer that belongs to no row.
        full: whether each result has the API's response.
        bill: takes the answers that rows keep, but for errors and for blocked prompts
            without counts, which cost nothing.

    Raises:
        DoesNotAddUp: the counts contradict each other; what was written is of no use.
        TooLarge: the answers need more memory than there is; the same.
    """
    answers = sorted(answers, key=lambda each: not each.final)
    lines = Lines(questions)
    source = Source(answers)
    joined = Joined(lines, questions.staging.rows, source, questions.open_staged)
    results = _Results(questions, write, round, bill)
    arriving = Arriving(joined, source, write_stranger)
    rows = _Rows(arriving, full)
    line, index = questions.staging.first, 0
    for kind, count in lines.runs():
        if kind is Kind.REFUSED:
            for number in range(line, line + count):
                results.refused(number)
        elif kind is not Kind.BLANK:
            json = kind is Kind.STAGED_JSON
            for n in range(count):
                results.staged(line + n, rows.said(index + n, json))
            index += count
        line += count
    results.flush()
    arriving.finish()
    return _summary(questions, joined, arriving, results)


class _Rows:
    """Decides which answer a row keeps."""

    def __init__(self, arriving: Arriving, full: bool) -> None:
        self._arriving = arriving
        self._full = full

    def said(self, index: int, json: bool) -> Said | None:
        """What the answer to a row says; None if it has none."""
        found = self._arriving.take(index)
        if isinstance(found, list):
            return self._best(found, json)
        return self._read(found, json) if found is not None else None

    def _read(self, answer: Answer, json: bool) -> Said | None:
        try:
            return judge(answer[0], json, self._full)
        except UNDECODABLE:
            self._arriving.refuse(answer, Why.UNREADABLE)
            return None

    def _best(self, answers: list[Answer], json: bool) -> Said | None:
        """Keeps one of several: the best outcome, else the first."""
        different: dict[bytes, Answer] = {}
        for answer in answers:
            if answer[0] in different:
                self._arriving.superseded += 1
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
                self._arriving.refuse(pair[1], Why.DOUBLED)
        return kept[0]


class _Results:
    """Writes the results, and counts them."""

    def __init__(
        self, questions: Questions, write: Write, round: int, bill: Bill | None
    ) -> None:
        self.outcomes: Counter[RowOutcome] = Counter()
        self.usage = [0, 0, 0, 0, 0]
        self.failures = Failures()
        self.offsets: list[tuple[int, int]] = []
        self.lines = self.size = 0
        self.own = Own(questions.open_sidecar)
        self._refusals = Refusals(questions.open_report)
        self._place = _places(questions.inputs)
        self._missing = b'"outcome":"missing"%b' % _problem(questions.error)
        self._end = b',"round":%d}\n' % round
        self._write = write
        self._bill = bill
        self._block: list[bytes] = []
        self._block_size = 0

    def staged(self, line: int, said: Said | None) -> None:
        """Adds the result of a row; None stands for no answer."""
        if said is None:
            self.outcomes[RowOutcome.MISSING] += 1
            self._add(line, self._missing)
            return
        self.outcomes[said.outcome] += 1
        usage = self.usage
        for n, tokens in enumerate(said.usage):
            usage[n] += tokens
        if said.error is not None:
            self.failures.add(said.error, row_id(line))
        if self._bill is not None and said.body is not None:
            self._bill.add(said.body, RowUsage(*said.usage), said.day)
        self._add(line, said.members)

    def refused(self, line: int) -> None:
        """Adds the result of a line that was not sent."""
        self.outcomes[RowOutcome.REFUSED] += 1
        self._add(line, b'"outcome":"refused"' + self._refusals.error(line))

    def flush(self) -> None:
        if self._block:
            self._write(b"".join(self._block))
            self._block.clear()
            self._block_size = 0

    def _add(self, line: int, members: bytes) -> None:
        if self.lines % EVERY == 0:
            self.offsets.append((self.lines, self.size))
        own = self.own.members(line)
        if self._place is not None:
            own = self._place(line) + own
        result = b'{"id":"r%07d","line":%d,%b%b%b' % (
            line,
            line,
            own,
            members,
            self._end,
        )
        self.lines += 1
        self.size += len(result)
        self._block.append(result)
        self._block_size += len(result)
        if self._block_size > _BLOCK:
            self.flush()


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


def _summary(
    questions: Questions, joined: Joined, arriving: Arriving, results: _Results
) -> Summary:
    staging, outcomes = questions.staging, results.outcomes
    if results.lines != staging.rows + staging.refused:
        raise DoesNotAddUp(
            f"{results.lines:,} results for {staging.rows + staging.refused:,} lines"
        )
    answered = staging.rows - outcomes[RowOutcome.MISSING]
    read = len(joined.fates)
    if read != answered + arriving.strangers + arriving.superseded:
        raise DoesNotAddUp(
            f"{read:,} answers were read: {answered:,} rows have one, "
            f"{arriving.strangers:,} are strangers, {arriving.superseded:,} superseded"
        )
    prompt, cached, output, thoughts, total = results.usage
    return Summary(
        rows=Rows(
            total=results.lines,
            accepted=staging.rows,
            refused=outcomes[RowOutcome.REFUSED],
            **{
                each.value: outcomes[each] for each in (*BEST_FIRST, RowOutcome.MISSING)
            },
        ),
        usage=Usage(
            prompt=prompt, cached=cached, output=output, thoughts=thoughts, total=total
        ),
        failures=results.failures.most_frequent(),
        strangers=arriving.strangers,
        superseded=arriving.superseded,
        same_rows=joined.same_rows,
        columns_lost=results.own.lost,
        offsets=results.offsets,
        lines=results.lines,
        answers_read=read,
    )
