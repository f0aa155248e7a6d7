"""The inputs of collecting (questions and answers), and its summary."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import IntEnum, StrEnum
from typing import Any, Protocol

from batchdrop.batches.usage import RowUsage
from batchdrop.errors import BatchdropError
from batchdrop.jobs.values import Failure, Input, Problem, Staging, Usage
from batchdrop.rows import RowOutcome, Rows

#: Opens an object: its bytes in any pieces, from the beginning. It may be called again.
Open = Callable[[], Iterator[bytes]]


class OpenAt(Protocol):
    """
    Opens an object: its bytes from `start` up to `end`, by default up to its end, in
    any pieces. There are none from the object's end on. It may be called again.
    """

    def __call__(self, start: int = 0, end: int | None = None) -> Iterator[bytes]: ...


#: Of several answers to a row the one with the best outcome is kept.
BEST_FIRST = (
    RowOutcome.OK,
    RowOutcome.TRUNCATED,
    RowOutcome.MALFORMED,
    RowOutcome.BLOCKED,
    RowOutcome.EMPTY,
    RowOutcome.UNCLEAR,
    RowOutcome.FAILED,
)


class DoesNotAddUp(BatchdropError):
    """The counts of rows or answers contradict each other: publish nothing."""


class TooLarge(BatchdropError):
    """The answers are neither in the file's order nor few enough for the memory."""


class Why(StrEnum):
    """Why an answer belongs to no row."""

    #: It is not a JSON object, for example because it is cut off.
    UNREADABLE = "unreadable"
    #: No row with its id was staged.
    NO_SUCH_ROW = "no_such_row"
    #: Its row has a different answer that was kept.
    DOUBLED = "doubled"
    #: It has no id, and the request in it, if there is any, is that of no row.
    NO_MATCH = "no_match"


class Fate(IntEnum):
    """What becomes of an answer that no row takes; else it is the index of its row."""

    UNREADABLE = -1
    NO_SUCH_ROW = -2
    NO_MATCH = -3
    SUPERSEDED = -4

    @property
    def why(self) -> Why:
        return Why[self.name]


class Bill(Protocol):
    """What sums up the cost of answers: see `batchdrop.pricing.Bill`."""

    def add(
        self, body: Mapping[str, Any], usage: RowUsage, day: date | None = None
    ) -> None:
        """Adds an answer: what it says, its tokens, and the day (UTC) it was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """
    What staging recorded of a job's rows. An object that doesn't exist is None.

    Attributes:
        open_lines: the object `staging.lines`.
        open_sidecar: the object `staging.sidecar`; raises `SourceGone` if it is gone.
        open_report: the refused lines and why; raises `SourceGone` if it is gone.
        open_staged: the rows as sent; read only if an answer has no id.
        inputs: the objects that a manifest names, with their first row ids.
        error: why the batch ended as it did; it becomes the error of missing rows.
    """

    staging: Staging
    open_lines: Open | None = None
    open_sidecar: OpenAt | None = None
    open_report: OpenAt | None = None
    open_staged: Open | None = None
    inputs: tuple[Input, ...] = ()
    error: Problem | None = None


@dataclass(frozen=True, slots=True)
class Answers:
    """
    An object with answers.

    Attributes:
        name: how `strangers.jsonl` names it.
        final: whether it has all rows; other objects are parts of it that the batch
            wrote while it ran.
        open: its JSONL, unpacked. It is called twice where the answers are too many
            to be kept.
        size: bytes of it; needed where the answers are read slice by slice.
    """

    name: str
    final: bool
    open: OpenAt
    size: int = 0


def finals_first(answers: Iterable[Answers]) -> list[Answers]:
    """The order in which objects with answers are read."""
    return sorted(answers, key=lambda each: not each.final)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """
    What came of a job's rows.

    `rows.fixed` is 0: staging doesn't record it.
    """

    rows: Rows
    usage: Usage
    failures: tuple[Failure, ...]  #: the most frequent ones, at most ten
    #: Rows that may go again, but for missing ones: see `batchdrop.results.again`.
    passing: int = 0
    strangers: int = 0  #: answers that belong to no row
    superseded: int = 0  #: answers that repeat another, or that a final object replaces
    same_rows: int = 0  #: answered rows whose request another row has too, without ids
    columns_lost: bool = False  #: the sidecar is gone
    #: A sparse index: how many results lie before a place, and how many bytes.
    offsets: list[tuple[int, int]]
    lines: int  #: results written
    answers_read: int
