"""
The user's own key and columns of a row: members beside the request, which aren't sent.

They are kept as a line of JSON for each row that has any:

    {"id":17,"key":"cust-17","columns":{"customer":"x","n":1.0}}

`id` is the number of the line. The values are the user's own bytes. Where a row has no
key of its own, `metadata.key` is one, as in a request of the Developer API; `metadata`
is a column all the same.
"""

import codecs
import re
from collections.abc import Callable, Mapping

import msgspec

from batchdrop.preflight.rules import Family
from batchdrop.preflight.shapes import Shape, an_object, unsent

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
#: A text that isn't empty, or a number.
_is_key = re.compile(rb'"[^"]|[-0-9]').match

#: Takes the number of a line, and the match of its beginning.
Keep = Callable[[int, re.Match[bytes]], None]


class Own:
    """Collects the keys and columns of a file's rows, in the rows' order."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self._lines: list[bytes] = []

    def taken(self) -> bytes:
        """The lines since the last call."""
        lines = b"".join(self._lines)
        self._lines.clear()
        return lines

    def add(self, number: int, text: bytes, shape: Shape) -> None:
        """Adds a line of the file, as it was written."""
        if shape.wrapper is None and shape.embeds is None:
            return  # it is the request itself
        members = _members(text.removeprefix(codecs.BOM_UTF8))
        columns = unsent(members, shape, self._family)
        key = columns.pop(shape.id, None) if shape.id else _key_in(columns)
        if key is not None or columns:
            self._lines.append(b'{"id":%d%b' % (number, _rest(key, columns)))

    def keeper(
        self, behind: bytes, shape: Shape, before: tuple[str, ...]
    ) -> Keep | None:
        """
        Returns what adds a line of which only the beginning was matched; None if such
        lines have no key and no columns. The groups of the match are the key, without
        quotes, if the shape has one, and the values of columns.

        Args:
            behind: what all these lines have behind the request.
            before: the names of the columns that are matched.
        """
        members = _members(b"{" + behind.removeprefix(b","))
        columns, keep = unsent(members, shape, self._family), self._lines.append
        if before:
            key = b"" if shape.id is None else b',"key":"%b"'
            line = b'{"id":%d' + key + _rest(None, dict.fromkeys(before, b"%b"))
            return lambda number, begin: keep(line % (number, *begin.groups()))
        if shape.id is not None:
            end = _rest(None, columns)
            return lambda number, begin: keep(
                b'{"id":%d,"key":"%b"%b' % (number, begin[1], end)
            )
        if not columns:
            return None
        end = _rest(_key_in(columns), columns)
        return lambda number, _: keep(b'{"id":%d%b' % (number, end))


def _rest(key: msgspec.Raw | None, columns: Mapping[str, bytes | msgspec.Raw]) -> bytes:
    """A line from its key on."""
    rest = b"" if key is None else b',"key":' + bytes(key)
    if columns:
        rest += b',"columns":' + an_object(columns)
    return rest + b"}\n"


def _key_in(columns: dict[str, msgspec.Raw]) -> msgspec.Raw | None:
    """`metadata.key`, if it can be a key."""
    metadata = columns.get("metadata")
    if metadata is None or not bytes(metadata).startswith(b"{"):
        return None
    key = _members(metadata).get("key")
    return key if key is not None and _is_key(bytes(key)) else None
