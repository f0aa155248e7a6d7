"""
The reference page of codes, made from the enums in `batchdrop/jobs/codes.py`.

    python -m tests.codes            prints it
    python -m tests.codes --write    writes docs/reference/codes.md
"""

import ast
import re
import sys
from pathlib import Path

from batchdrop.jobs import codes

PAGE = Path(__file__).parents[1] / "docs/reference/codes.md"
SOURCE = Path(codes.__file__).read_text()

HEAD = """\
# Codes

Made from `functions/batchdrop/jobs/codes.py` by `make codes`. The
[job's document](job-document.md) says in which field each of them is.
"""
#: The enums, in the page's order, with their headings.
SECTIONS = {
    "Phase": "Phases",
    "WaitCode": "What jobs wait for",
    "Outcome": "Outcomes",
    "Step": "Steps of collecting",
    "HealthCode": "Health",
    "SkipCode": "Rows that did not go again",
    "ErrorCode": "Errors",
    "Backend": "Backends",
}


def page() -> str:
    """The page, in Markdown."""
    return "\n".join([HEAD, *(_section(name) for name in SECTIONS)])


def _section(name: str) -> str:
    enum = enum_of(SOURCE, name)
    text = ast.get_docstring(enum) or ""
    table = ["| code | meaning |", "|---|---|", *members(SOURCE, enum)]
    return "\n".join([f"## {SECTIONS[name]}", "", text, "", *table, ""])


def enum_of(source: str, name: str) -> ast.ClassDef:
    """The class of this name in a module."""
    return next(
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and node.name == name
    )


def members(source: str, enum: ast.ClassDef) -> list[str]:
    """A table's line for each member of an enum."""
    return [
        f"| `{node.value.value!s}` | {sentence(source, node)} |"
        for node in enum.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    ]


def sentence(source: str, node: ast.stmt | ast.expr) -> str:
    """
    What the `#:` comment above a member, or behind it, says of it.

    Raises:
        ValueError: the member has none.
    """
    lines = source.splitlines()
    behind = re.search(r"#: (.*)$", lines[node.lineno - 1])
    if behind:
        return behind[1]
    above: list[str] = []
    at = node.lineno - 2
    while match := re.match(r"\s*#: (.*)$", lines[at]):
        above.insert(0, match[1])
        at -= 1
    if not above:
        raise ValueError(f"line {node.lineno} has no #: comment")
    return " ".join(above)


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page())
    else:
        print(page(), end="")
