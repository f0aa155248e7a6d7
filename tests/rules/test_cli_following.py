"""What a person sees of jobs that are followed, and what a script gets."""

from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from batchdrop.cli.following import Changes, ends, exit_code, table
from batchdrop.jobs.codes import (
    STALLS,
    ErrorCode,
    HealthCode,
    Outcome,
    Phase,
    WaitCode,
)
from batchdrop.jobs.listed import ListedBatch, ListedJob, ListedResults
from batchdrop.jobs.shown import Progress
from batchdrop.jobs.values import Cost, Drop, Health, Problem
from batchdrop.jobs.waiting import WaitingFor
from batchdrop.rows import Rows
from batchdrop.views.cures import CURES
from batchdrop.views.words import AWAITED
from tests.clock import Clock

CAPTURES = Path(__file__).parents[1] / "captures"


@pytest.fixture
def job(clock: Clock) -> ListedJob:
    return ListedJob(
        id="gh2rial7e6mgo" + "a" * 13,
        phase=Phase.SUBMITTED,
        source=Drop(bucket="inbox", name="reviews.jsonl", generation=7, size=1000),
        created_at=clock(),
        updated_at=clock(),
        listed_as=("open",),
        batch=ListedBatch(name="batches/1", state="JOB_STATE_RUNNING"),
        progress=Progress(rows=1000, answered=412, failed=2),
        rows=Rows(total=1000, accepted=1000),
    )


def over(job: ListedJob, outcome: Outcome, **counts: int) -> ListedJob:
    return replace(
        job,
        phase=Phase.ENDED,
        listed_as=("ended",),
        outcome=outcome,
        progress=None,
        rows=Rows(total=sum(counts.values()), **counts),
    )


def rejected(job: ListedJob) -> ListedJob:
    error = Problem(code=ErrorCode.BAD_ROWS, message="line 1: no JSON")
    none = replace(job, batch=None, progress=None, error=error)
    return replace(
        none, phase=Phase.REJECTED, listed_as=("ended",), outcome=Outcome.REJECTED
    )


def drawn(*jobs: ListedJob, names: dict[str, str] | None = None) -> str:
    """The table on a terminal of 80 columns and 24 lines, without trailing spaces."""
    console = Console(width=80, height=24, force_terminal=True, color_system=None)
    known = {job.id: job.source.name for job in jobs} | (names or {})
    with console.capture() as capture:
        console.print(table(jobs, known, console))
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def named(job: ListedJob, letter: str, name: str) -> ListedJob:
    return replace(job, id=letter * 26, source=replace(job.source, name=name))


def test_the_table_fits_a_terminal_of_80_columns(job: ListedJob, clock: Clock) -> None:
    waits = WaitingFor(code=WaitCode.QUEUE, message="queued", since=clock(), ahead=41)
    waiting = replace(
        named(job, "b", "nightly/2026-11-29/products-of-all-countries.jsonl"),
        phase=Phase.WAITING,
        batch=None,
        progress=None,
        waiting_for=waits,
    )
    health = Health(code=HealthCode.STALLED, message="it stands still", since=clock())
    ill = replace(named(job, "c", "ill.jsonl"), health=health)
    collecting = replace(named(job, "d", "late.jsonl"), phase=Phase.ENDED)
    done = over(
        named(job, "e", "a\x1b[31m[b].jsonl"), Outcome.SUCCEEDED, ok=9, failed=1
    )
    bad = rejected(named(job, "f", "bad.jsonl"))

    text = drawn(
        job, waiting, ill, collecting, done, bad, names={"g" * 26: "new.jsonl"}
    )

    assert max(map(len, text.splitlines())) <= 80
    assert text == (CAPTURES / "table.txt").read_text()


def test_what_a_terminal_writes_for_ctrl_c_stays_behind_its_row(
    job: ListedJob,
) -> None:
    console = Console(width=80, height=24, force_terminal=True, color_system=None)
    long = named(job, "b", f"{'long/' * 30}.jsonl")
    with console.capture() as capture:
        console.print(table([long], {long.id: long.source.name}, console))

    assert max(map(len, capture.get().splitlines())) == 80 - len("^C")


def test_more_jobs_than_lines_are_counted(job: ListedJob) -> None:
    jobs = [named(job, letter, "x.jsonl") for letter in "abcdefghijklmnopqrstuvwxyz"]

    text = drawn(*jobs)

    assert len(text.splitlines()) <= 24
    assert "and 6 more" in text


def test_a_line_is_written_when_something_changes(job: ListedJob) -> None:
    written: list[str] = []
    lines = Changes(
        lambda job: written.append(str(job.progress and job.progress.answered))
    )
    for answered in (0, 0, 50, 150, 160, 210, 210):
        progress = Progress(rows=1000, answered=answered, failed=0)
        lines([replace(job, progress=progress)], {})

    assert written == ["0", "150", "210"]


def test_the_exit_status_is_that_of_the_worst_job(job: ListedJob) -> None:
    good = over(job, Outcome.SUCCEEDED, ok=3)
    some = over(job, Outcome.PARTIALLY_SUCCEEDED, ok=2, failed=1)
    refused = over(job, Outcome.SUCCEEDED, ok=2, refused=1)
    late = over(job, Outcome.EXPIRED, ok=1, missing=2)
    nothing = over(job, Outcome.FAILED, ok=0, missing=3)
    without = replace(over(job, Outcome.SUCCEEDED), rows=Rows(total=3, accepted=3))

    assert exit_code([]) == exit_code([good]) == exit_code([without]) == 0
    for one in (some, refused, late):
        assert exit_code([one]) == exit_code([good, one]) == 3
    for one in (nothing, rejected(job)):
        assert exit_code([one]) == exit_code([some, one, good]) == 1


def test_each_end_is_said_in_a_line(job: ListedJob) -> None:
    cost = Cost(micros=8_180_000, currency="USD", prices_as_of="2026-11-28")
    done = replace(
        over(job, Outcome.SUCCEEDED, ok=994, failed=6),
        cost=cost,
        results=ListedResults(uri="gs://out/results.jsonl", bytes=1),
    )

    cancelled = replace(
        rejected(job),
        outcome=Outcome.CANCELLED,
        error=Problem(code=ErrorCode.CANCELLED, message="cancelled by me"),
    )

    assert list(ends([done, rejected(job), cancelled])) == [
        "reviews.jsonl: 1,000 rows: 994 ok, 6 failed, 8.18 USD",
        "  gs://out/results.jsonl",
        "reviews.jsonl: rejected: bad_rows: line 1: no JSON",
        "reviews.jsonl: cancelled: cancelled by me",
    ]


def test_a_name_of_wide_characters_is_cut_to_its_places(job: ListedJob) -> None:
    text = drawn(named(job, "b", f"{'漢字' * 30}.jsonl"))

    [line] = text.splitlines()[1:]
    assert cell_len(line) <= 80
    assert "412/1,000" in line


def test_each_thing_that_a_job_waits_for_has_words() -> None:
    assert set(AWAITED) == set(WaitCode)


def test_a_job_that_someone_should_look_at_is_shown_with_what_to_do() -> None:
    # The messages of these say what to do, or that nothing is to be done.
    explained = {HealthCode.PARKED, HealthCode.POSTPONED}

    assert set(STALLS) - set(CURES) == explained
