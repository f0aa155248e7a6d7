"""One pass over a file: checks each line, and gives the lines to send."""

import codecs
import json
import math
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import msgspec

from batchdrop.preflight.alike import Alike
from batchdrop.preflight.columns import Columns
from batchdrop.preflight.fix import FIXABLE, fixed, with_role
from batchdrop.preflight.keys import Keys
from batchdrop.preflight.lines import (
    LATIN,
    LINE_LIMIT,
    MOST_VALUES,
    broken_at,
    is_crowded,
    looks_latin,
    not_utf8,
    split_lines,
    unpacked,
)
from batchdrop.preflight.members import CONFIG, of_request, strays
from batchdrop.preflight.merge import Merger
from batchdrop.preflight.request import KINDS, MOST_ERRORS, Full, Look, Members
from batchdrop.preflight.rules import REJECT, Rules
from batchdrop.preflight.shapes import (
    BARE,
    BESIDE,
    IDS,
    URLS,
    NotOneContent,
    OtherModel,
    Shape,
    Unwrapped,
    WrongShape,
    an_object,
    answered,
    as_written,
    opening,
    other_request,
    shape_of,
    unread,
    unwrapper,
)
from batchdrop.rows import RowError, Rows

#: What a decoder raises for a line that doesn't fit it.
_MISFIT = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

#: The code of a row that has an answer already.
ANSWERED = "answered"
_HIGH_AT_END = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}.{0,8}$")
#: Of a whole number, as msgspec takes them.
MOST_DIGITS = 4300
#: Longer lines are looked at one at a time, whatever number of files is read at once:
#: a look holds several copies of the line, with four bytes a character.
_LONG = 1_000_000
_one_long_line = threading.Lock()
#: So many lines in another encoding show that the file is in it: one error, and not one
#: for each line, unless bad lines are to be left out.
MANY_LATIN = 3
_NO_ARRAY = "write each of its items on a line of its own, without commas between them"
_SPACE = b" \t\r"
_EMPTY = re.compile(rb"\{\s*\}")
_decode = msgspec.json.Decoder().decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Cut(NamedTuple):
    """What checks a value that is cut out of a line, and what is sent around it."""

    passes: Callable[[bytes], Any]
    before: bytes
    after: bytes
    behind: bytes  #: what the line itself has behind it


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that can't be sent, as it was written, and why."""

    line: int
    text: bytes
    row_errors: tuple[RowError, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """What became of some lines: those to send, each with its line feed, and others."""

    staged: bytes
    rows: int  #: how many are staged
    refused: tuple[Refused, ...]
    #: Of those that are refused besides, the first and the last of each run: between
    #: them are no good ones, but there may be blank lines.
    untold: tuple[tuple[int, int], ...]
    lines: list[bytes]  #: as they were written, blank ones too
    first: int  #: the number of the first of these
    mended: dict[int, bytes]  #: those that were mended, in the user's own shape


#: A line that is bad as others were.
_ALIKE = Refused(0, b"", ())


class Checker:
    """
    Reads one file under some rules.

    A row's id is its line's number in the file, counted from 1, behind a letter: the
    import would make a number of digits alone. By it the user's own key and columns,
    which are not sent, are found in the file again.
    """

    def __init__(self, rules: Rules, told: int | None = None) -> None:
        """
        Args:
            told: of so many bad lines it is said what is wrong, and of others only that
                something is, which takes less time; None: of all.
        """
        self.rules = rules
        self._left = told
        self._alike = Alike()
        self.accepted = self.refused = self.fixed = 0
        self._line = 0
        self._mended: dict[int, bytes] = {}
        self._columns = Columns(rules)
        self._merger = Merger.of(rules)
        self._shape: Shape | None = None
        self._shape_line = 0
        self._unwrap: Callable[[bytes], Unwrapped] | None = None
        #: The same, but for lines that need a look for what stands beside a request.
        self._strictly: Callable[[bytes], Unwrapped] | None = None
        self._pass: Callable[[bytes], Any] | None = None
        self._loose = False
        #: The same for whole lines, where what is sent can be cut out of them.
        self._quick: Callable[[int, bytes], tuple[bytes, ...] | None] | None = None
        self._keys = Keys()
        self._latin: set[int] = set()  #: lines that look like that
        self._family = family = rules.family
        #: Members that are looked for beside a request.
        self._strays = strays(of_request(family.members)) if rules.strict else {}
        self._head = b'{"%b":"r%%07d",' % family.id.encode()
        self._open = f'"{family.wrapper}":'.encode() if family.wrapper else b""
        self._close = b"}\n" if family.wrapper else b"\n"

    @property
    def rows(self) -> Rows:
        """What has become of the rows so far."""
        return Rows(
            total=self.accepted + self.refused,
            accepted=self.accepted,
            refused=self.refused,
            fixed=self.fixed,
        )

    @property
    def line(self) -> int:
        """How many lines were read, blank ones too; the next file's are counted on."""
        return self._line

    def blocks(self, chunks: Iterable[bytes]) -> Iterator[Block]:
        """
        Reads a file, given its bytes in any pieces, packed or not.

        Raises:
            NotReadable: it can't be unpacked, or is text in another encoding.
        """
        for lines in split_lines(unpacked(chunks, self.rules.max_unpacked)):
            yield self._block(lines)

    def _block(self, lines: list[bytes]) -> Block:
        out: list[bytes] = []
        refused: list[Refused] = []
        untold: list[tuple[int, int]] = []
        hidden, good = 0, True
        number, rows = self._line, 0
        first = number + 1
        self._mended = {}
        for line in lines:
            number += 1
            text = line.strip()
            if not text:
                continue
            if len(text) > MOST_VALUES:
                staged = self._long_row(number, text)
            else:
                # Most lines of most files bring nothing new.
                quick = self._quick(number, text) if self._quick else None
                staged = quick or self._row(number, text)
            if not isinstance(staged, Refused):
                out += staged
                rows += 1
                good = True
            elif self._left == 0:
                hidden += 1
                start = number if good else untold.pop()[0]
                untold.append((start, number))
                good = False
            else:
                refused.append(staged)
                if self._left is not None:
                    self._left -= 1
        self._line = number
        self.accepted += rows
        self.refused += len(refused) + hidden
        return Block(
            b"".join(out),
            rows,
            tuple(refused),
            tuple(untold),
            lines,
            first,
            self._mended,
        )

    def _long_row(self, number: int, text: bytes) -> tuple[bytes, ...] | Refused:
        """A line that might hold too much to be decoded."""
        if len(text) <= LINE_LIMIT and is_crowded(text):
            look = Look(self.rules, number, self._columns)
            look.add_error(
                "",
                "too_many_values",
                f"has more than {MOST_VALUES:,} values and names",
                "write fewer in a line; what is data for the prompt can be written as "
                "a text",
            )
            return Refused(number, text, tuple(look.row_errors))
        if self._quick and (quick := self._quick(number, text)):
            return quick
        if len(text) <= _LONG:
            return self._row(number, text)
        with _one_long_line:
            return self._row(number, text)

    def _row(self, number: int, text: bytes) -> tuple[bytes, ...] | Refused:
        """A line that needs more than a decoder."""
        if self._left == 0 and (self._alike.holds(text) or _is_malformed(text)):
            return _ALIKE
        taken = self._known(text)
        if taken is not None and not self._repeated(taken.id, number):
            return self._staged(number, taken)
        most = 1 if self._left == 0 else MOST_ERRORS
        look = Look(self.rules, number, self._columns, most)
        try:
            taken = self._look(look, text)
        except Full:
            look.forget()
            self._mended.pop(number, None)
            taken = None
        except RecursionError:
            look.deep()
            taken = None
        if taken is None:
            if self._left == 0:
                self._alike.learn(look)
            return Refused(number, text[:LINE_LIMIT], tuple(look.row_errors))
        return self._staged(number, taken)

    def _staged(self, number: int, taken: Unwrapped) -> tuple[bytes, ...]:
        head = self._head % number
        if self._family.wrapper is None:
            return head, taken.request[1:], self._close
        return head, taken.beside, self._open, taken.request, self._close

    # -- lines that bring nothing new ------------------------------------------------

    def _quickly(
        self, line: bytes
    ) -> Callable[[int, bytes], tuple[bytes, ...] | None] | None:
        """
        Gives what is to be sent of a line, if its request, or what is to be embedded,
        can be cut out of it, and neither that nor the key brings anything new; else
        nothing. There is none where a request isn't sent as a whole.

        Args:
            line: that the lines to come are likely to be like.
        """
        shape, decode = self._shape, self._pass
        if shape is None or decode is None:
            return None
        loose = self._loose
        merge = self._merger.passing(self._columns) if self._merger else None
        if self._unwrap is None:
            head, close = self._head + self._open, self._close

            def plain(number: int, text: bytes) -> tuple[bytes, ...] | None:
                try:
                    if merge:
                        text = merge(text)
                    else:
                        decode(text)
                except _MISFIT:
                    return None
                if loose and _has_empty(text):
                    return None
                return head % number, text, close

            return plain
        pattern = opening(shape, self.rules)
        if pattern is None:
            return None
        cut = self._cut(line, shape, pattern, decode)
        if cut is None:
            return None
        match, first = pattern.match, self._keys.first
        passes, before, after, behind = cut
        width = len(behind)
        keyed, beside = shape.id is not None, bool(self._family.beside)

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
            except _MISFIT:
                return None
            if loose and _has_empty(value):
                return None
            if keyed and first(begin[1], number) != number:
                return None
            if beside:
                return before % (number, begin["url"]), value, after
            return before % number, value, after

        return wrapped

    def _cut(
        self,
        line: bytes,
        shape: Shape,
        opening: re.Pattern[bytes],
        decode: Callable[[bytes], Any],
    ) -> "_Cut | None":
        """
        How lines of a shape are cut. Of lines to be embedded, which say more beside
        their text, those are that end as this one does.
        """
        head, close = self._head, self._close
        if shape.embeds is None:
            beside = BESIDE if self._family.beside else b""
            return _Cut(decode, head + beside + self._open, close, b"}")
        begin = opening.match(line)
        value = bytes(_members.decode(line)[shape.embeds])
        if begin is None or not line.startswith(value, begin.end()):
            return None
        behind = line[begin.end() + len(value) :].lstrip(_SPACE)
        others = _members.decode(b"{" + behind.removeprefix(b","))
        if shape.embeds in others or shape.id in others:
            return None
        # What is sent of this line tells what is sent of those with another value.
        start, place = b'{"content":', ["content"]
        if self._family.wrapper and value.startswith(b'"'):
            start, place = start + BARE[0], ["content", "parts", "text"]
        assert self._unwrap is not None
        sent = self._unwrap(line).request
        passes = self._columns.decoder_of(*place)
        if passes is None or not sent.startswith(start + value):
            return None
        before = head + (self._open + start if self._family.wrapper else start[1:])
        return _Cut(passes, before, sent[len(start + value) :] + close, behind)

    def _known(self, text: bytes) -> Unwrapped | None:
        if self._pass is None:
            return None
        try:
            taken = self._strictly(text) if self._strictly else Unwrapped(None, text)
            if self._merger:
                taken = taken._replace(request=self._merger.merge(taken.request))
            self._pass(taken.request)
            if (self._unwrap or self._merger) and not text.isascii():
                # What isn't sent has been skipped, and may be anything.
                text.decode()
        except _MISFIT:
            return None
        if self._loose and _has_empty(taken.request):
            return None
        return taken

    def _repeated(self, id: bytes | None, number: int) -> bool:
        """Whether a key was there before. One that wasn't is kept."""
        return id is not None and self._keys.first(id, number) != number

    # -- lines that need a look ------------------------------------------------------

    def _look(self, look: Look, text: bytes) -> Unwrapped | None:
        """What is to be sent of a line; nothing, if the look has found row errors."""
        if self.rules.fix and text.startswith(codecs.BOM_UTF8):
            text = text.removeprefix(codecs.BOM_UTF8).strip()
            self._mended[look.line] = text
        if self._unreadable(look, text):
            self._mended.pop(look.line, None)
            return None
        line: Members = _parsed(text)
        look.parsed = line
        if (answer := answered(dict(line))) is not None:
            look.unsure = answer != "response"
            look.add_error(
                answer,
                ANSWERED,
                "is a batch's answer to this row, which would be paid again",
                "make a file of the rows without an answer: `batchdrop check --fix "
                "--only-unanswered -o OUT FILE`",
            )
            return None
        shape = self._shape_of(look, line)
        if shape is None:
            return None
        unwrap = self._unwrap
        if self._shape is None:
            unwrap = unwrapper(shape, self.rules)
        self._look_beside(look, line, shape)
        if look.row_errors:
            return None
        taken = self._taken(look, text, shape, unwrap, line)
        if self.rules.fix and any(
            row_error.code in FIXABLE for row_error in look.row_errors
        ):
            look.unsure = True
            left = [
                row_error
                for row_error in look.row_errors
                if row_error.code not in FIXABLE
            ]
            look.row_errors.clear()
            text = self._mend(text, shape)
            taken = self._taken(look, text, shape, unwrap, _parsed(text))
            self._mended[look.line] = text
            # Paths of what is bad still are those of the line as it was written.
            told = {(row_error.code, row_error.message) for row_error in left}
            new = [f for f in look.row_errors if (f.code, f.message) not in told]
            look.row_errors[:] = left + new
        if taken is not None and taken.id is not None:
            self._look_at_id(look, shape, taken.id)
        if look.row_errors:
            look.forget()
            self._mended.pop(look.line, None)
            return None
        self.fixed += look.line in self._mended
        if self._shape is None:
            self._shape, self._shape_line, self._unwrap = shape, look.line, unwrap
            self._strictly = unwrapper(shape, self.rules, self._strays)
        if self._columns.due():
            self._pass = self._columns.decoder().decode
            self._loose = self.rules.imports and self._columns.loose
            self._quick = self._quickly(text)
        return taken

    def _taken(
        self,
        look: Look,
        text: bytes,
        shape: Shape,
        unwrap: Callable[[bytes], Unwrapped] | None,
        line: Members,
    ) -> Unwrapped | None:
        """
        What a line has to say, and a look at its request.

        Args:
            line: the text, parsed.
        """
        try:
            taken = unwrap(text) if unwrap else Unwrapped(None, text)
            if self._merger:
                taken = taken._replace(request=self._merger.merge(taken.request))
        except OtherModel:
            look.unsure = True
            look.other_model(f"{shape.wrapper}.model" if shape.wrapper else "model")
            return None
        except NotOneContent as exc:
            path = f"{shape.wrapper}.contents" if shape.wrapper else "contents"
            look.add_error(path, "bad_contents", str(exc), "write one a line")
            return None
        except _MISFIT as exc:
            look.unsure = True
            look.add_error("", "bad_contents", str(exc), self._example())
            return None
        # Parsed once, where the request is as it stands in the line: a second time it
        # would take the same memory again.
        request: Any = line
        if self._merger or self._family.wrapper is None or self._is_made(shape):
            request = _parsed(taken.request)
        elif shape.wrapper:
            request = dict(line)[shape.wrapper]
        look.request(request, shape.wrapper or "")
        # The paths are those of what is made of the line.
        look.unsure |= bool(look.by_value) and self._is_made(shape)
        if look.row_errors and self._is_made(shape):
            root = f"{shape.wrapper}." if shape.wrapper else ""
            members = dict(line)
            if shape.wrapper:
                members = dict(members[shape.wrapper])
            look.row_errors[:] = [
                replace(
                    each, path=root + as_written(each.path.removeprefix(root), members)
                )
                for each in look.row_errors
            ]
        return taken

    def _is_made(self, shape: Shape) -> bool:
        """Whether what is sent has other members than what was written."""
        family = self._family
        return family.embeds and None in (shape.wrapper, family.wrapper)

    def _mend(self, text: bytes, shape: Shape) -> bytes:
        """The line as the user should have written it."""
        # An embedding line has other members than the request that is made of it.
        root = None if self._family.embeds else self._columns.root

        def mended(request: bytes) -> bytes:
            request = fixed(request, root)
            return with_role(request) if self._family.config else request

        if shape.wrapper is None:
            return mended(text)
        members = {name: bytes(raw) for name, raw in _members.decode(text).items()}
        members[shape.wrapper] = mended(members[shape.wrapper])
        return an_object(members)

    def _unreadable(self, look: Look, text: bytes) -> bool:
        """Whether a line is no JSON object; says so."""
        if len(text) > LINE_LIMIT:
            look.add_error(
                "",
                "too_long",
                f"has more than {LINE_LIMIT:,} bytes",
                "write a shorter line; put media into a bucket, and their gs:// "
                "addresses into the line",
            )
            return True
        example = self._example()
        if (broken := broken_at(text)) is not None:
            message = f"byte {broken + 1} is not UTF-8"
            if looks_latin(text):
                message += f"; the line looks like {LATIN}"
                self._latin.add(look.line)
                if len(self._latin) == MANY_LATIN and self.rules.on_invalid == REJECT:
                    raise not_utf8(LATIN, f"line {look.line}, byte {broken + 1}: ")
            look.add_error("", "not_utf8", message, "save the file as UTF-8")
            return True
        try:
            value = _decode(text)
        except msgspec.ValidationError as exc:
            message, _, _ = str(exc).partition(" - at ")
            look.add_error(
                _too_large(text),
                "number_out_of_range",
                f"is a number that no number type can hold: {message}",
                "write it as a string",
            )
        except msgspec.DecodeError as exc:
            mark = text.find(codecs.BOM_UTF8)
            # Of what trails behind a value, the byte after the first is named.
            places = (f"(byte {mark})", f"(byte {mark + 1})")
            if mark >= 0 and str(exc).endswith(places):
                self._marked(look, text, mark)
            elif text.startswith(b"["):
                look.add_error("", "json_array", "begins a JSON array", _NO_ARRAY)
            else:
                look.add_error("", "not_json", _where(str(exc), text), example)
        else:
            if isinstance(value, dict):
                return False
            if isinstance(value, list):
                what = "is a JSON array, not a line of JSON Lines"
                look.add_error("", "json_array", what, _NO_ARRAY)
            else:
                look.add_error("", "not_an_object", "is no JSON object", example)
        return True

    def _marked(self, look: Look, text: bytes, mark: int) -> None:
        """A file that was made of several has their byte order marks in it."""
        column = len(text[:mark].decode()) + 1
        fix = "leave the mark out, or let `batchdrop check --fix` do it"
        if mark:
            fix = "leave the mark out, and end the line before it"
        look.add_error(
            "",
            "byte_order_mark",
            f"has a byte order mark (U+FEFF) at column {column}; files that each began "
            "with one were joined",
            fix,
        )

    def _shape_of(self, look: Look, line: Members) -> Shape | None:
        names, family = {name for name, _ in line}, self._family
        try:
            shape = shape_of(names, family)
            if shape.wrapper:
                inner = next(v for n, v in reversed(line) if n == shape.wrapper)
                if isinstance(inner, Members):
                    found = {name for name, _ in inner}
                    if what := other_request(found, family):
                        raise WrongShape(what, shape.wrapper)
        except WrongShape as exc:
            if str(exc):
                look.add_error(
                    exc.path,
                    "wrong_shape",
                    f"is {exc}, which {self.rules.model} doesn't take",
                    self._example(),
                )
            elif names & {"response", "error", "status", "predictions"}:
                look.add_error(
                    "",
                    "no_contents",
                    "is what a batch wrote, without the request that it answers",
                    "drop the rows that were asked, without those that have an answer",
                )
            else:
                look.add_error(
                    "", "no_contents", f"has no {family.plain[0]}", self._example()
                )
            return None
        except StopIteration:
            look.add_error("", "no_contents", "has no body", self._example())
            return None
        if self._shape is not None and shape != self._shape:
            look.add_error(
                "",
                "mixed_shapes",
                f"has the shape {shape}, but line {self._shape_line} has the shape "
                f"{self._shape}",
                "write all lines of a file in one shape",
            )
            return None
        return shape

    def _look_beside(self, look: Look, line: Members, shape: Shape) -> None:
        """What stands beside the request, and is read."""
        members = dict(line)
        if shape.id is not None:
            id = members[shape.id]
            if not isinstance(id, str) or not id:
                look.unsure = True
                look.add_error(
                    shape.id,
                    "bad_key",
                    "must be a string, not empty",
                    f'write "{shape.id}": "..." or leave it out of all lines',
                )
        if shape.wrapper and not isinstance(members[shape.wrapper], Members):
            look.add_error(
                shape.wrapper, "not_an_object", "must be a JSON object", self._example()
            )
        allowed = {
            "method": ("POST",),
            "url": URLS,
        }
        for name in self._family.beside:
            if members.get(name) not in allowed[name]:
                look.unsure = True
                look.add_error(
                    name,
                    "bad_value",
                    f"must be {' or '.join(allowed[name])}",
                    self._example(),
                )

        if self.rules.strict:
            self._look_for_strays(look, members, shape)
        model = members.get("model")
        named = isinstance(model, str) and shape.wrapper is not None
        if named and not re.search(self.rules.model_pattern, str(model)):
            look.by_value["model"] = f"^(?!{self.rules.model_pattern})"
            look.other_model("model")

    def _look_for_strays(
        self, look: Look, members: dict[str, Any], shape: Shape
    ) -> None:
        """What is said beside a request, and would not be sent."""
        inside = of_request(self._family.members)
        for name, value in members.items() if shape.wrapper else ():
            known = self._strays.get(name)
            if known is None or value is None or not known.fits(KINDS[type(value)]):
                continue
            if isinstance(value, str) and not known.takes(value):
                continue
            if name == CONFIG and not any(known.has(inner) for inner, _ in value):
                continue
            look.unsure |= isinstance(value, str)
            place = f'"{shape.wrapper}"'
            if inside.member(name) is None:
                place = f'"generationConfig" in {place}'
            look.add_error(
                name,
                "beside_request",
                f'stands beside "{shape.wrapper}", where it isn\'t read',
                f"put it into {place}; a column of your own needs another name",
            )
        if not self._family.embeds or look.row_errors:
            return
        for path in unread(members, shape, self._family):
            fix = 'write what it says beside "content"'
            if self._family.wrapper is None:
                fix = (
                    "leave it out; lines for a Gemini embedding model may have "
                    '"outputDimensionality" beside "content"'
                )
            look.add_error(path, "unread", "is read by no batch of this model", fix)

    def _look_at_id(self, look: Look, shape: Shape, id: bytes) -> None:
        name = shape.id or IDS[0]
        if not look.row_errors and self._repeated(id, look.line):
            look.unsure = True
            look.add_error(
                name,
                "duplicate_key",
                f"is the same as in line {self._keys.first(id, look.line)}",
                "give each line a key of its own",
            )

    def _example(self) -> str:
        return f"write one JSON object a line: {self._family.example}"


def config_error(rules: Rules, shown: Callable[[str], str] = str) -> str:
    """
    What is wrong with the generation configuration of a job, by itself, and what to
    write; empty if nothing is. Each line would be refused for it, and `fix` mends only
    what stands in lines.

    Args:
        shown: makes of a path what may be told of it.
    """
    if rules.generation_config is None:
        return ""
    for block in Checker(rules).blocks([rules.family.example.encode()]):
        for refused in block.refused:
            row_error = refused.row_errors[0]
            path = shown(row_error.path.removeprefix("generationConfig."))
            return f"{path} {row_error.message}; {row_error.fix}"
    return ""


def own_columns(line: bytes) -> dict[str, msgspec.Raw]:
    """
    What a line of the dropped file has that isn't sent: the user's key, and members
    beside a wrapped request. Empty for a line that is the request itself.
    """
    line = line.removeprefix(codecs.BOM_UTF8)
    members = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    wrapper = next((name for name in ("request", "body") if name in members), None)
    if wrapper is None:
        return {name: members[name] for name in IDS if name in members}
    return {name: raw for name, raw in members.items() if name != wrapper}


def _parsed(request: bytes) -> Any:
    return json.loads(
        request, object_pairs_hook=Members, parse_int=_zero, parse_float=_fraction
    )


class _TooLarge(int):
    """Stands for a number that can't be held."""


def _too_large(text: bytes) -> str:
    """The path of the first number of a line that can't be held."""

    def whole(number: str) -> int:
        return _TooLarge() if len(number) > MOST_DIGITS else 0

    def broken(number: str) -> int:
        return _TooLarge() if math.isinf(float(number)) else 0

    def find(value: Any, path: str) -> str | None:
        if isinstance(value, _TooLarge):
            return path
        if isinstance(value, Members):
            dot = f"{path}." if path else ""
            inner = ((each, f"{dot}{name}") for name, each in value)
        elif isinstance(value, list):
            inner = ((each, f"{path}[{n}]") for n, each in enumerate(value))
        else:
            return None
        return next((at for pair in inner if (at := find(*pair)) is not None), None)

    line = json.loads(
        text, object_pairs_hook=Members, parse_int=whole, parse_float=broken
    )
    return find(line, "") or ""


def _is_malformed(text: bytes) -> bool:
    """Whether a line is no JSON; what is may be told otherwise all the same."""
    try:
        _members.decode(text)
    except msgspec.ValidationError:
        return False
    except msgspec.DecodeError:
        # One that can be left out may stand at the beginning.
        return not text.startswith(codecs.BOM_UTF8)
    except (UnicodeDecodeError, RecursionError):
        return False
    return False


def _zero(_: str) -> int:
    # That it is a number is all there is to know; some are too long for Python.
    return 0


def _fraction(text: str) -> float:
    # Whether it is whole is all there is to know besides.
    return 0 if float(text).is_integer() else 0.5


def _has_empty(request: bytes) -> bool:
    """Whether there may be an object without members."""
    if not (
        b"{}" in request or b"{ " in request or b"{\t" in request or b"{\r" in request
    ):
        return False
    return _EMPTY.search(request) is not None


def _where(message: str, text: bytes) -> str:
    """A parser's message with the byte it names as a column of the line's text."""
    match = re.search(r"\(byte (\d+)\)$", message)
    if match is None:
        if "truncated" in message and _HIGH_AT_END.search(text):
            return "has half of a surrogate pair at its end"
        if "truncated" in message:
            return f"ends in the middle, at column {len(text.decode()) + 1}"
        return message
    column = len(text[: int(match[1])].decode(errors="ignore")) + 1
    return f"{message[: match.start()].rstrip()} at column {column}"
