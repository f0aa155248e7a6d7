"""Lines that are bad, as earlier ones of the file were."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec

from batchdrop.preflight.fast.decoders import (
    EMPTY_ARRAY,
    MISFIT,
    UNFIT,
    Decode,
    object_type,
)
from batchdrop.preflight.inspection import Inspection, Members


class BadLines:
    """
    The bad lines of a file, as decoders for more lines like them.

    Most bad lines of a file are bad in the same few ways. A line is bad by its names
    and the types of its values, or by one value that has to match a pattern. So every
    line with the same names and types, whose value doesn't match the pattern either, is
    bad too. No good line that comes later makes a bad one good.
    """

    #: Values of a line that a decoder is made of.
    MOST_VALUES = 300
    #: Decoders that are tried; those used last come first.
    MOST_DECODERS = 8

    #: A decoder is dropped after each this many lines that none holds.
    MOST_MISSED = 100

    def __init__(self) -> None:
        self._decoders: list[Decode] = []
        #: Lines that no decoder has held since one was made, and how many to wait for.
        self._missed = self._wait = 0
        self._missed_in_a_row = 0

    def hold(self, line: bytes) -> bool:
        """Whether a line is bad in a known way; it may be bad in another way too."""
        for number, decode in enumerate(self._decoders):
            try:
                decode(line)
            except MISFIT:
                continue
            if number:
                self._decoders.insert(0, self._decoders.pop(number))
            self._missed_in_a_row = 0
            return True
        self._missed += 1
        self._missed_in_a_row += 1
        if self._missed_in_a_row % self.MOST_MISSED == 0:
            del self._decoders[-1:]
        return False

    @property
    def due(self) -> bool:
        """
        Whether to learn of the next bad line.

        To make a decoder, or to find that none can be made, takes as long as some
        inspections. Each try waits for more lines than the one before, so that a file
        of ever new ways to be bad isn't paid for twice.
        """
        return self._missed > self._wait

    def learn(self, inspection: Inspection) -> None:
        """
        Makes a decoder of a line that its inspection has found bad, if that is due and
        one can be made.
        """
        if not self.due:
            return
        self._missed = 0
        self._wait += 1 + self._wait // 8
        if inspection.unsure or inspection.parsed is None:
            return
        line = _LineType(inspection.by_value, self.MOST_VALUES)
        try:
            made = line.of(inspection.parsed, "")
        except (_NoDecoder, RecursionError):
            return
        if line.placed != inspection.by_value.keys():
            return
        self._decoders.insert(0, msgspec.json.Decoder(made).decode)
        del self._decoders[self.MOST_DECODERS :]


class _NoDecoder(Exception):
    """No decoder takes just the lines like this one."""


class _LineType:
    """Makes the type of a line."""

    def __init__(self, by_value: Mapping[str, str], most: int) -> None:
        self.placed: set[str] = set()  #: paths whose pattern is in the type
        self._by_value = by_value
        self._left = most

    def of(self, value: Any, path: str) -> Any:
        self._left -= 1
        if self._left < 0:
            raise _NoDecoder
        if isinstance(value, Members):
            return self._struct(value, f"{path}." if path else "")
        if isinstance(value, list):
            return _array(self.of(each, f"{path}[{n}]") for n, each in enumerate(value))
        if isinstance(value, str):
            pattern = self._by_value.get(path)
            if pattern is None:
                return str
            self.placed.add(path)
            return Annotated[str, msgspec.Meta(pattern=pattern)]
        if isinstance(value, bool):
            return bool
        return None if value is None else float

    def _struct(self, members: Members, dot: str) -> Any:
        names = {f"f{n}": name for n, (name, _) in enumerate(members)}
        if len(set(names.values())) < len(names) or any(
            map(UNFIT.search, names.values())
        ):
            raise _NoDecoder
        fields = [
            (field, self.of(value, f"{dot}{name}"))
            for field, (name, value) in zip(names, members, strict=True)
        ]
        return object_type(fields, names)


def _array(items: Iterable[Any]) -> Any:
    types = tuple(items)
    return tuple[types] if types else EMPTY_ARRAY  # type: ignore[valid-type]
