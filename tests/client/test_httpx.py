"""Requests go through httpx's own clients: hooks run, and each request is logged."""

import asyncio
import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from batchdrop.batches import transport
from tests.client.official import DEVELOPER, VERTEX, ours
from tests.client.recorder import Answer, FileKeeper, Recorder

JOB = {"name": "projects/1/locations/l/batchPredictionJobs/7"}
PATH = "/v1beta1/projects/p/locations/us-central1/batchPredictionJobs/7"
#: The token of VERTEX, the key of DEVELOPER, and those that the tests below use.
SECRETS = (VERTEX["credentials"].token, DEVELOPER["api_key"], "s3cret", "upload_id")


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """The log lines of httpx. A schedule of other tests may send from its thread."""
    lines: list[str] = []
    thread = threading.get_ident()

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == thread:
                lines.append(record.getMessage())

    handler = Lines()
    logger = logging.getLogger("httpx")
    logger.addHandler(handler)
    with caplog.at_level(logging.INFO, logger="httpx"):
        yield lines
    logger.removeHandler(handler)


def test_the_hooks_of_a_given_client_get_each_request_and_its_response() -> None:
    asked: list[httpx.Request] = []
    answered: list[httpx.Response] = []
    hooks: Any = {"request": [asked.append], "response": [answered.append]}

    with (
        Recorder(Answer(body=JOB)) as server,
        httpx.Client(event_hooks=hooks) as http,
        ours(server.url, VERTEX, httpx_client=http) as client,
    ):
        client.batches.get(name="7")
        client.batches.cancel(name="7")

    assert [(r.method, r.url.path) for r in asked] == [
        ("GET", PATH),
        ("POST", f"{PATH}:cancel"),
    ]
    assert [r.status_code for r in answered] == [200, 200]
    assert [r.request for r in answered] == asked


def test_the_hooks_of_a_given_async_client_get_request_and_response() -> None:
    asked: list[httpx.Request] = []
    answered: list[httpx.Response] = []

    async def ask(request: httpx.Request) -> None:
        asked.append(request)

    async def answer(response: httpx.Response) -> None:
        answered.append(response)

    async def run(url: str) -> None:
        hooks: Any = {"request": [ask], "response": [answer]}
        async with httpx.AsyncClient(event_hooks=hooks) as http:
            client = ours(url, VERTEX, httpx_async_client=http)
            await client.aio.batches.get(name="7")
            await client.aio.batches.cancel(name="7")

    with Recorder(Answer(body=JOB)) as server:
        asyncio.run(run(server.url))

    assert [(r.method, r.url.path) for r in asked] == [
        ("GET", PATH),
        ("POST", f"{PATH}:cancel"),
    ]
    assert [r.status_code for r in answered] == [200, 200]
    assert [r.request for r in answered] == asked


def test_a_hook_given_as_client_args_runs() -> None:
    asked: list[httpx.Request] = []
    args = {"event_hooks": {"request": [asked.append]}}

    with (
        Recorder(Answer(body=JOB)) as server,
        ours(server.url, VERTEX, client_args=args) as client,
    ):
        client.batches.get(name="7")

    assert [r.url.path for r in asked] == [PATH]


def test_each_request_is_one_line_of_httpx(logged: list[str]) -> None:
    async def run(client: Any) -> None:
        async with client.aio as aio:
            await aio.batches.get(name="7")

    answers = Answer(503), Answer(body=JOB)
    once_more = {"attempts": 2, "initial_delay": 0.0, "jitter": 0.0}
    with (
        Recorder(*answers) as server,
        ours(server.url, VERTEX, retry_options=once_more) as client,
    ):
        client.batches.get(name="7")
        asyncio.run(run(client))

    line = f'HTTP Request: GET {server.url}{PATH} "HTTP/1.1 {{}}"'
    assert logged == [
        line.format("503 Service Unavailable"),
        line.format("200 OK"),
        line.format("200 OK"),
    ]
    assert len(server.requests) == 3


@pytest.mark.parametrize("arguments", [VERTEX, DEVELOPER], ids=["vertex", "developer"])
def test_no_log_line_shows_a_key_or_a_token(
    logged: list[str], arguments: dict[str, Any]
) -> None:
    with Recorder(Answer(body=JOB)) as server:
        secret = server.url.replace("http://", "http://me:s3cret@")
        for url in (server.url, secret):
            with ours(url, arguments) as client:
                client.batches.get(name="7")
                client.batches.list(page_size=5)

    assert len(logged) == len(server.requests) == 4
    for line in logged:
        assert line.startswith(f"HTTP Request: GET {server.url}/")
        assert not [word for word in SECRETS if word in line]


def test_no_log_line_shows_the_capability_to_write_an_upload(
    logged: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text("{}\n")

    async def run(client: Any) -> None:
        async with client.aio as aio:
            await aio.files.upload(file=file)

    with FileKeeper() as server, ours(server.url, DEVELOPER) as client:
        client.files.upload(file=file)
        asyncio.run(run(client))

    chunks = [r for r in server.requests if r.query.get("upload_id") == "1"]
    assert len(chunks) == 2
    assert len(logged) == len(server.requests) == 4
    for line in logged:
        assert re.match(f"HTTP Request: POST {server.url}/upload/[^?]* ", line)
        assert not [word for word in SECRETS if word in line]


def test_an_api_key_is_sent_in_a_header_alone() -> None:
    express = {"vertexai": True, "api_key": "k3y"}
    with Recorder(Answer(body=JOB)) as server:
        for arguments in (DEVELOPER, express):
            with ours(server.url, arguments) as client:
                client.batches.get(name="7")
                client.batches.list()

    assert len(server.requests) == 4
    for request in server.requests:
        assert request.headers["x-goog-api-key"] == "k3y"
        assert "k3y" not in f"{request.path} {request.query}"


def test_all_clients_of_a_process_share_one_tls_context(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = transport.tls()

    assert transport.tls() is first
    with monkeypatch.context() as environment:
        environment.setenv("SSL_CERT_FILE", str(_certificates(tmp_path)))
        assert transport.tls() is not first
    assert transport.tls() is first


def _certificates(folder: Path) -> Path:
    import certifi

    path = folder / "certificates.pem"
    path.write_bytes(Path(certifi.where()).read_bytes())
    return path
