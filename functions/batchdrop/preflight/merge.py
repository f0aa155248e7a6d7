"""Merges the job's generation configuration into requests, of which its own stays."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from batchdrop.preflight.columns import Columns
from batchdrop.preflight.names import camel, placed, snake
from batchdrop.preflight.rules import Rules
from batchdrop.preflight.shapes import an_object

#: Of the lines' configurations, so many, of at most so many bytes, are remembered.
_REMEMBERED, _LARGEST = 100, 10_000

_NAMES = ("generationConfig", "generation_config")
_CAMEL, _SNAKE = (b'"%b"' % name.encode() for name in _NAMES)
#: A letter of a name that is written by its number.
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
    Merges the job's generation configuration into requests: what stands beside
    `contents` as a whole, what stands in `generationConfig` member by member. What a
    line says itself stays, in its own bytes. The configuration's members come to be in
    camelCase, so that all lines have the same columns.
    """

    def __init__(self, configuration: bytes, imports: bool) -> None:
        beside, ours = placed(_members(configuration))
        self._imports = imports
        self._beside = {name: bytes(raw) for name, raw in beside.items()}
        self._ours = {name: bytes(raw) for name, raw in ours.items()}
        self._splice = self._splicer(_own_of, self._merged)

    @classmethod
    def of(cls, rules: Rules) -> "Merger | None":
        """None where there is nothing to merge."""
        merger = cls(rules.generation_config or b"{}", rules.imports)
        return merger if merger._beside or merger._ours else None

    def merge(self, request: bytes) -> bytes:
        """Takes any request. One whose own configuration is wrong stays as it is."""
        kept = {name: bytes(raw) for name, raw in _members(request).items()}
        if not kept:
            return request
        request = self._with_beside(request, kept)
        if not self._ours:
            return request
        try:
            return self._splice(request)
        except msgspec.ValidationError:
            owns = [kept.pop(name) for name in _NAMES if name in kept]
        if len(owns) > 1:
            return request  # a row error, to be told as it stands
        try:
            merged = self._merged(owns[0] if owns else b"{}")
        except msgspec.ValidationError:
            return request  # another
        return an_object({**kept, _NAMES[0]: merged})

    def _with_beside(self, request: bytes, kept: dict[str, bytes]) -> bytes:
        """
        A request with what stands beside its contents. What it has of that in
        snake_case is renamed; both spellings are a row error, to be told as they stand.

        Args:
            kept: its members, which change with it.
        """
        renamed = {
            written: name
            for name in self._beside
            if name not in kept and (written := snake(name)) in kept
        }
        for written, name in renamed.items():
            kept[name] = kept.pop(written)
        missing = {n: raw for n, raw in self._beside.items() if n not in kept}
        kept |= missing
        if renamed:
            return an_object(kept)
        return (
            request[:-1] + b"".join(_following(*one) for one in missing.items()) + b"}"
        )

    def passing(self, columns: Columns) -> Merge:
        """
        Merges as `merge` does, and takes only requests that bring nothing new to these
        columns when it is done; for any other it raises what a decoder does.
        """
        passes = columns.decoder_of(_NAMES[0])

        def merged(own: bytes) -> bytes:
            made = self._merged(own)
            if passes is None:
                raise msgspec.ValidationError("is the first configuration")
            passes(made)
            return made

        names = dict.fromkeys(self._beside) | dict.fromkeys(map(snake, self._beside))
        own_of = columns.decoder_beside(*(_NAMES if self._ours else ()), *names)
        return self._splicer(own_of, merged, self._missing(columns))

    def _missing(self, columns: Columns) -> Missing | None:
        """
        Gives what is to follow a request of what stands beside its contents, if it
        writes its own by the names that we do, once each, and that brings nothing new.
        """
        known = []
        for name, raw in self._beside.items():
            passes = columns.decoder_of(name)
            ours = _following(name, raw) if passes and _takes(passes, raw) else None
            known.append((name, snake(name), b'"%b"' % name.encode(), passes, ours))
        unset = msgspec.UNSET

        def missing(request: bytes, found: Any) -> bytes:
            more = b""
            for name, other, quoted, passes, ours in known:
                own = getattr(found, name)
                if other != name and getattr(found, other) is not unset:
                    raise msgspec.ValidationError("has another spelling")
                if own is unset and ours:
                    more += ours
                elif own is unset or passes is None or request.count(quoted) != 1:
                    raise msgspec.ValidationError("may bring something new")
                else:
                    passes(bytes(own))
            return more

        return missing if known else None

    def _splicer(
        self,
        own_of: Callable[[bytes], Any],
        merged: Merge,
        missing: Missing | None = None,
    ) -> Merge:
        """
        Merges by putting bytes between those of a request that has members, and begins
        and ends with a brace, if its configuration's name is there once. What stands
        beside it isn't looked at, and keeps its bytes.

        Args:
            own_of: gives a request's own configuration, as an `_Own` does.
            merged: makes one of a line's own configuration and the job's.
            missing: gives what is to follow a request.
        """

        # Most files have the same few configurations in all lines.
        @lru_cache(_REMEMBERED)
        def remembered(own: bytes) -> bytes:
            return _CAMEL + b":" + merged(own)

        numbered, unset, inside = _numbered, msgspec.UNSET, bool(self._ours)

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

    def _merged(self, own: bytes) -> bytes:
        """
        Raises:
            msgspec.ValidationError: it is no object, or has two spellings of a member.
        """
        if own == b"null" and not self._imports:
            own = b"{}"  # as good as not there
        found = _members(own)
        theirs = {camel(name): bytes(raw) for name, raw in found.items()}
        if len(theirs) < len(found):
            raise msgspec.ValidationError("spells a member in two ways")
        return an_object({**self._ours, **theirs})


def _following(name: str, raw: bytes) -> bytes:
    """A member, as it follows others in an object."""
    return b',"%b":%b' % (name.encode(), raw)


def _takes(passes: Callable[[bytes], Any], raw: bytes) -> bool:
    try:
        passes(raw)
    except msgspec.ValidationError:
        return False
    return True
