"""What happens at a tick, among real services."""

import json
from datetime import timedelta

import httpx
import pytest

from batchdrop.announcements.message import Announcement
from batchdrop.errors import Misconfigured, Unavailable
from batchdrop.jobs.codes import ErrorCode, Phase
from batchdrop.jobs.job import Job
from tests.often import mostly
from tests.there import there
from tests.worker.batches import (
    batch_of,
    empty_ledger,
    listed,
    reconcile,
    resource,
    several,
    state,
    states,
    vanish,
)
from tests.worker.world import GOOD, Wire, World


@pytest.fixture
def submitted(world: World) -> Job:
    drop = world.upload(GOOD * 3)
    world.worker.take(drop)
    return world.job(drop)


def test_a_job_is_followed_from_pending_to_its_end(
    world: World, submitted: Job
) -> None:
    seen = [state(world, submitted)]
    for _ in range(5):
        world.ticks(1, timedelta(minutes=4))
        if state(world, submitted) != seen[-1]:
            seen.append(state(world, submitted))

    job = world.job(submitted.source)
    assert seen == ["JOB_STATE_PENDING", "JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED"]
    assert job.phase is Phase.ENDED
    assert job.batch is not None
    assert job.batch.completion_stats is not None
    assert job.batch.completion_stats.successful == 3
    assert [
        (moment.state, moment.reported_at)
        for moment in job.history
        if moment.reported_at
    ] == [
        ("JOB_STATE_PENDING", job.batch.create_time),
        ("JOB_STATE_RUNNING", job.batch.start_time),
        ("JOB_STATE_SUCCEEDED", job.batch.end_time),
    ]


def test_an_end_is_announced_once_with_what_a_subscriber_needs(
    world: World, submitted: Job
) -> None:
    world.until_over(submitted.source)

    (announcement,) = world.announced
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
        "ce-sequence": "00000001",
        "content-type": "application/json",
        "job_id": submitted.id,
        "state": "JOB_STATE_SUCCEEDED",
        "model": "gemini-3.8-flash",
        "kind": "generation",
        "bucket": world.settings.inbox,
        "object": "reviews.jsonl",
        "event": "ended",
        "batch_rows": "complete",
    }
    assert body["output_directory"] == batch.output_directory
    rows = {name: count for name, count in body["rows"].items() if count is not None}
    assert rows == {"total": 3, "accepted": 3, "refused": 0, "fixed": 0}
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
    (stored,) = world.ledger.unpublished_announcements()

    world.pubsub_down = False
    world.ticks(2)

    (announcement,) = world.announced
    assert (announcement.id, announcement.body, announcement.attributes) == (
        stored.id,
        stored.body,
        stored.attributes,
    )
    assert announcement.attempts >= 1
    assert list(world.ledger.unpublished_announcements()) == []


def test_open_jobs_are_polled_however_many_announcements_are_due(
    world: World, submitted: Job
) -> None:
    for n in range(6):
        world.worker.take(world.upload("not json", name=f"{n}.jsonl"))
    published: list[str] = []

    def slow(announcement: Announcement) -> None:
        world.advance(timedelta(minutes=1))
        published.append(announcement.id)

    world.publish_by(slow)
    world.advance(timedelta(minutes=6))

    world.tick()

    assert 2 <= len(published) < 6
    assert state(world, submitted) == "JOB_STATE_RUNNING"


def test_an_error_while_polling_leaves_the_job_unchanged(
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
    world.ticks(1, timedelta(minutes=6))
    assert state(world, submitted) == "JOB_STATE_RUNNING"
    stale = {"batchPredictionJobs": [old.json()]}
    world.wire.lists = [lambda _: httpx.Response(200, json=stale)]

    world.tick()

    assert state(world, submitted) == "JOB_STATE_RUNNING"


#: The states that the API may report, and how each ends a job.
STATES = {
    "JOB_STATE_SUCCEEDED": "succeeded",
    "JOB_STATE_PARTIALLY_SUCCEEDED": "partially_succeeded",
    "JOB_STATE_FAILED": "failed",
    "JOB_STATE_CANCELLED": "cancelled",
    "JOB_STATE_EXPIRED": "expired",
    "JOB_STATE_QUEUED": None,
    "JOB_STATE_PENDING": None,
    "JOB_STATE_RUNNING": None,
    "JOB_STATE_CANCELLING": None,
    "JOB_STATE_PAUSED": None,
    "JOB_STATE_UPDATING": None,
    "JOB_STATE_UNSPECIFIED": None,
    "JOB_STATE_FROM_THE_FUTURE": None,
}


def test_every_state_is_kept_as_it_came_and_ends_the_job_or_not(world: World) -> None:
    jobs = dict(zip(STATES, several(world, len(STATES)), strict=True))
    listed(
        world,
        *(
            resource(
                world,
                job,
                state=said,
                updateTime="2100-01-01T00:00:00Z",
                outputInfo={"gcsOutputDirectory": "gs://out/here"},
            )
            for said, job in jobs.items()
        ),
    )

    world.tick()

    ends = {one.job_id: one.type for one in world.announced}
    for said, before in jobs.items():
        job, ends_as = world.job(before.source), STATES[said]
        assert job.batch is not None
        assert job.batch.state == said
        assert job.phase is (Phase.ENDED if ends_as else Phase.SUBMITTED)
        health = job.health.code if job.health else None
        assert health == ("unknown_state" if "FUTURE" in said else None)
        assert ends.pop(job.id, None) == (
            f"dev.batchdrop.job.{ends_as}.v1" if ends_as else None
        )
    assert ends == {}
    assert len(world.announced) == 5


def test_one_job_that_breaks_does_not_hold_up_the_others(
    world: World, submitted: Job
) -> None:
    other = world.upload(GOOD, "other.jsonl")
    world.worker.take(other)
    document = world.database.collection("jobs").document(submitted.id)
    document.update({"batch.name": "no name of a batch"})
    world.advance(timedelta(minutes=6))

    with pytest.raises(ExceptionGroup) as caught:
        world.tick()

    (error,) = caught.value.exceptions
    assert submitted.id in "".join(error.__notes__)
    health = world.job(submitted.source).health
    assert health is not None
    assert health.code == "poll_failed"
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


# -- batches that the API doesn't know -------------------------------------------


def test_a_batch_that_is_gone_is_lost_after_an_hour_and_three_ticks(
    world: World, submitted: Job
) -> None:
    vanish(world, submitted)

    world.ticks(2, timedelta(minutes=1))
    world.ticks(1, timedelta(minutes=58))
    assert world.job(submitted.source).phase is Phase.SUBMITTED
    world.ticks(1, timedelta(minutes=2))

    job = world.job(submitted.source)
    assert job.phase is Phase.ENDED
    assert job.error is not None
    assert job.error.code == "lost"
    assert job.batch is not None
    assert job.batch.state == "JOB_STATE_PENDING"
    assert [one.type for one in world.announced] == ["dev.batchdrop.job.lost.v1"]


def test_two_404s_an_hour_apart_do_not_make_a_batch_lost(
    world: World, submitted: Job
) -> None:
    vanish(world, submitted)

    world.ticks(1)
    world.ticks(1, timedelta(hours=3))

    assert world.job(submitted.source).phase is Phase.SUBMITTED


def test_a_batch_that_is_found_again_is_as_if_it_had_never_been_away(
    world: World, submitted: Job
) -> None:
    assert submitted.batch is not None
    real = submitted.batch.name
    document = world.database.collection("jobs").document(submitted.id)
    document.update({"batch.name": real[:-1] + "x"})
    world.ticks(2)
    assert world.job(submitted.source).not_found is not None
    document.update({"batch.name": real})

    world.ticks(1)

    assert world.job(submitted.source).not_found is None


def test_when_many_are_gone_at_once_none_is_lost_and_health_gives_the_reason(
    world: World,
) -> None:
    jobs = several(world, 5)
    vanish(world, *jobs[:2])

    world.ticks(5, timedelta(hours=1))

    gone = [world.job(job.source) for job in jobs[:2]]
    assert [job.phase for job in gone] == [Phase.SUBMITTED] * 2
    assert [job.health.code if job.health else None for job in gone] == [
        "not_visible"
    ] * 2
    assert world.announced != []
    assert {one.type for one in world.announced} == {"dev.batchdrop.job.succeeded.v1"}


# -- the queue ---------------------------------------------------------------------


def phases(world: World, jobs: list[Job]) -> list[Phase]:
    return [world.job(job.source).phase for job in jobs]


def test_with_a_cap_only_the_tick_admits_and_only_as_many_as_there_is_room_for(
    world: World,
) -> None:
    world.choose(max_active_jobs=2)
    jobs = several(world, 3)
    assert phases(world, jobs) == [Phase.WAITING] * 3
    assert world.batches() == []

    world.ticks(2)

    assert phases(world, jobs) == [Phase.SUBMITTED] * 2 + [Phase.WAITING]


def test_first_come_is_first_served(world: World) -> None:
    world.choose(max_active_jobs=1)
    jobs = several(world, 3)

    order = []
    for _ in range(7):
        world.ticks(1, timedelta(minutes=8))
        for n, job in enumerate(jobs):
            if world.job(job.source).batch and n not in order:
                order.append(n)

    assert order == [0, 1, 2]
    assert phases(world, jobs) == [Phase.ENDED] * 3
    assert len(world.batches()) == 3


def test_batches_that_others_made_count_against_the_cap(world: World) -> None:
    world.choose(max_active_jobs=1)
    theirs = world.upload(GOOD, "theirs.txt")
    world.client.batches.create(
        model="gemini-3.8-flash",
        src=f"gs://{theirs.bucket}/{theirs.name}",
        config={"destination": f"gs://{world.settings.output.bucket}/theirs/"},
    )
    jobs = several(world, 1)

    world.ticks(1)
    assert phases(world, jobs) == [Phase.WAITING]

    world.ticks(2, timedelta(minutes=8))
    assert phases(world, jobs) == [Phase.SUBMITTED]


def test_batches_of_another_model_do_not(world: World) -> None:
    world.choose(max_active_jobs=1)
    theirs = world.upload(GOOD, "theirs.txt")
    world.client.batches.create(
        model="gemini-4-argon",
        src=f"gs://{theirs.bucket}/{theirs.name}",
        config={"destination": f"gs://{world.settings.output.bucket}/theirs/"},
    )
    jobs = several(world, 1)

    world.ticks(1)

    assert phases(world, jobs) == [Phase.SUBMITTED]


@pytest.mark.parametrize(
    ("answer", "health"), mostly((503, "postponed"), also=[(403, "not_allowed")])
)
def test_a_queue_that_cannot_be_counted_for_hours_is_announced_once(
    world: World, answer: int, health: str
) -> None:
    def refuses(request: httpx.Request) -> httpx.Response | None:
        counts = 'state="JOB_STATE_RUNNING"' in request.url.params.get("filter", "")
        return Wire.says(answer)(request) if counts else None

    world.choose(max_active_jobs=1)
    world.wire.lists = [refuses] * 200
    jobs = several(world, 2)
    for _ in range(4):
        with pytest.raises(ExceptionGroup):
            world.ticks(1, timedelta(minutes=41))

    first, second = (world.job(job.source) for job in jobs)
    assert first.health is not None
    assert first.health.code == health
    assert second.postponed is None
    assert [one.job_id for one in world.announced] == [first.id]

    world.wire.lists = []
    world.ticks(1)
    assert phases(world, jobs) == [Phase.SUBMITTED, Phase.WAITING]


def test_a_paused_deployment_holds_everything_and_then_lets_it_go(
    world: World,
) -> None:
    world.choose(paused=True)
    jobs = several(world, 3)
    world.ticks(2)
    assert phases(world, jobs) == [Phase.WAITING] * 3
    assert world.batches() == []

    world.choose(paused=False)
    world.ticks(1)

    assert phases(world, jobs) == [Phase.SUBMITTED] * 3
    # In order of arrival, a few at once: see `test_admission.py`.
    made = sorted(batch["displayName"] for batch in world.batches())
    assert made == ["0.jsonl", "1.jsonl", "2.jsonl"]


def test_a_429_pauses_the_queue_for_the_jobs_that_come_after(world: World) -> None:
    headers = {"retry-after": "600"}
    world.wire.creates = [Wire.says(429, **headers)]
    jobs = several(world, 3)
    assert phases(world, jobs) == [Phase.WAITING] * 3

    world.ticks(1)
    world.ticks(1, timedelta(minutes=8))
    assert world.batches() == []
    world.ticks(1)

    assert phases(world, jobs) == [Phase.SUBMITTED] * 3
    assert len(world.batches()) == 3


def test_a_days_limit_holds_what_is_over_it_until_the_next_day(world: World) -> None:
    day = world.now().replace(hour=6, minute=0) + timedelta(days=1)
    world.advance(day - world.now())
    world.choose(max_rows_per_day=5)
    jobs = several(world, 2, GOOD * 3)

    world.ticks(3)
    assert phases(world, jobs) == [Phase.SUBMITTED, Phase.WAITING]

    world.ticks(1, timedelta(hours=18))
    assert phases(world, jobs) == [Phase.ENDED, Phase.SUBMITTED]


@pytest.mark.proof
def test_a_file_over_a_days_limit_goes_over_several_days_where_it_is_split(
    world: World,
) -> None:
    day = world.now().replace(hour=6, minute=0) + timedelta(days=1)
    world.advance(day - world.now())
    world.choose(max_rows_per_day=4, part_rows=3)
    drop = world.upload(GOOD * 9)

    world.worker.take(drop)
    assert world.job(drop).phase is Phase.SPLIT
    sent = []
    for _ in range(4):
        world.ticks(3)
        sent.append(len(world.batches()))
        world.advance(timedelta(days=1))
    world.ticks(3)

    assert sent == [1, 2, 3, 3]
    assert world.job(drop).phase is Phase.ENDED
    assert [one.type for one in world.announced] == ["dev.batchdrop.job.succeeded.v1"]


def test_a_part_that_no_day_has_room_for_rejects_its_file(world: World) -> None:
    no_limits = {"max_rows_per_day": None, "max_bytes_per_day": None}
    for what in ("rows", "bytes"):
        world.choose(None, **no_limits | {f"max_{what}_per_day": 2, "part_rows": 3})
        drop = world.upload(GOOD * 7, f"{what}.jsonl")

        world.worker.take(drop)

        job = world.job(drop)
        assert job.phase is Phase.REJECTED
        assert job.error is not None
        assert f"in one of its parts, over BATCHDROP_MAX_{what.upper()}_PER_DAY=2" in (
            job.error.message
        )
        assert f"BATCHDROP_PART_{what.upper()}" in job.error.message
    assert world.jobs() == 2


def test_a_job_counts_once_against_the_day_however_often_it_is_asked_for(
    world: World,
) -> None:
    world.choose(max_rows_per_day=100)
    world.wire.creates = [Wire.says(429), Wire.says(503), Wire.says(429)]
    drop = world.upload(GOOD * 3)
    day = f"{world.now():%Y-%m-%d}"
    world.worker.take(drop)

    world.ticks(7, timedelta(minutes=3))

    assert world.job(drop).phase in (Phase.SUBMITTED, Phase.ENDED)
    spent, staging = world.ledger.spending_on(day), world.job(drop).staging
    assert staging is not None
    assert (spent.rows, spent.bytes) == (3, staging.bytes)


def test_a_job_over_a_limit_is_rejected_by_the_limits_name(world: World) -> None:
    limits = ("max_rows", "max_bytes", "max_rows_per_day", "max_bytes_per_day")
    for limit in limits:
        world.choose(None, **dict.fromkeys(limits) | {limit: 2})
        drop = world.upload(GOOD * 3, f"{limit}.jsonl")

        world.worker.take(drop)

        job = world.job(drop)
        error = there(job.error)
        assert (job.phase, error.code) == (Phase.REJECTED, "over_limit")
        assert f"BATCHDROP_{limit.upper()}=2" in error.message


# -- what the ledger doesn't know ---------------------------------------------------


def test_a_drop_whose_event_never_came_is_found_in_the_inbox(world: World) -> None:
    drop = world.upload()

    reconcile(world)

    job = world.job(drop)
    assert job.missed
    assert job.phase is Phase.SUBMITTED
    assert len(world.batches()) == 1


def test_what_lay_in_the_inbox_before_the_deployment_is_left_alone(
    world: World,
) -> None:
    world.upload()
    started = world.database.collection("locks").document("reconcile")
    started.update({"first_start": world.now() + timedelta(seconds=30)})

    reconcile(world)

    assert world.jobs() == 0


def test_what_the_ledger_may_have_forgotten_is_left_alone(world: World) -> None:
    world.upload()
    world.advance(timedelta(seconds=world.settings.missed_window))

    reconcile(world)

    assert world.jobs() == 0


def test_other_files_in_the_inbox_are_not_claimed(world: World) -> None:
    world.upload(GOOD, "notes.txt")
    world.upload(b"", "folder/")

    reconcile(world)

    assert world.jobs() == 0


def test_a_missed_file_without_bytes_is_rejected(world: World) -> None:
    empty = world.upload(b"", "empty.jsonl")

    reconcile(world)

    assert there(world.job(empty).error).code == ErrorCode.NO_ROWS


def test_an_emptied_ledger_finds_the_batch_and_does_not_pay_again(
    world: World, submitted: Job
) -> None:
    world.advance(timedelta(seconds=1))
    empty_ledger(world)

    reconcile(world)
    world.ticks(4)

    again = world.job(submitted.source)
    assert again.batch is not None
    assert submitted.batch is not None
    assert again.batch.name == submitted.batch.name
    assert len(world.batches()) == 1


def test_an_emptied_ledger_does_not_pay_again_for_what_has_results(
    world: World, submitted: Job
) -> None:
    world.until_ended()
    ended = world.job(submitted.source)
    assert ended.batch is not None
    world.client.batches.delete(name=ended.batch.name)
    empty_ledger(world)

    reconcile(world)
    world.ticks(3, timedelta(minutes=4))

    again = world.job(submitted.source)
    assert again.phase is Phase.REJECTED
    assert again.error is not None
    assert again.error.code == "already_done"
    assert len(world.batches()) == 1


def test_a_second_batch_of_a_job_is_cancelled_and_recorded(
    world: World, submitted: Job
) -> None:
    world.sim.clock.advance(seconds=world.settings.reconcile_every - 60)
    extra = batch_of(world, submitted)

    world.ticks(1)

    job = world.job(submitted.source)
    assert states(world)[extra] == "JOB_STATE_CANCELLED"
    assert job.health is not None
    assert job.health.code == "duplicates"
    assert job.phase is Phase.ENDED


def test_another_deployments_batch_is_not_cancelled(
    world: World, submitted: Job
) -> None:
    world.sim.clock.advance(seconds=world.settings.reconcile_every - 60)
    theirs = batch_of(world, submitted, batchdrop_deployment="other")

    world.ticks(1)

    assert states(world)[theirs] == "JOB_STATE_PENDING"
    assert world.job(submitted.source).health is None


def test_a_batch_with_a_forged_label_is_reported_and_left_alone(
    world: World, submitted: Job, caplog: pytest.LogCaptureFixture
) -> None:
    world.sim.clock.advance(seconds=world.settings.reconcile_every - 60)
    assert submitted.spec is not None
    forged = world.client.batches.create(
        model="gemini-3.8-flash",
        src=f"gs://{world.settings.inbox}/reviews.jsonl",
        config={
            "destination": f"gs://{world.settings.output.bucket}/forged/",
            "labels": submitted.spec.labels,
        },
    )

    world.ticks(1)

    assert states(world)[forged.name] == "JOB_STATE_PENDING"
    assert [
        record.__dict__["batch"]
        for record in caplog.records
        if record.message == "orphan batch"
    ] == [forged.name]


def test_a_parked_job_whose_batch_turns_up_adopts_it(
    world: World,
) -> None:
    world.wire.creates = [world.wire.reply_lost]
    drop = world.upload()
    world.worker.take(drop)
    job = world.job(drop)
    world.ledger.advance(job, lambda j: j.park(world.now()))

    reconcile(world)

    assert world.job(drop).phase in (Phase.SUBMITTED, Phase.ENDED)
    assert len(world.batches()) == 1


def test_a_right_that_the_service_lacks_is_reported_with_whom_to_give_it(
    world: World, submitted: Job
) -> None:
    assert submitted.batch is not None
    resource = httpx.get(f"{world.sim.url}/v1/{submitted.batch.name}").json()
    resource |= {
        "state": "JOB_STATE_FAILED",
        "updateTime": "2100-01-01T00:00:00Z",
        "error": {"code": 7, "message": "lacks storage.objects.create"},
    }
    answer = {"batchPredictionJobs": [resource]}
    world.wire.lists = [lambda _: httpx.Response(200, json=answer)]

    world.tick()

    number = submitted.batch.name.split("/")[1]
    error = json.loads(world.announced[0].body)["error"]
    assert error["code"] == "not_allowed"
    assert (
        f"service-{number}@gcp-sa-aiplatform.iam.gserviceaccount.com"
        in (error["message"])
    )
    assert "roles/storage.objectUser" in error["message"]


def test_a_tick_stops_at_unfinished_documents_of_an_earlier_release(
    world: World, submitted: Job
) -> None:
    document = world.database.collection("jobs").document(submitted.id)
    document.update({"v": 1})
    world.worker.poll.none_outdated_at = None

    with pytest.raises(Misconfigured, match=rf"version 1, such as {submitted.id}.*new"):
        world.tick()

    document.update({"v": 2})
    world.advance(timedelta(minutes=6))
    world.tick()
    batch = world.job(submitted.source).batch
    assert batch is not None
    assert batch.state == "JOB_STATE_RUNNING"
