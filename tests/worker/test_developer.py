"""The worker over the Gemini Developer API: no labels, no filter, files of its own."""

from datetime import timedelta

import pytest

from batchdrop.backends.developer import DeveloperBackend
from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from tests.worker.backends import DEVELOPER
from tests.worker.batches import intended, reconcile, several, states
from tests.worker.world import GOOD, Wire, World

pytestmark = DEVELOPER


@pytest.fixture
def submitted(world: World) -> Job:
    drop = world.upload(GOOD * 3)
    world.worker.take(drop)
    return world.job(drop)


def test_a_drop_becomes_a_batch_that_bears_our_marks_in_its_name(
    world: World, submitted: Job
) -> None:
    (batch,) = world.batches()

    assert submitted.phase is Phase.SUBMITTED
    assert batch["displayName"] == (
        f"reviews.jsonl batchdrop_deployment=tests batchdrop_job={submitted.id}"
    )


def test_the_answers_are_brought_into_the_output_bucket(
    world: World, submitted: Job
) -> None:
    world.until_ended()

    job = world.job(submitted.source)
    assert job.phase is Phase.ENDED
    assert job.batch is not None
    assert (job.batch.output_directory or "").startswith(
        f"gs://{world.settings.output.bucket}/reviews.jsonl/{submitted.id}/"
    )
    assert sorted(line["key"] for line in world.answers(job)) == [
        f"r000000{n}" for n in range(1, 4)
    ]
    assert [one.type for one in world.announced] == ["dev.batchdrop.job.succeeded.v1"]


def test_answers_are_copied_before_the_output_bucket_takes_them(
    world: World, submitted: Job
) -> None:
    world.advance(timedelta(minutes=20))
    output = world.gcs.bucket(world.settings.output.bucket)
    output.delete()

    world.tick()
    waits = world.job(submitted.source)
    assert waits.phase is Phase.ENDED
    assert waits.not_allowed is not None
    assert len(world.staged(submitted.source)["collect-0/answers.jsonl"].split()) >= 3

    world.gcs.create_bucket(output.name)
    world.ticks(3)
    job = world.job(submitted.source)
    assert job.is_done
    assert len(world.answers(job)) == 3


def test_a_batch_whose_answer_was_lost_is_found_by_a_walk_through_the_list(
    world: World,
) -> None:
    several(world, 3)
    drop = world.upload()
    world.wire.creates = [world.wire.reply_lost]

    world.worker.take(drop)
    world.ticks(2, timedelta(minutes=3))

    job = world.job(drop)
    assert job.phase is Phase.SUBMITTED
    assert len(world.batches()) == 4


def test_after_an_unclear_answer_that_made_nothing_one_batch_is_made(
    world: World,
) -> None:
    drop = world.upload()
    world.wire.creates = [Wire.says(503)]

    world.worker.take(drop)
    world.ticks(4, timedelta(minutes=2))

    assert world.job(drop).phase is Phase.SUBMITTED
    assert len(world.batches()) == 1


def test_a_frozen_worker_that_sends_after_the_fence_makes_no_paid_batch(
    world: World,
) -> None:
    job = intended(world)
    service = world.backends.of(job)
    assert isinstance(service, DeveloperBackend)
    file = service._file(job, 1)
    world.advance(world.timing.lease)
    world.ticks_until(
        lambda: world.job(job.source).phase is Phase.PREPARED, 5, timedelta(minutes=1)
    )

    with pytest.raises(Exception, match=r"40[0-9]"):
        service.batches.create(
            model="gemini-3.8-flash", src=file, config={"display_name": "frozen"}
        )
    world.until_over(job.source)
    world.ticks(1, timedelta(minutes=20))

    assert world.job(job.source).phase is Phase.ENDED
    assert [batch["state"] for batch in world.batches()] == ["JOB_STATE_SUCCEEDED"]


def test_a_name_like_ours_over_another_file_is_not_taken_for_ours(
    world: World,
) -> None:
    job = intended(world)
    assert job.spec is not None
    with world.storage.open(job.staging.uri if job.staging else "") as rows:
        file = world.client.files.upload(file=rows, config={"name": "files/theirs"})
    forged = world.client.batches.create(
        model="gemini-3.8-flash",
        src=file.name,
        config={
            "display_name": "reviews.jsonl batchdrop_deployment=tests "
            f"batchdrop_job={job.id}"
        },
    )

    world.ticks(4, timedelta(minutes=5))

    kept = world.job(job.source)
    assert kept.batch is not None
    assert kept.batch.name != forged.name


def test_the_cap_counts_what_the_service_works_on(world: World) -> None:
    world.choose(max_active_jobs=1)
    jobs = several(world, 2)

    world.ticks(2)

    assert [world.job(job.source).phase for job in jobs] == [
        Phase.SUBMITTED,
        Phase.WAITING,
    ]


def test_a_second_batch_of_a_job_is_cancelled_and_recorded(
    world: World, submitted: Job
) -> None:
    world.advance(timedelta(seconds=world.settings.reconcile_every - 60))
    extra = world.backends.of(submitted).create(submitted)

    world.ticks(1)

    assert states(world)[extra.name] == "JOB_STATE_CANCELLED"
    job = world.job(submitted.source)
    assert job.health is not None
    assert job.health.code == "duplicates"


def test_a_drop_whose_event_never_came_is_found_in_the_inbox(world: World) -> None:
    drop = world.upload()

    reconcile(world)

    assert world.job(drop).phase is Phase.SUBMITTED


def test_a_batch_that_runs_too_long_is_cancelled_without_a_start_time(
    world: World,
) -> None:
    world.choose(cancel_after=240.0)
    drop = world.upload()
    world.worker.take(drop)

    world.ticks(6, timedelta(minutes=2))

    job = world.job(drop)
    assert job.cancel_request is not None
    assert list(states(world).values()) == ["JOB_STATE_CANCELLED"]


def test_an_invalid_key_rejects_no_file_and_names_the_remedy(
    world: World,
) -> None:
    drop = world.upload()
    world.sim.settings.api_keys = frozenset({"another"})

    world.worker.take(drop)
    began = world.now()
    world.ticks(4, timedelta(minutes=8))

    job = world.job(drop)
    assert job.phase is Phase.WAITING
    assert job.health is not None
    assert (job.health.code, job.health.since) == ("not_allowed", began)
    assert "API key not valid" in job.health.message
    assert "GEMINI_API_KEY must be a valid key" in job.health.message
    world.sim.settings.api_keys = None
    world.ticks(1, timedelta(minutes=10))
    healed = world.job(drop)
    assert (healed.phase, healed.health) == (Phase.SUBMITTED, None)


def test_a_key_that_runs_out_before_the_request_rejects_nothing(world: World) -> None:
    drop = world.upload()

    def revoke() -> None:
        world.sim.settings.api_keys = frozenset({"another"})

    world.wire.before_create = revoke
    world.worker.take(drop)
    world.wire.before_create = None

    job = world.job(drop)
    assert (job.phase, world.batches()) == (Phase.WAITING, [])
    assert job.health is not None
    assert job.health.code == "not_allowed"


def test_a_cancel_that_is_sent_with_a_bad_key_is_sent_again(
    world: World, submitted: Job
) -> None:
    world.sim.faults.add("stuck_running")
    world.ticks(1, timedelta(minutes=7))
    world.worker.commands.cancel(submitted.id, by="ann")
    world.sim.settings.api_keys = frozenset({"another"})
    with pytest.raises(ExceptionGroup):
        world.tick()

    world.sim.settings.api_keys = None
    world.ticks(2, timedelta(minutes=2))

    assert list(states(world).values()) == ["JOB_STATE_CANCELLED"]


@pytest.mark.proof
def test_rows_that_cannot_be_handed_over_are_uploaded_ever_more_rarely(
    world: World,
) -> None:
    refused = world.sim.faults.add("unavailable", op="upload")
    drop = world.upload()
    world.worker.take(drop)

    world.ticks(24, every=timedelta(minutes=5))

    assert refused.struck < 10
    world.sim.faults.clear()
    world.advance(timedelta(hours=1))
    world.tick()
    assert world.job(drop).phase is Phase.SUBMITTED
