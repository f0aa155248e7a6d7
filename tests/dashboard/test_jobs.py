"""The list of jobs: groups, filters, pages, and how many documents they read."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient

from batchdrop.jobs.values import Drop
from tests.reads import counted
from tests.worker.batches import submit
from tests.worker.world import World

MANY = 200


def document(world: World, name: str, minutes: int, **more: Any) -> dict[str, Any]:
    """A job's document; it was dropped so many minutes ago."""
    drop = Drop(bucket="inbox", name=name, generation=1, size=1)
    at = world.now() - timedelta(minutes=minutes)
    source = {"bucket": drop.bucket, "name": name, "generation": 1, "size": 1}
    times = {"created_at": at, "updated_at": at, "listed_at": at}
    ended = {"id": drop.job_id, "phase": "ended", "listed_as": ["ended"]}
    return ended | {"source": source} | times | more


def write(world: World, *documents: dict[str, Any]) -> None:
    batch = world.database.batch()
    for each in documents:
        batch.set(world.database.collection("jobs").document(each["id"]), each)
    batch.commit()


def names(page: str) -> list[str]:
    """The names of the jobs in the tables of a page."""
    cells = re.findall(r"<bdi [^>]*>(.*?)</bdi></a></th>", page)
    return [unescape(re.sub("<[^>]*>", "", cell)) for cell in cells]


def link(page: str, text: str) -> str:
    """The address of the link with a text."""
    found = re.search(rf'<a [^>]*?href="([^"]*)"[^>]*>{text}<', page)
    assert found, text
    return unescape(found[1])


def group(page: str, id: str) -> str:
    return page.partition(f'<section id="{id}"')[2].partition("</section>")[0]


def test_the_first_page_has_what_is_ill_then_what_is_open_then_what_ended(
    deployed: World, pages: FlaskClient
) -> None:
    open = submit(deployed, "nightly/open.jsonl")
    now = deployed.now()
    health = {"code": "stalled", "message": "in `PENDING` for 2 days", "since": now}
    long_ago = 60 * 24 * 8
    ill = document(
        deployed,
        "ill.jsonl",
        long_ago,
        health=health,
        listed_as=["open", "unhealthy"],
        phase="split",
        progress={"rows": 1000, "answered": 250, "failed": 50, "parts": 2},
    )
    staged = {"rows": 0, "answered": 0, "failed": 0, "parts": 300}
    arrived = {"phase": "arrived", "listed_as": ["open"], "progress": staged}
    staging = document(deployed, "staging.jsonl", 5, **arrived)
    listed = ["ended", "unhealthy"]
    old = document(deployed, "old.jsonl", long_ago, health=health, listed_as=listed)
    done = document(
        deployed,
        "done.jsonl",
        9,
        outcome="partially_succeeded",
        rows={"total": 1000, "accepted": 990, "refused": 10, "ok": 900, "failed": 90},
        cost={"micros": 8_180_000, "currency": "USD", "prices_as_of": "2026-11-01"},
    )
    write(deployed, ill, staging, done, old)

    page = pages.get("/").text

    # What ended long ago is of no use on top, however it ended.
    waits = ["nightly/open.jsonl", "staging.jsonl", "ill.jsonl"]
    assert names(page) == [*waits, "done.jsonl", "old.jsonl"]
    top = group(page, "ill")
    assert "in <code>PENDING</code> for 2 days" in top
    assert f"wait, or run <code>batchdrop cancel {ill['id']}</code>" in top
    assert top.count("<li") == 1
    assert link(top, "All that are unhealthy") == "/?state=unhealthy"
    assert names(group(page, "open")) == waits
    # Without a number that it is about, a bar says nothing.
    assert group(page, "open").count("<svg") == 1
    assert '<span class="folder">nightly/</span>' in page
    assert '<span class="file">open.jsonl</span>' in page
    assert f'href="/jobs/{open.id}"' in page
    assert 'aria-label="200 answered, 50 failed"' in page
    assert '<rect class="failed" x="20.0" width="5.0" height="1"/>' in page
    ended = group(page, "ended")
    assert "900/1,000 ok" in ended
    assert 'aria-label="900 ok, 90 failed, 10 refused"' in ended
    assert "8.18 USD" in ended
    assert '<span class="badge partially_succeeded">partially succeeded' in ended
    # Somebody looks at something that moves.
    assert 'data-refresh="5"' in page
    assert 'data-refresh="30"' in pages.get("/?state=ended").text


@pytest.fixture
def crowd(deployed: World) -> World:
    """Jobs of each minute: each 3rd is open, each 10th has a label and a route."""
    documents = []
    for n in range(MANY):
        rare = ["label:team=search", "route:rare"] if n % 10 == 0 else []
        listed = ["ended" if n % 3 else "open", *rare]
        name = f"{'nightly' if n % 2 else 'daily'}/{n:03}.jsonl"
        one = document(deployed, name, n, listed_as=listed)
        if n % 3 == 0:
            waits = {"code": "queue", "message": "x", "since": one["created_at"]}
            one |= {"waiting_for": waits | {"ahead": 1}, "waiting_in": "queue"}
        documents.append(one)
    write(deployed, *documents)
    return deployed


def test_a_page_reads_at_most_60_documents_whatever_is_asked_for(
    crowd: World, pages: FlaskClient
) -> None:
    for address, most in {
        "/": 60,
        "/?state=open": 36,
        "/?state=ended": 26,
        "/?label=team%3Dsearch": 20 + 7,
        "/?route=rare": 20 + 7,
        "/?name=nightly/**": 36,
        "/?since=10m": 11 + 4,
        "/?name=*.csv": 48,
        "/?name=**/1*5.jsonl&state=open": 58,
        "/?label=team%3Dsearch&route=rare&state=ended&name=**": 20,
    }.items():
        with counted() as counts:
            answer = pages.get(address)
        assert (answer.status_code, counts["reads"] <= most) == (200, True), (
            f"{address} reads {counts['reads']}"
        )
        if link_to_older := re.search(
            r'<p class="more"><a href="([^"]*)"', answer.text
        ):
            with counted() as counts:
                assert pages.get(unescape(link_to_older[1])).status_code == 200
            assert counts["reads"] <= 60


def test_filters_are_in_the_address_and_each_can_be_removed(
    crowd: World, pages: FlaskClient
) -> None:
    def found(address: str) -> list[int]:
        page = pages.get(address).text
        return [int(name.partition("/")[2].partition(".")[0]) for name in names(page)]

    assert found("/?state=open")[:3] == [0, 3, 6]
    assert found("/?label=team%3Dsearch") == [*range(0, MANY, 10)]
    assert found("/?route=rare&state=ended") == [n for n in range(0, 200, 10) if n % 3]
    assert found("/?name=nightly/*&since=10m") == [1, 3, 5, 7, 9]
    assert found("/?label=team%3Dsearch&label=run%3D7") == []

    page = pages.get("/?state=ended&name=daily/*&label=team%3Dsearch&since=2d").text
    assert link(page, "Ended") == "/?name=daily%2F%2A&since=2d&label=team%3Dsearch"
    assert link(page, "name daily/\\*") == (
        "/?state=ended&since=2d&label=team%3Dsearch"
    )
    assert link(page, "label team=search") == "/?state=ended&name=daily%2F%2A&since=2d"
    assert '<option value="ended" selected>' in page
    assert 'name="since" value="2d"' in page
    # The form adds a label to those that are there.
    assert '<input type="hidden" name="label" value="team=search">' in page

    # Fields that were left empty, as a form sends them.
    sent = pages.get("/?state=&name=&label=&label=team%3Dsearch&route=&since=")
    assert (sent.status_code, sent.location) == (303, "/?label=team%3Dsearch")


def test_pages_follow_each_other_and_say_how_far_they_looked(
    crowd: World, pages: FlaskClient
) -> None:
    page = pages.get("/?state=ended").text
    seen = names(page)
    while "Older jobs" in page:
        page = pages.get(link(page, "Older jobs")).text
        seen += names(page)
    assert len(seen) == len(set(seen)) == sum(1 for n in range(MANY) if n % 3)
    assert link(page, "Newest jobs") == "/?state=ended"
    # The groups of the first page go on behind their last jobs.
    first = pages.get("/").text
    again = pages.get(link(first, "Older jobs")).text
    assert names(group(first, "ended")) + names(again) == seen[:50]

    page = pages.get("/?name=**/199.jsonl").text
    looked = 0
    while "Look further" in page:
        assert names(page) == []
        assert "48 jobs were looked at, down to those dropped <time" in page
        looked += 48
        page = pages.get(link(page, "Look further")).text
    assert (looked, names(page)) == (192, ["nightly/199.jsonl"])
    page = pages.get("/?name=**/none.jsonl&state=open").text
    page = pages.get(link(page, "Look further")).text
    assert "No job is behind that one." in page


def test_what_anybody_has_named_is_neither_markup_nor_hidden(
    deployed: World, pages: FlaskClient
) -> None:
    name = "<script>alert(1)</script>\"'&x\x1b[31m\u202egpj.\u2800\n.jsonl"
    message = "<img src=x onerror=alert(1)> `<b>`\x00"
    health = {"code": "parked", "message": message, "since": deployed.now()}
    listed = ["ended", "unhealthy", "label:a=<b>"]
    ill = document(deployed, name, 1, health=health, listed_as=listed)
    error = {"code": "bad_rows", "message": message}
    write(deployed, ill, document(deployed, "folder/x", 2, error=error))

    pages_of = [
        pages.get(address).text
        for address in (
            "/",
            "/?state=unhealthy",
            "/?label=a%3D<b>&route=%22><script>&name=<i>*%26'&since=1d",
            "/?since=%22><script>alert(1)</script>",
        )
    ]

    for page in pages_of:
        # Ours: the one of base.html.
        assert page.count("<script") == 1
        for text in ("<img src=x", "<b>", "<i>", "\x1b", "\u202e", "\u2800", "\x00"):
            assert text not in page
    assert "\\x1b[31m\\u202egpj.\\u2800\\n.jsonl" in pages_of[0]
    assert "<code>&lt;b&gt;</code>\\x00" in pages_of[0]
    assert 'value="&#34;&gt;&lt;script&gt;"' in pages_of[2]


def test_a_list_without_jobs_says_how_a_file_is_dropped(
    deployed: World, pages: FlaskClient
) -> None:
    command = f"gcloud storage cp requests.jsonl gs://{deployed.settings.inbox}/"

    page = pages.get("/").text

    assert f"<code>{command}</code>" in page
    assert f'data-copy="{command}"' in page
    assert "No job passes these filters." in pages.get("/?state=unhealthy").text


def test_a_filter_that_cannot_be_read_answers_with_what_to_write(
    pages: FlaskClient,
) -> None:
    for address, says in {
        "/?name=a%5B": "Name: &#39;a[&#39; has a [ without its ]",
        "/?name=" + "*a" * 11: "Name: write at most 10 wildcards",
        "/?since=soon": "nor how long ago it was (90m, 12h, 7d)",
        "/?since=0001-01-01T00:00%2B23:59": "is neither a time",
        "/?label=team": "Label: &#39;team&#39;: write KEY=TEXT",
        "/?label=%3Dx": "write KEY=TEXT",
        "/?label=a%3D1&label=a%3D2": "no job has one label twice",
        "/?" + "&".join(f"label=a{n}%3D1" for n in range(6)): "at most 5 labels",
        "/?state=gone": "State: write all, open, ended, unhealthy",
        "/?route=" + "x" * 201: "Route: 201 characters; write at most 200",
        "/?after=1": "After: write the id of a job",
    }.items():
        answer = pages.get(address)
        assert answer.status_code == 400, address
        assert says in answer.text
        assert 'role="alert"' in answer.text

    # What was written stays in its field, which is marked.
    page = pages.get("/?name=a%5B&state=open").text
    assert 'value="a[" placeholder="nightly/**"' in page
    assert page.count('aria-invalid="true"') == 1
    assert pages.get(f"/?after={'a' * 26}").status_code == 404
