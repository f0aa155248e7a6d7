"""
Stages lines, from files and from inline requests: preflight checks them, and each
gets a key and a shape that the API takes.

    {"contents": [..]}              {"key": "request-1", "request": {..}}
    {"key": "a", "request": {..}}   {"key": "a", "request": {..}}
    {"key": "007", "request": ..}   {"key": "request-3", "batchdrop_own": "{..}", ..}

Preflight takes a tenth of a second to import, so this module is imported at first use.
"""

import codecs
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from msgspec import Raw

from batchdrop.batches.inline import flat
from batchdrop.batches.lines import OWN
from batchdrop.errors import NotReadable
from batchdrop.preflight import ALLOW, Block, Checker, Refused, Rules, own_columns
from batchdrop.preflight.lines import split_lines, unpacked
from batchdrop.preflight.merge import Merger
from batchdrop.preflight.names import camel_case
from batchdrop.preflight.rules import Family, short_model
from batchdrop.preflight.shapes import IDS, WrongShape, is_openai, shape_of

#: What a decoder raises for an invalid line.
_MISFIT = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
#: What preflight puts first in a staged line: an id with the line's number.
_HEAD = re.compile(rb'\{"\w+":"r(\d+)",')
#: A key that Vertex AI's import doesn't change. It turns 007 and 1e5 into numbers, and
#: may turn other keys into dates or booleans.
_LASTING = re.compile(r"(?!(?:true|false|null|nan|inf|infinity)\Z)[a-z]", re.IGNORECASE)
#: A name that BigQuery accepts for a column.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,299}")
_PACKED = b"\x1f\x8b"
#: Members of an answer line: a column of the same name would look like one of them.
_ANSWERS = frozenset({"response", "status", "error", "predictions"})
#: Errors of a line because of another line, which the message names.
_OF_TWO_LINES = frozenset({"duplicate_key", "mixed_shapes", "mixed_types"})
_OTHER_LINE = re.compile(r"\bline (\d+)\b")

_members = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Source:
    """
    Lines to stage.

    Attributes:
        read: returns their bytes from the start, in any pieces, packed or not.
        place: names a line by its number, such as "gs://b/in.jsonl, line 3".
    """

    read: Callable[[], Iterable[bytes]]
    place: Callable[[int], str]


class Wire:
    """
    Writes lines as one model takes them.

    Args:
        vertex: True for Vertex AI, False for the Developer API.
        config: the job's config, merged into every request, whose own values win.
        embeds: True if the model embeds.
    """

    def __init__(
        self,
        *,
        vertex: bool,
        model: str,
        config: Mapping[str, Any] | None = None,
        embeds: bool = False,
    ) -> None:
        rules = Rules(
            backend="vertex" if vertex else "developer",
            model=model,
            fix=True,
            # A new member of the API's needs no release of ours.
            unknown=ALLOW,
            generation_config=_flat(config) if config else None,
            # A key is sent, where it can be.
            key_numbers=False,
        )
        if embeds and not rules.family.embeds:
            # A tuned model's name doesn't show its family.
            rules = replace(rules, model="text-embedding")
        self._rules = rules
        self._family = rules.family

    def takes(self, pieces: Iterable[bytes]) -> bool:
        """
        True if a file may be submitted as it is, judged by its first line: the API
        takes such lines and returns their keys unchanged, or we can't tell.
        """
        plain, line = _first_line(pieces)
        if not plain:
            return False
        try:
            members = _members(line)
            family = self._family_of(line)
            shape = shape_of(members.keys(), family)
        except (WrongShape, *_MISFIT):
            # Any model of Vertex AI's that has no other lines counts as Gemini.
            gemini = self._rules.imports and self._family.config
            return gemini and not short_model(self._rules.model).startswith("gemini")
        if _ANSWERS & members.keys():
            return False
        main = shape.wrapper or shape.embeds
        if shape.wrapper != family.wrapper or main is None:
            return False
        begins = b"{" if shape.wrapper else b'"'
        if (shape.wrapper is None and main != "content") or (
            bytes(members[main])[:1] != begins
        ):
            return False
        if self._rules.imports and family.config and not _has_roles(members[main]):
            return False
        if self._rules.imports and not all(map(_is_column, members.items())):
            return False
        if shape.id is None or (family.id != IDS[0] and shape.id == IDS[0]):
            return self._rules.imports and family.id == IDS[0]
        if not self._rules.imports:
            return shape.id == family.id
        key = msgspec.json.decode(members[shape.id])
        return not isinstance(key, str) or _LASTING.match(key) is not None

    def _family_of(self, line: bytes) -> Family:
        """The format of a file whose first line is this one."""
        other = self._rules.openai_family
        return other if other is not None and is_openai(line) else self._family

    def copies(self, sources: Sequence[Source]) -> Iterator[Iterator[bytes]]:
        """
        The bytes of each source's copy, in constant memory but for 25 bytes a key. Read
        the copies in order: keys and types are compared over all of them.

        Raises:
            ValueError: a line can't be sent; the text has its place and what to write.
        """
        checker = Checker(self._rules)
        read: list[tuple[int, Source]] = []
        for source in sources:
            read.append((checker.line, source))
            yield self._copy(checker, read)

    def sizes(self, sources: Sequence[Source]) -> list[int]:
        """
        The size of each copy in bytes. It reads all lines, so that a bad line is
        reported before the first is sent.

        Raises:
            ValueError: as `copies`, or there are no lines.
        """
        sizes = [sum(map(len, copy)) for copy in self.copies(sources)]
        if not any(sizes):
            raise ValueError(f"{sources[0].place(1)}: there is no request in it")
        return sizes

    def _copy(
        self, checker: Checker, read: Sequence[tuple[int, Source]]
    ) -> Iterator[bytes]:
        """
        Args:
            read: the number of lines before each source, and the source; the last is
            the
                one to read.
        """
        places = tuple(read)
        _, source = places[-1]
        try:
            for block in checker.blocks(source.read()):
                for refused in block.refused:
                    raise ValueError(_why(refused, places))
                yield self._keyed(block, checker.rules.family)
        except NotReadable as exc:
            raise ValueError(f"{source.place(1)}: {exc}") from exc

    # Keys and columns.

    def _keyed(self, block: Block, family: Family) -> bytes:
        """The staged lines, with the caller's key and columns in place of their ids."""
        out: list[bytes] = []
        for staged in block.staged.split(b"\n")[:-1]:
            head = _HEAD.match(staged)
            assert head is not None
            number = int(head[1])
            own = own_columns(block.lines[number - block.first])
            for name in family.beside:
                own.pop(name, None)  # they are sent as they are
            front = self._front(number, own, family.id)
            out += (front, staged[head.end() :], b"\n")
        return b"".join(out)

    def _front(self, number: int, own: dict[str, Raw], id: str) -> bytes:
        name = next((name for name in IDS if name in own), id)
        key = f"request-{number}"
        if name in own:
            key = msgspec.json.decode(own[name], type=str)
        others = {each: raw for each, raw in own.items() if each != name}
        if not self._rules.imports:
            beside = {id: Raw(_encode(key))} | others
            return _encode(beside)[:-1] + b","
        if name in own and id == IDS[0]:
            id = name  # the API gives back either
        beside = {}
        if not _LASTING.match(key):
            key, others = f"request-{number}", own
        beside[id] = Raw(_encode(key))
        if others:
            beside[OWN] = Raw(_encode(_encode(own).decode()))
        return _encode(beside)[:-1] + b","


def merged(
    request: Mapping[str, Any], config: Mapping[str, Any], *, vertex: bool
) -> dict[str, Any]:
    """The request with the job's config merged into it; its own values win."""
    made = Merger(_flat(config), vertex).merge(_encode(request))
    return msgspec.json.decode(made, type=dict[str, Any])


def _flat(config: Mapping[str, Any]) -> bytes:
    # In camelCase, so that all lines have the same columns.
    return _encode(camel_case(flat(config)))


def _first_line(pieces: Iterable[bytes]) -> tuple[bool, bytes]:
    """
    Whether a file is plain text (not packed, no byte order mark), and its first line
    that isn't blank.
    """
    rest = iter(pieces)
    head = next(rest, b"")

    def again() -> Iterator[bytes]:
        yield head
        yield from rest

    if head.startswith(_PACKED):
        return False, b""
    lines = (
        line.strip() for some in split_lines(unpacked(again(), 0)) for line in some
    )
    try:
        first = next(filter(None, lines), b"")
    except NotReadable:
        return False, b""  # in another encoding; preflight reports it
    return not head.startswith(codecs.BOM_UTF8), first


def _is_column(member: tuple[str, Raw]) -> bool:
    """True if the import takes this member of a line as a column."""
    name, value = member
    return _NAME.fullmatch(name) is not None and bytes(value) not in (b"null", b"{}")


def _has_roles(request: Raw) -> bool:
    """True if all contents of a request have a role, which Vertex AI requires."""
    try:
        contents = msgspec.json.decode(request, type=_Contents).contents
    except _MISFIT:
        return True  # the API says what is wrong
    return all("role" in content for content in contents)


class _Contents(msgspec.Struct):
    contents: list[dict[str, Raw]] = []


def _why(refused: Refused, places: Sequence[tuple[int, Source]]) -> str:
    row_error = refused.row_errors[0]

    def place(line: int) -> str:
        before, source = next(each for each in reversed(places) if each[0] < line)
        return source.place(line - before)

    # Preflight counts the lines of all sources together.
    message = row_error.message
    if row_error.code in _OF_TWO_LINES:
        message = _OTHER_LINE.sub(lambda other: place(int(other[1])), message)
    path = f"{row_error.path} " if row_error.path else ""
    return f"{place(refused.line)}: {path}{message}; {row_error.fix}"
