"""Split jobs in every state of collecting, and what breaks without each part."""

import pytest

from batchdrop.jobs.codes import Step
from tests.exactly_once.parts_model import (
    Protocol,
    State,
    announces_twice,
    is_done,
    lacks_a_part,
    names_what_it_did_not_count,
    never_done,
    walk,
)

pytestmark = pytest.mark.usefixtures("no_collection")


def breaks(state: State) -> bool:
    return (
        announces_twice(state)
        or lacks_a_part(state)
        or names_what_it_did_not_count(state)
    )


@pytest.mark.parametrize(
    "protocol",
    [Protocol(), Protocol(polls=False)],
    ids=["counted", "due_at_once"],
)
def test_results_of_all_parts_are_published_once_and_always(protocol: Protocol) -> None:
    walked = walk(protocol, breaks)

    assert walked.wrong is None
    assert never_done(walked) is None
    done = [state for state in walked.states if is_done(state)]
    assert done
    assert all(state.announced == 1 for state in done)


def test_a_split_job_is_not_due_before_its_parts_are_done() -> None:
    walked = walk(Protocol(), breaks)

    for state in walked.states:
        if state.job.step == Step.PARTS and state.job.due is not None:
            assert set(state.parts) == {"done"}


def test_a_split_job_that_is_due_while_a_part_is_undone_lacks_its_rows() -> None:
    assert walk(Protocol(polls=False, waits=False), lacks_a_part).wrong


def test_the_count_of_poll_alone_lets_no_part_be_left_out() -> None:
    assert walk(Protocol(waits=False), breaks).wrong is None


def test_a_commit_that_is_not_fenced_publishes_results_twice() -> None:
    assert walk(Protocol(fences=False), announces_twice).wrong
