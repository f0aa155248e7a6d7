"""`poll` wakes collectors: one at a time for each job, and not too many at once."""

from contextlib import suppress
from datetime import timedelta

import pytest

from tests.worker.collecting import ended, questions, submit
from tests.worker.world import World


def test_a_job_is_woken_once_until_a_lease_has_passed(world: World) -> None:
    drop = submit(world, questions(1))
    job = ended(world, drop)
    lease = timedelta(seconds=world.settings.lease)
    for _ in range(2):
        world.advance(timedelta(minutes=2))
        world.worker.tick()
    assert world.woken == [job.id]

    world.advance(lease)
    report = world.worker.tick()

    assert report.woken == 1
    assert world.woken == [job.id] * 2


def test_a_job_that_a_collector_holds_is_not_woken(world: World) -> None:
    drop = submit(world, questions(1))
    job = ended(world, drop)
    world.woken.clear()
    now = world.now()
    world.ledger.advance(job, lambda j: j.collect_taken("another", now, world.timing))

    world.advance(timedelta(seconds=world.settings.lease - 1))
    world.worker.tick()
    assert world.woken == []

    world.advance(timedelta(seconds=2))
    world.worker.tick()
    assert world.woken == [job.id]


def test_one_tick_wakes_no_more_than_its_share(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchdrop.worker.wake.MOST", 2)
    world.choose(results="on")
    for n in range(3):
        world.worker.take(world.upload(questions(1), f"{n}.jsonl"))
    world.advance(timedelta(minutes=20))

    world.worker.tick()
    assert len(world.woken) == 2

    world.worker.tick()
    assert len(set(world.woken)) == len(world.woken) == 3


def test_a_topic_that_does_not_answer_is_asked_a_few_times_a_tick(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchdrop.worker.stages.AT_ONCE", 1)
    world.choose(results="on")
    for n in range(5):
        world.worker.take(world.upload(questions(1), f"{n}.jsonl"))
    world.advance(timedelta(minutes=20))
    world.pubsub_down = True

    with suppress(ExceptionGroup):
        world.worker.tick()
    later = world.ledger.jobs_to_collect(world.now(), 200)

    assert 0 < len(later) < 5
