"""
The log lines of the code, and the page that lists them for operators.

    python -m tests.log_lines            prints it
    python -m tests.log_lines --write    writes docs/reference/events.md
"""

import ast
import functools
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FUNCTIONS = ROOT / "functions"
PAGE = ROOT / "docs/reference/events.md"

_LEVELS = {
    "debug": "DEBUG",
    "info": "INFO",
    "warning": "WARNING",
    "error": "ERROR",
    "exception": "ERROR",
}
_HEAD = """\
# Events in the log

The functions write one JSON object per line. Filter by `jsonPayload.event`, which does
not change when a message is reworded:

    gcloud logging read 'jsonPayload.event="job.parked"'

Each line also has `severity`, `message`, `logger` and the trace of its request; a stack
trace is in `stack_trace`. [Operate](../how-to/operate.md) has the alerts.

<!-- from the code's log lines, by `make events` -->

| event | severity | message | fields | module |
|---|---|---|---|---|
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A place in the code that logs."""

    message: str
    event: str | None  #: its stable id
    level: str  #: as Cloud Logging calls it
    fields: frozenset[str]
    module: str  #: its path in functions/
    number: int  #: of its line there

    @property
    def where(self) -> str:
        return f"{self.module}:{self.number}"


@functools.cache
def log_lines(functions: Path = FUNCTIONS) -> tuple[LogLine, ...]:
    """All calls of `log.info(...)` and its like, by module and line."""
    return tuple(
        line
        for file in sorted(functions.rglob("*.py"))
        for line in _of_module(file.read_text(), file.relative_to(functions).as_posix())
    )


def _of_module(text: str, module: str) -> Iterator[LogLine]:
    if not re.search(r"\blog\b", text):
        return  # most modules log nothing, and to parse them all takes a second
    tree = ast.parse(text)
    tables = _assigned(tree)
    for call in ast.walk(tree):
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and isinstance(call.func.value, ast.Name)
            and call.func.value.id == "log"
            and call.func.attr in _LEVELS
        ):
            texts = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
            extra = [each.value for each in call.keywords if each.arg == "extra"]
            fields = dict(pair for each in extra for pair in _members(each, tables))
            event = fields.pop("event", None)
            yield LogLine(
                message=str(texts[0]) if texts else "",
                event=event,
                level=_LEVELS[call.func.attr],
                fields=frozenset(fields),
                module=module,
                number=call.lineno,
            )


def _assigned(tree: ast.AST) -> dict[str, list[ast.expr]]:
    """What each name of a module is set to, wherever."""
    found = defaultdict(list)
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    found[target.id].append(node.value)
    return found


def _members(
    extra: ast.expr, names: dict[str, list[ast.expr]]
) -> Iterator[tuple[str, str | None]]:
    """Names of fields, each with its value where that is a text: `{...}`, `a | b`."""
    if isinstance(extra, ast.Dict):
        for key, value in zip(extra.keys, extra.values, strict=True):
            if key is None:
                yield from _members(value, names)
            elif isinstance(key, ast.Constant):
                text = value.value if isinstance(value, ast.Constant) else None
                yield str(key.value), text if isinstance(text, str) else None
    elif isinstance(extra, ast.BinOp):
        yield from _members(extra.left, names)
        yield from _members(extra.right, names)
    elif isinstance(extra, ast.Name):
        for value in names.get(extra.id, ()):
            if isinstance(value, ast.Dict):
                yield from _members(value, names)


def page() -> str:
    """The page: one row for each event, in alphabetical order."""
    events: dict[str, list[LogLine]] = {}
    for line in log_lines():
        if line.event:
            events.setdefault(line.event, []).append(line)
    rows = (
        (
            f"`{event}`",
            _list(line.level for line in lines),
            _list(line.message for line in lines),
            _list(f"`{name}`" for line in lines for name in line.fields),
            _list(f"`{line.module.removeprefix('batchdrop/')}`" for line in lines),
        )
        for event, lines in sorted(events.items())
    )
    return _HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _list(items: Iterable[str]) -> str:
    return ", ".join(sorted(set(items)))


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page())
    else:
        print(page(), end="")
