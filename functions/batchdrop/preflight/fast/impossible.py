"""Lines that are bad, whatever the other lines of the file are like."""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache, reduce
from operator import or_
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from batchdrop.preflight.columns import MOST_COLUMNS, Column, Columns, is_importable
from batchdrop.preflight.envelope import EnvelopeCheck
from batchdrop.preflight.fast.decoders import MISFIT, NEVER, Decode, object_type
from batchdrop.preflight.inspection import Full, Inspection, Members
from batchdrop.preflight.keys import Keys
from batchdrop.preflight.lines import broken_at
from batchdrop.preflight.members import ANY, Type, of_request
from batchdrop.preflight.merge import Merger
from batchdrop.preflight.names import NULL_RUNS, OWN_NAMES, TWO_SPELLINGS, camel, snake
from batchdrop.preflight.parse import parsed
from batchdrop.preflight.request import DEEPEST
from batchdrop.preflight.rules import ANYTHING, MEDIA, Must, Rules
from batchdrop.preflight.shapes import (
    TELLING,
    Shape,
    Unwrapped,
    shape_of,
    unwrapper,
)

#: Objects within one another whose members are compared with the lists. Few requests
#: have more, and to make each level takes time.
_LEVELS = 6
#: This many objects' names are remembered, each of fewer names than this. A name that
#: can be imported is short.
_REMEMBERED, _MANY = 500, 50
#: What a single value may be; the import takes no nulls, and no arrays in arrays.
_KINDS = {
    dict: "an object",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
}
#: Numbers, by whether they must be whole. As a float alone, a whole number of more than
#: 308 digits would be out of range.
_NUMBER: dict[bool, Any] = {
    False: int | float,
    True: int | Annotated[float, msgspec.Meta(multiple_of=1)],
}
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode = msgspec.json.Decoder().decode


class ImpossibleLines:
    """
    Lines that are bad, even if no other line of the file is bad in the same way.

    The mirror of `GoodLines`: a decoder takes every line that could be good, and some
    bad ones. A line that it doesn't take is bad. The rules must not mend lines.
    """

    def __init__(
        self,
        rules: Rules,
        envelopes: EnvelopeCheck,
        keys: Keys,
        merger: Merger | None,
        columns: Columns,
    ) -> None:
        self._rules = rules
        self._envelopes = envelopes
        self._keys = keys
        self._merger = merger
        #: That of the good lines.
        self._way: _Way | None = None
        #: Those of lines before the first good one, and shapes by the names that tell
        #: them; None where such a line is bad.
        self._ways: dict[Shape, _Way] = {}
        self._shapes: dict[frozenset[str], Shape | None] = {}
        #: One of them takes a request, if it could be good. None: not asked for yet.
        self._decoders: tuple[Decode, ...] | None = None
        self._importing = _Importing(rules, columns) if rules.imports else None

    def find(self, line: bytes) -> "Found":
        """What is known of a line by itself, and by its key."""
        try:
            found = self._possible(line)
            # Decoders stop at the first wrong value, and lines in another encoding
            # are counted.
            if not found.bad or broken_at(line) is None:
                return found
        except MISFIT:
            pass
        return UNKNOWN

    def contradict(self, line: bytes, found: "Found") -> bool:
        """
        Whether a line that could be good by itself is bad for what stands beside its
        request, or for what the import takes besides earlier lines. To know this takes
        some times as long.
        """
        assert found.way is not None
        try:
            return (
                self._is_bad_around(line, found.way)
                or (self._importing is not None and self._importing.refuses(found.sent))
            ) and broken_at(line) is None
        except MISFIT:
            return False

    def _possible(self, line: bytes) -> "Found":
        try:
            way = self._way_of(line)
            if way is None:
                return _BAD
            taken = way.unwrap(line) if way.unwrap else Unwrapped(None, line)
        except msgspec.ValidationError:
            return _BAD
        if taken.id is not None and taken.id in self._keys:
            return _BAD
        sent = self._merger.merge(taken.request) if self._merger else taken.request
        if self._decoders is None:
            self._decoders = _possible_requests(self._rules)
        for decode in self._decoders:
            try:
                decode(sent)
            except msgspec.ValidationError:
                continue
            return Found(False, way, sent)
        return _BAD

    def _way_of(self, line: bytes) -> "_Way | None":
        if self._way is not None:
            return self._way
        if self._envelopes.shape is not None:
            self._way = _Way.of(self._envelopes.shape, self._rules)
            return self._way
        names = TELLING.intersection(_members(line))
        if names not in self._shapes:
            try:
                self._shapes[names] = shape_of(names, self._rules.family)
            except msgspec.ValidationError:
                self._shapes[names] = None
        shape = self._shapes[names]
        if shape is None:
            return None
        if shape not in self._ways:
            self._ways[shape] = _Way.of(shape, self._rules)
        return self._ways[shape]

    def _is_bad_around(self, line: bytes, way: "_Way") -> bool:
        """Whether what stands around a line's request is bad."""
        if way.unwrap_fine is None:
            return False
        try:
            way.unwrap_fine(line)
            return False
        except msgspec.ValidationError:
            pass
        inspection = Inspection(self._rules, 0, most=1)
        members = Members()
        for name, raw in _members(line).items():
            value: Any = None
            if bytes(raw).startswith(b'"'):
                value = _decode(raw)
            elif name != way.shape.wrapper:
                # An inspection knows no number but 0 and 0.5.
                value = parsed(bytes(raw))
            elif bytes(raw).startswith(b"{"):
                value = Members((inner, None) for inner in _members(raw))
            members.append((name, value))
        try:
            if not self._envelopes.is_answer(inspection, members):
                self._envelopes.check(inspection, members, way.shape)
        except Full:
            return True
        return False


class _Way(NamedTuple):
    """How lines of a shape are unwrapped."""

    shape: Shape
    unwrap: Callable[[bytes], Unwrapped] | None
    #: The same, but not for lines that need an inspection around the request.
    unwrap_fine: Callable[[bytes], Unwrapped] | None

    @classmethod
    def of(cls, shape: Shape, rules: Rules) -> "_Way":
        fine = unwrapper(shape, rules, fine=True)
        return cls(shape, unwrapper(shape, rules), fine)


class Found(NamedTuple):
    """What is known of a line."""

    bad: bool
    way: _Way | None = None  #: that of a line which could be good
    sent: bytes = b""  #: what would be sent of it


_BAD = Found(True)
UNKNOWN = Found(False)


@lru_cache(8)  # to make them takes 16 ms and 1 MB, and most files have the same rules
def _possible_requests(rules: Rules) -> tuple[Decode, ...]:
    """One of these takes a request, if it may be good."""
    types = _PossibleTypes(rules).requests()
    return tuple(msgspec.json.Decoder(each).decode for each in types)


class _PossibleTypes:
    """Makes types that take every value that an inspection may find good."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._made: dict[tuple[int, Type, str, int], Any] = {}

    def requests(self) -> Iterator[Any]:
        """One of these takes a request, if it may be good."""
        family = self._rules.family
        known = of_request(family.members)
        for needed in family.must.any_of or ("",):
            yield self._object(family.must, known, _LEVELS, needed)

    def _member(self, must: Must, known: Type, name: str, levels: int) -> Any:
        """
        Args:
            name: that of the member.
            levels: how many objects are still compared with the lists.
        """
        key = id(must), known, name, levels
        if key not in self._made:
            self._made[key] = self._member_type(must, known, name, levels)
        return self._made[key]

    def _member_type(self, must: Must, known: Type, name: str, levels: int) -> Any:
        imports = self._rules.imports
        if must.refused:
            return NEVER
        kinds: list[Any] = []
        if imports:
            nullable = camel(name) in NULL_RUNS
        else:
            nullable = not (must.kind and must.required)
        if nullable:
            kinds.append(None)
        if must.same_model or (imports and name in MEDIA):
            return _any_of([*kinds, self._string(must, known, name)])
        if must is ANYTHING and known is ANY:
            return Any
        if must.kind in ("", "an array"):
            kinds += self._array(must, known, name, levels)
        if must.kind != "an array":
            kinds += self._single(must, known, name, levels)
        return _any_of(kinds)

    def _array(self, must: Must, known: Type, name: str, levels: int) -> list[Any]:
        """The type of an array; none if it may not be one."""
        if not known.fits("an array"):
            return []
        item = self._item(must.items or ANYTHING, known.items or ANY, name, levels)
        least = msgspec.Meta(min_length=int(must.filled))
        return [Annotated[list[item], least]]  # type: ignore[valid-type]

    def _item(self, must: Must, known: Type, name: str, levels: int) -> Any:
        if must is ANYTHING and known is ANY:
            return Any
        kinds = self._single(must, known, name, levels)
        if not self._rules.imports and must.kind in ("", "an array"):
            kinds += self._array(must, known, name, levels)
        if not self._rules.imports and not must.kind:
            kinds.append(None)
        return _any_of(kinds)

    def _single(self, must: Must, known: Type, name: str, levels: int) -> list[Any]:
        """The types of a value that isn't an array."""
        makers: dict[str, Callable[[], Any]] = {
            "an object": lambda: self._object(must, known, levels),
            "a string": lambda: self._string(must, known, name),
            "a number": lambda: _NUMBER[known.whole],
            "a boolean": lambda: bool,
        }
        return [
            make()
            for kind, make in makers.items()
            if must.kind in ("", "an array", kind) and known.fits(kind)
        ]

    def _string(self, must: Must, known: Type, name: str) -> Any:
        strict = self._rules.strict
        if must.choices:
            return Literal[must.choices]
        if must.same_model:
            pattern = self._rules.model_pattern
        elif (medium := self._rules.medium_pattern(name)) is not None:
            pattern = medium
        elif must.filled:
            return Annotated[str, msgspec.Meta(min_length=1)]
        elif known.choices and not known.google and strict:
            return Literal[known.choices]
        elif known.choices and strict:
            pattern = _spellings(known.choices)
        elif known.pattern is not None and not known.choices:
            pattern = known.pattern
        else:
            return str
        return Annotated[str, msgspec.Meta(pattern=pattern)]

    def _object(self, must: Must, known: Type, levels: int, needed: str = "") -> Any:
        """
        Args:
            needed: a member that is required too.
        """
        if levels == 0 or not (known.object or known.each or must.members):
            return dict[str, Any]
        if known.each is not None:
            each = self._member(ANYTHING, known.each, "", levels - 1)
            # The user's own names may be those of NULL_RUNS.
            return dict[str, each | None]  # type: ignore[valid-type]
        fields: list[Any] = []
        names: dict[str, str] = {}
        for name in dict.fromkeys((*must.members, *known.names)):
            rule = must.members.get(name, ANYTHING)
            type = self._member(rule, known.member(name) or ANY, name, levels - 1)
            spellings = {name, snake(name)} if self._rules.family.google else {name}
            for spelled in sorted(spellings):
                field = f"f{len(names)}"
                names[field] = spelled
                if spelled == name and (rule.required or name == needed):
                    fields.append((field, type))
                else:
                    fields.append((field, type, msgspec.UNSET))
        strict = self._rules.strict and bool(known.object)
        return object_type(fields, names, strict)


def _any_of(types: list[Any]) -> Any:
    return reduce(or_, types) if types else NEVER


def _spellings(choices: tuple[str, ...]) -> str:
    """
    A pattern for all strings that protobuf's JSON reads as one of these, and for all
    with letters that aren't ASCII, as some of them are capitalized as others.
    """
    words = "|".join(re.escape(each).replace("_", "[-_]") for each in choices)
    return rf"^(?:(?i:{words})|\d+)\Z|[^\x00-\x7f]"


class _Importing:
    """
    Compares requests with the columns of the file, as `ColumnCheck` does, but only
    says whether the import would refuse one, and changes no column.

    It doesn't find everything: new columns of a line may have several types.
    """

    def __init__(self, rules: Rules, columns: Columns) -> None:
        self._google = rules.family.google
        self._columns = columns
        self._depth = 0 if rules.family.wrapper is None else 1
        #: Names of objects that go together, and whether some may have two spellings.
        self._fine: set[tuple[tuple[str, ...], bool]] = set()

    def refuses(self, request: bytes) -> bool:
        """Whether the import would refuse a request."""
        members = _decode(request)
        return self._refuses_members("", members, self._columns.root, self._depth)

    def _refuses_members(
        self, holder: str, members: dict[str, Any], column: Column | None, depth: int
    ) -> bool:
        two = self._google and holder not in OWN_NAMES
        if self._clash(tuple(members), two):
            return True
        known = column.members if column is not None else {}
        full = self._columns.count >= MOST_COLUMNS
        for name, value in members.items():
            below = known.get(name)
            if below is None and (full or (column and _differs(name, column, two))):
                return True
            if isinstance(value, list):
                if below is not None and below.repeated is False:
                    return True
                for item in value:
                    if self._refuses_one(name, item, below, depth):
                        return True
            elif value is None:
                if camel(name) not in NULL_RUNS:
                    return True
            elif (below is not None and below.repeated) or self._refuses_one(
                name, value, below, depth
            ):
                return True
        return False

    def _refuses_one(
        self, name: str, value: Any, column: Column | None, depth: int
    ) -> bool:
        """Whether it refuses a value that isn't an array, or an item of one."""
        kind = _KINDS.get(type(value))
        if kind is None or (column is not None and column.kind not in (None, kind)):
            return True
        return kind == "an object" and (
            not value
            or depth >= DEEPEST
            or self._refuses_members(name, value, column, depth + 1)
        )

    def _clash(self, names: tuple[str, ...], two_spellings: bool) -> bool:
        """
        Whether no object with these names can be imported.

        Args:
            two_spellings: whether some may be written in two ways.
        """
        if (names, two_spellings) in self._fine:
            return False
        folded = {name.lower() for name in names}
        if len(folded) < len(names) or not all(map(is_importable, names)):
            return True
        if two_spellings:
            common = [camel(name) for name in names if camel(name) in TWO_SPELLINGS]
            if len(set(common)) < len(common):
                return True
        if len(names) < _MANY and len(self._fine) < _REMEMBERED:
            self._fine.add((names, two_spellings))
        return False


def _differs(name: str, column: Column, two_spellings: bool) -> bool:
    """Whether an object's new name is an old one, written otherwise."""
    if column.folded.get(name.lower(), (name, 0))[0] != name:
        return True
    return two_spellings and column.spelled.get(camel(name), (name, 0))[0] != name
