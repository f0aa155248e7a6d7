"""Adds up what was collected of a job's rounds."""

from typing import Any

from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Fact
from batchdrop.results import DoesNotAddUp
from batchdrop.results.totals import Totals
from batchdrop.rows import RowOutcome, counted
from batchdrop.worker.part_sums import sum_of_costs, sum_of_usage


def counts_of(job: Job) -> dict[str, Any]:
    """The arguments of `Job.collected` that say what its document says already."""
    return {
        "rows": job.rows,
        "usage": sum_of_usage([job.usage]),
        "cost": job.cost,
        "no_cost": job.no_cost,
        "failures": job.failures,
        "strangers": job.strangers,
        "superseded": job.superseded,
        "same_rows": job.same_rows,
        "answers_short": _message(job.answers_short),
        "columns_lost": _message(job.columns_lost),
    }


def without_round(job: Job, sent: Job) -> dict[str, Any]:
    """The same once a round has left no answers, which may have been paid."""
    made = counts_of(job)
    if sent.phase is not Phase.ENDED:
        return made
    usage = sum_of_usage([job.usage, sent.usage])
    return made | {"usage": usage, "cost": None, **_costs(job, sent)}


def with_round(job: Job, sent: Job, totals: Totals) -> dict[str, Any]:
    """
    The arguments of `Job.collected`, but for `results`, once a round is joined to the
    results before it.

    Args:
        job: the job whose rows went again.
        sent: the round's job.
        totals: of all results.

    Raises:
        DoesNotAddUp: they are not one for each line of the file.
    """
    refused = totals.outcomes.get(RowOutcome.REFUSED, 0)
    if (totals.lines, refused) != (job.rows.total, job.rows.refused):
        raise DoesNotAddUp(
            f"{counted(totals.lines, 'result')}, {refused:,} of refused lines, for "
            f"{counted(job.rows.total, 'line')}, {job.rows.refused:,} refused"
        )
    about = _about(sent)
    return {
        "rows": totals.rows(totals.lines - refused),
        "usage": sum_of_usage([job.usage, sent.usage]),
        "failures": totals.most_frequent,
        "strangers": job.strangers + sent.strangers,
        "superseded": job.superseded + sent.superseded,
        # Rows of the round are among those of its job, which counts them already.
        "same_rows": max(job.same_rows, sent.same_rows),
        "answers_short": _either(about, job.answers_short, sent.answers_short),
        "columns_lost": _either(about, job.columns_lost, sent.columns_lost),
        **_costs(job, sent),
    }


def _about(sent: Job) -> str:
    return f"round {sent.round}, job {sent.id}"


def _costs(job: Job, sent: Job) -> dict[str, Any]:
    costs = [
        ("the rounds before", job.cost, job.no_cost),
        (_about(sent), sent.cost, sent.no_cost),
    ]
    return sum_of_costs("rounds", costs)


def _message(fact: Fact | None) -> str | None:
    return fact.message if fact else None


def _either(about: str, had: Fact | None, new: Fact | None) -> str | None:
    """What is wrong with the results before, or else with the round's."""
    if had is None and new is not None:
        return f"{about}: {new.message}"
    return _message(had)
