"""
The fast paths: decide what becomes of a line without inspecting it.

Every file has the same outcome without it (`Checker(rules, fast=False)`). Fractions of
`orjson.loads`' speed on the same lines, by CPU time in turns in one run
(`python -m tests.bench.preflight --without-fast`, on a busy machine of two cores):

    lines                       all paths   without `cut`   no fast path
    500 B, requests                  0.54            0.42           0.02
    5 KB, requests                   0.53            0.50           0.07
    500 B, keyed                     0.33            0.24           0.02
    500 B, merged                    0.31            0.13           0.01
    500 B, to be embedded            0.33            0.15           0.02
    500 B, OpenAI-style              0.31            0.23           0.02
    500 B, all bad                   0.55               -           0.01
    5 KB, all bad                    0.67               -           0.06

For requests as they are, `cut` gains 27 % at 500 B: less than a third, but the check
has to reach 0.55 there, and it is the same function that merges.

Each path knows what becomes of a line, or returns that it doesn't know (None or False);
then the line is inspected.

- `GoodLines.cut`: the request is cut out of the line, and a decoder in C takes it only
  if it has the names and types of those before it. The line isn't parsed as a whole.
- `GoodLines.taken`: the line is parsed, then the same decoder takes its request.
- `BadLines.hold`: a decoder takes lines with the names and types of a bad one.
- `ImpossibleLines.find`: a decoder takes all requests that could be good, and some bad
  ones. A line whose request it doesn't take is bad.
- `ImpossibleLines.contradict`: the request is compared with the columns in Python, but
  only to know whether it is bad. That takes three times as long as `find`.
"""

from batchdrop.preflight.fast.bad import BadLines
from batchdrop.preflight.fast.decoders import MISFIT
from batchdrop.preflight.fast.good import GoodLines
from batchdrop.preflight.fast.impossible import UNKNOWN, ImpossibleLines

__all__ = ["MISFIT", "UNKNOWN", "BadLines", "GoodLines", "ImpossibleLines"]
