"""
Makes users' texts and JSON legible: invisible characters are written as escapes,
binary data is replaced by its size, and numbers keep their digits.
"""

import json
import re
import unicodedata
from typing import Any

from markupsafe import Markup, escape

from batchdrop.dashboard.words import kilobytes
from batchdrop.views.text import shown

#: Characters of one text that a page shows.
MOST = 256 * 1024
#: Persian, Hindi and some emoji are written with these.
_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
_UNUSUAL = re.compile(r"[^ -~\n\t]")
#: Base64, of either alphabet, and in JSON with escaped slashes. A run is tried from its
#: first character alone: from each of them, 64 KB of shorter runs took seconds.
_DATA = re.compile(
    r"(?<![A-Za-z0-9+/_-])(?!(?<=\\)/)(?:[A-Za-z0-9+/_-]|\\/){1000,}+={0,2}"
)
#: Encoded data has all sorts of characters; a model that repeats itself has few.
_SORTS = 16
#: How far a value is indented at most.
_DEPTH = 20
#: Characters of a list that is written on one line.
_WIDTH = 72
_TOKEN = re.compile(
    r'"[^"\\]*(?:\\.[^"\\]*)*(?P<end>"|\\?\Z)|[\[\]{},:]|[^\s"\[\]{},:]+', re.DOTALL
)
_CLOSING = {"{": "}", "[": "]"}


class Number(str):
    """A number of JSON, as it is written."""

    __slots__ = ()


def legible(text: str) -> str:
    """
    A text with its line feeds, tabs, and spaces of all kinds. Other characters that are
    not seen, or that change the direction of others, are written as escapes.
    """
    return _UNUSUAL.sub(_legible, text.replace("\r\n", "\n"))


def _legible(found: re.Match[str]) -> str:
    each = found[0]
    is_text = each in _JOINERS or unicodedata.category(each) == "Zs"
    return each if is_text else shown(each)


def content(text: str) -> Markup:
    """For a template: a user's text, with its line feeds."""
    return escape(legible(text))


def without_data(text: str) -> str:
    """The text, with the sizes of what is encoded in it, such as pictures."""
    return _DATA.sub(_size, text)


def _size(found: re.Match[str]) -> str:
    data = found[0]
    if len(set(data[:1000])) < _SORTS:
        return data
    return f"[{size_of_data(data)} of data, not shown]"


def size_of_data(encoded: str) -> str:
    """How much a base64 text encodes, such as `1.2 MB`."""
    return kilobytes(len(encoded.replace("\\/", "/").rstrip("=")) * 3 // 4)


def value_of(data: bytes) -> Any:
    """
    The value of some JSON, which may be cut anywhere; numbers are `Number`s. None if it
    can't be read.
    """
    text = data.decode(errors="replace")
    for attempt in (str, _closed):
        try:
            return _decode(attempt(text))
        except ValueError:
            continue
        except RecursionError:
            return None
    return None


_decode = json.JSONDecoder(
    parse_int=Number, parse_float=Number, parse_constant=Number, strict=False
).decode


def _closed(text: str) -> str:
    """JSON that was cut, without what is not complete, and with its end."""
    open: list[str] = []
    good, before = 0, ""
    for found in _TOKEN.finditer(text):
        token = found[0]
        is_key = bool(open) and open[-1] == "}" and before != ":"
        if token in _CLOSING:
            open.append(_CLOSING[token])
            good = found.end()
        elif token in ("}", "]"):
            if not open or open.pop() != token:
                break
            good = found.end()
        elif token[0] == '"' and not is_key:
            if found["end"] != '"':
                # An escape may have been cut, also within a pair of surrogates.
                whole = re.sub(
                    r"(?<!\\)((?:\\\\)*)\\(?:u[0-9a-fA-F]{0,3})?\Z", r"\1", token
                )
                return text[: found.start()] + whole + '"' + "".join(reversed(open))
            good = found.end()
        elif token not in (",", ":") and not is_key and found.end() < len(text):
            good = found.end()
        before = token
    return text[:good] + "".join(reversed(open))


def pretty(value: Any) -> str:
    """
    A value as JSON over several lines. Numbers keep their digits, and data is replaced
    by its size.
    """
    try:
        return _written(value, 0)
    except RecursionError:
        return "[nested too deeply to be shown]"


def brief(value: Any) -> str:
    """A value as JSON on one line."""
    if isinstance(value, dict):
        pairs = (f"{_quoted(name)}: {brief(each)}" for name, each in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(brief, value)) + "]"
    return _scalar(value)


def plain(value: Any) -> str:
    """A text as it is, anything else as JSON on one line."""
    if isinstance(value, str):
        return without_data(value)
    try:
        return brief(value)
    except RecursionError:
        return "[nested too deeply to be shown]"


def _written(value: Any, depth: int) -> str:
    if not value or not isinstance(value, dict | list):
        return brief(value)
    if isinstance(value, list) and not any(
        isinstance(each, dict | list) for each in value
    ):
        line = brief(value)
        if len(line) <= _WIDTH or all(isinstance(each, Number) for each in value):
            return line  # a vector has hundreds of numbers
    pad = "\n" + "  " * min(depth + 1, _DEPTH)
    if isinstance(value, dict):
        items = [
            f"{_quoted(name)}: {_written(each, depth + 1)}"
            for name, each in value.items()
        ]
        return "{" + pad + f",{pad}".join(items) + pad[:-2] + "}"
    items = [_written(each, depth + 1) for each in value]
    return "[" + pad + f",{pad}".join(items) + pad[:-2] + "]"


def _scalar(value: Any) -> str:
    if isinstance(value, Number):
        return str(value)
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _quoted(text: str) -> str:
    return json.dumps(without_data(text), ensure_ascii=False)


def cut(text: str, most: int = MOST) -> str:
    """The first `most` characters of a text."""
    return text if len(text) <= most else f"{text[:most]}…"
