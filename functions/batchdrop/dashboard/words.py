"""Numbers, times and amounts as text, for the pages."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from markupsafe import Markup, escape

from batchdrop.dashboard.asked import asked
from batchdrop.jobs.values import amount_in_words
from batchdrop.rows import counted
from batchdrop.views.text import parts_of_name, shown
from batchdrop.views.words import age

#: What stands for a value that isn't known.
UNKNOWN = "\N{EN DASH}"


def output(value: Any) -> Any:
    """
    What a template writes for a value: texts as they may be shown. Jinja escapes the
    result, except Markup, which is written as it is.
    """
    if isinstance(value, str) and not isinstance(value, Markup):
        return shown(value)
    return value


def lines(text: str) -> Markup:
    """A text of several lines, for a `<pre>`; each line as it may be shown."""
    return escape(
        "\n".join("\t".join(map(shown, line.split("\t"))) for line in text.split("\n"))
    )


def code(text: str) -> Markup:
    """A sentence of ours with what is between `backticks` as code."""
    parts = shown(text).split("`")
    if len(parts) % 2 == 0:  # one without its end is no code
        return escape(shown(text))
    marked = ("<code>{}</code>" if n % 2 else "{}" for n in range(len(parts)))
    return Markup("").join(
        Markup(mark).format(part) for mark, part in zip(marked, parts, strict=True)
    )


def number(value: int | None) -> str:
    """Such as `1,000`; a dash if it isn't known."""
    return UNKNOWN if value is None else f"{value:,}"


def exact(at: datetime) -> str:
    """Such as `2026-03-01 12:00:00 UTC`."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def ago(at: datetime | None) -> Markup | str:
    """How long ago, or in how long, with the exact time on hover."""
    if at is None:
        return UNKNOWN
    passed = asked().now - at
    text = f"{age(passed)} ago" if passed.total_seconds() >= 0 else f"in {age(-passed)}"
    return Markup('<time datetime="{}" title="{}" data-ago>{}</time>').format(
        at.isoformat(), exact(at), text
    )


def took(passed: timedelta) -> str:
    """Such as `7 min 12 s` or `2 d 3 h`: two units at most."""
    seconds = max(0, int(passed.total_seconds()))
    if seconds < 1:
        return "under 1 s"
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    found: list[tuple[int, str]] = []
    for unit, size in units:
        if (count := seconds // size) or found:
            found.append((count, unit))
        seconds %= size
    return " ".join(f"{count} {unit}" for count, unit in found[:2] if count)


def share(count: int, total: int) -> str:
    """Such as `97.4 %`. What is not all is never 100 %, and what is some never 0 %."""
    if not total or count in (0, total):
        return "100 %" if count and count == total else "0 %"
    percent = 100 * count / total
    if percent < 0.1:
        return "< 0.1 %"
    return f"{percent:.1f} %" if percent < 99.95 else "> 99.9 %"


def kilobytes(value: int) -> str:
    """Such as `1.2 MB`."""
    size = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return (
        f"{size:,.0f} {unit}" if unit == "B" or size >= 100 else f"{size:,.1f} {unit}"
    )


#: What templates may write behind a `|`.
FILTERS: dict[str, Callable[..., Any]] = {
    "number": number,
    "counted": counted,
    "exact": exact,
    "ago": ago,
    "lines": lines,
    "code": code,
    "parts_of_name": parts_of_name,
    "took": took,
    "share": share,
    "micros": amount_in_words,
    "size": kilobytes,
}
