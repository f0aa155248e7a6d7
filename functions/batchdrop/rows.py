"""Row errors and row counts: values that preflight, jobs and results share."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RowError:
    """What is wrong with one line of the dropped file; its text is not kept."""

    line: int  #: counted from 1
    path: str  #: in the line, such as `request.contents`; empty: the line itself
    code: str
    message: str
    fix: str = ""  #: what to write instead
    place: str = ""  #: object and line, if a manifest names several objects


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """How many rows had which outcome."""

    total: int = 0
    accepted: int = 0
    refused: int = 0
    fixed: int = 0  #: accepted rows that were mended first
