"""`batchdrop jobs` over a ledger in Firestore's emulator."""

import json
from datetime import timedelta

import pytest

from batchdrop import wiring
from batchdrop.views import listing
from tests.reads import counted
from tests.worker.batches import submit
from tests.worker.commands import run
from tests.worker.world import GOOD, World


@pytest.fixture
def deployed(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(wiring, "storage", lambda: world.storage)
    monkeypatch.setattr(wiring, "ledger", lambda: world.ledger)
    return world


def several(world: World, *names: str, **metadata: str) -> list[str]:
    """Drops files that wait; returns their jobs' ids, the newest first."""
    world.choose(paused=True)
    ids = []
    for name in names:
        drop = world.upload(GOOD, name, metadata=metadata)
        world.worker.take(drop)
        world.advance(timedelta(minutes=1))
        ids.append(drop.job_id)
    return ids[::-1]


def listed(*arguments: str) -> list[str]:
    """The ids of the jobs that the command lists."""
    ran = run("jobs", "--json", *arguments)
    assert ran.exit_code == 0, ran.output
    return [json.loads(line)["id"] for line in ran.stdout.splitlines()]


def test_jobs_are_listed_the_newest_first_with_what_they_wait_for(
    deployed: World,
) -> None:
    ids = several(deployed, "a.jsonl", "b.jsonl")

    ran = run("jobs")

    head, *rows = (line.split() for line in ran.stdout.splitlines())
    assert head == ["job", "age", "name", "state", "rows", "cost", "note"]
    assert [row[0] for row in rows] == [id[:10] for id in ids]
    assert [row[2:4] for row in rows] == [
        ["b.jsonl", "waiting"],
        ["a.jsonl", "waiting"],
    ]
    assert rows[0][-3:] == ["paused,", "1", "ahead"]


def test_a_list_goes_on_behind_the_last_job_of_a_page(deployed: World) -> None:
    ids = several(deployed, *(f"{n}.jsonl" for n in range(5)))

    first = run("jobs", "--limit", "2", "--json")
    second = run("jobs", "--limit", "2", "--json", "--after", ids[1])

    assert first.stderr == f"older ones: the same with --after {ids[1]}\n"
    assert run("jobs", "--limit", "5").stderr == ""
    assert [json.loads(line)["id"] for line in second.stdout.splitlines()] == ids[2:4]
    assert listed("--after", ids[3]) == ids[4:]
    assert "no list has a job" in run("jobs", "--after", "a" * 26).stderr


def test_jobs_are_filtered_by_state_name_time_label_and_route(deployed: World) -> None:
    deployed.choose(routes='[[route]]\nname = "later"\nmatch = "daily/**"\n')
    done = submit(deployed, "nightly/done.jsonl")
    deployed.until_ended()
    labelled = several(
        deployed, "nightly/a.jsonl", **{"batchdrop-labels": "team=search"}
    )
    others = several(deployed, "nightly/2026/b.jsonl", "daily/c.jsonl")
    later = deployed.job(done.source).created_at + timedelta(seconds=1)
    since = later.isoformat()

    assert listed("--ended") == [done.id]
    assert listed("--open") == [*others, *labelled]
    assert listed("--name", "nightly/*") == [*labelled, done.id]
    assert listed("--name", "nightly/**") == [others[1], *labelled, done.id]
    assert listed("--label", "team=search") == labelled
    assert listed("--route", "later") == others[:1]
    assert listed("--route", "later", "--label", "team=search") == []
    assert listed("--since", since) == [*others, *labelled]
    assert listed("--unhealthy") == []
    assert run("jobs", "--name", "a[").exit_code == 2


def test_filters_without_an_index_stop_after_some_pages_and_say_where(
    deployed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "PAGE", 2)
    monkeypatch.setattr(listing, "MOST", 4)
    ids = several(deployed, *(f"{n}.jsonl" for n in range(6)))

    with counted() as counts:
        ran = run("jobs", "--name", "*.csv")

    assert ran.exit_code == 0
    assert (
        ran.stderr == f"4 jobs were read; older ones: the same with --after {ids[3]}\n"
    )
    assert counts["reads"] == 4


def test_a_name_with_control_characters_is_shown_escaped(deployed: World) -> None:
    several(deployed, "a\x1b[31m[b]x.jsonl")

    ran = run("jobs")

    assert "\x1b" not in ran.stdout
    assert "\\x1b[31m[b]x.jsonl" in ran.stdout


def test_a_list_without_jobs_says_so(deployed: World) -> None:
    ran = run("jobs", "--unhealthy")

    assert (ran.exit_code, ran.stdout) == (0, "")
    assert ran.stderr == "there are no such jobs\n"
