"""The commands on jobs: `show`, `cancel`, `resume` and `rerun`, on real services."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result

from batchdrop import wiring
from batchdrop.cli import main
from batchdrop.jobs.codes import Phase, WaitCode
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import (
    Collecting,
    Cost,
    Estimate,
    Failure,
    Results,
    Usage,
)
from batchdrop.rows import Rows, Tokens
from tests.jobs import ended
from tests.there import there
from tests.worker.collecting import collected, questions, submit
from tests.worker.split_jobs import THREE, parts, split_job, submitted
from tests.worker.world import World

#: Of a price list.
DAY = "2026-11-28"


@pytest.fixture
def deployed(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(wiring, "worker", lambda: world.worker)
    monkeypatch.setattr(wiring, "storage", lambda: world.storage)
    monkeypatch.setattr(wiring, "ledger", lambda: world.ledger)
    return world


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_a_job_is_cancelled_from_the_command_line(deployed: World) -> None:
    deployed.choose(paused=True)
    drop = deployed.upload()
    deployed.worker.take(drop)

    ran = run("cancel", drop.job_id)

    assert (ran.exit_code, ran.output) == (0, f"Job {drop.job_id} is cancelled.\n")
    assert deployed.job(drop).phase is Phase.REJECTED


def test_a_job_may_be_called_by_what_was_dropped(deployed: World) -> None:
    deployed.choose(paused=True)
    older = deployed.upload()
    deployed.worker.take(older)
    newer = deployed.upload()
    deployed.worker.take(newer)
    address = f"gs://{newer.bucket}/{newer.name}"

    assert run("cancel", address).exit_code == 0
    assert deployed.job(newer).phase is Phase.REJECTED
    assert deployed.job(older).cancel_request is None

    assert run("cancel", f"{address}#{older.generation}").exit_code == 0
    assert deployed.job(older).cancel_request is not None


def test_a_job_may_be_called_by_the_beginning_of_its_id(deployed: World) -> None:
    deployed.choose(paused=True)
    drop = deployed.upload()
    deployed.worker.take(drop)

    ran = run("cancel", drop.job_id[:6])

    assert ran.output == f"Job {drop.job_id} is cancelled.\n"
    for nothing in ("7" * 9, "week.jsonl"):
        assert f"no job {nothing}; a JOB is an id" in run("show", nothing).output


def test_the_latest_job_is_the_one_that_was_dropped_last(deployed: World) -> None:
    deployed.choose(paused=True)
    assert "there is no job yet" in run("show", "latest").output
    for name in ("a.jsonl", "b.jsonl"):
        deployed.worker.take(drop := deployed.upload(name=name))
        deployed.advance(timedelta(seconds=1))

    assert run("cancel", "latest").output == f"Job {drop.job_id} is cancelled.\n"


def test_the_job_of_an_object_that_is_gone_is_found_by_its_name(
    deployed: World,
) -> None:
    deployed.choose(paused=True)
    for name in ("week.jsonl", "week.jsonl.jsonl"):
        deployed.worker.take(drop := deployed.upload(name=name))
        deployed.gcs.bucket(drop.bucket).blob(name).delete()
        deployed.advance(timedelta(seconds=1))

    ran = run("cancel", f"gs://{drop.bucket}/week.jsonl")

    (week,) = deployed.ledger.listed_jobs_by_name("week.jsonl", 2)[1:]
    assert ran.output == f"Job {week.id} is cancelled.\n"


def test_a_beginning_that_several_ids_have_is_refused_with_the_candidates(
    deployed: World,
) -> None:
    deployed.choose(paused=True)
    first, second = "aaab" + "a" * 22, "aaac" + "a" * 22
    for id in (first, second):
        job = Job.claimed(deployed.upload(), "w", deployed.now(), deployed.timing)
        deployed.ledger.claim(replace(job, id=id))

    ran = run("cancel", "aaa")

    assert ran.exit_code == 1
    assert [line.split()[0] for line in ran.stderr.splitlines()[-2:]] == [first, second]
    assert run("cancel", "aaab").exit_code == 0


def test_several_jobs_are_cancelled_and_an_error_does_not_keep_the_others(
    deployed: World,
) -> None:
    deployed.choose(paused=True)
    drops = [deployed.upload(name=name) for name in ("a.jsonl", "b.jsonl")]
    for drop in drops:
        deployed.worker.take(drop)
    first, second = (drop.job_id for drop in drops)

    ran = run("cancel", first, "a" * 26, second, "--json")

    assert ran.exit_code == 1
    printed = list(map(json.loads, ran.stdout.splitlines()))
    assert [one.get("outcome") for one in printed] == ["cancelled", None, "cancelled"]
    assert printed[1]["error"] == f"there is no job {'a' * 26}"
    assert ran.stderr == f"Error: there is no job {'a' * 26}\n"


def test_a_name_with_a_hash_in_it_is_an_objects_whole_name(deployed: World) -> None:
    deployed.choose(paused=True)
    week = deployed.upload(name="week.jsonl")
    second = deployed.upload(name="week.jsonl#2.jsonl")
    for drop in (week, second):
        deployed.worker.take(drop)

    ran = run("cancel", f"gs://{second.bucket}/week.jsonl#2.jsonl")

    assert ran.output == f"Job {second.job_id} is cancelled.\n"
    assert deployed.job(week).phase is Phase.WAITING
    again = run("cancel", str(second))
    assert f"job {second.job_id} is over" in again.output


def with_results(deployed: World, **cost: Any) -> Job:
    """A job whose batch has ended and whose answers are collected."""
    cost = cost or {"cost": Cost(micros=420_000, currency="USD", prices_as_of=DAY)}
    drop = deployed.upload()
    now = deployed.now()
    claimed = there(deployed.ledger.claim(Job.claimed(drop, "w", now, deployed.timing)))
    failure = Failure(code="503", message="overloaded", count=14, example="r0000007")
    results = Results(
        uri="gs://out/x/results.jsonl",
        generation=1,
        crc32c="AAAAAA==",
        bytes=9,
        strangers="gs://out/x/strangers.jsonl",
    )

    def move(job: Job) -> Job:
        return ended(job, now).collected(
            now,
            results=results,
            rows=Rows(total=1000, refused=2, ok=974, failed=14, missing=10),
            usage=Usage(prompt=800, cached=100, output=300, thoughts=100, total=1200),
            **cost,
            failures=(failure,),
            strangers=3,
        )

    return deployed.ledger.advance(claimed, move)


def test_a_job_is_shown_with_what_became_of_its_rows(deployed: World) -> None:
    job = with_results(deployed)

    ran = run("show", f"gs://{job.source.bucket}/{job.source.name}")

    lines, _, times = ran.output.partition("\n\n")
    assert lines.splitlines() == [
        f"{job.source}, job {job.id}",
        "ended: succeeded (JOB_STATE_SUCCEEDED)",
        "1,000 rows: 974 ok, 14 failed, 10 missing, 2 refused",
        "  14 x 503: overloaded, such as r0000007",
        "1,200 tokens: 800 prompt (100 cached), 300 output, 100 thoughts",
        "0.42 USD by the prices of 2026-11-28",
        "results: gs://out/x/results.jsonl",
        "3 answers to no row: gs://out/x/strangers.jsonl",
        "batch: batches/1",
    ]
    day, *moments = times.splitlines()
    assert day == f"{deployed.now():%Y-%m-%d} (UTC)"
    assert [line.split(maxsplit=1)[1] for line in moments] == [
        "arrived",
        "prepared",
        "submitted JOB_STATE_SUCCEEDED",
        "ended JOB_STATE_SUCCEEDED",
        "ended JOB_STATE_SUCCEEDED: results",
    ]


def test_a_split_job_is_shown_with_the_results_that_lie_there_already(
    deployed: World,
) -> None:
    deployed.choose(results="on")
    job, now = split_job(deployed), deployed.now()
    first, second, third = parts(deployed, job)
    results = Results(
        uri="gs://out/x/part-0000/results.jsonl", generation=1, crc32c="A", bytes=9
    )
    rows = Rows(total=3, accepted=3, missing=3)
    deployed.ledger.advance(
        deployed.ledger.advance(first, lambda j: j.request_cancel("ada", now)),
        lambda j: j.collected(now, results=results, rows=rows, usage=Usage()),
    )
    deployed.ledger.advance(third, lambda j: j.park(now, "it is broken"))

    shown = run("show", job.id).output.splitlines()

    assert shown[shown.index("") - 3 : shown.index("")] == [
        "1 of 3 parts has its results: gs://out/x/part-0000/results.jsonl and so on",
        f"  part 2, job {second.id}: prepared",
        f"  part 3, job {third.id}: prepared, parked: it is broken. Mend that, then "
        f"run `batchdrop resume {third.id}`",
    ]


def test_a_job_is_shown_with_its_cost_or_why_that_is_not_known(deployed: World) -> None:
    costs: dict[str, dict[str, Any]] = {
        "0.00 EUR": {"cost": Cost(micros=0, currency="EUR", prices_as_of=DAY)},
        "under 0.01 USD": {"cost": Cost(micros=9999, currency="USD", prices_as_of=DAY)},
        "the cost isn't known: no price": {"no_cost": "no price"},
    }
    for shown, cost in costs.items():
        job = with_results(deployed, **cost)

        lines = run("show", job.id).output.splitlines()

        [line] = [one for one in lines if shown in one]
        assert line.removeprefix(shown) in ("", f" by the prices of {DAY}")


def test_a_cost_is_shown_with_what_was_estimated(deployed: World) -> None:
    cost = Cost(micros=3_000_000, currency="USD", prices_as_of=DAY)
    guess = replace(cost, micros=4_000_000)
    job = with_results(deployed, cost=cost)
    estimated = Estimate(tokens=Tokens(), cost=guess)
    deployed.ledger.advance(job, lambda j: replace(j, estimate=estimated))

    lines = run("show", job.id).output.splitlines()

    assert f"3.00 USD by the prices of {DAY}, 0.75 times the estimate" in lines


def test_a_job_is_shown_as_json_as_its_document_has_it(deployed: World) -> None:
    job = with_results(deployed)

    shown = json.loads(run("show", job.id, "--json").output)

    held = deployed.database.collection("jobs").document(job.id).get()
    assert (shown["id"], shown["outcome"]) == (job.id, "succeeded")
    for name in ("rows", "usage", "cost", "results", "failures", "spec"):
        assert shown[name] == held.get(name)


def test_a_job_in_trouble_is_shown_with_it(deployed: World) -> None:
    drop = deployed.upload(f"not json\n{questions(1)}")
    deployed.worker.take(drop)
    rejected = run("show", drop.job_id).output.splitlines()
    bad = deployed.upload("not json\n", "bad.jsonl")
    deployed.worker.take(bad)
    without_a_good_line = run("show", bad.job_id).output
    job = with_results(deployed)
    now = deployed.now()
    waiting = replace(job, collecting=Collecting(round=0, step="freeze", due=now))
    deployed.ledger.advance(
        job, lambda _: waiting.collect_waits("grant it", now, now, code=WaitCode.GRANT)
    )
    waits = run("show", job.id).output.splitlines()

    assert rejected[1] == "rejected"
    assert rejected[2].startswith("error: bad_rows: ")
    assert rejected[3].startswith("  what to do: mend them; or drop the file with ")
    assert "`on_invalid` = `skip`" in rejected[3]
    assert "error: bad_rows: " in without_a_good_line
    assert "what to do" not in without_a_good_line
    at = waits.index("not_allowed: grant it")
    assert waits[at + 1 :][0].startswith("  what to do: grant it; the job continues")
    assert waits[2].startswith(
        f"waits for a grant, since {now:%Y-%m-%d %H:%M:%S}, next"
    )
    assert "collecting: freeze" in waits
    assert "  grant it" not in waits  # which is said of its health


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        (Rows(total=1, accepted=1), "1 row: 1 accepted"),
        (
            Rows(total=1200, accepted=1198, refused=2),
            "1,200 rows: 1,198 accepted, 2 refused",
        ),
        (
            Rows(total=3, refused=1, ok=1, truncated=1),
            "3 rows: 1 ok, 1 truncated, 1 refused",
        ),
    ],
)
def test_rows_are_shown_in_one_line(rows: Rows, line: str) -> None:
    assert str(rows) == line


def test_an_object_that_is_gone_is_not_taken_for_another_generation(
    deployed: World,
) -> None:
    week = deployed.upload("not json\n", name="week.jsonl")
    deployed.worker.take(week)

    for command in ("cancel", "resume", "rerun", "show"):
        ran = run(command, f"gs://{week.bucket}/week.jsonl#2.jsonl")

        assert ran.exit_code == 1
        assert "week.jsonl#2.jsonl is not there; give the job's id" in ran.output


def test_digits_behind_a_hash_are_a_generation_where_no_object_is_called_so(
    deployed: World,
) -> None:
    deployed.choose(paused=True)
    week = deployed.upload(name="week.jsonl")
    deployed.worker.take(week)
    address = f"gs://{week.bucket}/week.jsonl#{week.generation}"
    deployed.upload(name=f"week.jsonl#{week.generation}")

    called_so = run("cancel", address)
    deployed.gcs.bucket(week.bucket).blob(f"week.jsonl#{week.generation}").delete()
    generation = run("cancel", address)

    assert "there is no job" in called_so.output
    assert generation.output == f"Job {week.job_id} is cancelled.\n"


def test_an_address_without_an_object_is_an_error_that_names_it(
    deployed: World,
) -> None:
    for address, says in (
        ("gone.jsonl", "gone.jsonl is not there; give the job's id"),
        ("gone.jsonl#", "gone.jsonl# is not there; give the job's id"),
        ("gone.jsonl#x7", "gone.jsonl#x7 is not there; give the job's id"),
        ("#7", "#7 is not there; give the job's id"),
        ("", "names no object; write gs://bucket/name"),
    ):
        ran = run("rerun", f"gs://{deployed.settings.inbox}/{address}")

        assert ran.exit_code == 1
        assert says in ran.output


def test_a_split_job_is_cancelled_from_the_command_line(deployed: World) -> None:
    unsent = split_job(deployed, *THREE)

    ran = run("cancel", unsent.id)

    assert (ran.exit_code, ran.output) == (0, f"Job {unsent.id} is cancelled.\n")
    assert deployed.job(unsent.source).outcome == "cancelled"


def test_a_split_job_that_runs_is_cancelled_at_the_next_tick(deployed: World) -> None:
    running = submitted(deployed, *THREE)

    ran = run("cancel", running.id)

    assert ran.output == f"Job {running.id} is cancelled at the next tick of poll.\n"


def test_a_part_is_not_run_again_from_the_command_line(deployed: World) -> None:
    whole = split_job(deployed, *THREE)

    ran = run("rerun", whole.part_id(0))

    assert ran.exit_code == 1
    assert f"is a part of {whole.id}; run that once more" in ran.output


def test_a_job_is_run_again_from_the_command_line(deployed: World) -> None:
    drop = deployed.upload("not json\n")
    deployed.worker.take(drop)

    ran = run("rerun", drop.job_id)

    again = deployed.ledger.get(ran.output.strip())
    assert again is not None
    assert again.parent == drop.job_id
    too_late = run("cancel", drop.job_id)
    since = f"rejected since {deployed.now():%Y-%m-%d %H:%M} UTC"
    assert f"is over: {since}; it was run again as {again.id}" in too_late.output


def test_a_parked_job_continues_after_batchdrop_resume(deployed: World) -> None:
    drop = deployed.upload()
    deployed.choose(max_bytes="many")  # which breaks every worker
    deployed.worker.take(drop)
    deployed.ticks_until(lambda: deployed.job(drop).is_parked, 10)
    parked = deployed.job(drop)
    assert parked.parked is not None
    assert "TypeError" in parked.parked.message
    assert f"batchdrop resume {parked.id}" in parked.parked.message
    deployed.choose(max_bytes=None)
    deployed.ticks(2)
    assert deployed.job(drop).phase is Phase.ARRIVED

    ran = run("resume", drop.job_id)

    assert ran.output == f"Job {drop.job_id} resumes at the next tick of poll.\n"
    deployed.ticks(1)
    job = deployed.job(drop)
    assert (job.phase, job.parked) == (Phase.SUBMITTED, None)
    assert any((moment.note or "").startswith("resumed by ") for moment in job.history)


def test_a_job_that_is_not_parked_is_not_resumed(deployed: World) -> None:
    drop = deployed.upload()
    deployed.worker.take(drop)

    ran = run("resume", drop.job_id)

    assert ran.exit_code == 1
    assert f"job {drop.job_id} isn't parked: it continues by itself" in ran.output


@pytest.mark.usefixtures("deployed")
def test_a_job_that_is_not_there_is_an_error_without_a_traceback() -> None:
    for command in ("cancel", "resume", "rerun"):
        ran = run(command, "a" * 26)

        assert ran.exit_code == 1
        assert ran.output == f"Error: there is no job {'a' * 26}\n"


# -- rows that go again ------------------------------------------------------------


def test_rows_go_again_from_the_command_line_and_are_shown(deployed: World) -> None:
    row = {"row_text": "question 3"}
    deployed.sim.faults.add("row_failed", code=400, match=row, count=1)
    drop = submit(deployed, questions(5))
    collected(deployed, drop)

    ran = run("retry", drop.job_id, "--only", "failed, blocked")
    deployed.ticks_until(lambda: deployed.job(drop).awaits == "round")
    waits = run("show", drop.job_id).output
    collected(deployed, drop)
    shown = run("show", drop.job_id).output

    assert (ran.exit_code, ran.output) == (
        0,
        f"Rows of job {drop.job_id} whose outcome is failed or blocked go again at "
        f"poll's next ticks; `batchdrop show {drop.job_id}` says how many.\n",
    )
    assert "waits for rows that go again, since" in waits
    assert "round 1: 1 row again, asked for by" in waits
    assert ", under way\n" in waits
    assert "succeeded, 1 row is better\n" in shown
    assert "5 rows: 5 ok\n" in shown


def test_rows_that_cannot_go_again_are_an_error_in_one_line(deployed: World) -> None:
    drop = submit(deployed, questions(2))
    early = run("retry", drop.job_id)
    collected(deployed, drop)
    passing = run("retry", drop.job_id)

    answered = run("retry", drop.job_id, "--only", "ok")

    assert (early.exit_code, answered.exit_code) == (1, 1)
    assert "is not done yet: retry it once it is" in early.output
    assert "that failed for a reason that passes go again" in passing.output
    assert "rows that are ok don't go again; write some of missing, " in answered.output


def test_a_cancel_while_rows_go_again_says_what_it_does(deployed: World) -> None:
    deployed.sim.faults.add("row_failed", code=429, count=1)
    drop = submit(deployed, questions(5), retry=1)
    deployed.ticks_until(lambda: deployed.job(drop).awaits == "round")

    ran = run("cancel", deployed.job(drop).round_id(1))

    assert ran.output == f"No more rows of job {drop.job_id} go again.\n"
