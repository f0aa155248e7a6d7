"""Collects as jobs with more answers than fit into memory do: slices, then ranges."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import TypeVar

import msgspec
import pytest

from batchdrop.pricing import Bill, Prices, Tokens
from batchdrop.results import Answers, Questions, ranges, slices
from batchdrop.results.totals import Totals
from tests.results.made import Collected, opened

Value = TypeVar("Value")


def bill() -> Bill:
    return Bill(
        Prices.load(),
        model="gemini-3.8-flash",
        backend="vertex",
        location="global",
        day=date(2026, 11, 28),
    )


@contextmanager
def steps_of(slice: int, range: int, *, read: int = 50) -> Iterator[None]:
    """Lets slices and ranges have so many bytes, and runs be read in small pieces."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("batchdrop.results.slices.SLICE", slice)
        patch.setattr("batchdrop.results.slices._PIECE", read)
        patch.setattr("batchdrop.results.ranges.RANGE", range)
        patch.setattr("batchdrop.results.runs.EVERY", read)
        yield


def collect_sorted(
    questions: Questions,
    *answers: Answers,
    full: bool = False,
    round: int = 0,
    total: Bill | None = None,
) -> Collected:
    """
    Collects slice by slice and range by range. Whatever one step hands to the next is
    written as JSON and read again.
    """
    runs: list[slices.Run] = []
    data: list[bytes] = []
    strangers, results = bytearray(), bytearray()
    taken = b""
    for k in range(slices.count(answers)):
        run = bytearray()
        found = slices.sort(
            questions,
            answers,
            k,
            write=run.extend,
            write_stranger=strangers.extend,
            marks=lambda: slices.marks(questions),
            before=runs[-1] if runs else None,
            taken=taken,
        )
        taken = found.taken
        runs.append(again(found.run))
        data.append(bytes(run))
        assert found.run.size == len(run)
    plan = again(ranges.plan(questions, runs), list[ranges.Range])
    segments: list[ranges.Segment] = []
    for j in range(len(plan)):
        part = bill()
        segment = ranges.merge(
            questions,
            answers,
            plan,
            j,
            [opened(run) for run in data],
            write=results.extend,
            write_stranger=strangers.extend,
            since=segments[-1].reached if segments else None,
            full=full,
            round=round,
            bill=part,
        )
        segments.append(again(segment))
        if total is not None:
            total.include(again(part.tokens(), Tokens))
    totals = [run.totals for run in runs] + [each.totals for each in segments]
    return Collected(
        bytes(results),
        [json.loads(line) for line in strangers.splitlines()],
        Totals.of(totals).summary(questions),
    )


def again(value: Value, type: Callable[..., Value] | None = None) -> Value:
    """The value, written as JSON and read again."""
    text = msgspec.json.encode(value)
    found: Value = msgspec.json.decode(text, type=type or value.__class__)
    return found
