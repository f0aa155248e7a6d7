"""A success status over a body of another kind."""

import io
from collections.abc import Callable
from typing import Any

import pytest

from batchdrop import Client
from batchdrop.batches import JobState, UnclearAnswer
from tests.client.buckets import Bucket
from tests.client.official import DEVELOPER, VERTEX, ours
from tests.client.recorder import Answer, Recorder

ERROR = {
    "error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota used up."}
}
WORDS = "429 RESOURCE_EXHAUSTED: Quota used up."
START = Answer(headers={"x-goog-upload-url": "https://elsewhere/upload?upload_id=1"})
ENDED = {
    "name": "batches/abc",
    "metadata": {
        "state": "BATCH_STATE_SUCCEEDED",
        "output": {"responsesFile": "files/batch-abc"},
    },
}

BOTH = pytest.mark.parametrize("how", [VERTEX, DEVELOPER], ids=["vertex", "developer"])
SOURCES = {id(VERTEX): "gs://b/x.jsonl", id(DEVELOPER): "files/x"}


def create(client: Client, how: dict[str, Any]) -> Any:
    return client.batches.create(model="m", src=SOURCES[id(how)])


def answered(how: dict[str, Any], *answers: Any) -> tuple[Recorder, Client]:
    """An API that answers 200 with these bodies, and its client."""
    server = Recorder(
        *(a if isinstance(a, Answer) else Answer(body=a) for a in answers)
    )
    retry = {"attempts": 2, "initial_delay": 0, "jitter": 0}
    return server, ours(server.url, how, retry_options=retry)


@BOTH
@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "no JSON object"),
        (b"null", "no JSON object"),
        (b"<html>", "<html>"),
        (b'{"name": ', "no JSON object"),
        ({}, "is no"),
        ({"name": ""}, "is no"),
        (ERROR, WORDS),
        ([ERROR], WORDS),
    ],
)
def test_a_create_answered_without_a_job_is_unclear_and_not_repeated(
    how: dict[str, Any], body: Any, why: str
) -> None:
    server, client = answered(how, body)
    with server, client, pytest.raises(UnclearAnswer, match=why) as caught:
        create(client, how)

    assert caught.value.sent
    assert caught.value.method == "POST"
    assert len(server.requests) == 1


CALLS: dict[str, Callable[[Client], Any]] = {
    "get": lambda client: client.batches.get(name="7"),
    "list": lambda client: client.batches.list(),
    "cancel": lambda client: client.batches.cancel(name="7"),
    "delete": lambda client: client.batches.delete(name="7"),
}


@BOTH
@pytest.mark.parametrize("call", CALLS)
def test_an_error_under_a_success_status_is_an_error(
    how: dict[str, Any], call: str
) -> None:
    server, client = answered(how, ERROR)
    with server, client, pytest.raises(UnclearAnswer, match=WORDS):
        CALLS[call](client)


@BOTH
def test_a_read_answered_without_a_json_object_is_repeated(how: dict[str, Any]) -> None:
    server, client = answered(how, {}, {"name": "batches/7", "state": "X"})
    with server, client:
        assert client.batches.get(name="7").name == "batches/7"


def test_a_delete_returns_an_operation_on_vertex_and_nothing_on_the_developer_api() -> (
    None
):
    server, client = answered(VERTEX, {})
    with server, client, pytest.raises(UnclearAnswer, match="is no operation"):
        client.batches.delete(name="7")

    server, client = answered(DEVELOPER, {})
    with server, client:
        assert client.batches.delete(name="7").name is None


@BOTH
def test_an_empty_object_is_a_list_without_jobs(how: dict[str, Any]) -> None:
    server, client = answered(how, {})
    with server, client:
        assert list(client.batches.list()) == []


@BOTH
@pytest.mark.parametrize(
    "page", [7, "x", {"a": 1}, [None], [7, "x"], [{}], [{"name": 7}], [[]]], ids=str
)
def test_an_answer_of_another_shape_is_not_an_empty_list(
    how: dict[str, Any], page: Any
) -> None:
    server, client = answered(how, {"batchPredictionJobs": page, "operations": page})
    with server, client, pytest.raises(UnclearAnswer, match="is no list"):
        client.batches.list()


@BOTH
def test_a_page_token_of_another_type_does_not_end_a_list(how: dict[str, Any]) -> None:
    server, client = answered(how, {"nextPageToken": 7})
    with server, client, pytest.raises(UnclearAnswer, match="is no list"):
        client.batches.list()


@BOTH
def test_times_without_a_zone_and_numbers_over_64_bits_are_left_out(
    how: dict[str, Any],
) -> None:
    time, number = "2026-03-01T00:00:00", 2**70
    error = {"code": number, "message": "no"}
    job = {"name": "batches/1", "updateTime": time, "error": error}
    job |= {"metadata": {"updateTime": time}}
    job |= {"completionStats": {"failedCount": number, "successfulCount": "3"}}
    server, client = answered(how, job)
    with server, client:
        read = client.batches.get(name="1")

    assert read.update_time is None
    assert read.error is not None
    assert (read.error.code, read.error.message) == (None, "no")
    stats = read.completion_stats
    assert stats is None or (stats.failed_count, stats.successful_count) == (None, 3)


@BOTH
def test_an_invalid_job_in_a_list_does_not_hide_the_others(how: dict[str, Any]) -> None:
    items = [{}, {"name": "batches/1"}, ERROR, None, {"name": "batches/2"}]
    server, client = answered(how, {"batchPredictionJobs": items, "operations": items})
    with server, client:
        names = [job.name for job in client.batches.list()]

    assert names == ["batches/1", "batches/2"]


def test_a_failed_job_is_a_valid_answer_with_an_error() -> None:
    server, client = answered(
        VERTEX, {"name": "x", "state": "JOB_STATE_FAILED"} | ERROR
    )
    with server, client:
        assert client.batches.get(name="7").state is JobState.FAILED


# Files.


@pytest.mark.parametrize(
    ("body", "why"),
    [({}, "has no file"), ({"file": {}}, "has no file"), (ERROR, WORDS)],
)
def test_an_upload_whose_last_chunk_makes_no_file_is_an_error(
    body: Any, why: str
) -> None:
    final = Answer(body=body, headers={"x-goog-upload-status": "final"})
    server, client = answered(DEVELOPER, START, final)
    with server, client, pytest.raises(UnclearAnswer, match=f"{why}.*upload it anew"):
        client.files.upload(file=io.BytesIO(b"abc"))


def test_after_a_chunk_answered_with_an_error_the_client_queries_the_upload() -> None:
    file = {"file": {"name": "files/f"}}
    final = Answer(body=file, headers={"x-goog-upload-status": "final"})
    server, client = answered(DEVELOPER, START, ERROR, final)
    with server, client:
        assert client.files.upload(file=io.BytesIO(b"abc")).name == "files/f"

    commands = [r.headers["x-goog-upload-command"] for r in server.requests]
    assert commands == ["start", "upload, finalize", "query"]


def test_an_upload_without_an_address_gives_the_reason() -> None:
    server, client = answered(DEVELOPER, ERROR)
    with server, client, pytest.raises(UnclearAnswer, match=WORDS):
        client.files.upload(file=io.BytesIO(b"abc"))


@pytest.mark.parametrize("call", ["get", "delete", "list"])
def test_an_error_in_place_of_files_is_an_error(call: str) -> None:
    arguments = {} if call == "list" else {"name": "files/x"}
    server, client = answered(DEVELOPER, ERROR)
    with server, client, pytest.raises(UnclearAnswer, match=WORDS):
        getattr(client.files, call)(**arguments)


@pytest.mark.parametrize(
    ("body", "why"), [(ERROR, WORDS), ([ERROR], WORDS), (b"<!doctype html>", "html")]
)
def test_an_error_in_place_of_a_download_is_an_error(
    bucket: Bucket, body: Any, why: str
) -> None:
    server, client = answered(DEVELOPER, body)
    with server, client:
        with pytest.raises(UnclearAnswer, match=why):
            client.files.download(file="files/batch-abc")
        server.answers = [Answer(body=ENDED), Answer(body=body)]
        with pytest.raises(UnclearAnswer, match=why):
            list(client.batches.results("abc"))
        server.answers = [Answer(body=ENDED), Answer(body=body)]
        with pytest.raises(UnclearAnswer, match=why):
            client.batches.collect("abc", destination=bucket.uri("o"))

    assert bucket.names() == []


@pytest.mark.parametrize(
    "row", [{"error": {"code": 3, "message": "no"}}, {"key": "a", **ERROR}]
)
def test_a_file_of_one_row_that_failed_is_a_file(row: dict[str, Any]) -> None:
    server, client = answered(DEVELOPER, ENDED, row)
    with server, client:
        (read,) = client.batches.results("abc")

    assert read.error is not None
