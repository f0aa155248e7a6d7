"""The BigQuery schema of a result line, held to the lines that are written."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import batchdrop.results
from batchdrop.jobs.values import Input, Problem
from batchdrop.results.lines import Kind
from tests.results.made import File, answer, collect, failed, response, shard

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA: list[dict[str, Any]] = json.loads(
    (DOCS / "reference/result-schema.json").read_text()
)
TYPES: dict[str, type | tuple[type, ...]] = {
    "STRING": str,
    "INTEGER": int,
    "JSON": (str, int, float, bool, list, dict, type(None)),
}


def misfits(fields: list[dict[str, Any]], value: dict[str, Any]) -> Iterator[str]:
    """What of a value a table with these fields would refuse."""
    known = {each["name"]: each for each in fields}
    yield from (f"{name} is unknown" for name in value if name not in known)
    for name, each in known.items():
        if name not in value:
            if each.get("mode") == "REQUIRED":
                yield f"{name} is missing"
        elif each["type"] == "RECORD":
            yield from misfits(each["fields"], value[name])
        elif not isinstance(value[name], TYPES[each["type"]]):
            yield f"{name} is {value[name]!r}"


def lines() -> list[dict[str, Any]]:
    """Results of every kind: each member is in one of them."""
    call = {"functionCall": {"name": "f", "args": {"x": 1.5}}}
    usage = {"promptTokenCount": 1, "cachedContentTokenCount": 1, "totalTokenCount": 1}
    answers = [
        answer(1),
        answer(2, '{"a": [1, 2.50, null]}'),
        failed(3),
        failed(4, 503, ""),
        answer(5, response=response(content={"parts": [call]})),
        answer(6, response={"promptFeedback": {"blockReason": "SAFETY"}}),
        answer(7, response=response(finishReason="MAX_TOKENS")),
        answer(
            8, response=response() | {"candidates": [response()["candidates"][0]] * 2}
        ),
        answer(9, response={"candidates": [], "usageMetadata": usage}),
        answer(10, response=..., predictions=[{"embeddings": {"values": [0.5, -1]}}]),
        answer(11, response=response(finishReason="NEW_WORD")),
        answer(12, "no JSON"),
    ]
    kinds = [Kind.STAGED] * 13 + [Kind.REFUSED, Kind.BLANK, Kind.STAGED]
    kinds[1] = kinds[11] = Kind.STAGED_JSON
    inputs = tuple(
        Input(uri=f"gs://in/{n}.jsonl", generation=1, size=1, first=first)
        for n, first in (("a", 1), ("b", 5))
    )
    file = File(
        kinds=kinds,
        json="some",
        columns={
            1: b'"key":"007","columns":{"a":{"b":[1]}}',
            2: b'"key":4672',
            3: b'"key":1.5e3',
        },
        refused={14: [{"path": "contents", "code": "no_role", "message": "no role"}]},
        inputs=inputs,
        error=Problem(code=8, message="cancelled"),
    )
    return collect(file, shard(*answers), full=False).results


def test_every_result_fits_the_schema() -> None:
    found = lines()

    assert [list(misfits(SCHEMA, line)) for line in found] == [[]] * len(found)
    outcomes = {line["outcome"] for line in found}
    assert outcomes == {
        *("ok", "malformed", "truncated", "blocked", "empty", "unclear"),
        *("failed", "missing", "refused"),
    }


def test_each_column_of_the_schema_is_a_member_of_a_result() -> None:
    found = lines()
    written = {name for line in found for name in line}
    errors = {name for line in found for name in line.get("error", {})}
    used = {name for line in found for name in line.get("usage", {})}

    nested = {each["name"]: each.get("fields", []) for each in SCHEMA}
    assert set(nested) == written
    assert {each["name"] for each in nested["error"]} == errors
    assert {each["name"] for each in nested["usage"]} == used


def test_the_members_come_in_the_order_of_the_columns() -> None:
    columns = [each["name"] for each in SCHEMA]

    for line in lines():
        assert list(line) == [name for name in columns if name in line]


def test_the_code_writes_no_member_that_the_schema_lacks() -> None:
    """Members are spliced from literals such as `"outcome":`, at all their places."""
    folder = Path(batchdrop.results.__file__).parent
    found = {
        name
        for file in ("writing.py", "judging.py", "questions.py")
        for name in re.findall(r'"([a-z_]+)":', (folder / file).read_text())
    }
    fields = {each["name"] for each in SCHEMA}
    nested = {one["name"] for each in SCHEMA for one in each.get("fields", [])}

    assert {"outcome", "line", "round", "usage", "error"} <= found
    assert found <= fields | nested


def test_the_page_of_the_result_line_lists_the_same_members() -> None:
    page = (DOCS / "reference/result-line.md").read_text()
    members = page.partition("| member |")[2].partition("\n\n")[0]

    listed = re.findall(r"^\| `(\w+)` \|", members, re.MULTILINE)
    assert listed == [each["name"] for each in SCHEMA]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"outcome": None}, "outcome is None"),
        ({"colour": "red"}, "colour is unknown"),
        ({"usage": {"prompt": "1"}}, "prompt is '1'"),
        ({"error": {"reason": "x"}}, "reason is unknown"),
    ],
)
def test_a_line_of_another_shape_does_not_fit(
    change: dict[str, Any], expected: str
) -> None:
    assert expected in list(misfits(SCHEMA, lines()[0] | change))
