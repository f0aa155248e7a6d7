"""Answers find their rows: by the id, by the request; of several, one is kept."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from batchdrop.results import Answers, DoesNotAddUp, TooLarge
from batchdrop.results.reading import lines_of
from tests.results.made import (
    File,
    answer,
    collect,
    collect_from,
    failed,
    jsonl,
    memory_of,
    opened,
    part,
    request,
    response,
    shard,
)


def texts(found: Any) -> dict[int, str | None]:
    return {each["line"]: each.get("text") for each in found.results}


def test_an_answer_without_an_id_is_joined_by_its_request() -> None:
    lines = [answer(None, f"to {n}", request=request(f"question {n}")) for n in (3, 1)]

    found = collect(File.of(3), shard(*lines, answer(2, "to 2")))

    assert texts(found) == {1: "to 1", 2: "to 2", 3: "to 3"}
    assert found.summary.same_rows == 0


@pytest.mark.parametrize(
    ("sent", "echoed"),
    [
        ('{"t": 1.0}', '{"t": 1}'),
        ('{"t": 1e3}', '{"t": 1000.0}'),
        ('{"t": 0.1}', '{"t": 1e-1}'),
        ('{"a": 1, "b": 2}', '{"b": 2, "a": 1}'),
        ('{"a": null, "b": {"c": null}}', '{"b": {}}'),
        ('{"t": 0, "u": "", "v": false}', '{"t": 0, "u": "", "v": false, "w": null}'),
        (
            '{"a": [{"b": 1}]}',
            '{"a": [{"b": 1, "c": {"d": null}, "e": []}], "f": null}',
        ),
        ('{"t": 12345678901234567890123}', '{"t": 1.2345678901234567e22}'),
        ('{"t": "\\u00e9"}', '{"t": "é"}'),
    ],
)
def test_a_request_that_the_api_wrote_anew_is_the_same(sent: str, echoed: str) -> None:
    file = File.of(2, requests={2: json.loads(sent)})
    line = answer(None, request="_").replace(b'"_"', echoed.encode())

    found = collect(file, shard(line))

    assert found.outcomes == {1: "missing", 2: "ok"}


@pytest.mark.parametrize(
    "echoed", ['{"t": true}', '{"t": "1"}', '{"t": [1]}', "{}", '{"t": 1, "u": 0}']
)
def test_a_request_that_differs_is_another(echoed: str) -> None:
    file = File.of(1, requests={1: {"t": 1}})
    line = answer(None, request="_").replace(b'"_"', echoed.encode())

    found = collect(file, shard(line))

    assert [each["why"] for each in found.strangers] == ["no_match"]


def test_1000_equal_rows_without_ids_each_take_one_answer() -> None:
    file = File.of(1000, requests=dict.fromkeys(range(1, 1001), request("same")))
    lines = [answer(None, f"{n}", request=request("same")) for n in range(998)]

    found = collect(file, shard(*lines))

    assert found.summary.rows.ok == found.summary.same_rows == 998
    assert found.summary.rows.missing == 2
    assert len(set(texts(found).values())) == 999


def test_a_row_that_has_an_answer_by_its_id_takes_no_other() -> None:
    file = File.of(2, requests=dict.fromkeys((1, 2), request("same")))
    lines = [answer(None, "to 2", request=request("same")), answer(1, "to 1")]

    found = collect(file, shard(*lines))

    assert texts(found) == {1: "to 1", 2: "to 2"}


def test_more_answers_than_equal_rows_are_doubled() -> None:
    file = File.of(2, requests=dict.fromkeys((1, 2), request("same")))
    lines = [answer(None, text, request=request("same")) for text in "abbc"]

    found = collect(file, shard(*lines))

    assert texts(found) == {1: "a", 2: "b"}
    assert found.summary.superseded == 1
    assert [each["why"] for each in found.strangers] == ["doubled"]


def test_a_text_to_be_embedded_is_joined_by_all_of_its_line() -> None:
    sent = [b'{"key":"r0000001","content":"a"}', b'{"key":"r0000002","content":"b"}']
    questions = replace(File.of(2).questions(), open_staged=opened(jsonl(sent)))
    vector = [{"embeddings": {"values": [0.5]}}]
    line = {"instance": {"content": "b"}, "predictions": vector, "status": ""}

    found = collect_from(questions, shard(json.dumps(line).encode()))

    assert found.outcomes == {1: "missing", 2: "ok"}


def test_a_row_that_was_not_sent_takes_no_answer_without_an_id() -> None:
    found = collect(File.of(1), shard(answer(None, request=request("question 2"))))

    assert [each["why"] for each in found.strangers] == ["no_match"]


def test_staged_rows_are_read_only_if_an_answer_has_no_id() -> None:
    def unreadable() -> Any:
        raise AssertionError("read without need")

    questions = replace(File.of(2).questions(), open_staged=unreadable)

    found = collect_from(questions, shard(answer(1), answer(2)))

    assert found.summary.rows.ok == 2


def test_equal_answers_to_a_row_count_once() -> None:
    found = collect(File.of(1), part(answer(1), n=0), part(answer(1), answer(1), n=1))

    assert found.outcomes == {1: "ok"}
    assert (found.summary.superseded, found.strangers) == (2, [])


def test_of_different_answers_to_a_row_the_best_is_kept() -> None:
    cut = answer(1, response=response("cut", finishReason="MAX_TOKENS"))
    empty = answer(1, response={})
    lines = [failed(1), empty, cut, answer(1, "first"), answer(1, "second")]

    found = collect(File.of(1), part(*lines[:2]), part(*lines[2:], n=1))

    assert texts(found) == {1: "first"}
    assert [each["why"] for each in found.strangers] == ["doubled"] * 4
    assert found.summary.rows.failed == 0


def test_a_final_object_replaces_the_parts_of_it() -> None:
    early = [answer(1, "early"), failed(2), answer(3, "only here"), answer(9)]
    late = [answer(1, "late"), answer(2, "late")]

    found = collect(File.of(3), part(*early), shard(*late))

    assert texts(found) == {1: "late", 2: "late", 3: "only here"}
    assert found.summary.superseded == 2
    assert [each["why"] for each in found.strangers] == ["no_such_row"]


def test_a_final_object_replaces_parts_without_ids() -> None:
    def nameless(text: str, n: int) -> bytes:
        return answer(None, text, request=request(f"question {n}"))

    early = [nameless("early", 1), nameless("only here", 2)]

    found = collect(File.of(2), part(*early), shard(nameless("late", 1)))

    assert texts(found) == {1: "late", 2: "only here"}
    assert found.summary.superseded == 1


def test_parts_without_ids_may_differ_about_a_row_that_no_final_object_has() -> None:
    same = request("question 1")
    early = [answer(None, text, request=same) for text in "aab"]

    found = collect(File.of(2), part(*early), shard(answer(2)))

    assert texts(found)[1] == "a"
    assert found.summary.superseded == 1
    assert [each["why"] for each in found.strangers] == ["doubled"]


def test_a_missing_part_leaves_its_rows_missing() -> None:
    found = collect(File.of(4), part(answer(3), answer(4), n=1))

    assert found.outcomes == {1: "missing", 2: "missing", 3: "ok", 4: "ok"}


def big(n: int) -> bytes:
    return answer(n, "x" * 1000)


@pytest.fixture
def little_memory() -> Iterator[None]:
    with memory_of(10_000):
        yield


@pytest.mark.usefixtures("little_memory")
def test_answers_in_the_order_of_the_file_need_not_fit_into_the_memory() -> None:
    lines = [big(n) for n in range(1, 101) if n % 10]

    found = collect(File.of(100), shard(*lines[:50], lines[49]), part(*lines[50:]))

    assert found.summary.rows.ok == 90
    assert found.summary.rows.missing == 10


@pytest.mark.usefixtures("little_memory")
def test_too_many_answers_out_of_order_are_not_collected_in_one_step() -> None:
    lines = [big(n) for n in range(100, 0, -1)]

    with pytest.raises(TooLarge):
        collect(File.of(100), shard(*lines))


@pytest.mark.usefixtures("little_memory")
def test_a_line_that_does_not_fit_into_the_memory_is_not_read() -> None:
    with pytest.raises(TooLarge):
        list(lines_of(b"x" * 100 for _ in range(200)))


@pytest.mark.parametrize("lines", [28, 29, 31, 100])
@pytest.mark.usefixtures("little_memory")
def test_answers_that_change_while_they_are_read_do_not_add_up(lines: int) -> None:
    seen = iter([30, lines])

    def changing(start: int = 0, end: int | None = None) -> Iterator[bytes]:
        yield from map(b"%b\n".__mod__, map(big, range(1, next(seen) + 1)))

    with pytest.raises(DoesNotAddUp):
        collect(File.of(29), Answers("predictions.jsonl", True, changing))
