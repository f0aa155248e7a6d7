"""The main job, with the process killed or frozen at each point on its way."""

from collections.abc import Container
from pathlib import Path
from typing import Any

import pytest

from tests import often
from tests.exactly_once.points import (
    KILLED,
    LATE_IN_PARTS,
    OWN_WAY,
    PAIRS,
    STEPPED,
    points,
    points_of,
)
from tests.exactly_once.promise import broken
from tests.exactly_once.scenarios import (
    ACCOMPANIED,
    AWAITED,
    GOOD,
    HEALED,
    IN_PARTS,
    INLINED,
    OTHERS,
    PLAIN,
    SCENARIOS,
    Scenario,
    ways_to,
)
from tests.exactly_once.track import BACKENDS, Case
from tests.exactly_once.tracks import Runs


def killed_at(point: str, backend: str) -> Case:
    return Case(
        name=f"killed-{point}",
        backend=backend,
        # Now and then another worker comes first, and the point isn't passed.
        ways=tuple(ways_to(point)) * 2,
        kills=(point,),
    )


def frozen_at(point: str, backend: str) -> Case:
    return Case(
        name=f"frozen-{point}",
        backend=backend,
        ways=tuple(ways_to(point)) * 2,
        freezes=(point,),
    )


def mostly(cases: list[tuple[Case, Any]], some: Container[Any]) -> list[Any]:
    """Those beside one of `some` are tried in every run, the others by `make crash`."""
    return often.mostly(
        *(case for case, kind in cases if kind in some),
        also=[case for case, _ in cases],
        mark=pytest.mark.exhaustive,
    )


def killed_at_both(pair: tuple[str, str]) -> Case:
    one, other = pair
    # What leads past each of them leads past both, if anything does.
    way = ways_to(one)[0] | ways_to(other)[0]
    return Case(name=f"killed-{one}-{other}", backend="vertex", ways=(way,), kills=pair)


#: Deaths of each function's process: of `on_upload` with a file in hand, and with a
#: request sent and not written down; of `poll` with the lock of its tick; of `collect`
#: with results written and not published.
#: `tests/worker/test_deaths.py` has a worker die at each point, and at each of
#: `OTHERS`, in its own process.
KINDS = {
    ("vertex", "after_staging"),
    ("vertex", "after_create"),
    ("vertex", "after_lock"),
    ("vertex", "collect_written"),
}


@pytest.mark.parametrize(
    "case",
    mostly(
        [(killed_at(point, backend), (backend, point)) for backend, point in KILLED],
        KINDS,
    ),
    ids=str,
)
def test_a_job_whose_process_dies_at_a_point_is_paid_and_announced_once(
    case: Case, runs: Runs
) -> None:
    outcome = runs[case].result()

    assert outcome.missed == [], f"no scenario passes {case.kills[0]}; add one"
    assert broken(outcome) == []


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "case",
    [
        killed_at(point, "developer")
        for point in sorted({*points_of("developer")} - OWN_WAY)
    ],
    ids=str,
)
def test_a_death_where_both_apis_are_alike(case: Case, runs: Runs) -> None:
    outcome = runs[case].result()

    assert outcome.missed == []
    assert broken(outcome) == []


@pytest.mark.exhaustive
@pytest.mark.parametrize("case", [*map(killed_at_both, PAIRS)], ids=str)
def test_at_each_pair_of_points(case: Case, runs: Runs) -> None:
    assert broken(runs[case].result()) == []


@pytest.mark.parametrize(
    "case",
    [  # others: `test_freezing_at_each_point`
        frozen_at("before_create", "vertex"),
        frozen_at("collect_merged", "vertex"),
    ],
    ids=str,
)
def test_a_worker_that_freezes_and_wakes_late_does_no_harm(
    case: Case, runs: Runs
) -> None:
    outcome = runs[case].result()

    assert outcome.missed == []
    assert broken(outcome) == []


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "case",
    [frozen_at(point, backend) for backend in BACKENDS for point in points_of(backend)],
    ids=str,
)
def test_freezing_at_each_point(case: Case, runs: Runs) -> None:
    outcome = runs[case].result()

    assert outcome.missed == []
    assert broken(outcome) == []


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "case",
    [
        made(point, backend)
        for point in sorted(STEPPED)
        for made in (killed_at, frozen_at)
        for backend in BACKENDS
    ],
    ids=str,
)
def test_a_collector_that_dies_or_freezes_between_steps_is_followed_by_another(
    case: Case, runs: Runs
) -> None:
    outcome = runs[case].result()

    assert outcome.missed == []
    assert broken(outcome) == []


#: The first wakes, and sends, while the second is in the middle of its fence.
CROSSING = [
    Case(
        name=f"crossing-{point}",
        backend=backend,
        ways=(PLAIN, PLAIN),
        freezes=("before_create", point),
        at_once=True,
    )
    for backend, point in (
        ("vertex", "after_search"),
        ("vertex", "after_copying"),
        ("vertex", "after_fence_delete"),
        ("developer", "after_copying"),
    )
]


@pytest.mark.parametrize(
    "case", mostly([(case, case) for case in CROSSING], CROSSING[:1]), ids=str
)
def test_a_request_sent_in_the_middle_of_a_fence_is_paid_once(
    case: Case, runs: Runs
) -> None:
    outcome = runs[case].result()

    assert outcome.missed == []
    assert broken(outcome) == []


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "case",
    [
        Case(
            name=f"job-and-round-killed-{point}",
            backend=backend,
            ways=(HEALED, HEALED),
            kills=(point, point),
        )
        for backend, point in (
            ("vertex", "after_create"),
            ("developer", "after_create"),
            ("vertex", "collect_written"),
            ("vertex", "after_submitted"),
        )
    ],
    ids=str,
)
def test_a_job_and_its_round_whose_processes_die_alike_are_paid_once(
    case: Case, runs: Runs
) -> None:
    outcome = runs[case].result()

    assert outcome.missed == []
    assert broken(outcome) == []


def otherwise(
    way: Scenario, backend: str, *, kills: tuple[str, ...] = (), freeze: str = ""
) -> Case:
    point = freeze or "-".join(kills)
    return Case(
        name=f"{way.name}-{'frozen' if freeze else 'killed'}-{point}",
        backend=backend,
        ways=(way, way),
        kills=kills,
        freezes=(freeze,) if freeze else (),
    )


@pytest.mark.parametrize(
    "case",
    mostly(
        [
            *(
                (otherwise(way, backend, kills=kills), (backend, way))
                for backend, some in OTHERS.items()
                for way, kills in some
            ),
            *(
                (otherwise(IN_PARTS, "vertex", freeze=point), point)
                for point in LATE_IN_PARTS
            ),
        ],
        [("vertex", IN_PARTS)],
    ),
    ids=str,
)
def test_parts_and_jobs_by_manifests_are_paid_and_announced_once(
    case: Case, runs: Runs
) -> None:
    outcome = runs[case].result()

    assert outcome.missed == []
    assert broken(outcome) == []


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "case",
    [
        otherwise(way | ways_to(point)[0], backend, **{harm: value})  # type: ignore[arg-type]
        for way in (IN_PARTS, INLINED, ACCOMPANIED, AWAITED)
        for backend in BACKENDS
        for point in points_of(backend)
        # A manifest with requests has no other manifest beside it.
        if not (way is INLINED and ways_to(point)[0].beside)
        for harm, value in (("kills", (point,)), ("freeze", point))
    ],
    ids=str,
)
def test_parts_and_jobs_by_manifests_at_each_point(case: Case, runs: Runs) -> None:
    assert broken(runs[case].result()) == []


@pytest.mark.parametrize("other", SCENARIOS, ids=lambda one: one.name)
@pytest.mark.parametrize(
    "way", [INLINED, ACCOMPANIED, AWAITED], ids=lambda one: one.name
)
def test_a_scenario_laid_over_another_still_drops_what_it_drops(
    way: Scenario, other: Scenario
) -> None:
    for both in (way | other, other | way):
        assert both.suffix == way.suffix
        assert both.beside == way.beside
        assert both.text == (way.text if other.text == GOOD else other.text)


def test_the_points_are_read_from_the_code(tmp_path: Path) -> None:
    code = tmp_path / "code.py"
    code.write_text(
        'def f():\n    failpoint("b")\n    if True:\n        failpoint("a")\n'
    )

    assert points([code]) == ["b", "a"]


@pytest.mark.parametrize(
    "text", ["failpoint(point)", 'failpoint(f"{x}")', "failpoint()"]
)
def test_a_point_whose_name_can_not_be_read_is_an_error(
    tmp_path: Path, text: str
) -> None:
    code = tmp_path / "code.py"
    code.write_text(f"{text}\n")

    with pytest.raises(ValueError, match=r"code\.py:1: .* one literal"):
        points([code])


def test_a_point_has_a_name_of_its_own(tmp_path: Path) -> None:
    code = tmp_path / "code.py"
    code.write_text('failpoint("a")\nfailpoint("a")\n')

    with pytest.raises(ValueError, match="named more than once: a"):
        points([code])
