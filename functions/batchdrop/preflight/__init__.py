"""
From the bytes of a file to the lines to send, and to row errors.

The same check runs in the function, before anything is paid, and on the command line.
A `Checker` reads a file once, in constant memory. It returns the lines to send in the
backend's form, and each bad line with what is wrong in it and what to write instead.

A line goes through these steps, a module each: `lines` splits the file, `parse` decodes
a line, `envelope` checks what surrounds the request, `shapes` unwraps it, `merge`
adds the job's configuration, `request` and `columns` check it, and `fix` mends it.
`fast` finds the outcome of most lines without them.
"""

from batchdrop.preflight.checker import (
    Block,
    Checker,
    Refused,
    config_error,
    own_columns,
)
from batchdrop.preflight.envelope import ANSWERED
from batchdrop.preflight.lines import is_too_long
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
    "is_too_long",
    "own_columns",
]
