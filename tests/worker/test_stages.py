"""No stage of a tick, and no endpoint, spends the time of the others."""

from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest

from batchdrop.announcements.message import Announcement
from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.worker.stages import AT_ONCE
from tests.worker.backends import DEVELOPER
from tests.worker.batches import quiet_ticks, several, state, submit
from tests.worker.world import Fault, World

#: As long as a request waits for its answer: see `wiring._client`.
TIMEOUT = timedelta(seconds=20)
#: The same, where the connection and the request's way take that long, too.
LONGEST = 3 * TIMEOUT


def hangs(
    world: World,
    where: Callable[[httpx.Request], bool],
    each: timedelta = TIMEOUT,
) -> list[Fault]:
    """Some requests get no answer until their time-out, however often they are sent."""

    def fault(request: httpx.Request) -> httpx.Response | None:
        if not where(request):
            return None
        world.advance(each)
        raise httpx.ReadTimeout("timed out", request=request)

    return [fault] * 10_000


def naming(*jobs: Job) -> Callable[[httpx.Request], bool]:
    names = [job.batch.name for job in jobs if job.batch]
    return lambda request: request.url.path.endswith(tuple(names))


@DEVELOPER
def test_batches_whose_get_hangs_hold_up_neither_other_ends_nor_the_queue(
    world: World,
) -> None:
    hung = several(world, 9)
    good = submit(world, "good.jsonl")
    world.choose(max_active_jobs=10)
    waiting = submit(world, "waiting.jsonl")
    assert waiting.phase is Phase.WAITING
    world.advance(timedelta(minutes=15))
    world.wire.gets = hangs(world, naming(*hung))

    quiet_ticks(world, 6)

    assert world.job(good.source).phase is Phase.ENDED
    assert good.id in [one.job_id for one in world.announced]
    assert world.job(waiting.source).phase is Phase.SUBMITTED


@DEVELOPER
def test_a_tick_does_not_wait_for_an_endpoint_that_does_not_answer(
    world: World,
) -> None:
    several(world, 9)
    world.wire.gets = hangs(world, lambda _: True)

    began = world.now()
    with pytest.raises(ExceptionGroup):
        world.tick()

    # Three in a row, and those that were under way by then.
    assert world.now() - began <= 6 * TIMEOUT


@pytest.mark.proof
def test_cancels_that_hang_hold_up_no_others(world: World) -> None:
    world.sim.faults.add("stuck_running")
    jobs = several(world, 6)
    world.ticks(7)
    for job in jobs:
        world.worker.commands.cancel(job.id, by="ann")
    *hung, good = sorted(jobs, key=lambda job: job.id)  # the last to be asked for
    is_good = naming_cancel(good)
    world.wire.cancels = hangs(world, lambda one: not is_good(one), LONGEST)

    quiet_ticks(world, 8)

    assert world.job(good.source).phase is Phase.ENDED
    assert {world.job(job.source).phase for job in hung} == {Phase.SUBMITTED}


def naming_cancel(job: Job) -> Callable[[httpx.Request], bool]:
    name = job.batch.name if job.batch else ""
    return lambda request: request.url.path.endswith(f"{name}:cancel")


@pytest.mark.proof
def test_deletions_that_hang_hold_up_no_others(world: World) -> None:
    world.choose(delete_after=3600.0)
    jobs = several(world, 6)
    world.ticks(20)
    world.advance(timedelta(hours=2))
    is_good = naming(jobs[-1])
    world.wire.deletes = hangs(world, lambda one: not is_good(one), LONGEST)

    quiet_ticks(world, 8)

    gone = [job.id for job in jobs if world.job(job.source).deleted_at]
    assert gone == [jobs[-1].id]


ROUTES = "".join(
    f"""
[[route]]
match = "{name}/**"
location = "{location}"
"""
    for name, location in (
        ("a", "asia-east1"),
        ("b", "europe-west1"),
        ("c", "europe-west4"),
        ("d", "us-central1"),
        ("e", "us-east1"),
        ("f", "us-east4"),
        ("g", "us-west1"),
    )
)


def test_locations_whose_lists_hang_hold_up_no_other_location(world: World) -> None:
    world.choose(ROUTES)
    jobs = {name: submit(world, f"{name}/x.jsonl") for name in "abcdefg"}
    world.advance(timedelta(minutes=6))
    good = jobs["g"]
    # Those that hang at once take no longer than one of them.
    world.wire.lists = hangs(
        world,
        lambda request: "us-west1" not in str(request.url),
        each=TIMEOUT / AT_ONCE,
    )

    quiet_ticks(world, 2)

    assert state(world, good) == "JOB_STATE_RUNNING"
    assert state(world, jobs["a"]) == "JOB_STATE_PENDING"


@pytest.mark.proof
def test_a_list_longer_than_a_tick_holds_up_no_other_location(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchdrop.backends.vertex.PAGE", 1)
    world.sim.faults.add("stuck_running")
    world.choose(ROUTES)
    long = [submit(world, f"a/{n}.jsonl") for n in range(6)]
    others = [submit(world, f"{name}/x.jsonl") for name in "bcdefg"]
    world.advance(timedelta(minutes=6))

    def long_to_come(request: httpx.Request) -> None:
        if "asia-east1" in str(request.url):
            world.advance(timedelta(seconds=0.5 * world.settings.tick))

    world.wire.lists = [long_to_come] * 1000

    quiet_ticks(world, 12)

    assert {state(world, job) for job in (*others, *long)} == {"JOB_STATE_RUNNING"}


@pytest.mark.proof
def test_queues_that_cannot_be_counted_hold_up_no_other_queue(world: World) -> None:
    world.choose(ROUTES, max_active_jobs=5)
    jobs = {}
    for name in "abcdefg":
        jobs[name] = submit(world, f"{name}/x.jsonl")
        world.advance(timedelta(seconds=1))

    world.wire.lists = hangs(
        world, lambda request: "us-west1" not in str(request.url), LONGEST
    )

    quiet_ticks(world, 5)

    assert world.job(jobs["g"].source).phase is Phase.SUBMITTED
    assert world.job(jobs["a"].source).phase is Phase.WAITING


@pytest.mark.proof
def test_jobs_to_resume_at_an_unresponsive_endpoint_block_no_others(
    world: World,
) -> None:
    world.choose(ROUTES)
    world.wire.creates = [world.wire.reply_lost] * 13
    jobs = [submit(world, f"a/{n}.jsonl") for n in range(12)]
    good = submit(world, "g/x.jsonl")
    world.advance(timedelta(seconds=world.settings.list_lag))
    world.wire.lists = hangs(world, lambda request: "us-west1" not in str(request.url))

    quiet_ticks(world, 3)

    assert world.job(good.source).phase is Phase.SUBMITTED
    assert {world.job(job.source).phase for job in jobs} == {Phase.SUBMITTING}


def test_an_announcement_that_hangs_holds_up_neither_others_nor_the_sweep(
    world: World,
) -> None:
    job = submit(world)
    for n in range(4):
        world.worker.take(world.upload("not json", f"{n}.jsonl"))
        world.advance(timedelta(seconds=1))
    ids = [one.id for one in world.ledger.unpublished_announcements()]
    stuck, others = ids[:2], ids[2:]
    publish = world.publish

    def hang(announcement: Announcement) -> None:
        if announcement.id in stuck:
            world.advance(timedelta(seconds=61))
            raise TimeoutError
        publish(announcement)

    world.publish_by(hang)
    world.advance(timedelta(minutes=6))

    quiet_ticks(world, 3)

    assert {one.id for one in world.announced} >= set(others)
    assert state(world, job) != "JOB_STATE_PENDING"


def test_what_waits_in_a_queue_is_served_in_order_though_another_fails(
    world: World,
) -> None:
    world.choose(ROUTES, max_active_jobs=1)
    submit(world, "a/x.jsonl")
    first = submit(world, "g/1.jsonl")
    world.advance(timedelta(seconds=1))
    second = submit(world, "g/2.jsonl", 1)
    world.wire.lists = hangs(world, lambda request: "us-west1" not in str(request.url))

    quiet_ticks(world, 3)

    assert world.job(first.source).phase is Phase.SUBMITTED
    assert world.job(second.source).phase is Phase.WAITING
