"""Vertex imports a file as BigQuery would, and one bad row fails the job."""

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from batchsim import BatchSim
from batchsim.jobs import JobFailed
from batchsim.storage import Buckets
from tests.batchsim.drive import Bucket, Vertex, row, rows


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {"x": 1}
    for _ in range(depth):
        value = {"x": value}
    return value


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ([row(n=1), row(n="one")], "Row 2: n is a string, but a number"),
        ([row(n="one"), row(n=["one"])], "Repeated field must be imported"),
        ([row(n=["one"]), row(n="one")], "Repeated field must be imported"),
        ([row(n=[1, "one"])], "Row 1: n is a string, but a number"),
        ([row(n=True), row(n=1)], "Row 2: n is a number, but a boolean"),
        ([row(n={"a": {}})], "Cannot store struct n.a with no fields"),
        ([row(n={"a": 1}), row(n="text")], "Row 2: n is a string, but an object"),
        ([row(n={"tools": [{"google_search": {}}]})], "Cannot store struct"),
        ([row(n=None)], "Row 1: n: null isn't allowed"),
        ([row(n=[None])], "Row 1: n: null isn't allowed"),
        ([row(n=[[1]])], "a list can't hold lists"),
        ([row(n={"$defs": 1})], "n.$defs: '$defs' can't be a field name"),
        ([row(n={"with space": 1})], "'with space' can't be a field name"),
        ([row(n={"1st": 1})], "'1st' can't be a field name"),
        ([row(n={"_Partition_x": 1})], "'_Partition_x' can't be a field name"),
        ([row(n={"a": 1}), row(n={"A": 1})], "Row 2: n.A: another field has this"),
        ([row(n={"timeRangeFilter": None}), row(n=None)], "Row 2: n: null isn't"),
        ([row(n=nested(15))], "objects nest more than 15 deep"),
        ([{"key": "k"}], "Row 1 has no `request`"),
    ],
)
def test_a_file_that_breaks_a_rule_fails_the_job_with_code_3_and_no_rows(
    vertex: Vertex, lines: list[Any], named: str
) -> None:
    job = vertex.run(lines)

    assert job["state"] == "JOB_STATE_FAILED"
    assert job["error"]["code"] == 3
    assert job["error"]["message"].startswith("Failed to import data. Please check")
    assert named in job["error"]["message"]
    assert "outputInfo" not in job
    assert "completionStats" not in job
    assert vertex.bucket.names("out/") == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("not json\n", "Row 1 is not JSON"),
        (json.dumps(rows(2)), "Row 1 is not a JSON object"),
        ("\n\n", "has no rows"),
    ],
)
def test_a_file_that_is_not_jsonl_fails_the_job_with_code_3(
    vertex: Vertex, text: str, named: str
) -> None:
    job = vertex.run(text)

    assert job["error"]["code"] == 3
    assert named in job["error"]["message"]


def test_a_file_that_keeps_the_rules_is_run(vertex: Vertex) -> None:
    lines = [
        row(n=1, deep=nested(14), tags=[]),
        row(n=1.5, tags=["a"], only_here=True),
        row(n=2),
    ]

    job = vertex.run(lines)

    assert job["state"] == "JOB_STATE_SUCCEEDED"
    assert job["completionStats"] == {"successfulCount": "3"}


def test_a_key_column_that_looks_numeric_in_every_row_comes_back_as_numbers(
    vertex: Vertex,
) -> None:
    lines = [row(key="000000", id="000000"), row(key="000017", id="x1")]

    job = vertex.run(lines)

    keys = [(line["key"], line["id"]) for line in vertex.bucket.answers(job)]
    assert sorted(keys) == [(0, "000000"), (17, "x1")]


def test_a_job_of_more_rows_than_the_limit_fails(vertex: Vertex) -> None:
    vertex.sim.settings.limits.vertex_rows = 3

    job = vertex.run(rows(4))

    assert job["error"]["code"] == 3
    assert "4 rows; the limit is 3" in job["error"]["message"]


def test_a_file_over_the_size_limit_fails_the_job(vertex: Vertex) -> None:
    vertex.sim.settings.limits.vertex_file_bytes = 10

    job = vertex.run(rows(1))

    assert job["error"]["code"] == 3
    assert "the limit is 10" in job["error"]["message"]


def test_a_missing_output_bucket_fails_the_job_with_code_9(
    vertex: Vertex,
) -> None:
    destination = {"outputUriPrefix": "gs://no-such-bucket/out"}
    config = {"predictionsFormat": "jsonl", "gcsDestination": destination}

    job = vertex.run(rows(1), outputConfig=config)

    assert job["error"]["code"] == 9
    assert job["error"]["message"].startswith(
        "Failed to get GCS bucket location for no-such-bucket"
    )


class Forbidden(BaseHTTPRequestHandler):
    """A Cloud Storage that refuses every request."""

    def do_GET(self) -> None:
        self.send_response(403)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def closed_storage() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Forbidden) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_bucket_that_may_not_be_read_fails_the_job_with_code_7(
    bucket: Bucket, closed_storage: str
) -> None:
    with BatchSim(speed=0, storage=closed_storage) as sim:
        job = Vertex(sim, bucket).run()

    assert job["state"] == "JOB_STATE_FAILED"
    assert job["error"]["code"] == 7
    assert "Permission denied" in job["error"]["message"]


def test_a_storage_that_does_not_answer_fails_the_job_soon(bucket: Bucket) -> None:
    with BatchSim(speed=0, storage="http://127.0.0.1:9") as sim:
        job = Vertex(sim, bucket).run()

    assert job["state"] == "JOB_STATE_FAILED"
    assert job["error"]["code"] == 13
    assert f"gs://{bucket.name}" in job["error"]["message"]


def test_a_missing_input_object_fails_the_job_without_rows(
    vertex: Vertex,
) -> None:
    job = vertex.run()

    assert job["state"] == "JOB_STATE_FAILED"
    assert job["error"]["code"] == 9
    assert "in.jsonl" in job["error"]["message"]
    assert "startTime" not in job
    assert "outputInfo" not in job


def test_the_input_is_read_when_the_job_starts_and_not_when_it_is_made(
    vertex: Vertex,
) -> None:
    name = vertex.create([row("before")])["name"]
    vertex.bucket.put([row("after")])
    vertex.sim.clock.advance(2)
    vertex.bucket.put([row("too late")])
    vertex.sim.clock.advance(minutes=1)

    (line,) = vertex.bucket.answers(vertex.get(name))
    assert line["request"] == row("after")["request"]


def test_several_objects_and_wildcards_make_one_job(vertex: Vertex) -> None:
    bucket = vertex.bucket
    for name in ("a/1.jsonl", "a/2.jsonl", "a/3.txt", "b/3.jsonl"):
        bucket.put([row(name, key=name)], name)
    uris = [f"gs://{bucket.name}/a/*.jsonl", f"gs://{bucket.name}/b/3.jsonl"]

    job = vertex.run(
        inputConfig={"instancesFormat": "jsonl", "gcsSource": {"uris": uris}}
    )

    keys = sorted(line["key"] for line in bucket.answers(job))
    assert keys == ["a/1.jsonl", "a/2.jsonl", "b/3.jsonl"]


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("w/*.jsonl", ["w/1.jsonl", "w/2.jsonl"]),
        ("w/**.jsonl", ["w/1.jsonl", "w/2.jsonl", "w/in/1.jsonl"]),
        ("w/*/1.jsonl", ["w/in/1.jsonl"]),
        ("w/?.jsonl", ["w/1.jsonl", "w/2.jsonl"]),
        ("w/[2-9].jsonl", ["w/2.jsonl"]),
        ("w/x[1].json", ["w/x[1].json"]),
    ],
)
def test_wildcards_are_those_of_cloud_storage(
    vertex: Vertex, pattern: str, meant: list[str]
) -> None:
    bucket = vertex.bucket
    for name in ("w/1.jsonl", "w/2.jsonl", "w/in/1.jsonl", "w/x[1].json"):
        bucket.put([row(name)], name)

    found, missing = Buckets(bucket.url).expand([f"gs://{bucket.name}/{pattern}"])

    assert found == [f"gs://{bucket.name}/{name}" for name in meant]
    assert missing == []


def test_a_wildcard_that_matches_nothing_fails_the_job(vertex: Vertex) -> None:
    uris = [f"gs://{vertex.bucket.name}/nothing/*.jsonl"]

    job = vertex.run(
        inputConfig={"instancesFormat": "jsonl", "gcsSource": {"uris": uris}}
    )

    assert job["error"]["code"] == 9
    assert "nothing/*.jsonl" in job["error"]["message"]


def test_a_forbidden_object_and_a_missing_one_have_different_errors(
    closed_storage: str,
) -> None:
    with pytest.raises(JobFailed, match="Permission denied on gs://b/o") as caught:
        Buckets(closed_storage).fetch("gs://b/o", io.BytesIO())

    assert caught.value.status.code == 7


def test_one_unreadable_object_of_several_is_a_partial_failure(vertex: Vertex) -> None:
    there = vertex.bucket.put(rows(2))
    gone = f"gs://{vertex.bucket.name}/gone.jsonl"
    source = {"uris": [gone, there]}

    job = vertex.run(inputConfig={"instancesFormat": "jsonl", "gcsSource": source})

    assert job["state"] == "JOB_STATE_SUCCEEDED"
    (failure,) = job["partialFailures"]
    assert "gone.jsonl" in failure["message"]
    assert len(vertex.bucket.answers(job)) == 2


def test_never_more_than_20_partial_failures_are_listed(vertex: Vertex) -> None:
    there = vertex.bucket.put(rows(1))
    gone = [f"gs://{vertex.bucket.name}/gone-{n}" for n in range(25)]
    source = {"uris": [*gone, there]}

    job = vertex.run(inputConfig={"instancesFormat": "jsonl", "gcsSource": source})

    assert len(job["partialFailures"]) == 20
