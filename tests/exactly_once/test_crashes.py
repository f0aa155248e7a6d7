"""The main job, with the process killed or frozen at each point on its way."""

from pathlib import Path

import pytest

from tests.exactly_once.lane import BACKENDS, Case
from tests.exactly_once.lanes import Runs
from tests.exactly_once.points import points
from tests.exactly_once.promise import broken
from tests.exactly_once.scenarios import ways_to


def killed_at(point: str, backend: str) -> Case:
    return Case(
        name=f"killed-{point}",
        backend=backend,
        ways=tuple(ways_to(point)),
        kills=(point,),
    )


def frozen_at(point: str, backend: str) -> Case:
    return Case(
        name=f"frozen-{point}",
        backend=backend,
        ways=tuple(ways_to(point)),
        freezes=(point,),
    )


KILLED = [killed_at(point, backend) for backend in BACKENDS for point in points()]


@pytest.mark.parametrize("case", KILLED, ids=str)
def test_a_job_whose_process_dies_at_a_point_is_paid_and_told_once(
    case: Case, runs: Runs
) -> None:
    outcome = runs[case].result()

    assert outcome.missed == [], f"no scenario passes {case.kills[0]}; add one"
    assert broken(outcome) == []


FROZEN = [frozen_at(point, backend) for backend in BACKENDS for point in points()]


@pytest.mark.parametrize("case", FROZEN, ids=str)
def test_a_worker_that_freezes_at_a_point_and_wakes_does_no_harm(
    case: Case, runs: Runs
) -> None:
    outcome = runs[case].result()

    assert outcome.missed == []
    assert broken(outcome) == []


def test_the_points_are_read_from_the_code(tmp_path: Path) -> None:
    code = tmp_path / "code.py"
    code.write_text('def f():\n    crash("b")\n    if True:\n        crash("a")\n')

    assert points([code]) == ["b", "a"]


@pytest.mark.parametrize("text", ["crash(point)", 'crash(f"{x}")', "crash()"])
def test_a_point_whose_name_can_not_be_read_is_an_error(
    tmp_path: Path, text: str
) -> None:
    code = tmp_path / "code.py"
    code.write_text(f"{text}\n")

    with pytest.raises(ValueError, match=r"code\.py:1: .* one literal"):
        points([code])


def test_a_point_has_a_name_of_its_own(tmp_path: Path) -> None:
    code = tmp_path / "code.py"
    code.write_text('crash("a")\ncrash("a")\n')

    with pytest.raises(ValueError, match="named more than once: a"):
        points([code])
