"""Sorted answers in every state of collecting, and what breaks without each part."""

import pytest

from tests.exactly_once.sorted_model import (
    Protocol,
    State,
    announces_twice,
    is_done,
    is_parked,
    lacks_answers,
    mixes_answers,
    names_what_it_did_not_count,
    never_done,
    walk,
)
from tests.often import mostly

pytestmark = pytest.mark.usefixtures("no_collection")


def breaks(state: State) -> bool:
    return (
        announces_twice(state)
        or names_what_it_did_not_count(state)
        or mixes_answers(state)
        or lacks_answers(state)
        or is_parked(state)
    )


@pytest.mark.parametrize(
    "protocol",
    mostly(
        Protocol(replaces=True, columns=False),
        also=[Protocol(), Protocol(loses=True, columns=False)],
    ),
    ids=["replaced", "columns", "deleted"],
)
def test_two_collectors_sort_join_and_publish_once_and_always_finish(
    protocol: Protocol,
) -> None:
    walked = walk(protocol, breaks)

    assert walked.wrong is None
    assert never_done(walked) is None
    done = [state for state in walked.states if is_done(state)]
    assert len(done) > 3
    assert all(state.announced == 1 for state in done)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "protocol",
    [
        Protocol(epochs=4, replaces=True, loses=True),
        Protocol(epochs=4, collectors=3, columns=False),
    ],
    ids=["four_holders", "three_at_once"],
)
def test_more_collectors_publish_right_results_once(protocol: Protocol) -> None:
    walked = walk(protocol, breaks)

    assert walked.wrong is None
    assert never_done(walked) is None


@pytest.mark.proof
def test_a_commit_that_is_not_fenced_publishes_results_twice() -> None:
    assert walk(Protocol(fences=False), announces_twice).wrong


@pytest.mark.proof
def test_names_without_the_lists_hash_mix_two_versions_of_the_answers() -> None:
    protocol = Protocol(replaces=True, marks=False, columns=False, epochs=4)

    assert walk(protocol, mixes_answers).wrong


def test_a_plan_before_all_slices_are_sorted_is_found_by_the_counts() -> None:
    protocol = Protocol(plans_last=False, columns=False)

    assert walk(protocol, is_parked).wrong
    assert walk(protocol, lacks_answers).wrong is None


def test_results_that_are_published_before_they_are_counted_may_lack_answers() -> None:
    protocol = Protocol(plans_last=False, counts_first=False, columns=False)

    assert walk(protocol, lacks_answers).wrong


def test_two_collectors_that_write_to_one_name_are_found_by_the_counts() -> None:
    protocol = Protocol(own_names=False)

    assert walk(protocol, is_parked).wrong
    assert walk(protocol, names_what_it_did_not_count).wrong is None


def test_unchecked_segments_of_two_collectors_get_the_counts_of_others() -> None:
    protocol = Protocol(own_names=False, counts_first=False)

    assert walk(protocol, names_what_it_did_not_count).wrong
