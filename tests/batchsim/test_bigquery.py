"""Vertex jobs from tables and into tables, on a BigQuery emulator."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery as bq

from tests.batchsim.drive import Vertex, answer_text, row, rows

PROJECT = "my-project"


class Dataset:
    """A dataset for one test."""

    def __init__(self, client: bq.Client, name: str) -> None:
        self.client = client
        self.name = name
        client.create_dataset(name)

    def table(self, columns: dict[str, str], lines: list[dict[str, Any]]) -> str:
        """Creates a table; returns its URI."""
        schema = [
            bq.SchemaField(name, kind.removesuffix("[]"), mode="REPEATED")
            if kind.endswith("[]")
            else bq.SchemaField(name, kind)
            for name, kind in columns.items()
        ]
        table = f"{PROJECT}.{self.name}.prompts"
        self.client.create_table(bq.Table(table, schema=schema))
        if lines:
            assert self.client.insert_rows_json(table, lines) == []
        return f"bq://{table}"

    def rows(self, info: dict[str, str]) -> list[dict[str, Any]]:
        """The rows of a job's output table."""
        dataset = info["bigqueryOutputDataset"].removeprefix("bq://")
        table = self.client.get_table(f"{dataset}.{info['bigqueryOutputTable']}")
        return [dict(line.items()) for line in self.client.list_rows(table)]


@pytest.fixture
def dataset(
    bigquery: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Dataset]:
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", bigquery)
    client = bq.Client(
        project=PROJECT,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": bigquery},
    )
    yield Dataset(client, f"d{abs(hash(request.node.name))}")
    client.close()


def source(uri: str) -> dict[str, Any]:
    return {"instancesFormat": "bigquery", "bigquerySource": {"inputUri": uri}}


def destination(uri: str) -> dict[str, Any]:
    destination = {"outputUri": uri}
    return {"predictionsFormat": "bigquery", "bigqueryDestination": destination}


COLUMNS = {
    "id": "STRING",
    "rank": "INTEGER",
    "share": "FLOAT",
    "seen": "TIMESTAMP",
    "day": "DATE",
    "price": "NUMERIC",
    "request": "JSON",
}
LINE = {
    "id": "000017",
    "rank": 3,
    "share": 0.5,
    "seen": "2026-01-02T03:04:05Z",
    "day": "2026-01-02",
    "price": "1.25",
    "request": json.dumps(row("from a table")["request"]),
}


def test_a_table_is_answered_in_a_table_and_other_columns_are_kept(
    vertex: Vertex, dataset: Dataset
) -> None:
    table = dataset.table(COLUMNS, [LINE])
    output = f"bq://{PROJECT}.{dataset.name}.answers"

    job = vertex.run(inputConfig=source(table), outputConfig=destination(output))

    assert job["state"] == "JOB_STATE_SUCCEEDED", job
    assert job["completionStats"] == {"successfulCount": "1"}
    assert job["outputInfo"] == {
        "bigqueryOutputDataset": f"bq://{PROJECT}.{dataset.name}",
        "bigqueryOutputTable": "answers",
    }
    (given,) = dataset.rows(
        {
            "bigqueryOutputDataset": f"{PROJECT}.{dataset.name}",
            "bigqueryOutputTable": "prompts",
        }
    )
    (answer,) = dataset.rows(job["outputInfo"])
    assert {name: answer[name] for name in COLUMNS} == given
    assert answer_text(answer) == "from a table"
    assert answer["status"] == ""
    assert answer["processed_time"].tzinfo is not None


def test_requests_may_be_texts_and_failures_stand_in_status(
    vertex: Vertex, dataset: Dataset
) -> None:
    columns = {"id": "STRING", "request": "STRING"}
    bad = {"contents": [{"parts": [{"text": "no role"}]}]}
    lines = [
        {"id": "good", "request": json.dumps(row("fine")["request"])},
        {"id": "bad", "request": json.dumps(bad)},
    ]
    table = dataset.table(columns, lines)

    job = vertex.run(
        inputConfig=source(table),
        outputConfig=destination(f"bq://{PROJECT}.{dataset.name}"),
    )

    assert job["completionStats"] == {"successfulCount": "1", "failedCount": "1"}
    assert job["outputInfo"]["bigqueryOutputTable"].startswith("predictions_")
    answers = {one["id"]: one for one in dataset.rows(job["outputInfo"])}
    assert answer_text(answers["good"]) == "fine"
    assert answers["bad"]["status"].startswith("Bad Request: ")
    assert answers["bad"]["response"] is None
    assert json.loads(answers["bad"]["request"]) == bad


def test_a_table_can_be_answered_in_a_bucket_and_a_file_in_a_table(
    vertex: Vertex, dataset: Dataset
) -> None:
    columns = {"id": "STRING", "request": "JSON"}
    line = {"id": "a", "request": json.dumps(row("x")["request"])}
    table = dataset.table(columns, [line])

    into_bucket = vertex.run(inputConfig=source(table))
    output = f"bq://{PROJECT}.{dataset.name}.answers"
    into_table = vertex.run(rows(3), outputConfig=destination(output))

    (answer,) = vertex.bucket.answers(into_bucket)
    assert (answer["id"], answer_text(answer)) == ("a", "x")
    answers = dataset.rows(into_table["outputInfo"])
    assert {one["key"]: answer_text(one) for one in answers} == {
        "k0": "row 0",
        "k1": "row 1",
        "k2": "row 2",
    }


def test_a_file_whose_rows_differ_fills_one_table(
    vertex: Vertex, dataset: Dataset
) -> None:
    lines = [
        row("a", n="007", share=1),
        row("b", n="8", share=0.5, note="x", flag=True, tags=["t"]),
    ]

    job = vertex.run(
        lines, outputConfig=destination(f"bq://{PROJECT}.{dataset.name}.answers")
    )

    assert job["state"] == "JOB_STATE_SUCCEEDED", job
    one, two = sorted(dataset.rows(job["outputInfo"]), key=lambda line: line["n"])
    assert (one["n"], one["share"], one["note"], one["flag"]) == (7, 1.0, None, None)
    assert (two["n"], two["share"], two["note"], two["flag"]) == (8, 0.5, "x", True)
    assert two["tags"] == ["t"]


def test_claude_tables_keep_custom_id_and_request(
    vertex: Vertex, dataset: Dataset
) -> None:
    request = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 9}
    columns = {"custom_id": "STRING", "request": "JSON"}
    table = dataset.table(
        columns, [{"custom_id": "c1", "request": json.dumps(request)}]
    )

    job = vertex.run(
        model="publishers/anthropic/models/claude-sonnet-4",
        inputConfig=source(table),
        outputConfig=destination(f"bq://{PROJECT}.{dataset.name}.answers"),
    )

    (answer,) = dataset.rows(job["outputInfo"])
    assert set(answer) == {"custom_id", "request", "response", "status"}
    assert answer["custom_id"] == "c1"
    assert answer["response"]["content"] == [{"type": "text", "text": "Hello"}]


def test_open_model_tables_drop_method_and_url_and_gain_an_id(
    vertex: Vertex, dataset: Dataset
) -> None:
    columns = {
        "custom_id": "STRING",
        "method": "STRING",
        "url": "STRING",
        "body": "JSON",
        "note": "STRING",
    }
    body = {"messages": [{"role": "user", "content": "Hello"}]}
    line = {
        "custom_id": "c1",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": json.dumps(body),
        "note": "kept",
    }
    table = dataset.table(columns, [line])

    job = vertex.run(
        model="publishers/meta/models/llama-4-scout-17b-16e-instruct-maas",
        inputConfig=source(table),
        outputConfig=destination(f"bq://{PROJECT}.{dataset.name}.answers"),
    )

    (answer,) = dataset.rows(job["outputInfo"])
    assert set(answer) == {"custom_id", "body", "note", "response", "id"}
    assert answer["note"] == "kept"


@pytest.mark.parametrize(
    ("columns", "code", "named"),
    [
        ({"id": "STRING"}, 3, "no column `request`"),
        ({"request": "JSON", "tags": "STRING[]"}, 3, "column tags"),
        ({"request": "JSON", "at": "DATETIME"}, 3, "column at"),
        ({"request": "JSON", "status": "STRING"}, 3, "status is reserved"),
        ({"request": "JSON"}, 3, "has no rows"),
    ],
)
def test_a_table_that_can_not_be_used_fails_the_job(
    vertex: Vertex, dataset: Dataset, columns: dict[str, str], code: int, named: str
) -> None:
    table = dataset.table(columns, [])

    job = vertex.run(inputConfig=source(table))

    assert job["state"] == "JOB_STATE_FAILED"
    assert job["error"]["code"] == code
    assert named in job["error"]["message"]


def test_a_missing_input_and_an_existing_output_table_fail_the_job(
    vertex: Vertex, dataset: Dataset
) -> None:
    there = dataset.table({"request": "JSON"}, [])
    gone = f"bq://{PROJECT}.{dataset.name}.gone"

    no_input = vertex.run(inputConfig=source(gone))
    taken = vertex.run(rows(1), outputConfig=destination(there))
    nowhere = destination(f"bq://{PROJECT}.no_such_dataset.t")
    no_dataset = vertex.run(rows(1), outputConfig=nowhere)

    assert no_input["error"]["code"] == 9
    assert taken["error"]["code"] == 6
    assert no_dataset["error"]["code"] == 9


def test_without_an_emulator_the_job_fails_with_advice(
    vertex: Vertex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BIGQUERY_EMULATOR_HOST", raising=False)

    job = vertex.run(inputConfig=source("bq://p.d.t"))

    assert job["state"] == "JOB_STATE_FAILED"
    assert "BIGQUERY_EMULATOR_HOST" in job["error"]["message"]
