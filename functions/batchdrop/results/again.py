"""Decides by their results which rows go again."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import msgspec
from msgspec import Struct

from batchdrop.jobs.codes import Outcome
from batchdrop.jobs.job import Job
from batchdrop.results.reading import lines_of
from batchdrop.results.values import DoesNotAddUp
from batchdrop.rows import RowOutcome, Rows

#: gRPC codes of reasons that pass: DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED,
#: INTERNAL, UNAVAILABLE.
_PASSING = frozenset({4, 8, 10, 13, 14})
#: HTTP's, besides all from 500 on.
_PASSING_HTTP = frozenset({408, 409, 429})
#: Of requests that were cancelled: gRPC's and HTTP's.
_CANCELLED = frozenset({1, 499})
#: What Claude's errors are called, which have no code.
_PASSING_NAMES = frozenset(
    {"api_error", "overloaded_error", "rate_limit_error", "timeout_error"}
)


class LineError(Struct, gc=False):
    """The error of a result."""

    code: int | None = None
    status: str | None = None
    message: str = ""


class Line(Struct, gc=False):
    """The members of a result that say what became of its row."""

    line: int
    outcome: str
    round: int = 0
    finish_reason: str | None = None
    error: LineError | None = None


_line = msgspec.json.Decoder(Line).decode


def read_line(result: bytes) -> Line:
    """
    What a result says.

    Raises:
        DoesNotAddUp: it is not a result.
    """
    try:
        return _line(result)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise DoesNotAddUp("a line of the results can't be read") from exc


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """
    Which rows go again.

    A row passes if it failed for a reason that passes by itself: HTTP 408, 409, 429 and
    5xx; gRPC's 4, 8, 10, 13 and 14; 499 and gRPC's 1 if its batch was not cancelled.
    """

    #: The outcomes of rows that go again whatever the reason. An embedding of a part of
    #: its text (`truncated` without a finish reason) does not.
    outcomes: frozenset[str] = frozenset()
    passing: bool = True  #: whether rows go again that failed for a passing reason
    missing: bool = False  #: whether those go again that no answer came to
    #: The rounds whose batch was cancelled.
    cancelled: frozenset[int] = frozenset()

    def takes(self, one: Line) -> bool:
        """Whether the row of a result goes again."""
        outcome = one.outcome
        if outcome == RowOutcome.MISSING and self.missing:
            return True
        if outcome == RowOutcome.FAILED and self.passing and self._passes(one):
            return True
        if outcome not in self.outcomes:
            return False
        return outcome != RowOutcome.TRUNCATED or one.finish_reason is not None

    def _passes(self, one: Line) -> bool:
        error = one.error
        if error is None:
            return False
        code, status = error.code, error.status
        if code is None:
            return status in _PASSING_NAMES
        if code in _CANCELLED:
            return not self.was_cancelled(one)
        if code == 409:
            return status != "ALREADY_EXISTS"  # which is gRPC's 6; ABORTED is its 10
        return code in _PASSING or code in _PASSING_HTTP or 500 <= code <= 599

    def was_cancelled(self, one: Line) -> bool:
        """
        Whether a row has no answer only because its batch was cancelled, which says
        nothing of the row.
        """
        code = one.error.code if one.error else None
        return code in _CANCELLED and one.round in self.cancelled

    def count(self, rows: Rows, passing: int) -> int:
        """
        How many rows go again.

        Args:
            rows: the counts of all rows.
            passing: how many of them `takes` takes, but for missing ones.
        """
        return passing + (rows.missing or 0 if self.missing else 0)

    @property
    def without_missing(self) -> "Again":
        return replace(self, missing=False)


def again_of(job: Job, rounds: Sequence[Job], *, short: bool | None = None) -> Again:
    """
    Which rows of a job go again next: those that a person asked for, if the round that
    is under way was asked for, else those that failed for a passing reason, and the
    outcomes in `retry_on`. Missing rows are among them only if the API has counted no
    more answers than came, in any round.

    Args:
        job: the job whose rows they are.
        rounds: the jobs of all rounds so far whose results its own contain.
        short: whether its own batch has fewer answers than the API counts, where its
            document doesn't say yet.
    """
    assert job.spec is not None
    left = job.collecting
    n = left.round if left else 0
    asked = next((one for one in job.rounds if one.n == n and one.by), None)
    sent = [job, *(one for one in rounds if one.results)]
    cancelled = frozenset(one.round for one in sent if one.outcome is Outcome.CANCELLED)
    if asked and asked.only:
        only = frozenset(asked.only)
        return Again(outcomes=only, passing=False, cancelled=cancelled)
    expected = {one.n for one in job.rounds if one.n and one.outcome and one.job}
    known = expected <= {one.round for one in rounds}
    if short is None:
        short = job.answers_short is not None
    counted = all(
        one.stats is not None and not (one.is_lost or one.has_no_output) for one in sent
    )
    fell_short = short or any(one.answers_short for one in rounds)
    return Again(
        outcomes=frozenset(job.spec.retry_on),
        missing=known and counted and not fell_short,
        cancelled=cancelled,
    )


def selected(results: Iterable[bytes], again: Again) -> Iterator[int]:
    """
    Yields the lines of the rows that go again, in the file's order. The id of a row is
    `row_id(line)`.

    Args:
        results: the bytes of the results so far, in any pieces.
        again: see `again_of`.

    Raises:
        DoesNotAddUp: a line is not a result.
        TooLarge: a line is too long for the memory.
    """
    takes = again.takes
    for some in lines_of(results):
        for text in some:
            if text and takes(one := read_line(text)):
                yield one.line
