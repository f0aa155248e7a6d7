"""What jobs have cost, held against the documents that reports add up."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any


def unequal_costs(
    jobs: Iterable[Mapping[str, Any]], costs: Iterable[Mapping[str, Any]]
) -> list[str]:
    """
    What differs, if anything does: each job with results has one document with its
    cost, or without one if it isn't known. A split job has its parts' documents.

    Args:
        jobs: with the fields of a job's document, parts and split jobs too.
    """
    jobs, costs = list(jobs), list(costs)
    wrong = [
        f"{n} documents of what {job} has cost"
        for job, n in Counter(one["job"] for one in costs).items()
        if n != 1
    ]
    parts = [one for one in jobs if one["results"] and not one["parts"]]
    wrong += _unequal({one["id"]: _micros(one) for one in parts}, costs)
    for whole in jobs:
        if whole["results"] and whole["parts"] and whole["cost"]:
            of_parts = [one for one in costs if one["part_of"] == whole["id"]]
            if (total := sum(one["micros"] for one in of_parts)) != _micros(whole):
                wrong.append(f"{whole['id']} cost {_micros(whole)}, its parts {total}")
    return wrong


def _unequal(
    expected: Mapping[str, int | None], costs: Iterable[Mapping[str, Any]]
) -> list[str]:
    found = {one["job"]: one["micros"] for one in costs}
    wrong = [
        f"{job} cost {expected.get(job)}, and its document has {found.get(job)}"
        for job in expected.keys() | found.keys()
        if (job in expected, expected.get(job)) != (job in found, found.get(job))
    ]
    before, after = (
        sum(micros or 0 for micros in each.values()) for each in (expected, found)
    )
    if before != after:
        wrong.append(f"jobs cost {before:,} millionths, and the documents {after:,}")
    return wrong


def _micros(job: Mapping[str, Any]) -> int | None:
    return job["cost"]["micros"] if job["cost"] else None
