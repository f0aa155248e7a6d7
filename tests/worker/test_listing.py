"""Lists of jobs read the documents that they show, however many others there are."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from batchdrop.jobs.codes import Phase
from batchdrop.jobs.shown import list_of_label, list_of_route
from batchdrop.jobs.values import Fact
from batchdrop.ledger.listing import cursor_of
from batchdrop.views.listing import Filters
from tests.reads import counted
from tests.there import there
from tests.worker.batches import submit
from tests.worker.world import World

#: Documents of other jobs.
MANY = 20_000


@pytest.fixture
def crowd(world: World) -> World:
    """Jobs that ended long ago, one a minute, of two folders; the last one is first."""
    begin = world.now() - timedelta(minutes=MANY)
    jobs = world.database.collection("jobs")

    def write(first: int) -> None:
        batch = world.database.batch()
        for n in range(first, first + 500):
            at = begin + timedelta(minutes=n)
            name = f"{'nightly' if n % 100 == 0 else 'daily'}/{n:05}.jsonl"
            source = {"bucket": "inbox", "name": name, "generation": 1, "size": 1}
            batch.set(
                jobs.document(id := f"old{n:023}"),
                {"id": id, "phase": "ended", "source": source}
                | {"created_at": at, "updated_at": at}
                | {"listed_at": at, "listed_as": ["ended", *_lists(n)]},
            )
        batch.commit()

    with ThreadPoolExecutor(4) as together:
        list(together.map(write, range(0, MANY, 500)))
    return world


def _lists(n: int) -> list[str]:
    """Each 1,000th has a label, and each 100th a route."""
    label = [list_of_label("team", "search")] if n % 1000 == 0 else []
    return [*label, *([list_of_route("nightly")] if n % 100 == 0 else [])]


@pytest.mark.proof
def test_a_list_of_jobs_reads_what_it_shows(crowd: World) -> None:
    world, ledger = crowd, crowd.ledger
    open, ill = submit(world), submit(world, "ill.jsonl")
    world.ledger.advance(
        ill,
        lambda j: replace(j, poll_failed=Fact(since=world.now(), message="no answer")),
    )

    with counted() as counts:
        newest = ledger.listed_jobs(50)
        ended = ledger.listed_jobs(50, "ended", after=cursor_of(newest[-1]))
        unhealthy = ledger.listed_jobs(50, "unhealthy")
        unfinished = ledger.listed_jobs(50, "open")
        named = ledger.listed_jobs_by_name("nightly/", 50)
        more = ledger.listed_jobs_by_name("nightly/", 50, after=cursor_of(named[-1]))
        past = ledger.listed_jobs_by_name("nightly/", 50, "ended", since=world.now())
        recent = ledger.listed_jobs(100, since=world.now() - timedelta(minutes=10))

    assert {one.id for one in newest[:2]} == {open.id, ill.id}
    assert newest[2].source.name == f"daily/{MANY - 1:05}.jsonl"
    assert [one.id for one in ended] == [f"old{MANY - 49 - n:023}" for n in range(50)]
    assert [one.id for one in unhealthy] == [ill.id]
    assert {one.id for one in unfinished} == {open.id, ill.id}
    assert [one.source.name for one in [*named, *more]] == [
        f"nightly/{MANY - 100 * n:05}.jsonl" for n in range(1, 101)
    ]
    assert (past, len(recent)) == ([], 12)
    # An empty answer counts as one.
    assert counts["reads"] == 50 + 50 + 1 + 2 + 50 + 50 + 1 + 12

    # Of several filters, that with the shortest list is asked of Firestore.
    with counted() as counts:
        filters = Filters(state="ended", labels={"team": "search"}, route="nightly")
        labelled = filters.page(ledger, 50)
        routed = Filters(route="nightly", name="nightly/**").page(ledger, 50)

    assert [one.id for one in labelled.jobs] == [
        f"old{MANY - 1000 * n:023}" for n in range(1, 21)
    ]
    assert labelled.last is None
    assert [one.id for one in routed.jobs] == [one.id for one in named]
    assert counts["reads"] == 20 + 51


def test_a_list_says_of_a_job_what_its_document_says(world: World) -> None:
    world.choose(max_active_jobs=1)
    first = submit(world, "a.jsonl")
    world.advance(timedelta(seconds=1))
    second = submit(world, "b.jsonl")
    world.ticks(2)

    waiting, running = world.ledger.listed_jobs(9)

    assert (running.id, running.phase) == (first.id, Phase.SUBMITTED)
    assert there(running.progress).rows == 3
    assert there(running.batch).state == there(world.job(first.source).batch).state
    assert there(running.spec).model == first.queue.rpartition(" ")[2]
    assert waiting.id == second.id
    assert there(waiting.waiting_for).code == "queue"
    assert waiting.waiting_in == second.waiting_in


def test_a_job_that_waits_in_a_queue_knows_how_many_come_first(world: World) -> None:
    world.choose(max_active_jobs=1)
    jobs = []
    for n in range(4):
        jobs.append(submit(world, f"{n}.jsonl"))
        world.advance(timedelta(seconds=1))

    ahead = [there(world.job(job.source).waiting_for).ahead for job in jobs]
    world.ticks(1)

    assert ahead == [0, 1, 2, 3]
    last = world.job(jobs[-1].source)
    assert world.ledger.jobs_ahead(last.waiting_in, last.created_at) == 2
