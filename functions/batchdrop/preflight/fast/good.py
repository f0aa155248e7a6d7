"""Lines that are good, as earlier ones of the file were."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from operator import length_hint
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from batchdrop.preflight.columns import Column, Columns
from batchdrop.preflight.fast.decoders import (
    EMPTY_ARRAY,
    MISFIT,
    NEVER,
    UNFIT,
    Decode,
    object_type,
)
from batchdrop.preflight.keys import Keys
from batchdrop.preflight.members import of_request, strays
from batchdrop.preflight.merge import NAMES, Merge, Merger, Missing, following
from batchdrop.preflight.names import snake
from batchdrop.preflight.own import Own
from batchdrop.preflight.rules import Rules
from batchdrop.preflight.shapes import (
    BARE,
    BESIDE,
    READ_BESIDE,
    Envelope,
    Shape,
    Unwrapped,
    unwrapper,
)

_EMPTY_OBJECT = re.compile(rb"\{\s*\}")
_SPACE = b" \t\r"
#: What is left of a text to look for numbers: all digits look alike, and there are no
#: letters but those of exponents. A number of fewer than 200 digits with fewer than
#: three in its exponent is in range.
_ZEROS, _LONG = bytes.maketrans(b"123456789E", b"000000000e"), b"0" * 200
_SKIPPED = b"+abcdfghijklmnopqrstuvwxyzABCDFGHIJKLMNOPQRSTUVWXYZ"
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
#: A text without escapes, or another value that any type can hold.
_SIMPLE = (
    rb'("[ !#-\[\]-~]*"|-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,17})?|true|false|null)'
)

#: Gives the pieces of a line to send, by its number, or None if the line may bring
#: something new.
Cut = Callable[[int, bytes], tuple[bytes, ...] | None]
#: The index of each line that may bring something new, and the pieces to send of the
#: lines between it and the one before it; last the number of lines, and the pieces of
#: the lines behind the last of these.
Runs = Iterator[tuple[int, Iterable[bytes]]]


def one_by_one(texts: list[bytes]) -> Runs:
    """As if all lines might bring something new."""
    return zip(range(len(texts)), repeat(()))


class GoodLines:
    """The good lines of a file, as decoders for more lines like them."""

    def __init__(
        self,
        rules: Rules,
        columns: Columns,
        merger: Merger | None,
        keys: Keys,
        envelope: Envelope,
        own: Own | None = None,
    ) -> None:
        self._rules = rules
        self._columns = columns
        self._decoders = _Decoders(rules, columns)
        self._merger = merger
        self._keys = keys
        self._envelope = envelope
        self._own = own
        self._decode: Decode | None = None
        self._unwrap: Callable[[bytes], Unwrapped] | None = None
        self._missed = 0
        #: None until a decoder is made, and where no request can be cut out of a line.
        self.cut: Cut | None = None

    def learn(self, line: bytes, shape: Shape, taken: Unwrapped) -> None:
        """
        Takes note of a line that its inspection has found good.

        Args:
            taken: what is sent of it.
        """
        if not self.due():
            return
        self._decode = self._decoders.of_requests()
        if self._unwrap is None:
            self._unwrap = unwrapper(shape, self._rules, fine=True)
        self.cut = self._cutter(line, shape, taken, self._decode)

    def due(self) -> bool:
        """
        Whether a new decoder is due.

        To make one takes about as long as to inspect a line for each of its objects
        and for some of their members. It waits for that many lines, so that a file of
        ever new names isn't paid for twice.
        """
        self._missed += 1
        columns = self._columns
        cost = columns.objects + columns.count // 4
        if columns.root.type is not None or self._missed < cost:
            return False
        self._missed = 0
        return True

    def runs(self, first: int, texts: list[bytes]) -> Runs:
        """
        See `Runs`. Each line that may bring something new must be read before the next
        one is asked for.

        Args:
            first: the number of the first line.
        """
        for at in range(len(texts)):
            if self._decode is not None:
                runs = self._cut_runs if self._changes else self._whole_runs
                yield from runs(first, texts, at)
                return
            yield at, ()

    @property
    def _changes(self) -> bool:
        """Whether lines are changed, or sent in part."""
        return self._unwrap is not None or self._merger is not None

    def _whole_runs(self, first: int, texts: list[bytes], done: int) -> Runs:
        """
        Lines that are sent as they are. No Python code runs for each.

        Args:
            done: how many lines come before these.
        """
        rest, exhaust = iter(texts[done:]), deque[Any](maxlen=0).extend
        while done < len(texts):
            assert self._decode is not None
            try:
                exhaust(map(self._decode, rest))
                at = len(texts)
            except MISFIT:
                at = len(texts) - 1 - length_hint(rest)
            run = texts[done:at]
            yield at, run and self._envelope.around_each(first + done, run)
            done = at + 1

    def _cut_runs(self, first: int, texts: list[bytes], done: int) -> Runs:
        """Lines that are changed. See `_whole_runs`."""
        pieces: list[bytes] = []
        for at in range(done, len(texts)):
            found = self.cut(first + at, texts[at]) if self.cut else None
            if found is None:
                yield at, pieces
                pieces = []
            else:
                pieces += found
        yield len(texts), pieces

    def taken(self, text: bytes) -> Unwrapped | None:
        """What to send of a line; its key isn't compared with those of other lines."""
        if self._decode is None:
            return None
        try:
            taken = self._unwrap(text) if self._unwrap else Unwrapped(None, text)
            if self._merger:
                taken = taken._replace(request=self._merger.merge(taken.request))
            self._decode(taken.request)
            if self._unwrap or self._merger:
                # The decoder has skipped what isn't sent, which may be broken UTF-8 or
                # a number out of range.
                if not text.isascii():
                    text.decode()
                if _may_be_out_of_range(text):
                    msgspec.json.decode(text)
        except MISFIT:
            return None
        return taken

    def _cutter(
        self, line: bytes, shape: Shape, taken: Unwrapped, decode: Decode
    ) -> Cut | None:
        """
        See `cut`.

        Args:
            line: the lines to come are likely to be like this one.
        """
        merge = None
        if self._merger:
            merge = _passing(self._merger, self._decoders)
        if self._unwrap is None:
            if merge is None:
                return None  # see `_whole_runs`
            head = self._envelope.head + self._envelope.open
            close = self._envelope.close

            def merged(number: int, text: bytes) -> tuple[bytes, ...] | None:
                try:
                    text = merge(text)
                except MISFIT:
                    return None
                return head % number, text, close

            return merged
        columns = _columns_before(line, shape, self._rules)
        pattern = _opening(shape, self._rules, columns)
        if pattern is None:
            return None
        cut = self._cut(line, shape, taken, pattern, decode)
        if cut is None:
            return None
        match, first = pattern.match, self._keys.first
        passes, before, after, behind = cut
        width = len(behind)
        keyed, beside = shape.id is not None, bool(self._rules.family.beside)
        keep = None
        if self._own is not None:
            keep = self._own.keeper(behind, shape, columns)

        def wrapped(number: int, text: bytes) -> tuple[bytes, ...] | None:
            begin = match(text)
            if begin is None or not text.endswith(behind):
                return None
            value = text[begin.end() : -width].rstrip(_SPACE)
            try:
                if merge:
                    value = merge(value)
                else:
                    passes(value)
            except MISFIT:
                return None
            if keyed and first(begin[1], number) != number:
                return None
            if keep is not None:
                keep(number, begin)
            if beside:
                return before % (number, begin["url"]), value, after
            return before % number, value, after

        return wrapped

    def _cut(
        self,
        line: bytes,
        shape: Shape,
        taken: Unwrapped,
        opening: re.Pattern[bytes],
        decode: Decode,
    ) -> "_Cut | None":
        """
        How lines of a shape are cut. A line to be embedded says more behind its text:
        only lines that end as this one does are cut.
        """
        head, open, close = self._envelope
        if shape.embeds is None:
            beside = BESIDE if self._rules.family.beside else b""
            return _Cut(decode, head + beside + open, close, b"}")
        begin = opening.match(line)
        value = bytes(_members.decode(line)[shape.embeds])
        if begin is None or not line.startswith(value, begin.end()):
            return None
        behind = line[begin.end() + len(value) :].lstrip(_SPACE)
        others = _members.decode(b"{" + behind.removeprefix(b","))
        if shape.embeds in others or shape.id in others:
            return None
        # What is sent of this line shows what to send of those with another value.
        start, place = b'{"content":', ["content"]
        if self._rules.family.wrapper and value.startswith(b'"'):
            start, place = start + BARE[0], ["content", "parts", "text"]
        sent = taken.request
        passes = self._decoders.of_values(*place)
        if passes is None or not sent.startswith(start + value):
            return None
        before = head + (open + start if self._rules.family.wrapper else start[1:])
        return _Cut(passes, before, sent[len(start + value) :] + close, behind)


class _Cut(NamedTuple):
    """How a line is cut: what checks the value, and what is sent around it."""

    passes: Decode
    before: bytes
    after: bytes
    behind: bytes  #: what stands behind the value in the line itself


def _may_be_out_of_range(text: bytes) -> bool:
    """Whether it may have a number that no type can hold; a text may look like one."""
    zeros = text.translate(_ZEROS, _SKIPPED)
    return b"e000" in zeros or _LONG in zeros


def _filled(value: bytes) -> bytes:
    """
    Returns a value without objects that have no members.

    Raises:
        msgspec.ValidationError: it may have one; a text may look like one.
    """
    if _EMPTY_OBJECT.search(value):
        raise msgspec.ValidationError("may have an empty object")
    return value


def _columns_before(line: bytes, shape: Shape, rules: Rules) -> tuple[str, ...]:
    """
    The columns of the user's own between the key of a line and its request. Empty if
    one of them may mean something, or if the line has another order.
    """
    names = tuple(_members.decode(line))
    start = 0 if shape.id is None else 1
    if names[:start] != (shape.id,)[:start] or shape.wrapper not in names:
        return ()
    columns = names[start : names.index(shape.wrapper)]
    read = READ_BESIDE.union(strays(of_request(rules.family.members)))
    if rules.family.beside or not read.isdisjoint(columns):
        return ()
    if any(UNFIT.search(name) or "%" in name for name in columns):
        return ()
    return columns


def _opening(
    shape: Shape, rules: Rules, columns: tuple[str, ...]
) -> re.Pattern[bytes] | None:
    """
    What most lines of a shape begin with, up to the value that is sent. Its groups are
    the user's key, and the values of these columns. The rest of the line is the value
    that is sent, and a brace: if it is one JSON value, the line has no other members.
    None for lines that are sent as they are, and for shapes whose request is only sent
    in part.
    """
    if shape.embeds is None and (shape.wrapper is None or rules.family.wrapper is None):
        return None
    space, colon = rb"[ \t\r]*", rb"[ \t\r]*:[ \t\r]*"
    members = []
    if shape.id is not None:
        # Without escapes, and without bytes that may not be UTF-8.
        key = rb'"([ !#-\[\]-~]+)"'
        members.append(rb'"%b"' % shape.id.encode() + colon + key)
    if rules.family.beside:
        members.append(rb'"method"' + colon + rb'"POST"')
        urls = "|".join(rules.family.urls).encode()
        members.append(rb'"url"' + colon + rb'"(?P<url>%b)"' % urls)
    members += [b'"%b"' % re.escape(n).encode() + colon + _SIMPLE for n in columns]
    main = shape.wrapper or shape.embeds or ""
    members.append(rb'"%b"' % main.encode() + colon)
    return re.compile(rb"\{" + space + (space + b"," + space).join(members))


class _Decoders:
    """Decoders that take exactly what brings nothing new to the columns."""

    def __init__(self, rules: Rules, columns: Columns) -> None:
        self._rules = rules
        self._root = columns.root

    def of_requests(self) -> Decode:
        """
        Takes requests with the same names and types, no nulls, and with everything that
        is required.
        """
        return self._decode(self._root)

    def of_values(self, *path: str) -> Decode | None:
        """The same for the value at a place; None if there was none yet."""
        column: Column | None = self._root
        for name in path:
            column = column.members.get(name) if column else None
        return self._decode(column) if column else None

    def of_requests_but(self, *names: str) -> Decode:
        """
        The same for a request in which these members may be anything. It returns each
        of them as it is written, as an attribute of its name.
        """
        return msgspec.json.Decoder(self._struct(self._root, names)).decode

    def take_empty_objects(self) -> bool:
        """Whether types take an object without members, which the import refuses."""
        return self._rules.imports and any(
            column.kind == "an object" and column.anchor is None
            for column in _all(self._root)
        )

    def _decode(self, column: Column) -> Decode:
        decode = msgspec.json.Decoder(self._type(column)).decode
        if self.take_empty_objects():
            return lambda value: decode(_filled(value))
        return decode

    def _type(self, column: Column) -> Any:
        if column.type is None:
            column.type = self._made(column)
        return column.type

    def _made(self, column: Column) -> Any:
        made: Any
        match column.kind:
            case "an object":
                made = self._struct(column)
            case "a string":
                made = self._string(column)
            case "a number" if column.known.whole:
                made = Annotated[float, msgspec.Meta(multiple_of=1)]
            case "a number":
                made = float
            case "a boolean":
                made = bool
            case _ if column.nullable:
                return None
            case _:  # only empty arrays so far
                return EMPTY_ARRAY
        if column.repeated and column.must.filled:
            made = Annotated[list[made], msgspec.Meta(min_length=1)]
        elif column.repeated:
            made = list[made]
        return made | None if column.nullable else made

    def _string(self, column: Column) -> Any:
        must = column.must
        if must.choices:
            return Literal[must.choices]
        if must.same_model:
            return Annotated[str, msgspec.Meta(pattern=self._rules.model_pattern)]
        if pattern := self._rules.medium_pattern(column.name):
            return Annotated[str, msgspec.Meta(pattern=pattern)]
        if must.filled:
            return Annotated[str, msgspec.Meta(min_length=1)]
        known = column.known
        if known.choices and self._rules.strict:
            return Literal[known.spellings]
        if known.pattern is not None:
            return Annotated[str, msgspec.Meta(pattern=known.pattern)]
        return str

    def _struct(self, column: Column, apart: tuple[str, ...] = ()) -> Any:
        fields: list[Any] = [(name, msgspec.Raw, msgspec.UNSET) for name in apart]
        names = {}
        for number, (name, member) in enumerate(column.members.items()):
            if name in apart or UNFIT.search(name):
                continue
            field = f"f{number}"
            names[field] = name
            made = self._type(member)
            if name == column.anchor or member.must.required:
                fields.append((field, made))
            else:
                fields.append((field, made, msgspec.UNSET))
        if column.must.any_of and column.anchor not in column.must.any_of:
            return NEVER
        return object_type(fields, names)


def _all(column: Column) -> Iterator[Column]:
    yield column
    for member in column.members.values():
        yield from _all(member)


def _passing(merger: Merger, decoders: _Decoders) -> Merge:
    """
    Merges as `merger.merge` does. It takes only requests that bring nothing new to the
    columns once they are merged, and raises one of MISFIT for any other.
    """
    passes = decoders.of_values(NAMES[0])

    def merged(own: bytes) -> bytes:
        made = merger.merged(own)
        if passes is None:
            raise msgspec.ValidationError("is the first configuration")
        passes(made)
        return made

    names = dict.fromkeys(merger.beside) | dict.fromkeys(map(snake, merger.beside))
    own_of = decoders.of_requests_but(*(NAMES if merger.ours else ()), *names)
    splice = merger.splicer(own_of, merged, _missing(merger, decoders))
    if decoders.take_empty_objects():
        return lambda request: _filled(splice(request))
    return splice


def _missing(merger: Merger, decoders: _Decoders) -> Missing | None:
    """
    Returns the members of the job's configuration that a request lacks beside its
    contents. It takes only requests that write their own members by the same names,
    once each, with nothing new in them.
    """
    known = []
    for name, raw in merger.beside.items():
        passes = decoders.of_values(name)
        ours = following(name, raw) if passes and _takes(passes, raw) else None
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


def _takes(passes: Decode, raw: bytes) -> bool:
    try:
        passes(raw)
    except msgspec.ValidationError:
        return False
    return True
