"""Rows of the Batches client beside the lines that the caller sent."""

import json
from typing import Any

import pytest

from batchdrop.batches import JobError, ResultRow
from batchdrop.batches.answer_lines import row_of, rows_of
from batchdrop.results import join
from tests.results.made import answer, failed, request, response


def rows(*lines: bytes) -> list[ResultRow]:
    return list(rows_of(lines, "predictions.jsonl"))


def keyed(key: Any, text: str = "?", **columns: Any) -> dict[str, Any]:
    return {"key": key, **columns, "request": request(text)}


def test_each_line_has_a_result_in_its_order_with_its_own_key_and_columns() -> None:
    found = rows(answer(None, "two", key="4672"), answer(None, "one", key="007"))
    lines = [keyed("007", region="eu"), keyed(4672), keyed("x")]

    results = list(join(found, lines))

    usage = {"prompt": 8, "cached": 0, "output": 4, "thoughts": 0, "total": 12}
    said = {"finish_reason": "STOP", "usage": usage}
    assert results == [
        {
            "line": 1,
            "key": "007",
            "columns": {"region": "eu"},
            "outcome": "ok",
            "text": "one",
            **said,
        },
        {"line": 2, "key": 4672, "outcome": "ok", "text": "two", **said},
        {"line": 3, "key": "x", "outcome": "missing"},
    ]


def test_lines_may_be_json_with_blank_ones_between() -> None:
    lines: list[str | bytes] = [
        json.dumps(keyed("a")),
        "",
        json.dumps(keyed("b")).encode() + b"\n",
        b"\n",
    ]

    results = list(join(rows(answer(None, key="b")), lines))

    assert [(r["line"], r["outcome"]) for r in results] == [(1, "missing"), (3, "ok")]


def test_a_line_without_a_key_has_the_one_that_create_gave_it() -> None:
    found = rows(answer(None, "two", key="request-2"))

    results = list(join(found, [request("a"), request("b")]))

    assert [r.get("text") for r in results] == [None, "two"]
    assert "key" not in results[1]


def test_a_row_without_a_key_is_joined_by_its_request() -> None:
    found = rows(
        answer(None, "b", request=request("b")), answer(None, "a", request="?")
    )

    results = list(join(found, [request("a"), {"request": request("b")}]))

    assert [r.get("text") for r in results[:2]] == [None, "b"]
    assert [r["why"] for r in results[2:]] == ["no_match"]


def test_a_row_with_the_key_comes_before_one_with_the_request() -> None:
    found = rows(answer(None, "b", request=request("a")), answer(None, "a", key="k"))

    results = list(join(found, [keyed("k", "a"), keyed("l", "a")]))

    assert [r["text"] for r in results] == ["a", "b"]


def test_the_key_of_an_inline_request_is_in_its_metadata() -> None:
    lines = [request("a") | {"metadata": {"key": "k"}}]

    (result,) = join(rows(answer(None, key="k")), lines)

    assert (result["key"], result["outcome"]) == ("k", "ok")


def test_json_is_decoded_where_the_line_asks_for_it() -> None:
    config = {"generationConfig": {"responseMimeType": "application/json"}}
    lines = [request("a") | config, {"request": request("b") | config}]
    lines += [request("c"), request("d")]
    found = rows(
        answer(None, '{"n": 1}', key="request-1"),
        answer(None, "no JSON", key="request-2"),
        answer(None, '{"n": 3}', key="request-3"),
        answer(None, '{"n": 4}', key="request-4", request=request("d") | config),
    )

    results = list(join(found, lines))

    assert [(r.get("json"), r.get("text"), r["outcome"]) for r in results] == [
        ({"n": 1}, None, "ok"),
        (None, "no JSON", "malformed"),
        (None, '{"n": 3}', "ok"),
        ({"n": 4}, None, "ok"),
    ]


def test_a_failed_row_has_its_error() -> None:
    (result,) = join(rows(failed(1)), [keyed("r0000001")])

    assert result["outcome"] == "failed"
    assert result["error"] == {
        "code": 400,
        "status": "INVALID_ARGUMENT",
        "message": "Please use a role",
    }


@pytest.mark.parametrize("full", [False, True])
def test_the_response_is_there_where_it_is_needed_or_asked_for(full: bool) -> None:
    calls = response()
    calls["candidates"][0]["content"]["parts"] = [{"functionCall": {"name": "f"}}]
    found = rows(answer(1), answer(2, response=calls))

    results = list(join(found, [keyed("r0000001"), keyed("r0000002")], full=full))

    assert ["response" in r for r in results] == [full, True]


def test_answers_that_belong_to_no_line_come_last() -> None:
    found = rows(answer(1, "kept"), answer(1, "other"), answer(9), b"torn")
    nameless = row_of({"response": response()})

    results = list(join([*found, nameless], [keyed("r0000001")]))

    assert results[0]["text"] == "kept"
    assert [r["why"] for r in results[1:]] == [
        *("unreadable", "no_match", "doubled", "no_such_row")
    ]
    assert results[1]["answer"] == {"line": "torn"}


def test_of_several_rows_with_a_key_the_best_is_kept() -> None:
    (result, _) = join(rows(failed(1), answer(1)), [keyed("r0000001")])

    assert result["outcome"] == "ok"


@pytest.mark.parametrize("line", [b"[1]", "no JSON", b"\xff"])
def test_a_line_that_is_not_a_json_object_is_named(line: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"line 2 is not a JSON object"):
        list(join([], [keyed("a"), line]))


def test_a_key_that_is_given_twice_is_named() -> None:
    with pytest.raises(ValueError, match=r"line 3 has the key of line 1"):
        list(join([], [keyed("1"), keyed("2"), keyed(1)]))


def test_a_row_that_the_caller_made_is_joined() -> None:
    row = ResultRow(key="a", error=JobError(code=3, message="bad"))

    (result,) = join([row], [keyed("a")])

    assert result["error"] == {"code": 3, "message": "bad"}
