"""The work bucket deletes old objects: what an open job needs is copied anew before."""

import logging
from datetime import timedelta
from typing import Any

import pytest

from batchdrop.jobs.codes import ErrorCode, Phase, Step
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Drop
from tests.worker.backends import BOTH, DEVELOPER
from tests.worker.batches import intended
from tests.worker.collecting import (
    lines,
    outcomes,
    question,
    questions,
    submit,
)
from tests.worker.split_jobs import parts
from tests.worker.world import World

#: A little less and a little more than half of what the bucket keeps.
YOUNG, OLD = timedelta(days=14), timedelta(days=16)
LONG = timedelta(minutes=10)
#: Rows with columns of their own, and a line that can't be sent: all that is recorded.
TEXT = lines([question(1, key="a"), "no request", question(3, key="c")])


def waiting(world: World, text: str = TEXT, **options: Any) -> Drop:
    """A job whose rows are staged, and that nothing is sent of yet."""
    world.choose(paused=True, on_invalid="skip", results="on", **options)
    drop = world.upload(text)
    world.worker.take(drop)
    world.worker.tick()
    return drop


def goes_on(world: World, drop: Drop) -> Job:
    world.choose(paused=False)
    world.ticks(1)
    return world.job(drop)


def ended(world: World, drop: Drop) -> Job:
    """The job once its batch has ended; nothing is collected yet."""
    while not (job := world.job(drop)).is_over:
        world.advance(LONG)
        world.worker.tick()
    return job


def collected(world: World, drop: Drop) -> Job:
    """The job once its answers are collected."""
    for _ in range(6):
        world.advance(LONG)
        world.tick()
        if (job := world.job(drop)).is_done:
            return job
    raise AssertionError(f"it waits: {job.collecting}, {job.health}")


def versions(world: World, job: Job) -> dict[str, int]:
    """The generation of each object in a job's folder, by its path there."""
    prefix = f"{world.settings.work.prefix}{job.id}/"
    found = world.gcs.list_blobs(world.settings.work.bucket, prefix=prefix)
    return {blob.name.removeprefix(prefix): int(blob.generation) for blob in found}


# -- before an intent ----------------------------------------------------------------


@BOTH
def test_rows_that_wait_for_long_are_copied_anew_with_what_is_recorded_of_them(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    drop = waiting(world)
    before, text = versions(world, world.job(drop)), world.staged(drop)
    assert set(before) == {
        f"1/{n}" for n in ("requests.jsonl", "lines", "columns.jsonl")
    }

    world.advance(OLD)
    job = goes_on(world, drop)

    assert job.phase is Phase.SUBMITTED
    after = versions(world, job)
    assert all(after[name] > before[name] for name in before)
    assert {name: world.staged(drop)[name] for name in text} == text
    renewed = [r for r in caplog.records if vars(r).get("event") == "staging.renewed"]
    assert len(renewed) == 3


def test_what_a_lost_ledger_is_made_anew_from_is_copied_too(world: World) -> None:
    drop = waiting(world)
    world.advance(OLD)

    job = goes_on(world, drop)

    trace = world.traces.of(job.id)
    assert trace is not None
    assert trace.job is not None
    assert trace.job.staging == job.staging


def test_rows_of_a_job_that_waits_for_months_are_copied_anew_all_the_time(
    world: World,
) -> None:
    drop = waiting(world)
    before = versions(world, world.job(drop))

    world.advance(OLD)
    world.tick()  # it compares inbox and API with the ledger, as once an hour

    assert world.job(drop).phase is Phase.WAITING
    after = versions(world, world.job(drop))
    assert all(after[name] > before[name] for name in before)


@pytest.mark.proof
def test_rows_that_wait_for_less_stay_as_they_are(world: World) -> None:
    drop = waiting(world)
    before = versions(world, world.job(drop))

    world.advance(YOUNG)
    job = goes_on(world, drop)

    assert job.phase is Phase.SUBMITTED
    assert versions(world, job) == before


def test_a_job_whose_rows_are_gone_before_they_are_sent_says_so(world: World) -> None:
    drop = waiting(world)
    job = world.job(drop)
    assert job.staging is not None
    world.delete(job.staging.uri)

    job = goes_on(world, drop)

    assert job.phase is Phase.REJECTED
    assert job.error is not None
    assert job.error.code == ErrorCode.STAGING_GONE
    assert "nothing was sent" in job.error.message
    assert [one.type for one in world.announced] == ["dev.batchdrop.job.rejected.v1"]
    assert world.batches() == []


def test_a_part_whose_rows_are_gone_ends_and_its_siblings_go_on(world: World) -> None:
    drop = waiting(world, questions(4), part_rows=2)
    first, second = parts(world, world.job(drop))
    assert first.staging is not None
    world.delete(first.staging.uri)

    goes_on(world, drop)

    first, second = parts(world, world.job(drop))
    assert first.error is not None
    assert (first.phase, first.error.code) == (Phase.REJECTED, ErrorCode.STAGING_GONE)
    assert second.phase is Phase.SUBMITTED


@BOTH
def test_rows_that_are_gone_after_an_unclear_request_are_searched_for_first(
    world: World,
) -> None:
    job = intended(world)
    assert job.staging is not None
    world.delete(job.staging.uri)

    world.ticks(5, every=LONG)

    job = world.job(job.source)
    notes = [moment.note for moment in job.history]
    assert "fenced" in notes
    assert not job.is_parked
    assert job.error is not None
    assert (job.phase, job.error.code) == (Phase.REJECTED, ErrorCode.STAGING_GONE)
    assert world.batches() == []


def test_a_work_bucket_that_is_missing_is_no_sign_that_rows_are_gone(
    world: World,
) -> None:
    drop = waiting(world)
    staged = world.staged(drop)
    bucket = world.gcs.bucket(world.settings.work.bucket)
    bucket.delete(force=True)

    job = goes_on(world, drop)

    assert staged
    assert job.phase is Phase.WAITING
    assert job.not_allowed is not None
    assert bucket.name in job.not_allowed.message


def test_a_copy_brings_nothing_back_that_was_deleted_meanwhile(world: World) -> None:
    drop = waiting(world)
    found = [
        one
        for one, _ in world.storage.objects(
            world.settings.work.bucket, prefix=world.settings.work.prefix
        )
    ]
    assert len(found) == 3
    for one in found:
        world.storage.delete(f"gs://{one.bucket}/{one.name}")

    for one in found:
        world.storage.renew(one)

    assert world.staged(drop) == {}


# -- while answers are collected -----------------------------------------------------


def test_what_results_need_is_copied_anew_while_a_collector_waits(
    world: World,
) -> None:
    drop = waiting(world)
    world.advance(YOUNG)
    goes_on(world, drop)
    ended(world, drop)
    world.woken.clear()  # no collector runs
    before = versions(world, world.job(drop))

    world.advance(timedelta(days=3))
    job = collected(world, drop)

    assert outcomes(world, job) == ["ok", "refused", "ok"]
    assert {one.get("key") for one in world.results(job)} == {"a", "c", None}
    after = versions(world, job)
    assert all(after[name] > before[name] for name in before)


def delivered(world: World, job: Job) -> None:
    """The answers are copied and delivered; then no collector runs for a while."""
    steps = world.worker.collector.steps
    job = world.ledger.advance(
        job, lambda j: j.collect_taken("c", world.now(), world.timing)
    )
    for step in (Step.COPY, Step.DELIVER):
        steps[step](job)
    world.ledger.advance(job, lambda j: j.collect_stepped(Step.FREEZE, world.now()))


@DEVELOPER
def test_what_collectors_wrote_long_ago_stays_the_version_that_they_listed(
    world: World,
) -> None:
    drop = submit(world, questions(3))
    delivered(world, ended(world, drop))

    world.advance(OLD)
    job = collected(world, drop)

    assert outcomes(world, job) == ["ok"] * 3


@DEVELOPER
def test_a_copy_of_answers_that_is_gone_is_made_again(world: World) -> None:
    drop = submit(world, questions(3))
    job = ended(world, drop)
    output = world.gcs.bucket(world.settings.output.bucket)
    output.delete()
    world.collect()
    job = world.job(drop)
    assert job.collecting is not None
    assert job.collecting.step == Step.DELIVER
    world.delete(
        f"gs://{world.settings.work.bucket}/{world.settings.work.prefix}{job.id}/"
        "collect-0/answers.jsonl",
    )

    world.gcs.create_bucket(output.name)
    job = collected(world, drop)

    assert outcomes(world, job) == ["ok"] * 3


@DEVELOPER
def test_answers_whose_copy_is_gone_are_read_where_they_were_delivered(
    world: World,
) -> None:
    drop = submit(world, questions(3))
    job = ended(world, drop)
    delivered(world, job)
    for name in versions(world, job):
        if name.startswith("collect-0/"):
            world.delete(
                f"gs://{world.settings.work.bucket}/{world.settings.work.prefix}"
                f"{job.id}/{name}",
            )

    job = collected(world, drop)

    assert outcomes(world, job) == ["ok"] * 3


@pytest.mark.proof
def test_what_a_round_needs_of_its_job_is_copied_anew_while_it_waits(
    world: World,
) -> None:
    row = {"row_text": "question 3"}
    world.sim.faults.add("row_failed", code=503, match=row, count=1)
    drop = submit(world, TEXT, on_invalid="skip", retry=1, retry_share=1)
    ended(world, drop)
    # Nothing is submitted from here on.
    world.choose(paused=True)
    world.ticks_until(lambda: world.job(drop).awaits == "round")
    world.ticks(1)
    before = versions(world, world.job(drop))

    world.advance(OLD)
    world.ticks(2)
    after = versions(world, world.job(drop))
    world.choose(paused=False)
    job = collected(world, drop)

    assert after["1/columns.jsonl"] > before["1/columns.jsonl"]
    assert outcomes(world, job) == ["ok", "refused", "ok"]
    assert [one.get("key") for one in world.results(job)] == ["a", None, "c"]
