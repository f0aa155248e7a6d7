"""Merges the job's generation configuration into requests, of which its own stays."""

from collections.abc import Callable
from functools import lru_cache

import msgspec

from batchdrop.preflight.names import camel
from batchdrop.preflight.rules import Rules
from batchdrop.preflight.shapes import an_object

#: Of the lines' configurations, so many, of at most so many bytes, are remembered.
_REMEMBERED, _LARGEST = 100, 10_000

_SPACE = b" \t\r"
_NAMES = ("generationConfig", "generation_config")
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

Merge = Callable[[bytes], bytes]


class _Own(msgspec.Struct):
    """A request's own configuration, in either spelling of its name."""

    camel: msgspec.Raw | msgspec.UnsetType = msgspec.field(
        default=msgspec.UNSET, name="generationConfig"
    )
    snake: msgspec.Raw | msgspec.UnsetType = msgspec.field(
        default=msgspec.UNSET, name="generation_config"
    )


_own = msgspec.json.Decoder(_Own).decode


class Merger:
    """
    Merges the job's generation configuration into requests. What a line says itself
    stays, in its own bytes. The configuration's members come to be in camelCase, so
    that all lines have the same columns.
    """

    def __init__(self, configuration: bytes) -> None:
        ours = _members(configuration)
        self._ours = {camel(name): bytes(raw) for name, raw in ours.items()}
        self._whole = b',"generationConfig":' + an_object(self._ours) + b"}"
        # Most files have the same few configurations in all lines.
        self._merged_before = lru_cache(_REMEMBERED)(self._merged)

    @classmethod
    def of(cls, rules: Rules) -> "Merger | None":
        """None where there is nothing to merge."""
        merger = cls(rules.generation_config or b"{}")
        return merger if merger._ours else None

    def merge(self, request: bytes) -> bytes:
        """Takes any request. One whose own configuration is wrong stays as it is."""
        kept = {name: bytes(raw) for name, raw in _members(request).items()}
        if not kept:
            return request
        try:
            return self.splice(request)
        except msgspec.ValidationError:
            owns = [kept.pop(name) for name in _NAMES if name in kept]
        try:
            (own,) = owns
            return an_object({**kept, "generationConfig": self._merged(own)})
        except ValueError:
            return request  # a fault, to be told as it stands

    def splice(self, request: bytes) -> bytes:
        """
        Does the same, for a request that has members, and begins and ends with a brace;
        what it has beside its configuration isn't looked at, and keeps all its bytes.

        Raises:
            msgspec.MsgspecError: it can't be done so with this request.
        """
        found = _own(request)
        given = found.snake if found.camel is msgspec.UNSET else found.camel
        if given is msgspec.UNSET:
            return request[:-1] + self._whole
        own = bytes(given)
        at = request.find(own)
        if len(own) > _LARGEST or at != request.rfind(own):
            raise msgspec.ValidationError("may stand in several places")
        before, after = request[:at], request[at + len(own) :]
        if found.snake is not msgspec.UNSET:
            before = _respelled(before, found)
        return before + self._merged_before(own) + after

    def _merged(self, own: bytes) -> bytes:
        """
        Raises:
            msgspec.ValidationError: it is no object, or has two spellings of a member.
        """
        found = _members(own)
        theirs = {camel(name): bytes(raw) for name, raw in found.items()}
        if len(theirs) < len(found):
            raise msgspec.ValidationError("spells a member in two ways")
        return an_object({**self._ours, **theirs})


def _respelled(before: bytes, found: _Own) -> bytes:
    """What stands before a configuration in snake_case, with the other name."""
    name = before.rstrip(_SPACE).removesuffix(b":").rstrip(_SPACE)
    if found.camel is not msgspec.UNSET or not name.endswith(b'"generation_config"'):
        raise msgspec.ValidationError("has it twice, or by a name in another form")
    return name.removesuffix(b'"generation_config"') + b'"generationConfig":'
