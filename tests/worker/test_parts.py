"""A file too large for one batch: its parts and their checkpoints."""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Drop, Part
from batchdrop.worker import reading
from tests.often import mostly
from tests.worker.backends import BOTH
from tests.worker.dying import Killed, failpoints
from tests.worker.parts import rows, split_job
from tests.worker.world import GOOD, World


def keys(text: str) -> list[str]:
    return [json.loads(line)["key"] for line in text.splitlines()]


def in_order(job: Job) -> list[Part]:
    return sorted(job.parts.values(), key=lambda part: part.n)


def staged(world: World, job: Job) -> str:
    """The rows that a job sends."""
    assert job.staging is not None
    with world.storage.open(job.staging.uri) as rows:
        return rows.read().decode()


def answers(world: World) -> list[dict[str, Any]]:
    """All lines that lie in the output bucket."""
    return [
        json.loads(line)
        for blob in world.gcs.list_blobs(world.settings.output.bucket)
        for line in blob.download_as_text().splitlines()
    ]


@contextmanager
def dies_at(point: str, time: int = 1) -> Iterator[None]:
    """The worker dies when it comes to a point for the n-th time."""
    passed = 0

    def failpoint(name: str) -> None:
        nonlocal passed
        passed += name == point
        if passed == time and name == point:
            raise Killed

    with failpoints(failpoint):
        yield


def killed(world: World, point: str, time: int = 1) -> Drop:
    """A file of seven rows whose first worker dies there."""
    drop = world.upload(rows(7))
    with dies_at(point, time), pytest.raises(Killed):
        world.worker.take(drop)
    return drop


@BOTH
def test_a_file_over_the_rows_of_a_part_becomes_a_split_job_announced_once(
    world: World,
) -> None:
    world.choose(part_rows=3)
    drop = world.upload(rows(8))

    world.worker.take(drop)
    parent = world.job(drop)
    assert parent.phase is Phase.SPLIT
    assert [(p.first, p.last, p.staging.rows) for p in in_order(parent)] == [
        (1, 4, 3),
        (5, 7, 3),
        (8, 9, 2),
    ]
    assert world.batches() == []

    world.until_over(drop)

    parts = split_job(world, parent)
    assert [part.phase for part in parts] == [Phase.ENDED] * 3
    assert len(world.batches()) == 3
    assert sorted(line["key"] for line in answers(world)) == [
        f"r{n:07}" for n in (1, 3, 4, 5, 6, 7, 8, 9)
    ]
    parent = world.job(drop)
    assert (parent.phase, parent.outcome) == (Phase.ENDED, "succeeded")
    assert [one.job_id for one in world.announced] == [drop.job_id]
    assert world.announced[0].type == "dev.batchdrop.job.succeeded.v1"


def test_no_part_has_more_bytes_than_a_part_may(world: World) -> None:
    text = rows(20)
    world.choose(part_bytes=len(text) // 3)
    drop = world.upload(text)

    world.worker.take(drop)

    job = world.job(drop)
    assert len(job.parts) > 3
    sizes = [len(staged(world, part)) for part in split_job(world, job)]
    assert max(sizes) <= len(text) // 3
    assert sizes == [part.staging.bytes for part in in_order(job)]


def test_a_row_larger_than_a_part_may_be_has_one_of_its_own(world: World) -> None:
    world.choose(part_bytes=10)
    drop = world.upload(rows(3))

    world.worker.take(drop)

    assert [part.staging.rows for part in in_order(world.job(drop))] == [1, 1, 1]


def test_a_file_that_fits_stays_one_job(world: World) -> None:
    world.choose(part_rows=8)
    drop = world.upload(rows(8))

    world.worker.take(drop)

    job = world.job(drop)
    assert (job.phase, job.parts) == (Phase.SUBMITTED, {})


def test_a_file_over_the_limits_of_the_api_is_split_by_itself(world: World) -> None:
    world.choose(model="text-embedding-005")
    drop = world.upload(gzip.compress(b'{"content":"x"}\n' * 60_001))

    world.worker.take(drop)

    parts = in_order(world.job(drop))
    assert [part.staging.rows for part in parts] == [30_000, 30_000, 1]


def test_a_bad_line_in_the_last_part_has_nothing_submitted_of_any(
    world: World,
) -> None:
    world.choose(part_rows=2)
    drop = world.upload(rows(5) + "not json\n" + rows(3))

    world.worker.take(drop)
    world.ticks(2)

    job = world.job(drop)
    assert job.phase is Phase.REJECTED
    assert (job.rows.total, job.rows.refused) == (9, 1)
    assert world.batches() == []
    assert world.jobs() == 1
    assert [one.type for one in world.announced] == ["dev.batchdrop.job.rejected.v1"]


def test_bad_lines_are_left_out_of_their_part_where_that_is_wanted(
    world: World,
) -> None:
    world.choose(part_rows=2, on_invalid="skip")
    drop = world.upload(rows(3) + "not json\n" + rows(2))

    world.worker.take(drop)

    job = world.job(drop)
    assert (job.rows.accepted, job.rows.refused) == (5, 1)
    assert [staged(world, part) for part in split_job(world, job)] != []
    assert [keys(staged(world, part)) for part in split_job(world, job)] == [
        ["r0000001", "r0000003"],
        ["r0000004", "r0000006"],
        ["r0000008"],
    ]


@pytest.mark.parametrize(
    "point", mostly("after_part", also=["after_staging", "after_split"])
)
def test_another_worker_continues_a_split_after_the_first_dies(
    world: World, point: str
) -> None:
    world.choose(part_rows=2)
    drop = killed(world, point)

    world.until_over(drop)

    parent = world.job(drop)
    assert parent.outcome == "succeeded"
    assert len(world.batches()) == 4
    assert len(answers(world)) == 7
    assert len({line["key"] for line in answers(world)}) == 7


def test_a_part_that_is_finished_is_not_staged_again(world: World) -> None:
    world.choose(part_rows=2)
    drop = killed(world, "after_part", time=3)
    done = in_order(world.job(drop))
    assert [part.staging.epoch for part in done] == [1, 1, 1]

    world.ticks(2, timedelta(minutes=11))

    parts = in_order(world.job(drop))
    assert [part.staging for part in parts[:3]] == [part.staging for part in done]
    assert parts[3].staging.epoch == 2


@pytest.mark.proof
def test_a_worker_that_gets_on_is_never_taken_for_one_that_keeps_dying(
    world: World,
) -> None:
    world.choose(part_rows=1)
    drop = world.upload(rows(9))
    # Each worker stages one more part.
    with dies_at("after_part"), pytest.raises(Killed):
        world.worker.take(drop)
    for _ in range(8):
        world.advance(world.timing.lease)
        with dies_at("after_part"), pytest.raises(Killed):
            world.tick()

    world.until_over(drop)

    assert world.job(drop).outcome == "succeeded"
    assert len(world.batches()) == 9


def test_what_was_chosen_for_the_first_part_holds_for_all(world: World) -> None:
    world.choose(part_rows=2)
    drop = killed(world, "after_part", time=2)

    world.choose(model="gemini-4-argon", part_rows=3)
    world.ticks(2, timedelta(minutes=11))

    job = world.job(drop)
    assert [part.staging.rows for part in in_order(job)] == [2, 2, 2, 1]
    assert {part.spec.model for part in split_job(world, job) if part.spec} == {
        "gemini-3.8-flash"
    }


def test_checkpoints_that_differ_from_the_current_parts_are_dropped(
    world: World,
) -> None:
    """A newer version of the check may take lines that the older one refused."""
    world.choose(part_rows=2)
    drop = killed(world, "after_part", time=2)
    document = world.database.collection("jobs").document(drop.job_id)
    first = world.job(drop).part_id(0)
    document.update({f"parts.{first}.staging.rows": 1})

    world.until_over(drop)

    job = world.job(drop)
    assert [part.staging.rows for part in in_order(job)] == [2, 2, 2, 1]
    assert job.outcome == "succeeded"
    assert len(answers(world)) == 7


def test_more_parts_than_a_split_job_may_have_are_refused_by_their_number(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_PARTS", 3)
    world.choose(part_rows=1)
    drop = world.upload(GOOD * 4)

    world.worker.take(drop)

    job = world.job(drop)
    assert job.phase is Phase.REJECTED
    assert job.error is not None
    assert job.error.code == "over_limit"
    assert "more than 3 parts" in job.error.message


@BOTH
def test_a_split_jobs_parts_wait_for_room_one_after_the_other(world: World) -> None:
    world.choose(part_rows=2, max_active_jobs=1)
    drop = world.upload(rows(4))

    world.worker.take(drop)
    world.ticks(2)
    assert len(world.batches()) == 1

    world.until_over(drop)

    assert len(world.batches()) == 2
    assert world.job(drop).outcome == "succeeded"
