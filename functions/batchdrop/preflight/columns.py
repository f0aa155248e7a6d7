"""
The columns that the import would make of a file: one type a key, over all lines.

Vertex imports a file as BigQuery would load JSON, so every member name is a column with
one type over the whole file (seen live, and reported by users). The tree of columns
grows only with lines that differ from earlier ones.
"""

import re
from typing import Any

from batchdrop.preflight.inspection import Inspection, Members
from batchdrop.preflight.members import ANY, Type, of_request
from batchdrop.preflight.names import OWN_NAMES, TWO_SPELLINGS, camel
from batchdrop.preflight.rules import ANYTHING, Must, Rules

#: BigQuery's limit of columns in a table (BigQuery docs).
MOST_COLUMNS = 10_000

#: The names that the import takes (seen live; BigQuery docs).
IMPORTED_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,299}")

#: Where nothing is imported, columns only save time, and a name may have megabytes.
_LONGEST_NAME = 300

#: No column's name may begin with one of these, in any case (BigQuery docs).
_RESERVED = re.compile(
    r"_TABLE_|_FILE_|_PARTITION|_ROW_TIMESTAMP|__ROOT__|_COLIDENTIFIER"
    r"|_CHANGE_SEQUENCE_NUMBER|_CHANGE_TYPE|_CHANGE_TIMESTAMP",
    re.IGNORECASE,
)


def is_importable(name: str) -> bool:
    """Whether a column may have this name."""
    return bool(IMPORTED_NAME.fullmatch(name)) and not _RESERVED.match(name)


class Column:
    """What is known of one member name at one place."""

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
        self.kind_line = 0  #: where it first had that kind
        self.repeated: bool | None = None  #: whether it is an array
        self.repeated_line = 0
        self.members: dict[str, Column] = {}
        #: A member that every object had; None once one lacks it, or if one is empty.
        self.anchor: str | None = None
        #: How the names with two spellings are written, by their camelCase.
        self.spelled: dict[str, tuple[str, int]] = {}
        #: How names are written, by their lowercase: columns have one case.
        self.folded: dict[str, tuple[str, int]] = {}
        #: `fast` keeps the type that it makes of this column here.
        self.type: Any = None

    def touch(self) -> None:
        """Drops the types made of this column and of those above it."""
        column: Column | None = self
        while column is not None:
            column.type = None
            column = column.parent


class Columns:
    """The tree of a file's columns."""

    def __init__(self, rules: Rules) -> None:
        known = of_request(rules.family.members)
        self.root = Column("", None, rules.family.must, known)
        self.root.kind, self.root.repeated = "an object", False
        self.count = 0
        self.objects = 1


class ColumnCheck:
    """Compares one line with the file's columns, and adds the new ones of the line."""

    def __init__(self, inspection: Inspection, columns: Columns) -> None:
        self.inspection = inspection
        self.columns = columns

    def anchor(self, column: Column, members: Members, must: Must) -> None:
        """Keeps a member in mind that every object at this place has had."""
        names = [name for name, _ in members]
        if not column.members:
            # Only the first object may choose: a later one doesn't know what those
            # before it had.
            wanted = [n for n in names if must.members.get(n, ANYTHING).required]
            wanted += [n for n in names if n in must.any_of]
            column.anchor = [*wanted, *names, None][0]
            self.inspection.on_forget(lambda: setattr(column, "anchor", None))
        elif column.anchor is not None and column.anchor not in names:
            before = column.anchor
            column.anchor = None
            column.touch()
            self.inspection.on_forget(lambda: setattr(column, "anchor", before))

    def member(
        self, column: Column, name: str, must: Must, type: Type, path: str
    ) -> Column | None:
        """The column of a member; None, and a row error, if there can't be one."""
        known = column.members.get(name)
        if known is not None:
            return known
        if (
            not self._may_be_a_name(name, path)
            or not self._has_one_spelling(column, name, path)
            or not self._has_one_case(column, name, path)
        ):
            return None
        columns = self.columns
        made = column.members[name] = Column(name, column, must, type)
        columns.count += 1
        column.touch()

        def undo() -> None:
            del column.members[name]
            columns.count -= 1

        self.inspection.on_forget(undo)
        return made

    def _may_be_a_name(self, name: str, path: str) -> bool:
        if self.inspection.rules.imports:
            if not IMPORTED_NAME.fullmatch(name):
                self.inspection.add_error(
                    path,
                    "bad_name",
                    "has a name that the import can't make a column of",
                    "use letters, digits, _ and -, and no digit first; a raw JSON "
                    "schema can be written as a string in the prompt, or as Gemini's "
                    "own Schema",
                )
                return False
            if _RESERVED.match(name):
                self.inspection.add_error(
                    path,
                    "bad_name",
                    "has a name that begins as BigQuery's own do, which the import "
                    "refuses",
                    "begin it with another word",
                )
                return False
        elif len(name) > _LONGEST_NAME:
            return False
        if self.columns.count >= MOST_COLUMNS:
            self.inspection.refuse(
                path,
                "too_many_names",
                f"is a new name after {MOST_COLUMNS:,} others, and the import takes no "
                "more",
                "write what varies as values, not as names",
            )
            return False
        return True

    def _has_one_spelling(self, column: Column, name: str, path: str) -> bool:
        rules, line = self.inspection.rules, self.inspection.line
        common = camel(name)
        if (
            not rules.imports
            or not rules.family.google
            or common not in TWO_SPELLINGS
            or column.name in OWN_NAMES
        ):
            return True
        other, first = column.spelled.get(common, (name, line))
        if other != name:
            self.inspection.add_error(
                path,
                "mixed_case",
                f"is written {other} {self._where(first)}, and the import takes one "
                "spelling",
                f"write {other}",
            )
            return False
        if common not in column.spelled:
            column.spelled[common] = (name, line)
            self.inspection.on_forget(lambda: column.spelled.__delitem__(common))
        return True

    def _has_one_case(self, column: Column, name: str, path: str) -> bool:
        if not self.inspection.rules.imports:
            return True
        line, folded = self.inspection.line, name.lower()
        other, first = column.folded.get(folded, (name, line))
        if other != name:
            self.inspection.add_error(
                path,
                "same_name",
                f"has the name of another member {self._where(first)} but for its "
                "case, and the import has one column for both",
                "write it in one way in every line, or give one another name",
            )
            return False
        if folded not in column.folded:
            column.folded[folded] = (name, line)
            self.inspection.on_forget(lambda: column.folded.__delitem__(folded))
        return True

    def repeats(self, column: Column, repeated: bool, path: str) -> bool:
        """Whether an array, or a single value, is what the column has had so far."""
        if column.repeated is None:
            column.repeated, column.repeated_line = repeated, self.inspection.line
            column.touch()
            self.inspection.on_forget(lambda: setattr(column, "repeated", None))
        elif column.repeated != repeated:
            now, then = "a single value", "an array"
            if repeated:
                now, then = then, now
            self.inspection.refuse(
                path,
                "mixed_types",
                f"is {now}, but {then} {self._where(column.repeated_line)}; the import "
                "takes one type over the whole file",
                f"write {then} in every line",
            )
            return False
        return True

    def is_of(self, column: Column, kind: str, path: str) -> bool:
        """Whether a value is of the kind that the column has had so far."""
        columns = self.columns
        if column.kind is None:
            column.kind, column.kind_line = kind, self.inspection.line
            column.touch()
            objects = int(kind == "an object")
            columns.objects += objects

            def undo() -> None:
                column.kind = None
                columns.objects -= objects

            self.inspection.on_forget(undo)
        elif column.kind != kind:
            self.inspection.refuse(
                path,
                "mixed_types",
                f"is {kind}, but {column.kind} {self._where(column.kind_line)}; the "
                "import takes one type over the whole file",
                f"write {column.kind} in every line",
            )
            return False
        return True

    def nullable(self, column: Column) -> None:
        """Notes that the column may be null."""
        if not column.nullable:
            column.nullable = True
            column.touch()
            self.inspection.on_forget(lambda: setattr(column, "nullable", False))

    def _where(self, line: int) -> str:
        if line == self.inspection.line:
            return "elsewhere in this line"
        return f"in {self.inspection.called(line)}"
