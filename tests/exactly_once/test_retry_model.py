"""Rounds in every state of collecting, and what breaks without each part."""

import pytest

from tests.exactly_once.retry_model import (
    BOTH,
    CANCELLED,
    NONE,
    ONE,
    REJECTED,
    ROUNDS,
    Protocol,
    State,
    announces_twice,
    is_done,
    lacks_what_was_paid,
    makes_a_round_twice,
    never_done,
    sends_an_answered_row_again,
    walk,
)

pytestmark = pytest.mark.usefixtures("no_collection")


def breaks(state: State) -> bool:
    return (
        announces_twice(state)
        or makes_a_round_twice(state)
        or sends_an_answered_row_again(state)
        or lacks_what_was_paid(state)
    )


def test_rows_go_again_once_a_round_and_results_are_published_once_and_always() -> None:
    protocol = Protocol()
    walked = walk(protocol, breaks)

    assert walked.wrong is None
    assert never_done(walked) is None
    done = [state for state in walked.states if is_done(state)]
    assert all(state.announced == 1 for state in done)
    ends = {state.rounds for state in done}
    last = {(NONE,), (REJECTED,), (CANCELLED,), (ONE,)}
    assert ends == {(), (BOTH,), *last, *((ONE, *one) for one in last)}
    assert max(map(len, ends)) == ROUNDS


def test_a_second_collector_that_is_not_fenced_publishes_or_sends_twice() -> None:
    assert walk(Protocol(fences=False), breaks).wrong


def test_a_job_that_does_not_wait_for_its_round_lacks_what_was_paid() -> None:
    assert walk(Protocol(waits=False), lacks_what_was_paid).wrong


def test_a_round_whose_job_was_not_made_is_made_by_poll() -> None:
    protocol = Protocol(one_commit=False, cancels=False)
    walked = walk(protocol, breaks)

    assert walked.wrong is None
    assert never_done(walked) is None
