"""The paths of the pages, errors, and what each answer's headers say."""

import pytest
from flask.testing import FlaskClient

from batchdrop.dashboard.site import HEADERS
from tests.worker.batches import submit
from tests.worker.world import World


def test_each_page_is_there_and_names_the_deployment(
    deployed: World, pages: FlaskClient
) -> None:
    job = submit(deployed, "nightly/reviews.jsonl")

    for path in ("/", f"/jobs/{job.id}", f"/jobs/{job.id}/rows", "/costs", "/status"):
        answer = pages.get(path)
        assert answer.status_code == 200, path
        assert deployed.settings.deployment in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", f"/jobs/{'a' * 26}", 404),
        ("GET", "/jobs/x%00y", 404),
        ("POST", "/", 405),
        ("DELETE", "/costs", 405),
    ],
)
def test_an_error_is_a_page_that_says_what_to_do(
    pages: FlaskClient, method: str, path: str, status: int
) -> None:
    answer = pages.open(path, method=method)

    assert answer.status_code == status
    assert f"<h1>{'Not found' if status == 404 else 'Not this way'}</h1>" in answer.text
    assert 'href="/"' in answer.text


def test_an_error_leads_back_to_where_people_may_have_come_from(
    pages: FlaskClient,
) -> None:
    id = "a" * 26

    nothing = pages.get("/nothing").text
    assert "There is no page at this address." in nothing
    assert "document is deleted" not in nothing
    assert "document is deleted" in pages.get(f"/jobs/{id}").text
    # Whoever loads the answer to a form once more asks for it by GET.
    assert f'href="/jobs/{id}"' in pages.get(f"/jobs/{id}/cancel").text


def test_every_answer_forbids_scripts_of_others_frames_and_guesses_of_its_type(
    pages: FlaskClient,
) -> None:
    for path in ("/", "/nothing", "/assets/base.css"):
        headers = pages.get(path, buffered=True).headers
        assert HEADERS.items() <= dict(headers).items()
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
