"""The main job under what the API, its list, and Firestore's answers may do."""

from dataclasses import replace

import grpc
import pytest

from tests.exactly_once.promise import broken
from tests.exactly_once.scenarios import (
    COLLECTED,
    HEALED,
    PLAIN,
    Rule,
    Scenario,
    at_create,
)
from tests.exactly_once.track import Case
from tests.exactly_once.tracks import Runs
from tests.often import mostly


def under(name: str, *faults: Rule, end: str = "succeeded") -> Scenario:
    return replace(PLAIN, name=name, faults=faults, end=end)


#: Each list strikes a job whose first request was made and not heard of, too: that is
#: when a list matters.
LOST = at_create("drop_reply")
FAULTS = [
    under("reply_lost", LOST),
    under("reply_lost_twice", at_create("drop_reply", count=2)),
    under("reset", at_create("reset")),
    under("too_many", at_create("rate_limited", count=2)),
    under("internal", at_create("internal", count=2)),
    under("unavailable", at_create("unavailable", count=2)),
    under("timed_out", at_create("slow", seconds=2.5)),
    under("no_right", at_create("http_error", code=403)),
    under("refused", at_create("http_error", code=400), end="rejected"),
    under("list_fails", LOST, {"fault": "internal", "op": "list", "count": 3}),
    under("list_resets", LOST, {"fault": "reset", "op": "list", "count": 3}),
    under("list_stale", LOST, {"fault": "list_stale", "seconds": 0.4}),
    under("list_lags", LOST, {"fault": "list_lagging", "seconds": 0.4}),
    under("list_out_of_order", LOST, {"fault": "list_out_of_order"}),
    under("list_empty_page", LOST, {"fault": "list_empty_page"}),
    # The same when no request is lost, and the sweep sees less than there is.
    under("sweep_truncated", {"fault": "list_truncated", "keep": 0}),
    under("sweep_stale", {"fault": "list_stale", "seconds": 2}),
    under("get_fails", {"fault": "internal", "op": "get", "count": 3}),
]


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
#: One of each kind is tried each time, the others by `make crash`: no answer to the
#: request, a refusal for a while and for good, no list, one that lags, one that ends
#: early, one with less than there is, and no answer to a GET.
OFTEN = {
    "vertex-under-reply_lost_twice",
    "vertex-under-too_many",
    "vertex-under-timed_out",
    "vertex-under-refused",
    "vertex-under-list_fails",
    "vertex-under-list_lags",
    "vertex-under-list_empty_page",
    "vertex-under-sweep_truncated",
    "vertex-under-get_fails",
    "developer-under-reply_lost",
    "developer-under-list_lags",
    "developer-under-sweep_truncated",
}


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


#: The status that Firestore's client gets in place of the answer. It retries after
#: the first, and gives up after the second.
UNANSWERED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
WRITES = ("arrived", "prepared", "submitting", "submitted", "ended", "published")


def unanswered(what: str, status: grpc.StatusCode, ways: Scenario) -> Case:
    name = f"unanswered-{what}-{status.name.lower()}"
    return Case(name=name, backend="vertex", ways=(ways,), loses=(what, status))


LOSSES = [
    *(unanswered(what, status, PLAIN) for what in WRITES for status in UNANSWERED),
    *(unanswered("collected", status, COLLECTED) for status in UNANSWERED),
    unanswered("gathered", grpc.StatusCode.DEADLINE_EXCEEDED, HEALED),
    *(
        unanswered(
            "rejected", status, replace(PLAIN, text="not json\n", end="rejected")
        )
        for status in UNANSWERED
    ),
]


@pytest.mark.parametrize(
    "case",
    # Each commit with one of the two.
    mostly(*LOSSES[::2], also=LOSSES, mark=pytest.mark.exhaustive),
    ids=str,
)
def test_a_commit_that_was_applied_and_not_answered_is_not_made_again(
    case: Case, runs: Runs
) -> None:
    outcome = runs[case].result()

    assert outcome.missed == []
    assert broken(outcome) == []
