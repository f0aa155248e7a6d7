"""How far back a sweep lists, what it reads, and which answers it keeps."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from batchdrop.announcements.message import announcement_id
from batchdrop.errors import Unavailable
from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from tests.often import mostly
from tests.worker.backends import BOTH, DEVELOPER
from tests.worker.batches import listed, resource, says, several, state, submit, vanish
from tests.worker.world import Wire, World, slow


def asked(world: World) -> tuple[list[datetime], list[str]]:
    """What a tick asks the API: lists, by where they begin, and gets, by name."""
    before = len(requests(world))
    world.tick()
    lists, gets = [], []
    for one in requests(world)[before:]:
        if one["method"] == "GET" and one["path"].endswith("PredictionJobs"):
            (filter,) = parse_qs(one["query"])["filter"]
            begin = filter.partition('create_time>="')[2].partition('"')[0]
            lists.append(datetime.fromisoformat(begin))
        elif one["method"] == "GET":
            gets.append(one["path"].split("/", 2)[2])
    return lists, gets


def requests(world: World) -> list[dict[str, Any]]:
    log = httpx.get(f"{world.sim.url}/_sim/log").raise_for_status().json()
    return list(log["requests"])


# -- how far ------------------------------------------------------------------------


def test_a_sweep_asks_for_one_list_that_reaches_back_two_hours(world: World) -> None:
    several(world, 3)

    lists, gets = asked(world)

    assert lists == [world.now() - timedelta(hours=2)]
    assert gets == []


def test_a_batch_that_takes_longer_is_reached_by_the_list(world: World) -> None:
    world.sim.faults.add("stuck_pending")
    job = submit(world)
    assert job.batch is not None
    world.ticks(1)
    world.advance(timedelta(hours=5))
    world.ticks(1)

    lists, _ = asked(world)

    assert lists == [job.batch.create_time]


def test_a_straggler_is_asked_for_by_name_where_the_list_to_it_has_more_pages(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchdrop.worker.sweep.PAGE", 1)
    world.sim.faults.add("stuck_pending", match={"display_name": "old.jsonl"})
    old = submit(world, "old.jsonl")
    assert old.batch is not None
    several(world, 3)  # these lie between
    world.ticks(1)
    world.advance(timedelta(hours=5))
    world.ticks(1)

    lists, gets = asked(world)

    assert lists == [world.now() - timedelta(hours=2)]
    assert gets == [old.batch.name]


def test_many_stragglers_are_reached_by_the_list(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchdrop.worker.sweep.PAGE", 1)
    monkeypatch.setattr("batchdrop.worker.sweep.STRAGGLERS", 2)
    world.sim.faults.add("stuck_pending")
    jobs = several(world, 3)
    world.ticks(1)
    world.advance(timedelta(hours=5))
    world.ticks(1)

    lists, gets = asked(world)

    assert jobs[0].batch is not None
    assert lists == [jobs[0].batch.create_time]
    assert gets == []


def test_once_an_hour_every_open_job_is_accounted_for(world: World) -> None:
    world.sim.faults.add("stuck_running")
    hidden = submit(world, "hidden.jsonl")
    world.ticks(1)
    assert hidden.batch is not None
    # Somebody's batch bears the marks of a job that is over: as many are to be seen as
    # are open, and one of them isn't.
    over = world.upload("not json", "over.jsonl")
    world.worker.take(over)
    labels = {"batchdrop_job": over.job_id, "batchdrop_deployment": "tests"}
    shown = resource(world, hidden, name=f"{hidden.batch.name}9", labels=labels)
    shown["updateTime"] = (world.now() - timedelta(days=1)).isoformat()

    asked_for = []
    for _ in range(7):
        world.advance(timedelta(minutes=10))
        listed(world, shown)
        asked_for.append(hidden.batch.name in asked(world)[1])

    assert asked_for.count(True) == 1
    assert asked_for.index(True) >= 5


# -- what is read, and kept ----------------------------------------------------------


def test_only_the_documents_of_batches_that_moved_are_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "batchdrop.worker.sweep.STRAGGLERS", 0
    )  # it reads one more: the first
    first, still = several(world, 2)
    world.ticks(1, timedelta(minutes=7))
    assert state(world, first) == state(world, still) == "JOB_STATE_RUNNING"
    # No worker can decode it.
    document = world.database.collection("jobs").document(still.id)
    document.update({"created_at": "yesterday"})

    world.ticks(1)
    document.update({"created_at": still.created_at})
    world.until_ended()

    assert state(world, still) == "JOB_STATE_SUCCEEDED"


def test_an_answer_that_was_overtaken_is_ignored_though_it_is_news(
    world: World,
) -> None:
    job = submit(world)
    world.ticks(1, timedelta(minutes=7))
    # Two more replies of the API that cross on their way.
    early, late = (world.now() + timedelta(seconds=n) for n in (10, 20))
    pending = resource(world, job, state="JOB_STATE_PENDING")
    listed(world, resource(world, job, updateTime=late.isoformat()))
    listed(world, pending | {"updateTime": early.isoformat()})

    world.ticks(2)

    assert state(world, job) == "JOB_STATE_RUNNING"
    batch = world.job(job.source).batch
    assert batch is not None
    assert batch.update_time == late


def test_the_counts_are_kept_current_while_it_runs(world: World) -> None:
    job = submit(world, rows=10)
    world.ticks(1, timedelta(minutes=7))
    counts = []

    for done in (2, 5, 9):
        world.advance(timedelta(minutes=1))
        stats = {"successfulCount": f"{done}", "incompleteCount": f"{10 - done}"}
        now = world.now().isoformat()
        listed(world, resource(world, job, completionStats=stats, updateTime=now))
        world.tick()
        counts.append(progress(world, job))

    assert counts == [(2, 8), (5, 5), (9, 1)]
    assert state(world, job) == "JOB_STATE_RUNNING"
    # Progress is no state: history has none of it.
    assert len(world.job(job.source).history) == 5


@DEVELOPER
def test_the_developer_api_s_counts_are_kept_current_while_it_runs(
    world: World,
) -> None:
    job = submit(world, rows=10)
    world.ticks(1, timedelta(minutes=7))
    assert job.batch is not None
    url, key = f"{world.sim.url}/v1beta/{job.batch.name}", {"x-goog-api-key": "k"}
    answer = httpx.get(url, headers=key).raise_for_status().json()
    counts = []

    for left in (8, 5, 1):
        answer["metadata"]["batchStats"] |= {
            "successfulRequestCount": f"{10 - left}",
            "pendingRequestCount": f"{left}",
        }
        world.wire.gets = [says(answer)]
        world.ticks(1)
        counts.append(progress(world, job))

    assert counts == [(2, 8), (5, 5), (9, 1)]
    assert state(world, job) == "JOB_STATE_RUNNING"


def progress(world: World, job: Job) -> tuple[int | None, int | None]:
    """How many rows are done, and how many aren't."""
    batch = world.job(job.source).batch
    assert batch is not None
    assert batch.completion_stats is not None
    return batch.completion_stats.successful, batch.completion_stats.incomplete


@BOTH
def test_how_long_it_waited_and_ran_can_be_read_from_the_document(
    world: World,
) -> None:
    job = submit(world)  # five minutes in the queue, ten at work

    world.ticks(2, timedelta(minutes=3))
    world.ticks(1, timedelta(minutes=10))

    job = world.job(job.source)
    assert job.phase is Phase.ENDED
    assert job.batch is not None
    assert job.batch.create_time is not None
    assert job.batch.end_time is not None
    assert job.running_since is not None
    # Without a start time from the API, it is when a tick first saw the state.
    late = (
        timedelta(minutes=1) if world.settings.backend == "developer" else timedelta(0)
    )
    waited = job.running_since - job.batch.create_time
    ran = job.batch.end_time - job.running_since
    assert timedelta(minutes=5) <= waited <= timedelta(minutes=5) + late
    assert timedelta(minutes=10) - late <= ran <= timedelta(minutes=10)


# -- documents that do not decode ------------------------------------------------------


@BOTH
def test_a_job_whose_document_cannot_be_read_holds_up_no_other_and_is_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = several(world, 3)
    spoilt = world.database.collection("jobs").document(jobs[0].id)
    spoilt.update({"v": 99})
    waiting = world.upload("not json", "bad.jsonl")

    world.ticks(1, timedelta(minutes=6))
    world.worker.take(waiting)
    world.ticks(2, timedelta(minutes=8))

    assert [world.job(job.source).phase for job in jobs[1:]] == [Phase.ENDED] * 2
    assert len(world.announced) == 3
    unread = "document not readable"
    records = [one.__dict__ for one in caplog.records if one.message == unread]
    assert {one["document"] for one in records} == {f"jobs/{jobs[0].id}"}
    assert "version 99" in records[0]["reason"]


def test_an_announcement_that_cannot_be_read_holds_up_no_other_and_is_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.pubsub_down = True
    drops = [world.upload("not json", f"{n}.jsonl") for n in range(3)]
    for drop in drops:
        world.worker.take(drop)
    spoilt, *others = [announcement_id(drop.job_id, 1) for drop in drops]
    world.database.document(f"announcements/{spoilt}").update({"seq": "first"})
    world.pubsub_down = False

    world.ticks(2)

    assert {one.id for one in world.announced} == set(others)
    unread = "document not readable"
    records = [one.__dict__ for one in caplog.records if one.message == unread]
    assert {one["document"] for one in records} == {f"announcements/{spoilt}"}


# -- answers that do not arrive ------------------------------------------------------


def test_pages_that_a_list_gave_before_it_failed_are_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchdrop.backends.vertex.PAGE", 1)
    jobs = several(world, 2)
    world.ticks(1)
    world.advance(timedelta(minutes=6))
    world.wire.lists = [lambda _: None, Wire.says(500)]

    with pytest.raises(ExceptionGroup):
        world.tick()

    moved = [state(world, job) == "JOB_STATE_RUNNING" for job in jobs]
    assert sorted(moved) == [False, True]
    assert [world.job(job.source).not_found for job in jobs] == [None, None]


@pytest.mark.proof
def test_more_404s_than_a_tick_asks_for_are_no_less_suspicious(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A key of another project, and more jobs than a tick can get by name.
    monkeypatch.setattr("batchdrop.worker.sweep.MAX_GETS", 2)
    jobs = several(world, 45)
    vanish(world, *jobs)

    world.ticks(5, timedelta(minutes=30))

    assert {world.job(job.source).phase for job in jobs} == {Phase.SUBMITTED}
    healths = [world.job(job.source).health for job in jobs]
    assert "not_visible" in {health.code for health in healths if health}
    assert world.announced == []


@pytest.mark.proof
def test_a_tick_whose_time_is_up_before_it_has_asked_for_all_loses_none(
    world: World,
) -> None:
    jobs = several(world, 30)
    vanish(world, *jobs)

    for _ in range(6):
        world.advance(timedelta(minutes=30))
        # Each answer takes so long that a tick gets two.
        world.wire.gets = [
            slow(world, timedelta(seconds=0.6 * world.settings.tick)) for _ in jobs
        ]
        world.tick()

    assert {world.job(job.source).phase for job in jobs} == {Phase.SUBMITTED}


def test_a_list_that_takes_too_long_is_left_when_the_tick_is_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchdrop.backends.vertex.PAGE", 1)
    several(world, 4)
    world.wire.lists = [
        slow(world, timedelta(seconds=0.15 * world.settings.tick)) for _ in range(20)
    ]

    lists, gets = asked(world)

    assert len(lists) == 3
    assert gets == []


def test_an_end_counts_though_its_time_is_before_what_was_read_last(
    world: World,
) -> None:
    job = submit(world)
    world.ticks(1, timedelta(minutes=8))
    late = (world.now() + timedelta(hours=1)).isoformat()
    listed(world, resource(world, job, updateTime=late))
    world.ticks(1)

    world.ticks(1, timedelta(minutes=12))

    assert world.job(job.source).phase is Phase.ENDED


def test_jobs_that_could_not_be_written_are_all_polled_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchdrop.worker.sweep.MAX_GETS", 1)
    world.sim.faults.add("stuck_running")
    jobs = several(world, 3)
    world.ticks(1)
    world.advance(timedelta(minutes=6))

    def fails(*_: object, **__: object) -> Job:
        raise Unavailable("Firestore is down")

    with monkeypatch.context() as patch:
        patch.setattr(world.ledger, "advance", fails)
        with pytest.raises(ExceptionGroup):
            world.tick()
    world.ticks_until(lambda: running(world, jobs) == 3, 10, timedelta(minutes=1))


# -- what is to be cancelled ---------------------------------------------------------


@BOTH
@pytest.mark.parametrize("code", mostly(403, also=[401, 429]))
def test_a_cancel_that_the_service_did_not_take_is_sent_again(
    world: World, code: int
) -> None:
    world.sim.faults.add("stuck_running")
    job = submit(world)
    world.ticks(1, timedelta(minutes=7))
    world.worker.commands.cancel(job.id, by="ann")
    world.wire.cancels = [Wire.says(code)]

    with pytest.raises(ExceptionGroup):
        world.tick()
    world.ticks(2, timedelta(minutes=2))

    ended = world.job(job.source)
    assert ended.batch is not None
    assert (ended.phase, ended.batch.state) == (Phase.ENDED, "JOB_STATE_CANCELLED")


@pytest.mark.proof
def test_more_cancels_than_a_tick_has_time_for_are_sent_by_the_next_ones(
    world: World,
) -> None:
    world.sim.faults.add("stuck_running")
    jobs = several(world, 4)
    world.ticks(7)
    for job in jobs:
        world.worker.commands.cancel(job.id, by="ann")
    hold = timedelta(seconds=world.settings.tick)
    world.wire.cancels = [slow(world, hold * 0.4) for _ in range(4)]

    began = world.now()
    world.tick()
    took = world.now() - began
    world.ticks(6)

    assert took < hold * 1.3
    assert {world.job(job.source).phase for job in jobs} == {Phase.ENDED}


# -- lists that are longer than a tick -------------------------------------------------


def slow_lists(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page has one batch, and takes the sweep's share of a tick."""
    monkeypatch.setattr("batchdrop.backends.vertex.PAGE", 1)
    share = timedelta(seconds=0.5 * world.settings.tick)
    world.wire.lists = [slow(world, share) for _ in range(1000)]


def running(world: World, jobs: list[Job]) -> int:
    return [state(world, job) for job in jobs].count("JOB_STATE_RUNNING")


@pytest.mark.proof
def test_a_list_that_takes_many_ticks_is_read_to_its_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sim.faults.add("stuck_running")
    jobs = several(world, 6)
    world.ticks(1)
    world.advance(timedelta(minutes=6))
    before = world.ledger.last_sweep()
    slow_lists(world, monkeypatch)

    began = world.now()
    world.ticks(5)
    assert running(world, jobs) == 5
    assert world.ledger.last_sweep() == before
    world.ticks(1)

    assert running(world, jobs) == 6
    # What changes after the first page was read is news to the next round.
    started = world.ledger.last_sweep().started
    assert started is not None
    assert began <= started < began + 2 * timedelta(minutes=1)
    assert world.ledger.cursor("lists") == {}


@pytest.mark.proof
def test_jobs_that_end_during_a_long_round_are_followed_by_the_next_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = several(world, 4)
    slow_lists(world, monkeypatch)

    world.ticks(10, timedelta(minutes=3))

    assert {world.job(job.source).phase for job in jobs} == {Phase.ENDED}


@pytest.mark.proof
def test_a_round_whose_page_token_has_expired_begins_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sim.faults.add("stuck_running")
    jobs = several(world, 4)
    world.advance(timedelta(minutes=6))
    slow_lists(world, monkeypatch)
    world.ticks(2)
    world.wire.lists.insert(0, Wire.says(400))

    world.ticks(1)

    assert running(world, jobs) == 2
    world.ticks(3)
    assert running(world, jobs) == 4


@pytest.mark.parametrize(
    "cursor",
    mostly(
        {"going": {"vertex us-central1": {"began": "yesterday"}}},
        also=[{"next": 3}, {"going": "all"}, {"failed": 1, "first": {}}],
    ),
)
def test_a_cursor_that_cannot_be_read_begins_anew(
    world: World, cursor: dict[str, Any]
) -> None:
    jobs = several(world, 2)
    world.ticks(1)
    world.database.document("locks/cursor-lists").set(cursor)

    world.until_ended()

    assert {world.job(job.source).phase for job in jobs} == {Phase.ENDED}


def test_a_job_that_could_not_be_written_in_a_long_round_is_looked_at_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sim.faults.add("stuck_running")
    jobs = several(world, 3)
    world.ticks(1)
    world.advance(timedelta(minutes=6))
    slow_lists(world, monkeypatch)

    def fails(*_: object, **__: object) -> Job:
        raise Unavailable("Firestore is down")

    with monkeypatch.context() as patch:
        patch.setattr(world.ledger, "advance", fails)
        with pytest.raises(ExceptionGroup):
            world.tick()
    world.ticks(2)
    assert running(world, jobs) == 2
    assert world.ledger.last_sweep().failed == (jobs[2].id,)
    world.wire.lists = []
    world.ticks(2)

    assert running(world, jobs) == 3
