"""
Sorts answers that are too many to be kept in memory, a slice of their bytes at a time.

A line belongs to the slice in which it begins. Each slice becomes a run, and what no
row takes is written as strangers at once.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from msgspec import Struct

from batchdrop.results.joining import Rows
from batchdrop.results.questions import Lines
from batchdrop.results.reading import lines_of
from batchdrop.results.runs import Entry, Sorting
from batchdrop.results.sharing import Nameless, Sharing, marks_of
from batchdrop.results.strangers import Strangers
from batchdrop.results.totals import Totals
from batchdrop.results.values import Answers, Fate, OpenAt, Questions, finals_first

#: Bytes of answers that are sorted at a time.
SLICE = 256 * 1024**2
#: Bytes that are read at a time to complete a slice's last line.
_PIECE = 1024**2
Write = Callable[[bytes], object]


class Run(Struct, frozen=True, kw_only=True):
    """What is to be known of a run. It can be written as JSON."""

    totals: Totals  #: the slice's answers, and what no row takes
    final: int  #: how many of its answers are in final objects
    size: int  #: bytes
    index: list[Entry]  #: a sparse one
    number: int  #: of the next line, in the object in which the slice ends
    nameless: bool  #: whether any answer has been without an id so far


class Sorted(NamedTuple):
    """
    What came of a slice.

    `taken` says for the next slice which rows are taken: 8 bytes a row, none while all
    answers have ids.
    """

    run: Run
    taken: bytes


def count(answers: Iterable[Answers]) -> int:
    """How many slices there are: none if there are no bytes."""
    return -(-sum(each.size for each in answers) // SLICE)


def marks(questions: Questions) -> bytes:
    """
    The hashes of all requests as sent, with which answers without ids are joined: 16
    bytes a row; none if the rows as sent are gone. It reads all of them.
    """
    rows = questions.staging.rows
    return marks_of(Lines(questions), rows, questions.open_staged)


def sort(
    questions: Questions,
    answers: Sequence[Answers],
    k: int,
    *,
    write: Write,
    write_stranger: Write,
    marks: Callable[[], bytes],
    before: Run | None = None,
    taken: bytes = b"",
) -> Sorted:
    """
    Sorts one slice.

    Args:
        answers: the same for all slices, with their sizes.
        k: which slice, counted from 0.
        write: takes the run.
        write_stranger: takes a line for each answer that belongs to no row.
        marks: returns those of `marks`; called only if an answer has no id.
        before: what came of the slice before; None for the first one.
        taken: that of the slice before.

    Raises:
        DoesNotAddUp: staging recorded other counts than its lines have.
        TooLarge: a line is too large for the memory.
    """
    answers = finals_first(answers)
    lines, totals = Lines(questions), Totals()
    strangers = Strangers(answers, write_stranger, totals)
    rows = questions.staging.rows
    sorting = Sorting()
    find, add = Rows(lines).find, sorting.add
    nameless: dict[bytes, list[Nameless]] = defaultdict(list)
    any_final = any(each.final for each in answers)
    number, final = before.number if before else 1, 0
    for n, start, end in _pieces(answers, k):
        if not start:
            number = 1
        read, late = totals.read, any_final and not answers[n].final
        tag = 2 * n
        for some in _lines_within(answers[n], start, end):
            for line in some:
                if text := line.strip():
                    totals.read += 1
                    found = find(text)
                    if isinstance(found, bytes):
                        answer = Nameless.of(len(sorting.rows), text, late)
                        nameless[found].append(answer)
                        add(text, Fate.NO_MATCH, tag + 1, number)
                    elif found >= 0:
                        add(text, found, tag, number)
                    else:
                        strangers.add((text, n, number), Fate(found).why)
                number += 1
        if answers[n].final:
            final += totals.read - read
    had = before is not None and before.nameless
    if nameless or had:
        sharing = Sharing(marks() if nameless else b"", rows, taken)
        _share(sorting, sharing, nameless, strangers, totals)
        taken = sharing.taken
    size, index = sorting.write(rows, write)
    run = Run(
        totals=totals,
        final=final,
        size=size,
        index=index,
        number=number,
        nameless=bool(nameless) or had,
    )
    return Sorted(run, taken)


def _share(
    sorting: Sorting,
    sharing: Sharing,
    nameless: dict[bytes, list[Nameless]],
    strangers: Strangers,
    totals: Totals,
) -> None:
    """Finds the rows of the answers without ids."""
    rows = sorting.rows
    for row in rows:
        if row >= 0:
            sharing.name(row)
    for place, fate in sharing.share(nameless):
        rows[place] = fate
    totals.same_rows = sharing.same_rows
    for some in nameless.values():
        for place, _, _ in some:
            if rows[place] == Fate.SUPERSEDED:
                totals.superseded += 1
            elif rows[place] < 0:
                n, number = sorting.tags[place] // 2, sorting.numbers[place]
                answer = (sorting.text_of(place), n, number)
                strangers.add(answer, Fate(rows[place]).why)


def _pieces(answers: Sequence[Answers], k: int) -> Iterator[tuple[int, int, int]]:
    """The parts of objects that a slice has: their places, from byte to byte."""
    start, before = k * SLICE, 0
    for n, each in enumerate(answers):
        first = max(start - before, 0)
        end = min(start + SLICE - before, each.size)
        if first < end:
            yield n, first, end
        before += each.size


def _lines_within(answers: Answers, start: int, end: int) -> Iterator[list[bytes]]:
    """The lines of an object that begin from byte `start` up to `end`."""
    # The byte before shows whether a line begins with the first one.
    at = max(start - 1, 0)
    for lines in lines_of(_read_on(answers.open, at, end, answers.size)):
        if at < start:
            at += len(lines.pop(0)) + 1
        if at + sum(map(len, lines)) + len(lines) < end:
            at += sum(map(len, lines)) + len(lines)
            yield lines
            continue
        within = 0
        while within < len(lines) and at < end:
            at += len(lines[within]) + 1
            within += 1
        yield lines[:within]
        if at >= end:
            return


def _read_on(open: OpenAt, start: int, end: int, size: int) -> Iterator[bytes]:
    """The bytes from `start` up to `end`, and those after it as they are asked for."""
    yield from open(start, end)
    for at in range(end, size, _PIECE):
        yield from open(at, min(at + _PIECE, size))
