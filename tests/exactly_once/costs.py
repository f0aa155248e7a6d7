"""What jobs have cost, held against the documents that reports add up."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any


def unequal_costs(
    jobs: Iterable[Mapping[str, Any]], costs: Iterable[Mapping[str, Any]]
) -> list[str]:
    """
    What differs, if anything does: each job with results has one document with its
    cost, or without one if it isn't known, and each round in which rows of it went
    again has another. A job costs what its rounds do, a split job what its parts do.

    Args:
        jobs: with the fields of a job's document: parts, split jobs and rounds too.
    """
    jobs, costs = list(jobs), list(costs)
    often = Counter((one["job"], one["round"]) for one in costs)
    wrong = [
        f"{n} documents of what {job} has cost{_in_round(round)}"
        for (job, round), n in often.items()
        if n != 1
    ]
    sent = [one for one in jobs if one["results"] and not one["parts"]]
    expected = {(one["retry_of"] or one["id"], one["round"]): _own(one) for one in sent}
    wrong += _unequal(expected, costs)
    for whole in jobs:
        if not whole["results"] or whole["retry_of"] or not whole["cost"]:
            continue
        ids = {*whole["parts"]} or {whole["id"]}
        total = sum(one["micros"] or 0 for one in costs if one["job"] in ids)
        if total != _micros(whole["cost"]):
            what = "parts" if whole["parts"] else "rounds"
            wrong.append(
                f"{whole['id']} cost {_micros(whole['cost'])}, its {what} {total}"
            )
    return wrong


def _unequal(
    expected: Mapping[tuple[str, int], int | None], costs: Iterable[Mapping[str, Any]]
) -> list[str]:
    found = {(one["job"], one["round"]): one["micros"] for one in costs}
    wrong = [
        f"{job} cost {expected.get((job, n))}{_in_round(n)}, and its document has "
        f"{found.get((job, n))}"
        for job, n in expected.keys() | found.keys()
        if ((job, n) in expected, expected.get((job, n)))
        != ((job, n) in found, found.get((job, n)))
    ]
    before, after = (
        sum(micros or 0 for micros in each.values()) for each in (expected, found)
    )
    if before != after:
        wrong.append(f"jobs cost {before:,} millionths, and the documents {after:,}")
    return wrong


def _own(job: Mapping[str, Any]) -> int | None:
    """What a job's own batch has cost, without those of rounds."""
    return _micros(job["rounds"][0]["cost"] if job["rounds"] else job["cost"])


def _micros(cost: Mapping[str, Any] | None) -> int | None:
    return cost["micros"] if cost else None


def _in_round(n: int) -> str:
    return f" in round {n}" if n else ""
