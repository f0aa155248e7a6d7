"""The example functions, called as they would be on Google Cloud."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import functions_framework
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from flask import Flask
from google.auth import jwt
from google.auth.crypt import RSASigner
from google.auth.exceptions import TransportError
from werkzeug.test import Client

from batchdrop.announcements.message import Announcement
from batchdrop.jobs.values import Fact, Problem
from tests import announcements
from tests.rules.test_announcements import NOW, collected, ended, of, submitted
from tests.whole.listener import Listener, listening
from tests.worker.conftest import database as database  # fixtures of the worker
from tests.worker.conftest import world as world
from tests.worker.world import World

HERE = Path(__file__).parent
AUDIENCE = "https://push.example.com/on_push"
ACCOUNT = "pusher@p.iam.gserviceaccount.com"


class Google:
    """Makes tokens, and gives out the key that they are checked with."""

    def __init__(self) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        self._private = private.decode()
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM,
            serialization.PublicFormat.SubjectPublicKeyInfo,
        )
        self._signer = RSASigner.from_string(private, key_id="one")
        self._keys = {"one": public.decode()}
        self.status = 200

    def token(self, **claims: Any) -> str:
        """What Pub/Sub sends (Pub/Sub docs, "Authenticate push requests")."""
        now = datetime.now(UTC)
        usual = {
            "iss": "https://accounts.google.com",
            "aud": AUDIENCE,
            "email": ACCOUNT,
            "email_verified": True,
            "iat": int(now.timestamp()),
            "exp": int((now + timedelta(hours=1)).timestamp()),
        }
        encoded: bytes = jwt.encode(self._signer, usual | claims)
        return f"Bearer {encoded.decode()}"

    def __call__(self, url: str, method: str = "GET", **_: Any) -> "Answer":
        return Answer(self.status, json.dumps(self._keys).encode())

    def account(self, token_uri: str) -> str:
        """A service account's key file."""
        told = {
            "type": "service_account",
            "project_id": "p",
            "private_key_id": "one",
            "private_key": self._private,
            "client_email": ACCOUNT,
            "token_uri": token_uri,
        }
        return json.dumps(told)


@dataclass(frozen=True)
class Answer:
    status: int
    data: bytes


@pytest.fixture(scope="session")
def google() -> Google:
    return Google()


class TokenServer(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = b'{"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def signed_in(
    google: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A service account that Google's libraries find."""
    with ThreadingHTTPServer(("127.0.0.1", 0), TokenServer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        key = tmp_path / "key.json"
        key.write_text(google.account(f"http://127.0.0.1:{server.server_address[1]}"))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
        yield
        server.shutdown()
        thread.join()


def function(name: str, target: str) -> Client:
    source = HERE / f"{name}.py"
    app: Flask = functions_framework.create_app(target, str(source))
    return app.test_client()


def deliver(entry_point: Client, announcement: Announcement) -> int:
    body, headers = announcements.eventarc(announcement)
    return entry_point.post("/", data=body, headers=headers).status_code


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """What functions-framework sets up is undone."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers = handlers
    root.setLevel(level)


# -- reading the answers --------------------------------------------------------


def test_results_are_read_when_they_are_ready(
    world: World, signed_in: None, caplog: pytest.LogCaptureFixture
) -> None:
    bucket = world.gcs.bucket(world.settings.output.bucket)
    bucket.blob("x/results.jsonl").upload_from_string(
        '{"id":"r0000001","line":1,"outcome":"ok","text":"yes"}\n'
        '{"id":"r0000002","line":2,"outcome":"failed"}\n'
    )
    job = collected(ended("SUCCEEDED"), ok=1, failed=1)
    assert job.results is not None
    results = replace(job.results, uri=f"gs://{bucket.name}/x/results.jsonl")
    announcement = of(replace(job, results=results))
    entry_point = function("read_results", "on_announcement")

    answers = [deliver(entry_point, announcement) for _ in range(2)]

    assert answers == [200, 200]
    said = [line.getMessage() for line in caplog.records if line.levelname == "WARNING"]
    # Once, though delivered twice.
    assert said == ["line 2 is failed", "ok: 1 of 2"]


def test_of_an_end_nothing_is_read(
    firestore_emulator: str, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", project)
    entry_point = function("read_results", "on_announcement")

    # There is no bucket that it could ask.
    assert deliver(entry_point, of(ended("SUCCEEDED"))) == 200


# -- telling a chat -------------------------------------------------------------


@pytest.fixture
def chat(
    firestore_emulator: str, project: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Listener]:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", project)
    with listening(lambda _: 200) as chat:
        monkeypatch.setenv("CHAT_WEBHOOK", chat.url)
        yield chat


def said(chat: Listener) -> list[str]:
    return [json.loads(request.body)["text"] for request in chat.requests]


def test_the_chat_is_told_of_what_failed_and_what_stalls(chat: Listener) -> None:
    entry_point = function("tell_chat", "on_announcement")
    failed = ended("FAILED", error=Problem(code=9, message="bad bucket"))

    deliver(entry_point, of(failed))
    stalled = Fact(message="JOB_STATE_PENDING", since=NOW)
    deliver(entry_point, of(replace(submitted(), stalled=stalled, seq=1)).anew(2, NOW))
    deliver(entry_point, of(ended("SUCCEEDED")).anew(3, NOW))
    deliver(entry_point, of(collected(ended("FAILED"), ok=2, failed=1)).anew(4, NOW))
    deliver(entry_point, of(collected(ended("SUCCEEDED"), ok=2)).anew(5, NOW))

    assert said(chat) == [
        f"a/b c.jsonl: failed (9: bad bucket), job {failed.id}",
        f"a/b c.jsonl: stalled (stalled: JOB_STATE_PENDING), job {failed.id}",
        f"a/b c.jsonl: results, ok: 2 of 3, job {failed.id}",
    ]


def test_a_chat_that_is_away_is_told_later_and_once(chat: Listener) -> None:
    entry_point = function("tell_chat", "on_announcement")
    chat.answer = lambda _: 503

    answers = [deliver(entry_point, of(ended("FAILED")))]
    chat.answer = lambda _: 200
    answers += [deliver(entry_point, of(ended("FAILED"))) for _ in range(2)]

    assert answers == [500, 200, 200]
    assert len(chat.requests) == 2  # the one that failed, and one


def test_what_is_no_announcement_is_not_delivered_for_ever(chat: Listener) -> None:
    entry_point = function("tell_chat", "on_announcement")
    body, headers = announcements.eventarc(of(ended("FAILED")))

    answer = entry_point.post(
        "/", data=body.replace(b"ce-type", b"ce-kind"), headers=headers
    )

    assert answer.status_code == 200
    assert chat.requests == []


# -- pushes with a token --------------------------------------------------------


@pytest.fixture
def is_from_pubsub(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any], bool]:
    from tests.examples.take_pushes import is_from_pubsub

    monkeypatch.setenv("PUSH_AUDIENCE", AUDIENCE)
    monkeypatch.setenv("PUSH_EMAIL", ACCOUNT)
    return is_from_pubsub


def test_pub_sub_s_token_is_taken(
    google: Google, is_from_pubsub: Callable[[str, Any], bool]
) -> None:
    assert is_from_pubsub(google.token(), google)


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://other.example.com"},
        {"email": "somebody@gmail.com"},
        {"email_verified": False},
        {"iss": "https://evil.example.com"},
        {"exp": 1_700_000_000, "iat": 1_699_990_000},
    ],
)
def test_any_other_token_is_not(
    google: Google, is_from_pubsub: Callable[[str, Any], bool], claims: dict[str, Any]
) -> None:
    assert not is_from_pubsub(google.token(**claims), google)


def test_a_token_that_somebody_else_signed_is_not_taken(
    google: Google, is_from_pubsub: Callable[[str, Any], bool]
) -> None:
    assert not is_from_pubsub(Google().token(), google)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x.y.z", "Basic YTpi"])
def test_no_token_is_not_taken(
    google: Google, is_from_pubsub: Callable[[str, Any], bool], header: str
) -> None:
    assert not is_from_pubsub(header, google)


def test_without_google_s_certificates_there_is_no_telling(
    is_from_pubsub: Callable[[str, Any], bool],
) -> None:
    google = Google()
    google.status = 503

    with pytest.raises(TransportError):
        is_from_pubsub(google.token(), google)


def test_a_push_without_a_token_is_turned_away(
    is_from_pubsub: Callable[[str, Any], bool],
) -> None:
    entry_point = function("take_pushes", "on_push")

    answer = entry_point.post("/", json=announcements.push(of(ended("FAILED"))))

    assert answer.status_code == 403
