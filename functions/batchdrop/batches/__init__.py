"""The Batches client: Vertex AI's and the Gemini Developer API's batch jobs."""

from batchdrop.batches.batches import AsyncBatches, Batches
from batchdrop.batches.client import AsyncClient, Client
from batchdrop.batches.config import CreateBatchJobConfig, ListBatchJobsConfig
from batchdrop.batches.errors import (
    ApiError,
    BatchesError,
    ClientError,
    MissingExtra,
    NoResults,
    NotSignedIn,
    ServerError,
    TransportError,
    UnclearAnswer,
    WaitTimeout,
)
from batchdrop.batches.files import File, UploadFileConfig
from batchdrop.batches.pager import AsyncPager, Pager
from batchdrop.batches.results import ResultRow
from batchdrop.batches.types import (
    TERMINAL_STATES,
    BatchJob,
    BatchJobDestination,
    BatchJobSource,
    CompletionStats,
    DeleteResourceJob,
    HttpOptions,
    HttpRetryOptions,
    InlinedRequest,
    InlinedResponse,
    JobConfig,
    JobError,
    JobState,
    OutputInfo,
    VertexMultimodalDatasetDestination,
    is_terminal,
)

__all__ = [
    "TERMINAL_STATES",
    "ApiError",
    "AsyncBatches",
    "AsyncClient",
    "AsyncPager",
    "BatchJob",
    "BatchJobDestination",
    "BatchJobSource",
    "Batches",
    "BatchesError",
    "Client",
    "ClientError",
    "CompletionStats",
    "CreateBatchJobConfig",
    "DeleteResourceJob",
    "File",
    "HttpOptions",
    "HttpRetryOptions",
    "InlinedRequest",
    "InlinedResponse",
    "JobConfig",
    "JobError",
    "JobState",
    "ListBatchJobsConfig",
    "MissingExtra",
    "NoResults",
    "NotSignedIn",
    "OutputInfo",
    "Pager",
    "ResultRow",
    "ServerError",
    "TransportError",
    "UnclearAnswer",
    "UploadFileConfig",
    "VertexMultimodalDatasetDestination",
    "WaitTimeout",
    "is_terminal",
]
