"""
A local stand-in for Google's two LLM batch APIs, with a clock and faults.

    with BatchSim(speed=0) as sim:
        ...  # point a client at sim.url
        sim.faults.add("drop_reply", op="create", count=1)
        sim.clock.advance(hours=24)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batchsim.bucket import Bucket as Bucket
    from batchsim.clock import Clock as Clock
    from batchsim.models import Prompt as Prompt
    from batchsim.models import RowFailed as RowFailed
    from batchsim.models import template as template
    from batchsim.sentiment import classify as classify
    from batchsim.settings import Limits as Limits
    from batchsim.sim import BatchSim as BatchSim

__all__ = [
    "BatchSim",
    "Bucket",
    "Clock",
    "Limits",
    "Prompt",
    "RowFailed",
    "classify",
    "template",
]

_HOMES = {
    "BatchSim": "sim",
    "Bucket": "bucket",
    "Clock": "clock",
    "Limits": "settings",
    "Prompt": "models",
    "RowFailed": "models",
    "classify": "sentiment",
    "template": "models",
}


def __getattr__(name: str) -> Any:
    # The pytest plugin and the command are in this package, and can be imported where
    # the server's libraries aren't installed.
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(f"batchsim.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
