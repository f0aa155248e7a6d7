"""
Lines that are alike a bad one: most bad lines of a file are bad in the same few ways.

A line is bad by the names in it and the types of its values, or by one value that has
to match a pattern. So all lines with the same names and types, of which that value
doesn't match either, are bad too. A decoder finds them, in a hundredth of the time that
a look takes. No good line that comes later makes a bad one good.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

import msgspec

from batchdrop.preflight.request import Look, Members

#: What a decoder raises for a line that isn't alike.
_MISFIT = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
#: Values of a line that a decoder is made of.
_MOST_VALUES = 300
#: Decoders that are tried; the ones used last come first.
_MOST_DECODERS = 8
#: No decoder knows a name with one of these.
_UNFIT = re.compile(r'[\\"\x00-\x1f]')


class Alike:
    """The bad lines of a file, for others to be told by."""

    def __init__(self) -> None:
        self._decoders: list[Callable[[bytes], Any]] = []
        self._tried = self._missed = 0

    def holds(self, line: bytes) -> bool:
        """Whether a line is bad in a way that is known; it may be bad in another."""
        for number, decode in enumerate(self._decoders):
            try:
                decode(line)
            except _MISFIT:
                continue
            if number:
                self._decoders.insert(0, self._decoders.pop(number))
            return True
        return False

    def learn(self, look: Look) -> None:
        """
        Keeps a line that a look has found bad.

        To make a decoder takes as long as some looks, and so does to find that there is
        none. Each waits for more lines than the one before, so that a file of ever new
        ways, or of those that no decoder knows, isn't paid for twice.
        """
        self._missed += 1
        if look.unsure or look.parsed is None or self._missed <= self._tried:
            return
        self._missed = 0
        self._tried += 1
        placed: set[str] = set()
        try:
            made = _Made(look.by_value, placed).type(look.parsed, "")
        except (_NoDecoder, RecursionError):
            return
        if placed != look.by_value.keys():
            return
        self._decoders.insert(0, msgspec.json.Decoder(made).decode)
        del self._decoders[_MOST_DECODERS:]


class _NoDecoder(Exception):
    """There is none that takes just the lines alike."""


class _Made:
    """The type of a line."""

    def __init__(self, by_value: Mapping[str, str], placed: set[str]) -> None:
        self._by_value = by_value
        self._placed = placed
        self._left = _MOST_VALUES

    def type(self, value: Any, path: str) -> Any:
        self._left -= 1
        if self._left < 0:
            raise _NoDecoder
        if isinstance(value, Members):
            return self._struct(value, f"{path}." if path else "")
        if isinstance(value, list):
            items = (self.type(each, f"{path}[{n}]") for n, each in enumerate(value))
            return _array(items)
        if isinstance(value, str):
            pattern = self._by_value.get(path)
            if pattern is None:
                return str
            self._placed.add(path)
            return Annotated[str, msgspec.Meta(pattern=pattern)]
        if isinstance(value, bool):
            return bool
        return None if value is None else float

    def _struct(self, members: Members, dot: str) -> Any:
        names = {f"f{n}": name for n, (name, _) in enumerate(members)}
        if len(set(names.values())) < len(names) or any(
            map(_UNFIT.search, names.values())
        ):
            raise _NoDecoder
        fields = [
            (field, self.type(value, f"{dot}{name}"))
            for field, (name, value) in zip(names, members, strict=True)
        ]
        return msgspec.defstruct(
            "Object",
            fields,
            rename=names,
            forbid_unknown_fields=True,
            kw_only=True,
            gc=False,
        )


def _array(items: Iterable[Any]) -> Any:
    types = tuple(items)
    if not types:
        return Annotated[list[Any], msgspec.Meta(max_length=0)]
    return tuple[types]  # type: ignore[valid-type]
