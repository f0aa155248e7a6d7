"""
What the API, its list and Firestore's answers may do to a worker in this process.
`test_faults.py` does the same to a deployed one.
"""

from collections.abc import Iterator

import grpc
import pytest

from tests.exactly_once.commits import Commits
from tests.exactly_once.faults import FAULTS, LOSSES
from tests.exactly_once.promise import broken
from tests.exactly_once.scenarios import Scenario
from tests.often import mostly
from tests.worker.conftest import database, world  # noqa: F401 - fixtures
from tests.worker.test_deaths import Course
from tests.worker.world import World

#: One of each kind is tried each time: a refusal for a while and for good, no list, one
#: that lags, one that ends early, and one with less than there is.
OFTEN = (
    "too_many",
    "refused",
    "list_fails",
    "list_lags",
    "list_empty_page",
    "sweep_truncated",
)
#: The commits of which one answer is lost each time.
WRITTEN = ("arrived", "submitting", "submitted", "ended", "collected", "rejected")


@pytest.fixture
def commits(
    firestore_emulator: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Commits]:
    """Named before `world`, so that its database is behind them."""
    with Commits(firestore_emulator) as way:
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", way.address)
        yield way


@pytest.mark.parametrize(
    "way",
    mostly(
        *(way for way in FAULTS if way.name in OFTEN),
        # A late answer takes its time on any clock; a batch that a list shows is not
        # asked for by name.
        also=(way for way in FAULTS if way.name not in ("timed_out", "get_fails")),
    ),
    ids=lambda way: way.name,
)
def test_a_job_is_paid_and_announced_once_whatever_the_service_does(
    world: World,  # noqa: F811
    way: Scenario,
) -> None:
    course = Course(world, way)

    course.run()
    course.close()

    idle = [rule.fault for rule in world.sim.faults.rules() if not rule.struck]
    assert broken(course.outcome(idle)) == []
    assert idle == []


@pytest.mark.parametrize(
    ("what", "status", "way"),
    mostly(*(one for one in LOSSES[::2] if one[0] in WRITTEN), also=LOSSES),
    ids=lambda one: one if isinstance(one, str) else one.name.lower(),
)
def test_a_commit_that_was_applied_and_not_answered_is_not_made_again(
    commits: Commits,
    world: World,  # noqa: F811
    what: str,
    status: grpc.StatusCode,
    way: Scenario,
) -> None:
    course = Course(world, way)
    commits.lose(what, status)

    course.run()
    course.close()

    outcome = course.outcome(commits.waiting())
    assert outcome.missed == []
    assert broken(outcome) == []
