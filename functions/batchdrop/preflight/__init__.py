"""
What a row must be: reads a file line by line and says what is wrong, and where.

The same check runs in the function, before anything is paid, and on the command line.
A `Checker` goes through a file once, in constant memory, and gives the lines to send in
the backend's form, and each line that can't be sent with what is wrong in it and what
to write instead.
"""

from batchdrop.preflight.checker import (
    ANSWERED,
    Block,
    Checker,
    Refused,
    config_error,
    own_columns,
)
from batchdrop.preflight.lines import LINE_LIMIT
from batchdrop.preflight.rules import (
    ALLOW,
    MODEL,
    REJECT,
    SKIP,
    Family,
    Rules,
    embeds_text,
)

__all__ = [
    "ALLOW",
    "ANSWERED",
    "LINE_LIMIT",
    "MODEL",
    "REJECT",
    "SKIP",
    "Block",
    "Checker",
    "Family",
    "Refused",
    "Rules",
    "config_error",
    "embeds_text",
    "own_columns",
]
