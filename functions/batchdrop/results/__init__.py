"""
Answers and questions become results: one line for each line of the dropped file, in its
order. Nothing here knows of a ledger or a bucket: it reads bytes, in pieces.

    collecting  runs all of these, from questions and answers to results
    lines       which lines of the file were staged, which were refused or blank
    questions   what staging recorded of each line: its own columns, why it was refused
    reading     the lines of an object
    ids         the id that an answer echoes
    joining     the row of each answer; `content`, `sharing`: by the request it echoes
    arriving    answers in the file's order
    judging     what one answer says
    writing     the results; `strangers`: the answers that no row takes
    again       which rows go again; `healing`: joins their new results
    totals      what is counted on the way; `failures`: errors that rows have in common
    own_lines   the same for rows of the Batches client and the caller's own lines

Answers that don't fit into memory are read in steps:

    slices      sorts a part of the answers into a run; `runs`: how one is written
    ranges      writes the results of some rows from all runs
"""

from batchdrop.results.collecting import collected
from batchdrop.results.own_lines import join
from batchdrop.results.values import (
    Answers,
    Bill,
    DoesNotAddUp,
    Open,
    OpenAt,
    Questions,
    Summary,
    TooLarge,
    Why,
)

__all__ = [
    "Answers",
    "Bill",
    "DoesNotAddUp",
    "Open",
    "OpenAt",
    "Questions",
    "Summary",
    "TooLarge",
    "Why",
    "collected",
    "join",
]
