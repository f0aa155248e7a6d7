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
    "Outcome": "Outcomes",
    "Step": "Steps of collecting",
    "HealthCode": "Health",
    "ErrorCode": "Errors",
    "Backend": "Backends",
}


def page() -> str:
    """The page, in Markdown."""
    classes = {
        node.name: node
        for node in ast.parse(SOURCE).body
        if isinstance(node, ast.ClassDef)
    }
    return "\n".join([HEAD, *(_section(classes[name]) for name in SECTIONS)])


def _section(enum: ast.ClassDef) -> str:
    text = ast.get_docstring(enum) or ""
    rows = [
        f"| `{node.value.value!s}` | {sentence(node)} |"
        for node in enum.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    ]
    table = ["| code | meaning |", "|---|---|", *rows]
    return "\n".join([f"## {SECTIONS[enum.name]}", "", text, "", *table, ""])


def sentence(node: ast.Assign) -> str:
    """
    What the `#:` comment above a member, or behind it, says of it.

    Raises:
        ValueError: the member has none.
    """
    lines = SOURCE.splitlines()
    behind = re.search(r"#: (.*)$", lines[node.lineno - 1])
    if behind:
        return behind[1]
    above: list[str] = []
    at = node.lineno - 2
    while match := re.match(r"\s*#: (.*)$", lines[at]):
        above.insert(0, match[1])
        at -= 1
    if not above:
        raise ValueError(f"line {node.lineno} of codes.py has no #: comment")
    return " ".join(above)


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page())
    else:
        print(page(), end="")
