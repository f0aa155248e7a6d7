"""Finds and shows the place of a row error in a line's text."""

import json
import re

from batchdrop.rows import RowError

_values = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")


def excerpt(text: str, row_error: RowError, width: int = 72) -> tuple[str, int, int]:
    """
    A piece of a line's text around what is wrong, with the start and end of that in the
    piece. Characters that would move a cursor are shown as dots.
    """
    start, end = span(text, row_error)
    end = min(end, start + width - 8)
    left = max(0, min(start - 24, len(text) - width))
    piece = text[left : left + width]
    shown = "".join(c if c.isprintable() else "·" for c in piece)
    before, after = "…" * (left > 0), "…" * (left + width < len(text))
    at = len(before) - left
    return f"{before}{shown}{after}", start + at, max(end, start + 1) + at


def span(text: str, row_error: RowError) -> tuple[int, int]:
    """The start and end of the bad value; those of the text if it isn't found."""
    if column := re.search(r"column (\d+)", row_error.message):
        start = max(0, min(int(column[1]), len(text)) - 1)
        return start, start + 1
    if not row_error.path:
        return 0, len(text)
    try:
        return _find(text, _start(text, 0), row_error.path)
    except (json.JSONDecodeError, LookupError, RecursionError, ValueError):
        return 0, len(text)


def _find(text: str, at: int, path: str) -> tuple[int, int]:
    if not path:
        return at, _values.raw_decode(text, at)[1]
    if index := re.match(r"\[(\d+)\]\.?", path):
        return _find(text, _item(text, at, int(index[1])), path[index.end() :])
    for name, start in reversed(_members(text, at)):
        # A name may have dots and brackets itself.
        rest = path.removeprefix(name)
        if path.startswith(name) and (not rest or rest[0] in ".["):
            return _find(text, start, rest.removeprefix("."))
    raise LookupError(path)


def _members(text: str, at: int) -> list[tuple[str, int]]:
    """The members of the object that starts at `at`, with the start of each value."""
    if text[at] != "{":
        raise LookupError
    found = []
    at = _start(text, at + 1)
    while text[at] == '"':
        name, at = _values.raw_decode(text, at)
        at = _start(text, _start(text, at) + 1)
        found.append((name, at))
        at = _start(text, _values.raw_decode(text, at)[1])
        if text[at] != ",":
            break
        at = _start(text, at + 1)
    return found


def _item(text: str, at: int, index: int) -> int:
    if text[at] != "[":
        raise LookupError
    at = _start(text, at + 1)
    for _ in range(index):
        at = _start(text, _values.raw_decode(text, at)[1])
        at = _start(text, at + 1)
    return at


def _start(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at
