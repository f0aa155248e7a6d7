"""A round is staged from the rows that are staged of its job, and from its results."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from batchdrop.jobs.codes import ErrorCode, Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Drop
from batchdrop.stored import split_uri
from tests.often import mostly
from tests.there import there
from tests.worker.backends import BOTH
from tests.worker.collecting import A_BATCH, collected, lines, question, questions
from tests.worker.collecting import submit as submit_whole
from tests.worker.dying import Killed, at, die
from tests.worker.world import World


def submit(world: World, text: str = "", **options: Any) -> Drop:
    """Drops a file whose third and fifth question fail, for a reason that passes."""
    for n in (3, 5):
        world.sim.faults.add(
            "row_failed", code=429, match={"row_text": f"question {n}"}, count=1
        )
    return submit_whole(world, text or questions(6), **options)


def asked(world: World, job: Job, only: Sequence[str] = ()) -> Job:
    """The job of the round that a person wants, as the collector makes it."""
    job = world.worker.commands.retry(job.id, "ada", only)
    now = world.now()
    world.ledger.advance(
        job,
        lambda j: j.round_chosen(2, now),
        creates=lambda j: [j.round_job(now)],
    )
    return one_round(world, job)


def one_round(world: World, job: Job) -> Job:
    return there(world.ledger.get(job.round_id(1)))


def staged(world: World, job: Job) -> list[dict[str, Any]]:
    """The rows that are staged of a job."""
    bucket, name = split_uri(there(job.staging).uri)
    text = world.gcs.bucket(bucket).blob(name).download_as_text()
    return [json.loads(line) for line in text.splitlines()]


@BOTH
def test_a_round_sends_the_rows_that_failed_as_they_were_staged(world: World) -> None:
    job = collected(world, submit(world))
    before = staged(world, job)

    asked(world, job)
    world.worker.tick()

    sent = one_round(world, job)
    assert staged(world, sent) == [before[2], before[4]]
    assert (sent.phase, sent.rows.total, sent.rows.accepted) == ("submitted", 2, 2)
    assert (there(sent.staging).rows, there(sent.staging).first) == (2, 3)
    assert there(there(sent.estimate).cost).micros > 0
    assert len(world.batches()) == 2


def test_a_round_keeps_what_was_chosen_for_its_job(world: World) -> None:
    job = collected(world, submit(world, generation_config='{"temperature": 0.5}'))
    world.choose(model="gemini-4-argon", max_rows=1, labels={"team": "b"})
    world.upload("overwritten", name=job.source.name)

    asked(world, job)
    world.worker.tick()

    sent, spec = one_round(world, job), there(job.spec)
    assert there(sent.spec) == replace(
        spec,
        destination=f"{spec.destination}round-0001/",
        display_name="reviews.jsonl round 1",
        labels=spec.labels | {"batchdrop_job": sent.id},
        generation_config=None,
    )
    config = [one["request"]["generationConfig"] for one in staged(world, sent)]
    assert config == [{"temperature": 0.5}] * 2


@BOTH
def test_the_results_of_a_round_have_the_lines_and_columns_of_the_file(
    world: World,
) -> None:
    rows = [question(n, key=f"own-{n}", customer=n) for n in range(1, 7)]
    rows[4]["request"]["generationConfig"] = {"responseMimeType": "application/json"}
    text = "not json\n" + lines(rows)
    job = collected(world, submit(world, text, on_invalid="skip"))
    world.tick()
    before = len(world.announced)

    asked(world, job)
    world.ticks(1)
    world.ticks_until(lambda: one_round(world, job).is_done, every=A_BATCH)

    sent = one_round(world, job)
    found = world.results(sent)
    assert [(one["line"], one["key"]) for one in found] == [(4, "own-3"), (6, "own-5")]
    assert found[0]["columns"] == {"customer": 3}
    assert [one["outcome"] for one in found] == ["ok", "malformed"]
    assert there(sent.staging).json == "some"
    # It announces nothing, and is in no list.
    assert (sent.seq, sent.listed_at, len(world.announced)) == (0, None, before)


def test_a_person_names_the_outcomes_that_go_again(world: World) -> None:
    world.sim.faults.add("row_failed", code=400, match={"row_text": "question 1"})
    job = collected(world, submit(world))

    asked(world, job, only=["failed"])
    world.worker.tick()

    assert there(one_round(world, job).staging).rows == 3


def test_a_round_whose_rows_are_gone_is_rejected_unpaid(world: World) -> None:
    job = collected(world, submit(world))
    world.delete(there(job.staging).uri)

    asked(world, job)
    world.worker.tick()

    sent = one_round(world, job)
    assert (sent.phase, there(sent.error).code) == ("rejected", ErrorCode.STAGING_GONE)
    assert sent.is_done
    assert len(world.batches()) == 1
    assert len(world.announced) == 2


def test_a_round_over_what_the_file_may_cost_is_rejected_unpaid(world: World) -> None:
    drop = submit(world)
    estimate = there(there(world.job(drop).estimate).cost).micros
    job = collected(world, drop)
    limited = replace(there(job.spec), max_cost=estimate / 1_000_000)
    origin = job.spec_from | {"max_cost": "BATCHDROP_MAX_COST"}
    costly = replace(there(job.cost), micros=estimate)
    world.ledger.advance(
        job, lambda j: replace(j, spec=limited, spec_from=origin, cost=costly)
    )

    asked(world, world.job(drop))
    world.worker.tick()

    problem = there(one_round(world, job).error)
    assert problem.code == ErrorCode.OVER_LIMIT
    assert ", after " in problem.message
    assert len(world.batches()) == 1


@BOTH
@pytest.mark.parametrize("phase", mostly(Phase.SUBMITTED, also=[Phase.PREPARED]))
def test_a_round_that_the_ledger_has_lost_is_not_paid_twice(
    world: World, phase: Phase
) -> None:
    job = collected(world, submit(world))
    asked(world, job)
    if phase is Phase.PREPARED:
        with at(["round_prepared"], die), pytest.raises(Killed):
            world.worker.tick()
    else:
        world.worker.tick()
    assert one_round(world, job).phase is phase

    world.database.collection("jobs").document(job.round_id(1)).delete()
    world.ticks(1)
    world.ticks_until(lambda: one_round(world, job).is_done, every=A_BATCH)

    assert len(world.batches()) == 2
    assert one_round(world, job).rows.ok == 2


def test_a_lost_round_whose_next_worker_dies_at_once_keeps_the_rows_of_its_batch(
    world: World,
) -> None:
    job = collected(world, submit(world))
    asked(world, job)
    world.worker.tick()
    uri = there(one_round(world, job).staging).uri
    world.database.collection("jobs").document(job.round_id(1)).delete()

    with at(["after_resumed"], die), pytest.raises(Killed):
        world.worker.tick()
    world.ticks_until(lambda: one_round(world, job).batch is not None)

    assert there(one_round(world, job).staging).uri == uri
    assert len(world.batches()) == 2
