"""What a job says of a round that is ill, and of rows that don't go again."""

from dataclasses import replace

import pytest

from batchdrop.jobs.codes import HealthCode, SkipCode, WaitCode
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Duplicates, Fact
from batchdrop.rows import Rows
from tests.clock import Clock
from tests.jobs import STAGED, TIMING
from tests.rules.test_rounds import ended, gone_again
from tests.there import there


def ill(clock: Clock, job: Job) -> Job:
    """A round that lacks a grant."""
    fact = Fact(since=clock(), message="grant it the role")
    return replace(job.round_job(clock()), not_allowed=fact)


def test_no_other_trouble_of_a_round_hides_that_it_stalls(clock: Clock) -> None:
    job = gone_again(clock)
    found = Duplicates(since=clock(), message="another was made", names=("batches/2",))
    sent = replace(ill(clock, job), duplicates=found)
    assert there(sent.health).code == HealthCode.DUPLICATES

    held = job.round_told(sent, clock())

    assert "not_allowed: grant it the role" in there(held.round_held).message
    assert held.seq == job.seq + 1


def test_an_ill_round_of_a_part_is_announced_as_the_part_itself_would_be(
    clock: Clock,
) -> None:
    job = replace(gone_again(clock), part_of="a-split-job")

    held = job.round_told(ill(clock, job), clock())
    still = held.round_told(ill(clock, job), clock())

    assert held.seq == job.seq + 1
    assert still == held
    assert held.held_of == "a-split-job"


@pytest.mark.parametrize(
    ("share", "passing", "rows"), [(0.29, 29, 100), (0.07, 7, 100), (0.55, 11, 20)]
)
def test_exactly_the_share_that_was_chosen_goes_again(
    clock: Clock, share: float, passing: int, rows: int
) -> None:
    job = ended(clock, retry_share=share)
    job = replace(job, rows=Rows(total=rows, accepted=rows))

    assert job.skip(passing) is None
    assert there(job.skip(passing + 1)).code is SkipCode.OVER_SHARE


def test_a_job_says_what_its_round_waits_for(clock: Clock) -> None:
    job = gone_again(clock)
    sent = job.round_job(clock()).resumed("second", clock(), TIMING)
    sent = sent.prepared(
        there(sent.spec), STAGED, Rows(total=2, accepted=2), clock(), TIMING
    )
    sent = sent.wait(WaitCode.CEILING, "no room below 5 USD", clock(), clock(), 7)

    waits = there(job.round_told(sent, clock()).waiting_for)

    assert (waits.code, waits.message) == (
        WaitCode.ROUND,
        "round 1, in which 2 rows go again, is waiting (ceiling)",
    )
