"""Workers that die, or wake late, with parts, manifests and tables in their hands."""

import json
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import product

import httpx
import pytest

from batchdrop.errors import Superseded, Unavailable
from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.steps import MAX_RESUMES
from batchdrop.jobs.values import Drop
from tests import often
from tests.client.datasets import Dataset
from tests.there import there
from tests.worker.backends import BOTH
from tests.worker.batches import batch_of, states
from tests.worker.dying import Killed, die
from tests.worker.manifests import answered, dataset
from tests.worker.paid import at, keys, paid, parts_are_paid_once
from tests.worker.parts import rows, split_job
from tests.worker.world import GOOD, Wire, World

__all__ = ["dataset"]  # a fixture


#: The other points are tried by `make crash`.
mostly = partial(often.mostly, mark=pytest.mark.exhaustive)
#: The lease of one who died before is over at the next tick.
LEASE = timedelta(minutes=11)
FLASH, PRO = "gemini-3.8-flash", "gemini-4-argon"


def dies_in_a_tick(world: World, point: str) -> None:
    """The schedule runs until a worker that it calls has died."""
    with at(point, die), pytest.raises(Killed):
        world.ticks(15, LEASE)


def deliver(world: World, drop: Drop) -> bool:
    """Whether an event was acknowledged. One that wasn't comes again."""
    try:
        world.worker.take(drop)
    except (Superseded, Unavailable):
        return False
    return True


# -- parts ---------------------------------------------------------------------------

SPLITTING = ("after_claim", "after_first_part", "after_part", "after_staging")


@BOTH
@pytest.mark.parametrize("point", mostly("after_part", also=SPLITTING))
def test_a_worker_that_wakes_when_another_has_split_its_file_changes_nothing(
    world: World, point: str
) -> None:
    world.choose(part_rows=2)
    drop = world.upload(rows(5))
    seen: list[Job] = []

    def others() -> None:
        world.ticks(1, LEASE)
        seen.append(world.job(drop))
        assert seen[0].is_split

    with at(point, others):
        world.worker.take(drop)
    world.until_over(drop)

    assert [part.staging for part in world.job(drop).parts.values()] == [
        part.staging for part in seen[0].parts.values()
    ]
    parts_are_paid_once(world, drop, 5)


@BOTH
@pytest.mark.parametrize(
    "point", mostly("after_first_part", also=(*SPLITTING, "after_split"))
)
def test_a_worker_that_dies_while_it_splits_costs_no_row_and_no_batch(
    world: World, point: str
) -> None:
    world.choose(part_rows=2)
    drop = world.upload(rows(5))

    with at(point, die), pytest.raises(Killed):
        world.worker.take(drop)
    world.until_over(drop)

    parts_are_paid_once(world, drop, 5)


@BOTH
def test_what_a_sleeper_has_staged_late_is_never_taken_for_a_parts_own(
    world: World,
) -> None:
    world.choose(part_rows=2)
    drop = world.upload(rows(5))
    with at("after_claim", die), pytest.raises(Killed):
        world.worker.take(drop)
    world.advance(world.timing.lease)
    # The second has split it, and a part's worker has died with its intent.
    dies_in_a_tick(world, "after_intent")
    # Now the first wakes, and writes under its own epoch what it has read.
    for part in world.job(drop).parts:
        late = f"{world.settings.work}{part}/1/requests.jsonl"
        world.storage.write(late, iter([b"not json\n"]))

    world.until_over(drop)

    parts_are_paid_once(world, drop, 5)
    (fenced,) = [
        part
        for part in split_job(world, world.job(drop))
        if "fenced" in [moment.note for moment in part.history]
    ]
    folder = world.traces.folder(fenced.id)
    assert f"{folder}1/requests.jsonl" not in world.storage.names(folder)


@BOTH
@pytest.mark.parametrize(
    "point", mostly("before_create", also=("after_intent", "after_create"))
)
def test_a_worker_of_a_part_that_wakes_after_the_next_has_sent_it_pays_nothing(
    world: World, point: str
) -> None:
    world.choose(part_rows=2)
    drop = world.upload(rows(3))
    world.worker.take(drop)

    with at(point, lambda: world.ticks(8, timedelta(minutes=8))):
        world.ticks(1)
    world.until_over(drop)
    world.advance(timedelta(minutes=10))  # in which what was sent late would run

    parts_are_paid_once(world, drop, 3)


def test_checkpoints_beyond_the_current_parts_are_dropped(world: World) -> None:
    """A newer version of the check refuses lines that the older one took."""
    world.choose(part_rows=2, on_invalid="skip")
    drop = world.upload(rows(4))
    with at("after_staging", die), pytest.raises(Killed):
        world.worker.take(drop)
    document = world.database.collection("jobs").document(drop.job_id)
    held = world.job(drop)
    last = there(document.get().to_dict())["parts"][held.part_id(1)]
    document.update({f"parts.{held.part_id(2)}": {**last, "n": 2}})

    world.until_over(drop)

    parts_are_paid_once(world, drop, 4)


def test_a_split_job_that_runs_again_has_parts_of_its_own(world: World) -> None:
    world.choose(part_rows=2)
    drop = world.upload(rows(3))
    world.worker.take(drop)
    world.until_over(drop)

    again = world.worker.commands.rerun(drop.job_id, "ada")
    world.ticks_until(lambda: len(world.announced) == 2)

    first, second = world.job(drop), world.ledger.get(again.id)
    assert second is not None
    assert second.outcome == "succeeded"
    assert not set(first.parts) & set(second.parts)
    assert len(paid(world)) == 4
    assert sorted(answered(world)) == sorted(keys(3) * 2)


@BOTH
@pytest.mark.parametrize(
    "ticks",
    mostly(2, also=(0, 1, 5)),
)
def test_a_split_job_whose_ledger_was_lost_is_not_paid_again(
    world: World, ticks: int
) -> None:
    """The file is found in the inbox, and each part looks before it sends."""
    world.choose(
        part_rows=2, missed_window=1e6, reconcile_every=120.0, max_active_jobs=1
    )
    world.tick()
    world.advance(timedelta(minutes=5))
    drop = world.upload(rows(5))
    world.worker.take(drop)
    world.ticks(ticks, timedelta(minutes=4))
    for document in world.database.collection("jobs").stream():
        document.reference.delete()
    world.announced.clear()

    world.choose(max_active_jobs=None)
    world.until_over(drop)

    job = world.job(drop)
    assert job.missed
    assert job.phase is Phase.ENDED
    assert len(paid(world)) == 3
    assert sorted(answered(world)) == keys(5)
    assert [one.job_id for one in world.announced] == [job.id]


def test_a_part_counts_against_its_day_once_however_often_it_is_taken_up(
    world: World,
) -> None:
    world.choose(part_rows=2, max_rows_per_day=10)
    drop = world.upload(rows(5))
    world.worker.take(drop)

    for point in ("after_intent", "before_create", "after_create"):
        dies_in_a_tick(world, point)
    world.until_over(drop)

    parts_are_paid_once(world, drop, 5)
    days = {part.spent_on for part in split_job(world, world.job(drop))}
    assert sum(world.ledger.spending_on(day).rows for day in days if day) == 5


# -- a file and its manifest ---------------------------------------------------------

#: All that a worker passes on a file's way to the API.
ON_THE_WAY = (
    "after_claim",
    "after_staging",
    "after_prepared",
    "after_handing_over",
    "after_intent",
    "before_create",
    "after_create",
    "after_submitted",
)


def spoken(world: World) -> Drop:
    return world.upload(json.dumps({"model": PRO}), "a/x.job.json")


def nothing_is_lost(
    world: World, drop: Drop, manifest: Drop, *, delivered: bool = True
) -> None:
    """
    The file is paid once; its manifest is used, or its rejection is announced.

    Args:
        delivered: the manifest's event was acknowledged.
    """
    job, of_manifest = world.job(drop), world.ledger.get(manifest.job_id)
    assert job.phase is Phase.ENDED
    assert job.spec is not None
    batches = [part.batch for part in split_job(world, job)] or [job.batch]
    assert {b["name"] for b in paid(world)} == {b.name for b in batches if b}
    assert len(paid(world)) == len(batches)
    models = {batch["model"].rpartition("/")[2] for batch in paid(world)}
    ends = [one.attributes["object"] for one in world.announced]
    if job.manifest == str(manifest):
        assert models == {PRO}
        assert (of_manifest and of_manifest.phase) == (
            Phase.ATTACHED if delivered else None
        )
        assert ends == [drop.name]
    else:
        assert job.manifest is None
        assert models == {FLASH}
        assert of_manifest is not None
        assert of_manifest.error is not None
        assert of_manifest.error.code == "manifest_too_late"
        assert sorted(ends) == [manifest.name, drop.name]


@pytest.mark.parametrize(
    ("point", "dies"),
    mostly(
        ("after_claim", False),
        ("after_prepared", True),
        also=product(ON_THE_WAY, (False, True)),
    ),
)
def test_a_manifest_that_comes_while_its_file_is_on_the_way_is_never_lost(
    world: World, point: str, dies: bool
) -> None:
    world.choose(models=(PRO,))
    drop = world.upload(GOOD, "a/x.jsonl")
    came: list[tuple[Drop, bool]] = []

    def comes() -> None:
        manifest = spoken(world)
        came.append((manifest, deliver(world, manifest)))
        if dies:
            die()

    with at(point, comes):
        try:
            world.worker.take(drop)
        except Killed:
            assert dies
    ((manifest, acknowledged),) = came
    for _ in range(5):
        acknowledged = acknowledged or deliver(world, manifest)
        world.ticks(1, LEASE)
    deliver(world, drop)
    deliver(world, manifest)
    world.ticks(1)

    assert acknowledged
    nothing_is_lost(world, drop, manifest)


@pytest.mark.parametrize("point", mostly("after_part", also=SPLITTING[1:]))
def test_a_manifest_that_comes_when_parts_are_check_pointed_is_never_lost(
    world: World, point: str
) -> None:
    world.choose(models=(PRO,), part_rows=1)
    drop = world.upload(GOOD * 2, "a/x.jsonl")
    with at(point, die), pytest.raises(Killed):
        world.worker.take(drop)
    manifest = spoken(world)
    world.advance(world.timing.lease)

    acknowledged = False
    for _ in range(5):
        acknowledged = acknowledged or deliver(world, manifest)
        world.ticks(1, LEASE)

    assert acknowledged
    nothing_is_lost(world, drop, manifest)


@pytest.mark.parametrize("point", mostly("after_part", also=("after_staging",)))
def test_a_file_with_checkpointed_parts_no_longer_needs_its_manifest(
    world: World, point: str
) -> None:
    world.choose(
        '[[route]]\nmatch = "a/**"\nmanifest = "required"\n',
        models=(PRO,),
        part_rows=1,
    )
    manifest = spoken(world)
    drop = world.upload(GOOD * 2, "a/x.jsonl")
    with at(point, die), pytest.raises(Killed):
        world.worker.take(drop)
    world.gcs.bucket(manifest.bucket).blob(manifest.name).delete()

    world.until_over(drop)

    nothing_is_lost(world, drop, manifest, delivered=False)


def test_a_manifest_that_was_read_and_is_gone_when_its_event_comes_is_no_news(
    world: World,
) -> None:
    world.choose(models=(PRO,))
    manifest, drop = spoken(world), world.upload(GOOD, "a/x.jsonl")
    world.worker.take(drop)
    world.gcs.bucket(manifest.bucket).blob(manifest.name).delete()

    world.worker.take(manifest)
    world.until_over(drop)

    nothing_is_lost(world, drop, manifest)


@pytest.mark.parametrize("point", mostly("after_attached", also=["after_reading_anew"]))
def test_a_worker_that_missed_the_manifest_and_wakes_late_is_superseded(
    world: World, point: str
) -> None:
    world.choose(models=(PRO,))
    drop = world.upload(GOOD, "a/x.jsonl")

    def comes() -> None:
        world.advance(world.timing.lease)
        with at(point, die), pytest.raises(Killed):
            world.worker.take(spoken(world))

    with at("after_staging", comes):
        world.worker.take(drop)
    world.until_over(drop)
    world.ticks(2, timedelta(minutes=8))

    manifest = world.storage.find(drop.bucket, "a/x.job.json")
    assert manifest is not None
    assert world.job(drop).manifest == str(manifest)
    nothing_is_lost(world, drop, manifest)


def test_a_manifest_whose_workers_die_is_claimed_parked_and_announced(
    world: World,
) -> None:
    manifest = spoken(world)
    with at("after_claim", die), pytest.raises(Killed):
        world.worker.take(manifest)
    assert deliver(world, manifest)  # Pub/Sub delivers it again

    for _ in range(MAX_RESUMES):
        dies_in_a_tick(world, "after_resumed")
    world.ticks(2, LEASE)

    assert world.job(manifest).is_parked
    assert [one.attributes["object"] for one in world.announced] == ["a/x.job.json"]
    assert [one.type for one in world.announced] == ["dev.batchdrop.job.stalled.v1"]


def test_a_parked_file_is_not_taken_up_for_its_manifest(world: World) -> None:
    drop = world.upload(GOOD, "a/x.jsonl")
    with at("after_claim", die), pytest.raises(Killed):
        world.worker.take(drop)
    for _ in range(MAX_RESUMES):
        dies_in_a_tick(world, "after_resumed")
    world.ticks(2, LEASE)
    assert world.job(drop).is_parked

    manifest = spoken(world)
    world.worker.take(manifest)
    world.ticks(2)

    assert world.job(drop).is_parked
    assert world.job(manifest).phase is Phase.ATTACHED
    assert world.batches() == []


def test_a_missed_drop_that_kills_a_tick_does_not_keep_others_from_going_on(
    world: World,
) -> None:
    world.choose(missed_window=1e6, reconcile_every=120.0)
    world.tick()
    drops = [world.upload(GOOD, "a.jsonl"), world.upload(GOOD, "b.jsonl")]
    world.advance(timedelta(minutes=5))

    dies_in_a_tick(world, "after_resumed")
    claimed = [world.job(drop).phase for drop in drops]
    world.ticks(2)

    assert claimed == [Phase.ARRIVED, Phase.ARRIVED]
    phases = sorted(world.job(drop).phase for drop in drops)
    assert phases == [Phase.ARRIVED, Phase.SUBMITTED]


def test_a_manifest_whose_file_was_rejected_with_it_was_not_too_late(
    world: World,
) -> None:
    world.choose(models=(PRO,), max_rows=2)
    texts = {"bad_rows": "not json\n", "no_rows": "\n", "over_limit": GOOD * 3}
    for code, text in texts.items():
        manifest = spoken(world)
        drop = world.upload(text, "a/x.jsonl")
        world.worker.take(drop)

        deliver(world, manifest)
        deliver(world, manifest)
        world.tick()

        job = world.job(drop)
        assert job.error is not None
        assert (job.error.code, job.manifest) == (code, str(manifest))
        assert world.job(manifest).phase is Phase.ATTACHED
    assert [one.attributes["object"] for one in world.announced] == ["a/x.jsonl"] * 3


def test_a_manifest_that_wants_what_it_may_not_is_reported_with_its_file_alone(
    world: World,
) -> None:
    manifest = spoken(world)  # of a model that is not allowed
    drop = world.upload(GOOD, "a/x.jsonl")
    world.worker.take(drop)

    deliver(world, manifest)

    job = world.job(drop)
    assert job.error is not None
    assert (job.error.code, job.manifest) == ("not_allowed", str(manifest))
    assert world.job(manifest).phase is Phase.ATTACHED


@pytest.mark.parametrize("first", ["file", "manifest"])
def test_a_file_and_its_manifest_delivered_twice_in_any_order_are_one_job(
    world: World, first: str
) -> None:
    world.choose('[[route]]\nmatch = "a/**"\nmanifest = "required"\n', models=(PRO,))
    manifest, drop = spoken(world), world.upload(GOOD, "a/x.jsonl")
    events = [drop, manifest] if first == "file" else [manifest, drop]

    for drop_ in (*events, *events[::-1]):
        assert deliver(world, drop_)
    world.until_over(drop)

    nothing_is_lost(world, drop, manifest)


@BOTH
@pytest.mark.parametrize("point", mostly("after_intent", also=ON_THE_WAY))
def test_a_manifest_with_requests_whose_worker_dies_is_one_batch(
    world: World, point: str
) -> None:
    text = json.dumps({"model": FLASH, "src": [json.loads(GOOD)] * 3})
    drop = world.upload(text, "x.job.json")

    with at(point, die), pytest.raises(Killed):
        world.worker.take(drop)
    world.until_over(drop)

    job = world.job(drop)
    assert (job.phase, job.rows.total) == (Phase.ENDED, 3)
    assert [b["name"] for b in paid(world)] == [job.batch.name if job.batch else None]
    assert len(answered(world)) == 3
    assert [one.attributes["object"] for one in world.announced] == ["x.job.json"]


# -- tables, which can't be taken away from a sleeper ----------------------------------


@pytest.fixture
def table(world: World, dataset: Dataset) -> Drop:
    """A manifest that names one."""
    world.choose(datasets=(dataset.full_name,), reconcile_every=60.0)
    name = dataset.table("prompts", {"request": "STRING"}, [{"request": GOOD.strip()}])
    return world.upload(json.dumps({"src": f"bq://{name}"}), "table.job.json")


def one_is_kept(world: World, drop: Drop, made: int) -> None:
    """One batch is followed to its end; all others are cancelled and recorded."""
    job = world.job(drop)
    assert job.batch is not None
    assert (job.phase, job.batch.state) == (Phase.ENDED, "JOB_STATE_SUCCEEDED")
    others = [b for b in world.batches() if b["name"] != job.batch.name]
    assert len(others) == made - 1
    assert {b["state"] for b in others} <= {"JOB_STATE_CANCELLED"}
    if others:
        assert job.health is not None
        assert job.health.code == "duplicates"
        assert all(b["name"] in job.health.message for b in others)
    assert [one.type for one in world.announced] == ["dev.batchdrop.job.succeeded.v1"]


@pytest.mark.parametrize(
    "point",
    # It is neither staged nor handed over.
    mostly("after_create", also=(*ON_THE_WAY[:1], *ON_THE_WAY[2:3], *ON_THE_WAY[4:])),
)
def test_a_job_over_a_table_whose_worker_dies_is_one_batch(
    world: World, table: Drop, point: str
) -> None:
    with at(point, die), pytest.raises(Killed):
        world.worker.take(table)
    world.until_over(table)

    one_is_kept(world, table, made=1)


def test_a_table_whose_batch_no_list_shows_in_time_is_sent_twice_and_recorded(
    world: World, table: Drop
) -> None:
    world.wire.creates = [world.wire.reply_lost]
    world.wire.lists = [Wire.shows_nothing] * 1000
    world.worker.take(table)
    while len(world.batches()) < 2:
        world.ticks(1, timedelta(minutes=2))

    world.wire.lists.clear()
    world.ticks(1)
    world.until_over(table)
    world.ticks(1, timedelta(minutes=16))

    one_is_kept(world, table, made=2)


@pytest.mark.proof
@pytest.mark.parametrize("point", mostly("before_create", also=["after_intent"]))
def test_a_sleeper_that_sends_a_table_again_has_that_batch_cancelled(
    world: World, table: Drop, point: str
) -> None:
    def others() -> None:
        while world.job(table).phase is not Phase.SUBMITTED:
            world.ticks(1)

    with at(point, others):
        world.worker.take(table)
    world.ticks(1)
    world.until_over(table)
    world.ticks(1, timedelta(minutes=16))

    # One that sleeps before it looks at its lease sends nothing any more.
    one_is_kept(world, table, made=2 if point == "before_create" else 1)


# -- a batch too many ------------------------------------------------------------------


def moved_on(world: World, drop: Drop) -> str:
    """A fence has moved the job's rows, and a batch has been made of them there."""
    job = world.job(drop)
    assert job.staging is not None
    later = replace(job, lease=replace(job.lease, epoch=job.lease.epoch + 1))
    staging = world.traces.staging(later.id, later.lease.epoch)
    world.storage.copy(job.staging.uri, staging.uri)
    world.ledger.advance(job, lambda j: j.restaged(staging, world.now()))
    world.storage.delete(job.staging.uri)
    return batch_of(world, world.job(drop))


def seems_to_have_begun(world: World, first: str, extra: str) -> None:
    """The next list says that the first batch runs, which won't find its rows."""
    url = f"{world.sim.url}/v1/"
    both = [httpx.get(url + name).raise_for_status().json() for name in (first, extra)]
    both[0]["state"] = "JOB_STATE_RUNNING"
    # As something that moved: a sweep looks at nothing else.
    both[0]["updateTime"] = f"{world.now():%Y-%m-%dT%H:%M:%S.%fZ}"
    answer = {"batchPredictionJobs": both}
    world.wire.lists = [lambda _: httpx.Response(200, json=answer)]


def the_kept_one(world: World, drop: Drop) -> str:
    """What is true in the end; gives the batch's name."""
    job = world.job(drop)
    assert job.batch is not None
    assert job.batch.state == "JOB_STATE_SUCCEEDED"
    over = {"JOB_STATE_FAILED", "JOB_STATE_CANCELLED"}
    others = states(world)
    del others[job.batch.name]
    assert set(others.values()) <= over
    assert [one.type for one in world.announced] == ["dev.batchdrop.job.succeeded.v1"]
    return job.batch.name


def test_a_batch_is_no_duplicate_while_the_job_s_own_may_fail_by_the_fence(
    world: World,
) -> None:
    drop = world.upload(rows(2))
    world.worker.take(drop)  # its batch won't find its rows
    good = moved_on(world, drop)
    world.database.document("locks/reconcile").update({"finished": None})

    world.tick()
    world.until_over(drop)

    assert the_kept_one(world, drop) == good
    assert sorted(states(world).values()) == ["JOB_STATE_FAILED", "JOB_STATE_SUCCEEDED"]


@pytest.mark.parametrize(
    "point",
    mostly(
        "after_finding_duplicate",
        "after_cancelling_found",
        also=["after_recording_duplicates"],
    ),
)
def test_a_check_that_wakes_when_the_job_has_no_other_batch_cancels_none_it_has(
    world: World, point: str
) -> None:
    drop = world.upload(rows(2))
    world.worker.take(drop)  # its batch won't find its rows
    (first,) = states(world)
    extra = moved_on(world, drop)
    seems_to_have_begun(world, first, extra)
    # The time for the check has come.
    world.database.document("locks/reconcile").update({"finished": None})

    def others_pass() -> None:
        world.ticks(2, timedelta(minutes=6))

    with at(point, others_pass) as passed, suppress(ExceptionGroup):
        world.tick()
    assert point in passed
    world.until_over(drop)

    kept = the_kept_one(world, drop)
    assert (kept == extra) == (point == "after_finding_duplicate")


def test_a_worker_that_wakes_to_cancel_what_it_did_not_keep_cancels_none_it_has(
    world: World,
) -> None:
    world.wire.creates = [world.wire.reply_lost]
    drop = world.upload(rows(2))
    world.worker.take(drop)
    (first,) = states(world)
    extra = moved_on(world, drop)
    world.advance(timedelta(minutes=3))
    seems_to_have_begun(world, first, extra)  # so that it is kept

    def others_pass() -> None:
        world.ticks(2, timedelta(minutes=6))

    with at("after_submitted", others_pass), suppress(ExceptionGroup):
        world.tick()
    world.until_over(drop)

    assert the_kept_one(world, drop) not in (first, extra)
    assert len(world.batches()) == 3


@pytest.mark.parametrize("then", mostly("SUCCEEDED", also=["CANCELLED"]))
def test_a_batch_whose_cancelling_died_is_over_before_another_is_made(
    world: World, then: str
) -> None:
    world.sim.faults.add("cancelling", seconds=600.0, then=then)
    drop = world.upload(rows(2))
    world.worker.take(drop)  # its batch won't find its rows
    (first,) = states(world)
    extra = moved_on(world, drop)
    seems_to_have_begun(world, first, extra)
    world.database.document("locks/reconcile").update({"finished": None})
    with at("after_recording_duplicates", die), pytest.raises(Killed):
        world.tick()
    world.ledger.record_reconcile(world.now())

    world.ticks(5, timedelta(minutes=3))
    others = [name for name in states(world) if name != extra]
    world.until_over(drop)

    # Until it is known what becomes of it, it is the only one that may be paid.
    assert len(others) == 1
    assert (the_kept_one(world, drop) == extra) == (then == "SUCCEEDED")
    assert len(world.batches()) == (2 if then == "SUCCEEDED" else 3)
