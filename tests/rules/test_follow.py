"""What `batchdrop local up` says of jobs."""

import json
import re
from typing import Any

import pytest

from batchdrop.subscribe import JobEvent, parse
from batchdrop_local.follow import Follower, announced

JOB = "z62qtfz355xajwpiw7fjxj7dun"
BODY: dict[str, Any] = {
    "job_id": JOB,
    "phase": "ended",
    "source": {"bucket": "inbox", "name": "late.jsonl", "generation": 1, "size": 9},
    "rows": {"total": 300, "accepted": 300, "ok": 297, "failed": 2, "blocked": 1},
    "created_at": "2026-03-01T12:00:00Z",
    "announced_at": "2026-03-01T12:05:00Z",
}


def test_results_are_said_with_parts_counts_and_address() -> None:
    uri = "gs://output/late.jsonl/x/results.jsonl"
    results = {"uri": uri, "generation": 1, "crc32c": "AAAAAA==", "bytes": 10}
    body = BODY | {"parts": {"total": 2, "succeeded": 2}, "results": results}

    said = announced(event("results.ready", body))

    assert said == f"2 parts, 297 of 300 ok, 2 failed, 1 blocked, {uri}"


@pytest.mark.parametrize(
    ("type", "more", "said"),
    [
        ("job.succeeded", {"outcome": "succeeded"}, "succeeded"),
        (
            "job.failed",
            {"outcome": "failed", "error": {"code": "13", "message": "it broke"}},
            "failed: it broke",
        ),
        (
            "job.rejected",
            {"outcome": "rejected", "error": {"code": "bad_rows", "message": "line 3"}},
            "rejected: line 3",
        ),
        (
            "job.stalled",
            {
                "health": {
                    "code": "parked",
                    "message": "workers die",
                    "since": "2026-03-01T12:00:00Z",
                }
            },
            "needs a look: parked: workers die",
        ),
    ],
)
def test_an_end_is_said_with_its_reason(
    type: str, more: dict[str, Any], said: str
) -> None:
    assert announced(event(type, BODY | more)) == said


def test_a_line_of_a_log_is_said_with_the_time_and_the_objects_name() -> None:
    drop = "gs://inbox/a/late.jsonl#17"

    said = follow(
        {"event": "drop.claimed", "severity": "INFO", "job": JOB, "object": drop},
        {"event": "job.submitted", "severity": "INFO", "job": JOB, "batch": "b"},
    )

    assert [re.sub(r"^\d\d:\d\d ", "", line) for line in said] == [
        f"a/late.jsonl: found, job {JOB}",
        "a/late.jsonl: sent, a batch is made",
    ]


def test_an_ignored_object_is_said_with_the_reason() -> None:
    drop = "gs://inbox/note.txt#17"

    (said,) = follow({"event": "drop.ignored", "object": drop, "reason": "no JSONL"})

    assert said.endswith(" note.txt: ignored: no JSONL")


def test_errors_are_said_and_ticks_and_other_lines_are_not() -> None:
    (said,) = follow(
        {"event": "tick.finished", "severity": "INFO", "message": "tick finished"},
        {"severity": "ERROR", "message": "job parked", "reason": "it dies"},
        ["no", "object"],
    )

    assert said.endswith(" poll: job parked: it dies")


def follow(*entries: object) -> list[str]:
    """What is said of these lines of the log of `poll`."""
    said: list[str] = []
    follower = Follower(said.append)
    for line in ("not JSON", "{broken", *map(json.dumps, entries)):
        follower.log_line("poll", line)
    return said


def event(type: str, body: dict[str, Any]) -> JobEvent:
    context = {
        "specversion": "1.0",
        "id": "ps64z47y37bibhrpnuf6fsqmsb",
        "type": f"dev.batchdrop.{type}.v1",
        "source": "local",
        "subject": JOB,
        "sequence": "1",
    }
    return parse(context | {"data": body})
