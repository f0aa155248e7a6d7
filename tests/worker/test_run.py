"""What happens to a drop, among real services."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest

from batchdrop.errors import Unavailable
from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.steps import MAX_RESUMES
from batchdrop.jobs.values import Location
from batchdrop.stored import split_uri
from tests.often import mostly
from tests.there import there
from tests.worker.batches import claimed, intended
from tests.worker.dying import failpoints
from tests.worker.world import GOOD, Fault, Wire, World

MINUTE, TWO, TEN = (timedelta(minutes=n) for n in (1, 2, 10))


def test_a_drop_becomes_a_batch_of_its_rows(world: World) -> None:
    drop = world.upload(GOOD * 3, "day/reviews.jsonl")

    world.worker.take(drop)

    job = world.job(drop)
    (batch,) = world.batches()
    assert job.phase is Phase.SUBMITTED
    assert job.batch is not None
    assert job.batch.name == batch["name"]
    assert (job.rows.total, job.rows.accepted) == (3, 3)
    assert batch["labels"] == {
        "batchdrop_job": drop.job_id,
        "batchdrop_deployment": "tests",
    }
    (staged,) = world.staged(drop).values()
    assert [json.loads(line)["key"] for line in staged.splitlines()] == [
        "r0000001",
        "r0000002",
        "r0000003",
    ]
    assert json.loads(staged.splitlines()[0])["request"] == json.loads(GOOD)


def test_results_lie_under_the_files_name_and_the_jobs_id(world: World) -> None:
    drop = world.upload(GOOD * 5, "day/reviews.jsonl")
    world.worker.take(drop)

    job = world.until_over(drop)

    assert job.batch is not None
    assert (job.batch.output_directory or "").startswith(
        f"gs://{world.settings.output.bucket}/day/reviews.jsonl/{drop.job_id}/"
    )
    assert sorted(line["key"] for line in world.answers(job)) == [
        f"r000000{n}" for n in range(1, 6)
    ]


def test_an_upload_delivered_many_times_at_once_is_submitted_once(
    world: World,
) -> None:
    drop = world.upload()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: world.worker.take(drop), range(20)))

    assert world.job(drop).phase is Phase.SUBMITTED
    assert len(world.batches()) == 1


def test_the_next_version_of_an_object_is_a_job_of_its_own(world: World) -> None:
    first = world.upload(GOOD)
    world.worker.take(first)
    second = world.upload(GOOD * 2)
    world.worker.take(second)

    assert world.job(first).rows.total == 1
    assert world.job(second).rows.total == 2
    assert len(world.batches()) == 2


def test_a_file_of_another_kind_is_ignored(world: World) -> None:
    others = ("notes.txt", "reviews.json", "jsonl", "a.jsonl.tmp", "a.jsonl/")
    for name in (*others, "a.j\u017fonl"):
        world.worker.take(world.upload(GOOD, name))

    assert world.jobs() == 0
    assert world.batches() == []


def test_a_file_of_rows_may_be_named_in_any_case(world: World) -> None:
    for name in ("a.JSONL", "a.ndjson", "a.Ndjson", "a.jsonl.GZ", "a.ndjson.gz"):
        drop = world.upload(GOOD, name)
        world.worker.take(drop)

        assert world.job(drop).rows.accepted == 1


def test_an_object_without_bytes_is_rejected(world: World) -> None:
    drop = world.upload(b"")
    world.worker.take(drop)

    job = world.job(drop)
    assert (job.phase, there(job.error).code) == (Phase.REJECTED, "no_rows")
    assert there(job.error).message == "the file is empty; drop it again with its rows"
    assert world.batches() == []


def test_the_workers_own_objects_are_ignored(world: World) -> None:
    drop = world.upload()
    world.worker.take(drop)
    (name,) = world.staged(drop)
    own = {
        "bucket": world.settings.work.bucket,
        "name": f"staging/{drop.job_id}/{name}",
        "generation": "1",
        "size": "9",
    }

    world.worker.take(
        type(drop).from_event("google.cloud.storage.object.v1.finalized", own)
    )

    assert world.jobs() == 1


def test_a_bad_line_costs_nothing_and_is_named(world: World) -> None:
    drop = world.upload(GOOD + "not json\n" + GOOD + '{"prompt": "x"}\n')

    world.worker.take(drop)

    job = world.job(drop)
    assert job.phase is Phase.REJECTED
    assert job.error is not None
    assert job.error.code == "bad_rows"
    assert job.error.message.startswith("line 2: ")
    assert [(fault.line, fault.code) for fault in job.row_errors] == [
        (2, "not_json"),
        (4, "no_contents"),
    ]
    assert (job.rows.total, job.rows.accepted, job.rows.refused) == (4, 2, 2)
    assert world.batches() == []
    assert world.staged(drop) == {}


def test_a_rejection_is_announced(world: World) -> None:
    drop = world.upload("not json\n")
    world.worker.take(drop)

    world.tick()

    (announcement,) = world.announced
    body = json.loads(announcement.body)
    assert announcement.type == "dev.batchdrop.job.rejected.v1"
    assert body["job_id"] == drop.job_id
    assert body["error"]["message"].startswith("line 1: ")


def test_a_file_of_blank_lines_is_rejected(world: World) -> None:
    drop = world.upload("\n  \n\n")

    world.worker.take(drop)

    job = world.job(drop)
    assert job.phase is Phase.REJECTED
    assert job.error is not None
    assert job.error.code == "no_rows"


def test_a_large_bad_file_leaves_nothing_staged(world: World) -> None:
    many = (GOOD * 200_000).encode()  # over one chunk, so that the upload has begun
    drop = world.upload(many + b"not json\n")

    world.worker.take(drop)

    assert world.job(drop).rows.refused == 1
    assert world.staged(drop) == {}


def test_a_file_deleted_before_it_was_read_is_rejected(world: World) -> None:
    drop = world.upload()
    world.gcs.bucket(drop.bucket).blob(drop.name).delete()

    world.worker.take(drop)

    job = world.job(drop)
    assert job.phase is Phase.REJECTED
    assert job.error is not None
    assert job.error.code == "source_gone"
    assert f"{drop.name}#{drop.generation}" in job.error.message


def test_a_job_waits_while_the_service_is_down_and_is_then_submitted(
    world: World,
) -> None:
    drop = world.upload()
    world.wire.down = True
    world.worker.take(drop)
    assert world.job(drop).phase is Phase.WAITING

    world.ticks(2)
    assert world.job(drop).phase is Phase.WAITING

    world.wire.down = False
    world.ticks(1)
    assert world.job(drop).phase is Phase.SUBMITTED
    assert len(world.batches()) == 1


def unreachable(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused", request=request)


@pytest.mark.parametrize(
    ("fault", "health"),
    mostly(
        (unreachable, "postponed"),
        also=[(Wire.says(503), "postponed"), (Wire.says(403), "not_allowed")],
    ),
    ids=["unreachable", "503", "403"],
)
def test_a_job_that_stalls_for_hours_is_announced_once_and_then_submitted(
    world: World, fault: Fault, health: str
) -> None:
    drop = world.upload()
    world.wire.creates = [fault] * 100
    world.worker.take(drop)
    world.ticks(2, timedelta(minutes=30))
    assert world.announced == []

    world.ticks(2, timedelta(minutes=60))
    job = world.job(drop)
    assert [one.type for one in world.announced] == ["dev.batchdrop.job.stalled.v1"]
    assert job.health is not None
    assert job.health.code == health

    world.wire.creates = []
    world.ticks_until(lambda: world.job(drop).batch is not None, 3, TEN)
    job = world.job(drop)
    assert (job.health, job.postponed) == (None, None)


def test_a_batch_whose_answer_was_lost_is_found_and_kept(world: World) -> None:
    drop = world.upload()
    world.wire.creates = [world.wire.reply_lost]

    world.worker.take(drop)
    assert world.job(drop).phase is Phase.SUBMITTING
    world.ticks(2, timedelta(minutes=3))

    (batch,) = world.batches()
    job = world.job(drop)
    assert job.batch is not None
    assert job.batch.name == batch["name"]


def test_a_batch_that_has_ended_before_it_was_found_is_followed_to_its_end(
    world: World,
) -> None:
    drop = world.upload()
    world.wire.creates = [world.wire.reply_lost]
    world.worker.take(drop)
    world.advance(timedelta(hours=1))

    world.ticks(2)

    assert world.job(drop).phase is Phase.ENDED
    assert [one.type for one in world.announced] == ["dev.batchdrop.job.succeeded.v1"]


@pytest.mark.parametrize("code", mostly(503, also=[408, 500, 502, 504]))
def test_after_an_unclear_answer_that_made_nothing_one_batch_is_made(
    world: World, code: int
) -> None:
    drop = world.upload()
    world.wire.creates = [Wire.says(code)]

    world.worker.take(drop)
    assert world.job(drop).phase is Phase.SUBMITTING
    world.ticks_until(lambda: world.job(drop).phase is Phase.SUBMITTED, 4, TWO)
    world.ticks(1)

    assert world.job(drop).phase is Phase.SUBMITTED
    assert len(world.batches()) == 1


def test_an_unclear_create_starts_no_search_before_the_list_lag_ends(
    world: World,
) -> None:
    drop = world.upload()
    world.wire.creates = [world.wire.reply_lost]
    world.worker.take(drop)

    world.advance(world.timing.list_lag - timedelta(seconds=1))
    world.tick()
    assert world.job(drop).phase is Phase.SUBMITTING

    world.advance(timedelta(seconds=1))
    world.tick()
    assert world.job(drop).phase is Phase.SUBMITTED


def test_a_full_service_is_called_again_after_its_retry_after(world: World) -> None:
    drop = world.upload()
    headers = {"retry-after": "600"}
    world.wire.creates = [Wire.says(429, **headers)]
    world.worker.take(drop)
    assert world.job(drop).phase is Phase.WAITING

    world.ticks(1, timedelta(minutes=9))
    assert world.batches() == []
    world.ticks(1)

    assert world.job(drop).phase is Phase.SUBMITTED
    assert len(world.batches()) == 1


@pytest.mark.parametrize("code", mostly(403, also=[401]))
def test_a_missing_right_is_reported_with_the_role_to_grant(
    world: World, code: int
) -> None:
    drop = world.upload()
    world.wire.creates = [Wire.says(code)]

    world.worker.take(drop)

    job = world.job(drop)
    assert job.phase is Phase.WAITING
    assert job.health is not None
    assert job.health.code == "not_allowed"
    assert "roles/aiplatform.user" in job.health.message
    world.ticks(1, timedelta(minutes=5))
    healed = world.job(drop)
    assert (healed.phase, healed.health) == (Phase.SUBMITTED, None)


def test_a_search_without_the_right_to_list_is_reported_and_repeated(
    world: World,
) -> None:
    job = intended(world)

    def refused(request: httpx.Request) -> httpx.Response | None:
        of_one_job = f'labels.batchdrop_job="{job.id}"'
        chosen = request.url.params.get("filter", "")
        return Wire.says(403)(request) if of_one_job in chosen else None

    world.wire.lists = [refused] * 100

    world.ticks(4, timedelta(minutes=8))

    found = world.job(job.source)
    assert found.phase is Phase.SUBMITTING
    assert found.health is not None
    assert found.health.code == "not_allowed"
    assert "could not look for its batches" in found.health.message
    world.wire.lists.clear()
    healed = world.until_over(job.source)
    assert (healed.phase, healed.health) == (Phase.ENDED, None)
    assert len(world.batches()) == 1


def test_a_bucket_that_is_missing_parks_no_job(world: World) -> None:
    there = world.settings.work
    drop = world.upload()
    world.choose(work=Location(bucket=f"{there.bucket}-not", prefix=there.prefix))
    world.worker.take(drop)

    for pause in (1, 1, 2, 4, 8, 16):  # as long as it has failed
        world.ticks(1, timedelta(minutes=pause))

    job = world.job(drop)
    assert job.phase is Phase.ARRIVED
    assert job.lease.epoch > MAX_RESUMES
    assert job.health is not None
    assert job.health.code == "not_allowed"
    assert f"{there.bucket}-not" in job.health.message
    assert [moment.note for moment in job.history] == [None, "not_allowed"]
    world.choose(work=there)
    world.ticks(1, timedelta(hours=1))
    healed = world.job(drop)
    assert (healed.phase, healed.health) == (Phase.SUBMITTED, None)


def test_what_the_service_refuses_is_rejected_with_its_words(world: World) -> None:
    for code in (400, 404, 413, 422):
        drop = world.upload()
        world.wire.creates = [Wire.says(code)]

        world.worker.take(drop)

        job = world.job(drop)
        error = there(job.error)
        assert (job.phase, error.code) == (Phase.REJECTED, "service_refused")
        assert f"words for {code}" in error.message


def test_a_step_that_breaks_records_why_and_ends_its_lease(world: World) -> None:
    drop = world.upload()
    # The settings' own reader turns this down; whatever it lets through ends here.
    world.choose(max_bytes="many")

    world.worker.take(drop)

    job = world.job(drop)
    assert job.phase is Phase.ARRIVED
    assert not job.is_held(world.now())
    assert "TypeError" in (job.history[-1].note or "")
    world.choose(max_bytes=None)
    world.ticks(1)
    assert world.job(drop).phase is Phase.SUBMITTED


# -- workers that die, freeze and wake ------------------------------------------


def test_a_job_whose_worker_died_after_the_claim_is_carried_on(world: World) -> None:
    job = claimed(world)

    world.ticks(3, timedelta(minutes=4))

    assert world.job(job.source).phase is Phase.SUBMITTED
    assert len(world.batches()) == 1


def test_a_job_under_a_live_lease_is_left_alone(world: World) -> None:
    job = claimed(world)

    world.ticks(1)
    world.ticks(1, timedelta(minutes=8))

    assert world.job(job.source) == job


def fenced(world: World, job: Job) -> None:
    """Time passes until the fence is up, and its wait has begun."""
    world.advance(timedelta(minutes=10))
    world.ticks_until(lambda: world.job(job.source).phase is Phase.PREPARED, 5, MINUTE)


def test_a_job_whose_worker_died_with_its_intent_is_made_once(world: World) -> None:
    job = intended(world)

    world.ticks(5, timedelta(minutes=4))

    assert world.job(job.source).phase is Phase.SUBMITTED
    assert len(world.batches()) == 1


def test_the_fence_moves_the_rows_and_leaves_no_older_copy(world: World) -> None:
    job = intended(world)
    before = world.staged(job.source)

    fenced(world, job)

    after = world.staged(job.source)
    assert list(before) == ["1/requests.jsonl"]
    assert list(after) == ["2/requests.jsonl"]
    assert list(after.values()) == list(before.values())


def test_a_fence_that_died_before_its_write_is_made_again(world: World) -> None:
    job = intended(world)
    moved = world.staged(job.source)["1/requests.jsonl"]
    work = world.gcs.bucket(world.settings.work.bucket)
    prefix = f"{world.settings.work.prefix}{job.id}"
    work.blob(f"{prefix}/2/requests.jsonl").upload_from_string(moved)
    work.blob(f"{prefix}/1/requests.jsonl").delete()
    world.advance(timedelta(minutes=13))
    world.ledger.advance(job, lambda j: j.resumed("died", world.now(), world.timing))

    world.ticks(5, timedelta(minutes=4))

    assert world.job(job.source).phase is Phase.SUBMITTED
    assert len(world.batches()) == 1


def test_a_frozen_worker_that_sends_after_the_fence_costs_nothing(
    world: World,
) -> None:
    job = intended(world)
    fenced(world, job)

    frozen = world.client.batches.create(
        model="gemini-3.8-flash",
        src=job.staging.uri if job.staging else "",
        config={
            "destination": job.spec.destination if job.spec else "",
            "display_name": "x",
            "labels": job.spec.labels if job.spec else {},
        },
    )
    kept = world.until_over(job.source)
    world.ticks(1, timedelta(minutes=20))

    assert kept.batch is not None
    assert kept.batch.state == "JOB_STATE_SUCCEEDED"
    assert kept.batch.name != frozen.name
    paid = [batch for batch in world.batches() if batch["state"] != "JOB_STATE_FAILED"]
    assert [batch["name"] for batch in paid] == [kept.batch.name]
    assert [one.type for one in world.announced] == ["dev.batchdrop.job.succeeded.v1"]


def test_of_two_batches_the_older_that_has_begun_is_kept_and_the_other_cancelled(
    world: World,
) -> None:
    drop = world.upload()
    world.wire.creates = [world.wire.reply_lost, world.wire.reply_lost]
    # Far beyond LIST_LAG, when the first has read its rows, the list still lags.
    world.wire.lists = [Wire.shows_nothing, Wire.shows_nothing]
    world.worker.take(drop)
    world.advance(timedelta(minutes=6))

    world.ticks(3, TWO)

    job = world.job(drop)
    older, younger = sorted(world.batches(), key=lambda b: str(b["createTime"]))
    assert job.batch is not None
    assert job.batch.name == older["name"]
    assert younger["state"] == "JOB_STATE_CANCELLED"
    assert job.health is not None
    assert job.health.code == "duplicates"
    assert younger["name"] in job.health.message


def send_late(world: World, job: Job) -> None:
    """What a worker that froze with its intent written does when it wakes."""
    world.backends.of(job).create(job)


def test_a_late_batch_without_input_is_not_kept_in_place_of_a_good_one(
    world: World,
) -> None:
    job = intended(world)
    fenced(world, job)
    send_late(world, job)
    world.wire.creates = [world.wire.reply_lost]
    world.wire.lists = [Wire.shows_nothing]
    world.ticks(2)  # a second batch is made, and its reply is lost
    assert world.job(job.source).phase is Phase.SUBMITTING

    kept = world.until_over(job.source)
    world.ticks(1, timedelta(minutes=20))

    assert kept.batch is not None
    assert kept.batch.state == "JOB_STATE_SUCCEEDED"
    paid = [batch for batch in world.batches() if batch["rows"]["done"]]
    assert [batch["name"] for batch in paid] == [kept.batch.name]


def test_a_late_batch_whose_input_a_dead_fence_took_is_not_the_end(
    world: World,
) -> None:
    job = intended(world)
    world.advance(timedelta(minutes=13))
    died = world.ledger.advance(
        job, lambda j: j.resumed("dies", world.now(), world.timing)
    )
    world.worker.runner.submitting.withdraw(died)
    send_late(world, job)
    world.advance(timedelta(minutes=13))

    kept = world.until_over(job.source)
    world.ticks(1, timedelta(minutes=20))

    assert kept.phase is Phase.ENDED
    assert kept.batch is not None
    assert kept.batch.state == "JOB_STATE_SUCCEEDED"
    assert len([batch for batch in world.batches() if batch["rows"]["done"]]) == 1


def test_a_label_set_by_somebody_else_is_not_taken_for_ours(world: World) -> None:
    job = intended(world)
    forged = world.client.batches.create(
        model="gemini-3.8-flash",
        src=f"gs://{world.settings.inbox}/reviews.jsonl",
        config={
            "destination": f"gs://{world.settings.output.bucket}/x/",
            "display_name": "forged",
            "labels": job.spec.labels if job.spec else {},
        },
    )

    kept = world.until_over(job.source)

    assert kept.batch is not None
    assert kept.batch.name != forged.name


def test_a_job_that_kills_its_workers_is_parked_and_announced(world: World) -> None:
    job = claimed(world)
    for _ in range(5):
        world.advance(world.timing.lease)
        job = world.ledger.advance(
            job, lambda j: j.resumed("dies", world.now(), world.timing)
        )

    world.ticks(3, timedelta(minutes=11))

    parked = world.job(job.source)
    assert parked.phase is Phase.ARRIVED
    assert parked.parked is not None
    assert "batchdrop resume" in parked.parked.message
    assert [one.type for one in world.announced] == ["dev.batchdrop.job.stalled.v1"]
    assert world.batches() == []


def test_a_worker_that_wakes_with_its_lease_nearly_over_sends_nothing(
    world: World,
) -> None:
    job = intended(world)
    world.advance(world.timing.lease - timedelta(seconds=30))

    world.worker.runner.carry_on(job)

    assert world.batches() == []
    assert world.job(job.source).phase is Phase.WAITING


# -- wanted repetitions ------------------------------------------------------------


def test_a_job_that_is_over_can_be_run_again_as_a_job_of_its_own(
    world: World,
) -> None:
    drop = world.upload(GOOD * 2)
    world.worker.take(drop)
    world.until_over(drop)

    new = world.worker.commands.rerun(drop.job_id, "ada")
    world.ticks(1)
    world.ticks(1, timedelta(minutes=20))

    again = world.ledger.get(new.id)
    assert again is not None
    assert again.parent == drop.job_id
    assert again.phase is Phase.ENDED
    assert len(world.answers(again)) == 2
    assert len(world.batches()) == 2
    assert [one.job_id for one in world.announced] == [drop.job_id, new.id]


def test_each_repetition_has_an_id_of_its_own(world: World) -> None:
    drop = world.upload("not json\n")
    world.worker.take(drop)

    ids = {world.worker.commands.rerun(drop.job_id, "ada").id for _ in range(3)}

    assert len(ids | {drop.job_id}) == 4
    assert world.jobs() == 4


def test_a_job_under_way_is_not_run_again(world: World) -> None:
    drop = world.upload()
    world.worker.take(drop)

    with pytest.raises(ValueError, match="is submitted: it isn't over yet"):
        world.worker.commands.rerun(drop.job_id, "ada")
    assert world.jobs() == 1


def test_a_job_that_is_not_there_is_not_run_again(world: World) -> None:
    with pytest.raises(LookupError, match="there is no job nothing"):
        world.worker.commands.rerun("nothing", "ada")


# -- cancel --------------------------------------------------------------------------


def test_a_waiting_job_that_is_cancelled_is_over_at_once_and_costs_nothing(
    world: World,
) -> None:
    world.choose(paused=True)
    drop = world.upload()
    world.worker.take(drop)

    world.worker.commands.cancel(drop.job_id, by="ada")
    world.choose(paused=False)
    world.ticks(2)

    job = world.job(drop)
    assert job.phase is Phase.REJECTED
    assert job.error is not None
    assert job.error.message == "cancelled by ada"
    assert world.batches() == []
    assert [one.type for one in world.announced] == ["dev.batchdrop.job.cancelled.v1"]


def test_a_job_that_is_cancelled_under_its_worker_is_not_submitted(
    world: World,
) -> None:
    job = claimed(world)

    world.worker.commands.cancel(job.id, by="ada")
    world.worker.runner.carry_on(job)

    assert world.job(job.source).phase is Phase.REJECTED
    assert world.batches() == []


def test_a_batch_is_cancelled_by_the_tick_and_its_end_announced(
    world: World,
) -> None:
    drop = world.upload()
    world.worker.take(drop)

    world.worker.commands.cancel(drop.job_id, by="ada")
    world.worker.commands.cancel(drop.job_id, by="bob")
    world.ticks(2)

    job = world.job(drop)
    assert job.cancel_request is not None
    assert job.cancel_request.by == "ada"
    assert job.phase is Phase.ENDED
    assert [batch["state"] for batch in world.batches()] == ["JOB_STATE_CANCELLED"]
    assert [one.type for one in world.announced] == ["dev.batchdrop.job.cancelled.v1"]


def test_a_job_whose_request_may_be_out_is_cancelled_when_that_is_clear(
    world: World,
) -> None:
    drop = world.upload()
    world.wire.creates = [world.wire.reply_lost]
    world.worker.take(drop)

    world.worker.commands.cancel(drop.job_id, by="ada")
    world.ticks(3, timedelta(minutes=3))

    assert world.job(drop).phase is Phase.ENDED
    assert [batch["state"] for batch in world.batches()] == ["JOB_STATE_CANCELLED"]


def test_what_is_over_is_not_cancelled(world: World) -> None:
    drop = world.upload("not json\n")
    world.worker.take(drop)

    with pytest.raises(ValueError, match="is over: rejected since"):
        world.worker.commands.cancel(drop.job_id, by="ada")


def test_a_name_may_have_line_feeds(world: World) -> None:
    drops = [world.upload(GOOD, name) for name in ("a/\r\n/b.jsonl", "a\u2028b.jsonl")]
    for drop in drops:
        world.worker.take(drop)

    world.until_ended()

    for drop in drops:
        job = world.job(drop)
        assert job.phase is Phase.ENDED
        assert job.spec is not None
        assert job.spec.destination.endswith(f"/{drop.name}/{job.id}/")


def test_results_that_could_not_be_named_are_a_rejection_at_once(world: World) -> None:
    long = world.upload(GOOD, "é" * 509 + ".jsonl")

    world.worker.take(long)
    world.tick()

    job = world.job(long)
    assert job.phase is Phase.REJECTED
    assert job.error is not None
    assert job.error.code == "name_too_long"
    most = int(job.error.message.rpartition("at most ")[2].split()[0])
    assert [one.attributes["object"] for one in world.announced] == [long.name]
    work = world.settings.work
    assert world.storage.names(work) == []

    world.choose(part_rows=1)
    fits = world.upload(GOOD * 2, "é" * (most // 2 - 3) + "a" * (most % 2) + ".jsonl")
    world.worker.take(fits)
    world.until_over(fits)

    assert len(fits.name.encode()) == most
    assert world.job(fits).phase is Phase.ENDED
    made = world.storage.names(work) + world.storage.names(world.settings.output)
    # The file and its job.json, its two parts, and their answers.
    assert len(made) == 6
    assert max(len(split_uri(uri)[1].encode()) for uri in made) <= 1024


@pytest.mark.proof
def test_what_can_not_be_staged_is_not_staged_at_each_tick_and_leaves_no_copies(
    world: World,
) -> None:
    drop = world.upload()

    def gives_no_answer(point: str) -> None:
        if point == "after_staging":
            raise Unavailable("no answer")

    with failpoints(gives_no_answer):
        world.worker.take(drop)
        for n, every in (10, 1), (10, 1), (10, 5), (10, 5):  # the pauses grow
            world.ticks(n, every=timedelta(minutes=every))
            assert world.staged(drop) == {}
        attempts = world.job(drop).lease.epoch
        # After a pause of two hours, the count would begin anew.
        world.ticks(42, every=timedelta(minutes=110))

    job = world.job(drop)
    assert attempts == 8
    assert job.parked is not None
    assert "no answer" in job.parked.message
    assert world.staged(drop) == {}
    world.worker.commands.unpark(job.id, "ada")
    world.ticks(1)
    assert world.job(drop).phase is Phase.SUBMITTED
