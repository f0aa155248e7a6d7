"""Every fault, as a client meets it."""

import json
import time
from typing import Any

import httpx
import pytest

from batchsim import BatchSim
from batchsim.faults import CATALOGUE
from tests.batchsim.drive import (
    GEMINI,
    JOBS,
    Developer,
    Vertex,
    answer_text,
    http,
    row,
    rows,
)


def states(vertex: Vertex, name: str, *hours: float) -> list[str]:
    """The job's state after each of these numbers of hours from now."""
    seen = []
    for step in hours:
        vertex.sim.clock.advance(hours=step)
        seen.append(vertex.get(name)["state"].removeprefix("JOB_STATE_"))
    return seen


# Requests


def test_a_reply_can_be_dropped_after_the_job_was_made(vertex: Vertex) -> None:
    vertex.sim.faults.add("drop_reply", op="create", count=1)

    with pytest.raises(httpx.RemoteProtocolError):
        http.post(vertex.sim.url + JOBS, json=vertex.body(displayName="made"))

    assert vertex.names() == ["made"]
    assert vertex.create()["state"] == "JOB_STATE_PENDING"


def test_a_connection_can_be_reset_before_anything_is_done(vertex: Vertex) -> None:
    vertex.sim.faults.add("reset", op="create", count=1)

    with pytest.raises(httpx.ReadError, match="reset by peer"):
        http.post(vertex.sim.url + JOBS, json=vertex.body())

    assert vertex.names() == []


@pytest.mark.parametrize(
    ("fault", "params", "code", "retry_after"),
    [
        ("rate_limited", {}, 429, None),
        ("rate_limited", {"retry_after": 7}, 429, "7"),
        ("internal", {}, 500, None),
        ("unavailable", {}, 503, None),
        ("unavailable", {"retry_after": 0.5}, 503, "0.5"),
        ("http_error", {"code": 408, "message": "Too slow."}, 408, None),
    ],
)
def test_a_request_can_be_answered_with_an_error(
    vertex: Vertex,
    fault: str,
    params: dict[str, Any],
    code: int,
    retry_after: str | None,
) -> None:
    vertex.sim.faults.add(fault, op="create", count=1, **params)

    answer = http.post(vertex.sim.url + JOBS, json=vertex.body())

    assert answer.status_code == answer.json()["error"]["code"] == code
    assert answer.headers.get("retry-after") == retry_after
    assert vertex.names() == []


def test_an_answer_can_be_slow(vertex: Vertex) -> None:
    vertex.sim.faults.add("slow", op="list", seconds=0.2, count=1)
    began = time.monotonic()

    vertex.page()

    assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize("op", ["get", "list", "cancel", "delete"])
def test_a_fault_happens_only_at_its_operation(vertex: Vertex, op: str) -> None:
    name = vertex.create()["name"]
    vertex.sim.faults.add("internal", op=op)
    url = f"{vertex.sim.url}/v1/{name}"

    codes = {
        "get": http.get(url).status_code,
        "list": http.get(vertex.sim.url + JOBS).status_code,
        "cancel": http.post(url + ":cancel").status_code,
        "delete": http.delete(url).status_code,
    }

    assert [one for one, code in codes.items() if code == 500] == [op]


@pytest.mark.parametrize("op", ["upload", "file", "download"])
def test_requests_of_the_file_api_can_fail_too(developer: Developer, op: str) -> None:
    developer.sim.faults.add("unavailable", op=op)
    url = developer.sim.url
    headers = {"x-goog-api-key": "k"}

    codes = {
        "upload": http.post(f"{url}/upload/v1/files", headers=headers).status_code,
        "file": http.get(f"{url}/v1/files", headers=headers).status_code,
        "download": http.get(f"{url}/v1/files/x:download", headers=headers).status_code,
    }

    assert [one for one, code in codes.items() if code == 503] == [op]


# Jobs


def test_a_job_can_be_stuck_pending_until_it_expires(vertex: Vertex) -> None:
    vertex.sim.faults.add("stuck_pending")
    name = vertex.create(rows(1))["name"]

    assert states(vertex, name, 71, 2) == ["PENDING", "EXPIRED"]


def test_a_job_can_be_stuck_running_until_it_is_cut_off(vertex: Vertex) -> None:
    vertex.sim.faults.add("stuck_running")
    name = vertex.create(rows(1))["name"]

    assert states(vertex, name, 23, 2) == ["RUNNING", "FAILED"]


@pytest.mark.parametrize("fault", ["stuck_pending", "stuck_running"])
def test_a_job_can_be_stuck_for_ever_and_let_go(vertex: Vertex, fault: str) -> None:
    rule = vertex.sim.faults.add(fault, for_ever=True)
    name = vertex.create(rows(1))["name"]

    (stuck,) = states(vertex, name, 1000)
    vertex.sim.faults.remove(rule)

    assert stuck == fault.removeprefix("stuck_").upper()
    assert states(vertex, name, 1) == ["SUCCEEDED"]


def test_a_stuck_job_can_be_cancelled(vertex: Vertex) -> None:
    vertex.sim.faults.add("stuck_pending", for_ever=True)
    name = vertex.create(rows(1))["name"]
    vertex.sim.clock.advance(60)

    vertex.cancel(name)

    assert states(vertex, name, 0, 100) == ["CANCELLED", "CANCELLED"]


@pytest.mark.parametrize("code", [1, 3, 7, 13, 14])
def test_a_job_can_fail_with_any_code_and_no_rows(vertex: Vertex, code: int) -> None:
    vertex.sim.faults.add("failed", code=code, message="So it is.")

    job = vertex.run(rows(4))

    assert job["state"] == "JOB_STATE_FAILED"
    assert job["error"] == {"code": code, "message": "So it is."}
    assert "outputInfo" not in job


def test_a_job_can_fail_after_some_of_its_rows(vertex: Vertex) -> None:
    vertex.sim.faults.add("failed", rows=0.5)

    job = vertex.run(rows(4))

    assert job["state"] == "JOB_STATE_FAILED"
    assert job["completionStats"] == {"successfulCount": "2", "incompleteCount": "2"}
    assert len(vertex.bucket.answers(job)) == 2


def test_a_job_can_expire_in_both_apis(vertex: Vertex, developer: Developer) -> None:
    vertex.sim.faults.add("expired")

    job = vertex.run(rows(1))
    name = developer.inline()["name"]
    vertex.sim.clock.advance(60)

    assert job["state"] == "JOB_STATE_EXPIRED"
    assert developer.get(name)["metadata"]["state"] == "BATCH_STATE_EXPIRED"


def test_a_job_can_succeed_partially(vertex: Vertex) -> None:
    vertex.sim.faults.add("partially_succeeded", rows=0.75)

    job = vertex.run(rows(4))

    assert job["state"] == "JOB_STATE_PARTIALLY_SUCCEEDED"
    assert job["completionStats"] == {"successfulCount": "3", "incompleteCount": "1"}
    assert len(vertex.bucket.answers(job)) == 3


@pytest.mark.parametrize(
    ("fault", "params", "shown"),
    [
        ("paused", {}, "PAUSED"),
        ("updating", {}, "UPDATING"),
        ("unknown_state", {}, "HIBERNATING"),
        ("unknown_state", {"state": "JOB_STATE_QUEUED"}, "QUEUED"),
    ],
)
def test_a_job_can_be_in_a_rare_state_for_a_while(
    vertex: Vertex, fault: str, params: dict[str, Any], shown: str
) -> None:
    vertex.sim.settings.run_seconds = 1800
    vertex.sim.faults.add(fault, seconds=3600, **params)
    name = vertex.create(rows(1))["name"]

    assert states(vertex, name, 0.5, 0.6, 0.5) == [shown, "RUNNING", "SUCCEEDED"]


@pytest.mark.parametrize("fault", ["paused", "updating", "unknown_state"])
def test_a_job_stays_in_a_rare_state_until_its_rule_is_removed(
    vertex: Vertex, fault: str
) -> None:
    vertex.sim.settings.run_seconds = 1800
    rule = vertex.sim.faults.add(fault, for_ever=True)
    other = vertex.sim.faults.add("internal", op="upload")
    name = vertex.create(rows(1))["name"]
    shown = {"unknown_state": "HIBERNATING"}.get(fault, fault.upper())

    assert states(vertex, name, 0.5, 5, 5) == [shown] * 3
    vertex.sim.faults.remove(other)
    assert states(vertex, name, 0, 0.5) == [shown] * 2
    vertex.sim.faults.remove(rule)

    assert states(vertex, name, 0, 0.4, 0.2) == ["RUNNING", "RUNNING", "SUCCEEDED"]


def test_an_unknown_state_is_spelled_as_each_api_spells_states(
    vertex: Vertex, developer: Developer
) -> None:
    vertex.sim.faults.add("unknown_state")
    name = developer.inline()["name"]
    vertex.sim.clock.advance(60)

    state = developer.get(name)["metadata"]["state"]

    assert state == "BATCH_STATE_HIBERNATING"


@pytest.mark.parametrize("then", ["CANCELLED", "SUCCEEDED", "FAILED"])
def test_cancelling_can_take_a_while_and_end_in_three_ways(
    vertex: Vertex, then: str
) -> None:
    vertex.sim.faults.add("cancelling", seconds=3600, then=then)
    vertex.sim.settings.run_seconds = 1800
    name = vertex.create(rows(4))["name"]
    vertex.sim.clock.advance(minutes=15)

    vertex.cancel(name)

    assert states(vertex, name, 0, 0.9, 0.2) == ["CANCELLING", "CANCELLING", then]


def test_a_job_stays_cancelling_until_the_rule_is_removed(vertex: Vertex) -> None:
    rule = vertex.sim.faults.add("cancelling", for_ever=True, then="SUCCEEDED")
    vertex.sim.settings.run_seconds = 1800
    name = vertex.create(rows(4))["name"]
    vertex.sim.clock.advance(minutes=15)
    vertex.cancel(name)

    before = states(vertex, name, 0, 30)
    vertex.sim.faults.remove(rule)

    assert before == ["CANCELLING", "CANCELLING"]
    assert states(vertex, name, 0) == ["SUCCEEDED"]


def test_a_job_that_outruns_its_cancel_has_all_its_answers(
    vertex: Vertex,
) -> None:
    vertex.sim.faults.add("cancelling", then="SUCCEEDED")
    name = vertex.create(rows(4))["name"]  # it is still pending

    vertex.cancel(name)
    vertex.sim.clock.advance(hours=1)

    job = vertex.get(name)
    assert job["completionStats"] == {"successfulCount": "4"}
    assert job["outputInfo"]["gcsOutputDirectory"].startswith("gs://")


def test_an_export_can_fail_with_counts_and_a_directory_but_no_file(
    vertex: Vertex,
) -> None:
    vertex.sim.faults.add("export_failed")

    job = vertex.run(rows(3))

    assert job["state"] == "JOB_STATE_FAILED"
    assert job["error"]["code"] == 7
    assert "storage.objects.create" in job["error"]["message"]
    assert job["completionStats"] == {"successfulCount": "3"}
    assert job["outputInfo"]["gcsOutputDirectory"].startswith("gs://")
    assert vertex.bucket.names("out/") == []


@pytest.mark.parametrize("partly", [False, True])
def test_a_job_can_succeed_before_it_names_its_output(
    vertex: Vertex, partly: bool
) -> None:
    if partly:
        vertex.sim.faults.add("partially_succeeded")
    vertex.sim.faults.add("output_late", seconds=3600)
    name = vertex.create(rows(2))["name"]
    vertex.sim.clock.advance(minutes=30)

    early = vertex.get(name)
    vertex.sim.clock.advance(hours=1)
    late = vertex.get(name)

    assert early["state"] == late["state"]
    assert "outputInfo" not in early
    assert late["outputInfo"]["gcsOutputDirectory"].startswith("gs://")
    assert late["updateTime"] == early["updateTime"]


def test_a_batch_can_succeed_before_it_names_its_responses(
    developer: Developer,
) -> None:
    rule = developer.sim.faults.add("output_late", for_ever=True)
    name = developer.inline()["name"]
    developer.sim.clock.advance(hours=72)

    early = developer.get(name)
    developer.sim.faults.remove(rule)
    late = developer.get(name)

    assert early["done"] is True
    assert early["metadata"]["state"] == "BATCH_STATE_SUCCEEDED"
    assert "output" not in early["metadata"]
    assert "response" not in early
    assert late["metadata"]["output"]["inlinedResponses"]
    assert late["response"]["inlinedResponses"]


def test_a_job_that_does_not_succeed_has_no_late_output(vertex: Vertex) -> None:
    vertex.sim.faults.add("failed", rows=0.5)
    vertex.sim.faults.add("output_late", for_ever=True)

    job = vertex.run(rows(2))

    assert job["state"] == "JOB_STATE_FAILED"
    assert "outputInfo" in job


def test_a_job_can_vanish_and_come_back(vertex: Vertex) -> None:
    name = vertex.create(displayName="ghost")["name"]
    rule = vertex.sim.faults.add("vanished", match={"display_name": "ghost"})

    gone = http.get(f"{vertex.sim.url}/v1/{name}")
    listed = vertex.names()
    vertex.sim.faults.remove(rule)

    assert gone.status_code == 404
    assert listed == []
    assert vertex.names() == ["ghost"]
    assert vertex.get(name)["displayName"] == "ghost"


def test_a_batch_of_the_developer_api_can_vanish_for_one_get(
    developer: Developer,
) -> None:
    name = developer.inline()["name"]
    developer.sim.faults.add("vanished", count=1)

    assert developer.request("GET", name).status_code == 404
    assert developer.request("GET", name).status_code == 200


# Lists


def ten(vertex: Vertex) -> list[str]:
    return [vertex.create(displayName=f"job {n}")["name"] for n in range(10)]


def test_a_list_can_end_early_without_a_token(vertex: Vertex) -> None:
    ten(vertex)
    vertex.sim.faults.add("list_truncated", keep=4, count=1)

    page = vertex.page(pageSize=6)

    assert len(page["batchPredictionJobs"]) == 4
    assert "nextPageToken" not in page


def test_a_list_can_show_jobs_as_they_were(vertex: Vertex) -> None:
    name = vertex.create(rows(1))["name"]
    created = vertex.get(name)["updateTime"]
    vertex.sim.clock.advance(hours=1)
    vertex.sim.faults.add("list_stale", seconds=7200)

    (listed,) = vertex.page()["batchPredictionJobs"]

    assert listed["state"] == "JOB_STATE_PENDING"
    assert listed["updateTime"] == created
    assert "completionStats" not in listed
    assert vertex.get(name)["state"] == "JOB_STATE_SUCCEEDED"
    assert vertex.names(filter='state="JOB_STATE_SUCCEEDED"') == []


def test_a_stale_list_shows_a_quick_job_as_it_was_when_created(
    vertex: Vertex,
) -> None:
    vertex.sim.settings.queue_seconds = vertex.sim.settings.run_seconds = 0
    made = vertex.create(rows(1))
    finished = vertex.get(made["name"])
    vertex.sim.faults.add("list_stale", seconds=60)

    (listed,) = vertex.page()["batchPredictionJobs"]

    assert finished["state"] == "JOB_STATE_SUCCEEDED"
    assert listed == made
    assert made["state"] == "JOB_STATE_PENDING"
    assert "startTime" not in made


def test_a_list_can_be_stale_or_lag_for_some_jobs_only(
    vertex: Vertex,
) -> None:
    for name in ("a", "b"):
        vertex.create(displayName=name)
    vertex.sim.faults.add("list_lagging", match={"display_name": "a"})

    assert vertex.names() == ["b"]


def test_a_list_can_lag_behind_creates(vertex: Vertex) -> None:
    vertex.sim.faults.add("list_lagging", seconds=60)
    name = vertex.create(displayName="new")["name"]

    at_once = vertex.names()
    by_name = vertex.get(name)["displayName"]
    vertex.sim.clock.advance(61)

    assert at_once == []
    assert by_name == "new"
    assert vertex.names() == ["new"]


def test_a_list_can_be_out_of_order(vertex: Vertex) -> None:
    names = ten(vertex)
    vertex.sim.faults.add("list_out_of_order")

    seen = [job["name"] for job in vertex.all(pageSize=5)]

    assert seen != names[::-1]
    assert sorted(seen) == sorted(names)


@pytest.mark.parametrize(
    ("where", "sizes"),
    [
        ("every", [0, 4, 0, 4, 0, 2]),
        ("first", [0, 4, 4, 2]),
        ("middle", [4, 0, 4, 0, 2]),
    ],
)
def test_a_list_can_give_empty_pages_with_a_token(
    vertex: Vertex, where: str, sizes: list[int]
) -> None:
    ten(vertex)
    vertex.sim.faults.add("list_empty_page", where=where)

    seen, token = [], ""
    while True:
        page = vertex.page(pageSize=4, pageToken=token)
        seen.append(len(page.get("batchPredictionJobs", [])))
        token = page.get("nextPageToken", "")
        if not token:
            break

    assert seen == sizes


def test_lists_of_the_developer_api_have_the_same_faults(developer: Developer) -> None:
    developer.inline()
    developer.sim.faults.add("list_empty_page", count=1)

    page = developer.request("GET", "batches").json()

    assert list(page) == ["nextPageToken"]


# Answers


def keys(vertex: Vertex, *, run: int = 6) -> list[Any]:
    lines = vertex.bucket.answers(vertex.run(rows(run)))
    return [line.get("key") for line in lines]


def test_answers_can_be_kept_in_order(vertex: Vertex) -> None:
    vertex.sim.faults.add("output_in_order")

    assert keys(vertex) == ["k0", "k1", "k2", "k3", "k4", "k5"]


def test_answers_can_be_shuffled_where_they_would_be_in_order(
    developer: Developer,
) -> None:
    developer.sim.faults.add("output_shuffled")
    name = developer.inline(6)["name"]
    developer.sim.clock.advance(60)

    items = developer.get(name)["response"]["inlinedResponses"]["inlinedResponses"]

    seen = [item["metadata"]["key"] for item in items]
    assert seen != sorted(seen)
    assert sorted(seen) == ["k0", "k1", "k2", "k3", "k4", "k5"]


def test_answers_can_be_sharded(vertex: Vertex) -> None:
    vertex.sim.faults.add("output_sharded", shards=3)

    seen = keys(vertex)

    names = [name.rpartition("/")[2] for name in vertex.bucket.names("out/")]
    assert names == [f"predictions-0000{n}-of-00003.jsonl" for n in range(3)]
    assert sorted(seen) == ["k0", "k1", "k2", "k3", "k4", "k5"]


def test_answers_can_be_missing(vertex: Vertex) -> None:
    vertex.sim.faults.add("rows_missing", rows=2)

    job = vertex.run(rows(6))

    assert len(vertex.bucket.answers(job)) == 4
    assert job["completionStats"] == {"successfulCount": "6"}


def test_rows_can_have_no_answer_and_be_counted_as_incomplete(vertex: Vertex) -> None:
    vertex.sim.faults.add("row_unanswered", count=2)

    job = vertex.run(rows(6))

    assert job["state"] == "JOB_STATE_SUCCEEDED"
    assert len(vertex.bucket.answers(job)) == 4
    assert job["completionStats"] == {"successfulCount": "4", "incompleteCount": "2"}


def test_answers_can_come_twice(vertex: Vertex) -> None:
    vertex.sim.faults.add("rows_doubled", rows=2)

    seen = keys(vertex)

    assert len(seen) == 8
    assert len(set(seen)) == 6


def test_answers_can_belong_to_no_row(vertex: Vertex) -> None:
    vertex.sim.faults.add("rows_foreign", rows=2)

    seen = keys(vertex)

    assert sorted(seen)[:2] == ["foreign-0", "foreign-1"]
    assert len(seen) == 8


def test_answers_can_lack_their_key(vertex: Vertex) -> None:
    vertex.sim.faults.add("rows_without_key", rows=2)

    seen = keys(vertex)

    assert seen.count(None) == 2
    assert len(seen) == 6


def test_output_can_be_torn_in_its_last_line(vertex: Vertex) -> None:
    vertex.sim.faults.add("output_torn")
    job = vertex.create(rows(3))
    vertex.sim.clock.advance(60)

    (name,) = vertex.bucket.names("out/")
    lines = vertex.bucket.text(name).split("\n")

    assert vertex.get(job["name"])["state"] == "JOB_STATE_SUCCEEDED"
    assert len(lines) == 3
    assert [json.loads(line)["status"] for line in lines[:2]] == ["", ""]
    with pytest.raises(json.JSONDecodeError):
        json.loads(lines[2])


# Rows


def by_key(vertex: Vertex, *texts: str) -> dict[str, Any]:
    job = vertex.run([row(text, key=text) for text in texts])
    return {line["key"]: line for line in vertex.bucket.answers(job)}


@pytest.mark.parametrize("code", [400, 403, 429, 500, 503, 504])
def test_a_row_can_fail_with_any_status(vertex: Vertex, code: int) -> None:
    vertex.sim.faults.add("row_failed", code=code, match={"row_text": "poison"})

    lines = by_key(vertex, "poison", "water")

    error = json.loads(lines["poison"]["status"].partition(": ")[2])["error"]
    assert error["code"] == code
    assert "response" not in lines["poison"]
    assert lines["water"]["status"] == ""


def test_a_prompt_can_be_blocked(vertex: Vertex) -> None:
    vertex.sim.faults.add("row_blocked", reason="SAFETY", match={"row_text": "bad"})

    lines = by_key(vertex, "bad", "good")

    response = lines["bad"]["response"]
    assert lines["bad"]["status"] == ""
    assert response["promptFeedback"] == {"blockReason": "SAFETY"}
    assert "candidates" not in response
    assert "promptFeedback" not in lines["good"]["response"]


def test_an_answer_can_be_cut_at_max_tokens(vertex: Vertex) -> None:
    vertex.sim.faults.add("row_max_tokens")

    lines = by_key(vertex, "a long enough text")

    (candidate,) = lines["a long enough text"]["response"]["candidates"]
    assert candidate["finishReason"] == "MAX_TOKENS"
    (part,) = candidate["content"]["parts"]
    assert "a long enough text".startswith(part["text"])
    assert part["text"] != "a long enough text"


def test_an_answer_can_have_no_content_or_thoughts_alone(vertex: Vertex) -> None:
    vertex.sim.faults.add("row_empty", match={"row_text": "nothing"})
    vertex.sim.faults.add("row_empty", thoughts=True, match={"row_text": "hm"})

    lines = by_key(vertex, "nothing", "hm")

    answers = {key: line["response"] for key, line in lines.items()}
    assert answers["nothing"]["candidates"] == [
        {"content": {"role": "model"}, "finishReason": "STOP"}
    ]
    assert "candidatesTokenCount" not in answers["nothing"]["usageMetadata"]
    (part,) = answers["hm"]["candidates"][0]["content"]["parts"]
    assert part["thought"] is True
    assert answers["hm"]["usageMetadata"]["thoughtsTokenCount"] > 0


def test_an_answer_can_be_invalid_json(vertex: Vertex) -> None:
    vertex.sim.faults.add("row_malformed")
    line = row(key="a")
    line["request"]["generationConfig"] = {
        "responseMimeType": "application/json",
        "responseSchema": {"type": "STRING"},
    }

    (answer,) = vertex.bucket.answers(vertex.run([line]))

    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(answer_text(answer))


def test_an_answer_can_end_with_any_finish_reason(vertex: Vertex) -> None:
    vertex.sim.faults.add("row_finished", reason="MALFORMED_FUNCTION_CALL")

    (line,) = by_key(vertex, "hello").values()

    assert answer_text(line) == "hello"
    (candidate,) = line["response"]["candidates"]
    assert candidate["finishReason"] == "MALFORMED_FUNCTION_CALL"


# Rules


@pytest.mark.parametrize(
    ("match", "struck"),
    [
        ({}, True),
        ({"model": "gemini-3.8-*"}, True),
        ({"model": GEMINI}, True),
        ({"model": "gemini-4*"}, False),
        ({"display_name": "nightly *"}, True),
        ({"display_name": "nightly"}, False),
        ({"label": "team"}, True),
        ({"label": "team=a"}, True),
        ({"label": {"team": "a"}}, True),
        ({"label": {"team": "*", "env": "*"}}, False),
        ({"label": "team=b"}, False),
        ({"model": "gemini-*", "label": "other"}, False),
    ],
)
def test_a_rule_applies_to_the_jobs_that_it_matches(
    vertex: Vertex, match: dict[str, Any], struck: bool
) -> None:
    vertex.sim.faults.add("failed", match=match)

    job = vertex.run(rows(1), displayName="nightly 7", labels={"team": "a"})

    assert (job["state"] == "JOB_STATE_FAILED") is struck


def test_requests_are_matched_by_what_they_ask_or_by_their_job(
    vertex: Vertex, developer: Developer
) -> None:
    name = vertex.create(displayName="a")["name"]
    vertex.sim.faults.add("internal", match={"display_name": "a"})
    url = vertex.sim.url

    assert http.get(f"{url}/v1/{name}").status_code == 500
    assert http.post(url + JOBS, json={"display_name": "a"}).status_code == 500
    assert http.post(url + JOBS, json=vertex.body()).status_code == 200
    batch = {"batch": {"display_name": "a"}}
    path = "models/gemini-4-argon:batchGenerateContent"
    assert developer.request("POST", path, json=batch).status_code == 500


def test_a_rule_with_a_count_applies_that_many_times(vertex: Vertex) -> None:
    rule = vertex.sim.faults.add("internal", op="list", count=3)

    codes = [http.get(vertex.sim.url + JOBS).status_code for _ in range(5)]

    assert codes == [500, 500, 500, 200, 200]
    assert rule.struck == 3


def test_a_rule_with_a_probability_applies_by_a_seeded_random_number() -> None:
    def codes(seed: int) -> list[int]:
        with BatchSim(speed=0, seed=seed) as sim:
            sim.faults.add("internal", op="list", probability=0.3)
            return [http.get(sim.url + JOBS).status_code for _ in range(60)]

    first = codes(seed=1)
    assert first == codes(seed=1)
    assert first != codes(seed=2)
    assert 8 <= first.count(500) <= 28


def test_a_probability_hits_the_same_rows_in_any_job(vertex: Vertex) -> None:
    vertex.sim.faults.add("row_failed", probability=0.5)

    def failed() -> set[str]:
        lines = vertex.bucket.answers(vertex.run(rows(30)))
        return {line["key"] for line in lines if line["status"]}

    first = failed()
    assert first == failed()
    assert 5 <= len(first) <= 25


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ({"fault": "nonesuch"}, "'nonesuch' is not one of drop_reply"),
        ({}, "fault"),
        ({"fault": "internal", "op": "look"}, "'look' is not one of create"),
        ({"fault": "failed", "op": "create"}, "not a fault of requests"),
        (
            {"fault": "failed", "match": {"colour": "red"}},
            "'colour' is not one of model",
        ),
        ({"fault": "failed", "match": {"row_text": "x"}}, "doesn't apply to rows"),
        (
            {"fault": "list_truncated", "match": {"model": "x"}},
            "applies to whole lists",
        ),
        ({"fault": "failed", "colour": "red"}, "failed takes code, message, rows"),
        ({"fault": "internal", "seconds": 1}, "internal takes no parameters"),
        ({"fault": "internal", "probability": 1.5}, "is not between 0 and 1"),
        ({"fault": "internal", "probability": "often"}, "'often' is not a number"),
        ({"fault": "internal", "count": 0}, "is not 1 or more"),
    ],
)
def test_a_bad_rule_is_refused_with_what_is_wrong(
    batchsim: BatchSim, rule: dict[str, Any], named: str
) -> None:
    answer = http.post(f"{batchsim.url}/_sim/faults", json=rule)

    assert answer.status_code == 400
    assert named in answer.json()["error"]["message"]
    assert batchsim.faults.rules() == []


def test_rules_are_added_listed_and_removed_over_http(vertex: Vertex) -> None:
    url = f"{vertex.sim.url}/_sim/faults"
    rule = {"op": "create", "fault": "drop_reply", "probability": 0.2}

    added = http.post(url, json=rule).json()["rules"]
    http.post(url, json=[{"fault": "failed"}, {"fault": "internal", "count": 3}])
    shown = http.get(url).json()

    assert added[0]["id"] == 1
    assert [one["fault"] for one in shown["rules"]] == [
        "drop_reply",
        "failed",
        "internal",
    ]
    assert set(shown["faults"]) == set(CATALOGUE)
    assert shown["faults"]["rows_missing"]["takes"] == {"rows": 1}
    http.delete(f"{url}/2")
    assert len(http.get(url).json()["rules"]) == 2
    http.delete(url)
    assert http.get(url).json()["rules"] == []


def test_every_fault_of_the_catalogue_has_a_test_in_this_file() -> None:
    with open(__file__, encoding="utf-8") as file:
        text = file.read()

    assert [name for name in CATALOGUE if f'"{name}"' not in text] == []
