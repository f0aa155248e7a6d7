"""Waiting jobs are admitted a few at once, and nothing that holds them is overrun."""

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import httpx
import pytest

from batchdrop.backends import SILENCES
from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.worker.stages import AT_ONCE
from tests.often import mostly
from tests.there import there
from tests.waiting import until
from tests.worker.backends import BOTH, DEVELOPER
from tests.worker.batches import quiet_ticks, several, states, submit
from tests.worker.dying import Killed, at, failpoints
from tests.worker.world import Fault, Wire, World

#: How long a request waits for the others that are to be under way with it.
SECONDS = 30

#: Each has a queue of its own, the first two at the same endpoint.
ROUTES = "".join(
    f'[[route]]\nmatch = "{name}/**"\nlocation = "{location}"\nmodel = "{model}"\n'
    for name, location, model in (
        ("a", "asia-east1", "gemini-3.8-flash"),
        ("b", "asia-east1", "gemini-4-argon"),
        ("c", "us-east1", "gemini-3.8-flash"),
        ("d", "us-west1", "gemini-3.8-flash"),
    )
)


def waiting(world: World, n: int, **settings: Any) -> list[Job]:
    """Jobs of one queue that wait for the next tick."""
    world.choose(None, paused=True, **settings)
    jobs = several(world, n)
    world.choose(paused=False)
    return jobs


def waiting_in(world: World, *names: str) -> list[Job]:
    """The same, of the queues of ROUTES."""
    world.choose(ROUTES, paused=True)
    jobs = []
    for name in names:
        jobs.append(submit(world, name, rows=1))
        world.advance(timedelta(seconds=1))
    world.choose(paused=False)
    return jobs


def phases(world: World, jobs: list[Job]) -> list[Phase]:
    return [world.job(job.source).phase for job in jobs]


def together(n: int, then: Callable[[], None] | None = None) -> Callable[[], None]:
    """Each create request waits until `n` are under way; the first `n` of them."""
    barrier = threading.Barrier(n, action=then, timeout=SECONDS)
    lock, sent = threading.Lock(), 0

    def wait() -> None:
        nonlocal sent
        with lock:
            sent += 1
            is_one = sent <= n
        if is_one:
            barrier.wait()

    return wait


@BOTH
def test_waiting_jobs_are_admitted_a_few_at_once(world: World) -> None:
    jobs = waiting(world, 2 * AT_ONCE)
    world.wire.before_create = together(AT_ONCE)

    report = world.tick()

    assert report.admitted == len(jobs)
    assert phases(world, jobs) == [Phase.SUBMITTED] * len(jobs)
    assert len(world.batches()) == len(jobs)


def test_no_job_is_sent_before_more_than_a_few_that_arrived_first(world: World) -> None:
    waiting(world, 3 * AT_ONCE)

    world.tick()

    sent = [int(one["displayName"].partition(".")[0]) for one in world.batches()]
    assert sorted(sent) == list(range(3 * AT_ONCE))
    for n, first in enumerate(sent):
        assert sum(later < first for later in sent[n:]) < AT_ONCE


def test_a_cap_is_not_exceeded_by_requests_that_are_under_way_together(
    world: World,
) -> None:
    jobs = waiting(world, 6, max_active_jobs=3)
    world.wire.before_create = together(3)

    most = 0
    while set(phases(world, jobs)) != {Phase.ENDED}:
        world.ticks(1, timedelta(minutes=8))
        unfinished = [s for s in states(world).values() if s != "JOB_STATE_SUCCEEDED"]
        most = max(most, len(unfinished))

    assert most == 3


def test_the_queues_of_an_endpoint_share_how_many_a_tick_admits_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchdrop.worker.admit.MAX_ADMITTED", 3)
    jobs = waiting_in(world, *(f"{q}/{n}.jsonl" for n in range(2) for q in "abc"))

    world.tick()

    left = [job for job in jobs if world.job(job.source).phase is Phase.WAITING]
    assert [job.source.name for job in left] == ["b/1.jsonl"]


def test_after_a_429_only_the_requests_under_way_are_sent(world: World) -> None:
    jobs = waiting(world, 2 * AT_ONCE)
    queue = jobs[0].queue
    sent: list[httpx.Request] = []

    def count(request: httpx.Request) -> None:
        sent.append(request)

    def after_the_pause(request: httpx.Request) -> None:
        count(request)
        until(lambda: world.ledger.queue_pause_end(queue, world.now()), SECONDS)

    def too_many(request: httpx.Request) -> httpx.Response | None:
        count(request)
        return Wire.says(429, **{"retry-after": "600"})(request)

    others: list[Fault] = [after_the_pause] * (AT_ONCE - 1)
    world.wire.creates = [too_many, *others, *[count] * 100]
    world.wire.before_create = together(AT_ONCE)

    world.ticks(3)

    assert len(sent) == AT_ONCE
    assert len(world.batches()) == AT_ONCE - 1
    assert sorted(phases(world, jobs)) == [
        *[Phase.SUBMITTED] * (AT_ONCE - 1),
        *[Phase.WAITING] * (AT_ONCE + 1),
    ]
    assert {job.id for job in jobs[AT_ONCE:]} <= {
        job.id for job in jobs if world.job(job.source).phase is Phase.WAITING
    }


def test_a_create_that_hangs_holds_up_no_other_queue(world: World) -> None:
    names = ["a/x.jsonl", *(f"d/{n}.jsonl" for n in range(AT_ONCE + 1))]
    jobs = waiting_in(world, *names)
    others_are_made = threading.Event()
    lock, made = threading.Lock(), 0

    def fault(request: httpx.Request) -> None:
        nonlocal made
        if "asia-east1" in str(request.url):
            assert others_are_made.wait(SECONDS)
            return
        with lock:
            made += 1
            if made == AT_ONCE + 1:
                others_are_made.set()

    world.wire.creates = [fault] * len(jobs)

    world.tick()

    assert phases(world, jobs) == [Phase.SUBMITTED] * len(jobs)


def test_an_endpoint_whose_creates_hang_is_left_after_a_few(world: World) -> None:
    names = [*(f"a/{n}.jsonl" for n in range(SILENCES + AT_ONCE)), "d/x.jsonl"]
    *hung, good = waiting_in(world, *names)
    sent: list[httpx.Request] = []

    def fault(request: httpx.Request) -> None:
        if "asia-east1" in str(request.url):
            sent.append(request)
            raise httpx.ReadTimeout("timed out", request=request)

    world.wire.creates = [fault] * 100

    quiet_ticks(world, 1)

    assert SILENCES <= len(sent) < SILENCES + AT_ONCE
    assert world.job(good.source).phase is Phase.SUBMITTED
    assert phases(world, hung).count(Phase.SUBMITTING) == len(sent)


def test_a_job_that_fails_holds_up_its_own_queue_alone(world: World) -> None:
    names = [f"{queue}/{n}.jsonl" for queue in "abcd" for n in range(2)]
    jobs = waiting_in(world, *names)

    def fail() -> None:
        raise RuntimeError("nobody expected this")

    with at(["after_resumed"], fail), pytest.raises(ExceptionGroup) as caught:
        world.tick()

    (error,) = caught.value.exceptions
    (failed,) = (job for job in jobs if job.id in "".join(error.__notes__))
    others = [job for job in jobs if job.queue != failed.queue]
    assert phases(world, others) == [Phase.SUBMITTED] * 6
    assert world.ledger.cursor("admit") == {"failed": [failed.queue]}


def test_after_its_time_a_tick_ends_the_requests_that_are_under_way(
    world: World,
) -> None:
    jobs = waiting(world, AT_ONCE + 1)
    tick = timedelta(seconds=world.settings.tick)
    world.wire.before_create = together(AT_ONCE, then=lambda: world.advance(tick))

    report = world.tick()

    assert report.admitted == AT_ONCE
    assert phases(world, jobs) == [
        *[Phase.SUBMITTED] * AT_ONCE,
        Phase.WAITING,
    ]


@pytest.mark.parametrize("what", mostly("rows", also=["bytes"]))
def test_a_days_limit_is_not_exceeded_and_no_smaller_job_overtakes(
    world: World, what: str
) -> None:
    day = world.now().replace(hour=6, minute=0) + timedelta(days=1)
    world.advance(day - world.now())
    world.choose(ROUTES, paused=True)
    jobs: list[Job] = []
    for queue, rows in zip("abcdabcd", (1, 1, 1, 2, 3, 1, 1, 1), strict=True):
        jobs.append(submit(world, f"{queue}/{len(jobs)}.jsonl", rows))
        world.advance(timedelta(seconds=1))
    one = there(jobs[0].staging)
    limit = 7 * (one.rows if what == "rows" else one.bytes)
    world.choose(None, paused=False, **{f"max_{what}_per_day": limit})

    world.ticks(3)

    sent, left = jobs[:4], jobs[4:]
    assert phases(world, sent) == [Phase.SUBMITTED] * 4
    assert phases(world, left) == [Phase.WAITING] * 4
    spent = world.ledger.spending_on(f"{world.now():%Y-%m-%d}")
    assert spent.rows == 5


def test_jobs_that_count_for_a_day_are_sent_in_order_of_arrival(world: World) -> None:
    waiting(world, AT_ONCE + 1, max_rows_per_day=1000)

    world.tick()

    sent = [one["displayName"] for one in world.batches()]
    assert sent == [f"{n}.jsonl" for n in range(AT_ONCE + 1)]
    assert world.ledger.spending_on(f"{world.now():%Y-%m-%d}").rows == AT_ONCE + 1


@pytest.mark.parametrize(
    ("point", "sleeps"),
    mostly(
        ("before_create", False),
        ("before_create", True),
        also=[
            (point, sleeps)
            for point in ("after_resumed", "after_search", "after_intent")
            for sleeps in (False, True)
        ]
        + [("after_create", False), ("after_submitted", False)],
    ),
)
def test_jobs_whose_worker_dies_or_sleeps_with_several_of_them_are_paid_once(
    world: World, point: str, sleeps: bool
) -> None:
    jobs = waiting(world, AT_ONCE + 1)

    def act() -> None:
        if not sleeps:
            raise Killed
        quiet_ticks(world, 10)

    with at([point], act) as left, suppress(Killed, ExceptionGroup):
        world.tick()
    world.ticks_until(lambda: set(phases(world, jobs)) == {Phase.ENDED})

    assert left == []
    paid = [name for name, state in states(world).items() if "SUCCEEDED" in state]
    assert len(paid) == len(jobs)
    assert {there(world.job(job.source).batch).name for job in jobs} == {*paid}


@DEVELOPER
def test_large_uploads_go_one_after_another(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchdrop.worker.admit.LARGE", 10)
    jobs = waiting(world, AT_ONCE)
    lock, passed, under_way = threading.Lock(), [0], 0

    def count(point: str) -> None:
        nonlocal under_way
        with lock:
            under_way += (point == "after_resumed") - (point == "after_submitted")
            passed.append(under_way)

    with failpoints(count):
        world.tick()

    assert phases(world, jobs) == [Phase.SUBMITTED] * len(jobs)
    assert max(passed) == 1
