"""A batch that succeeds while its rows fail leaves a line that an alert counts."""

import pytest

from tests.worker.collecting import collected, questions, submit
from tests.worker.world import World


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """The job and the reason of each line about rows that failed."""
    return [
        (record.job, record.reason)  # type: ignore[attr-defined]
        for record in caplog.records
        if getattr(record, "event", "") == "job.rows_failed"
    ]


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        ("on", "5 of 5 rows failed or came without an answer"),
        ("off", "5 of 5 rows failed, by the API's count"),
    ],
)
def test_a_success_whose_rows_all_failed_is_logged_once(
    world: World, caplog: pytest.LogCaptureFixture, results: str, reason: str
) -> None:
    world.sim.faults.add("row_failed", code=400)

    job = collected(world, submit(world, questions(5), results=results))
    world.ticks(1)

    assert job.batch is not None
    assert job.batch.state == "JOB_STATE_SUCCEEDED"
    assert logged(caplog) == [(job.id, reason)]


def test_as_many_failures_as_are_allowed_are_not_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.sim.faults.add("row_failed", code=400, match={"row_text": "question 3"})

    drop = submit(world, questions(5), failed_share=0.2)
    job = collected(world, drop)

    assert job.rows.failed == 1
    assert logged(caplog) == []
