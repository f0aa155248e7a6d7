"""Adds up what was collected of a split job's parts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from batchdrop.jobs.collecting import MAX_FAILURES
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Cost, Failure, Usage
from batchdrop.results import DoesNotAddUp
from batchdrop.rows import RowOutcome, Rows

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
                f"the parts have {counts[name]:,} rows ({name}), the file {read:,}"
            )
    used = [part.usage or Usage() for part in parts]
    return {
        "rows": Rows(**counts),
        "usage": Usage(
            **{
                each.name: sum(getattr(usage, each.name) for usage in used)
                for each in fields(Usage)
            }
        ),
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
    counts: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], str] = {}
    for part in parts:
        for each in part.failures:
            counts[each.code, each.message] += each.count
            examples.setdefault((each.code, each.message), each.example)
    return tuple(
        Failure(code=kind[0], message=kind[1], count=count, example=examples[kind])
        for kind, count in counts.most_common(MAX_FAILURES)
    )


def _cost(parts: Sequence[Job]) -> dict[str, Any]:
    """The sum of all costs, or why it can't be known: it is never a part of it."""
    costs: list[Cost] = []
    for part in parts:
        if part.cost is None:
            why = part.no_cost or "its cost was not kept"
            return {"no_cost": f"{_name(part, parts)}: {why}"}
        costs.append(part.cost)
    if len({each.currency for each in costs}) > 1:
        return {"no_cost": "the parts' costs are in several currencies"}
    # A new price list may have come while the parts were collected.
    oldest = min(each.prices_as_of for each in costs)
    return {
        "cost": Cost(
            micros=sum(each.micros for each in costs),
            currency=costs[0].currency,
            prices_as_of=oldest,
        )
    }


def _first(parts: Sequence[Job], fact: str) -> str | None:
    """A fact of the first part that has it, and how many others do."""
    found = [part for part in parts if getattr(part, fact)]
    if not found:
        return None
    message = f"{_name(found[0], parts)}: {getattr(found[0], fact).message}"
    others = len(found) - 1
    return f"{message} (and {others:,} other parts)" if others else message


def _name(part: Job, parts: Sequence[Job]) -> str:
    assert part.part is not None
    return f"part {part.part.n + 1} of {len(parts)}, job {part.id}"
