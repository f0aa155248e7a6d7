"""Rows that fail by chance, while workers die and sleep by chance, in this process."""

import os
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import pytest

from tests.exactly_once.costs import unequal_costs
from tests.exactly_once.promise import broken
from tests.exactly_once.scenarios import COLLECTED, TRAITS, Scenario, keyed
from tests.there import there
from tests.worker.backends import BOTH
from tests.worker.dying import Killed, failpoints
from tests.worker.rounds import in_ranges
from tests.worker.test_deaths import Course
from tests.worker.world import World

#: So often fails a row that fails in every round.
ALWAYS = 9
#: The rows of a part, see `TRAITS`.
PART = 2
#: How likely a worker comes to harm at a failpoint, and how often at most.
HARM, MOST = 0.1, 5
#: To try others, set SEEDS.
SEEDS = range(*map(int, os.environ.get("SEEDS", "0 2").split()))


def planned(chance: random.Random) -> tuple[Scenario, dict[int, int]]:
    """A file, and how often each of its rows fails for a passing reason."""
    often = {
        n: chance.choice((1, 1, 1, 2, 3, ALWAYS)) if chance.random() < 0.5 else 0
        for n in range(1, chance.randint(2, 9) + 1)
    }
    faults = tuple(
        {
            "fault": "row_failed",
            "code": chance.choice((429, 503)),
            "count": times,
            "match": {"row_text": f"say row-{n}"},
        }
        for n, times in often.items()
        if times
    )
    more = {"parts"} if chance.random() < 0.4 else set()
    way = replace(
        COLLECTED,
        name="by_chance",
        text=keyed("row", len(often)),
        faults=faults,
        traits=COLLECTED.traits | more,
        asks="failed" if chance.random() < 0.3 else "",
    )
    return way, often


def expected(
    way: Scenario, often: Mapping[int, int], retry: int
) -> dict[int, tuple[str, int]]:
    """By its line, the outcome of each row, and the round in which it had it."""
    size = PART if "parts" in way.traits else len(often)
    rows = sorted(often)
    found: dict[int, tuple[str, int]] = {}
    for part in (rows[i : i + size] for i in range(0, len(rows), size)):
        left = {row: often[row] for row in part}
        n, last = 0, False
        while left and not last:
            healed = [row for row, times in left.items() if times <= n]
            last = n == retry or (n > 0 and not healed)
            found |= {row: ("failed", n) for row in left}
            found |= {row: ("ok", n) for row in healed}
            left = {row: times for row, times in left.items() if times > n}
            n += 1
    if way.asks:
        for row, (_, n) in found.items():
            if often[row] == n + 1:
                found[row] = ("ok", n + 1)
    return found


@contextmanager
def harm(chance: random.Random, course: Course) -> Iterator[list[str]]:
    """Workers die at some failpoints, or sleep there until others have gone on."""
    struck: list[str] = []
    early, asleep = chance.random() < 0.3, False

    def passed(point: str) -> None:
        nonlocal asleep
        if asleep or len(struck) == MOST or not (early or is_over()):
            return
        if chance.random() < HARM:
            struck.append(point)
            if chance.random() < 0.7:
                raise Killed
            asleep = True
            for _ in range(chance.randint(1, 12)):
                course.step()
            asleep = False

    def is_over() -> bool:
        job = course.world.ledger.get(course.drop.job_id)
        return job is not None and (job.is_over or job.is_split)

    with failpoints(passed):
        yield struck


@pytest.mark.proof
@pytest.mark.parametrize("seed", SEEDS)
@BOTH
def test_each_row_goes_again_as_often_as_it_may_whatever_becomes_of_workers(
    world: World, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(f"{seed} {world.settings.backend}")
    retry = chance.randint(0, 3)
    options = f'results = "on"\nretry = {retry}\nretry_share = 1\non_invalid = "skip"'
    monkeypatch.setitem(TRAITS, "collected", options)
    if chance.random() < 0.3:
        in_ranges(monkeypatch)
    way, often = planned(chance)
    course = Course(world, way)

    with harm(chance, course) as struck:
        course.run()
    course.run()
    course.close()

    print(f"retry = {retry}, {way}, {often}, {struck}")  # pytest shows it if this fails
    assert broken(course.outcome([])) == []
    found = {
        one["line"]: (one["outcome"], one["round"])
        for one in world.results(world.job(course.drop))
    }
    wanted = expected(way, often, retry)
    assert {n: outcome for n, (outcome, _) in found.items()} == {
        n: outcome for n, (outcome, _) in wanted.items()
    }
    assert way.asks or found == wanted
    assert unequal_costs(jobs(world), costs(world)) == []


def jobs(world: World) -> list[dict[str, Any]]:
    found = world.database.collection("jobs").select([]).stream()
    return [asdict(there(world.ledger.get(each.id))) for each in found]


def costs(world: World) -> list[dict[str, Any]]:
    found = world.database.collection("costs").stream()
    return [there(each.to_dict()) for each in found]
