"""A day's reservations in every state, and what breaks without each of their parts."""

from dataclasses import replace
from functools import cache

import pytest

from tests.exactly_once.ceiling_model import (
    SETTLED,
    WAITING,
    Of,
    Protocol,
    State,
    exceeds,
    miscounts,
    walk,
)
from tests.exactly_once.walks import Walk
from tests.often import mostly

pytestmark = pytest.mark.usefixtures("no_collection")

#: Two of the three jobs fit below the ceiling, if none costs less than its estimate.
THREE = Protocol(
    jobs=(Of(4, cost=4), Of(4, cost=1), Of(4, cost=None)), ceilings={"": 8}
)
#: One job of the route fits below its ceiling, and any below the deployment's.
ROUTED = Protocol(
    jobs=(Of(3, cost=3, route="a"), Of(3, cost=1, route="a"), Of(3, cost=3)),
    ceilings={"": 9, "a": 4},
)

PROTOCOLS = {"all": THREE, "route": ROUTED}
both = pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
walks = pytest.mark.parametrize("name", mostly("all", also=PROTOCOLS))


@cache
def walked_whole(name: str) -> Walk[State]:
    """Every state of one of PROTOCOLS, up to one that is wrong in either way."""
    protocol = PROTOCOLS[name]
    too_much = exceeds(protocol)
    return walk(protocol, lambda state: too_much(state) or miscounts(state))


def sent(state: State) -> int:
    return sum(job.phase != WAITING for job in state.jobs)


@walks
def test_ticks_that_overlap_never_exceed_a_ceiling(name: str) -> None:
    walked = walked_whole(name)

    assert walked.wrong is None
    assert walked.dead_end(lambda state: state.is_final and sent(state) > 0) is None


@walks
def test_the_days_sum_is_always_that_of_its_jobs(name: str) -> None:
    walked = walked_whole(name)

    assert walked.wrong is None
    assert any(
        all(job.phase == SETTLED for job in state.jobs) for state in walked.states
    )


def test_three_ticks_at_once_never_exceed_a_ceiling() -> None:
    two = (Of(4, cost=3), Of(4, cost=4))
    protocol = Protocol(jobs=two, ceilings={"": 7}, ticks=3)

    walked = walk(protocol, exceeds(protocol))

    assert walked.wrong is None
    assert max(map(sent, walked.states)) == 2


def test_what_a_job_has_not_cost_lets_another_be_sent() -> None:
    walked = walked_whole("all")

    assert max(map(sent, walked.states)) == 3


@both
def test_without_the_days_precondition_two_ticks_exceed_a_ceiling(
    protocol: Protocol,
) -> None:
    loose = replace(protocol, holds_the_day=False)

    walked = walk(loose, exceeds(loose))

    assert walked.wrong is not None
    assert sum("reads the day" in step for step in walked.wrong) > 1


def test_without_one_commit_a_tick_that_dies_leaves_a_job_uncounted() -> None:
    loose = replace(THREE, one_commit=False)

    walked = walk(loose, exceeds(loose))

    assert walked.wrong is not None
    assert any("writes the job alone" in step for step in walked.wrong)
