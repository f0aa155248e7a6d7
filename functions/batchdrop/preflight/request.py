"""Inspects one request: finds what is wrong in it, and adds its new columns."""

import re
from typing import Any

from batchdrop.preflight.columns import IMPORTED_NAME, Column, ColumnCheck, Columns
from batchdrop.preflight.inspection import KINDS, Full, Inspection, Members
from batchdrop.preflight.members import ANY, Type, version
from batchdrop.preflight.names import NULL_RUNS, camel
from batchdrop.preflight.rules import ANYTHING, MEDIA, Must

#: Objects within one another, in a row (seen live).
DEEPEST = 15
_NEWER = 'for what is newer than the list, choose "unknown": "allow"'
#: An error shows this many characters of an unknown name.
_LONGEST = 60
#: The same for other names of a path. Each value below has it in its own path.
_LONGEST_OF_PATH = 200
#: An error lists this many choices.
_MOST_CHOICES = 16


class RequestCheck:
    """
    Inspects one request.

    If the API doesn't import the file, a value may be outside the columns: it is
    inspected all the same, without a column.
    """

    def __init__(self, inspection: Inspection, columns: Columns) -> None:
        self.inspection = inspection
        self.rules = inspection.rules
        self.columns = columns
        self._column_check = ColumnCheck(inspection, columns)

    def check(self, value: Any, path: str) -> None:
        """
        Finds all that is wrong in a request. A bad request changes no column.

        Args:
            value: the request, parsed.
            path: where it stands in the line.
        """
        family = self.rules.family
        depth = 0 if family.wrapper is None else 1
        try:
            if not isinstance(value, Members):
                self._add_error(
                    path,
                    "not_an_object",
                    "is no JSON object",
                    f"write {family.example}",
                )
            else:
                root = self.columns.root
                self._object(value, root, family.must, root.known, path, depth)
        except Full:
            pass
        if self.inspection.row_errors:
            self.inspection.forget()

    def _add_error(self, path: str, code: str, message: str, fix: str) -> None:
        self.inspection.add_error(path, code, message, fix)

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
            self._add_error(path, code, message, fix)
            return
        if value is None:
            if column is not None and camel(column.name) in NULL_RUNS:
                self._column_check.nullable(column)
            else:
                self._null(must, path, absent=not must.required)
            return
        if not isinstance(value, str):
            if must.same_model:
                self.inspection.other_model(path)
                return
            if self.rules.imports and _last(path) in MEDIA:
                self._medium("", path)
                return
        if isinstance(value, list) and not isinstance(value, Members):
            self._array(value, column, must, known, path, depth)
            return
        if must.kind == "an array":
            self._add_error(
                path, must.codes[1], "must be an array", f"write {must.missing}"
            )
            return
        if column is not None and not self._column_check.repeats(column, False, path):
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
            self._add_error(path, must.codes[1], f"must be {must.kind}", _write(must))
            return
        if not known.fits("an array"):
            self._of_kinds(known, path, "an array")
            return
        if must.filled and not value:
            self._add_error(
                path, must.codes[1], "must not be empty", f"write {must.missing}"
            )
            return
        if column is not None and not self._column_check.repeats(column, True, path):
            column = None
            if self.rules.imports:
                return
        inner = must.items or ANYTHING
        for number, item in enumerate(value):
            at = f"{path}[{number}]"
            if isinstance(item, list) and not isinstance(item, Members):
                self.inspection.refuse(
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
        """Checks a value that is not an array, or one item of an array."""
        if value is None:
            self._null(must, path)
            return
        kind = KINDS[type(value)]
        if must.kind not in ("", "an array") and kind != must.kind:
            self._add_error(path, must.codes[1], f"must be {must.kind}", _write(must))
            return
        if not known.fits(kind):
            self._of_kinds(known, path, kind)
            return
        if known.whole and kind == "a number" and value:
            self.inspection.unsure = True
            self._add_error(path, "bad_value", "must be a whole number", "write one")
            return
        if column is not None and not self._column_check.is_of(column, kind, path):
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
        """Adds the error of a value of a kind that the API doesn't take there."""
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
        self._add_error(path, "bad_value", f"is {kind}, and must be {wanted}", fix)

    def _null(self, must: Must, path: str, *, absent: bool = False) -> None:
        """
        Args:
            absent: where there is no import, null means the same as absent.
        """
        if self.rules.imports:
            self._add_error(
                path, "null", "is null, which the import refuses", "leave it out"
            )
        elif must.kind and not absent:
            self._add_error(path, must.codes[1], "is null", _write(must))

    def _fits(self, value: Members, path: str, depth: int) -> bool:
        if not value and self.rules.imports:
            fix = "leave it out"
            if camel(_last(path)) == "googleSearch":
                # Files with this ran, and nobody needs the domain that it excludes.
                fix = f'write "{_last(path)}": {{"excludeDomains": ["example.com"]}}'
            self._add_error(
                path,
                "empty_object",
                "is an object without members, which the import refuses",
                fix,
            )
        elif depth >= DEEPEST:
            self.inspection.refuse(
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
            self.inspection.by_value[path] = _unlike(f"(?:{_any_of(must.choices)})\\Z")
            self._add_error(
                path,
                must.codes[1],
                f"is not one of {', '.join(must.choices)}",
                f"write {must.missing}",
            )
        elif must.filled and not value:
            self.inspection.by_value[path] = r"^\Z"
            self._add_error(path, must.codes[1], "is empty", f"write {must.missing}")
        elif must.same_model:
            if not re.search(self.rules.model_pattern, value):
                self.inspection.by_value[path] = _unlike(self.rules.model_pattern)
                self.inspection.other_model(path)
        elif (pattern := self.rules.medium_pattern(name)) is not None and not re.search(
            pattern, value
        ):
            self.inspection.by_value[path] = _unlike(pattern)
            self._medium(value, path)
        elif not known.takes(value):
            if known.pattern is not None:
                self.inspection.by_value[path] = _unlike(known.pattern)
                self._of_kinds(known, path, "a string")
            elif self.rules.strict:
                self.inspection.by_value[path] = f"^{re.escape(value[:_LONGEST])}\\Z"
                self._add_error(
                    path,
                    "bad_value",
                    f"is not a value that the API takes (list of {version()})",
                    f"write {_one_of(known.choices)}; {_NEWER}",
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
            self._add_error(path, "medium_not_allowed", message, fix)
        else:
            self._add_error(
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
                self._add_error(
                    path,
                    inner.codes[0],
                    f"has no {name}",
                    f"write {inner.missing}",
                )
        if must.any_of and not found.intersection(must.any_of):
            self._add_error(
                path,
                must.codes[0],
                f"has no {' or '.join(must.any_of)}",
                f"write {must.missing}",
            )
        if column is not None:
            self._column_check.anchor(column, members, must)
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
                below = self._column_check.member(column, name, rule, type, at)
                if below is None and self.rules.imports:
                    continue
            self._value(value, below, rule, type, at, depth)

    def _is_unknown(self, name: str, known: Type, dot: str) -> bool:
        """Whether the API has no such member; if so, adds the row error."""
        if not self.rules.strict:
            return False
        if self.rules.imports and not IMPORTED_NAME.fullmatch(name):
            return False  # ColumnCheck finds the bad name
        message = f"is unknown: the API has no such member here (list of {version()})"
        fix = "leave it out"
        if self.inspection.most > 1:
            if not dot and not self.rules.family.embeds:
                fix += ', or, if it is a column of yours, write it beside "request": '
                fix += '{"request": {...}, ...}'
            fix = known.meant(name, self.columns.root.known) or fix
        at = f"{dot}{_cut(name, _LONGEST)}"
        self._add_error(at, "unknown_member", message, f"{fix}; {_NEWER}")
        return True


def _unlike(pattern: str) -> str:
    """A pattern for every string whose beginning doesn't match this one."""
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
