"""The main job under what the API, its list, and Firestore's answers may do."""

import grpc
import pytest

from tests.exactly_once.faults import FAULTS, LOSSES
from tests.exactly_once.promise import broken
from tests.exactly_once.scenarios import Scenario
from tests.exactly_once.track import Case
from tests.exactly_once.tracks import Runs
from tests.often import mostly


def under_fault(way: Scenario, backend: str) -> Case:
    return Case(name=f"under-{way.name}", backend=backend, ways=(way,))


#: The two dialects differ in how they look and sweep.
LISTS = [
    way for way in FAULTS if any(rule.get("op") != "create" for rule in way.faults)
]
UNDER_FAULTS = [
    *(under_fault(way, "vertex") for way in FAULTS),
    *(under_fault(way, "developer") for way in (FAULTS[0], *LISTS)),
]
#: Those that are tried each time, the others by `make crash`: no answer to the request,
#: and one that comes after the worker has given up. What becomes of a job when requests
#: are refused and lists are wrong shows in `test_in_process.py`, too.
OFTEN = {"vertex-under-reply_lost_twice", "vertex-under-timed_out"}


@pytest.mark.parametrize(
    "case",
    mostly(
        *(case for case in UNDER_FAULTS if str(case) in OFTEN),
        also=UNDER_FAULTS,
        mark=pytest.mark.exhaustive,
    ),
    ids=str,
)
def test_a_job_is_paid_and_announced_once_whatever_the_service_does(
    case: Case, runs: Runs
) -> None:
    assert broken(runs[case].result()) == []


def unanswered(what: str, status: grpc.StatusCode, way: Scenario) -> Case:
    name = f"unanswered-{what}-{status.name.lower()}"
    return Case(name=name, backend="vertex", ways=(way,), loses=(what, status))


# Each time `test_in_process.py` does so.
@pytest.mark.exhaustive
@pytest.mark.parametrize("case", [unanswered(*one) for one in LOSSES], ids=str)
def test_a_commit_that_was_applied_and_not_answered_is_not_made_again(
    case: Case, runs: Runs
) -> None:
    outcome = runs[case].result()

    assert outcome.missed == []
    assert broken(outcome) == []
