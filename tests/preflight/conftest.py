"""Hypothesis, as these tests want it."""

from hypothesis import settings

# A deadline in wall-clock time tells of a busy machine, not of the code.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
