"""Collecting in every state, and what breaks without each of its parts."""

from dataclasses import replace

import pytest

from batchdrop.jobs.codes import Step
from tests.exactly_once.collect_model import (
    COPY_ONLY,
    DEVELOPER,
    NOW,
    VERTEX,
    Protocol,
    State,
    announces_twice,
    document_of,
    has_two_counts,
    is_done,
    job_of,
    loses_what_was_there,
    names_what_it_did_not_count,
    never_done,
    walk,
)

pytestmark = pytest.mark.usefixtures("no_collection")


def publishes_wrong(state: State) -> bool:
    return (
        announces_twice(state)
        or names_what_it_did_not_count(state)
        or loses_what_was_there(state)
        or state.overwritten
    )


def breaks(state: State) -> bool:
    return publishes_wrong(state) or has_two_counts(state)


def is_done_without_results(state: State) -> bool:
    return not state.job.step and state.job.results is None


def proven(protocol: Protocol) -> None:
    walked = walk(protocol, breaks)

    assert walked.wrong is None
    assert never_done(walked) is None
    done = [state for state in walked.states if is_done(state)]
    assert len(done) > 10
    without = [state for state in walked.states if is_done_without_results(state)]
    assert bool(without) == (protocol.what == COPY_ONLY)
    assert all(state.announced for state in done) == (protocol.what != COPY_ONLY)


@pytest.mark.parametrize("what", [VERTEX, DEVELOPER, COPY_ONLY])
def test_two_collectors_publish_right_results_once_and_always_finish(what: str) -> None:
    proven(Protocol(what=what))


@pytest.mark.exhaustive
@pytest.mark.parametrize("what", [VERTEX, DEVELOPER, COPY_ONLY])
@pytest.mark.parametrize(
    "protocol",
    [
        Protocol(epochs=5),
        Protocol(epochs=4, collectors=3),
    ],
    ids=["five_holders", "three_at_once"],
)
def test_more_collectors_publish_right_results_once(
    protocol: Protocol, what: str
) -> None:
    proven(replace(protocol, what=what))


def test_answers_that_are_replaced_are_listed_anew_and_counted_right() -> None:
    protocol = Protocol(replaces=True, columns=False)

    # Here two collectors may count differently: the answers are not the same.
    walked = walk(protocol, publishes_wrong)

    assert walked.wrong is None
    assert never_done(walked) is None
    assert any(is_done(state) and state.version for state in walked.states)


def test_a_job_that_collectors_keep_dying_on_is_done_once_a_person_resumes_it() -> None:
    protocol = Protocol(tired=True, collectors=1)

    walked = walk(protocol, breaks)

    assert walked.wrong is None
    assert never_done(walked) is None
    assert any(state.job.parked for state in walked.states)


def test_without_comparing_what_exists_the_counts_are_of_other_bytes() -> None:
    walked = walk(Protocol(compares=False), names_what_it_did_not_count)

    assert walked.wrong is not None
    assert walked.wrong[-1] == "c3 writes collected"


def test_overwriting_results_leaves_a_document_with_the_counts_of_others() -> None:
    assert walk(Protocol(creates_only=False), names_what_it_did_not_count).wrong


def test_a_list_of_answers_that_is_written_twice_gives_two_counts() -> None:
    assert walk(
        Protocol(lists_once=False, epochs=4, columns=False), has_two_counts
    ).wrong


def test_a_commit_that_is_not_fenced_publishes_results_twice() -> None:
    walked = walk(Protocol(fences=False), announces_twice)

    assert walked.wrong is not None
    assert walked.wrong[-1].endswith("writes collected")


@pytest.mark.parametrize("what", [DEVELOPER, COPY_ONLY])
def test_deleting_a_batch_before_its_job_is_done_loses_answers(what: str) -> None:
    assert walk(Protocol(what=what, deletion_waits=False), loses_what_was_there).wrong


def test_a_job_that_is_woken_once_only_is_never_done() -> None:
    protocol = Protocol(wakes_again=False, collectors=1)

    walked = walk(protocol, breaks)

    assert never_done(walked) is not None


def test_no_cancel_is_accepted_and_no_batch_deleted_while_a_job_is_collected() -> None:
    protocol = Protocol(reruns=True, collectors=1)

    walked = walk(protocol, breaks)

    documents = {state.job for state in walked.states}
    assert {document.step for document in documents} == {Step.FREEZE, Step.MERGE, ""}
    for document in documents:
        job = job_of(document, protocol.what)
        assert document_of(job) == document
        assert job.is_over
        with pytest.raises(ValueError, match="is over"):
            job.request_cancel("a person", NOW)
        assert (job.delete_at is None) == bool(document.step or document.deleted)
