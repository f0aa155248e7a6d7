"""What jobs have cost over time and in groups, in a bounded number of reads."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice

from batchdrop.ledger.cost_report import Group, Part, Selection
from batchdrop.worker.stages import AT_ONCE

#: Of documents: an aggregation counts as one for each thousand that it adds up. Others
#: are left for the ceilings, the clock, and whose ledger it is.
MAX_READS = 56
#: Questions about spans of time; the rest is for groups.
MAX_BARS = 31
#: A price list has one currency. There are more if it was changed.
MAX_CURRENCIES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Days that one bar stands for."""

    since: date
    until: date


@dataclass(frozen=True, slots=True, kw_only=True)
class CostsSeen:
    """What a page shows of costs."""

    since: date
    until: date
    by: str
    label: str | None
    total: Group
    #: Those in the total, in the order of their names.
    currencies: list[str]
    other_currencies: bool  #: whether there are more, which are in no sum here
    unit: str  #: what a span is: day, week, month or year
    #: Spans without a cost too; none if no cost is known. A group of these has batches
    #: whose costs are known, and no others.
    spans: list[tuple[Span, Group]]
    #: Those with a batch in these days. `by` "day" has none: see `spans`.
    groups: list[Group]
    more: str | None  #: the last name that was looked at, if there are names behind it


def costs_seen(asked: Selection, by: str, after: str | None = None) -> CostsSeen:
    """
    Adds up what jobs have cost, by time and in groups.

    Args:
        by: "day", "model", "route", or "label:" and a label's key.
        after: leaves out the groups up to this name.

    Raises:
        ValueError: groups of labels can't be of one label.
        Unavailable: Firestore gave no answer.
    """
    asked.check(by)
    first = next(asked.names("day"), None)
    seen: list[str] = []
    if first:
        seen = list(islice(asked.currencies(), MAX_CURRENCIES + 2))
    known = [currency for currency in seen if currency][:MAX_CURRENCIES]
    total, parts = asked.total([*known, *([""] if "" in seen else [])])
    left = MAX_READS - 1 - (len(seen) + 1) - (2 * len(known) + 1)

    parts = _joined(parts)
    of_spans = [part for part in parts if part.currency]
    unit, spans = "day", list[Span]()
    if of_spans:
        most = MAX_BARS // len(of_spans)
        unit, spans = spans_of(asked.since, asked.until, most)
        left -= len(spans) * len(of_spans)
    # A name costs a read, and so does each part of its sum.
    most = max(1, (left - 1) // (1 + len(parts)))
    has_names = bool(parts) and by != "day"

    def of_span(span: Span) -> Group:
        days = asked.days(span.since, span.until)
        there = of_spans if first and f"{span.until}" >= first else []
        return days.group("day", "", there)

    def of_name(name: str) -> Group:
        return asked.group(by, name, parts)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        looked_up = pool.submit(
            lambda: list(islice(asked.names(by, after), most + 1)) if has_names else []
        )
        of_spans_found = list(pool.map(of_span, spans))
        names = looked_up.result()
        groups = list(pool.map(of_name, names[:most]))

    return CostsSeen(
        since=asked.since,
        until=asked.until,
        by=by,
        label=asked.label,
        total=total,
        currencies=[*total.amounts],
        other_currencies=len([each for each in seen if each]) > MAX_CURRENCIES,
        unit=unit,
        spans=list(zip(spans, of_spans_found, strict=True)),
        groups=[each for each in groups if each.batches],
        more=names[most - 1] if len(names) > most else None,
    )


def ratio(group: Group) -> str:
    """Such as `0.91`, or one for each currency; empty if nothing can be compared."""
    found = [each.ratio for each in group.amounts.values() if each.ratio is not None]
    return ", ".join(f"{each:.2f}" for each in found)


def _joined(parts: Iterable[Part]) -> list[Part]:
    """
    One part for each currency. A question that adds up costs with and without an
    estimate can't compare them.
    """
    found: dict[str, Part] = {}
    for part in parts:
        is_second = part.currency in found
        found[part.currency] = (
            Part(currency=part.currency, compared=None) if is_second else part
        )
    return list(found.values())


def spans_of(since: date, until: date, most: int) -> tuple[str, list[Span]]:
    """
    Divides days into the shortest spans that are at most `most`: days, weeks from
    Monday on, months or years. The first and the last may be cut.

    Args:
        most: if there are more years than that, the last ones are taken.
    """
    for unit in ("day", "week", "month", "year"):
        first = _start(since, unit)
        spans = list(islice(_spans(first, until, unit), most + 1))
        if len(spans) <= most:
            break
    else:
        spans = list(_spans(first, until, unit))[-most:]
    return unit, [
        Span(since=max(since, each.since), until=min(until, each.until))
        for each in spans
    ]


def _spans(first: date, until: date, unit: str) -> Iterator[Span]:
    while first <= until:
        # A day in the next span, whatever its length.
        days = {"day": 1, "week": 7, "month": 31, "year": 366}[unit]
        after = _start(first + timedelta(days=days), unit)
        yield Span(since=first, until=after - timedelta(days=1))
        first = after


def _start(day: date, unit: str) -> date:
    """The first day of the span that has a day."""
    if unit == "week":
        return day - timedelta(days=day.weekday())
    if unit == "month":
        return day.replace(day=1)
    return day.replace(month=1, day=1) if unit == "year" else day
