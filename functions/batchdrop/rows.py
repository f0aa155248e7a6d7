"""Row errors and row counts: values that preflight, jobs and results share."""

from dataclasses import dataclass
from enum import StrEnum


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

    def __str__(self) -> str:
        """The counts in one line, such as `1,000 rows: 994 ok, 6 failed`."""
        counts = [(count, str(each)) for each, count in self.outcomes.items() if count]
        counts = counts or [(self.accepted, "accepted")]
        counts += [(self.refused, "refused")] if self.refused else []
        counted = ", ".join(f"{count:,} {name}" for count, name in counts)
        return f"{self.total:,} {'row' if self.total == 1 else 'rows'}: {counted}"


#: The outcomes of accepted rows, in the order in which people want to know of them.
_ACCEPTED = (
    *(RowOutcome.OK, RowOutcome.FAILED, RowOutcome.BLOCKED, RowOutcome.TRUNCATED),
    *(RowOutcome.MALFORMED, RowOutcome.EMPTY, RowOutcome.UNCLEAR, RowOutcome.MISSING),
)
