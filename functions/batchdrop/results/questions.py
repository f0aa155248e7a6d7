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
from batchdrop.results.values import DoesNotAddUp, Open, Questions

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

    Raises:
        DoesNotAddUp: the lines are not as many as staging counted.
    """

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
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
                f"staging recorded {staging.rows:,} rows and {staging.refused:,} "
                f"refused lines, and the lines {self._before[-1]:,} and {refused:,}"
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


class Own:
    """
    The rows' own keys and columns, in the file's order.

    Attributes:
        lost: whether the object that has them is gone.
    """

    def __init__(self, open: Open | None) -> None:
        self.lost = False
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
        self._line, self._members = next(self._entries, _NO_ENTRY)

    def _read(self, open: Open | None) -> Iterator[tuple[int, bytes]]:
        if open is None:
            return
        try:
            chunks = open()
            # The first piece shows whether the object is there.
            first = next(chunks, b"")
        except SourceGone:
            self.lost = True
            return
        yield from map(_entry, _each_line(_again(first, chunks)))


_NO_ENTRY = (2**63, b"")


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
    """

    def __init__(self, open: Open | None) -> None:
        self._entries = self._read(open)
        self._first, self._last, self._errors = next(self._entries, _NO_REFUSAL)

    def error(self, line: int) -> bytes:
        """
        `,"error":{..}` as bytes, or none.

        Args:
            line: a refused one, greater than in the call before.
        """
        while self._last < line:
            self._first, self._last, self._errors = next(self._entries, _NO_REFUSAL)
        return self._errors if self._first <= line else b""

    def _read(self, open: Open | None) -> Iterator[tuple[int, int, bytes]]:
        if open is None:
            return
        decode = msgspec.json.Decoder(_Refused).decode
        try:
            for line in _each_line(open()):
                try:
                    entry = decode(line)
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                    continue
                if entry.lines is not None:
                    yield *entry.lines, error_member(message=_NOT_EXPLAINED)
                elif entry.line is not None:
                    yield entry.line, entry.line, _explained(entry.errors)
        except SourceGone:
            return


_NO_REFUSAL = (2**63, 2**63, b"")


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


def _each_line(chunks: Iterator[bytes]) -> Iterator[bytes]:
    return (line for lines in lines_of(chunks) for line in lines if line)


def _again(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
