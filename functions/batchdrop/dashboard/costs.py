"""`/costs`: what jobs have cost, over time and in groups, and today's ceilings."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import TypeVar
from urllib.parse import urlencode

import flask

from batchdrop.dashboard import charts
from batchdrop.dashboard.asked import Asked, asked
from batchdrop.dashboard.limits import LimitShown, shown_limits
from batchdrop.ledger.cost_report import Amount, Group, Selection, key_of
from batchdrop.views.cost_filters import by_of, label_of, since_of
from batchdrop.views.costs import CostsSeen, Span, costs_seen, ratio
from batchdrop.views.limits import ceilings

T = TypeVar("T")

pages = flask.Blueprint("costs", __name__)
#: What an address may ask for is no longer, in bytes: Firestore compares no more.
#: https://cloud.google.com/firestore/quotas, "Maximum size of an indexed field value"
MAX_TEXT = 1500
#: What costs are kept for is 400 days, unless a deployment chooses another time.
MAX_DAYS = 1830
SINCE, BY = "30d", "model"
SPANS = {"7d": "7 days", "14d": "14 days", "30d": "30 days"}
SPANS |= {"90d": "90 days", "365d": "a year"}
#: Pixels of a chart's columns.
HEIGHT = 180
MONTHS = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What the address asks for."""

    since: str = SINCE
    by: str = BY
    label: str = ""
    after: str | None = None  #: the last group of the page before

    def with_(self, **changes: str) -> str:
        """The address with other filters, from the first group on."""
        chosen = {"since": self.since, "by": self.by, "label": self.label, **changes}
        left_out = {"since": SINCE, "by": BY, "label": ""}
        members = {
            name: text for name, text in chosen.items() if text != left_out.get(name)
        }
        return f"/costs?{urlencode(members)}" if members else "/costs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """The columns of one currency."""

    currency: str
    words: str  #: the whole of it, aloud
    ticks: list[tuple[charts.Tick, str]]
    columns: list[tuple[charts.Column, str]]
    labels: list[tuple[charts.Label, str]]


@pages.get("/costs")
def costs() -> str:
    here = asked()
    filters = _filters()
    today = here.now.date()
    since = _since(filters, today)
    by = _read("by", filters.by, by_of)
    label = _read("label", filters.label, label_of) if filters.label else None
    if key_of(by) and label:
        flask.abort(400, "Write either by=label:KEY or label=KEY=TEXT, not both.")
    selection = Selection(costs=here.ledger, since=since, until=today, label=label)
    seen = costs_seen(selection, by, filters.after)
    return flask.render_template(
        "costs.html",
        asked=here,
        seen=seen,
        filters=filters,
        spans=SPANS,
        groupings=_groupings(here, by, label),
        key=key_of(by),
        charts=[_chart(seen, currency) for currency in seen.currencies],
        span_name=span_name,
        highest=_highest(seen),
        ratio=ratio,
        jobs_of_route=lambda route: f"/?{urlencode({'route': route})}",
        today=today,
        limits=_ceilings(here, today),
    )


def _filters() -> Filters:
    given = flask.request.args
    for name in ("since", "by", "label", "after"):
        if len(given.get(name, "").encode()) > MAX_TEXT:
            flask.abort(400, f"Write at most {MAX_TEXT:,} bytes for {name}.")
    return Filters(
        since=given.get("since", "").strip() or SINCE,
        by=given.get("by", "").strip() or BY,
        label=given.get("label", "").strip(),
        after=given.get("after"),
    )


def _since(filters: Filters, today: date) -> date:
    since = _read("since", filters.since, lambda text: since_of(text, today))
    if since > today:
        flask.abort(400, f"since={filters.since}: write a day until today, {today}.")
    if (today - since).days > MAX_DAYS:
        flask.abort(400, f"since={filters.since}: write at most {MAX_DAYS}d.")
    return since


def _read(name: str, text: str, read: Callable[[str], T]) -> T:
    try:
        return read(text)
    except ValueError as exc:
        flask.abort(400, f"{name}={text}: {exc}.")


def _groupings(here: Asked, by: str, label: str | None) -> list[tuple[str, str]]:
    """What groups can be made by, and their names; labels are those of the settings."""
    found = [("model", "Model"), ("route", "Route"), ("day", "Day")]
    keys = [*here.settings.labels]
    for route in here.wiring.routes().routes:
        keys += route.choices.get("labels", ())
    if key_of(by):
        keys.append(key_of(by))
    if label is None:
        found += [(f"label:{key}", key) for key in dict.fromkeys(keys)]
    return found


def _ceilings(here: Asked, today: date) -> list[LimitShown]:
    found = list(ceilings(here.wiring, f"{today}"))
    return shown_limits(found, here.wiring.prices().currency) if found else []


def _chart(seen: CostsSeen, currency: str) -> Chart:
    micros = [_micros(group, currency) for _, group in seen.spans]
    names = [span_name(seen.unit, span) for span, _ in seen.spans]
    ticks = charts.ticks(max(micros), HEIGHT)
    columns = charts.columns(micros, ticks[-1].value, HEIGHT)
    most = micros.index(max(micros))
    return Chart(
        currency=currency,
        words=f"Cost in {currency} by {seen.unit}, from {seen.since} to {seen.until}; "
        f"the highest is {money(micros[most])}, {names[most]}. "
        "A table has each of them.",
        ticks=[(tick, money(tick.value)) for tick in ticks],
        columns=[
            (column, f"{name}: {money(value)} {currency}")
            for column, name, value in zip(columns, names, micros, strict=True)
        ],
        labels=[
            (label, short_name(seen.unit, seen.spans[label.index][0]))
            for label in charts.labels(len(micros))
        ],
    )


def _micros(group: Group, currency: str) -> int:
    return group.amounts.get(currency, Amount()).micros


def _highest(seen: CostsSeen) -> dict[str, int]:
    """By currency, what the group costs that costs the most."""
    return {
        currency: max((_micros(group, currency) for group in seen.groups), default=0)
        for currency in seen.currencies
    }


def money(micros: int) -> str:
    """An amount with as many places as it needs, two at least if it has any."""
    whole, part = divmod(micros, 1_000_000)
    places = f"{part:06}".rstrip("0")
    return f"{whole:,}.{places:0<2}" if places else f"{whole:,}"


def span_name(unit: str, span: Span) -> str:
    """Such as `2026-11-29`, or the days of a longer span."""
    if unit == "day":
        return f"{span.since}"
    return f"{span.since} to {span.until}"


def short_name(unit: str, span: Span) -> str:
    """Such as `29 Nov`, for the place below a column."""
    month = MONTHS[span.since.month - 1]
    if unit == "year":
        return f"{span.since.year}"
    return (
        f"{month} {span.since:%y}" if unit == "month" else f"{span.since.day} {month}"
    )
