"""Merges the job's generation configuration into requests, which keep their members."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from batchdrop.preflight.names import camel, placed, snake
from batchdrop.preflight.rules import Rules
from batchdrop.preflight.shapes import an_object

#: This many of the lines' configurations are remembered, of at most this many bytes.
_REMEMBERED, _LARGEST = 100, 10_000

NAMES = ("generationConfig", "generation_config")
_CAMEL, _SNAKE = (b'"%b"' % name.encode() for name in NAMES)
#: A letter of a name that is written as its number.
_numbered = re.compile(rb"\\u00[4-7]").search
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

Merge = Callable[[bytes], bytes]
Missing = Callable[[bytes, Any], bytes]


class _Own(msgspec.Struct):
    """A request's own configuration, in either spelling of its name."""

    generationConfig: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    generation_config: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_own_of = msgspec.json.Decoder(_Own).decode


class Merger:
    """
    Merges the job's generation configuration into requests: a member beside `contents`
    as a whole, `generationConfig` member by member. What a line says itself stays, in
    its own bytes. The members of its `generationConfig` are renamed to camelCase, so
    that all lines have the same columns.

    Attributes:
        beside: the job's members that go beside `contents`, as JSON.
        ours: those that go into `generationConfig`.
    """

    def __init__(self, configuration: bytes, imports: bool) -> None:
        beside, ours = placed(_members(configuration))
        self._imports = imports
        self.beside = {name: bytes(raw) for name, raw in beside.items()}
        self.ours = {name: bytes(raw) for name, raw in ours.items()}
        self._splice = self.splicer(_own_of, self.merged)

    @classmethod
    def of(cls, rules: Rules) -> "Merger | None":
        """None where there is nothing to merge."""
        merger = cls(rules.generation_config or b"{}", rules.imports)
        return merger if merger.beside or merger.ours else None

    def merge(self, request: bytes) -> bytes:
        """Merges any request. One with a bad configuration of its own is unchanged."""
        kept = {name: bytes(raw) for name, raw in _members(request).items()}
        if not kept:
            return request
        request = self._with_beside(request, kept)
        if not self.ours:
            return request
        try:
            return self._splice(request)
        except msgspec.ValidationError:
            owns = [kept.pop(name) for name in NAMES if name in kept]
        if len(owns) > 1:
            return request  # a row error about what the user wrote
        try:
            merged = self.merged(owns[0] if owns else b"{}")
        except msgspec.ValidationError:
            return request  # another row error
        return an_object({**kept, NAMES[0]: merged})

    def _with_beside(self, request: bytes, kept: dict[str, bytes]) -> bytes:
        """
        Adds what stands beside the contents. A member of the same name in snake_case is
        renamed; one in both spellings is left for a row error about what is written.

        Args:
            kept: its members; they are changed as the request is.
        """
        renamed = {
            written: name
            for name in self.beside
            if name not in kept and (written := snake(name)) in kept
        }
        for written, name in renamed.items():
            kept[name] = kept.pop(written)
        missing = {n: raw for n, raw in self.beside.items() if n not in kept}
        kept |= missing
        if renamed:
            return an_object(kept)
        return (
            request[:-1] + b"".join(following(*one) for one in missing.items()) + b"}"
        )

    def splicer(
        self,
        own_of: Callable[[bytes], Any],
        merged: Merge,
        missing: Missing | None = None,
    ) -> Merge:
        """
        Returns what merges by putting bytes between those of a request. It takes
        requests that have members and begin and end with a brace, and in which the
        configuration's name is written at most once; for others it raises
        msgspec.ValidationError. All other bytes of the request stay.

        Args:
            own_of: returns a request's own configuration, as an `_Own` does.
            merged: merges a line's own configuration and the job's.
            missing: returns the members to be added to a request.
        """

        # Most files have the same few configurations in all lines.
        @lru_cache(_REMEMBERED)
        def remembered(own: bytes) -> bytes:
            return _CAMEL + b":" + merged(own)

        numbered, unset, inside = _numbered, msgspec.UNSET, bool(self.ours)

        def splice(request: bytes) -> bytes:
            if numbered(request):
                raise msgspec.ValidationError("may have any name")
            found = own_of(request)
            more = missing(request, found) if missing else b""
            if not inside:
                return request[:-1] + more + b"}"
            own, name = found.generationConfig, _CAMEL
            if own is unset:
                own, name = found.generation_config, _SNAKE
                if own is unset:
                    return request[:-1] + more + b"," + remembered(b"{}") + b"}"
            elif found.generation_config is not unset:
                raise msgspec.ValidationError("has two spellings")
            own = bytes(own)
            parts = request.split(name)
            if len(parts) != 2 or len(own) > _LARGEST:
                raise msgspec.ValidationError("may stand in several places")
            before, after = parts
            made = before + remembered(own) + after[after.index(own) + len(own) :]
            return made[:-1] + more + b"}" if more else made

        return splice

    def merged(self, own: bytes) -> bytes:
        """
        Raises:
            msgspec.ValidationError: it is no object, or has a member in two spellings.
        """
        if own == b"null" and not self._imports:
            own = b"{}"  # the same as absent
        found = _members(own)
        theirs = {camel(name): bytes(raw) for name, raw in found.items()}
        if len(theirs) < len(found):
            raise msgspec.ValidationError("spells a member in two ways")
        return an_object({**self.ours, **theirs})


def following(name: str, raw: bytes) -> bytes:
    """A member, to be put behind others of an object."""
    return b',"%b":%b' % (name.encode(), raw)
