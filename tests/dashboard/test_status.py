"""`/status`: what is wrong, and all that `batchdrop status` shows, in few reads."""

import json
import re
from concurrent.futures import Future
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient

from batchdrop.cli import main
from batchdrop.dashboard import status
from batchdrop.jobs.codes import HealthCode, Phase
from batchdrop.views import dead_letters
from tests.dashboard.costs import rows
from tests.reads import counted
from tests.there import there
from tests.worker.world import World

QUEUES = "Queues with open or waiting jobs"


@pytest.fixture(autouse=True)
def no_monitoring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")


def command() -> dict[str, Any]:
    ran = CliRunner().invoke(main, ["status", "--json"])
    assert ran.exit_code == 0, ran.output
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def fact(page: str, name: str) -> str:
    """What a page says of a name."""
    (found,) = re.findall(rf"<dt>{re.escape(name)}</dt><dd>(.*?)</dd>", page)
    return unescape(re.sub(r"<[^>]+>", "", found))


def test_a_deployment_that_runs_shows_that_nothing_is_wrong(
    deployed: World, pages: FlaskClient
) -> None:
    deployed.choose(max_rows_per_day=10, max_cost_per_day=2.5)
    drop = deployed.upload()
    deployed.worker.take(drop)
    deployed.tick()

    page = pages.get("/status").text

    found = command()
    assert "Nothing is wrong" in page
    (line,) = found["queues"]
    assert rows(page, QUEUES) == [[line["queue"], "0", "1", ""]]
    assert re.fullmatch(r"\d+s ago", fact(page, "Last tick"))
    assert fact(page, "In no queue yet") == f"{found['unsent']}"
    assert fact(page, "With answers to collect") == f"{found['collecting']}"
    assert fact(page, "To send") == f"{found['outbox']['waiting']}"
    assert fact(page, "Dead letters, refused by subscribers") == (
        "not known: an emulator doesn't count its messages"
    )
    assert "1 of 10 rows used" in page
    assert re.search(r"0\.00 of 2\.50 USD reserved", page)


def test_what_is_wrong_comes_first_with_what_to_do(
    deployed: World, pages: FlaskClient
) -> None:
    never = pages.get("/status").text
    deployed.choose(paused=True)
    ill, waiting = deployed.upload("not json\n"), deployed.upload(name="b.jsonl")
    deployed.worker.take(ill)
    deployed.worker.take(waiting)
    deployed.tick()
    (announcement,) = deployed.ledger.announcements_of(ill.job_id)
    job, now = deployed.job(ill), deployed.now()
    deployed.ledger.advance(
        job, lambda j: j.troubled(HealthCode.UNPUBLISHED, "no", now)
    )
    deployed.database.document(f"announcements/{announcement.id}").update(
        {"set_aside_at": now, "published_at": None}
    )
    deployed.database.document("locks/reconcile").update(
        {"ignored": 2, "ignored_name": "<b>.json"}
    )

    page = pages.get("/status").text

    found = command()
    assert "1 thing is wrong" in never
    assert "Poll has not run yet" in never
    assert "<title>4 wrong, Status" in page
    assert page.index("4 things are wrong") < page.index("Ticks of poll")
    for each in found["wrong"]:
        assert unescape(page).count(each["message"][1:]) >= 1
    assert '<a href="/?state=unhealthy&amp;since=7d">These jobs' in page
    assert ill.name in pages.get("/?state=unhealthy&since=7d").text
    assert "batchdrop jobs --unhealthy" not in page
    assert "<code>batchdrop announcements list --since 30d</code>" in page
    assert "such as &lt;b&gt;.json" in page
    assert "<b>.json" not in page
    (line,) = found["queues"]
    assert f'<a href="/jobs/{waiting.job_id}">' in page
    ((name, *_),) = rows(page, QUEUES)
    assert name.split("\n") == [line["queue"], line["waiting_for"]["message"]]
    assert fact(page, "Set aside, refused by Pub/Sub") == "1"
    assert fact(page, "Objects that make no job") == "2"


def test_of_forty_queues_those_are_read_that_wait_for_longest(
    deployed: World, pages: FlaskClient
) -> None:
    deployed.choose(paused=True)
    drop = deployed.upload()
    deployed.worker.take(drop)
    deployed.tick()
    reference = deployed.database.document(f"jobs/{drop.job_id}")
    job = there(reference.get().to_dict())
    reference.delete()
    batch = deployed.database.batch()
    for n in range(40):
        queue = f"vertex/here/m{n:02}"
        held = {"queue": queue, "waiting_in": queue}
        # The first ones by name wait for the shortest time.
        since = job["created_at"] - timedelta(minutes=n)
        waits = {**job, **held, "id": f"{n}", "created_at": since}
        batch.set(deployed.database.document(f"jobs/{n}"), waits)
        sent = {**job, "queue": queue, "id": f"s{n}", "phase": Phase.SUBMITTED.value}
        del sent["waiting_in"]
        batch.set(deployed.database.document(f"jobs/s{n}"), sent)
    batch.commit()
    deployed.ledger.pause_queue("vertex/here/m39", deployed.now(), timedelta(minutes=5))

    with counted() as counts:
        page = pages.get("/status").text

    shown = rows(page, QUEUES)
    assert [row[0].split("\n")[0] for row in shown] == [
        f"vertex/here/m{n:02}" for n in range(16, 8, -1)
    ]
    assert all(row[1:3] == ["1", "1"] for row in shown)
    assert "There are at least 9 more" in page
    # Also what is wrong with a queue that isn't shown.
    assert "The queue vertex/here/m39 pauses until" in page
    assert (counts["reads"] <= 60, counts["writes"]) == (True, 0)


@pytest.mark.parametrize("answer", ["slow", "refused", "3"])
def test_the_page_does_not_wait_for_cloud_monitoring(
    deployed: World, pages: FlaskClient, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    asked: Future[int] = Future()
    if answer == "refused":
        asked.set_exception(dead_letters.NotCounted("counting takes a <role>"))
    elif answer != "slow":
        asked.set_result(int(answer))
    monkeypatch.setattr(dead_letters, "begin", lambda *_: asked)
    monkeypatch.setattr(status, "PATIENCE", 0.01)

    page = pages.get("/status").text

    assert (
        fact(page, "Dead letters, refused by subscribers")
        == {
            "slow": "not known: Cloud Monitoring takes too long",
            "refused": "not known: counting takes a <role>",
            "3": "3",
        }[answer]
    )
    assert ("Subscribers refused 3 announcements" in page) is (answer == "3")
