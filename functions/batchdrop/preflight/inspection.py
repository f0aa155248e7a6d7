"""What an inspection of one line finds, and what it has to undo if the line is bad."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from batchdrop.preflight.rules import Rules
from batchdrop.rows import RowError

#: An inspection ends at this many row errors: the first ones are enough.
MOST_ERRORS = 10


class Members(list[tuple[str, Any]]):
    """An object's members as written: a name that is given twice is in it twice."""


#: What messages call values; null has no name.
KINDS: dict[type, str] = {
    Members: "an object",
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
}


class Full(Exception):
    """The line has as many row errors as an inspection keeps."""


@dataclass(slots=True)
class Inspection:
    """The row errors of one line, and the changes that the line made elsewhere."""

    rules: Rules
    line: int
    #: How many row errors end it. With one, no time is spent on finding a good fix.
    most: int = MOST_ERRORS
    #: How messages call a line, by its number.
    called: Callable[[int], str] = "line {}".format
    row_errors: list[RowError] = field(default_factory=list)
    parsed: Members | None = None  #: the line, once it is parsed
    #: By the path of a wrong string: a pattern that every wrong string there matches.
    #: All other row errors follow from names and types, unless `unsure` is set.
    by_value: dict[str, str] = field(default_factory=dict)
    unsure: bool = False
    _undo: list[Callable[[], None]] = field(default_factory=list)

    def add_error(self, path: str, code: str, message: str, fix: str) -> None:
        """
        Raises:
            Full: this is the last row error that is kept.
        """
        self.row_errors.append(self._row_error(path, code, message, fix))
        if len(self.row_errors) >= self.most:
            raise Full

    def refuse(self, path: str, code: str, message: str, fix: str) -> None:
        """Adds a row error that only matters if the API imports the file."""
        if self.rules.imports:
            self.add_error(path, code, message, fix)

    def other_model(self, path: str) -> None:
        self.add_error(
            path,
            "other_model",
            f"is not the job's model, {self.rules.model}",
            "leave it out, or drop the line in a file for that model",
        )

    def too_deep(self) -> None:
        """Replaces all row errors: the line nests too deeply to be inspected."""
        self.forget()
        message = "nests too deeply to be read"
        self.row_errors = [self._row_error("", "too_deep", message, "nest less")]

    def _row_error(self, path: str, code: str, message: str, fix: str) -> RowError:
        return RowError(
            line=self.line, path=shortened(path), code=code, message=message, fix=fix
        )

    def on_forget(self, undo: Callable[[], None]) -> None:
        """Keeps how to undo a change, for `forget`."""
        self._undo.append(undo)

    def forget(self) -> None:
        """Undoes what this line has changed, the last change first."""
        for undo in reversed(self._undo):
            undo()
        self._undo.clear()


def shortened(path: str) -> str:
    """A path of a bearable length, whatever the names in it."""
    return path if len(path) <= 200 else f"{path[:120]}...{path[-70:]}"
