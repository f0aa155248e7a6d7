"""Reads the filters of a report on costs from what people write."""

import re
from contextlib import suppress
from datetime import date, timedelta

#: A label's key, as Google Cloud takes it.
_KEY = re.compile(r"[\w-]{1,63}")


def since_of(text: str, today: date) -> date:
    """
    Reads `30d`, days back from today, or a day such as 2026-03-01.

    Raises:
        ValueError: it is neither; says what to write.
    """
    if match := re.fullmatch(r"([0-9]{1,4})d", text):
        return today - timedelta(days=int(match[1]))
    with suppress(ValueError):
        return date.fromisoformat(text)
    raise ValueError("write days, such as 30d, or a day, such as 2026-03-01")


def by_of(text: str) -> str:
    """
    Reads what to group by.

    Raises:
        ValueError: says what to write.
    """
    key = text.removeprefix("label:")
    if text in ("day", "model", "route") or (key != text and _KEY.fullmatch(key)):
        return text
    raise ValueError("write day, model, route or label:KEY")


def label_of(text: str) -> str:
    """
    Reads a label that jobs have.

    Raises:
        ValueError: says what to write.
    """
    if "=" not in text:
        raise ValueError("write KEY=TEXT, such as team=search")
    return text
