"""The page of one job: how far it is, what became of its rows, and what is wrong."""

import re
from dataclasses import replace
from datetime import timedelta

from flask.testing import FlaskClient

from batchdrop.jobs.codes import Outcome, Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Failure, Part, Problem, Round, Staging, Stats
from batchdrop.rows import Rows
from tests.reads import counted
from tests.there import there
from tests.worker.batches import several
from tests.worker.collecting import collected, questions
from tests.worker.rounds import fails
from tests.worker.split_jobs import spec_of
from tests.worker.world import World

#: What would run, or break out of a command, if it were not escaped.
HOSTILE = "a\"><script>alert(1)</script>/'; rm -rf ~ #\n\u202e{{7*7}}.jsonl"
#: The same in a text of a person or a service.
IMAGE = "<img src=x onerror=alert(1)>"


def shown(pages: FlaskClient, id: str) -> str:
    """The text of a job's page, with single spaces."""
    answer = pages.get(f"/jobs/{id}")
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", answer.text)


def words(page: str) -> str:
    """What is read of a page, without its marks."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", page))


def change(world: World, job: Job, **fields: object) -> Job:
    """Writes other fields into a job's document."""
    return world.ledger.advance(job, lambda j: replace(j, **fields))  # type: ignore[arg-type]


def test_a_job_is_followed_from_its_drop_to_the_results_of_its_rounds(
    deployed: World, pages: FlaskClient
) -> None:
    deployed.choose(results="on", retry=1, dashboard_rows=True)
    fails(deployed, 3, times=1)
    fails(deployed, 5, times=None)
    drop = deployed.upload(questions(20), "nightly/reviews.jsonl")
    deployed.worker.take(drop)

    queued = shown(pages, drop.job_id)
    deployed.ticks(2, every=timedelta(minutes=4))
    running = shown(pages, drop.job_id)
    job = collected(deployed, drop)
    deployed.ticks(1)
    page = shown(pages, drop.job_id)

    assert "The API has its batch, and has not started it." in queued
    assert "It has been pending since" in queued
    assert 'data-refresh="5"' in queued
    assert "Queued at the API" in running
    assert re.search(r"[0-9]+ of 20 rows are answered", running)
    assert "data-refresh" not in page

    text = words(page)
    assert "19 of 20 rows are ok." in text
    kinds = re.findall(r"(Waited|Queued|Ran|Answers collected|Round 1)", text)
    assert [*dict.fromkeys(kinds)] == [
        "Queued",
        "Ran",
        "Answers collected",
        "Round 1",
    ]
    assert "ok 19 95.0 %" in text
    assert "failed 1 5.0 %" in text
    # Failures, with an example, and whether rows failed in every round.
    [failure] = job.failures
    assert f'href="/jobs/{job.id}/rows?id={failure.example}"' in page
    assert f'href="/jobs/{job.id}/rows?only=failed"' in page
    assert failure.always == (failure.example,)
    assert "In every round" in text
    # Rounds, announcements, cost, and what was chosen.
    assert f'href="/jobs/{job.round_id(1)}"' in page
    assert "its options" in text
    assert [one.word for one in deployed.announced] == ["succeeded", "results"]
    assert "succeeded" in text
    assert "Not sent again:" in text
    assert "times the estimate" in text
    assert f"batchdrop results {job.id}" in text
    assert f"gcloud storage cp {there(job.results).uri} ." in text
    assert "modelgemini-3.8-flash BATCHDROP_MODEL" in text.replace(
        "model gem", "modelgem"
    )

    round_page = shown(pages, job.round_id(1))
    assert f'href="/jobs/{job.id}"' in round_page
    assert "Round 1" in words(round_page)


def test_a_file_that_cannot_be_sent_is_shown_with_its_lines_whatever_its_name(
    deployed: World, pages: FlaskClient
) -> None:
    drop = deployed.upload('{"contents": "x"}\nnot json\n', HOSTILE)
    deployed.worker.take(drop)
    job = deployed.job(drop)
    [told] = deployed.ledger.announcements_of(job.id)
    refused = {"set_aside_at": deployed.now(), "attempts": 10, "reason": IMAGE}
    deployed.database.collection("announcements").document(told.id).update(refused)

    page = shown(pages, drop.job_id)

    text = words(page)
    assert "No batch was made, and nothing was paid." in text
    assert "bad_rows" in text
    assert "What to do" not in text  # it has no good line to be sent alone
    assert "Nothing was paid." in text
    assert "set aside" in text
    assert IMAGE not in page
    for error in job.row_errors:
        assert error.code in text
    assert "Lines that can&#39;t be sent" in page or "Lines that can't be sent" in page
    # Neither marks nor invisible characters of the name, nor a way out of a command.
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "\u202e" not in page
    assert "{{7*7}}" in page
    command = (
        f"gs://{drop.bucket}/a&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;/\\&#39;;"
    )
    assert f"gcloud storage cp $&#39;{command} rm -rf ~ #\\u000a\\u202e" in page


def test_a_file_with_some_good_lines_is_shown_with_how_to_send_these(
    deployed: World, pages: FlaskClient
) -> None:
    drop = deployed.upload(f"not json\n{questions(1)}")
    deployed.worker.take(drop)

    text = words(shown(pages, drop.job_id))

    assert "What to do: mend them; or drop the file with on_invalid = skip" in text


def test_a_job_that_waits_is_shown_with_its_place_and_what_others_wrote_as_text(
    deployed: World, pages: FlaskClient
) -> None:
    deployed.choose(max_active_jobs=1)
    first, second, third = several(deployed, 3)
    before = words(shown(pages, third.id))
    deployed.tick()
    after = words(shown(pages, third.id))

    assert "It waits for its turn, 2 ahead, since" in before
    assert deployed.job(first.source).phase is Phase.SUBMITTED
    assert "It waits for its turn, 1 ahead, since" in after

    now = deployed.now()
    failure = Failure(code=IMAGE, message=IMAGE, count=1, example=IMAGE)
    spec = replace(there(second.spec), labels={"team": IMAGE}, route=IMAGE)
    job = change(
        deployed,
        there(deployed.ledger.get(second.id)),
        spec=spec,
        spec_from=second.spec_from | {"route": IMAGE},
        failures=(failure,),
        rounds=(Round(n=1, job="", by=IMAGE, no_cost=IMAGE),),
        error=Problem(code=IMAGE, message=IMAGE),
        no_cost=IMAGE,
        manifest=IMAGE,
    )
    deployed.ledger.advance(job, lambda j: j.park(now, f"{IMAGE} `{IMAGE}`"))

    page = shown(pages, second.id)

    assert IMAGE not in page
    assert page.count("&lt;img src=x onerror=alert(1)&gt;") > 12
    assert "parked" in words(page)
    assert f"batchdrop resume {second.id}" in page
    assert "It waits for" not in words(page)  # what is wrong says more


def test_300_parts_cost_few_reads_and_each_has_a_cell_that_leads_to_its_job(
    deployed: World, pages: FlaskClient
) -> None:
    job = split_in(deployed, 300)
    parts = {
        id: replace(part, outcome=Outcome.SUCCEEDED, stats=Stats(successful=1))
        if part.n < 100
        else part
        for id, part in job.parts.items()
    }
    job = change(deployed, job, parts=parts, seq=25)
    ill = there(deployed.ledger.get(job.part_id(250)))
    deployed.ledger.advance(
        ill, lambda j: j.park(deployed.now(), "it is <b>broken</b>")
    )
    job = deployed.ledger.advance(
        job, lambda j: j.parts_counted(200, [ill.id], deployed.now())
    )

    with counted() as counts:
        page = shown(pages, job.id)

    assert counts["reads"] <= 60
    assert counts["writes"] == 0
    assert 'data-refresh="15"' in page
    cells = re.findall(r'<a class="(\w+)" href="/jobs/(\w+)" title="([^"]+)"', page)
    assert [id for _, id, _ in cells] == [job.part_id(n) for n in range(300)]
    states = [title.partition(": ")[2] for _, _, title in cells]
    assert states[:100] == ["succeeded"] * 100
    assert states[100:129] == ["prepared"] * 29
    assert states[200:250] == ["open"] * 50
    assert states[250].startswith("prepared, parked: it is &lt;b&gt;broken&lt;/b&gt;")
    assert cells[0][2].startswith("part 1, lines 1 to 2")
    assert "100 of its 300 parts are over." in words(page)
    assert "the others are just called open" in words(page)
    assert "And 5 older ones" in words(page)

    part = shown(pages, ill.id)
    assert f'href="/jobs/{job.id}">The whole file' in part
    assert "Part 251, lines 501 to 502" in words(part)


def split_in(world: World, count: int) -> Job:
    """A job that was split in so many parts, whose rows nobody has staged."""
    now = world.now()
    drop = world.upload("x")
    job = there(world.ledger.claim(Job.claimed(drop, "w", now, world.timing)))
    parts = {
        job.part_id(n): Part(
            n=n,
            first=2 * n + 1,
            last=2 * n + 2,
            staging=Staging(epoch=1, uri=f"gs://staged/{n}", rows=2),
        )
        for n in range(count)
    }
    rows = Rows(total=2 * count, accepted=2 * count)
    return world.ledger.advance(
        job,
        lambda j: replace(j, parts=parts).split(spec_of(world, job), rows, now),
        creates=lambda j: j.part_jobs(now),
    )
