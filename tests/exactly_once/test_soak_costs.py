"""The soak's check of costs finds what differs."""

from typing import Any

import pytest

from tests.exactly_once.costs import unequal_costs


def job(id: str, micros: int | None, parts: tuple[str, ...] = ()) -> dict[str, Any]:
    cost = None if micros is None else {"micros": micros}
    return {"id": id, "results": "there", "parts": parts, "cost": cost}


def cost(job: str, micros: int | None, part_of: str | None = None) -> dict[str, Any]:
    return {"job": job, "micros": micros, "part_of": part_of}


JOBS = [job("a", 3), job("b", None), job("w", 9, ("x", "y")), job("x", 4), job("y", 5)]
COSTS = [cost("a", 3), cost("b", None), cost("x", 4, "w"), cost("y", 5, "w")]


def test_equal_costs_are_right() -> None:
    assert unequal_costs(JOBS, COSTS) == []


@pytest.mark.parametrize(
    ("costs", "text"),
    [
        (COSTS[1:], "a cost 3, and its document has None"),
        ([*COSTS, cost("a", 3)], "2 documents of what a has cost"),
        ([*COSTS, cost("w", 9)], "w cost None, and its document has 9"),
        ([cost("a", 4), *COSTS[1:]], "jobs cost 12 millionths, and the documents 13"),
        ([*COSTS[:3], cost("y", 6, "w")], "w cost 9, its parts 10"),
        ([COSTS[0], cost("b", 0), *COSTS[2:]], "b cost None, and its document has 0"),
    ],
    ids=["missing", "twice", "of the whole", "more", "parts", "zero"],
)
def test_costs_that_differ_are_found(costs: list[dict[str, Any]], text: str) -> None:
    assert text in unequal_costs(JOBS, costs)
