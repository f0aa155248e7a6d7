"""
Computes positions and sizes of shapes from values; `charts.html` draws them.

Horizontal lengths are hundredths of a chart's width, so that a chart fills the page's
width while its texts keep their size; vertical lengths are pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

#: What is not zero can be seen.
LEAST_WIDTH, LEAST_HEIGHT = 0.6, 2.0
#: Room between two columns, of the place that each has.
GAP = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A part of a stacked bar."""

    name: str
    value: int
    x: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A value over time."""

    place: float  #: how wide its place is, of which it leaves some free
    middle: float
    x: float
    width: float
    y: float  #: of its top
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A round value, and how far down its line is."""

    value: int
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """The name of a column."""

    index: int
    middle: float
    is_minor: bool  #: left out where there is little room


def stacked(values: Sequence[tuple[str, int]], total: int = 0) -> list[Segment]:
    """
    One bar from values, in their order; zeros have no part in it.

    Args:
        total: what the whole width stands for, if that is more than their sum.
    """
    shown = [(name, value) for name, value in values if value > 0]
    whole = max(total, sum(value for _, value in shown))
    widths = [max(LEAST_WIDTH, 100 * value / whole) for _, value in shown]
    if (over := sum(widths) - 100) > 0:
        # The wide ones give to those that are too narrow to be seen.
        room = sum(width - LEAST_WIDTH for width in widths)
        widths = [
            width - (over * (width - LEAST_WIDTH) / room if room else 0)
            for width in widths
        ]
    found: list[Segment] = []
    x = 0.0
    for (name, value), width in zip(shown, widths, strict=True):
        found.append(
            Segment(name=name, value=value, x=round(x, 3), width=round(width, 3))
        )
        x += width
    return found


def ticks(most: int, height: float, about: int = 4) -> list[Tick]:
    """
    Round values from 0 to one that is not below `most`, at equal distances: each is 1,
    2 or 5 times a power of ten more than the one before.

    Args:
        height: of the chart, whose top is the last tick.
        about: how many steps there are, or fewer.
    """
    step = _round_up(ceil(max(most, 1) / about))
    steps = ceil(max(most, 1) / step)
    return [
        Tick(value=n * step, y=round(height * (1 - n / steps), 2))
        for n in range(steps + 1)
    ]


def _round_up(value: int) -> int:
    """The next of 1, 2, 5, 10, 20, 50 and so on."""
    power = int(10 ** (len(str(value)) - 1))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value)


def columns(values: Sequence[int], top: int, height: float) -> list[Column]:
    """
    A column for each value, side by side; a zero has the height 0.

    Args:
        top: the value that is as high as the chart.
    """
    place = 100 / max(1, len(values))
    width = min(place * (1 - GAP), 8.0)
    found: list[Column] = []
    for n, value in enumerate(values):
        middle = (n + 0.5) * place
        high = max(LEAST_HEIGHT, height * value / top) if value > 0 else 0.0
        found.append(
            Column(
                place=round(place, 3),
                middle=round(middle, 3),
                x=round(middle - width / 2, 3),
                width=round(width, 3),
                y=round(height - high, 2),
                height=round(high, 2),
            )
        )
    return found


def labels(count: int, most: int = 10) -> list[Label]:
    """
    Which of the columns have a label, at most `most`, and half of these where there is
    little room. The last column always has one.
    """
    if not count:
        return []
    step = ceil(count / most)
    chosen = range(count - 1, -1, -step)
    few = len(chosen) <= most / 2
    return [
        Label(
            index=index,
            middle=round((index + 0.5) * 100 / count, 3),
            is_minor=not few and n % 2 == 1,
        )
        for n, index in enumerate(chosen)
    ][::-1]
