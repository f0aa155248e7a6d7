"""Answers that can't be collected for long: announced once, and logged for alerts."""

import logging
from dataclasses import replace
from datetime import timedelta

import pytest

from batchdrop.jobs.values import Drop
from batchdrop.subscribe import parse
from tests import announcements
from tests.there import there
from tests.worker.backends import DEVELOPER
from tests.worker.collecting import collected, ended, outcomes, questions, submit
from tests.worker.world import World


def stalls(caplog: pytest.LogCaptureFixture) -> list[str]:
    lines = (vars(record) for record in caplog.records)
    return [line["job"] for line in lines if line.get("event") == "job.stalled"]


@pytest.mark.proof
@DEVELOPER
def test_a_grant_that_is_missing_for_hours_is_announced_and_waited_for(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    world.sim.faults.add("http_error", op="download", code=403, count=1000)
    drop = submit(world, questions(2), delete_after=60.0)
    job = ended(world, drop)

    world.ticks(10, every=timedelta(minutes=40))

    _, stalled = [parse(announcements.push(one)) for one in world.announced]
    assert (stalled.event, stalled.outcome) == ("stalled", "succeeded")
    assert stalled.health is not None
    assert stalled.health.code == "not_allowed"
    assert stalls(caplog) == [job.id]
    world.sim.faults.clear()
    done = collected(world, drop)
    assert (done.rows.ok, done.health) == (2, None)


@DEVELOPER
def test_answers_that_no_collector_copies_are_announced_as_at_risk(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    drop = submit(world, questions(2))
    job = ended(world, drop)

    for _ in range(3):
        world.advance(timedelta(hours=10))
        world.worker.tick()  # no collector runs

    _, at_risk = [parse(announcements.push(one)) for one in world.announced]
    assert at_risk.event == "stalled"
    assert at_risk.health is not None
    assert at_risk.health.code == "answers_at_risk"
    assert stalls(caplog) == [job.id]
    assert collected(world, drop).health is None


@pytest.mark.proof
@DEVELOPER
def test_answers_that_give_no_answer_for_days_are_parked_and_logged_as_that(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    world.sim.faults.add("http_error", op="download", code=503, count=10_000)
    drop = submit(world, questions(2))
    job = ended(world, drop)

    # After a pause of two hours, the count would begin anew.
    world.ticks(42, every=timedelta(minutes=110))

    assert world.job(drop).is_parked
    lines = [vars(record) for record in caplog.records]
    (parked,) = [one for one in lines if one.get("event") == "job.parked"]
    assert (parked["job"], parked["phase"]) == (job.id, "ended")
    assert "no step forward since" in parked["reason"]
    assert stalls(caplog) == [job.id] * 2  # after two hours; and its answers at risk


def without_end_time(world: World, drop: Drop) -> None:
    """The API did not say when the batch has ended."""
    world.ledger.advance(
        world.job(drop),
        lambda j: replace(j, batch=replace(there(j.batch), end_time=None)),
    )


def test_few_answers_of_a_batch_without_a_time_of_its_end_are_not_awaited_for_ever(
    world: World,
) -> None:
    world.sim.faults.add("rows_missing", rows=1)
    drop = submit(world, questions(3))
    ended(world, drop)
    without_end_time(world, drop)

    world.ticks(2, every=timedelta(minutes=10))

    job = world.job(drop)
    assert job.is_done
    assert job.answers_short is not None


@pytest.mark.proof
@DEVELOPER
def test_answers_that_are_gone_without_a_time_of_the_end_are_missing(
    world: World,
) -> None:
    drop = submit(world, questions(2))
    ended(world, drop)
    without_end_time(world, drop)
    world.sim.faults.add("http_error", op="download", code=404, count=10_000)

    world.ticks(15, every=timedelta(hours=4))

    assert outcomes(world, world.job(drop)) == ["missing"] * 2
