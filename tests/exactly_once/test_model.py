"""The submit protocol in every state, and what breaks without each of its parts."""

from dataclasses import replace
from functools import cache

import pytest

from batchdrop.jobs.codes import Phase
from tests.exactly_once.model import (
    Protocol,
    State,
    cancels_the_good_one,
    cancels_what_it_keeps,
    document_of,
    job_of,
    keeps_one,
    pays_twice,
    walk,
)
from tests.exactly_once.walks import Walk
from tests.often import mostly

pytestmark = pytest.mark.usefixtures("no_collection")


def breaks(state: State) -> bool:
    return (
        pays_twice(state) or cancels_what_it_keeps(state) or cancels_the_good_one(state)
    )


@cache
def two_workers(uploads: bool, epochs: int) -> Walk[State]:
    """Every state of two workers, up to one that is wrong."""
    return walk(Protocol(uploads=uploads, checks=True, epochs=epochs), breaks)


@pytest.mark.parametrize(
    ("uploads", "epochs"),
    mostly((False, 3), (True, 3), also=[(False, 4), (True, 4)]),
    ids=["vertex", "developer", "vertex, more holders", "developer, more holders"],
)
def test_two_workers_never_pay_twice_and_can_always_reach_the_right_end(
    uploads: bool, epochs: int
) -> None:
    walked = two_workers(uploads=uploads, epochs=epochs)

    assert walked.wrong is None
    assert walked.dead_end(keeps_one) is None
    assert sum(keeps_one(state) for state in walked.states) > 10


def test_three_workers_at_once_never_pay_twice() -> None:
    walked = walk(Protocol(workers=3, epochs=3), breaks)

    assert walked.wrong is None
    assert walked.dead_end(keeps_one) is None


def test_where_nothing_can_be_fenced_one_is_kept_and_never_cancelled() -> None:
    protocol = Protocol(fenceless=True, epochs=3, checks=True)

    walked = walk(protocol, cancels_what_it_keeps)

    assert walked.wrong is None
    assert walked.dead_end(keeps_one) is None


def test_without_the_fence_a_late_request_is_paid_too() -> None:
    walked = walk(Protocol(fences=False, epochs=3), pays_twice)

    assert walked.wrong is not None
    assert walked.wrong[-1] == "batch 1 is RUNNING"


def test_without_the_search_after_the_fence_two_are_paid() -> None:
    assert walk(Protocol(searches_again=False, epochs=3), pays_twice).wrong


def test_a_search_before_the_list_lag_ends_pays_twice() -> None:
    assert walk(Protocol(settles=False, epochs=3), pays_twice).wrong


@pytest.mark.proof
def test_cancelling_before_recording_cancels_what_another_keeps() -> None:
    protocol = Protocol(fenceless=True, records_first=False)

    walked = walk(protocol, cancels_what_it_keeps)

    assert walked.wrong is not None
    assert walked.wrong[-1].startswith("w4 records")


@pytest.mark.proof
def test_taking_a_batch_for_a_duplicate_too_soon_cancels_the_good_one() -> None:
    assert walk(Protocol(checks=True, waits_for_the_doomed=False), breaks).wrong


@pytest.mark.exhaustive
def test_cancelling_a_duplicate_before_it_is_recorded_cancels_what_is_kept() -> None:
    soon = Protocol(checks=True, waits_for_the_doomed=False, epochs=5)

    assert walk(soon, cancels_what_it_keeps).wrong is None
    assert walk(replace(soon, marks_first=False), cancels_what_it_keeps).wrong


@pytest.mark.proof
def test_keeping_the_oldest_in_place_of_the_newest_staging_cancels_the_good_one() -> (
    None
):
    protocol = Protocol(keeps_newest_staging=False)

    assert walk(protocol, cancels_the_good_one).wrong


def test_a_fence_that_deletes_before_the_ledger_knows_leaves_a_job_without_end() -> (
    None
):
    walked = walk(Protocol(restages_first=False, epochs=3), breaks)

    assert walked.wrong is None
    assert walked.dead_end(keeps_one) is not None


@pytest.mark.parametrize(
    "uploads", mostly(False, also=[True]), ids=["vertex", "developer"]
)
def test_a_ledger_that_is_emptied_at_any_moment_never_makes_two_be_paid(
    uploads: bool,
) -> None:
    protocol = Protocol(loses=True, uploads=uploads, checks=True, epochs=3)

    walked = walk(protocol, breaks)

    assert walked.wrong is None
    assert walked.dead_end(keeps_one) is None
    assert sum(state.lost and keeps_one(state) for state in walked.states) > 10


def test_a_recreated_job_of_a_table_never_cancels_the_batch_it_keeps() -> None:
    protocol = Protocol(loses=True, fenceless=True, epochs=3, checks=True)

    walked = walk(protocol, cancels_what_it_keeps)

    assert walked.wrong is None
    assert walked.dead_end(keeps_one) is None


def test_taking_a_job_for_new_that_is_staged_already_pays_twice() -> None:
    walked = walk(Protocol(loses=True, recalls=False, epochs=2), pays_twice)

    assert walked.wrong is not None
    assert "the ledger is lost" in walked.wrong


@pytest.mark.proof
def test_a_worker_that_stages_after_the_loss_what_was_fenced_pays_twice() -> None:
    # Why whoever empties a ledger must wait for a lease: no worker may be left that
    # claimed from the old one and has staged nothing yet.
    protocol = Protocol(loses=True, sleeps_through=True, epochs=3)

    assert walk(protocol, pays_twice).wrong


@pytest.mark.proof
def test_two_workers_that_upload_to_one_name_undo_the_fence() -> None:
    protocol = Protocol(uploads=True, one_uploader=False)

    assert walk(protocol, pays_twice).wrong


def test_the_documents_of_the_model_are_jobs() -> None:
    walked = two_workers(uploads=False, epochs=3)

    documents = {state.job for state in walked.states if state.job}

    # A split job only ends; its parts are jobs like any other. An attached manifest
    # takes no step.
    besides = {Phase.SPLIT, Phase.REJECTED, Phase.ATTACHED}
    assert {document.phase for document in documents} >= set(Phase) - besides
    assert all(document_of(job_of(document)) == document for document in documents)
