"""Which backends a test of the worker runs on, and how often."""

import pytest

#: On the Developer API with `make proofs` alone: a worker does the same on both, and
#: what the backends differ in has tests of its own.
BOTH = pytest.mark.parametrize(
    "world",
    ["vertex", pytest.param("developer", marks=pytest.mark.proof)],
    indirect=True,
)
#: On either, each time: what is shown here would not be found by those tests.
EACH = pytest.mark.parametrize("world", ["vertex", "developer"], indirect=True)
DEVELOPER = pytest.mark.parametrize("world", ["developer"], indirect=True)
