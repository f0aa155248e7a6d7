"""The check of the promise finds what is broken: else its silence would say nothing."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from batchdrop.jobs.values import Drop
from batchdrop.rows import RowOutcome
from tests.exactly_once.promise import (
    RESULTS,
    Answer,
    Evidence,
    Message,
    Published,
    breaches,
    is_paid,
)

DROP = Drop(bucket="inbox", name="a.jsonl", generation=1, size=1)
AT = datetime(2026, 3, 1, tzinfo=UTC)


def batch(name: str, state: str, done: int = 0, started: bool = True) -> dict[str, Any]:
    return {
        "name": name,
        "state": f"JOB_STATE_{state}",
        "rows": {"done": done, "total": done},
        "startTime": "2026-03-01T12:00:00Z" if started else None,
    }


def job(phase: str = "ended", name: str = "b1", state: str = "SUCCEEDED") -> Any:
    recorded = {"name": name, "state": f"JOB_STATE_{state}"}
    return {
        "id": DROP.job_id,
        "phase": phase,
        "batch": recorded,
        "history": [{"note": None}],
        "rows": {"accepted": 2},
        "outcome": state.lower(),
        "manifest": None,
        "row_errors": [],
        "collecting": None,
        "results": None,
        "part": None,
        "rounds": [],
    }


def message(id: str = "e1", end: str = "succeeded", data: bytes = b"{}") -> Message:
    attributes = {
        "ce-id": id,
        "ce-type": f"dev.batchdrop.job.{end}.v1",
        "ce-subject": DROP.job_id,
        "ce-sequence": f"{int(id[1:]):08}",
        "job_id": DROP.job_id,
    }
    return Message(data, attributes)


def kept(sent: Message, published_at: datetime | None = AT) -> dict[str, Any]:
    """A message's document in the outbox."""
    id, body, attributes = sent.attributes["ce-id"], sent.data, sent.attributes
    return {
        "id": id,
        "body": body,
        "attributes": attributes,
        "published_at": published_at,
    }


KEPT = batch("b1", "SUCCEEDED", done=3)
GOOD = Evidence(
    drop=DROP,
    job=job(),
    batches=[KEPT],
    outbox=[kept(message())],
    messages=[message()],
)


def test_a_kept_promise_is_found_kept() -> None:
    assert breaches(GOOD) == []


@pytest.mark.parametrize(
    ("found", "breach"),
    [
        (replace(GOOD, job=None), "has no job"),
        (replace(GOOD, job=job("submitted")), "the job is submitted and not ended"),
        (replace(GOOD, batches=[]), "the API made none"),
        (
            replace(GOOD, batches=[KEPT, batch("b2", "SUCCEEDED", done=3)]),
            "these are paid too: b2",
        ),
        (replace(GOOD, batches=[KEPT, batch("b2", "PENDING")]), "paid too: b2"),
        (
            replace(
                GOOD,
                job=job(state="CANCELLED"),
                batches=[batch("b1", "CANCELLED", started=False)],
            ),
            "the kept batch b1 was cancelled",
        ),
        (replace(GOOD, job=job(state="RUNNING")), "was followed to JOB_STATE_RUNNING"),
        (replace(GOOD, messages=[]), "0 announcements say"),
        (replace(GOOD, messages=[message(), message("e2")]), "2 announcements say"),
        (
            replace(GOOD, messages=[message(), message("e2", "stalled")]),
            "it was also announced: dev.batchdrop.job.stalled.v1",
        ),
        (
            replace(GOOD, messages=[message(), message(data=b"{} ")]),
            "a repeat of e1 differs",
        ),
        (
            replace(GOOD, outbox=[kept(message(), None)]),
            "stays unpublished",
        ),
        (
            replace(GOOD, outbox=[kept(message(data=b"[]"))]),
            "e1 came unlike it is kept",
        ),
    ],
)
def test_a_broken_promise_is_reported(found: Evidence, breach: str) -> None:
    assert [what for what in breaches(found) if breach in what]


def test_a_rejected_drop_that_was_paid_is_reported() -> None:
    found = replace(
        GOOD,
        job=job("rejected"),
        messages=[message(end="rejected")],
        outbox=[kept(message(end="rejected"))],
    )

    assert "rejected, and yet paid: b1" in breaches(found, "rejected")[0]
    assert breaches(replace(found, batches=[]), "rejected") == []


def test_a_duplicate_is_reported_unless_it_was_cancelled_and_recorded() -> None:
    two = replace(GOOD, batches=[KEPT, batch("b2", "CANCELLED", done=1)])
    said = replace(
        two,
        job={**two.job, "history": [{"note": "duplicates"}]} if two.job else {},
    )

    assert "paid too: b2" in breaches(two)[0]
    assert "nobody was told" in breaches(two, duplicates=True)[0]
    assert breaches(said, duplicates=True) == []


def part(n: int, name: str, state: str = "SUCCEEDED") -> Evidence:
    document = job(name=name, state=state) | {"part": {"n": n}, "rows": {"accepted": 1}}
    made = [batch(name, state, done=1)]
    return replace(GOOD, job=document, batches=made, outbox=[], messages=[])


SPLIT_JOB = replace(
    GOOD,
    job=job() | {"batch": None, "outcome": "succeeded"},
    batches=[],
    parts=[part(0, "b1"), part(1, "b2")],
    answers=[Answer("r0000002"), Answer("r0000001")],
)


def test_a_split_jobs_promise_that_is_kept_is_found_kept() -> None:
    assert breaches(SPLIT_JOB) == []


@pytest.mark.parametrize(
    ("found", "breach"),
    [
        (replace(SPLIT_JOB, batches=[KEPT]), "sent as a whole too: b1"),
        (replace(SPLIT_JOB, parts=[part(0, "b1")]), "2 rows came in, its parts have 1"),
        (
            replace(SPLIT_JOB, parts=[part(0, "b1"), replace(GOOD, job=None)]),
            "one of its parts has no job",
        ),
        (
            replace(
                SPLIT_JOB,
                parts=[
                    part(0, "b1"),
                    replace(part(1, "b2"), batches=[KEPT, batch("b2", "SUCCEEDED", 1)]),
                ],
            ),
            "part 1: b2 is kept, and these are paid too: b1",
        ),
        (
            replace(
                SPLIT_JOB,
                parts=[part(0, "b1"), replace(part(1, "b2"), messages=[message("e2")])],
            ),
            "part 1: was announced: dev.batchdrop.job.succeeded.v1",
        ),
        (
            replace(
                SPLIT_JOB,
                job=SPLIT_JOB.job and {**SPLIT_JOB.job, "outcome": "failed"},
            ),
            "its parts have come to failed",
        ),
        (
            replace(SPLIT_JOB, answers=[Answer("r0000001")]),
            "r0000002'] went in, ['r0000001'] came",
        ),
        (
            replace(
                SPLIT_JOB,
                answers=[Answer("r0000001"), Answer("r0000002"), Answer("r0000002")],
            ),
            "3 answers to 2 rows",
        ),
    ],
)
def test_a_split_jobs_broken_promise_is_found(found: Evidence, breach: str) -> None:
    assert [what for what in breaches(found) if breach in what]


ROUND = replace(
    GOOD,
    job=job(name="b2") | {"id": "r1", "round": 1},
    batches=[batch("b2", "SUCCEEDED", done=1)],
    outbox=[],
    messages=[],
)
HEALED = replace(
    GOOD,
    job=job() | {"rounds": [{"n": 1, "job": "r1", "rows": 1, "by": None}]},
    rounds=[ROUND],
    answers=[
        Answer("r0000001"),
        Answer("r0000002", ok=False),
        Answer("r0000002", round=1),
    ],
)


def test_a_round_that_keeps_the_promise_is_found_to_keep_it() -> None:
    assert breaches(HEALED) == []


@pytest.mark.parametrize(
    ("found", "breach"),
    [
        (
            replace(HEALED, answers=[*(HEALED.answers or ()), Answer("r0000001", 1)]),
            "['r0000001'] had answers, and went again",
        ),
        (
            replace(HEALED, answers=[*(HEALED.answers or ()), Answer("r0000002", 2)]),
            "['r0000002'] had answers, and went again",
        ),
        (
            replace(HEALED, rounds=[replace(ROUND, batches=[*ROUND.batches, KEPT])]),
            "round 1: b2 is kept, and these are paid too: b1",
        ),
        (
            replace(
                HEALED,
                job=job() | {"rounds": [{"n": 1, "job": "r1", "rows": 2, "by": None}]},
            ),
            "round 1: 2 rows were to go again, and 1 went",
        ),
        (replace(HEALED, rounds=[replace(ROUND, job=None)]), "a round: it has no job"),
        (
            replace(HEALED, rounds=[replace(ROUND, messages=[message("e2")])]),
            "round 1: it was announced by itself",
        ),
        (
            replace(
                HEALED, rounds=[replace(ROUND, job=job("submitted") | {"round": 1})]
            ),
            "round 1: it is submitted, and not done",
        ),
    ],
)
def test_a_round_that_breaks_the_promise_is_found(found: Evidence, breach: str) -> None:
    assert [what for what in breaches(found) if breach in what]


BESIDE = replace(
    GOOD,
    drop=replace(DROP, name="a.job.json"),
    job=job("attached") | {"batch": None},
    batches=[],
    outbox=[],
    messages=[],
)
TOO_LATE = replace(
    BESIDE,
    job=job("rejected") | {"batch": None, "error": {"code": "manifest_too_late"}},
    outbox=[kept(message("e9", "rejected"))],
    messages=[message("e9", "rejected")],
)


@pytest.mark.parametrize(
    ("manifest", "beside", "breach"),
    [
        (str(BESIDE.drop), BESIDE, ""),
        (None, TOO_LATE, ""),
        (None, BESIDE, "is lost: the file has None"),
        ("gs://inbox/a.job.json#0", BESIDE, "is lost: the file has gs://inbox/"),
        (str(BESIDE.drop), TOO_LATE, "was heard, and is rejected"),
        (str(BESIDE.drop), replace(BESIDE, job=None), "has no job"),
        (
            str(BESIDE.drop),
            replace(BESIDE, messages=TOO_LATE.messages),
            "is attached, and more came of it",
        ),
        (None, replace(TOO_LATE, messages=[]), "0 announcements say"),
    ],
)
def test_a_manifest_is_used_or_its_rejection_announced(
    manifest: str | None, beside: Evidence, breach: str
) -> None:
    found = replace(GOOD, job=job() | {"manifest": manifest}, beside=beside)

    wrong = breaches(found)

    assert ([what for what in wrong if breach in what] if breach else wrong == []) != []
    assert bool(wrong) == bool(breach)


@pytest.mark.parametrize(
    ("one", "paid"),
    [
        (batch("b", "SUCCEEDED", done=1), True),
        (batch("b", "PENDING", started=False), True),
        (batch("b", "FAILED"), False),
        (batch("b", "FAILED", done=2), True),
        (batch("b", "CANCELLED", started=False), False),
        (batch("b", "CANCELLED"), True),
    ],
)
def test_what_costs_something(one: dict[str, Any], paid: bool) -> None:
    assert is_paid(one) is paid


def result(n: int, outcome: str = "ok", key: str = "") -> dict[str, Any]:
    """A line of results; the text of an answer ends with its row's key."""
    key = key or f"k{n}"
    line = {"id": f"r{n:07}", "line": n, "key": key, "outcome": outcome}
    return line | {"columns": {"customer": key}, "text": f"say {key}"}


def published(*lines: dict[str, Any], name: str = "results.jsonl") -> Published:
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    uri = f"gs://output/{name}"
    return Published(uri=uri, generation=1, crc32c="AAAAAA==", text=text)


def with_results(*objects: Published, said: str = "", **rows: int) -> Evidence:
    """A job whose document names the first object."""
    first = objects[0]
    counts: dict[str, Any] = dict.fromkeys(map(str, RowOutcome))
    counts |= {"accepted": 2, "total": 2, "refused": 0, "ok": 2} | rows
    named = {
        "uri": first.uri,
        "generation": first.generation,
        "crc32c": first.crc32c,
        "bytes": len(first.text),
    }
    done = job() | {"rows": counts, "results": named, "staging": {"first": 1}}
    body = json.dumps({"results": {"uri": said or first.uri}}).encode()
    ready = message("e2", data=body)
    ready.attributes["ce-type"] = RESULTS
    messages = [message(), ready]
    return replace(
        GOOD,
        job=done,
        results=objects,
        messages=messages,
        outbox=[kept(one) for one in messages],
    )


WHOLE = published(result(1), result(2))


def test_results_that_are_as_the_document_counts_them_are_found_right() -> None:
    assert breaches(with_results(WHOLE), collected=True) == []
    failed = published(result(1), result(2, "failed", key="of another"))
    assert breaches(with_results(failed, ok=1, failed=1), collected=True) == []


@pytest.mark.parametrize(
    ("found", "breach"),
    [
        (with_results(published(result(1))), "its results have {'ok': 1}"),
        (with_results(published(result(2), result(1))), "not in the file's order"),
        (
            with_results(published(result(1), result(1)), ok=2),
            "not in the file's order",
        ),
        (
            with_results(published(result(1), result(2) | {"id": "r0000009"})),
            "other ids than their lines",
        ),
        (with_results(WHOLE, ok=1, missing=1), "its document {"),
        (with_results(WHOLE, total=3, ok=2), "its document {"),
        (
            with_results(published(result(1), result(2) | {"text": "say k1"})),
            "r0000002 has the key k2 and another's answer",
        ),
        (
            with_results(published(result(1), result(2) | {"columns": {}})),
            "r0000002 has the key k2 and another's answer",
        ),
        (
            with_results(WHOLE, published(name="results.2.jsonl")),
            "no document names gs://output/results.2.jsonl",
        ),
        (replace(with_results(WHOLE), results=[]), "these are gone: gs://output/re"),
        (
            replace(with_results(WHOLE), results=[replace(WHOLE, crc32c="BBBBBB==")]),
            "not those that the document names",
        ),
        (
            replace(with_results(WHOLE), results=[replace(WHOLE, generation=2)]),
            "not those that the document names",
        ),
        (with_results(WHOLE, said="gs://other"), "gs://other was announced"),
        (replace(GOOD, results=[]), "no results of"),
        (
            replace(GOOD, job=with_results(WHOLE).job, results=[WHOLE]),
            f"0 announcements say {RESULTS}",
        ),
    ],
)
def test_results_that_break_the_promise_are_reported(
    found: Evidence, breach: str
) -> None:
    assert [what for what in breaches(found, collected=True) if breach in what]
