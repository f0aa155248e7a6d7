"""
Drop a JSONL of LLM requests into a bucket: exactly one batch job is created for it.

    main            Eventarc reports an upload, Cloud Scheduler calls `poll`
    wiring          builds the worker from settings and Google's clients
    worker          claims the drop and takes its job from step to step
    options         what the deployment, a route, a manifest or metadata choose
    preflight       checks each line; storage holds what is staged of them
    pricing         what tokens cost, by a dated price list
    results         answers and questions become a result for each line
    backends        Vertex AI and the Developer API, over the client in batches
    jobs            the job, its phases, and the moves between them
    ledger          the job in Firestore; every write is a compare-and-set
    announcements   how the job ended, over Pub/Sub; subscribe is for listeners
    views           what people see of jobs and of a deployment
    dashboard       the same on pages; cli: check, drop, follow, cancel

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
