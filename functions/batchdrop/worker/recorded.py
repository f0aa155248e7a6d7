"""
What staging records of a file beside its rows: what became of each line, and the rows'
own keys and columns. So results never depend on the dropped object.
"""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Self

from batchdrop.results.lines import Kind, Runs
from batchdrop.worker.reading import Piece

#: Objects beside `requests.jsonl`. The API does not read them, so the fence leaves them
#: where they are.
LINES, SIDECAR = "lines", "columns.jsonl"
#: Bytes of runs that are held. A file with more has an object of them anyway.
MOST_HELD = 1_000_000

_run = re.compile(rb"(.)\1*").finditer

Write = Callable[[bytes], None]
Writing = Callable[[str], AbstractContextManager[Write]]


def beside(uri: str, name: str) -> str:
    """The address of an object in the same folder."""
    return f"{uri.rpartition('/')[0]}/{name}"


class Recorded:
    """
    Records a part while it is written. Each object is begun when there is something to
    write to it: a file of good lines without keys and columns has neither.
    """

    def __init__(self, uri: str, writing: Writing | None = None) -> None:
        """
        Args:
            uri: where the rows are staged.
            writing: opens a new object; None where they exist.
        """
        self.first = 1  #: see `Staging`
        self.refused = 0
        self.lines: str | None = None
        self.sidecar: str | None = None
        self._uri = uri
        self._writing = writing
        self._stack = ExitStack()
        self._write_lines: Write | None = None
        self._write_own: Write | None = None
        self._runs = Runs()
        self._staged = self._asking = 0
        self._blank = 0  #: lines at the end
        self._begun = self._has_gaps = False

    def __enter__(self) -> Self:
        self._stack.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def finish(self) -> None:
        """Writes what remains. The objects are there when the context is over."""
        if self.refused or self._has_gaps or self.json == "some":
            self._drain(self._runs.encoded())

    @property
    def json(self) -> str:
        """Which rows ask for JSON: "all", "none" or "some"."""
        if not self._asking:
            return "none"
        return "all" if self._asking == self._staged else "some"

    def add(self, piece: Piece) -> None:
        """Adds the next lines of the part."""
        if piece.kinds is None:
            self.add_run(piece.line, Kind.STAGED, piece.rows)
        else:
            for run in _run(piece.kinds):
                start, end = run.span()
                self.add_run(piece.line + start, Kind(piece.kinds[start]), end - start)
        if piece.own:
            self._keep(piece.own)

    def add_run(self, line: int, kind: Kind, count: int) -> None:
        """Adds the next lines, all of one kind, the first of them by its number."""
        if kind is Kind.BLANK:
            self._blank += count
            return
        if not self._begun:
            self.first, self._begun = line, True
        elif self._blank:
            self._has_gaps = True
            self._runs.add(Kind.BLANK, self._blank)
        self._blank = 0
        self._runs.add(kind, count)
        if kind is Kind.REFUSED:
            self.refused += count
        else:
            self._staged += count
            self._asking += count if kind is Kind.STAGED_JSON else 0
        if self._runs.size > MOST_HELD:
            self._drain(self._runs.taken())

    def _drain(self, runs: bytes) -> None:
        if self.lines is None:
            self.lines = beside(self._uri, LINES)
            self._write_lines = self._opened(self.lines)
        if self._write_lines:
            self._write_lines(runs)

    def _keep(self, own: bytes) -> None:
        if self.sidecar is None:
            self.sidecar = beside(self._uri, SIDECAR)
            self._write_own = self._opened(self.sidecar)
        if self._write_own:
            self._write_own(own)

    def _opened(self, uri: str) -> Write | None:
        return self._stack.enter_context(self._writing(uri)) if self._writing else None
