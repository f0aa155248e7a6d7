"""Collects a job: reads its answers, and writes a result for each line of the file."""

from collections.abc import Sequence

from batchdrop.results.again import Again
from batchdrop.results.arriving import Arriving
from batchdrop.results.joining import Joined, Source
from batchdrop.results.questions import Lines
from batchdrop.results.strangers import Strangers
from batchdrop.results.totals import Totals
from batchdrop.results.values import Answers, Bill, Questions, Summary, finals_first
from batchdrop.results.writing import Kept, Results, Write


def collected(
    questions: Questions,
    answers: Sequence[Answers],
    *,
    write: Write,
    write_stranger: Write,
    full: bool = False,
    round: int = 0,
    bill: Bill | None = None,
    again: Again | None = None,
) -> Summary:
    """
    Writes a result for each line that was staged or refused, in the file's order.

    Args:
        write: takes the results, many lines at a time.
        write_stranger: takes a line for each answer that belongs to no row.
        full: whether each result has the API's response.
        bill: takes the answers that rows keep, but for errors and for blocked prompts
            without counts, which cost nothing.
        round: that of the requests whose answers these are.
        again: which rows are counted as `passing`; none by default.

    Raises:
        DoesNotAddUp: the counts contradict each other; what was written is of no use.
        TooLarge: the answers need more memory than there is; the same.
    """
    answers = finals_first(answers)
    totals = Totals()
    lines = Lines(questions)
    source = Source(answers)
    joined = Joined(lines, questions.staging.rows, source, questions.open_staged)
    totals.read, totals.same_rows = len(joined.fates), joined.same_rows
    strangers = Strangers(answers, write_stranger, totals)
    results = Results(questions, write, round, bill, totals, again=again)
    arriving = Arriving(joined, source, strangers, totals)
    results.write(lines, Kept(arriving.take, strangers, full, totals).said)
    results.finish()
    arriving.finish()
    return totals.summary(questions)
