"""What the API, its list and Firestore's answers may do to a job."""

from dataclasses import replace

from grpc import StatusCode

from tests.exactly_once.scenarios import (
    COLLECTED,
    HEALED,
    PLAIN,
    Rule,
    Scenario,
    at_create,
)


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


#: The status that Firestore's client gets in place of the answer. It retries after
#: the first, and gives up after the second.
UNANSWERED = (StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED)
WRITES = ("arrived", "prepared", "submitting", "submitted", "ended", "published")

#: What the commit writes, see `Commits.lose`; how it is lost; and a job that has it.
LOSSES: list[tuple[str, StatusCode, Scenario]] = [
    *((what, status, PLAIN) for what in WRITES for status in UNANSWERED),
    *(("collected", status, COLLECTED) for status in UNANSWERED),
    ("gathered", StatusCode.DEADLINE_EXCEEDED, HEALED),
    *(
        ("rejected", status, replace(PLAIN, text="not json\n", end="rejected"))
        for status in UNANSWERED
    ),
]
