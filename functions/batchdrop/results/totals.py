"""Counts answers and results, all at once or a part at a time."""

from collections.abc import Iterable
from typing import Self

from msgspec import Struct, field

from batchdrop.jobs.values import Failure, Usage
from batchdrop.results.failures import Failures
from batchdrop.results.values import BEST_FIRST, DoesNotAddUp, Questions, Summary
from batchdrop.rows import RowOutcome, Rows, counted


class Totals(Struct, kw_only=True):
    """
    What was counted, of all of a job or of a part of it, such as a slice of its answers
    or a range of its rows. It can be written as JSON, and is added up in the order of
    the file.
    """

    read: int = 0  #: answers, which are lines that aren't blank
    strangers: int = 0
    superseded: int = 0
    same_rows: int = 0
    columns_lost: bool = False
    lines: int = 0  #: results written
    size: int = 0  #: their bytes
    outcomes: dict[RowOutcome, int] = field(default_factory=dict)
    #: Tokens: prompt, cached, output, thoughts, total.
    usage: list[int] = field(default_factory=lambda: [0, 0, 0, 0, 0])
    failures: tuple[Failure, ...] = ()
    passing: int = 0  #: rows that may go again: see `batchdrop.results.again`
    #: A sparse index: how many results lie before a place, and how many bytes.
    offsets: list[tuple[int, int]] = field(default_factory=list)

    @classmethod
    def of(cls, parts: Iterable[Self]) -> Self:
        """The sum of parts whose results follow each other in this order."""
        whole, failures = cls(), Failures()
        for part in parts:
            whole.read += part.read
            whole.strangers += part.strangers
            whole.superseded += part.superseded
            whole.same_rows += part.same_rows
            whole.columns_lost |= part.columns_lost
            for outcome, count in part.outcomes.items():
                whole.outcomes[outcome] = whole.outcomes.get(outcome, 0) + count
            pairs = zip(whole.usage, part.usage, strict=True)
            whole.usage = [sum(pair) for pair in pairs]
            failures.include(part.failures)
            whole.passing += part.passing
            whole.offsets += (
                (whole.lines + lines, whole.size + size) for lines, size in part.offsets
            )
            whole.lines += part.lines
            whole.size += part.size
        whole.failures = failures.all()
        return whole

    def rows(self, accepted: int) -> Rows:
        """The counts of rows; `accepted` of them were sent."""
        outcomes = (*BEST_FIRST, RowOutcome.MISSING)
        return Rows(
            total=self.lines,
            accepted=accepted,
            refused=self.outcomes.get(RowOutcome.REFUSED, 0),
            **{each.value: self.outcomes.get(each, 0) for each in outcomes},
        )

    @property
    def most_frequent(self) -> tuple[Failure, ...]:
        """The errors that most rows have."""
        failures = Failures()
        failures.include(self.failures)
        return failures.most_frequent()

    def summary(self, questions: Questions) -> Summary:
        """
        What came of all rows.

        Raises:
            DoesNotAddUp: rows or answers are not accounted for.
        """
        staging = questions.staging
        if self.lines != staging.rows + staging.refused:
            raise DoesNotAddUp(
                f"{counted(self.lines, 'result')} for "
                f"{counted(staging.rows + staging.refused, 'line')}"
            )
        answered = staging.rows - self.outcomes.get(RowOutcome.MISSING, 0)
        if self.read != answered + self.strangers + self.superseded:
            raise DoesNotAddUp(
                f"answers read: {self.read:,}; rows with one: {answered:,}; "
                f"strangers: {self.strangers:,}; superseded: {self.superseded:,}"
            )
        prompt, cached, output, thoughts, total = self.usage
        return Summary(
            rows=self.rows(staging.rows),
            usage=Usage(
                prompt=prompt,
                cached=cached,
                output=output,
                thoughts=thoughts,
                total=total,
            ),
            failures=self.most_frequent,
            passing=self.passing,
            strangers=self.strangers,
            superseded=self.superseded,
            same_rows=self.same_rows,
            columns_lost=self.columns_lost,
            offsets=self.offsets,
            lines=self.lines,
            answers_read=self.read,
        )
