"""The JSON of a manifest: its size and depth, its values, and its errors."""

import re
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec
from msgspec import Raw

from batchdrop.errors import BadChoice
from batchdrop.jobs.codes import ErrorCode

#: Bytes of a manifest, which may have requests in it. Its text is held several times
#: while it is read: four of 20 MB at once took 726 MiB, and a function has 512.
MAX_SIZE = 10 * 1000**2
#: Values in a manifest, at any depth, and levels of nesting. A decoded value takes
#: about 100 bytes of memory: {"src":[{},{},...]} of 20 MB took 929 MB.
MAX_VALUES = 500_000
MAX_DEPTH = 100

#: What trails behind a value begins at the byte before this one.
_BEHIND = re.compile(r"trailing characters \(byte (\d+)\)$")
_members = msgspec.json.Decoder(dict[str, Raw])
_items = msgspec.json.Decoder(list[Raw])
#: What a decoder raises for malformed JSON.
_MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_TEXT = re.compile(rb'"[^"]*"?')
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def hold_to_bounds(data: bytes) -> None:
    """
    Counts a manifest's values and levels without decoding it, several times faster and
    in a few times its size of memory. Malformed JSON may pass; the decoder refuses it.
    """
    # Without escaped quotes, every second quote ends a text.
    plain = data.replace(rb"\\", b"").replace(rb"\"", b"")
    # A text is a value or a name. Counted first, as cutting each one out takes time.
    values = plain.count(b'"') // 4
    if values <= MAX_VALUES:
        plain = _TEXT.sub(b"", plain)
        values = plain.count(b",") + plain.count(b"[") + plain.count(b"{")
    if values > MAX_VALUES:
        bad(
            "",
            f"it has more than {MAX_VALUES:,} values; write the requests into a file "
            "of their own, and its name with .job.json here",
        )
    brackets = plain.translate(_ONE_KIND, _NOT_BRACKETS)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")
    if b"[]" in brackets:
        bad("", f"it is nested deeper than {MAX_DEPTH} levels; write it flatter")


def bad(path: str, what: str) -> NoReturn:
    where = f"{path[:200]}: " if path else ""
    raise BadChoice(ErrorCode.BAD_MANIFEST, f"{where}{what}")


def members_of(raw: bytes | Raw, path: str) -> dict[str, Raw]:
    """The members of an object, without those that are null."""
    try:
        members = _members.decode(raw)
    except msgspec.ValidationError:
        bad(path, f'got {kind_of(raw)}; write an object, {{"...": ...}}')
    except _MALFORMED as exc:
        behind = _BEHIND.search(str(exc))
        if behind and bytes(raw)[int(behind[1]) - 1 :].lstrip().startswith(b"{"):
            bad(
                "",
                "it has more than one value; a manifest is one JSON object, and rows "
                "go into a file of their own, NAME.jsonl",
            )
        bad(path, f"no JSON: {exc}")
    return {name: each for name, each in members.items() if bytes(each) != b"null"}


def items_of(raw: bytes | Raw, path: str) -> list[Raw]:
    try:
        return _items.decode(raw)
    except _MALFORMED as exc:
        bad(path, f"no JSON: {exc}")


def value_of(raw: bytes | Raw, path: str) -> Any:
    try:
        return msgspec.json.decode(raw)
    except _MALFORMED as exc:
        bad(path, f"no JSON: {exc}")


def kind_of(raw: bytes | Raw) -> str:
    first = bytes(raw).lstrip()[:1]
    return {b"[": "a list", b'"': "a text", b"{": "an object"}.get(first, "a value")


def read(reading: Callable[[Any], Any], value: Any, path: str) -> Any:
    try:
        return reading(value)
    except ValueError as exc:
        bad(path, str(exc))


def one_line(raw: bytes | Raw) -> bytes:
    # JSON escapes line feeds within a text, so that these stand between values.
    return re.sub(rb"[\r\n]", b" ", bytes(raw)).strip()
