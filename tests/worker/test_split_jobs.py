"""A file that was split, among services: its parts go their ways to one end."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import timedelta
from itertools import chain
from typing import Any

import httpx
import pytest
from google.api_core import exceptions
from google.cloud import firestore

from batchdrop.errors import Superseded, Unavailable
from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.parts import MAX_PARTS
from batchdrop.jobs.steps import MAX_RESUMES
from batchdrop.jobs.values import Drop, Part, Staging
from batchdrop.ledger import Ledger
from batchdrop.options.readers import STATES
from batchdrop.rows import Rows
from tests.often import mostly
from tests.worker.backends import BOTH, EACH
from tests.worker.batches import reconcile, states, vanish
from tests.worker.collecting import A_BATCH
from tests.worker.split_jobs import (
    THREE,
    announced_types,
    parts,
    parts_staged,
    phases,
    rows,
    spec_of,
    split,
    split_job,
    staged,
    submitted,
)
from tests.worker.world import Wire, World

BAD = "not json\n"


MIDDLE_BAD = (THREE[0], BAD, THREE[2])


def body(world: World) -> dict[str, Any]:
    """What the only announcement says."""
    (announcement,) = world.announced
    found: dict[str, Any] = json.loads(announcement.body)
    return found


def outcomes(world: World, job: Job) -> list[str | None]:
    """How the parts ended, as their split job has it."""
    held = world.job(job.source)
    return [part.outcome for part in sorted(held.parts.values(), key=lambda p: p.n)]


# -- ends ----------------------------------------------------------------------------


@EACH
def test_the_parts_become_batches_and_share_one_announcement(
    world: World,
) -> None:
    job = split_job(world)

    world.until_over(job.source)

    over, done = world.job(job.source), parts(world, job)
    assert over.phase is Phase.ENDED
    assert over.outcome == "succeeded"
    assert [part.phase for part in done] == [Phase.ENDED] * 3
    assert len(world.batches()) == 3
    assert announced_types(world) == ["succeeded"]
    assert body(world)["job_id"] == job.id
    assert body(world)["parts"]["total"] == body(world)["parts"]["succeeded"] == 3
    assert body(world)["rows"]["total"] == body(world)["stats"]["successful"] == 7
    keys = [sorted(line["key"] for line in world.answers(part)) for part in done]
    assert [len(each) for each in keys] == [3, 3, 1]
    assert [*chain(*keys)] == [f"r{line:07}" for line in range(1, 8)]
    for n, part in enumerate(done):
        assert part.batch is not None
        place = f"{body(world)['output_directory']}part-{n:04}/"
        assert (part.batch.output_directory or "").startswith(place)


def test_a_parts_batch_bears_its_own_labels_and_its_number(world: World) -> None:
    job = submitted(world)

    names = {batch["displayName"] for batch in world.batches()}
    marks = {
        httpx.get(f"{world.sim.url}/v1/{batch['name']}").json()["labels"][
            "batchdrop_job"
        ]
        for batch in world.batches()
    }

    assert names == {f"reviews.jsonl part {n}/3" for n in (1, 2, 3)}
    assert marks == set(job.parts)


@BOTH
def test_a_part_that_fails_leaves_the_split_job_partially_succeeded(
    world: World,
) -> None:
    job = split_job(world, *MIDDLE_BAD)

    world.until_over(job.source)

    # The Developer API reads a file when its batch is made, and makes none of this one.
    on_vertex = world.settings.backend == "vertex"
    failed = "failed" if on_vertex else "rejected"
    assert outcomes(world, job) == ["succeeded", failed, "succeeded"]
    assert announced_types(world) == ["partially_succeeded"]
    assert body(world)["parts"]["failed"] == 1
    assert body(world)["error"]["message"].startswith(
        f"part 2 of 3, job {job.part_id(1)}: "
    )


def test_a_part_that_is_lost_counts_as_failed(world: World) -> None:
    job = submitted(world)
    vanish(world, parts(world, job)[0])

    world.until_over(job.source)

    assert outcomes(world, job) == ["lost", "succeeded", "succeeded"]
    assert announced_types(world) == ["partially_succeeded"]
    assert body(world)["parts"]["failed"] == 1


@BOTH
def test_a_part_that_the_service_refuses_counts_as_failed(world: World) -> None:
    job = split_job(world)
    world.wire.creates = [Wire.says(400)]

    world.until_over(job.source)

    assert sorted(map(str, outcomes(world, job))) == [
        "rejected",
        "succeeded",
        "succeeded",
    ]
    assert announced_types(world) == ["partially_succeeded"]
    assert "words for 400" in body(world)["error"]["message"]


def test_a_split_job_whose_parts_are_all_refused_fails_and_costs_nothing(
    world: World,
) -> None:
    job = split_job(world)
    world.wire.creates = [Wire.says(400)] * 3

    world.ticks(2)

    assert world.job(job.source).phase is Phase.ENDED
    assert announced_types(world) == ["failed"]
    assert world.batches() == []


def test_parts_that_end_at_different_times_end_the_split_job_with_the_last(
    world: World,
) -> None:
    world.choose(max_active_jobs=1)
    job = split_job(world)

    world.ticks_until(
        lambda: outcomes(world, job).count("succeeded") == 2, every=A_BATCH
    )
    assert world.announced == []

    world.until_over(job.source)
    assert announced_types(world) == ["succeeded"]


def test_a_split_file_is_no_job_to_take_up_nor_one_that_is_open(world: World) -> None:
    job = split_job(world)

    assert job.id not in {one.id for one in world.ledger.due_jobs(world.now())}
    world.tick()
    assert world.ledger.open_job_count() == 3
    assert world.job(job.source) == job


# -- two at once, and answers that are lost ------------------------------------------


class Meddler:
    """A client with which something happens around the n-th commit of jobs."""

    def __init__(
        self,
        client: firestore.Client,
        n: int,
        *,
        before: Callable[[], None] = lambda: None,
        lose: bool = False,
    ) -> None:
        self._client = client
        self._left = n
        self._before = before
        self._lose = lose

    def __getattr__(self, name: str) -> object:
        return getattr(self._client, name)

    def batch(self) -> firestore.WriteBatch:
        batch = self._client.batch()
        commit = batch.commit

        def meddled(*given: Any, **options: Any) -> list[Any]:
            self._left -= 1
            if self._left:
                return commit(*given, **options)
            self._before()
            result = commit(*given, **options)
            if self._lose:
                # What Firestore says to the library's second try of the same commit.
                raise exceptions.FailedPrecondition("the document has changed")
            return result

        batch.commit = meddled  # type: ignore[method-assign]
        return batch


def ledger_over(client: object) -> Ledger:
    return Ledger(lambda: client, "//batchdrop/tests")  # type: ignore[arg-type, return-value]


def settle(ledger: Ledger, world: World, part: Job) -> Job:
    """Writes a part's end as a tick does."""
    assert part.batch is not None
    done = replace(part.batch, state="JOB_STATE_SUCCEEDED", terminal=True)
    return ledger.advance(part, lambda j: j.ended(done, world.now()))


@pytest.mark.parametrize("n", mostly(3, also=[1, 2]))  # the last ends the split job
def test_an_end_whose_answer_was_lost_counts_once_in_the_split_job(
    world: World, n: int
) -> None:
    job = submitted(world)
    world.advance(timedelta(minutes=20))
    world.database = Meddler(world.database, n, lose=True)  # type: ignore[assignment]

    world.ticks(2)

    assert world.job(job.source).outcome == "succeeded"
    assert phases(world, job) == [Phase.ENDED] * 3
    assert announced_types(world) == ["succeeded"]


def test_a_split_whose_answer_was_lost_makes_each_part_once(world: World) -> None:
    lossy = ledger_over(Meddler(world.database, 1, lose=True))

    job = split(world, staged(world, *THREE), lossy)

    assert job == world.job(job.source)
    assert phases(world, job) == [Phase.PREPARED] * 3
    assert world.jobs() == 4


def test_two_last_parts_that_end_at_once_make_one_announcement(world: World) -> None:
    job = submitted(world)
    first, second, third = parts(world, job)
    settle(world.ledger, world, third)
    # Between reading the split job and writing to it, another tick ends the other part.
    meddler = Meddler(
        world.database, 1, before=lambda: void(settle(world.ledger, world, second))
    )

    settle(ledger_over(meddler), world, first)

    assert world.job(job.source).phase is Phase.ENDED
    (announcement,) = world.ledger.unpublished_announcements()
    assert (announcement.job_id, announcement.seq) == (job.id, 1)


def void(_: object) -> None:
    pass


def test_two_ticks_that_end_the_same_last_part_make_one_announcement(
    world: World,
) -> None:
    job = submitted(world, THREE[0])
    (part,) = parts(world, job)

    def other_tick() -> None:
        world.advance(timedelta(seconds=1))
        settle(world.ledger, world, part)

    late = ledger_over(Meddler(world.database, 1, before=other_tick))
    with pytest.raises(Superseded):
        settle(late, world, part)

    assert world.job(job.source).phase is Phase.ENDED
    assert len([*world.ledger.unpublished_announcements()]) == 1


def test_parts_that_end_all_at_once_come_to_one_end(world: World) -> None:
    job = submitted(world, *(rows(n, 1) for n in range(1, 6)))
    ledgers = [ledger_over(world.database) for _ in job.parts]

    def end(pair: tuple[Ledger, Job]) -> None:
        ledger, part = pair
        while True:
            try:
                settle(ledger, world, part)
            except Unavailable:
                continue  # others keep writing: the next tick tries again
            return

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(end, zip(ledgers, parts(world, job), strict=True)))

    assert outcomes(world, job) == ["succeeded"] * 5
    assert world.job(job.source).phase is Phase.ENDED
    assert len([*world.ledger.unpublished_announcements()]) == 1


def test_a_part_ends_though_the_ledger_has_forgotten_its_split_job(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    job = submitted(world)
    world.database.collection("jobs").document(job.id).delete()

    world.until_ended()

    assert phases(world, job) == [Phase.ENDED] * 3
    assert world.announced == []
    assert "part without a split job" in [record.message for record in caplog.records]


def test_a_part_ends_though_its_split_job_is_forgotten_at_that_moment(
    world: World,
) -> None:
    job = submitted(world)
    document = world.database.collection("jobs").document(job.id)
    meddler = Meddler(world.database, 1, before=lambda: void(document.delete()))

    settle(ledger_over(meddler), world, parts(world, job)[0])

    assert phases(world, job)[0] is Phase.ENDED
    assert not document.get().exists


def test_a_part_ends_though_its_split_job_was_reset(world: World) -> None:
    job = submitted(world)
    world.database.collection("jobs").document(job.id).delete()
    claim = Job.claimed(job.source, world.holder(), world.now(), world.timing)
    anew = world.ledger.claim(claim)

    settle(world.ledger, world, parts(world, job)[0])

    assert phases(world, job)[0] is Phase.ENDED
    assert world.job(job.source) == anew


def test_the_outbox_of_an_earlier_split_job_of_the_same_id_is_left_as_it_was(
    world: World,
) -> None:
    job = submitted(world, THREE[0])
    world.until_over(job.source)
    (old,) = world.announced
    for document in world.database.collection("jobs").stream():
        document.reference.delete()
    claim = Job.claimed(job.source, world.holder(), world.now(), world.timing)
    again = world.ledger.claim(claim)
    assert again is not None
    again = parts_staged(world, again, [job.parts[job.part_id(0)]])
    split(world, again)

    world.until_over(job.source)

    assert [one.attributes["ce-sequence"] for one in world.announced] == [
        "00000001",
        "00000002",
    ]
    assert world.announced[0] == old


@pytest.mark.proof
def test_the_largest_split_job_there_can_be_is_made_in_one_commit(world: World) -> None:
    name = "n" * 1024
    drop = Drop(bucket="i" * 63, name=name, generation=2**60, size=10**12)
    job = world.ledger.claim(Job.claimed(drop, "w" * 32, world.now(), world.timing))
    assert job is not None
    for n in range(MAX_PARTS):
        uri = f"gs://{'w' * 63}/{'p' * 900}/{job.part_id(n)}/1/requests.jsonl"
        staging = Staging(epoch=1, uri=uri, rows=200_000, bytes=10**9)
        part = Part(n=n, first=1, last=200_000, staging=staging)
        job = replace(job, parts=job.parts | {job.part_id(n): part})
    labels = {f"{n:063}": "v" * 63 for n in range(62)}
    made_so = f"manifest {name}"
    spec = replace(
        spec_of(world, job, **labels),
        model="m" * 400,
        destination=f"gs://{'o' * 63}/{'d' * 940}/",
        display_name="\N{SNOWMAN}" * 128,
        generation_config="c" * 100_000,
        stalled_after={f"JOB_STATE_{state}": 1e8 for state in STATES},
    )
    origin = {each: made_so for each in asdict(spec)}
    origin["labels"] = ", ".join(f"{each}: {made_so}" for each in labels)

    split_job = world.ledger.advance(
        job,
        lambda j: replace(job, version=j.version, spec_from=origin).split(
            spec, Rows(), world.now()
        ),
        creates=lambda j: j.part_jobs(world.now()),
    )

    # As a process that knows of nothing reads them.
    found = ledger_over(world.database).get_all(split_job.parts)
    assert len(found) == MAX_PARTS
    assert all(each.spec_from == origin for each in found)
    for each in found:
        assert each.spec
        assert each.spec.labels == spec.labels | {"batchdrop_job": each.id}


def test_a_part_has_its_marks_though_the_ledger_has_forgotten_its_split_job(
    world: World,
) -> None:
    job = submitted(world)
    world.database.collection("jobs").document(job.id).delete()

    part = ledger_over(world.database).get(job.part_id(0))

    assert part is not None
    assert part.spec is not None
    assert part.spec.labels["batchdrop_job"] == part.id
    assert part.staging == job.parts[part.id].staging


# -- workers that die ----------------------------------------------------------------


@BOTH
def test_a_part_whose_worker_died_with_its_intent_is_fenced_and_sent_once(
    world: World,
) -> None:
    job = split_job(world)
    first = parts(world, job)[0]
    held = world.ledger.advance(
        first, lambda j: j.resumed(world.holder(), world.now(), world.timing)
    )
    held = world.worker.runner.submitting.hand_over(held)
    world.ledger.advance(held, lambda j: j.submitting(world.now(), world.timing))

    world.until_over(job.source)

    part = parts(world, job)[0]
    assert "fenced" in [moment.note for moment in part.history]
    assert part.staging is not None
    assert part.staging != first.staging
    assert world.job(job.source).parts[part.id].staging == first.staging
    assert len(world.batches()) == 3
    assert announced_types(world) == ["succeeded"]


@BOTH
def test_a_parts_batch_that_nobody_recorded_is_found_again(world: World) -> None:
    job = split_job(world)
    world.wire.creates = [world.wire.reply_lost]

    world.until_over(job.source)

    assert len(world.batches()) == 3
    assert phases(world, job) == [Phase.ENDED] * 3
    assert announced_types(world) == ["succeeded"]


def test_a_part_on_which_workers_die_is_parked_and_announced_by_itself(
    world: World,
) -> None:
    job = split_job(world)
    document = world.database.collection("jobs").document(job.part_id(1))
    document.update({"resumes": MAX_RESUMES})

    world.tick()

    assert announced_types(world) == ["stalled"]
    assert body(world)["job_id"] == job.part_id(1)
    assert body(world)["part_of"] == job.id
    assert world.job(job.source).phase is Phase.SPLIT


def test_batches_of_parts_are_no_orphans(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    job = split_job(world)
    world.tick()

    reconcile(world)

    assert "orphan batch" not in [record.message for record in caplog.records]
    assert world.job(job.source).phase is Phase.ENDED


def test_a_second_batch_of_a_part_is_cancelled_and_recorded(world: World) -> None:
    job = submitted(world)
    part = parts(world, job)[0]
    assert part.spec is not None
    assert part.staging is not None
    world.sim.clock.advance(seconds=world.settings.reconcile_every - 60)
    extra = world.client.batches.create(
        model="gemini-3.8-flash",
        src=part.staging.uri,
        config={"destination": part.spec.destination, "labels": part.spec.labels},
    )

    world.ticks(1)

    health = parts(world, job)[0].health
    assert states(world)[extra.name] == "JOB_STATE_CANCELLED"
    assert health is not None
    assert health.code == "duplicates"


def test_a_batch_that_claims_to_be_a_whole_split_job_is_reported_and_left_alone(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    job = submitted(world)
    assert job.spec is not None
    world.sim.clock.advance(seconds=world.settings.reconcile_every - 60)
    forged = world.client.batches.create(
        model="gemini-3.8-flash",
        src=f"gs://{world.settings.inbox}/reviews.jsonl",
        config={"destination": job.spec.destination, "labels": job.spec.labels},
    )

    world.ticks(1)

    assert states(world)[forged.name] == "JOB_STATE_PENDING"
    assert [
        r.__dict__["batch"] for r in caplog.records if r.message == "orphan batch"
    ] == [forged.name]


# -- limits --------------------------------------------------------------------------


def test_parts_go_over_several_days_where_their_file_is_more_than_a_days_limit(
    world: World,
) -> None:
    world.choose(max_bytes_per_day=len(THREE[0]) + len(THREE[2]))
    job = split_job(world)

    world.ticks(2)
    today = phases(world, job)
    sent = [part for part in parts(world, job) if part.phase is Phase.SUBMITTED]
    spent = world.ledger.spending_on(f"{world.now():%Y-%m-%d}")
    assert spent.bytes == sum(part.staging.bytes for part in sent if part.staging)
    assert spent.rows == sum(part.rows.total for part in sent)
    world.ticks(1, timedelta(days=1))

    assert today.count(Phase.WAITING) >= 1
    assert today.count(Phase.SUBMITTED) >= 1
    assert phases(world, job).count(Phase.WAITING) < today.count(Phase.WAITING)


# -- cancel and rerun ----------------------------------------------------------------


def test_a_cancel_while_a_file_is_being_staged_leaves_no_parts(world: World) -> None:
    job = staged(world, *THREE)

    world.worker.commands.cancel(job.id, by="ada")
    after = split(world, world.job(job.source))
    world.tick()

    assert after.phase is Phase.REJECTED
    assert world.jobs() == 1
    assert announced_types(world) == ["cancelled"]


def test_a_split_job_that_is_cancelled_before_it_is_sent_is_over_at_once(
    world: World,
) -> None:
    job = split_job(world)

    after = world.worker.commands.cancel(job.id, by="ada")
    world.ticks(1)

    assert (after.phase, after.outcome) == (Phase.ENDED, "cancelled")
    assert phases(world, job) == [Phase.REJECTED] * 3
    assert announced_types(world) == ["cancelled"]
    assert body(world)["error"]["message"].endswith("cancelled by ada")
    assert world.batches() == []


def test_a_split_job_that_waits_for_room_is_cancelled_at_once(world: World) -> None:
    world.choose(paused=True)
    job = split_job(world)
    world.ticks(1)
    assert phases(world, job) == [Phase.WAITING] * 3

    world.worker.commands.cancel(job.id, by="ada")
    world.choose(paused=False)
    world.ticks(1)

    assert announced_types(world) == ["cancelled"]
    assert world.batches() == []


@BOTH
def test_a_split_job_that_runs_is_cancelled_at_the_service(world: World) -> None:
    job = submitted(world)

    world.worker.commands.cancel(job.id, by="ada")
    again = world.worker.commands.cancel(job.id, by="bob")
    world.ticks(2)

    assert again.cancel_request is not None
    assert again.cancel_request.by == "ada"
    assert {
        part.cancel_request.by if part.cancel_request else None
        for part in parts(world, job)
    } == {"ada"}
    assert outcomes(world, job) == ["cancelled"] * 3
    assert set(states(world).values()) == {"JOB_STATE_CANCELLED"}
    assert announced_types(world) == ["cancelled"]


def test_a_part_whose_request_may_be_out_is_cancelled_with_its_split_job(
    world: World,
) -> None:
    job = split_job(world)
    world.wire.creates = [world.wire.reply_lost]
    world.tick()
    assert sorted(phases(world, job)) == ["submitted", "submitted", "submitting"]

    world.worker.commands.cancel(job.id, by="ada")
    world.ticks_until(lambda: world.is_over(job.source), every=timedelta(minutes=2))

    assert outcomes(world, job) == ["cancelled"] * 3
    assert announced_types(world) == ["cancelled"]


def test_a_part_under_its_worker_is_not_sent_once_its_split_job_is_cancelled(
    world: World,
) -> None:
    job = split_job(world, THREE[0])
    (part,) = parts(world, job)
    held = world.ledger.advance(
        part, lambda j: j.resumed(world.holder(), world.now(), world.timing)
    )

    world.worker.commands.cancel(job.id, by="ada")
    world.worker.runner.carry_on(held)
    world.tick()

    assert world.batches() == []
    assert announced_types(world) == ["cancelled"]


def test_of_a_split_job_that_is_cancelled_when_some_is_done_the_rest_is(
    world: World,
) -> None:
    world.choose(max_active_jobs=1)
    job = split_job(world)
    world.ticks(2)
    world.ticks(1, A_BATCH)
    assert outcomes(world, job).count("succeeded") == 1

    world.worker.commands.cancel(job.id, by="ada")
    world.ticks(2)

    assert announced_types(world) == ["partially_succeeded"]
    assert body(world)["parts"]["succeeded"] == 1
    assert body(world)["parts"]["cancelled"] == 2


def test_a_split_job_can_be_cancelled_again_when_a_part_was_parked_meanwhile(
    world: World,
) -> None:
    job, now = split_job(world, *THREE), world.now()
    first = world.ledger.get(job.part_id(0))
    assert first is not None
    world.ledger.advance(first, lambda j: j.resumed("another", now, world.timing))
    world.worker.commands.cancel(job.id, by="ada")
    held = world.ledger.get(first.id)
    assert held is not None
    world.ledger.advance(held, lambda j: j.park(now))

    world.worker.commands.cancel(job.id, by="bob")

    assert world.job(job.source).outcome == "cancelled"


def test_the_tick_continues_a_cancel_that_stopped_half_way(world: World) -> None:
    job = submitted(world)
    now = world.now()
    # The process that requested it died after the first writes.
    world.ledger.advance(job, lambda j: j.request_cancel("ada", now))
    first = parts(world, job)[0]
    world.ledger.advance(first, lambda j: j.request_cancel("ada", now))

    world.ticks(3)

    assert outcomes(world, job) == ["cancelled"] * 3
    assert announced_types(world) == ["cancelled"]
    assert world.ledger.jobs_to_cancel() == []


def test_a_split_job_whose_parts_all_know_is_not_cancelled_again(world: World) -> None:
    job = submitted(world)

    world.worker.commands.cancel(job.id, by="ada")

    assert job.id not in [one.id for one in world.ledger.jobs_to_cancel()]
    wanted = world.job(job.source).cancel_request
    assert wanted is not None
    assert wanted.sent_at == world.now()


def test_a_part_can_be_cancelled_by_itself(world: World) -> None:
    job = split_job(world)

    world.worker.commands.cancel(job.part_id(1), by="ada")
    world.until_over(job.source)

    assert outcomes(world, job) == [
        "succeeded",
        "cancelled",
        "succeeded",
    ]
    assert announced_types(world) == ["partially_succeeded"]


def test_a_split_job_without_a_succeeded_part_fails_and_is_run_again_as_a_whole(
    world: World,
) -> None:
    job = split_job(world, BAD, BAD)
    world.until_over(job.source)
    assert announced_types(world) == ["failed"]

    with pytest.raises(ValueError, match=rf"is a part of {job.id}; run that"):
        world.worker.commands.rerun(job.part_id(0), "ada")
    again = world.worker.commands.rerun(job.id, "ada")

    held = world.ledger.get(again.id)
    assert held == again
    assert (held.source, held.parts, held.phase) == (job.source, {}, Phase.ARRIVED)
    world.ticks_until(lambda: len(world.announced) == 2, every=A_BATCH)
    assert announced_types(world) == ["failed", "succeeded"]
