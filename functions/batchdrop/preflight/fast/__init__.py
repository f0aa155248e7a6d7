"""
The fast paths: decide what becomes of a line without inspecting it.

Every file has the same outcome without it (`Checker(rules, fast=False)`). Fractions of
`orjson.loads`' speed on the same lines, by CPU time in turns in one run
(`python -m tests.bench.preflight --without-fast --mb 20 --rounds 3`, on two cores that
five processes shared):

    lines                       all paths  without `runs`   no fast path
    500 B, requests                  0.61            0.39           0.03
    5 KB, requests                   0.55            0.52           0.10
    500 B, keyed                     0.35            0.17           0.02
    500 B, with two columns          0.33            0.18           0.03
    500 B, merged                    0.30            0.10           0.02
    500 B, to be embedded            0.30            0.09           0.02
    500 B, OpenAI-style              0.33            0.16           0.03
    500 B, all bad                   0.42               -           0.02
    5 KB, all bad                    0.66               -           0.08
    500 B, each bad otherwise        0.14               -           0.02

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
