"""`batchdrop status`: what is there, what waits, what is wrong and what to do."""

import json
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
import requests
from click.testing import CliRunner

from batchdrop import wiring
from batchdrop.cli import main
from batchdrop.jobs.codes import HealthCode
from batchdrop.views import dead_letters
from batchdrop.views.status import Ticks, _wrong_ticks
from tests.clock import Clock
from tests.reads import counted
from tests.there import there
from tests.worker.world import World


@pytest.fixture
def deployed(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(wiring, "settings", lambda: world.settings)
    monkeypatch.setattr(wiring, "ledger", lambda: world.ledger)
    monkeypatch.setattr(wiring, "routes", lambda: world.routes)
    monkeypatch.setattr(wiring, "now", lambda: world.now)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
    return world


def status(deployed: World) -> dict[str, Any]:
    ran = CliRunner().invoke(main, ["status", "--json"])
    assert ran.exit_code == 0, ran.output
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def text(deployed: World) -> str:
    ran = CliRunner().invoke(main, ["status"])
    assert ran.exit_code == 0, ran.output
    return ran.stdout


def codes(found: dict[str, Any]) -> list[str]:
    return [each["code"] for each in found["wrong"]]


def test_a_deployment_in_which_nothing_happened_lacks_a_tick(deployed: World) -> None:
    found = status(deployed)

    assert codes(found) == ["no_tick"]
    assert found["queues"] == found["limits"] == []
    assert found["dead_letters"]["why_unknown"]
    assert "! poll has not run yet\n  look at the schedule" in text(deployed)


def test_a_deployment_that_runs_shows_its_queue_and_nothing_wrong(
    deployed: World,
) -> None:
    drop = deployed.upload()
    deployed.worker.take(drop)
    deployed.tick()

    found = status(deployed)

    (queue,) = found["queues"]
    assert (queue["open"], queue["waiting"]) == (1, 0)
    assert queue["queue"] == deployed.job(drop).queue
    assert found["ticks"]["last"] is not None
    assert found["wrong"] == []
    assert text(deployed).endswith("nothing is wrong\n")


def test_what_waits_is_shown_by_queue_with_why(deployed: World) -> None:
    deployed.choose(paused=True)
    drops = [deployed.upload(name=f"{n}.jsonl") for n in range(3)]
    for drop in drops:
        deployed.worker.take(drop)
        deployed.advance(timedelta(seconds=1))
    deployed.tick()

    found = status(deployed)

    (queue,) = found["queues"]
    assert (queue["open"], queue["waiting"]) == (0, 3)
    assert queue["first"] == drops[0].job_id
    assert queue["waiting_for"]["code"] == "paused"
    assert codes(found) == ["paused"]


def test_status_reads_as_much_of_many_jobs_as_of_few(deployed: World) -> None:
    deployed.choose(paused=True)
    drop = deployed.upload()
    deployed.worker.take(drop)
    deployed.tick()
    with counted() as few:
        status(deployed)
    job = deployed.database.document(f"jobs/{drop.job_id}").get().to_dict()
    batch = deployed.database.batch()
    for n in range(30):
        document = deployed.database.document(f"jobs/{n}")
        batch.set(document, {**there(job), "id": f"{n}"})
    batch.commit()

    with counted() as many:
        (queue,) = status(deployed)["queues"]

    assert queue["waiting"] == 31
    assert many == few
    assert (many["reads"] < 30, many["writes"]) == (True, 0)


def test_what_the_day_has_used_of_its_limits_is_shown(deployed: World) -> None:
    deployed.choose(
        max_rows_per_day=10,
        max_cost_per_day=2.5,
        routes='[[route]]\nmatch = "a*"\nmax_cost_per_day = 1\n',
    )
    deployed.worker.take(deployed.upload(name="a.jsonl"))
    deployed.tick()

    found = status(deployed)

    limits = {each["what"]: each for each in found["limits"]}
    assert limits["rows"] == {"what": "rows", "used": 1, "limit": 10}
    assert limits["cost"]["limit"] == 2_500_000
    assert limits["cost of a*"]["limit"] == 1_000_000
    assert 0 < limits["cost"]["used"] == limits["cost of a*"]["used"]
    assert f"{found['day']}, rows: 1 of 10\n" in text(deployed)
    assert f"{found['day']}, cost: 0.00 of 2.50\n" in text(deployed)


def test_what_pubsub_refuses_is_wrong_and_what_is_unhealthy(deployed: World) -> None:
    deployed.tick()
    drop = deployed.upload("not json\n")
    deployed.worker.take(drop)
    deployed.advance(timedelta(minutes=11))
    (announcement,) = deployed.ledger.announcements_of(drop.job_id)

    late = status(deployed)
    job, now = deployed.job(drop), deployed.now()
    deployed.ledger.advance(
        job, lambda j: j.troubled(HealthCode.UNPUBLISHED, "no", now)
    )
    deployed.database.document(f"announcements/{announcement.id}").update(
        {"set_aside_at": now}
    )
    aside = status(deployed)

    assert (late["outbox"]["waiting"], codes(late)) == (1, ["outbox"])
    assert (aside["outbox"]["set_aside"], aside["unhealthy"]) == (1, 1)
    assert codes(aside) == ["unhealthy", "set_aside"]


def test_objects_that_are_ignored_for_their_names_are_counted(
    deployed: World,
) -> None:
    deployed.upload(name="a.json")
    deployed.upload(name="b\x1b[31m.txt")
    deployed.advance(timedelta(hours=2))
    deployed.ticks(2)

    found = status(deployed)

    assert (found["ignored"], codes(found)) == (2, ["ignored"])
    shown = text(deployed)
    assert "! 2 objects of the inbox make no job, such as b\\x1b[31m.txt\n" in shown


def test_a_queue_without_quota_is_shown_until_when(deployed: World) -> None:
    drop = deployed.upload()
    deployed.worker.take(drop)
    deployed.ledger.pause_queue(
        deployed.job(drop).queue, deployed.now(), timedelta(minutes=5)
    )
    deployed.tick()

    found = status(deployed)

    assert found["queues"][0]["paused_until"] is not None
    assert codes(found) == ["quota"]


def test_a_tick_or_sweep_that_is_late_is_wrong(deployed: World) -> None:
    now, settings = deployed.now(), deployed.settings
    cases: tuple[tuple[int, int, list[str]], ...] = (
        (5, 5, []),
        (7, 7, ["no_tick"]),
        (1, 16, ["no_sweep"]),
    )
    for ticked, swept, late in cases:
        age = timedelta(minutes=ticked)
        ticks = Ticks(
            last=now - age,
            age=age,
            running=False,
            swept=now - timedelta(minutes=swept),
            all_accounted_for=None,
        )

        wrong = _wrong_ticks(settings, ticks, now)

        assert [each.code for each in wrong] == late


class Monitoring(BaseHTTPRequestHandler):
    """Answers as Cloud Monitoring does."""

    status, body, asked = 200, "{}", ""

    def do_GET(self) -> None:
        type(self).asked = self.path
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def monitoring() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Monitoring)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


POINTS = [{"value": {"int64Value": "3"}}, {"value": {"int64Value": "9"}}]


@pytest.mark.parametrize(
    ("code", "body", "found"),
    [
        (200, json.dumps({"timeSeries": [{"points": POINTS}]}), 3),
        (200, "{}", "has no number of the subscription prod-dead-letters"),
        (403, "{}", "takes the role Monitoring Viewer"),
        (500, "{}", "answered 500"),
        (200, "<html>", "has no number"),
    ],
)
def test_dead_letters_are_those_that_cloud_monitoring_counts(
    clock: Clock,
    monitoring: str,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    body: str,
    found: int | str,
) -> None:
    monkeypatch.setattr(Monitoring, "status", code)
    monkeypatch.setattr(Monitoring, "body", body)

    with requests.Session() as session:
        session.trust_env = False
        try:
            counted: int | str = dead_letters.ask(
                session, monitoring, "p", "prod-dead-letters", clock()
            )
        except dead_letters.NotCounted as exc:
            counted = str(exc)

    assert counted == found or (isinstance(found, str) and found in str(counted))
    assert "subscription_id%3D%22prod-dead-letters%22" in Monitoring.asked
