"""One result for each line of the file, in its order, and counts that add up."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from batchdrop.errors import SourceGone
from batchdrop.jobs.values import Input, Problem, Usage
from batchdrop.results import DoesNotAddUp, Questions, collected
from batchdrop.results.lines import Kind, Runs
from tests.results.made import (
    TEXT,
    File,
    answer,
    collect,
    collect_from,
    failed,
    jsonl,
    opened,
    response,
    shard,
)

S, J, R, B = Kind.STAGED, Kind.STAGED_JSON, Kind.REFUSED, Kind.BLANK


def test_each_row_has_a_result_in_the_order_of_the_file() -> None:
    lines = [answer(n, f"text {n}") for n in range(1, 101)]
    random.Random(1).shuffle(lines)

    found = collect(File.of(100), shard(*lines))

    assert [(r["id"], r["line"], r["text"]) for r in found.results] == [
        (f"r{n:07d}", n, f"text {n}") for n in range(1, 101)
    ]
    assert found.summary.rows.ok == found.summary.answers_read == 100
    assert found.strangers == []


def test_a_result_has_its_members_in_this_order() -> None:
    columns = {1: b'"key":"007","columns":{"customer":"x"}'}
    file = File(kinds=[S, R], columns=columns)
    one = answer(1, response=response(finishReason="NEW_REASON"))

    found = collect(file, shard(one), full=True, round=2)

    assert list(found.results[0]) == [
        *("id", "line", "key", "columns", "outcome", "text", "response"),
        *("finish_reason", "usage", "round"),
    ]
    assert found.results[0]["round"] == 2
    assert found.results[1] == {
        "id": "r0000002",
        "line": 2,
        "outcome": "refused",
        "round": 2,
    }


@pytest.mark.parametrize(
    "key", ['"007"', "4672", "123456789012345678901234567890", '"a\\u00e9\\n"', "1.50"]
)
def test_a_key_keeps_its_bytes(key: str) -> None:
    columns = {1: b'"key":%b,"columns":{"n": 1.0,  "big":1e400}' % key.encode()}

    found = collect(File.of(1, columns=columns), shard(answer(1)))

    assert found.data.startswith(
        b'{"id":"r0000001","line":1,"key":%b,"columns":{"n": 1.0,  "big":1e400},'
        b'"outcome":"ok",' % key.encode()
    )


def test_a_row_without_key_and_columns_beside_one_that_has_them() -> None:
    columns = {2: b'"columns":{"a":1}', 4: b'"key":"k"'}

    found = collect(File.of(4, columns=columns), shard(*map(answer, range(1, 5))))

    own = [(r.get("key"), r.get("columns")) for r in found.results]
    assert own == [(None, None), (None, {"a": 1}), (None, None), ("k", None)]


def test_the_sidecar_is_gone() -> None:
    def gone(start: int = 0, end: int | None = None) -> Iterator[bytes]:
        raise SourceGone("columns.jsonl")
        yield b""

    made = File.of(2).questions()
    questions = Questions(staging=made.staging, open_sidecar=gone)

    found = collect_from(questions, shard(answer(1), answer(2)))

    assert found.summary.columns_lost
    assert found.summary.rows.ok == 2


def test_refused_lines_have_results_with_their_errors_and_blank_ones_have_none() -> (
    None
):
    errors = [
        {
            "path": "request.contents",
            "code": "no_role",
            "message": "has no role",
            "fix": "write one",
        },
        {"path": "", "code": "other", "message": "is bad", "fix": ""},
    ]
    file = File(
        kinds=[S, R, B, R, R, S],
        refused={2: errors},
        report=[{"lines": [4, 5]}],
    )

    found = collect(file, shard(answer(1), answer(6)))

    assert found.outcomes == {
        1: "ok",
        2: "refused",
        4: "refused",
        5: "refused",
        6: "ok",
    }
    assert found.results[1]["error"] == {
        "status": "no_role",
        "message": "request.contents: has no role; write one (and 1 more)",
    }
    for result in found.results[2:4]:
        assert "only the first" in result["error"]["message"]
    rows = found.summary.rows
    assert (rows.total, rows.accepted, rows.refused, rows.ok) == (5, 2, 3, 2)


@pytest.mark.parametrize(
    "report",
    [
        b"",
        b"line;why\n2;role\n",
        b'\xff\n{"line":"2"}\n[]\nnull\n',
        b'{"x":' + b"[" * 5000,
    ],
)
def test_a_report_that_was_changed_explains_what_can_be_read_of_it(
    report: bytes,
) -> None:
    explained = b'{"line":3,"errors":[{"code":"no_role","message":"has no role"}]}\n'
    questions = File(kinds=[S, R, R, S]).questions()
    questions = replace(questions, open_report=opened(report + b"\n" + explained))
    written: list[bytes] = []

    collected(
        questions,
        [shard(answer(1))],
        write=written.append,
        write_stranger=written.append,
    )

    results = [json.loads(line) for line in b"".join(written).splitlines()]
    assert "error" not in results[1]
    assert results[2]["error"] == {"status": "no_role", "message": "has no role"}


def test_a_row_without_an_answer_is_missing_with_the_error_of_the_batch() -> None:
    file = File.of(3, error=Problem(code=8, message="out of quota"))

    found = collect(file, shard(answer(2)))

    assert found.outcomes == {1: "missing", 2: "ok", 3: "missing"}
    assert found.results[0]["error"] == {
        **{"code": 8, "status": "RESOURCE_EXHAUSTED", "message": "out of quota"}
    }
    assert "error" not in found.results[1]
    assert found.summary.rows.missing == 2


def test_a_batch_that_left_nothing_has_missing_rows_alone() -> None:
    found = collect(File.of(3, error=Problem(code="lost", message="it is gone")))

    assert found.outcomes == dict.fromkeys((1, 2, 3), "missing")
    assert found.results[0]["error"] == {"status": "lost", "message": "it is gone"}


def test_an_object_of_0_bytes_has_no_answers() -> None:
    found = collect(File.of(1), shard())

    assert found.outcomes == {1: "missing"}


def test_a_torn_last_line_is_a_stranger_and_its_row_is_missing() -> None:
    data = jsonl([answer(1), answer(2)])[:-40]

    found = collect(File.of(2), shard(data))

    assert found.outcomes == {1: "ok", 2: "missing"}
    (stranger,) = found.strangers
    assert (stranger["why"], stranger["object"], stranger["line"]) == (
        "unreadable",
        "predictions.jsonl",
        2,
    )
    assert stranger["answer"].startswith('{"status": "", "processed_time"')


def test_a_last_line_without_line_feed_counts() -> None:
    questions = File.of(1).questions()
    whole = shard()

    found = collect_from(questions, type(whole)("a.jsonl", True, opened(answer(1))))

    assert found.outcomes == {1: "ok"}


def test_a_line_of_30_mb_is_read() -> None:
    text = "x" * 30_000_000

    found = collect(File.of(2), shard(answer(1), answer(2, text)))

    assert len(found.results[1]["text"]) == 30_000_000


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (answer(9), "no_such_row"),
        (answer(2), "no_such_row"),
        (answer(None, key="somebody's"), "no_such_row"),
        (answer(None, key="r3"), "no_such_row"),
        (answer(None, key="r00000003"), "no_such_row"),
        (answer(None, key=3), "no_such_row"),
        (answer(None, key="r" + "9" * 40), "no_such_row"),
        (answer(None, request=...), "no_match"),
        (answer(None, request="of another file"), "no_match"),
        (b"[1]", "unreadable"),
        (b"42", "unreadable"),
        (b"not JSON", "unreadable"),
        (answer(3)[:-1], "unreadable"),
        (answer(3, "_").replace(b"_", b"\xff"), "unreadable"),
        (answer(3, "a_").replace(b"_", b"\xff"), "unreadable"),
        (answer(3, request="_").replace(b"_", b"\xff"), "unreadable"),
        (answer(3, "_").replace(b"_", b"\\ud800"), "unreadable"),
        (answer(3, nested=1).replace(b"1", b"[" * 5000 + b"]" * 5000), "unreadable"),
    ],
    ids=range(18),
)
def test_an_answer_that_belongs_to_no_row_is_a_stranger(line: bytes, why: str) -> None:
    file = File(kinds=[S, R, S])

    found = collect(file, shard(answer(1), line))

    assert [(each["why"], each["line"]) for each in found.strangers] == [(why, 2)]
    assert found.outcomes == {1: "ok", 2: "refused", 3: "missing"}
    assert found.summary.strangers == 1


def test_a_stranger_keeps_its_answer() -> None:
    text = b'{"key": "x", "n": 1.0}'

    found = collect(File.of(1), shard(text, b"caf\xe9"))

    assert found.strangers[0]["answer"] == json.loads(text)
    assert found.strangers[1]["answer"] == r"caf\xe9"


def test_an_answer_too_deep_to_be_read_is_a_stranger() -> None:
    deep = b"[" * 900 + b"]" * 900
    line = answer(1, deep=1).replace(b'"deep": 1', b'"deep": ' + deep)

    found = collect(File.of(1), shard(line))

    assert [each["why"] for each in found.strangers] in ([], ["unreadable"])
    assert found.outcomes[1] == ("missing" if found.strangers else "ok")


def test_the_response_is_there_only_where_the_text_does_not_say_all() -> None:
    grounded = response(groundingMetadata={"webSearchQueries": ["a"]})

    found = collect(File.of(2), shard(answer(1), answer(2, response=grounded)))

    assert ["response" in each for each in found.results] == [False, True]


@pytest.mark.parametrize("full", [False, True])
def test_a_response_keeps_its_bytes(full: bool) -> None:
    inner = b'{"candidates":[{"content":{"parts":[{"text":"a"},{"x" : 1.0}]}},{}]}'
    line = b'{"key":"r0000001","response":%b}' % inner

    found = collect(File.of(1), shard(line), full=full)

    assert b'"response":%b,' % inner in found.data
    assert found.results[0]["candidates"] == 2


def test_a_vector_is_in_the_response() -> None:
    predictions = [{"embeddings": {"values": [0.1], "statistics": {"token_count": 3}}}]
    line = {
        "instance": {"content": "a", "key": "r0000001"},
        "predictions": predictions,
        "status": "",
    }

    found = collect(File.of(1), shard(json.dumps(line).encode()))

    assert found.results[0]["response"] == {"predictions": predictions}
    assert found.summary.usage == Usage(prompt=3, total=3)


def test_a_feature_of_a_custom_model_is_no_id() -> None:
    line = {"instance": {"key": "r0000001"}, "prediction": 1}

    found = collect(File.of(1), shard(json.dumps(line).encode()))

    assert [each["why"] for each in found.strangers] == ["no_match"]


def test_results_are_written_in_pieces() -> None:
    file, written = File.of(40), []

    collected(
        file.questions(),
        [shard(*(answer(n, "x" * 100_000) for n in file.lines))],
        write=lambda data: written.append(len(data)),
        write_stranger=print,
    )

    assert sum(written) > 4_000_000
    assert max(written) < 1_200_000


def test_an_inline_answer_has_its_id_in_its_metadata() -> None:
    line = {"response": response(), "metadata": {"key": "r0000001"}}

    found = collect(File.of(1), shard(json.dumps(line).encode()))

    assert found.outcomes == {1: "ok"}


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ('{\n "a": 1.0,\r\n "b": 123456789012345678901234567890}', "ok"),
        ('{"a": 1', "malformed"),
        ("```json\n{}\n```", "malformed"),
        ("", "empty"),
    ],
)
def test_json_is_spliced_in_one_line(text: str, outcome: str) -> None:
    file = File(kinds=[S, J])

    found = collect(file, shard(answer(1, "{"), answer(2, text)))

    assert found.outcomes == {1: "ok", 2: outcome}
    if outcome == "ok":
        assert b'"json":{"a":1.0,"b":123456789012345678901234567890},' in found.data
        assert "text" not in found.results[1]


@pytest.mark.parametrize("kinds", [[S], [S, B]])
def test_a_file_of_which_all_rows_ask_for_json(kinds: list[Kind]) -> None:
    found = collect(File(kinds=kinds, json="all"), shard(answer(1, "[1]")))

    assert found.results[0]["json"] == [1]


def test_a_place_names_the_object_and_its_line() -> None:
    inputs = tuple(
        Input(uri=f"gs://in/{name}", generation=1, size=1, first=first)
        for name, first in (('a".jsonl', 1), ("b.jsonl", 3), ("not read", 0))
    )

    found = collect(File.of(4, inputs=inputs), shard())

    assert [each["place"] for each in found.results] == [
        *('gs://in/a".jsonl line 1', 'gs://in/a".jsonl line 2'),
        *("gs://in/b.jsonl line 1", "gs://in/b.jsonl line 2"),
    ]


def test_a_part_begins_with_a_later_line() -> None:
    refused: dict[int, list[Any]] = {5: [], 6: [], 1003: [{"code": "a"}]}
    file = File(first=1001, kinds=[S, B, R, S], refused=refused)

    found = collect(file, shard(answer(1004), answer(1001), answer(1)))

    assert found.outcomes == {1001: "ok", 1003: "refused", 1004: "ok"}
    assert found.results[1]["error"] == {"status": "a"}
    assert found.summary.strangers == 1


def test_every_thousandth_line_is_in_the_index() -> None:
    file = File.of(2500)

    found = collect(file, shard(*(answer(n, "ü" * (n % 7)) for n in file.lines)))

    offsets = found.summary.offsets
    assert [before for before, _ in offsets] == [0, 1000, 2000]
    for (_, at), line in zip(offsets, (1, 1001, 2001), strict=True):
        assert json.loads(found.data[at:].split(b"\n", 1)[0])["line"] == line


def test_tokens_are_added_up() -> None:
    thinking = response()
    thinking["usageMetadata"] |= {
        "cachedContentTokenCount": 5,
        "thoughtsTokenCount": 7,
        "totalTokenCount": 19,
    }

    found = collect(File.of(2), shard(answer(1), answer(2, response=thinking)))

    assert found.results[1]["usage"] == {
        **{"prompt": 8, "cached": 5, "output": 4, "thoughts": 7, "total": 19}
    }
    assert found.summary.usage == Usage(
        prompt=16, cached=5, output=8, thoughts=7, total=31
    )


@pytest.mark.parametrize("count", [2**31, 2**63 - 1, 10**30, 1e30])
def test_a_number_too_large_to_count_tokens_is_left_out(count: float) -> None:
    counting = response()
    counting["usageMetadata"] = {"promptTokenCount": count, "totalTokenCount": count}

    found = collect(File.of(2), shard(answer(1, response=counting), answer(2)))

    assert "usage" not in found.results[0]
    assert found.summary.usage.total == 12


def test_lines_that_are_not_as_many_as_staging_counted_do_not_add_up() -> None:
    made = File(kinds=[S, R]).questions()
    questions = Questions(
        staging=made.staging, open_lines=File(kinds=[S, S]).questions().open_lines
    )

    with pytest.raises(DoesNotAddUp):
        collect_from(questions)


def test_lines_that_change_while_they_are_read_do_not_add_up() -> None:
    made = File(kinds=[S, R]).questions()
    readings = iter([[S, R], [S]])

    def changing() -> Iterator[bytes]:
        runs = Runs()
        for kind in next(readings):
            runs.add(kind)
        yield runs.encoded()

    with pytest.raises(DoesNotAddUp):
        collect_from(Questions(staging=made.staging, open_lines=changing))


def test_a_failed_row_has_its_error_and_no_text() -> None:
    found = collect(File.of(1), shard(failed(1, message="Please say more")))

    assert found.results[0]["error"] == {
        "code": 400,
        "status": "INVALID_ARGUMENT",
        "message": "Please say more",
    }
    assert "text" not in found.results[0]
    assert TEXT not in found.data.decode()
