"""What people outside can write into pages, get out of them, or do to them."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import functions_framework
import pytest
from flask.testing import FlaskClient
from google.api_core import exceptions
from google.auth import exceptions as auth
from werkzeug.test import Client, TestResponse

from batchdrop import wiring
from batchdrop.dashboard.forms import MEMBER
from batchdrop.dashboard.site import HEADERS, MAX_FORM
from batchdrop.errors import Unavailable
from batchdrop.jobs.job import Job
from batchdrop.ledger import Ledger
from batchdrop.logs import JsonFormatter
from tests.dashboard.hostile import PAYLOAD, Markup, spoil
from tests.dashboard.people import bearer, id_token
from tests.entry_points.app import MAIN
from tests.worker.batches import claimed
from tests.worker.collecting import collected, lines, question, submit
from tests.worker.rounds import fails
from tests.worker.world import World

#: The pages of a job, and those of all.
OF_A_JOB, OF_ALL = ("/jobs/{}", "/jobs/{}/rows"), ("/", "/costs", "/status")
#: What nobody but the owners of a deployment may see.
KEY = "zqkeyofthedeployment"


def every_page(*jobs: Job) -> list[str]:
    return [*OF_ALL, *(path.format(job.id) for job in jobs for path in OF_A_JOB)]


def refused(world: World) -> Job:
    """A job whose file has lines that can't be sent."""
    drop = world.upload(
        lines([{"request": {"contents": []}, "x": 1}, [], 7]), "b.jsonl"
    )
    world.worker.take(drop)
    return world.job(drop)


def parked(world: World) -> Job:
    return world.ledger.advance(
        claimed(world), lambda j: j.park(world.now(), f"because of {PAYLOAD}")
    )


def test_no_text_of_anybody_becomes_part_of_a_page(
    deployed: World, pages: FlaskClient
) -> None:
    deployed.choose(labels={"team": "a"}, dashboard_rows=True)
    fails(deployed, 2, times=None, code=400)
    asked = [question(1), question(2), question(3, key=PAYLOAD, note=PAYLOAD)]
    asked[2]["request"]["contents"][0]["parts"][0]["text"] = PAYLOAD
    job = collected(deployed, submit(deployed, lines(asked), retry=0))
    content = Markup(pages.get(f"/jobs/{job.id}/rows").text)
    day = f"{deployed.now():%Y-%m-%d}"
    for path, more in {
        "locks/reconcile": {"ignored": 1, "ignored_name": f"{PAYLOAD}.txt"},
        f"ceilings/{day}": {"micros": 5, "routes": {"route": 5}},
    }.items():
        deployed.database.document(path).set(more, merge=True)
    jobs = [job, refused(deployed), parked(deployed)]
    spoil(deployed.database)

    for path in every_page(*jobs):
        answer = pages.get(path)
        # The results of a spoiled address can't be read.
        assert answer.status_code == 200 or path.endswith("/rows"), path
        markup = Markup(answer.text)
        assert markup.wrong == [], path
        text = "".join(markup.texts)
        assert "{{7*7}}" in text or path.endswith(("/rows", "/status", "/costs")), path
        assert not {"\u202e", "\x07"} & set(answer.text), path
    assert content.wrong == []


def test_nothing_of_an_address_becomes_part_of_a_page(
    deployed: World, pages: FlaskClient
) -> None:
    text = quote(PAYLOAD)
    members = ("done", "name", "label", "route", "state", "since", "after", "outcome")
    query = "&".join(f"{name}={text}" for name in members)

    for path in (
        *(f"{path}?{query}" for path in every_page()),
        *(
            f"/{text}",
            f"/jobs/{text}",
            f"/jobs/{text}/rows",
            f"/jobs/{'a' * 26}?{query}",
        ),
    ):
        assert Markup(pages.get(path).text).wrong == [], path
    answer = pages.post(f"/jobs/{'a' * 26}/{text}", data={MEMBER: PAYLOAD})
    assert Markup(answer.text).wrong == []


def test_nothing_secret_is_on_a_page_or_in_the_log(
    deployed: World, pages: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    deployed.choose(api_key=KEY, dashboard_access="iam", dashboard_rows=False)
    asked = [question(n) for n in (1, 2)]
    for one in asked:
        one["request"]["contents"][0]["parts"][0]["text"] = "zqcontent"
    job = collected(deployed, submit(deployed, lines(asked)))
    caplog.clear()
    headers = bearer("ada@example.com", sub="zqsubject")
    token = id_token("ada@example.com", sub="zqsubject")

    said = [pages.get(path, headers=headers).text for path in every_page(job)]
    forged = {"Authorization": f"Bearer {token}x.y"}
    said += [pages.get(path, headers=forged).text for path in every_page(job)]
    said += [pages.post(f"/jobs/{job.id}/cancel", headers=headers).text]
    ours = JsonFormatter()
    said += [ours.format(one) for one in caplog.records if one.name != "root"]

    for text in said:
        for secret in (KEY, "zqcontent", "zqsubject", token, token.split(".")[1]):
            assert secret not in text


# -- errors -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (exceptions.ServiceUnavailable("zq"), 503, "Google Cloud gave no answer."),
        (exceptions.RetryError("zq", None), 503, "Google Cloud gave no answer."),
        (exceptions.Forbidden("zq"), 503, "the account of the pages may not do this"),
        (exceptions.FailedPrecondition("requires an index"), 503, "lacks an index"),
        (auth.DefaultCredentialsError("zq"), 503, "no login at Google Cloud"),
        (auth.TransportError("zq"), 503, "login gave no answer"),
        (Unavailable("others keep writing"), 503, "Others keep writing."),
        (KeyError("zq"), 500, "could not be made"),
        (ValueError("zq"), 500, "could not be made"),
        (RuntimeError("zq"), 500, "could not be made"),
        (RecursionError("zq"), 500, "could not be made"),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else "",
)
def test_an_error_says_what_to_do_and_nothing_of_what_it_was(
    deployed: World,
    pages: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    status: int,
    text: str,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Ledger, "get", fail)

    answer = pages.get(f"/jobs/{'a' * 26}")

    assert answer.status_code == status
    assert text.lower() in answer.text.lower()
    assert "zq" not in answer.text
    assert "Traceback" not in answer.text
    [record] = [one for one in caplog.records if one.name.startswith("batchdrop")]
    line = json.loads(JsonFormatter().format(record))
    assert (line["severity"], line["event"]) == ("ERROR", "dashboard.failed")
    assert "in fail" in line["stack_trace"]
    assert "zq" not in json.dumps(line)


# -- requests as the framework hands them on ------------------------------------------


@pytest.fixture
def served(deployed: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """The entry point in the framework's application."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield functions_framework.create_app("dashboard", str(MAIN)).test_client()
    root.handlers = handlers
    root.setLevel(level)


def test_odd_requests_are_answered_with_help_and_all_headers(served: Client) -> None:
    id = "a" * 26
    for method, path, status in (
        *[("HEAD", "/", 200), ("OPTIONS", "/", 200), ("HEAD", "/assets/base.css", 200)],
        *[("TRACE", "/", 405), ("PUT", f"/jobs/{id}", 405), ("FOO", "/", 405)],
        *[("GET", f"/jobs/{id}/cancel", 405), ("POST", "/status", 405)],
        *[("GET", "/?" + "a" * 5000, 414), ("GET", f"/{'a' * 5000}", 404)],
        *[("GET", f"/jobs/{id}/", 404), ("GET", "/jobs/..%2f..%2fmain.py", 404)],
        *[("GET", "/assets/..%2fsite.py", 404), ("GET", "/assets//etc/passwd", 404)],
        *[("GET", "/assets/%2e%2e/site.py", 404), ("GET", "/assets/\\..\\x", 404)],
        *[("GET", "/\\evil.com", 404), ("GET", "/%ff%fe", 404), ("GET", "/x%00", 404)],
        *[("GET", "/.//evil.com/%2f..", 404), ("POST", f"/jobs/{id}/cancel", 403)],
    ):
        answer = served.open(path, method=method, buffered=True)
        assert answer.status_code == status, (method, path)
        assert HEADERS.items() <= dict(answer.headers).items(), (method, path)
        assert "Location" not in answer.headers
        assert ("Allow" in answer.headers) == (status == 405 or method == "OPTIONS")
        if not path.startswith("/assets/"):
            assert answer.headers["Cache-Control"] == "no-store"


def test_the_frameworks_own_answers_have_the_headers_of_the_pages(
    served: Client,
) -> None:
    for path, status in {
        **{"/robots.txt": 404, "/favicon.ico": 404, "/static/x": 404},
        **{"//": 308, "//evil.com": 308, "/static/../x": 404},
    }.items():
        answer = served.get(path, buffered=True)
        assert answer.status_code == status, path
        assert HEADERS.items() <= dict(answer.headers).items(), path
        assert answer.headers["Cache-Control"] == "no-store", path
    sheet = served.get("/assets/base.css", buffered=True)
    assert "max-age" in sheet.headers["Cache-Control"]


def test_a_host_of_others_gets_no_page(served: Client) -> None:
    for host in ("evil.com", "a b", "localhost\\@evil.com", "evil.com:80:80", "%00"):
        answer = served.get("/", headers={"Host": host})
        assert answer.status_code in (400, 403), host
        assert "evil" not in answer.text
    # The framework's own redirect names the host of the request, and no other.
    answer = served.get("http://localhost/x//evil.com")
    assert answer.headers.get("Location", "http://localhost/").startswith(
        "http://localhost/"
    )


def sent(served: Client, body: Any, length: int | None) -> TestResponse:
    return served.post(
        f"/jobs/{'a' * 26}/cancel",
        content_type="application/x-www-form-urlencoded",
        environ_overrides={
            "wsgi.input": body,
            "wsgi.input_terminated": length is None,
            "CONTENT_LENGTH": "" if length is None else str(length),
        },
    )


class Endless(io.RawIOBase):
    """A body that never ends."""

    read_so_far = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.read_so_far += len(buffer)
        assert self.read_so_far < 1_000_000
        buffer[:] = b"a" * len(buffer)
        return len(buffer)


def test_a_body_that_is_too_large_or_never_ends_is_not_read(served: Client) -> None:
    served.set_cookie("batchdrop", "x" * 43)
    large = b"token=" + b"x" * 70_000

    for body, length in ((io.BytesIO(large), len(large)), (Endless(), 10**12)):
        answer = sent(served, body, length)
        assert answer.status_code == 413
        assert "<h1>Too large</h1>" in answer.text

    chunks = Endless()  # as a body comes that doesn't say how long it is
    assert sent(served, chunks, None).status_code == 403
    assert chunks.read_so_far <= 2 * MAX_FORM


def test_what_fails_while_an_error_is_shown_is_not_shown_either(
    served: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("zq")

    monkeypatch.setattr(wiring, "settings", fail)
    monkeypatch.setattr("flask.render_template", fail)

    answer = served.get("/")

    assert answer.status_code == 500
    assert answer.text == "The page could not be made; the log of dashboard says why."
    assert HEADERS.items() <= dict(answer.headers).items()
