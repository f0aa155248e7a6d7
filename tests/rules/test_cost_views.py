"""How costs are divided over time, and how amounts and limits are written."""

from datetime import date, timedelta
from itertools import pairwise

import pytest

from batchdrop.dashboard.costs import money
from batchdrop.dashboard.limits import shown_limits
from batchdrop.views.cost_filters import since_of
from batchdrop.views.costs import spans_of
from batchdrop.views.limits import Limit

TODAY = date(2026, 3, 1)  # a Sunday


@pytest.mark.parametrize(
    ("back", "most", "unit", "count"),
    [
        (0, 31, "day", 1),
        (30, 31, "day", 31),
        (31, 31, "week", 5),
        (40, 31, "week", 6),
        (365, 31, "month", 13),
        (1830, 31, "year", 6),
        (30, 15, "week", 5),  # with a second currency
        (1830, 3, "year", 3),
    ],
)
def test_days_are_divided_into_the_shortest_spans_that_are_few(
    back: int, most: int, unit: str, count: int
) -> None:
    since = TODAY - timedelta(days=back)

    found, spans = spans_of(since, TODAY, most)

    assert (found, len(spans)) == (unit, count)
    assert spans[-1].until == TODAY
    for before, after in pairwise(spans):
        assert after.since - before.until == timedelta(days=1)
    if count * 366 > back:
        assert spans[0].since == since
    if unit == "week":
        assert all(each.since.weekday() == 0 for each in spans[1:])
    if unit == "month":
        assert all(each.since.day == 1 for each in spans[1:])


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "0"),
        (1, "0.000001"),
        (500_000, "0.50"),
        (2_000_000, "2"),
        (8_184_000, "8.184"),
        (20_000_000_000, "20,000"),
    ],
)
def test_an_amount_has_the_places_that_it_needs(micros: int, text: str) -> None:
    assert money(micros) == text


@pytest.mark.parametrize(
    ("what", "used", "limit", "name", "words", "kind"),
    [
        ("rows", 5, 10, "Rows", "5 of 10 rows used", "used"),
        ("rows", 8, 10, "Rows", "8 of 10 rows used; little is left", "near"),
        ("bytes", 7, None, "Bytes", "7 bytes used, without a limit", "used"),
        ("bytes", 0, 0, "Bytes", "0 of 0 bytes used; nothing is left", "full"),
        (
            *("cost of a*", 2_500_000, 2_000_000, "Cost of route a*"),
            *("2.50 of 2.00 EUR reserved; nothing is left", "full"),
        ),
    ],
)
def test_a_limit_is_a_bar_and_words(
    what: str, used: int, limit: int | None, name: str, words: str, kind: str
) -> None:
    (found,) = shown_limits([Limit(what=what, used=used, limit=limit)], "EUR")

    assert (found.name, found.words, found.kind) == (name, words, kind)
    assert 0 <= found.width <= 100


def test_days_back_are_read_from_today_on() -> None:
    assert since_of("1d", TODAY) == date(2026, 2, 28)
    assert since_of("2026-01-31", TODAY) == date(2026, 1, 31)
    for text in ("", "d", "-1d", "10000d", "2026-02-30", "1d\n"):
        with pytest.raises(ValueError, match="write days, such as 30d"):
            since_of(text, TODAY)
