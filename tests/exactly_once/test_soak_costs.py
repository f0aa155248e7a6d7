"""The soak's check of costs finds what differs."""

from typing import Any

import pytest

from tests.exactly_once.costs import unequal_costs


def job(id: str, micros: int | None, parts: tuple[str, ...] = ()) -> dict[str, Any]:
    cost = None if micros is None else {"micros": micros}
    one = {"id": id, "results": "there", "parts": parts, "cost": cost}
    return one | {"rounds": (), "round": 0, "retry_of": None}


def cost(job: str, micros: int | None, round: int = 0) -> dict[str, Any]:
    return {"job": job, "micros": micros, "round": round}


JOBS = [job("a", 3), job("b", None), job("w", 9, ("x", "y")), job("x", 4), job("y", 5)]
COSTS = [cost("a", 3), cost("b", None), cost("x", 4), cost("y", 5)]
#: A job whose own batch has cost 6, and its round 1.
AGAIN = [
    job("r", 7) | {"rounds": ({"n": 0, "cost": {"micros": 6}}, {"n": 1})},
    job("s", 1) | {"retry_of": "r", "round": 1},
]


def test_equal_costs_are_right() -> None:
    assert unequal_costs(JOBS, COSTS) == []
    assert unequal_costs(AGAIN, [cost("r", 6), cost("r", 1, 1)]) == []


@pytest.mark.parametrize(
    ("costs", "text"),
    [
        ([cost("r", 6)], "r cost 1 in round 1, and its document has None"),
        ([cost("r", 7), cost("r", 1, 1)], "r cost 7, its rounds 8"),
        (
            [cost("r", 6), cost("r", 1, 1), cost("r", 1, 1)],
            "2 documents of what r has cost in round 1",
        ),
    ],
)
def test_costs_of_rounds_that_differ_are_found(
    costs: list[dict[str, Any]], text: str
) -> None:
    assert text in unequal_costs(AGAIN, costs)


@pytest.mark.parametrize(
    ("costs", "text"),
    [
        (COSTS[1:], "a cost 3, and its document has None"),
        ([*COSTS, cost("a", 3)], "2 documents of what a has cost"),
        ([*COSTS, cost("w", 9)], "w cost None, and its document has 9"),
        ([cost("a", 4), *COSTS[1:]], "jobs cost 12 millionths, and the documents 13"),
        ([*COSTS[:3], cost("y", 6)], "w cost 9, its parts 10"),
        ([COSTS[0], cost("b", 0), *COSTS[2:]], "b cost None, and its document has 0"),
    ],
    ids=["missing", "twice", "of the whole", "more", "parts", "zero"],
)
def test_costs_that_differ_are_found(costs: list[dict[str, Any]], text: str) -> None:
    assert text in unequal_costs(JOBS, costs)
