"""`/jobs/{id}/rows`: pages of results, one row, and what is not shown."""

import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask.testing import FlaskClient

from batchdrop.jobs.job import Job
from batchdrop.stored import split_uri
from tests.cloud_storage import CloudStorage
from tests.dashboard.hostile import Markup
from tests.reads import counted
from tests.there import there
from tests.worker.batches import submit as submit_batch
from tests.worker.collecting import collected, lines, question, questions, submit
from tests.worker.conftest import cloud as cloud
from tests.worker.world import World

HOSTILE = "<script>alert(1)</script>\u202egnp.exe"


@contextmanager
def asked(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Counts requests to Cloud Storage."""
    counts: Counter[str] = Counter()
    session = world.gcs._http
    before = session.request

    def request(*args: Any, **kwargs: Any) -> Any:
        counts["requests"] += 1
        return before(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(session, "request", request)
        yield counts


@pytest.fixture
def job(deployed: World) -> Job:
    """A job of six lines: one failed, one was refused, and one is blank."""
    deployed.sim.faults.add("row_failed", code=400, match={"row_text": "question 4"})
    first = question(1, key="007", region=HOSTILE, big=123456789012345678901234567890)
    others = [question(3, key=3), question(4, key=4), {"no": HOSTILE}]
    text = lines([first]) + "\n" + lines([*others, question(6, key=6)])
    drop = submit(deployed, text, on_invalid="skip")
    return collected(deployed, drop)


def test_rows_are_listed_and_read_one_by_one(
    deployed: World, pages: FlaskClient, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = f"/jobs/{job.id}/rows"
    with counted() as documents, asked(deployed, monkeypatch) as objects:
        page = pages.get(home)
    assert documents["reads"] <= 2
    assert objects["requests"] <= 4
    assert page.status_code == 200
    for n in (1, 3, 4, 5, 6):
        assert f'line={n}">r000000{n}</a>' in page.text
    assert "r0000002" not in page.text
    assert "1 to 5 of 5" in page.text
    assert "007" in page.text
    # The failures lead to an example of each.
    assert f'href="{home}?id=r0000004"' in page.text

    failed = pages.get(f"{home}?only=failed,refused").text
    assert [f"r000000{n}" in failed for n in (3, 4, 5)] == [False, True, True]
    assert "2 among the rows 1 to 5 of 5" in failed
    assert "No row is blocked" in pages.get(f"{home}?only=blocked").text

    with counted() as documents, asked(deployed, monkeypatch) as objects:
        first = pages.get(f"{home}?id=r0000001").text
    assert documents["reads"] <= 3
    assert objects["requests"] <= 8
    assert first.count('<pre class="text">question 1</pre>') == 2  # and the answer
    assert "123456789012345678901234567890" in first
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u202egnp.exe" in first
    assert "<script>alert" not in first
    assert "Previous row" not in first
    assert f'rel="next" href="{home}?line=3"' in first

    wrong = pages.get(f"{home}?line=4").text
    assert "question 4" in wrong
    assert "400 INVALID_ARGUMENT" in wrong
    assert f'rel="prev" href="{home}?line=3"' in wrong

    refused = pages.get(f"{home}?id=5").text
    assert "{&#34;no&#34;:" in refused
    assert "<script>alert" not in refused

    blank = pages.get(f"{home}?line=2")
    assert blank.status_code == 404
    assert f'href="{home}?line=1"' in blank.text
    assert f'href="{home}?line=3"' in blank.text


def test_an_address_that_names_no_rows_is_refused(pages: FlaskClient, job: Job) -> None:
    for query in (
        *("from=x", "from=0", f"from={'9' * 400}", "at=-1", "at=3", "only=faild"),
        *("id=r1", f"id={'r' * 500}", "line=0", "line=%00"),
    ):
        assert pages.get(f"/jobs/{job.id}/rows?{query}").status_code == 400, query


def test_what_is_gone_or_may_not_be_read_is_said_and_the_rest_is_shown(
    deployed: World, pages: FlaskClient, job: Job, cloud: CloudStorage
) -> None:
    home = f"/jobs/{job.id}/rows"
    work = deployed.settings.work.bucket
    cloud.refuses[work] = {"GET"}
    page = pages.get(f"{home}?line=1")
    assert page.status_code == 200
    assert f"may not read gs://{work}: grant Storage Object Viewer" in page.text
    assert '<h2 id="answer">' in page.text

    cloud.refuses.clear()
    assert job.staging is not None
    deployed.delete(job.staging.uri)
    assert "are gone" in pages.get(f"{home}?line=1").text

    # A mended page of results needs no index.
    results = there(job.results)
    assert results.index is not None
    deployed.delete(results.index)
    assert "1 to 5 of 5" in pages.get(home).text

    cloud.refuses[deployed.settings.output.bucket] = {"GET"}
    assert pages.get(home).status_code == 503

    cloud.refuses.clear()
    bucket, name = split_uri(results.uri)
    deployed.gcs.bucket(bucket).blob(name).upload_from_string(b"{}\n")
    for path in (home, f"{home}?line=1"):
        page = pages.get(path)
        assert page.status_code == 404
        assert "deleted or replaced" in page.text


def test_rows_are_shown_only_if_the_deployment_says_so(
    deployed: World, pages: FlaskClient
) -> None:
    job = submit_batch(deployed)

    before = pages.get(f"/jobs/{job.id}/rows")
    assert before.status_code == 200
    assert "No results" in before.text
    assert "It has not ended" in before.text
    assert f"<code>batchdrop show {job.id}</code> says how far" in before.text

    deployed.choose(dashboard_rows=False)
    off = pages.get(f"/jobs/{job.id}/rows?line=1")
    assert off.status_code == 403
    assert "BATCHDROP_DASHBOARD_ROWS" in off.text
    assert "dashboard.rows" in off.text


def test_a_question_of_a_split_file_is_read_from_its_part(
    deployed: World, pages: FlaskClient
) -> None:
    drop = submit(deployed, questions(4), part_rows=2)
    job = collected(deployed, drop)
    assert len(job.parts) == 2

    with counted() as documents:
        page = pages.get(f"/jobs/{job.id}/rows?line=3").text

    # The answer repeats it.
    assert page.count('<pre class="text">question 3</pre>') == 2
    assert documents["reads"] <= 3


def test_the_command_of_a_row_names_its_object_whatever_it_is_called(
    deployed: World, pages: FlaskClient
) -> None:
    deployed.choose(results="on")
    drop = deployed.upload(lines([question(1)]), "it's\u202e\nx.jsonl")
    deployed.worker.take(drop)
    job = collected(deployed, drop)

    texts = Markup(pages.get(f"/jobs/{job.id}/rows?line=1").text).texts
    command = next(text for text in texts if text.startswith("gcloud storage cat"))

    found = subprocess.run(
        ["bash", "-c", f"printf %s {command.split(' ', 5)[5]}"],
        capture_output=True,
        check=True,
        env={"LC_ALL": "C.UTF-8"},
    )
    results = there(job.results)
    assert found.stdout.decode() == f"{results.uri}#{results.generation}"
