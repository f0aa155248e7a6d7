"""Python's look at one request: what is wrong with it, and what is new in it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from batchdrop.preflight.columns import DEEPEST, MOST_COLUMNS, Column, Columns
from batchdrop.preflight.members import ANY, Type, version
from batchdrop.preflight.names import NULL_RUNS, OWN_NAMES, TWO_SPELLINGS, camel
from batchdrop.preflight.rules import ANYTHING, MEDIA, Must, Rules
from batchdrop.rows import RowError

#: A line with more row errors than this has them cut: the first ones are enough.
MOST_ERRORS = 10

# What the import takes as a name (seen live; BigQuery docs).
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,299}")

#: What no column's name begins with, in any case (BigQuery docs).
_RESERVED = re.compile(
    r"_TABLE_|_FILE_|_PARTITION|_ROW_TIMESTAMP|__ROOT__|_COLIDENTIFIER"
    r"|_CHANGE_SEQUENCE_NUMBER|_CHANGE_TYPE|_CHANGE_TIMESTAMP",
    re.IGNORECASE,
)
_NEWER = 'for what is newer than the list, choose "unknown": "allow"'
#: An unknown name is told up to this length.
_LONGEST = 60
#: A name of a path. Each value below has it in its own path.
_LONGEST_OF_PATH = 200
#: More choices than these aren't told.
_MOST_CHOICES = 16


class Members(list[tuple[str, Any]]):
    """An object's members as written: a name that comes twice is there twice."""


#: What values are called; null has no name.
KINDS: dict[type, str] = {
    Members: "an object",
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
}


class Full(Exception):
    """Enough row errors for one line."""


@dataclass(slots=True)
class Look:
    """
    One line's look. `columns` are those of the file; what a line teaches is taken back
    with `forget`.

    Where the service doesn't import the file, a value may stand outside the columns: it
    is looked at all the same, without one.
    """

    rules: Rules
    line: int
    columns: Columns
    most: int = (
        MOST_ERRORS  #: so many row errors end it; with one, it says no way to mend
    )
    row_errors: list[RowError] = field(default_factory=list)
    parsed: Members | None = None  #: the line, once it could be
    #: By the path of a string that is wrong: a pattern that all wrong ones match. All
    #: other row errors follow from names and types, unless it is unsure.
    by_value: dict[str, str] = field(default_factory=dict)
    unsure: bool = False
    _undo: list[Callable[[], None]] = field(default_factory=list)

    def request(self, value: Any, path: str) -> None:
        """Finds all that is wrong in a request. One that is wrong teaches nothing."""
        must = self.rules.family.must
        depth = 0 if self.rules.family.wrapper is None else 1
        try:
            if not isinstance(value, Members):
                self.add_error(
                    path,
                    "not_an_object",
                    "is no JSON object",
                    f"write {self.rules.family.example}",
                )
            else:
                root = self.columns.root
                self._object(value, root, must, root.known, path, depth)
        except Full:
            pass
        if self.row_errors:
            self.forget()

    def deep(self) -> None:
        """Nested so that it can't even be looked at."""
        self.forget()
        message = "nests too deeply to be read"
        self.row_errors = [self._row_error("", "too_deep", message, "nest less")]

    def add_error(self, path: str, code: str, message: str, fix: str) -> None:
        """
        Raises:
            Full: that was the last one that is kept of a line.
        """
        self.row_errors.append(self._row_error(path, code, message, fix))
        if len(self.row_errors) >= self.most:
            raise Full

    def refuse(self, path: str, code: str, message: str, fix: str) -> None:
        """A row error in the eyes of the import; none where there is no import."""
        if self.rules.imports:
            self.add_error(path, code, message, fix)

    def _row_error(self, path: str, code: str, message: str, fix: str) -> RowError:
        return RowError(
            line=self.line, path=shortened(path), code=code, message=message, fix=fix
        )

    def forget(self) -> None:
        """Takes back what this line has added to the columns."""
        for undo in reversed(self._undo):
            undo()
        self._undo.clear()

    # -- values -----------------------------------------------------------------

    def _value(
        self,
        value: Any,
        column: Column | None,
        must: Must,
        known: Type,
        path: str,
        depth: int,
    ) -> None:
        if must.refused:
            code, _, message = must.refused.partition(": ")
            message, _, fix = message.partition("; ")
            self.add_error(path, code, message, fix)
            return
        if value is None:
            if column is not None and camel(column.name) in NULL_RUNS:
                self._nullable(column)
            else:
                self._null(must, path, absent=not must.required)
            return
        if not isinstance(value, str):
            if must.same_model:
                self.other_model(path)
                return
            if self.rules.imports and _last(path) in MEDIA:
                self._medium("", path)
                return
        if isinstance(value, list) and not isinstance(value, Members):
            self._array(value, column, must, known, path, depth)
            return
        if must.kind == "an array":
            self.add_error(
                path, must.codes[1], "must be an array", f"write {must.missing}"
            )
            return
        if column is not None and not self._repeats(column, False, path):
            column = None
            if self.rules.imports:
                return
        self._one(value, column, must, known, path, depth)

    def _array(
        self,
        value: list[Any],
        column: Column | None,
        must: Must,
        known: Type,
        path: str,
        depth: int,
    ) -> None:
        if must.kind not in ("", "an array"):
            self.add_error(path, must.codes[1], f"must be {must.kind}", _write(must))
            return
        if not known.fits("an array"):
            self._of_kinds(known, path, "an array")
            return
        if must.filled and not value:
            self.add_error(
                path, must.codes[1], "must not be empty", f"write {must.missing}"
            )
            return
        if column is not None and not self._repeats(column, True, path):
            column = None
            if self.rules.imports:
                return
        inner = must.items or ANYTHING
        for number, item in enumerate(value):
            at = f"{path}[{number}]"
            if isinstance(item, list) and not isinstance(item, Members):
                self.refuse(
                    at,
                    "nested_array",
                    "is an array in an array, which the import refuses",
                    "put an object between them, or one array in place of two",
                )
                if not self.rules.imports:
                    self._array(item, None, inner, known.items or ANY, at, depth)
            else:
                self._one(item, column, inner, known.items or ANY, at, depth)

    def _one(
        self,
        value: Any,
        column: Column | None,
        must: Must,
        known: Type,
        path: str,
        depth: int,
    ) -> None:
        """A value that is no array, or an item of one."""
        if value is None:
            self._null(must, path)
            return
        kind = KINDS[type(value)]
        if must.kind not in ("", "an array") and kind != must.kind:
            self.add_error(path, must.codes[1], f"must be {must.kind}", _write(must))
            return
        if not known.fits(kind):
            self._of_kinds(known, path, kind)
            return
        if known.whole and kind == "a number" and value:
            self.unsure = True
            self.add_error(path, "bad_value", "must be a whole number", "write one")
            return
        if column is not None and not self._is_of(column, kind, path):
            column = None
            if self.rules.imports:
                return
        if isinstance(value, Members):
            if not self._fits(value, path, depth):
                column = None
                if self.rules.imports:
                    return
            self._object(value, column, must, known, path, depth + 1)
        elif isinstance(value, str):
            self._string(value, must, known, path)

    def _of_kinds(self, known: Type, path: str, kind: str) -> None:
        """A value is of a kind that the API doesn't take there."""
        kinds = sorted(known.kinds)
        if known.pattern is not None:
            kinds.remove("a string")
        if known.choices and "a number" in kinds:
            kinds.remove("a number")
        wanted = " or ".join(kinds) or "an array"
        fix = f"write {wanted}"
        if known.choices:
            fix = f"write {_one_of(known.choices)}"
            if kind == "an array" and "NULL" in known.choices:
                fix += ', and beside it "nullable": true where it may be null'
        self.add_error(path, "bad_value", f"is {kind}, and must be {wanted}", fix)

    def _nullable(self, column: Column) -> None:
        if not column.nullable:
            column.nullable = True
            column.touch()
            self._undo.append(lambda: setattr(column, "nullable", False))

    def _null(self, must: Must, path: str, *, absent: bool = False) -> None:
        """
        Args:
            absent: where there is no import, it is as good as not there.
        """
        if self.rules.imports:
            self.add_error(
                path, "null", "is null, which the import refuses", "leave it out"
            )
        elif must.kind and not absent:
            self.add_error(path, must.codes[1], "is null", _write(must))

    def _fits(self, value: Members, path: str, depth: int) -> bool:
        if not value and self.rules.imports:
            fix = "leave it out"
            if camel(_last(path)) == "googleSearch":
                # Files with it ran, and what it excludes is nothing that anybody reads.
                fix = f'write "{_last(path)}": {{"excludeDomains": ["example.com"]}}'
            self.add_error(
                path,
                "empty_object",
                "is an object without members, which the import refuses",
                fix,
            )
        elif depth >= DEEPEST:
            self.refuse(
                path,
                "too_deep",
                f"is more than {DEEPEST} objects deep, which the import refuses",
                "nest less, or write the inner part as a string of JSON",
            )
        else:
            return True
        return False

    def _string(self, value: str, must: Must, known: Type, path: str) -> None:
        name = _last(path)
        if must.choices and value not in must.choices:
            self.by_value[path] = _unlike(f"(?:{_any_of(must.choices)})\\Z")
            self.add_error(
                path,
                must.codes[1],
                f"is none of {', '.join(must.choices)}",
                f"write {must.missing}",
            )
        elif must.filled and not value:
            self.by_value[path] = r"^\Z"
            self.add_error(path, must.codes[1], "is empty", f"write {must.missing}")
        elif must.same_model:
            if not re.search(self.rules.model_pattern, value):
                self.by_value[path] = _unlike(self.rules.model_pattern)
                self.other_model(path)
        elif (pattern := self.rules.medium_pattern(name)) is not None and not re.search(
            pattern, value
        ):
            self.by_value[path] = _unlike(pattern)
            self._medium(value, path)
        elif not known.takes(value):
            if known.pattern is not None:
                self.by_value[path] = _unlike(known.pattern)
                self._of_kinds(known, path, "a string")
            elif self.rules.strict:
                self.by_value[path] = f"^{re.escape(value[:_LONGEST])}\\Z"
                self.add_error(
                    path,
                    "bad_value",
                    f"is no value that the API takes, by its list of {version()}",
                    f"write {_one_of(known.choices)}; {_NEWER}",
                )

    def other_model(self, path: str) -> None:
        self.add_error(
            path,
            "other_model",
            f"is not the job's model, {self.rules.model}",
            "leave it out, or drop the line in a file for that model",
        )

    def _medium(self, value: str, path: str) -> None:
        if value.strip().lower().startswith("gs:"):
            message = "is a gs:// address outside the places that media may come from"
            if {".", ".."}.intersection(value.split("/")):
                message = "is a gs:// address with a part that is made of dots"
                fix = "write it out as gs://bucket/name"
            elif self.rules.sources is None:
                fix = "write gs://bucket/name"
            else:
                places = ", ".join(map(str, self.rules.sources)) or "nowhere"
                fix = f"copy the object to one of them: {places}"
            self.add_error(path, "medium_not_allowed", message, fix)
        else:
            self.add_error(
                path,
                "bad_medium",
                "is neither a gs:// address nor inline data",
                'copy it to a bucket and write its "gs://..." address, or send it as '
                '"inlineData": {"mimeType": "...", "data": "<base64>"}',
            )

    # -- objects ----------------------------------------------------------------

    def _object(
        self,
        members: Members,
        column: Column | None,
        must: Must,
        known: Type,
        path: str,
        depth: int,
    ) -> None:
        dot = f"{path}." if path else ""
        found = {name for name, _ in members}
        google = self.rules.family.google
        for name, inner in must.members.items():
            if inner.required and name not in found:
                self.add_error(
                    path,
                    inner.codes[0],
                    f"has no {name}",
                    f"write {inner.missing}",
                )
        if must.any_of and not found.intersection(must.any_of):
            self.add_error(
                path,
                must.codes[0],
                f"has no {' or '.join(must.any_of)}",
                f"write {must.missing}",
            )
        if column is not None:
            self._anchor(column, members, must)
        for name, value in members:
            rule = must.members.get(camel(name) if google else name, ANYTHING)
            type = known.member(name)
            if type is None:
                if rule is ANYTHING and self._is_unknown(name, known, dot):
                    continue
                type = ANY
            at = f"{dot}{_cut(name, _LONGEST_OF_PATH)}"
            below = None
            if column is not None:
                below = self._member(column, name, rule, type, at)
                if below is None and self.rules.imports:
                    continue
            self._value(value, below, rule, type, at, depth)

    def _is_unknown(self, name: str, known: Type, dot: str) -> bool:
        """Whether a name that isn't in the list is refused; tells it."""
        if not self.rules.strict:
            return False
        if self.rules.imports and not _NAME.fullmatch(name):
            return False  # told as what it is
        message = f"is no member that the API has here, by its list of {version()}"
        fix = "leave it out"
        if self.most > 1:
            fix = known.meant(name, self.columns.root.known) or fix
        at = f"{dot}{_cut(name, _LONGEST)}"
        self.add_error(at, "unknown_member", message, f"{fix}; {_NEWER}")
        return True

    # -- columns ----------------------------------------------------------------

    def _anchor(self, column: Column, members: Members, must: Must) -> None:
        """Keeps a member in mind that every object at this place has had."""
        names = [name for name, _ in members]
        if not column.members:
            # The first object: later ones could not tell what those before had.
            wanted = [n for n in names if must.members.get(n, ANYTHING).required]
            wanted += [n for n in names if n in must.any_of]
            column.anchor = [*wanted, *names, None][0]
            self._undo.append(lambda: setattr(column, "anchor", None))
        elif column.anchor is not None and column.anchor not in names:
            before = column.anchor
            column.anchor = None
            column.touch()
            self._undo.append(lambda: setattr(column, "anchor", before))

    def _member(
        self, column: Column, name: str, must: Must, type: Type, path: str
    ) -> Column | None:
        """The column of a member; None if there can't be one."""
        known = column.members.get(name)
        if known is not None:
            return known
        columns, imports = self.columns, self.rules.imports
        if imports and not _NAME.fullmatch(name):
            self.add_error(
                path,
                "bad_name",
                "has a name that the import can't make a column of",
                "use letters, digits, _ and -, and no digit first; a raw JSON schema "
                "can be written as a string in the prompt, or as Gemini's own Schema",
            )
            return None
        if imports and _RESERVED.match(name):
            self.add_error(
                path,
                "bad_name",
                "has a name that begins as BigQuery's own do, which the import refuses",
                "begin it with another word",
            )
            return None
        if columns.count >= MOST_COLUMNS:
            self.refuse(
                path,
                "too_many_names",
                f"is a new name after {MOST_COLUMNS:,} others, and the import takes no "
                "more",
                "write what varies as values, not as names",
            )
            return None
        common = camel(name)
        if (
            imports
            and self.rules.family.google
            and common in TWO_SPELLINGS
            and column.name not in OWN_NAMES
        ):
            other, line = column.spelled.get(common, (name, self.line))
            if other != name:
                self.add_error(
                    path,
                    "mixed_case",
                    f"is written {other} {self._where(line)}, and the import takes "
                    "one spelling",
                    f"write {other}",
                )
                return None
            column.spelled[common] = (name, self.line)
            self._undo.append(lambda: column.spelled.__delitem__(common))
        folded = name.lower()
        if imports:
            other, line = column.folded.get(folded, (name, self.line))
            if other != name:
                self.add_error(
                    path,
                    "same_name",
                    f"has the name of another member {self._where(line)} but for its "
                    "case, and the import has one column for both",
                    "write it in one way in every line, or give one another name",
                )
                return None
            if folded not in column.folded:
                column.folded[folded] = (name, self.line)
                self._undo.append(lambda: column.folded.__delitem__(folded))
        made = column.members[name] = Column(name, column, must, type)
        columns.count += 1
        column.touch()

        def undo() -> None:
            del column.members[name]
            columns.count -= 1

        self._undo.append(undo)
        return made

    def _repeats(self, column: Column, repeated: bool, path: str) -> bool:
        """Whether an array, or a single value, is what the column has had so far."""
        if column.repeated is None:
            column.repeated, column.repeated_line = repeated, self.line
            column.touch()
            self._undo.append(lambda: setattr(column, "repeated", None))
        elif column.repeated != repeated:
            now, then = (
                ("an array", "a single value")
                if repeated
                else (
                    "a single value",
                    "an array",
                )
            )
            self.refuse(
                path,
                "mixed_types",
                f"is {now}, but {then} {self._where(column.repeated_line)}; the import "
                "takes one type over the whole file",
                f"write {then} in every line",
            )
            return False
        return True

    def _is_of(self, column: Column, kind: str, path: str) -> bool:
        columns = self.columns
        if column.kind is None:
            column.kind, column.kind_line = kind, self.line
            column.touch()
            objects = int(kind == "an object")
            columns.objects += objects

            def undo() -> None:
                column.kind = None
                columns.objects -= objects

            self._undo.append(undo)
        elif column.kind != kind:
            self.refuse(
                path,
                "mixed_types",
                f"is {kind}, but {column.kind} {self._where(column.kind_line)}; the "
                "import takes one type over the whole file",
                f"write {column.kind} in every line",
            )
            return False
        return True

    def _where(self, line: int) -> str:
        return "elsewhere in this line" if line == self.line else f"in line {line}"


def _unlike(pattern: str) -> str:
    """What a string matches that a pattern for its beginning doesn't."""
    return f"^(?!{pattern})"


def _any_of(choices: tuple[str, ...]) -> str:
    return "|".join(map(re.escape, choices))


def _last(path: str) -> str:
    """The name of the member at a path."""
    return path.rpartition(".")[2].partition("[")[0]


def _one_of(choices: tuple[str, ...]) -> str:
    shown = [each for each in choices if not each.endswith("_UNSPECIFIED")]
    more = ", ..." if len(shown) > _MOST_CHOICES else ""
    return f"one of {', '.join(shown[:_MOST_CHOICES])}{more}"


def _write(must: Must) -> str:
    return f"write {must.missing}" if must.missing else f"write {must.kind}"


def _cut(name: str, length: int) -> str:
    return name if len(name) <= length else f"{name[:length]}..."


def shortened(path: str) -> str:
    """A path of a bearable length, whatever the names in it."""
    return path if len(path) <= 200 else f"{path[:120]}...{path[-70:]}"
