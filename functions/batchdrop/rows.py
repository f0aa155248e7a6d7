"""Row errors and counts, and counts in words: what most packages share."""

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Self


class RowOutcome(StrEnum):
    """What became of a row. The first that holds, in this order, is its outcome."""

    #: No request was sent for the line: it can't be sent. The report says why.
    REFUSED = "refused"
    #: No answer came.
    MISSING = "missing"
    #: The API answered with an error.
    FAILED = "failed"
    #: The prompt or the answer was withheld.
    BLOCKED = "blocked"
    #: The answer ends at a limit of length.
    TRUNCATED = "truncated"
    #: The answer is not in the form that was asked for, such as JSON or a tool call.
    MALFORMED = "malformed"
    #: The answer has no content, or thoughts alone.
    EMPTY = "empty"
    #: It ends for a reason that this version does not know. Its content is kept.
    UNCLEAR = "unclear"
    #: The answer is whole.
    OK = "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowError:
    """What is wrong with one line of the dropped file; its text is not kept."""

    line: int  #: counted from 1
    path: str  #: in the line, such as `request.contents`; empty: the line itself
    code: str
    message: str
    fix: str = ""  #: what to write instead
    place: str = ""  #: object and line, if a manifest names several objects


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """How many rows had which outcome."""

    total: int = 0
    accepted: int = 0
    refused: int = 0
    fixed: int = 0  #: accepted rows that were mended first

    # What became of the accepted rows, by `RowOutcome`: None until they are collected.
    # Then total = refused + the sum of these.

    ok: int | None = None
    truncated: int | None = None
    blocked: int | None = None
    malformed: int | None = None
    empty: int | None = None
    failed: int | None = None
    unclear: int | None = None
    missing: int | None = None

    @property
    def outcomes(self) -> dict[RowOutcome, int]:
        """How many accepted rows had each outcome; empty until they are collected."""
        counts = {outcome: getattr(self, outcome) for outcome in _ACCEPTED}
        return {each: count for each, count in counts.items() if count is not None}

    @property
    def all_outcomes(self) -> dict[RowOutcome, int]:
        """The same, and how many rows were refused, which is known at once."""
        return self.outcomes | {RowOutcome.REFUSED: self.refused}

    def __str__(self) -> str:
        """The counts in one line, such as `1,000 rows: 994 ok, 6 failed`."""
        counts = [(count, str(each)) for each, count in self.outcomes.items() if count]
        counts = counts or [(self.accepted, "accepted")]
        counts += [(self.refused, "refused")] if self.refused else []
        outcomes = ", ".join(f"{count:,} {name}" for count, name in counts)
        return f"{counted(self.total, 'row')}: {outcomes}"


#: The outcomes of accepted rows, in the order in which people want to know of them.
_ACCEPTED = (
    *(RowOutcome.OK, RowOutcome.FAILED, RowOutcome.BLOCKED, RowOutcome.TRUNCATED),
    *(RowOutcome.MALFORMED, RowOutcome.EMPTY, RowOutcome.UNCLEAR, RowOutcome.MISSING),
)
#: All outcomes in that order; those of rows that were not sent come last.
OUTCOMES = (*_ACCEPTED, RowOutcome.REFUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Tokens of rows, as they are estimated before anything is sent."""

    prompt: int = 0  #: includes those of media
    image: int = 0  #: of the prompt
    video: int = 0
    audio: int = 0
    output: int = 0  #: of the answers, without thoughts
    thoughts: int = 0

    def __add__(self, other: Self) -> Self:
        names = (each.name for each in fields(self))
        return type(self)(**{n: getattr(self, n) + getattr(other, n) for n in names})

    def __str__(self) -> str:
        """Such as `1,200 tokens: 800 prompt (100 image), 300 output, 100 thoughts`."""
        media = ((name, getattr(self, name)) for name in ("image", "video", "audio"))
        listed = ", ".join(f"{count:,} {name}" for name, count in media if count)
        thoughts = f", {self.thoughts:,} thoughts" if self.thoughts else ""
        return (
            f"{counted(self.prompt + self.output + self.thoughts, 'token')}: "
            f"{self.prompt:,} prompt{f' ({listed})' if listed else ''}, "
            f"{self.output:,} output{thoughts}"
        )


def counted(number: int, noun: str, nouns: str = "") -> str:
    """Such as `1 row` and `2,000 rows`; `nouns` is for one that takes no s alone."""
    return f"{number:,} {agreed(number, noun, nouns or f'{noun}s')}"


def some_are(number: int, total: int, noun: str) -> str:
    """Such as `1 of 3 rows is` and `2 of 3 rows are`."""
    return f"{number:,} of {counted(total, noun)} {agreed(number, 'is', 'are')}"


def agreed(number: int, one: str, more: str) -> str:
    """The word that agrees with a number, such as `is` for 1 and `are` for 2."""
    return one if number == 1 else more
