"""Parses one line, or says why it isn't a JSON object."""

import codecs
import json
import math
import re
from typing import Any

import msgspec

from batchdrop.preflight.inspection import Inspection, Members
from batchdrop.preflight.lines import (
    LATIN,
    LINE_LIMIT,
    broken_at,
    looks_latin,
    not_utf8,
)
from batchdrop.preflight.rules import REJECT, Rules

#: This many lines in another encoding show that the whole file is in it: it has one
#: error in place of one for each line, unless bad lines are left out.
MANY_LATIN = 3
#: The most digits that msgspec takes in a whole number.
MOST_DIGITS = 4300
_NO_ARRAY = (
    "write each of its items on a line of its own, without commas between them: "
    "`jq -c '.[]' FILE > NEW`"
)
_ONE_LINE = "write each object on one line: `jq -c . FILE > NEW`"
#: How lines begin that are no JSON, and what to do about it.
_BEGINNINGS = {
    re.compile(rb"\{\s*'"): (
        "write \" in place of ' around names and texts; in Python, json.dumps(row)"
    ),
    re.compile("\\{\\s*[\u201c\u201d]".encode()): (
        'write " in place of \u201c and \u201d around names and texts'
    ),
    re.compile(rb'\{$|[]}],?$|"(?:[^"\\]|\\.)*"\s*:'): _ONE_LINE,
}
_NOT_A_NUMBER = re.compile(rb"NaN|Infinity")
_AT = re.compile(r"\(byte (\d+)\)$")
_HIGH_AT_END = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}.{0,8}$")
_decode = msgspec.json.Decoder().decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Parser:
    """Parses the lines of one file."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._latin: set[int] = set()  #: lines that look like Latin-1

    def members(self, inspection: Inspection, text: bytes) -> Members | None:
        """
        The members of a line; None, and a row error, if it isn't a JSON object.

        Raises:
            NotReadable: the file is in another encoding than UTF-8.
        """
        if self._is_readable(inspection, text):
            line: Members = parsed(text)
            return line
        return None

    def _is_readable(self, inspection: Inspection, text: bytes) -> bool:
        if len(text) > LINE_LIMIT:
            inspection.add_error(
                "",
                "too_long",
                f"has more than {LINE_LIMIT:,} bytes",
                "write a shorter line; put media into a bucket, and their gs:// "
                "addresses into the line",
            )
            return False
        if (broken := broken_at(text)) is not None:
            self._not_utf8(inspection, text, broken)
            return False
        example = f"write one JSON object a line: {self._rules.family.example}"
        try:
            value = _decode(text)
        except msgspec.ValidationError as exc:
            message, _, _ = str(exc).partition(" - at ")
            inspection.add_error(
                _too_large(text),
                "number_out_of_range",
                f"is a number that no number type can hold: {message}",
                "write it as a string",
            )
        except msgspec.DecodeError as exc:
            mark = text.find(codecs.BOM_UTF8)
            # Of what trails behind a value, the error names the byte after the first.
            places = (f"(byte {mark})", f"(byte {mark + 1})")
            if mark >= 0 and str(exc).endswith(places):
                _marked(inspection, text, mark)
            elif text.startswith(b"["):
                inspection.add_error("", "json_array", "begins a JSON array", _NO_ARRAY)
            else:
                fix = _fix(str(exc), text) or example
                inspection.add_error("", "not_json", _where(str(exc), text), fix)
        else:
            if isinstance(value, dict):
                return True
            if isinstance(value, list):
                what = "is a JSON array, not a line of JSON Lines"
                inspection.add_error("", "json_array", what, _NO_ARRAY)
            else:
                inspection.add_error("", "not_an_object", "is no JSON object", example)
        return False

    def _not_utf8(self, inspection: Inspection, text: bytes, broken: int) -> None:
        message = f"byte {broken + 1} is not UTF-8"
        if looks_latin(text):
            message += f"; the line looks like {LATIN}"
            line = inspection.line
            self._latin.add(line)
            if len(self._latin) == MANY_LATIN and self._rules.on_invalid == REJECT:
                where = f"{inspection.called(line)}, byte {broken + 1}: "
                raise not_utf8(LATIN, where)
        inspection.add_error("", "not_utf8", message, "save the file as UTF-8")


def parsed(text: bytes) -> Any:
    """A value, with its objects as `Members`, and numbers as 0 or 0.5."""
    return json.loads(
        text, object_pairs_hook=Members, parse_int=_zero, parse_float=_fraction
    )


def is_malformed(text: bytes) -> bool:
    """
    Whether a line is certainly not JSON. False for one that has other errors, such as
    another encoding, or that `fix` may mend.
    """
    try:
        _members.decode(text)
    except msgspec.ValidationError:
        return False
    except msgspec.DecodeError:
        # `fix` leaves a byte order mark out.
        return not text.startswith(codecs.BOM_UTF8) and broken_at(text) is None
    except (UnicodeDecodeError, RecursionError):
        return False
    return False


def _fix(message: str, text: bytes) -> str:
    """What mends a common mistake that a parser has found; empty if it is another."""
    for begins, fix in _BEGINNINGS.items():
        if begins.match(text):
            return fix
    if text.endswith(b",") and not is_malformed(text[:-1]):
        return "leave out the comma at the end of the line"
    if "trailing comma" in message:
        return "leave out the comma before the bracket"
    if (at := _AT.search(message)) and _NOT_A_NUMBER.match(text, int(at[1])):
        return "write null for NaN and Infinity, or leave the member out"
    return ""


def _marked(inspection: Inspection, text: bytes, mark: int) -> None:
    """A file made of several joined ones has their byte order marks in it."""
    column = len(text[:mark].decode()) + 1
    fix = "leave the mark out, or let `batchdrop check --fix` do it"
    if mark:
        fix = "leave the mark out, and end the line before it"
    inspection.add_error(
        "",
        "byte_order_mark",
        f"has a byte order mark (U+FEFF) at column {column}; files that each began "
        "with one were joined",
        fix,
    )


class _TooLarge(int):
    """A number that no number type can hold."""


def _too_large(text: bytes) -> str:
    """The path of the first number of a line that no number type can hold."""

    def whole(number: str) -> int:
        return _TooLarge() if len(number) > MOST_DIGITS else 0

    def broken(number: str) -> int:
        return _TooLarge() if math.isinf(float(number)) else 0

    def find(value: Any, path: str) -> str | None:
        if isinstance(value, _TooLarge):
            return path
        if isinstance(value, Members):
            dot = f"{path}." if path else ""
            inner = ((each, f"{dot}{name}") for name, each in value)
        elif isinstance(value, list):
            inner = ((each, f"{path}[{n}]") for n, each in enumerate(value))
        else:
            return None
        return next((at for pair in inner if (at := find(*pair)) is not None), None)

    try:
        line = json.loads(
            text, object_pairs_hook=Members, parse_int=whole, parse_float=broken
        )
    except json.JSONDecodeError:  # further on, it isn't JSON either
        return ""
    return find(line, "") or ""


def _zero(_: str) -> int:
    # Only the type of a number counts, and some are too long for Python.
    return 0


def _fraction(text: str) -> float:
    # Besides its type, only whether it is whole counts.
    return 0 if float(text).is_integer() else 0.5


def _where(message: str, text: bytes) -> str:
    """A parser's message, with the byte that it names as a column of the line."""
    match = _AT.search(message)
    if match is None:
        if "truncated" in message and _HIGH_AT_END.search(text):
            return "has half of a surrogate pair at its end"
        if "truncated" in message:
            return f"ends in the middle, at column {len(text.decode()) + 1}"
        return message
    column = len(text[: int(match[1])].decode(errors="ignore")) + 1
    return f"{message[: match.start()].rstrip()} at column {column}"
