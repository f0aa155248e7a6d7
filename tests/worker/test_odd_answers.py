"""The worker with an API that answers in unexpected JSON."""

import copy
import itertools
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from batchdrop.batches import BatchesError
from batchdrop.errors import BatchdropError
from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from tests.often import mostly
from tests.there import there
from tests.worker.backends import BOTH
from tests.worker.world import GOOD, Fault, World

#: In place of any member of a job, and of a page's list.
ODD: tuple[Any, ...] = (
    7,
    [None],
    {"a": [1]},
    "",
    "2026-03-01T00:00:00",  # without a zone
    2**70,
    None,
    "0001-01-01T00:00:00+01:00",
    "x",
    -1.5,
    "9999-12-31T23:59:59Z",
    True,
    [],
    "\x00",
)
#: In place of a whole answer.
NO_ANSWERS: tuple[Any, ...] = (
    *(None, [], [None], "x", 7, {"name": 7}, {"error": 7}, {"error": []}),
    *({"error": {"code": [], "message": {}, "status": 5}}, {"done": True}),
    *({"batchPredictionJobs": odd, "operations": odd} for odd in (7, "x", {"a": 1})),
    {"batchPredictionJobs": [7], "operations": [None, []]},
    {"nextPageToken": 7},
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a JSON value."""
    if path:
        yield path
    members: Any = ()
    if isinstance(value, dict):
        members = value.items()
    elif isinstance(value, list):
        members = enumerate(value)
    for key, member in members:
        yield from places(member, (*path, key))


def twisted(job: dict[str, Any], n: int, odd: Any) -> dict[str, Any]:
    """The job with something odd in the n-th of its places, counted round."""
    made = copy.deepcopy(job)
    found = list(places(made))
    *path, last = found[n % len(found)]
    target: Any = made
    for key in path:
        target = target[key]
    target[last] = odd
    return made


def twisting(odd: dict[str, tuple[int, Any]]) -> Fault:
    """
    The true answer, with something odd in what it says of some jobs.

    Args:
        odd: where it stands and what it is, by the name of a job's batch.
    """

    def said(one: dict[str, Any]) -> dict[str, Any]:
        return twisted(one, *odd[one["name"]]) if one.get("name") in odd else one

    def answer(request: httpx.Request) -> httpx.Response:
        true = httpx.get(request.url).json()
        for member in ("batchPredictionJobs", "operations"):
            if member in true:
                true[member] = [said(one) for one in true[member]]
        return httpx.Response(200, json=said(true))

    return answer


def quoting(body: Any, status: int = 200) -> Fault:
    text = json.dumps(body)
    return lambda _: httpx.Response(status, text=text)


def errors_of_a_tick(world: World) -> list[Exception]:
    try:
        world.ticks(1)
    except ExceptionGroup as group:
        return list(group.exceptions)
    return []


def foreign(errors: list[Exception]) -> list[Exception]:
    """Those that are neither the client's nor the worker's own."""
    ours = (BatchesError, BatchdropError)
    return [error for error in errors if not isinstance(error, ours)]


def submitted(world: World, name: str) -> Job:
    drop = world.upload(GOOD, name)
    world.worker.take(drop)
    return world.job(drop)


@BOTH
def test_odd_members_of_jobs_hold_up_no_other_and_end(world: World) -> None:
    odd = [submitted(world, f"odd-{n}.jsonl") for n in range(7)]
    good = submitted(world, "good.jsonl")
    names = [there(job.batch).name for job in odd]
    values = enumerate(itertools.islice(itertools.cycle(ODD), 70))
    errors: list[Exception] = []

    while twists := dict(zip(names, values, strict=False)):
        world.wire.lists = [twisting(twists)]
        world.wire.gets = [twisting(twists)] * 2 * len(odd)
        errors += errors_of_a_tick(world)
    world.wire.lists, world.wire.gets = [], []
    world.until_ended()

    assert foreign(errors) == []
    for job in (good, *odd):
        assert world.job(job.source).phase is Phase.ENDED
    assert len(world.batches()) == 8


@BOTH
@pytest.mark.parametrize("status", mostly(200, also=[400, 500]))
def test_what_is_no_answer_is_an_error_of_the_clients_kind(
    world: World, status: int
) -> None:
    job = submitted(world, "one.jsonl")
    world.worker.commands.cancel(job.id, by="ann")
    errors: list[Exception] = []

    for body in NO_ANSWERS:
        for faults in (world.wire.lists, world.wire.gets, world.wire.cancels):
            faults[:] = [quoting(body, status)] * 3
        errors += errors_of_a_tick(world)
    for faults in (world.wire.lists, world.wire.gets, world.wire.cancels):
        faults.clear()
    world.until_ended()

    assert foreign(errors) == []
    assert errors
    assert world.job(job.source).phase is Phase.ENDED


@BOTH
def test_what_is_no_list_is_not_taken_for_an_empty_one(world: World) -> None:
    drop = world.upload()
    world.wire.creates = [world.wire.reply_lost]
    world.wire.lists = [quoting({"batchPredictionJobs": 7, "operations": 7})] * 2
    world.worker.take(drop)

    world.ticks(3, timedelta(minutes=8))

    assert len(world.batches()) == 1


@BOTH
def test_an_answer_to_a_create_that_is_no_job_makes_one_batch(world: World) -> None:
    drops = []
    for n, body in enumerate(NO_ANSWERS):

        def answer(request: httpx.Request, body: Any = body) -> httpx.Response:
            world.wire.forward(request)
            return httpx.Response(200, text=json.dumps(body))

        world.wire.creates = [answer]
        drops.append(world.upload(GOOD, f"{n}.jsonl"))
        world.worker.take(drops[-1])
    world.ticks(3, timedelta(minutes=8))

    assert len(world.batches()) == len(NO_ANSWERS)
    assert {world.job(drop).phase for drop in drops} <= {Phase.SUBMITTED, Phase.ENDED}


def breaks(_: httpx.Request) -> httpx.Response:
    raise KeyError("something that nobody has foreseen")


@pytest.mark.parametrize("stage", ["sweep", "cancel"])
def test_a_stage_that_breaks_holds_up_no_other(world: World, stage: str) -> None:
    running = submitted(world, "running.jsonl")
    world.worker.commands.cancel(running.id, by="ann")
    world.choose(max_active_jobs=5)
    waiting = submitted(world, "waiting.jsonl")
    assert waiting.phase is Phase.WAITING
    if stage == "sweep":
        world.wire.lists = [breaks]
    else:
        # As if another version had written it.
        cursor = world.database.collection("locks").document("cursor-cancel")
        cursor.set({"id": [7]})

    errors = errors_of_a_tick(world)

    assert len(errors) == 1
    assert world.job(waiting.source).phase is Phase.SUBMITTED
