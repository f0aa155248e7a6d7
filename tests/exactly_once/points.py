"""The points at which tests kill a process, as the code names them."""

import ast
import functools
import random
from collections.abc import Iterable
from itertools import combinations_with_replacement
from pathlib import Path

FUNCTIONS = Path(__file__).parents[2] / "functions"


@functools.cache
def all_points() -> tuple[str, ...]:
    """
    The points of the functions. Read once, before there are threads: Python 3.11's
    parser fails when several threads make syntax trees at once (gh-106905).
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
        text = path.read_text()
        if "failpoint" not in text:
            continue  # most modules, and to parse them all takes half a second
        for node in ast.walk(ast.parse(text)):
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


#: Where the Developer API differs from Vertex AI: files and lists of its own, and
#: answers that the worker collects. At all other points a death is the same with both.
OWN_WAY = {
    "after_handing_over",
    "after_restaging",
    "after_fence_delete",
    "after_search",
    "before_create",
    "after_create",
    "after_cancelling_found",
    "collect_copied",
    "collect_delivered",
}
#: What only the Developer API needs: Vertex AI writes its answers into a bucket itself.
COPYING = {"collect_copied", "collect_delivered"}
#: What only answers pass that are too many for one step.
STEPPED = {
    "collect_sorted",
    "collect_planned",
    "collect_ranged",
    "collect_published",
}


def points_of(backend: str) -> list[str]:
    """The points that jobs of a few rows pass over a backend."""
    left_out = STEPPED | (COPYING if backend == "vertex" else set())
    return [point for point in all_points() if point not in left_out]


KILLED = [
    *(("vertex", point) for point in points_of("vertex")),
    *(("developer", point) for point in sorted(OWN_WAY)),
]


#: What only jobs pass whose rows go again.
IN_ROUNDS = {
    "collect_turned",
    "round_recorded",
    "round_staged",
    "round_prepared",
    "round_told",
    "collect_healed",
    "collect_heal_written",
    "collect_rows_chosen",
    "collect_parts_needed",
    "collect_parts_asked",
}


def period_of(point: str) -> str:
    """
    When a job passes the point: before it has ended, while it is collected, or in a
    round in which rows go again.
    """
    if point in IN_ROUNDS:
        return "round"
    return "collect" if point.startswith("collect_") else "send"


#: A second death at the same point is one of the pairs, except where a stall is
#: announced: that happens once. Each period begins when the one before is over, so that
#: deaths in two of them are no pair.
PAIRS = [
    (one, other)
    for one, other in combinations_with_replacement(points_of("vertex"), 2)
    if (one, other) != ("after_stalled", "after_stalled")
    and period_of(one) == period_of(other)
]
#: Few enough for every run, in one process. To try others, change the seed.
SAMPLE = random.Random(2026).sample(PAIRS, 4)[:2]
#: Where a worker that holds a part wakes late.
LATE_IN_PARTS = ("after_part", "after_staging", "before_create")
#: The same of a round in which rows go again, and of a `poll` that tells its job of it.
LATE_IN_ROUNDS = ("round_staged", "round_prepared", "round_told")
