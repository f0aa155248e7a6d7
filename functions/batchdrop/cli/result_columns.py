"""The columns of a table of results, and the value of a result in each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Raw

#: Most columns of the user's own that a table has unless they are named.
MOST_OWN = 1000
#: A double holds each of the first ones, and 64 bits each of the others.
_EXACT, _WHOLE = range(-(2**53), 2**53 + 1), range(-(2**63), 2**63)

_members = msgspec.json.Decoder(dict[str, Raw]).decode
_text = msgspec.json.Decoder(str).decode
_value = msgspec.json.decode


class Kind(StrEnum):
    """The type of a column's values. A value that is not there has none."""

    TEXT = "text"
    WHOLE = "whole"  #: a number of 64 bits
    LONG = "long"  #: one of these that a double can't hold; of single values alone
    NUMBER = "number"  #: a double
    TRUTH = "truth"
    JSON = "json"  #: the text of any JSON
    ANY = "any"  #: texts as they are, everything else as the text of its JSON


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, where its values are in a result, and their type."""

    name: str
    path: tuple[str, ...]
    kind: Kind = Kind.ANY

    @property
    def is_own(self) -> bool:
        """Whether its type differs from file to file: the user's key or a column."""
        return self.path == ("key",) or (len(self.path) == 2 and self.path[0] == OWN)


#: The member with the user's own columns.
OWN = "columns"
#: The columns of every table, in their order. The user's own stand after `key`.
_FIXED = (
    Column("id", ("id",), Kind.TEXT),
    Column("line", ("line",), Kind.WHOLE),
    Column("place", ("place",), Kind.TEXT),
    Column("key", ("key",)),
    Column("outcome", ("outcome",), Kind.TEXT),
    Column("text", ("text",), Kind.TEXT),
    Column("json", ("json",), Kind.JSON),
    Column("response", ("response",), Kind.JSON),
    Column("error_code", ("error", "code"), Kind.WHOLE),
    Column("error_status", ("error", "status"), Kind.TEXT),
    Column("error_message", ("error", "message"), Kind.TEXT),
    Column("finish_reason", ("finish_reason",), Kind.TEXT),
    Column("candidates", ("candidates",), Kind.WHOLE),
    *(
        Column(f"usage_{name}", ("usage", name), Kind.WHOLE)
        for name in ("prompt", "cached", "output", "thoughts", "total")
    ),
    Column("round", ("round",), Kind.WHOLE),
)
#: Whole members that may be named, too.
_WHOLE_MEMBERS = tuple(
    Column(name, (name,), Kind.JSON) for name in (OWN, "error", "usage")
)
_BY_NAME = {column.name: column for column in (*_FIXED, *_WHOLE_MEMBERS)}


def named(name: str) -> Column:
    """
    The column of this name: of the results, or else one of the user's own. For one of
    the user's own with the same name as another, write `columns.NAME`.
    """
    if name in _BY_NAME:
        return _BY_NAME[name]
    return Column(name, (OWN, name.removeprefix(f"{OWN}.")))


def all_columns(own: Iterable[str]) -> list[Column]:
    """All columns of a file whose rows have these of their own."""
    mine = [
        Column(f"{OWN}.{name}" if name in _BY_NAME else name, (OWN, name))
        for name in own
    ]
    after_key = 1 + [column.name for column in _FIXED].index("key")
    return [*_FIXED[:after_key], *mine, *_FIXED[after_key:]]


def own_names(line: bytes) -> Iterable[str]:
    """The names of the user's own columns in a result."""
    own = _members(line).get(OWN)
    return () if own is None else _members(own)


class Cells:
    """Finds what results have in some columns."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._count = len(columns)
        self._whole: dict[str, int] = {}  #: where a member goes
        self._within: dict[str, dict[str, int]] = {}  #: where members of one go
        for index, column in enumerate(columns):
            name, *below = column.path
            if below:
                self._within.setdefault(name, {})[below[0]] = index
            else:
                self._whole[name] = index

    def of(self, line: bytes) -> list[Raw | None]:
        """A result's JSON in each column; None where it has none."""
        found: list[Raw | None] = [None] * self._count
        for name, value in _members(line).items():
            if name in self._whole:
                found[self._whole[name]] = value
            if name in self._within:
                where = self._within[name]
                for below, inner in _members(value).items():
                    if below in where:
                        found[where[below]] = inner
        return found


def text_of(value: Raw, kind: Kind) -> str | None:
    """A value as a text: texts as they are, all else as it was written."""
    written = bytes(value)
    if kind is Kind.JSON:
        return written.decode()
    if written.startswith(b'"'):
        return _text(written)
    return None if written == b"null" else written.decode()


def value_of(value: Raw, kind: Kind) -> Any:
    """A value in its column's type."""
    if kind in (Kind.TEXT, Kind.JSON, Kind.ANY):
        return text_of(value, kind)
    found = _value(value)
    return float(found) if kind is Kind.NUMBER and found is not None else found


@dataclass(slots=True)
class Survey:
    """The types of the rows' own keys and columns, in the rows seen so far."""

    kinds: dict[str, set[Kind]] = field(default_factory=dict)  #: by the column's name
    key: set[Kind] = field(default_factory=set)

    def add(self, line: bytes) -> None:
        """
        Looks at a result.

        Raises:
            ValueError: the rows have too many different columns.
        """
        members = _members(line)
        if (key := members.get("key")) is not None:
            self.key.add(_kind_of(key))
        if (own := members.get(OWN)) is None:
            return
        for name, value in _members(own).items():
            kinds = self.kinds.setdefault(name, set())
            if bytes(value) != b"null":
                kinds.add(_kind_of(value))
        if len(self.kinds) > MOST_OWN:
            raise ValueError(
                f"the rows have more than {MOST_OWN:,} different columns of their own; "
                "name those that you want with --columns"
            )

    def typed(self, column: Column) -> Column:
        """The column with the type that all of its values have."""
        if not column.is_own:
            return column
        own = self.kinds.get(column.path[-1], set())
        kinds = self.key if column.path == ("key",) else own
        return Column(column.name, column.path, _common(kinds))


def _common(kinds: set[Kind]) -> Kind:
    if kinds and kinds <= {Kind.WHOLE, Kind.LONG}:
        return Kind.WHOLE
    if kinds == {Kind.WHOLE, Kind.NUMBER}:
        return Kind.NUMBER
    return next(iter(kinds)) if len(kinds) == 1 else Kind.ANY


def _kind_of(value: Raw) -> Kind:
    """The narrowest type of a value that loses nothing of it."""
    first = bytes(value)[:1]
    if first == b'"':
        return Kind.TEXT
    if first in b"tf":
        return Kind.TRUTH
    if first in b"[{n":
        return Kind.ANY
    try:
        found = _value(value)
    except msgspec.MsgspecError:  # more than a double holds
        return Kind.ANY
    if isinstance(found, float):
        return Kind.NUMBER
    if found in _EXACT:
        return Kind.WHOLE
    return Kind.LONG if found in _WHOLE else Kind.ANY
