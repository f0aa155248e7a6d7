"""Which requests ask for JSON: Gemini's, Claude's and OpenAI-style ones."""

from collections.abc import Callable
from typing import Any

import msgspec

from batchdrop.preflight.columns import Columns
from batchdrop.preflight.rules import Family

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_members_of_lines = msgspec.json.Decoder(dict[str, dict[str, msgspec.Raw] | str]).decode


class Asking:
    """
    Says of staged lines which ask for JSON.

    The tree of the file's columns says whether any line has a member that could ask for
    it; without one, no line is looked into. Most lines end in the same configuration:
    the answer for a line holds for each one with the same end.
    """

    def __init__(self, family: Family, columns: Columns) -> None:
        self._wrapper = family.wrapper or ""
        self._root = columns.root
        #: The end of a line from such a member on, and whether it asks for JSON.
        self._end: tuple[bytes, bool] | None = None

    def of(self, staged: bytes) -> bytes | None:
        """See `Checker.asking_for_json`."""
        if not any(
            column is not None and not names.isdisjoint(column.members)
            for name, (names, _) in _PLACES.items()
            for column in (self._root.members.get(name),)
        ):
            return None
        found = bytes(map(self._asks, staged.split(b"\n")[:-1]))
        return found if 1 in found else None

    def _asks(self, line: bytes) -> bool:
        if self._end is not None and line.endswith(self._end[0]):
            return self._end[1]
        request = _members_of_lines(line)[self._wrapper]
        assert isinstance(request, dict)
        found = {name: bytes(request[name]) for name in _PLACES if name in request}
        asks = any(_PLACES[name][1](value) for name, value in found.items())
        if len(found) == 1:
            self._learn(line, *found.popitem(), asks)
        return asks

    def _learn(self, line: bytes, name: str, value: bytes, asks: bool) -> None:
        """
        Keeps the end of a line in mind, if it is a whole member of the request. In
        another line these bytes are the same member: they can't begin within a text, as
        its end would be followed by a name.
        """
        end = value + b"}}"
        start = line.rfind(b'"%b"' % name.encode())
        between = line[start + len(name) + 2 : -len(end)]
        if (
            line.endswith(end)
            and line[start - 1 : start] in (b",", b"{", b" ")
            and between.strip() == b":"
        ):
            self._end = line[start - 1 :], asks


def _gemini(value: bytes) -> bool:
    """
    Whether a generation configuration asks for JSON. A schema does, where no other type
    is named: such as `text/x.enum`, which takes a schema too (Gemini API docs).
    """
    config = _object(value)
    mime = _text(config, "responseMimeType", "response_mime_type")
    if mime:
        return mime.partition(";")[0].strip().lower() == "application/json"
    if any(
        bytes(config.get(name, b"null")) != b"null"
        for name in (
            *("responseSchema", "response_schema"),
            *("responseJsonSchema", "response_json_schema"),
        )
    ):
        return True
    format = _member(config, "responseFormat", "response_format")
    text = _object(_member(_object(format), "text"))
    return _text(text, "mimeType", "mime_type").upper() == "APPLICATION_JSON"


def _claude(value: bytes) -> bool:
    return _typed(_member(_object(value), "format"))


def _typed(value: bytes) -> bool:
    return _text(_object(value), "type") in ("json_schema", "json_object")


def _object(value: bytes) -> dict[str, msgspec.Raw]:
    return _members(value) if value.startswith(b"{") else {}


def _member(members: dict[str, msgspec.Raw], *names: str) -> bytes:
    """The first of these members that there is; empty if there is none."""
    return next((bytes(members[name]) for name in names if name in members), b"")


def _text(members: dict[str, msgspec.Raw], *names: str) -> str:
    value = _member(members, *names)
    text: Any = msgspec.json.decode(value) if value.startswith(b'"') else ""
    return str(text)


_OF_GEMINI = frozenset(
    {
        *("responseMimeType", "response_mime_type"),
        *("responseSchema", "response_schema"),
        *("responseJsonSchema", "response_json_schema"),
        *("responseFormat", "response_format"),
    }
)
#: Members of a request that may ask for JSON: those of its own that say so, and whether
#: a value asks for it.
_PLACES: dict[str, tuple[frozenset[str], Callable[[bytes], bool]]] = {
    "generationConfig": (_OF_GEMINI, _gemini),
    "generation_config": (_OF_GEMINI, _gemini),
    "output_config": (frozenset({"format"}), _claude),
    "output_format": (frozenset({"type"}), _typed),
    "response_format": (frozenset({"type"}), _typed),
}
