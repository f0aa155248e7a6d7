"""Reads a file through the check into parts: the lines to stage, and those refused."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import msgspec

from batchdrop.errors import NotReadable
from batchdrop.jobs.codes import ErrorCode
from batchdrop.jobs.parts import MAX_PARTS
from batchdrop.jobs.record import MAX_ROW_ERRORS
from batchdrop.jobs.values import Input, Problem
from batchdrop.preflight import REJECT, Block, Checker, Refused, Rules
from batchdrop.preflight.members import public
from batchdrop.results.lines import Kind
from batchdrop.rows import RowError, Rows, counted

#: How many bad lines are reported with their text and errors.
MAX_TOLD = 10_000
#: Most bytes of a bad line that the report has; the rest is in the file.
MAX_TEXT = 1_000_000
#: Of each error; its line and place stand beside all of them.
_TOLD = ("path", "code", "message", "fix")
#: A staged line begins with its id, which is its line in the file.
_ID = re.compile(rb'\{"\w+":"r(\d+)"')
_STAGED = bytes([Kind.STAGED])
#: A line of the rows' own keys and columns begins with its number.
_OWN_ID = re.compile(rb'\{"id":(\d+)')


class BadRows(Exception):
    """Ends the upload of a file of which nothing is to be staged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one part takes."""

    rows: int | None
    bytes: int

    def hold(self, rows: int, size: int) -> bool:
        """Whether so much fits into one part."""
        return size <= self.bytes and (self.rows is None or rows <= self.rows)


@dataclass(frozen=True, slots=True)
class Piece:
    """
    Staged lines that follow each other in one part, each with its line feed, and what
    became of the lines between them. It may have no row.
    """

    part: int
    data: bytes
    rows: int
    own: bytes  #: keys and columns of these rows, see `preflight.own`
    line: int  #: the number of the first line, also if that isn't staged
    kinds: bytes | None  #: a `Kind` for each line; None if each is a row without JSON

    @property
    def first(self) -> int:
        """The id of its first row, as a number."""
        return _number(self.data, 0)

    @property
    def last(self) -> int:
        return _number(self.data, self.data.rfind(b"\n", 0, -1) + 1)


@dataclass(slots=True)
class Reading:
    """
    What is found while a file streams through. Where a manifest names several, their
    lines are counted on from one to the next.
    """

    rules: Rules
    limits: Limits
    row_errors: list[RowError] = field(default_factory=list)  #: the first ones
    firsts: list[int] = field(default_factory=list)  #: each file's first row id
    report: str | None = None  #: the object that lines were reported to
    _addresses: list[str] = field(default_factory=list)  #: one for each of `firsts`
    _part: int = 0
    _rows: int = 0  #: in that part
    _size: int = 0
    _checker: Checker = field(init=False)

    def __post_init__(self) -> None:
        self._checker = Checker(self.rules, MAX_TOLD, own=True, called=self._called)

    def pieces(
        self,
        files: Iterable[tuple[str, Iterator[bytes]]],
        report: Callable[[bytes], None],
    ) -> Iterator[Piece]:
        """
        What to send; and, to `report`, each line that can't be sent.

        Args:
            files: the bytes of each, with its address where people need one to find a
                line: of the dropped file itself they don't.

        Raises:
            BadRows: at the end of what isn't fit to be sent.
            NotReadable: it can't be read as lines, or comes to too many parts.
        """
        for address, chunks in files:
            self.firsts.append(self._checker.line + 1)
            self._addresses.append(address)
            run: tuple[int, int] | None = None
            for block in self._blocks(address, chunks):
                for refused in block.refused:
                    self._refuse(refused, address, report)
                for first, last in block.unexplained:
                    # A run of bad lines goes on where there is no good one before.
                    if run is not None and not block.rows:
                        first = run[0]
                    elif run is not None:
                        self._refuse_run(run, address, report)
                    run = first, last
                if block.rows and run is not None:
                    self._refuse_run(run, address, report)
                    run = None
                if self._is_fit():
                    yield from self._cut(block)
            if run is not None:
                self._refuse_run(run, address, report)
        if not self._is_fit() or not self.rows.accepted:
            raise BadRows

    def _blocks(self, address: str, chunks: Iterator[bytes]) -> Iterator[Block]:
        """
        Raises:
            NotReadable: it can't be read as lines; the text has its address, if any.
        """
        try:
            yield from self._checker.blocks(chunks)
        except NotReadable as exc:
            if not address:
                raise
            raise NotReadable(exc.code, f"{address}: {exc}") from exc

    def _called(self, line: int) -> str:
        """How messages call a line: by its number in its own file."""
        file = bisect_right(self.firsts, line) - 1
        name = f"line {line - self.firsts[file] + 1}"
        is_other = file < len(self.firsts) - 1
        return f"{name} of {self._addresses[file]}" if is_other else name

    @property
    def rows(self) -> Rows:
        return self._checker.rows

    def numbered(self, inputs: tuple[Input, ...]) -> tuple[Input, ...]:
        """The objects that were read, each with its first row id."""
        pairs = zip(inputs, self.firsts, strict=False)
        return tuple(replace(one, first=first) for one, first in pairs)

    def problem(self) -> Problem:
        """Why nothing of it is sent, in words for a person."""
        refused = self.rows.refused
        if not refused:
            message = "the file has only blank lines"
            if any(self._addresses):
                message = "the objects that src names have no rows"
            elif not self._checker.line:
                message = "the file is empty; drop it again with its rows"
            return Problem(code=ErrorCode.NO_ROWS, message=message)
        first = self.row_errors[0]
        where = first.place or f"line {first.line}"
        where += f", {first.path}" if first.path else ""
        others = refused - 1
        more = f" (and {counted(others, 'more line')})" if others else ""
        message = f"{where}: {first.message}; {first.fix}{more}"
        if self.rules.on_invalid != REJECT and not self._is_fit():
            return Problem(
                code=ErrorCode.TOO_MANY_INVALID,
                message=f"{counted(refused, 'bad line')}, and "
                f"{self.rules.max_invalid:,} may be left out; {message}",
            )
        return Problem(code=ErrorCode.BAD_ROWS, message=message)

    def _is_fit(self) -> bool:
        """Whether the lines so far may be sent, without those that are bad."""
        if self.rules.on_invalid == REJECT:
            return not self.rows.refused
        most = self.rules.max_invalid
        return most is None or self.rows.refused <= most

    def _refuse(
        self, refused: Refused, address: str, report: Callable[[bytes], None]
    ) -> None:
        place = ""
        if address:
            place = f"{address} line {refused.line - self.firsts[-1] + 1}"
        row_errors = [
            replace(row_error, place=place) for row_error in refused.row_errors
        ]
        # The report lies where the user's own rows go; these are logged and announced.
        self.row_errors += (
            replace(row_error, path=public(row_error.path))
            for row_error in row_errors[: MAX_ROW_ERRORS - len(self.row_errors)]
        )
        said: dict[str, object] = {"line": refused.line}
        if place:
            said["place"] = place
        # What isn't UTF-8 in it is written as \xNN.
        said["text"] = refused.text[:MAX_TEXT].decode(errors="backslashreplace")
        if len(refused.text) > MAX_TEXT:
            said["cut"] = True
        said["errors"] = [
            {name: getattr(row_error, name) for name in _TOLD}
            for row_error in row_errors
        ]
        report(msgspec.json.encode(said) + b"\n")

    def _refuse_run(
        self, run: tuple[int, int], address: str, report: Callable[[bytes], None]
    ) -> None:
        said: dict[str, object] = {"lines": run}
        if address:
            first, last = (line - self.firsts[-1] + 1 for line in run)
            said["place"] = f"{address} lines {first} to {last}"
        report(msgspec.json.encode(said) + b"\n")

    # -- parts ------------------------------------------------------------------

    def _cut(self, block: Block) -> Iterator[Piece]:
        """
        A block's lines, cut where a part is full. Lines that aren't staged belong to
        the part that is being filled when they are read.
        """
        staged, line = block.staged, block.first
        kinds = self._kinds(block)
        if self._fits(block.rows, len(staged)):
            yield self._piece(staged, block.rows, block.own, line, kinds)
            return
        start = end = rows = own = 0
        while end < len(staged):
            after = staged.index(b"\n", end) + 1
            if not self._fits(rows + 1, after - start):
                number = _number(staged, end)
                if number > line:
                    mine, own = own, _own_from(block.own, own, number)
                    yield self._piece(
                        staged[start:end],
                        rows,
                        block.own[mine:own],
                        line,
                        kinds and kinds[line - block.first : number - block.first],
                    )
                    start, rows, line = end, 0, number
                self._next_part()
            end, rows = after, rows + 1
        yield self._piece(
            staged[start:],
            rows,
            block.own[own:],
            line,
            kinds and kinds[line - block.first :],
        )

    def _kinds(self, block: Block) -> bytes | None:
        """See `Piece.kinds`."""
        asking = self._checker.asking_for_json(block.staged)
        if block.rows == len(block.lines) and asking is None:
            return None
        kinds = bytearray(_STAGED) * len(block.lines)
        for refused in block.refused:
            kinds[refused.line - block.first] = Kind.REFUSED
        for first, last in block.unexplained:
            run = slice(first - block.first, last - block.first + 1)
            kinds[run] = bytes([Kind.REFUSED]) * (last - first + 1)
        if block.rows < len(block.lines):
            for number, line in enumerate(block.lines):
                if not line.strip():
                    kinds[number] = Kind.BLANK
        if asking is None:
            return bytes(kinds)
        if 0 not in asking:
            return bytes(kinds).replace(_STAGED, bytes([Kind.STAGED_JSON]))
        at = -1
        for asks in asking:
            at = kinds.index(Kind.STAGED, at + 1)
            if asks:
                kinds[at] = Kind.STAGED_JSON
        return bytes(kinds)

    def _fits(self, rows: int, size: int) -> bool:
        return self.limits.hold(self._rows + rows, self._size + size)

    def _piece(
        self, data: bytes, rows: int, own: bytes, line: int, kinds: bytes | None
    ) -> Piece:
        self._rows += rows
        self._size += len(data)
        return Piece(self._part, data, rows, own, line, kinds)

    def _next_part(self) -> None:
        if not self._rows:
            return  # a line that is too long for any part has one of its own
        self._part += 1
        self._rows = self._size = 0
        if self._part >= MAX_PARTS:
            rows = self.limits.rows
            most = counted(rows, "row") if rows else "any number of rows"
            raise NotReadable(
                ErrorCode.OVER_LIMIT,
                f"more than {MAX_PARTS} parts of {most} and {self.limits.bytes:,} "
                "bytes; drop it in several files",
            )


def _number(lines: bytes, at: int) -> int:
    match = _ID.match(lines, at)
    assert match is not None
    return int(match[1])


def _own_from(own: bytes, start: int, number: int) -> int:
    """Where the keys and columns of that row, or of one behind it, begin."""
    while (match := _OWN_ID.match(own, start)) and int(match[1]) < number:
        start = own.index(b"\n", start) + 1
    return start
