"""A ledger that was emptied, or put back from an old copy, among running batches."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Drop, Input, Staging
from batchdrop.rows import Rows
from batchdrop.worker.stages import Tick
from batchdrop.worker.traces import JOB, MAX_METADATA, described
from tests.client.datasets import Dataset
from tests.jobs import AWKWARD, SPEC, TIMING
from tests.often import mostly
from tests.there import there
from tests.worker.backends import BOTH
from tests.worker.batches import empty_ledger, reconcile
from tests.worker.dying import Killed, die
from tests.worker.manifests import dataset, manifest
from tests.worker.paid import at, paid, parts_are_paid_once
from tests.worker.parts import rows, split_job
from tests.worker.split_jobs import announced_types
from tests.worker.world import GOOD, World

__all__ = ["dataset"]  # a fixture

SINCE = datetime(2026, 3, 1, tzinfo=UTC)


#: Where the first worker stops: as yet nothing is staged; staged, and no request sent;
#: a request may be on its way; the API has a batch; the ledger knows of it.
POINTS = (
    "after_claim",
    "after_staging",
    "after_prepared",
    "after_intent",
    "after_create",
    "after_submitted",
)


def stopped(world: World, point: str) -> Drop:
    """A drop whose worker died, and whose document is then deleted."""
    drop = world.upload(rows(3))
    with at(point, die), pytest.raises(Killed):
        world.worker.take(drop)
    world.advance(timedelta(seconds=30))
    empty_ledger(world)
    return drop


def take_away(world: World, drop: Drop) -> None:
    world.gcs.bucket(drop.bucket).blob(drop.name).delete()


def to_the_end(world: World, drop: Drop) -> Job:
    """
    Runs ticks, at long intervals, until the job is over and announced; and one more,
    which has nothing left to say.
    """
    reconcile(world)
    if not world.is_over(drop):
        return world.until_over(drop)
    world.ticks(1)
    return world.job(drop)


def orphans(caplog: pytest.LogCaptureFixture) -> dict[str, str]:
    """The batches that were reported, and why."""
    return {
        record.__dict__["batch"]: record.__dict__["reason"]
        for record in caplog.records
        if record.message == "orphan batch"
    }


# -- one job ---------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("point", mostly("after_staging", "after_create", also=POINTS))
def test_a_job_of_an_emptied_ledger_is_paid_once_and_announced(
    world: World, point: str, caplog: pytest.LogCaptureFixture
) -> None:
    drop = stopped(world, point)

    job = to_the_end(world, drop)

    assert job.phase is Phase.ENDED
    assert orphans(caplog) == {}
    assert len(paid(world)) == 1
    assert announced_types(world) == ["succeeded"]


@BOTH
@pytest.mark.parametrize("point", mostly("after_create", also=["after_submitted"]))
def test_a_batch_is_followed_by_the_job_that_its_rows_name(
    world: World, point: str
) -> None:
    world.choose(labels={"team": "search"})
    drop = stopped(world, point)
    take_away(world, drop)

    job = to_the_end(world, drop)

    assert len(world.batches()) == 1
    assert (job.phase, job.source, job.rows.total) == (Phase.ENDED, drop, 3)
    assert job.spec is not None
    assert job.spec.labels["team"] == "search"
    assert job.spec_from["labels"] == "team: BATCHDROP_LABELS"
    assert [one.attributes["object"] for one in world.announced] == [drop.name]


@BOTH
def test_a_request_that_leaves_after_the_loss_finds_no_rows(world: World) -> None:
    drop = world.upload(rows(3))
    notes: list[str | None] = []

    def others() -> None:
        world.advance(timedelta(seconds=1))
        empty_ledger(world)
        world.worker.take(drop)
        world.ticks(2, world.timing.list_lag)
        notes.extend(moment.note for moment in world.job(drop).history)

    with at("before_create", others):
        world.worker.take(drop)
    job = to_the_end(world, drop)

    assert "fenced" in notes
    assert job.phase is Phase.ENDED
    assert len(paid(world)) == 1
    assert announced_types(world) == ["succeeded"]


@BOTH
def test_copies_of_the_rows_name_their_job_too(world: World) -> None:
    drop = world.upload(rows(3))
    with at("after_intent", die), pytest.raises(Killed):
        world.worker.take(drop)
    world.ticks_until(lambda: world.job(drop).batch is not None, 10)
    assert list(world.staged(drop)) != ["1/requests.jsonl"]
    take_away(world, drop)
    empty_ledger(world)

    job = to_the_end(world, drop)

    assert (job.phase, job.rows.total) == (Phase.ENDED, 3)
    assert len(paid(world)) == 1


@BOTH
def test_a_batch_that_was_over_is_announced_once_more(world: World) -> None:
    drop = world.upload(rows(3))
    world.worker.take(drop)
    world.until_over(drop)
    assert announced_types(world) == ["succeeded"]
    world.announced.clear()
    take_away(world, drop)
    empty_ledger(world)

    job = to_the_end(world, drop)

    assert job.phase is Phase.ENDED
    assert announced_types(world) == ["succeeded"]
    assert len(world.batches()) == 1


def test_a_repetition_is_made_anew_as_one(world: World) -> None:
    drop = world.upload(rows(3))
    world.worker.take(drop)
    world.until_over(drop)
    again = world.worker.commands.rerun(drop.job_id, "ada")
    world.ticks(1)
    take_away(world, drop)
    empty_ledger(world)

    to_the_end(world, drop)

    found = world.ledger.get(again.id)
    assert found is not None
    assert (found.phase, found.parent) == (Phase.ENDED, drop.job_id)
    assert len(paid(world)) == 2


@pytest.mark.parametrize(
    "point", mostly("after_intent", also=["after_claim", "after_prepared"])
)
def test_a_ledger_put_back_from_an_old_copy_pays_for_nothing_again(
    world: World, point: str
) -> None:
    drop = world.upload(rows(3))
    document = world.database.collection("jobs").document(drop.job_id)
    copies: list[dict[str, Any]] = []
    with at(point, lambda: copies.append(document.get().to_dict() or {})):
        world.worker.take(drop)
    world.ticks(1, timedelta(minutes=3))
    document.set(copies[0])

    job = to_the_end(world, drop)

    assert job.phase is Phase.ENDED
    assert len(world.batches()) == 1


# -- races -----------------------------------------------------------------------------


@pytest.mark.parametrize("first", mostly("check", also=["event"]))
def test_an_event_and_the_check_make_one_document_whichever_comes_first(
    world: World, first: str
) -> None:
    drop = stopped(world, "after_submitted")
    world.advance(timedelta(seconds=world.settings.reconcile_every))
    if first == "event":
        world.worker.take(drop)
        world.tick()
    else:
        world.tick()
        world.worker.take(drop)

    job = to_the_end(world, drop)

    assert [moment.note for moment in job.history].count("ledger_lost") == 1
    assert len(world.batches()) == 1
    assert announced_types(world) == ["succeeded"]


def test_two_ticks_that_find_a_batch_make_one_document(world: World) -> None:
    drop = stopped(world, "after_submitted")
    take_away(world, drop)
    (service,) = world.backends.chosen().values()
    ((job_id, answer),) = service.ours(world.now() - timedelta(hours=1))
    kept = world.traces.of(job_id)
    assert kept is not None
    assert kept.job is not None

    for _ in range(2):
        world.advance(timedelta(seconds=1))
        world.worker.claims.claim_anew(kept.job)
        world.worker.poll.reconcile._handle(service, job_id, answer)
    job = to_the_end(world, drop)

    assert world.jobs() == 1
    assert job.phase is Phase.ENDED
    assert len(world.batches()) == 1


# -- the worker that rebuilds the job dies too -----------------------------------------


def dies_in_a_tick(world: World, point: str) -> None:
    """The worker that takes the lost job up is killed there, and its tick with it."""
    reconcile(world)
    with at(point, die), pytest.raises(Killed):
        world.ticks(10, timedelta(minutes=4))
    hold = timedelta(seconds=world.settings.tick)
    assert world.ledger.lock("tick", "dead", world.now(), hold)


@BOTH
@pytest.mark.parametrize(
    "point", mostly("after_search", also=["after_resumed", "after_submitted"])
)
def test_who_dies_while_a_batch_is_adopted_is_followed_by_another(
    world: World, point: str
) -> None:
    drop = stopped(world, "after_create")
    take_away(world, drop)
    dies_in_a_tick(world, point)

    job = to_the_end(world, drop)

    assert job.phase is Phase.ENDED
    assert len(world.batches()) == 1
    assert announced_types(world) == ["succeeded"]


@pytest.mark.parametrize(
    "point",
    mostly(
        "after_fence_delete",
        also=[
            *("after_copying", "after_restaging", "after_fence"),
            *("after_intent", "before_create"),
        ],
    ),
)
def test_who_dies_while_a_job_is_made_anew_is_followed_by_another(
    world: World, point: str
) -> None:
    drop = stopped(world, "after_intent")
    dies_in_a_tick(world, point)

    job = to_the_end(world, drop)

    assert job.phase is Phase.ENDED
    assert len(paid(world)) == 1
    assert announced_types(world) == ["succeeded"]


@pytest.mark.parametrize("point", mostly("after_submitted", also=["after_resumed"]))
def test_who_dies_while_a_split_job_is_made_anew_is_followed_by_another(
    world: World, point: str
) -> None:
    drop = split_and_sent(world)
    take_away(world, drop)
    empty_ledger(world)
    dies_in_a_tick(world, point)

    to_the_end(world, drop)

    assert len(world.batches()) == 3
    parts_are_paid_once(world, drop, 5)


# -- what isn't a reason to make a job -------------------------------------------------


def test_a_batch_whose_rows_are_gone_is_reported(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    drop = stopped(world, "after_submitted")
    take_away(world, drop)
    for name in world.storage.names(world.settings.work):
        world.storage.delete(name)

    reconcile(world)

    assert world.jobs() == 0
    assert list(orphans(caplog).values()) == ["nothing is staged of such a job"]


def test_a_batch_of_other_rows_that_bears_a_lost_jobs_label_is_reported(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    drop = world.upload(rows(3))
    with at("after_intent", die), pytest.raises(Killed):
        world.worker.take(drop)
    job = world.job(drop)
    assert job.spec is not None
    other = world.upload(GOOD, "theirs.txt")
    forged = world.client.batches.create(
        model="gemini-3.8-flash",
        src=f"gs://{other.bucket}/{other.name}",
        config={"destination": job.spec.destination, "labels": job.spec.labels},
    )
    take_away(world, drop)
    empty_ledger(world)

    reconcile(world)

    assert world.jobs() == 0
    assert orphans(caplog) == {forged.name: "its input isn't what is staged of the job"}


def others(job: Job) -> list[str]:
    """What the rows of a job can say that they are of, and are not."""
    spec = there(job.spec)
    labels = spec.labels | {"batchdrop_deployment": "other"}
    return [
        described(replace(job, source=replace(job.source, generation=1))),
        described(replace(job, parent="a" * 26)),
        described(replace(job, spec=replace(spec, labels=labels))),
        "not JSON",
    ]


def test_rows_that_name_another_job_make_no_job(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(4):
        drop = world.upload(rows(3), f"{n}.jsonl")
        world.worker.take(drop)
        job = world.job(drop)
        world.storage.describe(there(job.staging).uri, {JOB: others(job)[n]})
        take_away(world, drop)
    empty_ledger(world)

    reconcile(world)

    assert world.jobs() == 0
    why = "what is staged doesn't say of which job"
    assert [*orphans(caplog).values()] == [why] * 4


# -- split jobs, tables ----------------------------------------------------------------


def split_and_sent(world: World) -> Drop:
    world.choose(part_rows=2)
    drop = world.upload(rows(5))
    world.worker.take(drop)
    world.ticks(1)
    assert len(world.batches()) == 3
    return drop


@BOTH
def test_a_split_job_is_made_anew_with_all_of_its_parts(world: World) -> None:
    drop = split_and_sent(world)
    take_away(world, drop)
    empty_ledger(world)

    to_the_end(world, drop)

    assert len(world.batches()) == 3
    parts_are_paid_once(world, drop, 5)


@BOTH
def test_a_split_job_with_no_part_sent_is_found_by_its_drop(
    world: World,
) -> None:
    world.choose(part_rows=2)
    drop = world.upload(rows(5))
    world.worker.take(drop)
    world.advance(timedelta(seconds=30))
    empty_ledger(world)

    to_the_end(world, drop)

    assert world.job(drop).history[1].note == "ledger_lost"
    parts_are_paid_once(world, drop, 5)


def test_a_file_that_was_being_split_when_the_ledger_was_lost_is_split_anew(
    world: World,
) -> None:
    world.choose(part_rows=2)
    drop = world.upload(rows(5))
    with at("after_part", die), pytest.raises(Killed):
        world.worker.take(drop)
    world.advance(timedelta(seconds=30))
    empty_ledger(world)

    to_the_end(world, drop)

    parts_are_paid_once(world, drop, 5)


def test_a_part_that_is_lost_is_made_anew(world: World) -> None:
    drop = split_and_sent(world)
    part = split_job(world, world.job(drop))[1]
    world.database.collection("jobs").document(part.id).delete()
    take_away(world, drop)

    to_the_end(world, drop)

    assert len(world.batches()) == 3
    parts_are_paid_once(world, drop, 5)


@pytest.mark.parametrize("over", [False, True], ids=["running", "over"])
def test_a_split_job_that_is_lost_is_made_anew_with_what_became_of_its_parts(
    world: World, over: bool
) -> None:
    drop = split_and_sent(world)
    world.database.collection("jobs").document(drop.job_id).delete()
    if over:
        world.ticks(1, timedelta(minutes=20))
        assert {batch["state"] for batch in world.batches()} == {"JOB_STATE_SUCCEEDED"}

    to_the_end(world, drop)

    assert len(world.batches()) == 3
    parts_are_paid_once(world, drop, 5)


def test_a_batch_of_a_table_is_followed_by_what_was_left_of_its_job(
    world: World, dataset: Dataset
) -> None:
    table = dataset.table("rows", {"request": "STRING"}, [{"request": GOOD}])
    world.choose(datasets=(dataset.full_name,))
    drop = world.upload(manifest(src=f"bq://{table}"), "table.job.json")
    world.worker.take(drop)
    assert len(world.batches()) == 1
    take_away(world, drop)
    empty_ledger(world)

    reconcile(world)
    world.ticks(2, timedelta(minutes=2))

    job = world.job(drop)
    assert job.batch is not None
    assert job.batch.source == f"bq://{table}"
    assert len(world.batches()) == 1


# -- since when ------------------------------------------------------------------------


def test_drops_from_before_the_loss_are_found_and_those_before_the_start_are_not(
    world: World,
) -> None:
    before = world.upload(GOOD, "before.jsonl")
    # Cloud Storage's clock is the machine's, which keeps running.
    started = world.database.collection("locks").document("reconcile")
    start = world.storage.objects(world.settings.inbox)
    first = max(at for _, at in start) + timedelta(milliseconds=1)
    started.update({"first_start": first})
    missed = world.upload(GOOD, "missed.jsonl")
    other = [at for drop, at in world.storage.objects(before.bucket) if drop == missed]
    assert other[0] >= first
    world.worker.poll.reconcile._first_start(Tick(now=world.now, deadline=first), first)
    empty_ledger(world)
    started.delete()
    world.advance(timedelta(hours=1))

    world.tick()

    assert world.ledger.get(before.job_id) is None
    assert world.ledger.get(missed.job_id) is not None


# -- how much rows say -----------------------------------------------------------------


def longest() -> Iterator[Job]:
    name = "\N{SNOWMAN}" * 341
    labels = {f"l{n:062}": "v" * 63 for n in range(60)}
    for drop in (AWKWARD, replace(AWKWARD, name=name)):
        spec = replace(
            SPEC,
            destination=f"gs://out/{drop.name}/x/",
            display_name=name[:128],
            labels=labels | {"batchdrop_job": drop.job_id},
            generation_config=json.dumps({"system_instruction": "canary"}),
        )
        job = replace(
            Job.claimed(drop, "w", SINCE, TIMING),
            spec=spec,
            manifest=f"gs://in/{drop.name}#1",
            report=f"gs://out/{drop.name}/x/rejected.jsonl",
            inputs=tuple(Input(uri=name, generation=n, size=1) for n in range(9)),
            rows=Rows(total=2, accepted=2),
            staging=Staging(
                epoch=9,
                uri=f"gs://work/staging/{drop.job_id}/9/requests.jsonl",
                rows=2,
                bytes=10**9,
                first=10**9,
                refused=10**9,
                json="some",
                lines=f"gs://work/staging/{drop.job_id}/9/lines",
                sidecar=f"gs://work/staging/{drop.job_id}/9/columns.jsonl",
            ),
        )
        yield job
        yield replace(job, inputs=(), spec=replace(spec, labels={}))


@pytest.mark.parametrize("job", list(longest()))
def test_rows_carry_no_more_than_an_objects_metadata_can_hold(job: Job) -> None:
    text = described(job)

    assert len(JOB) + len(text.encode()) <= MAX_METADATA
    assert text.isascii()
    assert "canary" not in text
    assert json.loads(text)["source"]["name"] == job.source.name
    assert job.staging is not None
    assert json.loads(text)["staging"]["sidecar"] == job.staging.sidecar
    assert job.spec is not None
    assert json.loads(text)["spec"]["destination"] == job.spec.destination
