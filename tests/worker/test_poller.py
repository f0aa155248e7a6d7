"""What happens at a tick, among real services."""

import json
from datetime import timedelta

import httpx
import pytest

from batchdrop.errors import Unavailable
from batchdrop.jobs import Job, Phase
from tests.worker.world import GOOD, Wire, World


@pytest.fixture
def submitted(world: World) -> Job:
    drop = world.upload(GOOD * 3)
    world.intake.take(drop)
    return world.job(drop)


def state(world: World, job: Job) -> str:
    batch = world.job(job.source).batch
    assert batch is not None
    return batch.state


def test_a_job_is_followed_from_pending_to_its_end(
    world: World, submitted: Job
) -> None:
    seen = [state(world, submitted)]
    for _ in range(20):
        world.ticks(1)
        if state(world, submitted) != seen[-1]:
            seen.append(state(world, submitted))

    job = world.job(submitted.source)
    assert seen == ["JOB_STATE_PENDING", "JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED"]
    assert job.phase is Phase.ENDED
    assert job.batch is not None
    assert job.batch.completion_stats is not None
    assert job.batch.completion_stats.successful == 3
    assert job.batch.start_time is not None
    assert job.batch.end_time is not None


def test_an_end_is_announced_once_with_what_a_subscriber_needs(
    world: World, submitted: Job
) -> None:
    world.ticks(30)

    (announcement,) = world.heard
    body = json.loads(announcement.body)
    batch = world.job(submitted.source).batch
    assert batch is not None
    assert announcement.type == "dev.batchdrop.job.succeeded.v1"
    assert announcement.attributes | {"ce-time": "", "ce-id": ""} == {
        "ce-specversion": "1.0",
        "ce-id": "",
        "ce-type": "dev.batchdrop.job.succeeded.v1",
        "ce-source": "//batchdrop/tests",
        "ce-subject": submitted.id,
        "ce-time": "",
        "content-type": "application/json",
        "job_id": submitted.id,
        "state": "JOB_STATE_SUCCEEDED",
        "model": "gemini-2.5-flash",
        "kind": "generation",
        "bucket": world.settings.inbox,
        "object": "reviews.jsonl",
    }
    assert body["output_directory"] == batch.output_directory
    assert body["rows"] == {"total": 3, "accepted": 3, "refused": 0}
    assert body["stats"]["successful"] == 3
    assert "hello" not in announcement.body.decode()


def test_an_announcement_that_was_not_taken_is_sent_later_the_same(
    world: World, submitted: Job
) -> None:
    world.pubsub_down = True
    world.advance(timedelta(minutes=16))
    with pytest.raises(ExceptionGroup) as caught:
        world.tick()
    assert caught.group_contains(Unavailable)
    (stored,) = world.ledger.unpublished()

    world.pubsub_down = False
    world.ticks(2)

    (heard,) = world.heard
    assert (heard.id, heard.body, heard.attributes) == (
        stored.id,
        stored.body,
        stored.attributes,
    )
    assert heard.attempts >= 1
    assert world.ledger.unpublished() == []


def test_an_error_while_polling_changes_nothing_that_is_said_of_the_batch(
    world: World, submitted: Job
) -> None:
    world.wire.lists = [Wire.says(500)]
    world.advance(timedelta(minutes=6))

    with pytest.raises(ExceptionGroup):
        world.tick()

    assert world.job(submitted.source) == submitted
    world.tick()
    assert state(world, submitted) == "JOB_STATE_RUNNING"


def test_a_job_that_the_list_leaves_out_is_asked_for_by_name(
    world: World, submitted: Job
) -> None:
    world.wire.lists = [Wire.shows_nothing]
    world.advance(timedelta(minutes=6))

    world.tick()

    assert state(world, submitted) == "JOB_STATE_RUNNING"


def test_an_answer_older_than_what_is_known_is_ignored(
    world: World, submitted: Job
) -> None:
    old = httpx.get(
        f"{world.sim.url}/v1/{submitted.batch.name if submitted.batch else ''}"
    )
    world.ticks(6)
    assert state(world, submitted) == "JOB_STATE_RUNNING"
    stale = {"batchPredictionJobs": [old.json()]}
    world.wire.lists = [lambda _: httpx.Response(200, json=stale)]

    world.tick()

    assert state(world, submitted) == "JOB_STATE_RUNNING"


@pytest.mark.parametrize(
    ("said", "ends_as"),
    [
        ("JOB_STATE_SUCCEEDED", "succeeded"),
        ("JOB_STATE_PARTIALLY_SUCCEEDED", "partially_succeeded"),
        ("JOB_STATE_FAILED", "failed"),
        ("JOB_STATE_CANCELLED", "cancelled"),
        ("JOB_STATE_EXPIRED", "expired"),
        ("JOB_STATE_QUEUED", None),
        ("JOB_STATE_PENDING", None),
        ("JOB_STATE_RUNNING", None),
        ("JOB_STATE_CANCELLING", None),
        ("JOB_STATE_PAUSED", None),
        ("JOB_STATE_UPDATING", None),
        ("JOB_STATE_UNSPECIFIED", None),
        ("JOB_STATE_FROM_THE_FUTURE", None),
    ],
)
def test_every_state_is_kept_as_it_came_and_ends_the_job_or_not(
    world: World, submitted: Job, said: str, ends_as: str | None
) -> None:
    assert submitted.batch is not None
    resource = httpx.get(f"{world.sim.url}/v1/{submitted.batch.name}").json()
    resource |= {"state": said, "updateTime": "2100-01-01T00:00:00Z"}
    answer = {"batchPredictionJobs": [resource]}
    world.wire.lists = [lambda _: httpx.Response(200, json=answer)]

    world.tick()

    job = world.job(submitted.source)
    assert job.batch is not None
    assert job.batch.state == said
    assert job.phase is (Phase.ENDED if ends_as else Phase.SUBMITTED)
    assert [one.type for one in world.heard] == (
        [f"dev.batchdrop.job.{ends_as}.v1"] if ends_as else []
    )


def test_one_job_that_breaks_does_not_hold_up_the_others(
    world: World, submitted: Job
) -> None:
    other = world.upload(GOOD, "other.jsonl")
    world.intake.take(other)
    document = world.database.collection("jobs").document(submitted.id)
    assert submitted.batch is not None
    document.update({"batch.name": "projects/1/locations/x/batchPredictionJobs/404"})
    world.advance(timedelta(minutes=6))

    with pytest.raises(ExceptionGroup) as caught:
        world.tick()

    (error,) = caught.value.exceptions
    assert submitted.id in "".join(error.__notes__)
    batch = world.job(other).batch
    assert batch is not None
    assert batch.state == "JOB_STATE_RUNNING"


def test_a_tick_that_meets_another_does_nothing(world: World, submitted: Job) -> None:
    world.ledger.lock("tick", "another", world.now(), timedelta(minutes=4))
    world.advance(timedelta(minutes=3))

    assert world.tick().locked_out
    assert world.job(submitted.source) == submitted


def test_a_tick_that_died_holds_up_the_next_ones_for_its_own_time_only(
    world: World, submitted: Job
) -> None:
    hold = timedelta(seconds=world.settings.tick)
    world.ledger.lock("tick", "dead", world.now(), hold)
    world.advance(hold + timedelta(minutes=2))

    assert not world.tick().locked_out
    assert state(world, submitted) == "JOB_STATE_RUNNING"


def test_a_tick_takes_up_nothing_after_its_time(world: World) -> None:
    for n in range(3):
        drop = world.upload(GOOD, f"{n}.jsonl")
        claim = Job.claimed(drop, world.holder(), world.now(), world.timing)
        world.ledger.claim(claim)
    world.advance(world.timing.lease)
    # Each create takes two minutes; a tick has four.
    world.wire.before_create = lambda: world.advance(timedelta(minutes=2))

    first = world.tick()
    second = world.tick()

    assert (first.resumed, second.resumed) == (2, 1)
    assert len(world.batches()) == 3
