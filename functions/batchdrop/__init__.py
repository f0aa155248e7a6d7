"""
Drop a JSONL of LLM requests into a bucket; a batch job is made of it, once.

The public names are the Batches client's, loaded when first used:

    from batchdrop import Client, JobState
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batchdrop.batches import (
        AsyncClient,
        BatchesError,
        BatchJob,
        BatchJobDestination,
        BatchJobSource,
        Client,
        ClientError,
        CompletionStats,
        DeleteResourceJob,
        HttpOptions,
        HttpRetryOptions,
        InlinedRequest,
        InlinedResponse,
        JobError,
        JobState,
        NoResults,
        ResultRow,
        ServerError,
        TransportError,
        WaitTimeout,
    )

__all__ = [
    "AsyncClient",
    "BatchJob",
    "BatchJobDestination",
    "BatchJobSource",
    "BatchesError",
    "Client",
    "ClientError",
    "CompletionStats",
    "DeleteResourceJob",
    "HttpOptions",
    "HttpRetryOptions",
    "InlinedRequest",
    "InlinedResponse",
    "JobError",
    "JobState",
    "NoResults",
    "ResultRow",
    "ServerError",
    "TransportError",
    "WaitTimeout",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'batchdrop' has no attribute {name!r}")
    return getattr(import_module("batchdrop.batches"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
