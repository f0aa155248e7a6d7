"""
Drop a JSONL of LLM requests into a bucket; a batch job is made of it, once.

The public names are the Batches client's, loaded when first used:

    from batchdrop import Client, JobState
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batchdrop.batches import (
        BatchesError,
        BatchJob,
        Client,
        ClientError,
        HttpOptions,
        JobState,
        ServerError,
        TransportError,
    )

__all__ = [
    "BatchJob",
    "BatchesError",
    "Client",
    "ClientError",
    "HttpOptions",
    "JobState",
    "ServerError",
    "TransportError",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'batchdrop' has no attribute {name!r}")
    return getattr(import_module("batchdrop.batches"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
