"""The worker, where a success status stands over something else."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from batchdrop.jobs.codes import Phase
from tests.often import mostly
from tests.worker.backends import BOTH
from tests.worker.world import World

TWO = timedelta(minutes=2)
ERROR = {"error": {"code": 503, "status": "UNAVAILABLE", "message": "try later"}}


@BOTH
@pytest.mark.parametrize(
    ("body", "made"),
    mostly(({}, True), (ERROR, False), also=[({}, False), (ERROR, True)]),
)
def test_a_create_that_is_answered_with_no_job_makes_one_batch(
    world: World, body: dict[str, Any], made: bool
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if made:
            world.wire.forward(request)
        return httpx.Response(200, json=body)

    drop = world.upload()
    world.wire.creates = [answer]
    world.worker.take(drop)
    assert world.job(drop).phase is Phase.SUBMITTING

    world.ticks_until(lambda: world.job(drop).batch is not None, 4, TWO)
    world.ticks(1)

    (batch,) = world.batches()
    job = world.job(drop)
    assert job.batch is not None
    assert job.batch.name == batch["name"]


@BOTH
def test_a_list_that_is_answered_with_an_error_is_not_taken_for_empty(
    world: World,
) -> None:
    drop = world.upload()
    world.wire.creates = [world.wire.reply_lost]
    world.wire.lists = [lambda _: httpx.Response(200, json=ERROR)] * 2
    world.worker.take(drop)

    world.ticks_until(lambda: world.job(drop).batch is not None, 5)

    assert len(world.batches()) == 1


@BOTH
def test_an_error_with_status_200_changes_no_job(world: World) -> None:
    drop = world.upload()
    world.worker.take(drop)
    before = world.job(drop)
    world.wire.lists = world.wire.gets = [lambda _: httpx.Response(200, json=ERROR)]

    with pytest.raises(ExceptionGroup):
        world.ticks(1)

    after = world.job(drop)
    assert (after.phase, after.batch) == (before.phase, before.batch)
    assert world.until_over(drop).phase is Phase.ENDED
