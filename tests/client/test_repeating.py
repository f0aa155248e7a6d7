"""Which calls are repeated, when, and which never are."""

import asyncio
import json
import socket
import threading
from typing import Any

import pytest

from batchdrop import Client, ClientError, ServerError, TransportError
from batchdrop.batches import (
    ApiError,
    BatchesError,
    HttpRetryOptions,
    NotSignedIn,
    UnclearAnswer,
)
from batchdrop.batches.call import Call
from batchdrop.batches.retries import pause_before_repeating
from tests.client.official import DEVELOPER, VERTEX, ours
from tests.client.recorder import Answer, Recorder, Request

READ: Call[None] = Call("GET", "http://h/", lambda _: None)
CREATE: Call[None] = Call("POST", "http://h/", lambda _: None, repeatable=False)
GIVEN = HttpRetryOptions()
AT_ONCE = {"attempts": 4, "initial_delay": 0, "jitter": 0}

LOST = TransportError("cut", sent=True)
NEVER_SENT = TransportError("refused", sent=False)
UNCLEAR = UnclearAnswer("no JSON", sent=True)


@pytest.mark.parametrize(
    ("error", "read", "create", "create_with_options"),
    [
        (ApiError(408), True, False, False),
        (ApiError(429), True, False, True),
        (ApiError(500), True, False, False),
        (ApiError(502), True, False, False),
        (ApiError(503), True, False, False),
        (ApiError(504), True, False, False),
        (ApiError(400), False, False, False),
        (ApiError(401), False, False, False),
        (ApiError(404), False, False, False),
        (ApiError(501), False, False, False),
        (LOST, True, False, False),
        (NEVER_SENT, True, False, True),
        (UNCLEAR, True, False, False),
        (NotSignedIn("no", sent=False), False, False, False),
    ],
)
def test_only_some_calls_are_repeated_after_some_errors(
    error: BatchesError, read: bool, create: bool, create_with_options: bool
) -> None:
    def again(call: Call[None], given: HttpRetryOptions | None) -> bool:
        return pause_before_repeating(1, error, call, given, 0.0) is not None

    assert again(READ, None) is read
    assert again(CREATE, None) is create
    assert again(CREATE, GIVEN) is create_with_options


def test_the_waits_double_up_to_a_minute_and_end_after_five_attempts() -> None:
    def pause(attempt: int) -> float | None:
        return pause_before_repeating(attempt, ApiError(503), READ, None, 0.5)

    assert [pause(n) for n in (1, 2, 3, 4, 5)] == [1.5, 2.5, 4.5, 8.5, None]
    many = HttpRetryOptions(attempts=20)
    assert pause_before_repeating(12, ApiError(503), READ, many, 0.5) == 60.0


@pytest.mark.parametrize("attempts", [0, 1])
def test_zero_attempts_or_one_never_repeat_a_call(attempts: int) -> None:
    options = HttpRetryOptions(attempts=attempts)

    assert pause_before_repeating(1, ApiError(503), READ, options, 0.0) is None


@pytest.mark.parametrize(
    ("asked", "pause"), [(0.0, 0.0), (17.0, 17.0), (60.0, 60.0), (61.0, None)]
)
def test_a_retry_after_is_waited_in_full_or_not_at_all(
    asked: float, pause: float | None
) -> None:
    error = ApiError(429, retry_after=asked)

    assert pause_before_repeating(1, error, READ, None, 0.5) == pause


def test_the_codes_can_be_chosen() -> None:
    options = HttpRetryOptions(http_status_codes=(418,))

    assert pause_before_repeating(1, ApiError(418), READ, options, 0.0) == 1.0
    assert pause_before_repeating(1, ApiError(503), READ, options, 0.0) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("", None),
    ],
)
def test_a_retry_after_is_seconds_or_a_date(header: str, seconds: float | None) -> None:
    answer = Answer(429, {}, {"retry-after": header})
    with (
        Recorder(answer) as server,
        ours(server.url, VERTEX) as client,
        pytest.raises(ClientError) as caught,
    ):
        client.batches.create(model="m", src="gs://b/in.jsonl")

    assert caught.value.retry_after == seconds


def test_a_cut_connection_is_tried_again_from_asyncio() -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\ncontent-length: 21\r\nconnection: close\r\n\r\n"
        b'{"name": "batches/a"}'
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for reply in (b"", answer):
                connection, _ = listener.accept()
                connection.recv(65536)
                connection.sendall(reply)
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        async def run() -> str:
            async with ours(url, DEVELOPER, retry_options=AT_ONCE).aio as client:
                return (await client.batches.get(name="a")).name

        assert asyncio.run(run()) == "batches/a"
        thread.join()


# With a token.


class Service(Recorder):
    """
    Keeps the jobs that are created; `faults` are what becomes of the creates, in order:
    None makes the job and says so, "lost" makes it and answers 503, "failed" answers
    503 and makes nothing. Lists have one job a page, the newest first.
    """

    def __init__(self, *faults: str | None) -> None:
        super().__init__()
        self.faults = list(faults)
        self.jobs: list[dict[str, Any]] = []

    def answer(self, request: Request) -> Answer:
        if request.method == "POST":
            fault = self.faults.pop(0) if self.faults else None
            if fault != "failed":
                self.jobs.insert(0, self._job(request))
            return Answer(503) if fault else Answer(body=self.jobs[0])
        at = int(request.query.get("pageToken", 0))
        chosen = [job for job in self.jobs if self._matches(job, request)]
        page = chosen[at : at + 1]
        key = "operations" if "batches" in request.path else "batchPredictionJobs"
        more = {"nextPageToken": str(at + 1)} if at + 1 < len(chosen) else {}
        return Answer(body={key: page, **more})

    def _job(self, request: Request) -> dict[str, Any]:
        number = len(self.jobs) + 1
        created = f"2026-01-01T00:00:{number:02}Z"
        if "batch" in request.json:
            name = request.json["batch"].get("displayName")
            metadata = {"displayName": name, "createTime": created}
            return {"name": f"batches/{number}", "metadata": metadata}
        name = f"projects/1/locations/l/batchPredictionJobs/{number}"
        return {**request.json, "name": name, "createTime": created}

    def _matches(self, job: dict[str, Any], request: Request) -> bool:
        if "filter" not in request.query:
            return True
        key, _, value = request.query["filter"].removeprefix("labels.").partition("=")
        return bool(job.get("labels", {}).get(key) == value)

    @property
    def creates(self) -> int:
        return sum(r.method == "POST" for r in self.requests)


@pytest.fixture(params=["vertex", "developer"])
def how(request: pytest.FixtureRequest) -> dict[str, Any]:
    if request.param == "vertex":
        return {"arguments": VERTEX, "src": "gs://b/in.jsonl"}
    return {"arguments": DEVELOPER, "src": "files/f"}


def client_of(server: Recorder, how: dict[str, Any]) -> Client:
    return ours(server.url, how["arguments"], retry_options=AT_ONCE)


def test_a_token_finds_the_job_of_a_create_whose_answer_was_lost(
    how: dict[str, Any],
) -> None:
    with Service("lost") as server, client_of(server, how) as client:
        job = client.batches.create(
            model="m", src=how["src"], config={"idempotency_token": "t-1"}
        )

    assert len(server.jobs) == 1
    assert job.name == server.jobs[0]["name"]
    assert server.creates == 1


def test_a_token_lets_a_create_that_made_nothing_be_repeated(
    how: dict[str, Any],
) -> None:
    with Service("failed", "failed") as server, client_of(server, how) as client:
        client.batches.create(
            model="m",
            src=how["src"],
            config={"idempotency_token": "t-1", "display_name": "n"},
        )

    assert len(server.jobs) == 1
    assert server.creates == 3


def test_a_second_create_with_the_same_token_returns_the_first_job(
    how: dict[str, Any],
) -> None:
    config = {"idempotency_token": "t-1", "display_name": "n"}
    with Service() as server, client_of(server, how) as client:
        for name in ("other", "n t-10", "xt-1"):
            client.batches.create(
                model="m", src=how["src"], config={"display_name": name}
            )
        first = client.batches.create(model="m", src=how["src"], config=config)
        again = client.batches.create(model="m", src=how["src"], config=config)

    assert again == first
    assert len(server.jobs) == 4


def test_of_several_jobs_with_the_same_token_the_oldest_is_returned(
    how: dict[str, Any],
) -> None:
    config = {"idempotency_token": "t-1"}
    with Service() as server, client_of(server, how) as client:
        first = client.batches.create(model="m", src=how["src"], config=config)
        twin = json.loads(json.dumps(server.jobs[0]).replace("00:01Z", "00:09Z"))
        server.jobs.insert(0, {**twin, "name": "batches/twin"})
        again = client.batches.create(model="m", src=how["src"], config=config)

    assert again.name == first.name


def test_a_list_without_an_end_ends_a_create_with_a_token(how: dict[str, Any]) -> None:
    page = Answer(body={"nextPageToken": "t"})
    with Recorder(page) as server, client_of(server, how) as client:
        with pytest.raises(UnclearAnswer, match="the list doesn't end"):
            client.batches.create(
                model="m", src=how["src"], config={"idempotency_token": "t"}
            )

        assert [r.method for r in server.requests] == ["GET", "GET"]


def test_a_refusal_ends_a_create_with_a_token(how: dict[str, Any]) -> None:
    with Recorder(Answer(), Answer(400, {"error": {"message": "no"}})) as server:
        client = client_of(server, how)
        with pytest.raises(ClientError):
            client.batches.create(
                model="m", src=how["src"], config={"idempotency_token": "t"}
            )
        client.close()

    assert [r.method for r in server.requests] == ["GET", "POST"]


def test_without_a_token_a_lost_answer_is_an_error(how: dict[str, Any]) -> None:
    with (
        Service("lost") as server,
        client_of(server, how) as client,
        pytest.raises(ServerError),
    ):
        client.batches.create(model="m", src=how["src"])

    assert server.creates == 1


def test_a_token_works_from_asyncio(how: dict[str, Any]) -> None:
    async def run(client: Client) -> str:
        async with client.aio as aio:
            job = await aio.batches.create(
                model="m", src=how["src"], config={"idempotency_token": "t-1"}
            )
            return job.name

    with Service("lost") as server, client_of(server, how) as client:
        name = asyncio.run(run(client))

    assert [job["name"] for job in server.jobs] == [name]
