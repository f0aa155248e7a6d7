"""Adds up what was collected of a split job's parts."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Cost, Failure, Skipped, Usage
from batchdrop.results import DoesNotAddUp
from batchdrop.results.failures import Failures
from batchdrop.rows import RowOutcome, Rows, counted

#: The counts of rows that a split job has already, of when its file was read.
_READ = ("total", "accepted", "refused")


def added_up(job: Job, parts: Sequence[Job]) -> dict[str, Any]:
    """
    The arguments of `Job.collected` that follow from the parts, but for `results`.

    Args:
        job: the split job.
        parts: its parts in their order, all of them collected.

    Raises:
        DoesNotAddUp: the parts don't have all lines of the file, each once.
    """
    counts = {
        name: sum(getattr(part.rows, name) or 0 for part in parts)
        for name in (*_READ, *_collected(parts))
    }
    for name in _READ:
        if counts[name] != (read := getattr(job.rows, name)):
            raise DoesNotAddUp(
                f"the parts have {counted(counts[name], 'row')} ({name}), "
                f"the file {read:,}"
            )
    return {
        "rows": Rows(**counts),
        "usage": sum_of_usage(part.usage for part in parts),
        "failures": _failures(parts),
        "strangers": sum(part.strangers for part in parts),
        "superseded": sum(part.superseded for part in parts),
        "same_rows": sum(part.same_rows for part in parts),
        "answers_short": _first(parts, "answers_short"),
        "columns_lost": _first(parts, "columns_lost"),
        **_cost(parts),
    }


def _collected(parts: Sequence[Job]) -> list[str]:
    """The outcomes that the parts count."""
    found = {each for part in parts for each in part.rows.outcomes}
    return [each.value for each in RowOutcome if each in found]


def _failures(parts: Sequence[Job]) -> tuple[Failure, ...]:
    """
    The most frequent errors. Of a part that has more kinds than a document keeps, the
    rare ones are not counted.
    """
    found = Failures()
    for part in parts:
        found.include(part.failures)
    return found.most_frequent()


def _cost(parts: Sequence[Job]) -> dict[str, Any]:
    return sum_of_costs(
        "parts", [(name_of(part, parts), part.cost, part.no_cost) for part in parts]
    )


def sum_of_costs(
    what: str, several: Sequence[tuple[str, Cost | None, str | None]]
) -> dict[str, Any]:
    """
    The sum of all costs, or why it can't be known: it is never a part of it.

    Args:
        what: what has these costs, such as "parts".
        several: of each its name, its cost, and why that isn't known.
    """
    costs: list[Cost] = []
    for name, cost, no_cost in several:
        if cost is None:
            return {"no_cost": f"{name}: {no_cost or 'its cost was not kept'}"}
        costs.append(cost)
    if len({each.currency for each in costs}) > 1:
        return {"no_cost": f"the {what}' costs are in several currencies"}
    # A new price list may have come while they were collected.
    oldest = min(each.prices_as_of for each in costs)
    return {
        "cost": Cost(
            micros=sum(each.micros for each in costs),
            currency=costs[0].currency,
            prices_as_of=oldest,
        )
    }


def sum_of_usage(several: Iterable[Usage | None]) -> Usage:
    """The sum of tokens; None stands for none."""
    found = [each or Usage() for each in several]
    return Usage(
        **{
            each.name: sum(getattr(usage, each.name) for usage in found)
            for each in fields(Usage)
        }
    )


def _first(parts: Sequence[Job], fact: str) -> str | None:
    """A fact of the first part that has it, and how many others do."""
    found = [part for part in parts if getattr(part, fact)]
    if not found:
        return None
    message = f"{name_of(found[0], parts)}: {getattr(found[0], fact).message}"
    others = len(found) - 1
    return f"{message} (and {counted(others, 'other part')})" if others else message


def skipped_of(parts: Sequence[Job]) -> Skipped | None:
    """Why rows of the first part that says so did not go again, and of how many."""
    message = _first(parts, "skipped")
    code = next((part.skipped.code for part in parts if part.skipped), None)
    return Skipped(code=code, message=message) if code and message else None


def name_of(part: Job, parts: Sequence[Job]) -> str:
    """A part in words."""
    assert part.part is not None
    return f"part {part.part.n + 1} of {len(parts)}, job {part.id}"
