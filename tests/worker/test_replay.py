"""`batchdrop announcements`: what it lists, and what it sends once more."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from google.api_core import exceptions

from batchdrop import wiring
from batchdrop.cli import main
from batchdrop.jobs.job import Job
from batchdrop.storage import Storage
from batchdrop.subscribe import parse
from batchdrop.worker.commands import Commands
from tests import announcements
from tests.jobs import collected, ended
from tests.worker.office import Office
from tests.worker.world import storage_at


@pytest.fixture
def cli(
    office: Office, gcs: str, project: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """The command line of the office's deployment."""
    client = storage_at(gcs, project)
    monkeypatch.setattr(wiring, "ledger", lambda: office.ledger)
    monkeypatch.setattr(wiring, "storage", lambda: Storage(lambda: client))
    nothing: Any = None  # a replay needs no more than the ledger
    commands = Commands(
        ledger=office.ledger, cancelling=nothing, setbacks=nothing, now=office.clock
    )
    worker = SimpleNamespace(commands=commands)
    monkeypatch.setattr(wiring, "worker", lambda: worker)

    def run(*arguments: str, code: int = 0) -> Result:
        ran = CliRunner().invoke(main, ["announcements", *arguments])
        assert ran.exit_code == code, ran.output
        return ran

    yield run
    client.close()


def listed(ran: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.fixture
def jobs(office: Office) -> list[Job]:
    """A rejected one, and an hour later one that stalled and was rejected then."""
    first = office.rejected(1)
    office.clock.advance(hours=1)
    second = office.job(2)
    now = office.clock()
    parked = office.ledger.advance(second, lambda j: j.park(now))
    return [first, office.announced(parked)]


def test_announcements_are_listed_oldest_first(
    office: Office, jobs: list[Job], cli: Any
) -> None:
    found = listed(cli("list", "--since", "2026-03-01T00:00Z", "--json"))

    assert [(one["job_id"], one["type"].split(".")[3]) for one in found] == [
        (jobs[0].id, "rejected"),
        (jobs[1].id, "stalled"),
        (jobs[1].id, "rejected"),
    ]
    assert found[0]["body"]["source"]["name"] == "1.jsonl"
    assert found[0]["published_at"] is None


#: Options of `list`, and which of three announcements they choose.
CHOSEN: list[tuple[list[str], list[int]]] = [
    (["--since", "2026-03-01"], [0, 1, 2]),
    (["--since", "2026-03-01T12:30Z"], [1, 2]),
    (["--since", "2026-03-01T13:30+01:00"], [1, 2]),
    (["--since", "2026-03-01", "--until", "2026-03-01T12:30"], [0]),
    (["--since", "2026-03-01", "--type", "rejected"], [0, 2]),
    (["--since", "2026-03-01", "--type", "dev.batchdrop.job.stalled.v1"], [1]),
    (["--since", "2026-03-01", "--type", "stalled", "--type", "lost"], [1]),
    (["--since", "30m"], []),
    (["--job", "SECOND"], [1, 2]),
    (["--job", "SECOND", "--type", "rejected"], [2]),
    (["--job", "SECOND", "--until", "2026-03-01T12:00Z"], []),
]


def test_they_are_chosen_by_job_type_and_time(
    office: Office, jobs: list[Job], cli: Any
) -> None:
    every = [one for job in jobs for one in office.ids(job)]
    for chosen, numbers in CHOSEN:
        options = [jobs[1].id if text == "SECOND" else text for text in chosen]

        found = listed(cli("list", *options, "--json"))

        assert [one["id"] for one in found] == [every[n] for n in numbers], chosen


def test_results_are_chosen_by_what_people_call_them(office: Office, cli: Any) -> None:
    now = office.clock()
    job = office.ledger.advance(office.job(1), lambda job: ended(job, now))
    office.ledger.advance(job, lambda job: collected(job, now))

    found = listed(cli("list", "--job", job.id, "--type", "results", "--json"))

    assert [one["type"] for one in found] == ["dev.batchdrop.results.ready.v1"]
    assert " results " in cli("list", "--job", job.id).output


def test_for_people_it_is_a_table(office: Office, jobs: list[Job], cli: Any) -> None:
    office.drain()
    office.database.document(f"announcements/{office.ids(jobs[0])[0]}").update(
        {"published_at": None, "set_aside_at": office.clock(), "reason": "[bold]no"}
    )

    shown = cli("list", "--since", "2026-03-01").output

    rows = [line.split() for line in shown.splitlines() if "jsonl" in line]
    assert [row[2] for row in rows] == ["rejected", "stalled", "rejected"]
    assert "set aside: [bold]no" in shown
    assert jobs[1].id in shown


def test_a_replay_has_the_same_ids_and_the_same_bytes(
    office: Office, jobs: list[Job], cli: Any
) -> None:
    office.drain()
    office.drain()
    sent = list(office.topic.taken)

    said = cli("replay", "--job", jobs[1].id).output
    office.drain()

    again = office.topic.taken[3:]
    assert said.startswith("2 in the outbox")
    assert [(one.id, one.body, one.attributes) for one in again] == [
        (one.id, one.body, one.attributes) for one in sent if one.job_id == jobs[1].id
    ]


def test_a_replay_keeps_the_order(office: Office, jobs: list[Job], cli: Any) -> None:
    office.pace = timedelta(minutes=-5)
    job = office.announced(office.announced(jobs[1]))
    for _ in range(4):
        office.drain()
    office.topic.taken.clear()

    cli("replay", "--job", job.id)
    for _ in range(4):
        office.drain()

    assert office.topic.ids == office.ids(job)
    assert len(office.topic.ids) == 4


def test_a_replay_as_new_has_a_new_id_and_names_the_event_it_repeats(
    office: Office, jobs: list[Job], cli: Any
) -> None:
    office.drain()
    (old,) = (one for one in office.topic.taken if one.job_id == jobs[0].id)

    (line,) = listed(cli("replay", "--job", jobs[0].id, "--new", "--json"))
    office.drain()

    new = office.topic.taken[-1]
    assert new.id == line["id"] != old.id
    assert (new.seq, new.body) == (2, old.body)
    announcements.check(new)
    event = parse(announcements.push(new))
    assert (event.replay_of, event.seq) == (old.id, 2)
    # The job counts on from there.
    held = office.ledger.get(jobs[0].id)
    assert held is not None
    assert office.announced(held).seq == 3


def test_two_replays_as_new_are_two_more_events_of_the_originals(
    office: Office, jobs: list[Job], cli: Any
) -> None:
    (original,) = office.ids(jobs[0])
    for _ in range(2):
        office.drain()
        cli("replay", "--job", jobs[0].id, "--type", "rejected", "--new")
    office.drain()

    mine = [one for one in office.topic.taken if one.job_id == jobs[0].id]
    assert [one.seq for one in mine] == [1, 2, 3]
    assert [one.replay_of for one in mine] == [None, original, original]


def test_announcements_of_a_job_that_there_is_not_are_an_error(cli: Any) -> None:
    for command in ("list", "replay"):
        ran = cli(command, "--job", "a" * 26, "--json", code=1)

        assert ran.stdout == ""
        assert ran.stderr == f"Error: there is no job {'a' * 26}\n"


def test_a_replay_as_new_works_after_the_job_has_expired(
    office: Office, jobs: list[Job]
) -> None:
    office.drain()
    (old,) = (one for one in office.topic.taken if one.job_id == jobs[0].id)
    office.database.document(f"jobs/{jobs[0].id}").delete()

    new = office.ledger.replay_as_new(old, office.clock())

    assert new.seq == 2
    assert office.held(new.id)["published_at"] is None


def test_a_number_that_is_taken_is_not_used_again(
    office: Office, jobs: list[Job]
) -> None:
    office.drain()
    (old,) = (one for one in office.topic.taken if one.job_id == jobs[0].id)
    # An announcement of an earlier job of this id, which the ledger has forgotten.
    taken = replace(old.anew(2, office.clock()), body=b"another")
    office.database.document(f"announcements/{taken.id}").set(
        {"body": taken.body, "seq": 2, "job_id": old.job_id}
        | office.held(old.id)
        | {"id": taken.id, "body": b"another", "seq": 2}
    )

    new = office.ledger.replay_as_new(old, office.clock())

    assert new.seq == 3
    assert office.held(taken.id)["body"] == b"another"


def test_an_answer_that_was_lost_makes_no_second_one(
    office: Office, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    from google.cloud.firestore_v1.batch import WriteBatch

    office.drain()
    (old,) = (one for one in office.topic.taken if one.job_id == jobs[0].id)
    commit = WriteBatch.commit

    def lossy(self: WriteBatch, **kwargs: Any) -> None:
        commit(self, **kwargs)
        raise exceptions.FailedPrecondition("the client sent it twice")

    monkeypatch.setattr(WriteBatch, "commit", lossy)
    new = office.ledger.replay_as_new(old, office.clock())

    assert new.seq == 2
    assert len(office.ids(jobs[0])) == 2


def test_what_was_set_aside_is_tried_again_and_the_job_is_well(
    office: Office, jobs: list[Job], cli: Any
) -> None:
    (id,) = office.ids(jobs[0])
    office.topic.refuses = {id}
    for _ in range(10):
        office.drain()
    health = office.health(jobs[0])
    assert health is not None
    assert health.code == "unpublished"

    office.topic.refuses = set()
    cli("replay", "--job", jobs[0].id)
    office.drain()

    assert id in office.topic.ids
    assert office.health(jobs[0]) is None
    assert office.held(id)["set_aside_at"] is None


def test_a_replay_with_a_new_id_clears_the_health_of_a_refused_announcement(
    office: Office, jobs: list[Job], cli: Any
) -> None:
    office.topic.refuses = set(office.ids(jobs[0]))
    for _ in range(10):
        office.drain()
    assert office.health(jobs[0]) is not None

    cli("replay", "--job", jobs[0].id, "--new")

    assert office.health(jobs[0]) is None


def test_a_job_may_be_called_by_what_was_dropped(
    office: Office, jobs: list[Job], cli: Any
) -> None:
    office.drain()

    listing = listed(cli("list", "--json", "--job", str(jobs[0].source)))
    said = cli("replay", "--job", str(jobs[0].source)).output

    assert [one["id"] for one in listing] == office.ids(jobs[0])
    assert said.startswith("1 in the outbox")


def test_what_is_on_its_way_anyway_is_left_alone(
    office: Office, jobs: list[Job], cli: Any
) -> None:
    said = cli("replay", "--since", "2026-03-01", "--new").output

    assert said.startswith("0 in the outbox")
    assert len(office.ids(jobs[0])) == 1


def test_what_cannot_be_is_refused_with_what_can(cli: Any) -> None:
    for arguments, words in (
        (["replay"], "say which: by --job, --type or --since"),
        (["replay", "--new"], "say which: by --job, --type or --since"),
        (["replay", "--type", "exploded"], "succeeded, partially_succeeded, failed"),
        (["list", "--since", "yesterday"], "neither a time"),
        (["list", "--since", "999999d"], "neither a time"),
    ):
        assert words in cli(*arguments, code=2).output
