"""Rows that failed in a batch that succeeded: attributes, health and announcements."""

import json

import pytest

from batchdrop.subscribe import JobEvent, parse
from tests import announcements
from tests.worker.backends import BOTH
from tests.worker.collecting import collected, questions, submit
from tests.worker.world import World


def events(world: World) -> list[JobEvent]:
    return [parse(announcements.push(one)) for one in world.announced]


@BOTH
@pytest.mark.parametrize("results", ["on", "off"])
def test_a_batch_whose_rows_all_failed_is_never_silent(
    world: World, results: str
) -> None:
    world.sim.faults.add("row_failed", count=50, match={"row_text": "question"})
    drop = submit(world, questions(50), results=results)

    job = collected(world, drop)

    end, *ready = events(world)
    assert (end.event, end.outcome) == ("ended", "succeeded")
    assert world.announced[0].attributes["batch_rows"] == "none"
    assert end.health is not None
    assert end.health.code == "rows_failed"
    assert job.health is not None
    assert job.health.code == "rows_failed"
    assert job.health.message.startswith("50 of 50 rows failed")
    assert [each.event for each in ready] == (["results"] if results == "on" else [])
    if ready:
        assert world.announced[1].attributes["rows_outcome"] == "none"
        assert ready[0].outcome == "succeeded"
        assert (ready[0].rows.ok, ready[0].rows.failed) == (0, 50)
        (failure,) = ready[0].failures
        assert failure.count == 50


def test_refused_rows_make_results_incomplete(world: World) -> None:
    drop = submit(world, questions(3) + "not json\n", on_invalid="skip")

    job = collected(world, drop)

    assert (job.rows.total, job.rows.refused, job.rows.ok) == (4, 1, 3)
    assert world.announced[0].attributes["batch_rows"] == "complete"
    assert world.announced[1].attributes["rows_outcome"] == "incomplete"
    assert job.health is None


def test_what_rows_say_is_in_no_announcement(world: World) -> None:
    world.sim.faults.add("row_failed", match={"row_text": "question 2"})
    drop = submit(world, questions(3))

    collected(world, drop)

    assert "question" not in json.dumps([one.body.decode() for one in world.announced])
