"""Results as JSONL, CSV and Parquet: their columns, and the types of these."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from batchdrop.cli.result_columns import MOST_OWN, Survey, all_columns, named
from batchdrop.cli.result_formats import (
    GROUP_ROWS,
    Csv,
    Format,
    JsonLines,
    Parquet,
)

OK = {
    "id": "r0000001",
    "line": 1,
    "key": "007",
    "columns": {"region": "eu"},
    "outcome": "ok",
    "text": 'He said "42",\nand left.',
    "usage": {"prompt": 8, "cached": 0, "output": 4, "thoughts": 0, "total": 12},
    "round": 0,
}
FAILED = {
    "id": "r0000002",
    "line": 2,
    "outcome": "failed",
    "error": {"code": 503, "status": "UNAVAILABLE", "message": "later"},
    "round": 0,
}


def written(
    format: type[Csv | Parquet | JsonLines],
    lines: Sequence[dict[str, Any] | str],
    names: Sequence[str] = (),
) -> bytes:
    """What a command writes of these results."""
    texts = [one if isinstance(one, str) else json.dumps(one) for one in lines]
    survey, out = Survey(), io.BytesIO()
    for text in texts:
        survey.add(text.encode())
    columns = list(map(named, names)) if names else all_columns(survey.kinds)
    to: Format = format(out.write, list(map(survey.typed, columns)))
    for text in texts:
        to.add(text.encode())
    to.close()
    return out.getvalue()


def table(lines: Sequence[dict[str, Any] | str], *names: str) -> pyarrow.Table:
    return pyarrow.parquet.read_table(io.BytesIO(written(Parquet, lines, names)))


def rows(text: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.decode(), newline="")))


def own(*values: str) -> list[str]:
    """Results whose column `x` has these values, as they are written in JSON."""
    return [
        f'{{"id":"r{n:07d}","line":{n},"columns":{{"x":{value}}},"outcome":"ok"}}'
        for n, value in enumerate(values, 1)
    ]


def test_csv_has_the_users_columns_beside_those_of_every_result() -> None:
    text = written(Csv, [OK, FAILED])

    first, second = rows(text)
    assert " ".join(first) == (
        "id line place key region outcome text json response error_code error_status "
        "error_message finish_reason candidates usage_prompt usage_cached usage_output "
        "usage_thoughts usage_total round"
    )
    assert (first["key"], first["region"], first["text"]) == ("007", "eu", OK["text"])
    assert (first["error_code"], first["usage_total"]) == ("", "12")
    assert (second["outcome"], second["error_code"]) == ("failed", "503")
    assert (second["key"], second["text"], second["region"]) == ("", "", "")


def test_csv_is_what_rfc_4180_says() -> None:
    text = written(Csv, [OK, FAILED], ["id", "text"])

    assert text == (
        b'id,text\r\nr0000001,"He said ""42"",\nand left."\r\nr0000002,\r\n'
    )


def test_a_column_may_be_one_of_the_results_or_of_the_users_own() -> None:
    clash = OK | {"columns": {"text": "mine", "a,b": 1}}

    (found,) = rows(written(Csv, [clash], ["columns.text", "text", "a,b", "usage"]))

    assert found["columns.text"] == "mine"
    assert found["text"] == OK["text"]
    assert found["a,b"] == "1"
    assert json.loads(found["usage"]) == OK["usage"]


def test_a_column_of_the_users_with_a_results_name_does_not_replace_it() -> None:
    (found,) = rows(written(Csv, [OK | {"columns": {"text": "mine"}}]))

    assert (found["text"], found["columns.text"]) == (OK["text"], "mine")


def test_numbers_and_json_are_cells_as_they_were_written() -> None:
    texts = own("123456789012345678901234567890", "1.50", '{"a": [1]}', "true", "null")

    assert [row["x"] for row in rows(written(Csv, texts))] == [
        "123456789012345678901234567890",
        "1.50",
        '{"a": [1]}',
        "true",
        "",
    ]


def test_jsonl_has_of_each_result_the_members_that_are_named() -> None:
    text = written(JsonLines, [OK, FAILED], ["key", "region", "error_code"])

    assert text == b'{"key":"007","region":"eu"}\n{"error_code":503}\n'


@pytest.mark.parametrize(
    ("values", "type", "expected"),
    [
        (["1", "2"], pyarrow.int64(), [1, 2]),
        (["1", "2.5"], pyarrow.float64(), [1.0, 2.5]),
        (["9007199254740993", "1"], pyarrow.int64(), [9007199254740993, 1]),
        # A double would be another number.
        (
            ["9007199254740993", "2.5"],
            pyarrow.string(),
            ["9007199254740993", "2.5"],
        ),
        (["18446744073709551616"], pyarrow.string(), ["18446744073709551616"]),
        (["1e400"], pyarrow.string(), ["1e400"]),
        (["true", "null"], pyarrow.bool_(), [True, None]),
        (['"007"', '"8"'], pyarrow.string(), ["007", "8"]),
        (['"007"', "8"], pyarrow.string(), ["007", "8"]),
        (["[1, 2]", '{"a":1}'], pyarrow.string(), ["[1, 2]", '{"a":1}']),
        (["null"], pyarrow.string(), [None]),
    ],
)
def test_a_column_of_parquet_has_the_type_of_all_its_values(
    values: list[str], type: pyarrow.DataType, expected: list[Any]
) -> None:
    found = table(own(*values))

    assert found.schema.field("x").type == type
    assert found.column("x").to_pylist() == expected


def test_parquet_has_the_types_of_a_results_members() -> None:
    found = table([OK, FAILED])

    types = {each.name: str(each.type) for each in found.schema}
    whole = {name for name, type in types.items() if type == "int64"}
    assert {name for name in whole if not name.startswith("usage_")} == {
        "line",
        "error_code",
        "candidates",
        "round",
    }
    assert {name for name in types if name.startswith("usage_")} < whole
    assert {types[name] for name in types.keys() - whole} == {"string"}
    assert found.column("error_code").to_pylist() == [None, 503]
    assert found.column("text").to_pylist() == [OK["text"], None]


def test_json_of_an_answer_stays_json() -> None:
    answers = [OK | {"json": value} for value in ({"a": 1.5}, "yes", [True], None)]

    found = table(answers, "json")

    assert list(map(json.loads, found.column("json").to_pylist())) == [
        {"a": 1.5},
        "yes",
        [True],
        None,
    ]


def test_parquet_without_rows_has_its_columns() -> None:
    found = table([])

    assert (found.num_rows, "error_code" in found.column_names) == (0, True)


def test_many_rows_are_several_groups() -> None:
    one = json.dumps(FAILED)

    text = written(Parquet, [one] * (GROUP_ROWS + 1), ["line"])

    file = pyarrow.parquet.ParquetFile(io.BytesIO(text))
    assert file.metadata.num_row_groups == 2
    assert file.metadata.num_rows == GROUP_ROWS + 1


def test_more_columns_than_a_table_has_are_named_by_a_person() -> None:
    columns = {f"c{n}": n for n in range(MOST_OWN + 1)}

    with pytest.raises(ValueError, match="with --columns"):
        Survey().add(json.dumps(OK | {"columns": columns}).encode())
