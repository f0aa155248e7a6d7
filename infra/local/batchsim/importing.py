"""
Vertex's import, which checks the whole file before any row runs.

The API loads the file as BigQuery loads JSON (seen live, and reported by users). One
bad row fails the job, with code 3 and no answers:

    a key has one type in the whole file; a list in one row is a list in all rows
    no nulls except in `timeRangeFilter`, no empty objects, no lists in lists
    names have letters, digits, _ and -; they don't start with a digit or with a prefix
    that BigQuery reserves; two names differ in more than case
    objects nest at most 15 deep

A key column comes back as numbers if all its texts look like numbers.
"""

import re
from typing import Any

import msgspec

from batchsim.jobs import JobFailed
from batchsim.rows import Rows

DEEPEST = 15

_FAILED = (
    "Failed to import data. Please check the 'Prepare input' section of the batch "
    "inference documentation. "
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,299}")
_RESERVED = re.compile(
    r"_TABLE_|_FILE_|_PARTITION|_ROW_TIMESTAMP|__ROOT__|_COLIDENTIFIER"
    r"|_CHANGE_SEQUENCE_NUMBER|_CHANGE_TYPE|_CHANGE_TIMESTAMP",
    re.IGNORECASE,
)
#: Files with null here, which gives a tool a member, do run (googleapis/python-genai
#: issue 2123).
_NULL_RUNS = frozenset({"timeRangeFilter", "time_range_filter"})
_NUMERIC = re.compile(r"-?\d+(\.\d+)?")

_KINDS: dict[type, str] = {
    dict: "an object",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
}


def failed(why: str) -> JobFailed:
    """The failure of an import; `why` is its reason."""
    return JobFailed(3, _FAILED + why)


def check(rows: Rows, payload: str, most: int) -> frozenset[str]:
    """
    Checks a file; returns the top-level columns that come back as numbers.

    `payload` is the member that each row must have; `most`, the most rows of a job.
    JobFailed 3 names the row and the member that break a rule.
    """
    if not len(rows):
        raise failed("The input has no rows.")
    if len(rows) > most:
        raise failed(f"The input has {len(rows)} rows; the limit is {most}.")
    file = _Column("")
    texts: set[str] = set()
    for number, line in enumerate(rows, 1):
        row = parse(line, number)
        if payload not in row:
            raise failed(f"Row {number} has no `{payload}`.")
        try:
            file.take_members(row, 0)
        except ValueError as exc:
            raise failed(f"Row {number}: {exc}") from None
        for name, value in row.items():
            if isinstance(value, str) and not _NUMERIC.fullmatch(value):
                texts.add(name)
    return frozenset(file.strings() - texts)


def parse(line: bytes, number: int) -> dict[str, Any]:
    """A row as an object. JobFailed 3 for anything else."""
    try:
        row = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise failed(f"Row {number} is not JSON: {exc}.") from None
    if not isinstance(row, dict):
        raise failed(f"Row {number} is not a JSON object.")
    return row


def as_numbers(row: dict[str, Any], columns: frozenset[str]) -> dict[str, Any]:
    """The row, with the texts of `columns` read as numbers."""
    return {
        name: msgspec.json.decode(_plain(value))
        if name in columns and isinstance(value, str)
        else value
        for name, value in row.items()
    }


def _plain(number: str) -> str:
    # JSON allows no leading zeros: "000" becomes 0, "007" becomes 7.
    sign = "-" if number.startswith("-") else ""
    return sign + re.sub(r"^0+(?=\d)", "", number.removeprefix("-"))


class _Column:
    """What the rows read so far show of one key."""

    __slots__ = ("_folded", "_kind", "_members", "_path", "_repeated")

    def __init__(self, path: str) -> None:
        self._path = path
        self._kind: str | None = None
        self._repeated: bool | None = None
        self._members: dict[str, _Column] = {}
        self._folded: set[str] = set()  #: the members' names, in lowercase

    def strings(self) -> set[str]:
        return {
            name
            for name, column in self._members.items()
            if column._kind == "a string" and not column._repeated
        }

    def take_members(self, value: dict[str, Any], depth: int) -> None:
        members = self._members
        for name, member in value.items():
            column = members.get(name)
            if column is None:
                column = members[name] = self._member(name)
            column._take(member, depth)

    def _member(self, name: str) -> "_Column":
        path = f"{self._path}.{name}" if self._path else name
        if not _NAME.fullmatch(name) or _RESERVED.match(name):
            raise ValueError(
                f"{path}: {name!r} can't be a field name; use letters, digits, _ and -."
            )
        if name.lower() in self._folded:
            raise ValueError(f"{path}: another field has this name in another case.")
        self._folded.add(name.lower())
        return _Column(path)

    def _take(self, value: Any, depth: int) -> None:
        if value is None and self._path.rpartition(".")[2] in _NULL_RUNS:
            return
        if isinstance(value, list):
            if self._repeated is False:
                raise ValueError(
                    f"{self._path}: Repeated field must be imported as a JSON array; "
                    "an earlier row has a single value."
                )
            self._repeated = True
            for item in value:
                if isinstance(item, list):
                    raise ValueError(f"{self._path}: a list can't hold lists.")
                self._take_one(item, depth)
            return
        if self._repeated:
            raise ValueError(
                f"{self._path}: Repeated field must be imported as a JSON array."
            )
        self._repeated = False
        self._take_one(value, depth)

    def _take_one(self, value: Any, depth: int) -> None:
        kind = _KINDS.get(type(value))
        if kind is None:
            raise ValueError(f"{self._path}: null isn't allowed; omit the field.")
        if self._kind is None:
            self._kind = kind
        elif self._kind != kind:
            raise ValueError(
                f"{self._path} is {kind}, but {self._kind} in an earlier row or item; "
                "a key has one type in the whole file."
            )
        if kind == "an object":
            if not value:
                raise ValueError(
                    f"Cannot store struct {self._path} with no fields; omit it."
                )
            if depth >= DEEPEST:
                raise ValueError(
                    f"{self._path}: objects nest more than {DEEPEST} deep."
                )
            self.take_members(value, depth + 1)
