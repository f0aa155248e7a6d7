"""The rows of an ended job, from wherever they are."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from msgspec.structs import replace

from batchdrop import Client
from batchdrop.batches import (
    BatchJob,
    ClientError,
    JobError,
    JobState,
    MissingExtra,
    NoResults,
    OutputInfo,
    ResultRow,
)
from batchdrop.batches.answer_lines import row_of
from tests.client.buckets import Bucket
from tests.client.datasets import Dataset
from tests.there import there


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(
        vertexai=True, project="p", location="l", credentials=AnonymousCredentials()
    ) as client:
        yield client


def finished(**output: str) -> BatchJob:
    return BatchJob(
        name="projects/1/locations/l/batchPredictionJobs/7",
        state=JobState.SUCCEEDED,
        output_info=OutputInfo(**output),
    )


def line(**row: object) -> bytes:
    return json.dumps(row).encode() + b"\n"


# One row.


@pytest.mark.parametrize(
    ("raw", "row"),
    [
        (
            {"key": "a", "status": "", "response": {"candidates": []}},
            ResultRow(key="a", response={"candidates": []}),
        ),
        ({"custom_id": 7, "response": {"a": 1}}, ResultRow(key="7", response={"a": 1})),
        (
            {"metadata": {"key": "m"}, "response": {"a": 1}},
            ResultRow(key="m", response={"a": 1}, metadata={"key": "m"}),
        ),
        ({"response": {}, "status": ""}, ResultRow()),
        ({"response": '{"a": 1}', "status": None}, ResultRow(response={"a": 1})),
        (
            {"predictions": [1], "instance": {"content": "x"}, "status": ""},
            ResultRow(response={"predictions": [1]}),
        ),
        ({}, ResultRow()),
    ],
)
def test_an_answered_row_is_read(raw: dict[str, Any], row: ResultRow) -> None:
    read = row_of(raw)

    assert (read.key, read.response, read.error, read.metadata) == (
        row.key,
        row.response,
        None,
        row.metadata,
    )
    assert read.raw == raw


@pytest.mark.parametrize(
    ("raw", "code", "message"),
    [
        (
            {
                "status": 'Bad Request: {"error": {"code": 400, '
                '"message": "Please use a valid role", "status": "INVALID_ARGUMENT"}}',
                "response": {},
            },
            400,
            "Please use a valid role",
        ),
        ({"status": "Internal error occurred."}, None, "Internal error occurred."),
        ({"status": "it broke: {not json}"}, None, "it broke: {not json}"),
        ({"error": {"code": 3, "message": "no"}}, 3, "no"),
        ({"error": "no"}, None, "no"),
        ({"status": {"code": 8, "message": "later"}}, 8, "later"),
    ],
)
def test_a_row_that_was_not_answered_has_its_error(
    raw: dict[str, Any], code: int | None, message: str
) -> None:
    read = row_of({"key": "k", **raw})

    assert read.response is None
    error = there(read.error)
    assert (error.code, error.message) == (code, message)


def test_columns_beside_a_request_are_restored_without_replacing_the_answer() -> None:
    own = json.dumps({"key": "007", "team": 3, "response": "mine", "status": "mine"})
    sent = {"key": "request-1", "batchdrop_own": own}

    read = row_of({**sent, "response": {"a": 1}, "status": ""})
    embedded = row_of({"instance": {"content": "a", **sent}, "predictions": [1]})

    assert (read.key, read.response, read.error) == ("007", {"a": 1}, None)
    assert read.raw == {"key": "007", "team": 3, "response": {"a": 1}, "status": ""}
    assert (embedded.key, embedded.raw["team"]) == ("007", 3)


# A directory.


def test_every_shard_is_read_and_no_answer_is_dropped(
    client: Client, bucket: Bucket
) -> None:
    one, none = line(key="1", response={"n": 1}), line(response={})
    bucket.put("o/a-00001.jsonl", one + none + one + none)
    bucket.put("o/deep/b.jsonl", line(key="1", response={"n": 2}) + line(key="2") + one)
    bucket.put("o/notes.txt", b"not rows")
    bucket.put("other/c.jsonl", line(key="3"))

    rows = list(client.batches.results(finished(gcs_output_directory=bucket.uri("o"))))

    # The same line again is the same answer; another one under the same key isn't.
    assert [row.key for row in rows] == ["1", None, None, "1", "2"]
    assert [row.response for row in rows if row.key == "1"] == [{"n": 1}, {"n": 2}]


def test_two_answers_under_one_key_in_the_final_file_are_both_read(
    client: Client, bucket: Bucket
) -> None:
    answers = [line(key="7", response={"n": n}) for n in (1, 2)]
    bucket.put("o/predictions.jsonl", b"".join(answers))

    rows = list(client.batches.results(finished(gcs_output_directory=bucket.uri("o"))))

    assert [row.response for row in rows] == [{"n": 1}, {"n": 2}]


def test_beside_the_final_file_a_shard_adds_only_keys_that_are_missing(
    client: Client, bucket: Bucket
) -> None:
    bucket.put(
        "o/incremental_predictions/0.jsonl",
        line(key="1", response={"n": 0}) + line(response={"n": 0}) + line(key="9"),
    )
    bucket.put("o/predictions.jsonl", line(key="1") + line(response={"n": 1}))

    rows = list(client.batches.results(finished(gcs_output_directory=bucket.uri("o"))))

    assert [(row.key, row.response) for row in rows] == [
        ("1", None),
        (None, {"n": 1}),
        ("9", None),
    ]


def failed(job: BatchJob) -> BatchJob:
    """The same job after a failed export: it names an output that doesn't exist."""
    return replace(
        job,
        state=JobState.FAILED,
        error=JobError(code=7, message="no storage.objects.create access"),
    )


@pytest.mark.parametrize("content", [None, b"", b"\n \n"], ids=["none", "0", "blank"])
def test_a_directory_without_rows_is_an_error_with_the_reason(
    client: Client, bucket: Bucket, content: bytes | None
) -> None:
    if content is not None:
        bucket.put("o/predictions.jsonl", content)
    bucket.put("o/notes.txt", b"not rows")
    job = finished(gcs_output_directory=bucket.uri("o"))

    with pytest.raises(NoResults, match="/o: the API gives no reason"):
        client.batches.results(job)
    with pytest.raises(NoResults, match=r"FAILED .*: no storage\.objects\.create") as e:
        client.batches.results(failed(job))

    assert e.value.job.state is JobState.FAILED


def test_the_shards_of_a_custom_model_are_read(client: Client, bucket: Bucket) -> None:
    """Vertex names them without an ending; its errors_stats are rows that failed."""
    for shard in range(2):
        row = line(instance={"key": "same", "x": shard}, prediction=[shard])
        bucket.put(f"o/prediction.results-0000{shard}-of-00002", row)
    row = line(instance={"x": 2}, error={"code": 3, "message": "no"})
    bucket.put("o/prediction.errors_stats-00000-of-00001", row)
    bucket.put("o/prediction.results-00000-of-00001.csv", b"not,rows")

    rows = list(client.batches.results(finished(gcs_output_directory=bucket.uri("o"))))

    answered = [row.response for row in rows if row.response]
    assert answered == [{"prediction": [0]}, {"prediction": [1]}]
    assert [row.error.message for row in rows if row.error] == ["no"]


def test_the_keys_of_text_embeddings_are_found_in_their_instances(
    client: Client, bucket: Bucket
) -> None:
    lines = [
        line(instance={"content": "x", "key": "a"}, predictions=[1], status=""),
        line(instance={"content": "y", "custom_id": 7}, predictions=[2], status=""),
        line(instance='{"content": "z", "key": "c"}', predictions=[3], status=""),
        line(instance={"content": "no key"}, predictions=[4], status=""),
    ]
    bucket.put("o/predictions.jsonl", b"".join(lines))

    rows = client.batches.results(finished(gcs_output_directory=bucket.uri("o")))

    assert [row.key for row in rows] == ["a", "7", "c", None]


def test_a_large_file_is_streamed_to_asyncio(client: Client, bucket: Bucket) -> None:
    content = b"".join(line(key=str(n), response={"n": n}) for n in range(1000))
    bucket.put("o/predictions.jsonl", content)
    job = finished(gcs_output_directory=bucket.uri("o"))

    async def run() -> list[str | None]:
        return [row.key async for row in client.aio.batches.results(job)]

    assert asyncio.run(run()) == [str(n) for n in range(1000)]


def test_a_directory_that_cannot_be_read_is_an_error_with_its_address(
    client: Client, bucket: Bucket
) -> None:
    job = finished(gcs_output_directory="gs://no-such-bucket-here/o")

    with pytest.raises(ClientError) as caught:
        list(client.batches.results(job))

    assert caught.value.code == 404
    assert "gs://no-such-bucket-here/o" in str(caught.value)


def test_an_output_directory_is_read_without_its_job(
    client: Client, bucket: Bucket
) -> None:
    answer = {"candidates": [{"content": {"parts": [{"text": "hi"}]}}]}
    folder = "o/prediction-model-2026-11-28T20:05:10.888299Z"
    bucket.put(f"{folder}/predictions.jsonl", line(key="a", response=answer))
    bucket.put("other/predictions.jsonl", line(key="b", response=answer))

    async def awaited() -> list[str | None]:
        return [row.text async for row in client.aio.batches.results(bucket.uri("o"))]

    for directory in ("o", "o/", folder):
        (row,) = client.batches.results(bucket.uri(directory))
        assert (row.key, row.text) == ("a", "hi")
    assert asyncio.run(awaited()) == ["hi"]


def test_objects_of_a_destination_that_are_no_answers_are_passed_over(
    client: Client, bucket: Bucket
) -> None:
    bucket.put("results/o/staging/requests.jsonl", line(request={"contents": []}))
    bucket.put("results/o/results.jsonl", line(id="r0000001", outcome="ok"))
    bucket.put("results/o/results.2.jsonl", line(id="r0000001", outcome="ok"))
    bucket.put("results/o/results-1.jsonl", line(id="r0000001", outcome="ok"))
    bucket.put("results/o/strangers.jsonl", line(why="no such row"))

    with pytest.raises(NoResults, match="/results/o/ has no object with answers"):
        client.batches.results(bucket.uri("results/o/"))

    bucket.put("results/o/x/predictions.jsonl", line(key="a", response={"n": 1}))
    assert [row.key for row in client.batches.results(bucket.uri("results/o"))] == ["a"]


# A table.


@pytest.fixture
def dataset(bigquery: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dataset]:
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", bigquery)
    with Dataset(bigquery) as dataset:
        yield dataset


COLUMNS = {
    "custom_id": "STRING",
    "request": "JSON",
    "response": "JSON",
    "status": "STRING",
}


def test_the_rows_of_a_table_are_read(client: Client, dataset: Dataset) -> None:
    answered = json.dumps({"candidates": [{"content": {"parts": [{"text": "hi"}]}}]})
    refused = 'Bad: {"error": {"code": 400, "message": "no"}}'
    table = dataset.table(
        "predictions_1",
        COLUMNS,
        [
            {"custom_id": "a", "request": "{}", "response": answered, "status": ""},
            {"custom_id": "b", "request": "{}", "status": refused},
        ],
    )
    outputs = (
        {
            "bigquery_output_dataset": f"bq://{dataset.full_name}",
            "bigquery_output_table": "predictions_1",
        },
        {"bigquery_output_table": f"bq://{table}"},
    )

    for output in outputs:
        read = client.batches.results(finished(**output))
        rows = {row.key: row for row in read}

        assert rows.keys() == {"a", "b"}
        assert rows["a"].text == "hi"
        assert rows["a"].raw["request"] == {}
        error = there(rows["b"].error)
        assert (error.code, error.message) == (400, "no")


def test_a_missing_table_is_an_error_with_its_address(
    client: Client, dataset: Dataset
) -> None:
    uri = f"bq://{dataset.full_name}.gone"

    with pytest.raises(ClientError, match="gone") as caught:
        list(client.batches.results(finished(bigquery_output_table=uri)))

    assert caught.value.code == 404
    assert uri in str(caught.value)
    job = finished(bigquery_output_table=uri)
    with pytest.raises(NoResults, match=r"no storage\.objects\.create"):
        client.batches.results(failed(job))


def test_a_table_without_a_row_is_an_error(client: Client, dataset: Dataset) -> None:
    table = dataset.table("predictions_2", COLUMNS, [])

    with pytest.raises(NoResults, match="left no rows in"):
        client.batches.results(finished(bigquery_output_table=f"bq://{table}"))


# Missing packages.


def test_a_missing_package_is_named_with_its_extra(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "google.cloud.bigquery", None)

    with pytest.raises(MissingExtra, match=r"pip install 'batchdrop\[bigquery\]'"):
        list(client.batches.results(finished(bigquery_output_table="bq://p.d.t")))
