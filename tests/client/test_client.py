"""The client as a whole: imports, closing, secrets, pagers, options."""

import asyncio
import gzip
import json
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

import batchdrop
from batchdrop import Client, ClientError, HttpOptions, TransportError
from batchdrop.batches import (
    BatchJob,
    InlinedRequest,
    JobState,
    Pager,
    UnclearAnswer,
    WaitTimeout,
)
from tests.client.credential import Token
from tests.client.official import DEVELOPER, VERTEX, ours
from tests.client.recorder import Answer, Recorder
from tests.there import there

JOB = {"name": "projects/1/locations/l/batchPredictionJobs/7"}
PAGE = {"batchPredictionJobs": [JOB], "nextPageToken": "t"}


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_importing_the_package_loads_no_client() -> None:
    assert "batchdrop.batches" not in loaded_by("import batchdrop")


def test_importing_and_making_a_client_loads_nothing_heavy() -> None:
    loaded = loaded_by(
        "from batchdrop import Client, JobState\n"
        "Client(vertexai=True, project='p', location='l')\n"
        "Client(api_key='k')"
    )

    heavy = {"httpx", "google.auth", "google.cloud.storage", "asyncio", "requests"}
    assert loaded & heavy == set()


def test_every_public_name_can_be_imported() -> None:
    for module in (batchdrop, batchdrop.batches):
        for name in module.__all__:
            assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="Cliant"):
        batchdrop.Cliant  # noqa: B018
    assert "Client" in dir(batchdrop)


def test_the_public_names_are_documented() -> None:
    for name in batchdrop.batches.__all__:
        assert getattr(batchdrop.batches, name).__doc__, name
    for face in (batchdrop.batches.Batches, batchdrop.batches.AsyncBatches):
        for name, member in vars(face).items():
            if not name.startswith("_"):
                assert member.__doc__, name


def test_a_client_is_shared_between_threads() -> None:
    with (
        Recorder(Answer(body=JOB)) as server,
        ours(server.url, VERTEX) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        jobs = list(pool.map(lambda n: client.batches.get(name=str(n)), range(40)))

    assert {job.name for job in jobs} == {JOB["name"]}
    assert sorted(int(r.path.rpartition("/")[2]) for r in server.requests) == [
        *range(40)
    ]


def test_credentials_are_renewed_once_though_many_threads_need_them() -> None:
    renewed = []

    class Stale(Token):
        def __init__(self) -> None:
            super().__init__()
            self.token = None

        def refresh(self, request: object) -> None:
            threading.Event().wait(0.02)
            renewed.append(1)
            self.token = "fresh"

    with (
        Recorder(Answer(body=JOB)) as server,
        ours(server.url, {**VERTEX, "credentials": Stale()}) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        list(pool.map(lambda n: client.batches.get(name=str(n)), range(8)))

    assert renewed == [1]
    assert {r.headers["authorization"] for r in server.requests} == {"Bearer fresh"}


def test_a_client_works_on_one_loop_after_another() -> None:
    async def get(client: Client) -> str:
        try:
            return (await client.aio.batches.get(name="7")).name
        finally:
            await client.aio.aclose()

    with Recorder(Answer(body=JOB)) as server, ours(server.url, VERTEX) as client:
        names = [asyncio.run(get(client)) for _ in range(2)]

    assert names == [JOB["name"]] * 2


def test_a_closed_client_raises_a_clear_error() -> None:
    with Recorder(Answer(body=JOB)) as server:
        client = ours(server.url, VERTEX)
        client.batches.get(name="7")
        client.close()
        client.close()

        with pytest.raises(RuntimeError, match="closed"):
            client.batches.get(name="7")


def test_a_given_httpx_client_is_used_and_left_open() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=JOB)

    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        with Client(**VERTEX, http_options={"httpx_client": http}) as client:
            assert client.batches.get(name="7").name == JOB["name"]

        assert not http.is_closed


def test_no_error_shows_a_key_or_a_token() -> None:
    with Recorder(Answer(500, b"it broke")) as server:
        secret = server.url.replace("http://", "http://me:s3cret@")
        once = {"retry_options": {"attempts": 1}}
        errors = []
        for arguments in (VERTEX, DEVELOPER):
            for url in (secret, "http://me:s3cret@127.0.0.1:1"):
                with ours(url, arguments, **once) as client:
                    with pytest.raises(batchdrop.BatchesError) as caught:
                        client.batches.get(name="7")
                    errors.append(caught.value)

    options = HttpOptions(
        base_url="http://me:s3cret@h", headers={"authorization": "t0k3n"}
    )
    assert "authorization" in repr(options)
    assert "t0k3n" not in repr(options)
    assert "s3cret" not in repr(options)
    for error in errors:
        shown = f"{error} {error!r} {error.__dict__}"
        for word in ("s3cret", "t0k3n", "k3y"):
            assert word not in shown


@pytest.mark.parametrize(
    "error",
    [
        ClientError(404, "NOT_FOUND", "gone", details=[1], method="GET", url="u"),
        TransportError("cut", sent=False, method="GET", url="u"),
        WaitTimeout("late", BatchJob(name="n")),
    ],
)
def test_an_error_survives_a_process_boundary(error: batchdrop.BatchesError) -> None:
    back = pickle.loads(pickle.dumps(error))

    assert (type(back), str(back), back.__dict__) == (
        type(error),
        str(error),
        error.__dict__,
    )


def test_a_jobs_repr_has_only_the_members_that_are_set() -> None:
    job = BatchJob(name="n", state=JobState.RUNNING, wire=b'{"name": "n"}')

    shown = "<JobState.JOB_STATE_RUNNING: 'JOB_STATE_RUNNING'>"
    assert repr(job) == f"BatchJob(name='n', state={shown})"


def test_values_cannot_be_changed() -> None:
    for value, member in (
        (BatchJob(name="n"), "name"),
        (InlinedRequest(contents="a"), "contents"),
        (HttpOptions(timeout=1.0), "timeout"),
    ):
        assert getattr(value, member)
        with pytest.raises(AttributeError):
            setattr(value, member, "other")


def test_the_twelve_states_have_long_and_short_names() -> None:
    assert len(JobState) == 12
    assert JobState["SUCCEEDED"].value == "JOB_STATE_SUCCEEDED"
    for state in JobState:
        short = state.name.removeprefix("JOB_STATE_")
        assert short != state.name
        assert state == state.name
        assert getattr(JobState, short) is state


def test_a_job_can_be_named_by_itself() -> None:
    with Recorder(Answer(body=JOB)) as server, ours(server.url, VERTEX) as client:
        job = client.batches.get(name="7")
        client.batches.get(batch_job=job)
        client.batches.cancel(name=job)
        client.batches.delete(batch_job=job.name)
        wrongs: list[dict[str, Any]] = [{}, {"name": "7", "batch_job": "7"}]
        for wrong in wrongs:
            with pytest.raises(ValueError, match="one of name and batch_job"):
                client.batches.get(**wrong)

    paths = {r.path.removesuffix(":cancel") for r in server.requests[1:]}
    assert paths == {f"/v1beta1/{JOB['name']}"}
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    "name",
    [
        *("", "a/b", "projects/p/batchPredictionJobs/7", "batches/7", "7?x", "../7"),
        # The location becomes a part of the host that credentials are sent to.
        "projects/p/locations/evil.example?/batchPredictionJobs/7",
        "projects/p/locations/evil.example#/batchPredictionJobs/7",
        "projects/p/locations/x@evil.example:443/batchPredictionJobs/7",
        "projects/p?x=/locations/l/batchPredictionJobs/7",
    ],
)
def test_an_invalid_job_name_is_refused(name: str) -> None:
    with Recorder() as server, ours(server.url, VERTEX) as client:
        for method in ("get", "cancel", "delete"):
            with pytest.raises(ValueError, match="Invalid batch job name"):
                getattr(client.batches, method)(name=name)

    assert server.requests == []


def test_an_invalid_location_is_refused() -> None:
    client = Client(vertexai=True, project="p", location="evil.example#")

    with pytest.raises(ValueError, match="invalid location"):
        client.batches.get(name="7")


@pytest.mark.parametrize("given", ["gs://o", 7, ["a"]])
def test_a_config_of_another_type_is_refused(given: object) -> None:
    client = Client(**VERTEX)

    with pytest.raises(ValueError, match="config is a CreateBatchJobConfig or a dict"):
        client.batches.create(model="m", src="gs://b/in.jsonl", config=given)  # type: ignore[arg-type]


def test_a_pager_can_be_read_by_page_and_by_item() -> None:
    pages = [Answer(body=PAGE), Answer(body={"batchPredictionJobs": [JOB, JOB]})]
    with Recorder(*pages) as server, ours(server.url, VERTEX) as client:
        pager = client.batches.list(page_size=5, page_token="s", filter="f")

        assert (pager.name, pager.page_size, len(pager)) == ("batch_jobs", 5, 1)
        assert pager.config["page_token"] == "t"
        assert pager.has_next_page()
        assert pager[0] == next(pager)
        assert len(pager.next_page()) == 2
        assert not pager.has_next_page()
        with pytest.raises(IndexError, match="No more pages"):
            pager.next_page()

    assert [r.query for r in server.requests] == [
        {"pageSize": "5", "pageToken": token, "filter": "f"} for token in ("s", "t")
    ]


def test_a_list_that_repeats_a_page_ends_with_an_error() -> None:
    one, two = (
        Answer(body={"batchPredictionJobs": [JOB], "nextPageToken": token})
        for token in ("a", "b")
    )
    with Recorder(one, two, one) as server, ours(server.url, VERTEX) as client:
        pager = client.batches.list()

        with pytest.raises(UnclearAnswer, match="page 3 names as the next one a page"):
            list(pager)

        assert len(server.requests) == 3


def test_a_list_of_only_empty_pages_ends_with_an_error() -> None:
    tokens = (str(n) for n in range(10_000))
    pager = Pager("jobs", ([1], next(tokens)), lambda _: ([], next(tokens)))

    with pytest.raises(UnclearAnswer, match="1,000 pages after another are empty"):
        list(pager)


def test_an_async_list_that_repeats_a_page_ends_with_an_error() -> None:
    async def run(client: Client) -> None:
        async with client.aio as aio:
            with pytest.raises(UnclearAnswer, match="the list doesn't end"):
                [job async for job in await aio.batches.list()]

    with Recorder(Answer(body=PAGE)) as server, ours(server.url, VERTEX) as client:
        asyncio.run(run(client))

        assert len(server.requests) == 2


def test_an_async_pager_can_be_read_by_page_and_by_item() -> None:
    pages = [
        Answer(body=PAGE),
        Answer(body={"nextPageToken": "u"}),
        Answer(body={"batchPredictionJobs": [JOB, JOB]}),
    ]

    async def run(client: Client) -> tuple[int, int, int]:
        async with client.aio as aio:
            pager = await aio.batches.list()
            assert pager.page_size == 1
            first = await anext(pager)
            assert first == pager[0]
            second = len(await pager.next_page())
            rest = [job async for job in pager]
            with pytest.raises(IndexError, match="No more pages"):
                await pager.next_page()
            return len(pages), second, len(rest)

    with Recorder(*pages) as server, ours(server.url, VERTEX) as client:
        assert asyncio.run(run(client)) == (3, 0, 2)


def test_a_delete_returns_the_operation() -> None:
    operation = {"name": "operations/1", "done": True, "error": {"code": 5}}
    with Recorder(Answer(body=operation)) as server, ours(server.url, VERTEX) as client:
        deleted = client.batches.delete(name="7")

    assert (deleted.name, deleted.done, there(deleted.error).code) == (
        "operations/1",
        True,
        5,
    )


def test_a_member_of_an_unexpected_type_does_not_hide_the_others() -> None:
    job = {
        **JOB,
        "createTime": "yesterday",
        "completionStats": {"successfulCount": "2", "failedCount": {}},
        "labels": [1],
        "state": "JOB_STATE_SUCCEEDED",
    }
    with Recorder(Answer(body=job)) as server, ours(server.url, VERTEX) as client:
        read = client.batches.get(name="7")

    assert (read.name, read.done, read.create_time) == (JOB["name"], True, None)
    assert there(read.completion_stats).successful_count == 2
    assert read.raw["createTime"] == "yesterday"


def test_options_can_be_given_for_one_call() -> None:
    once = {"http_options": {"headers": {"x-mine": "1"}, "timeout": 1.5}}
    with (
        Recorder(Answer(body=JOB)) as server,
        ours(server.url, VERTEX, headers={"user-agent": "app/1"}) as client,
    ):
        client.batches.get(name="7", config=once)
        client.batches.get(name="7")

    first, second = server.requests
    assert (first.headers["x-mine"], first.headers["x-server-timeout"]) == ("1", "2")
    assert "x-mine" not in second.headers
    for request in (first, second):
        assert request.headers["user-agent"].endswith(" app/1")


@pytest.mark.parametrize(
    ("failure", "sent"),
    [
        (httpx.ConnectError, False),
        (httpx.ConnectTimeout, False),
        (httpx.PoolTimeout, False),
        (httpx.ProxyError, False),
        (httpx.UnsupportedProtocol, False),
        (httpx.ReadTimeout, True),
        (httpx.WriteTimeout, True),
        (httpx.ReadError, True),
        (httpx.WriteError, True),
        (httpx.RemoteProtocolError, True),
        (httpx.DecodingError, True),
    ],
)
def test_a_failure_says_if_the_request_may_have_arrived(
    failure: type[httpx.TransportError], sent: bool
) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise failure("it broke")

    with (
        httpx.Client(transport=httpx.MockTransport(fail)) as http,
        Client(**VERTEX, http_options={"httpx_client": http}) as client,
        pytest.raises(TransportError, match=failure.__name__) as caught,
    ):
        client.batches.create(model="m", src="gs://b/in.jsonl")

    assert caught.value.sent is sent


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host doesn't exist, so only the proxy can answer."""
    with Recorder(Answer(body=JOB)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with ours("http://no-such-host.invalid", VERTEX) as client:
            assert client.batches.get(name="7").name == JOB["name"]

        async def run() -> str:
            async with ours("http://no-such-host.invalid", VERTEX).aio as client:
                return (await client.batches.get(name="7")).name

        assert asyncio.run(run()) == JOB["name"]

    assert len(proxy.requests) == 2


def test_a_compressed_answer_is_read() -> None:
    body = gzip.compress(json.dumps(JOB).encode())
    answer = Answer(body=body, headers={"content-encoding": "gzip"})
    with Recorder(answer) as server, ours(server.url, VERTEX) as client:
        assert client.batches.get(name="7").name == JOB["name"]

    assert "gzip" in server.requests[0].headers["accept-encoding"]


def test_an_answer_that_cannot_be_decoded_is_a_transport_error() -> None:
    answer = Answer(body=b"not gzip", headers={"content-encoding": "gzip"})
    once = {"retry_options": {"attempts": 1}}
    with Recorder(answer) as server, ours(server.url, VERTEX, **once) as client:
        for _ in range(3):  # the connection returns to the pool each time
            with pytest.raises(TransportError) as caught:
                client.batches.get(name="7")

    assert caught.value.sent is True
