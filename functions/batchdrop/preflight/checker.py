"""Reads a file once: checks each line, and returns the lines to send and the others."""

import codecs
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from batchdrop.preflight.asking import Asking
from batchdrop.preflight.columns import Columns
from batchdrop.preflight.envelope import EnvelopeCheck
from batchdrop.preflight.fast import (
    MISFIT,
    UNKNOWN,
    BadLines,
    GoodLines,
    ImpossibleLines,
    Runs,
    one_by_one,
)
from batchdrop.preflight.fix import FIXABLE, fixed, with_role
from batchdrop.preflight.inspection import MOST_ERRORS, Full, Inspection, Members
from batchdrop.preflight.keys import Keys
from batchdrop.preflight.lines import (
    LINE_LIMIT,
    LONG,
    MOST_VALUES,
    is_crowded,
    one_long_line,
    split_lines,
    unpacked,
)
from batchdrop.preflight.merge import Merger
from batchdrop.preflight.own import Own
from batchdrop.preflight.parse import Parser, is_malformed, parsed
from batchdrop.preflight.request import RequestCheck
from batchdrop.preflight.rules import Rules
from batchdrop.preflight.shapes import (
    IDS,
    Envelope,
    NotOneContent,
    OtherModel,
    Shape,
    Unwrapped,
    an_object,
    as_written,
    is_openai,
    unwrapper,
)
from batchdrop.rows import RowError, Rows

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that can't be sent, as it was written, and why."""

    line: int
    text: bytes
    row_errors: tuple[RowError, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """What became of some lines."""

    staged: bytes  #: the lines to send, each with its line feed
    rows: int  #: how many are staged
    refused: tuple[Refused, ...]  #: bad lines, explained
    #: Runs of more bad lines: the first and the last of each. A run has no good line in
    #: it, but may have blank ones.
    unexplained: tuple[tuple[int, int], ...]
    #: As they were written, blank ones too. They have their line feeds, but for those
    #: of a million bytes or more, and perhaps the last one.
    lines: list[bytes]
    first: int  #: the number of the first of these
    mended: dict[int, bytes]  #: lines that were mended, in the user's own shape
    own: bytes = b""  #: of the staged lines, see `own`; only where that is asked for


#: A bad line that isn't explained.
_UNEXPLAINED = Refused(0, b"", ())


class Checker:
    """
    Reads one file under some rules.

    A row's id is a letter and its line's number in the file, counted from 1: of digits
    alone, the import would make a number. The user's own key and columns are not sent.
    """

    def __init__(
        self,
        rules: Rules,
        explained: int | None = None,
        *,
        fast: bool = True,
        own: bool = False,
        called: Callable[[int], str] = "line {}".format,
    ) -> None:
        """
        Args:
            explained: how many bad lines get row errors; None: all. The others are only
                counted, which takes less time.
            fast: whether to take the fast paths. The outcome is the same without.
            own: whether blocks have the rows' own keys and columns.
            called: how messages call a line, by its number.
        """
        self._left = explained
        self.accepted = self.refused = self.fixed = 0
        self._line = 0
        self._mended: dict[int, bytes] = {}
        self._fast, self._owns, self._called = fast, own, called
        self._begin(rules)

    def _begin(self, rules: Rules) -> None:
        """Begins to read under these rules. No line may have been good before."""
        self.rules = rules
        self._family = rules.family
        self._parser = Parser(rules)
        self._columns = Columns(rules)
        self._keys = Keys()
        self._envelopes = EnvelopeCheck(rules, self._keys)
        self._envelope = Envelope.of(self._family)
        self._merger = Merger.of(rules)
        self._own = Own(self._family) if self._owns else None
        self._asking = Asking(self._family, self._columns)
        self._unwrap: Callable[[bytes], Unwrapped] | None = None
        self._good: GoodLines | None = None
        self._bad: BadLines | None = None
        self._impossible: ImpossibleLines | None = None
        if self._fast:
            self._good = GoodLines(
                rules,
                self._columns,
                self._merger,
                self._keys,
                self._envelope,
                self._own,
            )
            self._bad = BadLines()
            if not rules.fix:
                self._impossible = ImpossibleLines(
                    rules, self._envelopes, self._keys, self._merger, self._columns
                )

    @property
    def rows(self) -> Rows:
        """The counts of rows so far."""
        return Rows(
            total=self.accepted + self.refused,
            accepted=self.accepted,
            refused=self.refused,
            fixed=self.fixed,
        )

    @property
    def line(self) -> int:
        """How many lines were read, blank ones too; the next file continues there."""
        return self._line

    def asking_for_json(self, staged: bytes) -> bytes | None:
        """
        Which of some staged lines ask for JSON.

        Returns:
            A byte for each line, 1 if it does; None if none does.
        """
        return self._asking.of(staged)

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
        unexplained: list[tuple[int, int]] = []
        blank = hidden = 0
        after_good = True
        first = self._line + 1
        self._mended = {}
        texts = [line.strip() for line in lines]
        count = len(texts)
        for at, pieces in self._runs(first, texts):
            if pieces:
                out += pieces
                after_good = True
            if at == count:
                break
            text = texts[at]
            if not text:
                blank += 1
                continue
            number = first + at
            if len(text) > MOST_VALUES:
                staged = self._long_row(number, text)
            else:
                staged = self._row(number, text)
            if not isinstance(staged, Refused):
                out += staged
                after_good = True
            elif self._left == 0:
                hidden += 1
                start = number if after_good else unexplained.pop()[0]
                unexplained.append((start, number))
                after_good = False
            else:
                refused.append(staged)
                if self._left is not None:
                    self._left -= 1
        rows = count - blank - len(refused) - hidden
        self._line += count
        self.accepted += rows
        self.refused += len(refused) + hidden
        return Block(
            staged=b"".join(out),
            rows=rows,
            refused=tuple(refused),
            unexplained=tuple(unexplained),
            lines=lines,
            first=first,
            mended=self._mended,
            own=self._own.taken() if self._own else b"",
        )

    def _runs(self, first: int, texts: list[bytes]) -> Runs:
        """See `GoodLines.runs`."""
        # No other line of a block can be as long.
        if self._good and len(texts[0]) <= MOST_VALUES:
            return self._good.runs(first, texts)
        return one_by_one(texts)

    def _long_row(self, number: int, text: bytes) -> tuple[bytes, ...] | Refused:
        """A line that might hold too many values to be decoded."""
        if len(text) <= LINE_LIMIT and is_crowded(text):
            inspection = Inspection(self.rules, number)
            inspection.add_error(
                "",
                "too_many_values",
                f"has more than {MOST_VALUES:,} values and names",
                "write fewer in a line; what is data for the prompt can be written as "
                "a text",
            )
            return Refused(number, text, tuple(inspection.row_errors))
        cut = self._good.cut if self._good else None
        if cut and (staged := cut(number, text)):
            return staged
        if len(text) <= LONG:
            return self._row(number, text)
        with one_long_line:
            return self._row(number, text)

    def _row(self, number: int, text: bytes) -> tuple[bytes, ...] | Refused:
        if self._is_first_openai(text):
            self._begin(replace(self.rules, openai=True))
        bad = self._bad if self._left == 0 else None
        if bad and self._is_known(bad, text):
            return _UNEXPLAINED
        if self._good:
            taken = self._good.taken(text)
            if taken is not None and not self._is_repeated(taken.id, number):
                return self._staged(number, text, taken)
            if taken is not None and self._left == 0:
                return _UNEXPLAINED  # a repeated key is all that is wrong
        most = 1 if self._left == 0 else MOST_ERRORS
        inspection = Inspection(self.rules, number, most, self._called)
        try:
            taken = self._inspect(inspection, text)
        except Full:
            inspection.forget()
            self._mended.pop(number, None)
            taken = None
        except RecursionError:
            inspection.too_deep()
            taken = None
        if taken is None:
            if bad:
                bad.learn(inspection)
            return Refused(number, text[:LINE_LIMIT], tuple(inspection.row_errors))
        return self._staged(number, text, taken)

    def _is_known(self, bad: BadLines, text: bytes) -> bool:
        """Whether a line is bad for sure, without an inspection."""
        if bad.hold(text):
            return True
        found = UNKNOWN
        if self._impossible and not bad.due:
            found = self._impossible.find(text)
        if found is UNKNOWN or self._impossible is None:
            return is_malformed(text)
        return found.bad or self._impossible.contradict(text, found)

    def _is_first_openai(self, text: bytes) -> bool:
        """
        Whether a line is the first OpenAI-style one, where the model has such lines
        besides others, and no line before it was good.
        """
        rules = self.rules
        return (
            self._envelopes.shape is None
            and not rules.openai
            and rules.openai_family is not None
            and rules.generation_config is None
            and is_openai(text)
        )

    def _staged(self, number: int, text: bytes, taken: Unwrapped) -> tuple[bytes, ...]:
        """The pieces of a good line, as it is sent."""
        if self._own and self._envelopes.shape:
            self._own.add(number, text, self._envelopes.shape)
        return self._envelope.around(number, taken)

    def _is_repeated(self, key: bytes | None, number: int) -> bool:
        """Whether an earlier line has this key. A new key is kept."""
        return key is not None and self._keys.first(key, number) != number

    def _inspect(self, inspection: Inspection, text: bytes) -> Unwrapped | None:
        """What to send of a line; None if the inspection has found row errors."""
        if self.rules.fix and text.startswith(codecs.BOM_UTF8):
            text = text.removeprefix(codecs.BOM_UTF8).strip()
            self._mended[inspection.line] = text
        line = self._parser.members(inspection, text)
        if line is None:
            self._mended.pop(inspection.line, None)
            return None
        inspection.parsed = line
        if self._envelopes.is_answer(inspection, line):
            return None
        shape = self._envelopes.shape_of(inspection, line)
        if shape is None:
            return None
        unwrap = self._unwrap
        if self._envelopes.shape is None:
            unwrap = unwrapper(shape, self.rules)
        self._envelopes.check(inspection, line, shape)
        if inspection.row_errors:
            return None
        taken = self._taken(inspection, text, shape, unwrap, line)
        if self.rules.fix and any(
            row_error.code in FIXABLE for row_error in inspection.row_errors
        ):
            inspection.unsure = True
            left = [
                row_error
                for row_error in inspection.row_errors
                if row_error.code not in FIXABLE
            ]
            inspection.row_errors.clear()
            text = self._mend(text, shape)
            taken = self._taken(inspection, text, shape, unwrap, parsed(text))
            self._mended[inspection.line] = text
            # What is still wrong keeps its path in the line as it was written.
            known = {(row_error.code, row_error.message) for row_error in left}
            new = [
                row_error
                for row_error in inspection.row_errors
                if (row_error.code, row_error.message) not in known
            ]
            inspection.row_errors[:] = left + new
        if taken is not None and taken.id is not None:
            self._envelopes.check_key(inspection, shape, taken.id)
        if taken is None or inspection.row_errors:
            inspection.forget()
            self._mended.pop(inspection.line, None)
            return None
        self.fixed += inspection.line in self._mended
        self._unwrap = unwrap
        self._envelopes.learn(shape, inspection.line)
        if self._good:
            self._good.learn(text, shape, taken)
        return taken

    def _taken(
        self,
        inspection: Inspection,
        text: bytes,
        shape: Shape,
        unwrap: Callable[[bytes], Unwrapped] | None,
        line: Members,
    ) -> Unwrapped | None:
        """
        Unwraps a line, and inspects its request.

        Args:
            line: the text, parsed.
        """
        try:
            taken = unwrap(text) if unwrap else Unwrapped(None, text)
            if self._merger:
                taken = taken._replace(request=self._merger.merge(taken.request))
        except OtherModel:
            inspection.unsure = True
            inspection.other_model(
                f"{shape.wrapper}.model" if shape.wrapper else "model"
            )
            return None
        except NotOneContent as exc:
            path = f"{shape.wrapper}.contents" if shape.wrapper else "contents"
            inspection.add_error(path, "bad_contents", str(exc), "write one a line")
            return None
        except MISFIT as exc:
            inspection.unsure = True
            example = f"write one JSON object a line: {self._family.example}"
            inspection.add_error("", "bad_contents", str(exc), example)
            return None
        # Where the request is sent as it stands in the line, it is parsed already: a
        # second time would take the same memory again.
        request: Any = line
        if self._merger or self._family.wrapper is None or self._is_made(shape):
            request = parsed(taken.request)
        elif shape.wrapper:
            request = dict(line)[shape.wrapper]
        RequestCheck(inspection, self._columns).check(request, shape.wrapper or "")
        if self._is_made(shape):
            self._point_at_line(inspection, shape, line)
        return taken

    def _is_made(self, shape: Shape) -> bool:
        """Whether the request that is sent has other members than what was written."""
        family = self._family
        return family.embeds and None in (shape.wrapper, family.wrapper)

    def _point_at_line(
        self, inspection: Inspection, shape: Shape, line: Members
    ) -> None:
        """Replaces paths in the request by those in the line that it is made of."""
        inspection.unsure |= bool(inspection.by_value)
        if not inspection.row_errors:
            return
        root = f"{shape.wrapper}." if shape.wrapper else ""
        members = dict(line)
        if shape.wrapper:
            members = dict(members[shape.wrapper])
        inspection.row_errors[:] = [
            replace(each, path=root + as_written(each.path.removeprefix(root), members))
            for each in inspection.row_errors
        ]

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


def config_error(rules: Rules, shown: Callable[[str], str] = str) -> str:
    """
    What is wrong with the generation configuration of a job by itself, and what to
    write; empty if nothing is. Each line would be refused for it, and `fix` only mends
    lines.

    Args:
        shown: makes of a path what the message may show.
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
    The members of a line of the dropped file that aren't sent: the user's key, and
    those beside a wrapped request. Empty for a line that is the request itself.
    """
    line = line.removeprefix(codecs.BOM_UTF8)
    members = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    wrapper = next((name for name in ("request", "body") if name in members), None)
    if wrapper is None:
        return {name: members[name] for name in IDS if name in members}
    return {name: raw for name, raw in members.items() if name != wrapper}
