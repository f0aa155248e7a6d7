"""The points at which a process can be had to die, as the code names them."""

import ast
import functools
from collections.abc import Iterable
from pathlib import Path

FUNCTIONS = Path(__file__).parents[2] / "functions"


@functools.cache
def all_points() -> tuple[str, ...]:
    """
    Those of the functions. Read once, before there are threads: Python 3.11's parser
    fails when several threads make syntax trees at a time (gh-106905).
    """
    return tuple(points(sorted(FUNCTIONS.rglob("*.py"))))


def points(files: Iterable[Path]) -> list[str]:
    """
    What `failpoint(...)` is called with, in the order of the modules' names and lines.

    Raises:
        ValueError: a call whose point can't be read, or a point named twice.
    """
    found: list[str] = []
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id != "failpoint":
                continue
            match node.args:
                case [ast.Constant(value=str(point))]:
                    found.append(point)
                case _:
                    raise ValueError(
                        f"{path}:{node.lineno}: failpoint() takes one literal"
                    )
    if twice := {point for point in found if found.count(point) > 1}:
        raise ValueError(f"named more than once: {', '.join(sorted(twice))}")
    return found
