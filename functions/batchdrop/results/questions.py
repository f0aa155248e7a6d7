"""What staging recorded of each line of the file, read back in the file's order."""

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from batchdrop.errors import SourceGone
from batchdrop.results.lines import Kind, decoded
from batchdrop.results.reading import lines_of
from batchdrop.results.values import DoesNotAddUp, OpenAt, Questions
from batchdrop.rows import counted

#: No line has this number, nor a greater one.
NO_LINE = 2**63
_NOT_EXPLAINED = "a bad line; the report explains only the first ones"
_ID = re.compile(r"r([0-9]{7}|[1-9][0-9]{7,17})")
#: A line of the sidecar begins with its id. What follows is spliced into the result.
_SIDECAR = re.compile(rb'\{"id":(\d+)(?:,(.*))?\}\s*', re.DOTALL)


def row_id(line: int) -> str:
    """The id of a row at the API."""
    return f"r{line:07d}"


def line_of(id: str) -> int | None:
    """The line of the row with this id; None if no row can have it."""
    found = _ID.fullmatch(id)
    return int(found[1]) if found else None


class Lines:
    """
    Which lines of the file were staged. A staged row has an index, counted from 0.

    Attributes:
        first: the number of the first line.

    Raises:
        DoesNotAddUp: the lines are not as many as staging counted.
    """

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self.first = questions.staging.first
        self._starts = array("q")  #: the first line of each run of staged lines
        self._before = array("q", [0])  #: the staged rows before each; and of all
        staging = questions.staging
        line, refused = staging.first, 0
        for kind, count in self.runs():
            if kind in (Kind.STAGED, Kind.STAGED_JSON):
                self._starts.append(line)
                self._before.append(self._before[-1] + count)
            elif kind is Kind.REFUSED:
                refused += count
            line += count
        if (self._before[-1], refused) != (staging.rows, staging.refused):
            raise DoesNotAddUp(
                f"staging recorded {counted(staging.rows, 'row')} and "
                f"{counted(staging.refused, 'refused line')}, "
                f"and the lines {self._before[-1]:,} and {refused:,}"
            )

    def runs(self) -> Iterator[tuple[Kind, int]]:
        """The kinds of the lines, from the first one on."""
        staging = self._questions.staging
        json = staging.json == "all"
        if self._questions.open_lines is None:
            yield Kind.STAGED_JSON if json else Kind.STAGED, staging.rows
            return
        for kind, count in decoded(self._questions.open_lines()):
            yield Kind.STAGED_JSON if json and kind is Kind.STAGED else kind, count

    def index_of(self, line: int) -> int:
        """The index of the row of a line; -1 if the line was not staged."""
        run = bisect_right(self._starts, line) - 1
        if run < 0:
            return -1
        index = self._before[run] + line - self._starts[run]
        return index if index < self._before[run + 1] else -1

    def line_of(self, index: int) -> int:
        """The line of a row."""
        run = bisect_right(self._before, index) - 1
        return self._starts[run] + index - self._before[run]


class Own:
    """
    The rows' own keys and columns, in the file's order.

    Attributes:
        lost: whether the object that has them is gone.
        at: where the entry that was read last begins, from which another reader of
            later lines can go on.
    """

    def __init__(self, open: OpenAt | None, at: int = 0) -> None:
        """
        Args:
            at: the first byte to read, with which a line begins.
        """
        self.lost = False
        self.at = at
        self._entries = self._read(open)
        self._line = 0  #: of the entry that was read last
        self._members = b""
        self._next()

    def members(self, line: int) -> bytes:
        """
        `"key":...,"columns":...,` as bytes, or none.

        Args:
            line: greater than in the call before.
        """
        while self._line < line:
            self._next()
        return self._members if self._line == line else b""

    def _next(self) -> None:
        entry = next(self._entries, None)
        if entry is None:
            self._line, self._members = NO_LINE, b""
        else:
            self.at, (self._line, self._members) = entry

    def _read(self, open: OpenAt | None) -> Iterator[tuple[int, tuple[int, bytes]]]:
        if open is None:
            return
        try:
            chunks = open(self.at)
            # The first piece shows whether the object is there.
            first = next(chunks, b"")
        except SourceGone:
            self.lost = True
            return
        for at, line in _each_line(_again(first, chunks), self.at):
            yield at, _entry(line)


def _entry(line: bytes) -> tuple[int, bytes]:
    found = _SIDECAR.fullmatch(line)
    if found is None:
        raise DoesNotAddUp("a line of the sidecar can't be read")
    return int(found[1]), found[2] + b"," if found[2] else b""


class _RowError(Struct, gc=False):
    path: str = ""
    code: str = ""
    message: str = ""
    fix: str = ""


class _Refused(Struct, gc=False):
    line: int | None = None
    lines: tuple[int, int] | None = None  #: a run of lines without texts
    errors: list[_RowError] = []


class Refusals:
    """
    Why lines were refused, in the file's order. The report lies where its readers may
    change or delete it: what can't be read of it explains nothing.

    Attributes:
        at: where the entry that was read last begins, from which another reader of
            later lines can go on.
    """

    def __init__(self, open: OpenAt | None, at: int = 0) -> None:
        """
        Args:
            at: the first byte to read.
        """
        self.at = at
        self._entries = self._read(open)
        self._next()

    def error(self, line: int) -> bytes:
        """
        `,"error":{..}` as bytes, or none.

        Args:
            line: a refused one, greater than in the call before.
        """
        while self._last < line:
            self._next()
        return self._errors if self._first <= line else b""

    def _next(self) -> None:
        entry = next(self._entries, None)
        if entry is None:
            self._first, self._last, self._errors = NO_LINE, NO_LINE, b""
        else:
            self.at, self._first, self._last, self._errors = entry

    def _read(self, open: OpenAt | None) -> Iterator[tuple[int, int, int, bytes]]:
        if open is None:
            return
        decode = msgspec.json.Decoder(_Refused).decode
        try:
            for at, line in _each_line(open(self.at), self.at):
                try:
                    entry = decode(line)
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                    continue
                if entry.lines is not None:
                    yield at, *entry.lines, error_member(message=_NOT_EXPLAINED)
                elif entry.line is not None:
                    yield at, entry.line, entry.line, _explained(entry.errors)
        except SourceGone:
            return


def _explained(errors: list[_RowError]) -> bytes:
    if not errors:
        return b""
    first = errors[0]
    message = f"{first.path}: {first.message}" if first.path else first.message
    if first.fix:
        message += f"; {first.fix}"
    if len(errors) > 1:
        message += f" (and {len(errors) - 1} more)"
    return error_member(status=first.code, message=message)


class _Error(Struct, omit_defaults=True, gc=False):
    code: int | None = None
    status: str | None = None
    message: str | None = None


def error_member(
    code: int | None = None, status: str | None = None, message: str | None = None
) -> bytes:
    """`,"error":{..}` of a result; what is None or empty is left out."""
    error = _Error(code, status or None, message or None)
    return b',"error":' + msgspec.json.encode(error)


def _each_line(chunks: Iterator[bytes], at: int) -> Iterator[tuple[int, bytes]]:
    """The lines that aren't empty, each with the byte at which it begins."""
    for lines in lines_of(chunks):
        for line in lines:
            if line:
                yield at, line
            at += len(line) + 1


def _again(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
