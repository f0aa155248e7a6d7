"""
The fast paths: decide what becomes of a line without inspecting it.

Every file has the same outcome without it (`Checker(rules, fast=False)`). Fractions of
`orjson.loads`' speed on the same lines, by CPU time in turns in one run
(`python -m tests.bench.preflight --without-fast --mb 20 --rounds 3`, on two cores that
fifteen processes shared):

    lines                       all paths   without `cut`   no fast path
    500 B, requests                  0.49            0.38           0.03
    5 KB, requests                   0.50            0.47           0.09
    500 B, keyed                     0.30            0.21           0.02
    500 B, merged                    0.29            0.13           0.02
    500 B, to be embedded            0.28            0.13           0.02
    500 B, OpenAI-style              0.30            0.21           0.02
    500 B, all bad                   0.40               -           0.02
    5 KB, all bad                    0.57               -           0.08
    500 B, each bad otherwise        0.18               -           0.02

An earlier run on a less busy machine had 0.54 and 0.53 for requests, and 0.55 and 0.67
for lines that are all bad alike. For requests as they are, `cut` gains 30 % at 500 B:
less than a third, but the check has to reach 0.55 there, and it is the same function
that merges.

Each path knows what becomes of a line, or returns that it doesn't know (None or False);
then the line is inspected.

- `GoodLines.runs`: a decoder in C takes a request only if it has the names and types of
  those before it. Where lines are sent as they are, it goes from one to the next by
  itself. Otherwise, `GoodLines.cut` cuts the request out of the line, which isn't
  parsed as a whole.
- `GoodLines.taken`: the line is parsed, then the same decoder takes its request.
- `BadLines.hold`: a decoder takes lines with the names and types of a bad one.
- `ImpossibleLines.find`: a decoder takes all requests that could be good, and some bad
  ones. A line whose request it doesn't take is bad.
- `ImpossibleLines.contradict`: the request is compared with the columns in Python, but
  only to know whether it is bad. That takes three times as long as `find`.
"""

from batchdrop.preflight.fast.bad import BadLines
from batchdrop.preflight.fast.decoders import MISFIT
from batchdrop.preflight.fast.good import GoodLines, Runs, one_by_one
from batchdrop.preflight.fast.impossible import UNKNOWN, ImpossibleLines

__all__ = [
    "MISFIT",
    "UNKNOWN",
    "BadLines",
    "GoodLines",
    "ImpossibleLines",
    "Runs",
    "one_by_one",
]
