"""
What a file's lines have looked like so far: one type a key, as the import wants it.

Vertex imports a file as BigQuery would load JSON, so every member name is a column with
one type over the whole file (seen live, and reported by users). The tree of columns
grows with the file, and stays as large as its lines are different.

From the tree comes a decoder that takes exactly those lines which bring nothing new:
same names, same types, no nulls, nothing missing that has to be there. Most lines of
most files pass through it, in C, and need no look from Python.
"""

import re
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import msgspec

from batchdrop.preflight.members import ANY, Type, of_request
from batchdrop.preflight.rules import ANYTHING, Must, Rules

#: BigQuery's limit of columns in a table (BigQuery docs).
MOST_COLUMNS = 10_000
#: Objects within one another, in a row (seen live).
DEEPEST = 15
#: No decoder knows a name with one of these, which the import refuses anyway.
_UNFIT = re.compile(r'[\\"\x00-\x1f]')


class Column:
    """What is known of one member name, at one place."""

    __slots__ = (
        "anchor",
        "folded",
        "kind",
        "kind_line",
        "known",
        "members",
        "must",
        "name",
        "nullable",
        "parent",
        "repeated",
        "repeated_line",
        "spelled",
        "type",
    )

    def __init__(
        self,
        name: str,
        parent: "Column | None",
        must: Must = ANYTHING,
        known: Type = ANY,
    ) -> None:
        self.name = name
        self.parent = parent
        self.must = must
        self.known = known
        self.nullable = False
        self.kind: str | None = None
        self.kind_line = 0  #: where it was first seen as that
        self.repeated: bool | None = None  #: whether it is an array
        self.repeated_line = 0
        self.members: dict[str, Column] = {}
        #: A member that every object had: it keeps empty ones out of the decoder.
        self.anchor: str | None = None
        #: How the names with two spellings are written, by their camelCase.
        self.spelled: dict[str, tuple[str, int]] = {}
        #: How names are written, by their lowercase: columns have one case.
        self.folded: dict[str, tuple[str, int]] = {}
        self.type: Any = None

    def touch(self) -> None:
        """The types made of this column, and of those above it, are out of date."""
        column: Column | None = self
        while column is not None:
            column.type = None
            column = column.parent


class Columns:
    """The tree of a file's columns, and the decoder made of it."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        known = of_request(rules.family.members)
        self.root = Column("", None, rules.family.must, known)
        self.root.kind, self.root.repeated = "an object", False
        self.count = 0
        self.objects = 1
        #: Whether an empty object could pass the decoder.
        self.loose = False
        self._missed = 0

    def due(self) -> bool:
        """
        Whether a line that didn't pass, and yet was good, makes a new decoder due.

        Making one costs about as much as looking at a line for each of its objects,
        and for some of their members. It waits for as many, so that a file of ever new
        names is not paid for twice.
        """
        self._missed += 1
        cost = self.objects + self.count // 4
        if self.root.type is not None or self._missed < cost:
            return False
        self._missed = 0
        return True

    def decoder(self) -> "msgspec.json.Decoder[Any]":
        """Takes a request that brings nothing new, and raises for any other."""
        decoder = msgspec.json.Decoder(self._type(self.root))
        self.loose = any(
            column.kind == "an object" and column.anchor is None
            for column in _all(self.root)
        )
        return decoder

    def decoder_of(self, *path: str) -> Callable[[bytes], Any] | None:
        """The same for the value at a place, if there was one."""
        column: Column | None = self.root
        for name in path:
            column = column.members.get(name) if column else None
        return msgspec.json.Decoder(self._type(column)).decode if column else None

    def decoder_beside(self, *names: str) -> Callable[[bytes], Any]:
        """
        The same for a request of which some members may be anything. It gives each of
        these as it is written, by its name.
        """
        return msgspec.json.Decoder(self._struct(self.root, names)).decode

    def _type(self, column: Column) -> Any:
        if column.type is None:
            column.type = self._made(column)
        return column.type

    def _made(self, column: Column) -> Any:
        made: Any
        match column.kind:
            case "an object":
                made = self._struct(column)
            case "a string":
                made = self._string(column)
            case "a number" if column.known.whole:
                made = Annotated[float, msgspec.Meta(multiple_of=1)]
            case "a number":
                made = float
            case "a boolean":
                made = bool
            case _ if column.nullable:
                return None
            case _:  # only empty arrays so far
                return Annotated[list[Any], msgspec.Meta(max_length=0)]
        if column.repeated and column.must.filled:
            made = Annotated[list[made], msgspec.Meta(min_length=1)]
        elif column.repeated:
            made = list[made]
        return made | None if column.nullable else made

    def _string(self, column: Column) -> Any:
        must = column.must
        if must.choices:
            return Literal[must.choices]
        if must.same_model:
            return Annotated[str, msgspec.Meta(pattern=self.rules.model_pattern)]
        if pattern := self.rules.medium_pattern(column.name):
            return Annotated[str, msgspec.Meta(pattern=pattern)]
        if must.filled:
            return Annotated[str, msgspec.Meta(min_length=1)]
        known = column.known
        if known.choices and self.rules.strict:
            return Literal[known.spellings]
        if known.pattern is not None:
            return Annotated[str, msgspec.Meta(pattern=known.pattern)]
        return str

    def _struct(self, column: Column, apart: tuple[str, ...] = ()) -> Any:
        fields: list[Any] = [(name, msgspec.Raw, msgspec.UNSET) for name in apart]
        names = {}
        for number, (name, member) in enumerate(column.members.items()):
            if name in apart or _UNFIT.search(name):
                continue
            field = f"f{number}"
            names[field] = name
            made = self._type(member)
            if name == column.anchor or member.must.required:
                fields.append((field, made))
            else:
                fields.append((field, made, msgspec.UNSET))
        if column.must.any_of and column.anchor not in column.must.any_of:
            return _Never
        return msgspec.defstruct(
            "Object",
            fields,
            rename=names,
            forbid_unknown_fields=True,
            kw_only=True,
            gc=False,
        )


#: A string that nothing is.
_Never = Annotated[str, msgspec.Meta(max_length=0, min_length=1)]


def _all(column: Column) -> Iterator[Column]:
    yield column
    for member in column.members.values():
        yield from _all(member)
