"""What a job says of a round that is ill, and of rows that don't go again."""

from dataclasses import replace
from typing import Any

import pytest

from batchdrop.jobs.codes import HealthCode, Outcome, SkipCode, WaitCode
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Cost, Duplicates, Estimate, Fact, Round, Usage
from batchdrop.rows import Rows, Tokens
from batchdrop.worker.retry_rows import _spent_by
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
        "round 1, of 2 rows, is waiting (ceiling)",
    )


def test_a_round_whose_cost_is_not_known_counts_as_it_was_estimated(
    clock: Clock,
) -> None:
    def round(n: int, rows: int, **known: Any) -> Round:
        return Round(n=n, job=f"job-{n}", rows=rows, **known)

    def money(micros: int) -> Cost:
        return Cost(micros=micros, currency="USD", prices_as_of="2026-01-01")

    lost = round(1, 5, outcome=Outcome.LOST, usage=Usage())
    rejected = round(2, 10, outcome=Outcome.REJECTED)
    own = round(0, 10, outcome=Outcome.SUCCEEDED, usage=Usage(), cost=money(90))
    estimate = Estimate(tokens=Tokens(), cost=money(100))
    job = replace(ended(clock), estimate=estimate, no_cost="a round is lost")

    rounds = (own, lost, rejected, round(3, 2))
    job = replace(job, rounds=rounds)

    assert _spent_by(job, now_too=False) == 90 + 50
    assert _spent_by(job, now_too=True) == 90 + 50 + 20
    assert _spent_by(replace(job, rounds=()), now_too=True) == 100
