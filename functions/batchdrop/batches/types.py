"""
The values of the Batches client: jobs, sources, destinations, options.

All are frozen. Names are the official SDK's, where it has one. Members that it drops
(labels, partial failures, counts, an operation's error) are kept here, and members
without a name here are in `BatchJob.raw`.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from batchdrop.rows import counted

#: A time from an API. It has a zone: times without one can't be compared.
Time = Annotated[datetime, Meta(tz=True)]
#: A number from an API, within the range that any database can hold.
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class JobState(StrEnum):
    """
    A job's state, for both APIs: aiplatform v1's job_state.proto, and the Developer
    API's BATCH_STATE_X read as JOB_STATE_X. A job in an unknown state has its name as a
    string; keep polling.
    """

    JOB_STATE_UNSPECIFIED = "JOB_STATE_UNSPECIFIED"
    JOB_STATE_QUEUED = "JOB_STATE_QUEUED"  #: accepted, not yet scheduled
    JOB_STATE_PENDING = "JOB_STATE_PENDING"  #: waits for capacity, 72 h at most
    JOB_STATE_RUNNING = "JOB_STATE_RUNNING"  #: rows are being answered, 24 h at most
    JOB_STATE_SUCCEEDED = "JOB_STATE_SUCCEEDED"  #: ended; single rows may have failed
    JOB_STATE_FAILED = "JOB_STATE_FAILED"  #: ended; may have left finished rows
    JOB_STATE_CANCELLING = "JOB_STATE_CANCELLING"  #: asked to stop, not stopped yet
    JOB_STATE_CANCELLED = "JOB_STATE_CANCELLED"  #: ended; may have left finished rows
    JOB_STATE_PAUSED = "JOB_STATE_PAUSED"  #: may continue
    JOB_STATE_EXPIRED = "JOB_STATE_EXPIRED"  #: ended: it waited too long
    JOB_STATE_UPDATING = "JOB_STATE_UPDATING"  #: may continue
    JOB_STATE_PARTIALLY_SUCCEEDED = "JOB_STATE_PARTIALLY_SUCCEEDED"  #: ended

    # Short aliases; there are twelve states.
    UNSPECIFIED = JOB_STATE_UNSPECIFIED
    QUEUED = JOB_STATE_QUEUED
    PENDING = JOB_STATE_PENDING
    RUNNING = JOB_STATE_RUNNING
    SUCCEEDED = JOB_STATE_SUCCEEDED
    FAILED = JOB_STATE_FAILED
    CANCELLING = JOB_STATE_CANCELLING
    CANCELLED = JOB_STATE_CANCELLED
    PAUSED = JOB_STATE_PAUSED
    EXPIRED = JOB_STATE_EXPIRED
    UPDATING = JOB_STATE_UPDATING
    PARTIALLY_SUCCEEDED = JOB_STATE_PARTIALLY_SUCCEEDED


#: The states that no job leaves. In any other, known or not, keep polling.
TERMINAL_STATES = frozenset(
    {
        JobState.SUCCEEDED,
        JobState.PARTIALLY_SUCCEEDED,
        JobState.FAILED,
        JobState.CANCELLED,
        JobState.EXPIRED,
    }
)

_STATES: Mapping[str, JobState] = {
    name: state
    for state in JobState
    for name in (state.value, state.value.replace("JOB_", "BATCH_", 1))
}


def is_terminal(state: str) -> bool:
    """True if a job in this state, a JobState or any other string, has ended."""
    return state in TERMINAL_STATES


def job_state(name: str) -> str:
    """The JobState of a wire name in either API's spelling, else the name."""
    return _STATES.get(name, name)


class JobError(Struct, frozen=True, kw_only=True, gc=False):
    """
    Why a job or a row failed: google.rpc.Status. The code of a job is gRPC's. Rows may
    have HTTP's, which are 100 or more.
    """

    code: Int64 | None = None
    message: str | None = None
    details: Any = None
    status: str | None = None  #: of a row: the code's name, or the publisher's word


class CompletionStats(Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """
    How many rows have which outcome. None: the API sent no count, as it does for zero.
    `incomplete_count` may be -1: unknown (aiplatform v1).
    """

    successful_count: Int64 | None = None
    failed_count: Int64 | None = None
    incomplete_count: Int64 | None = None
    successful_forecast_point_count: Int64 | None = None
    request_count: Int64 | None = None  #: Developer API only: all rows of the job


class InlinedRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    One inline request.

    Args:
        contents: a string, a content, a part, or a list of these.
        config: a generation config, as for generate_content.
        metadata: comes back with the answer; put a "key" into it to join by.
        model: only if it isn't the job's.
    """

    contents: Any = None
    config: Mapping[str, Any] | None = None
    metadata: Mapping[str, str] | None = None
    model: str | None = None


class BatchJobSource(Struct, frozen=True, kw_only=True, gc=False):
    """
    Where the requests are: exactly one of the members below `format`.

    A None `format` is filled in ("jsonl", "bigquery" or "vertex-dataset").
    """

    format: str | None = None
    gcs_uri: tuple[str, ...] | None = None  #: Vertex: gs://, wildcards allowed
    bigquery_uri: str | None = None  #: Vertex: bq://project.dataset.table
    vertex_dataset_name: str | None = None  #: projects/../locations/../datasets/..
    file_name: str | None = None  #: Developer API: files/..
    inlined_requests: tuple[Any, ...] | None = None

    def __str__(self) -> str:
        if self.gcs_uri:
            return ",".join(self.gcs_uri)
        if self.inlined_requests is not None:
            return counted(len(self.inlined_requests), "inline request")
        return self.bigquery_uri or self.vertex_dataset_name or self.file_name or ""


class VertexMultimodalDatasetDestination(Struct, frozen=True, kw_only=True, gc=False):
    """A dataset for the answers."""

    bigquery_destination: str | None = None  #: bq://..
    display_name: str | None = None


class BatchJobDestination(Struct, frozen=True, kw_only=True, gc=False):
    """
    Where the answers go (Vertex), or where they are (Developer API).

    The members from `file_name` on are set only in jobs that were read.
    """

    format: str | None = None
    gcs_uri: str | None = None  #: a gs:// prefix; the API makes a directory in it
    bigquery_uri: str | None = None  #: bq://project[.dataset[.table]]
    vertex_dataset: VertexMultimodalDatasetDestination | None = None
    file_name: str | None = None  #: Developer API: the responses file
    inlined_responses: tuple["InlinedResponse", ...] | None = None
    inlined_embed_content_responses: tuple["InlinedResponse", ...] | None = None

    def __str__(self) -> str:
        return self.uri or self.file_name or ""

    @property
    def has_answers(self) -> bool:
        """True if it names a file of the Developer API's answers, or holds answers."""
        held = self.inlined_responses or self.inlined_embed_content_responses
        return bool(self.file_name or held)

    @property
    def uri(self) -> str | None:
        """The gs:// or bq:// address, or None."""
        if self.vertex_dataset and self.vertex_dataset.bigquery_destination:
            return self.vertex_dataset.bigquery_destination
        return self.gcs_uri or self.bigquery_uri


class InlinedResponse(Struct, frozen=True, kw_only=True):
    """The answer to one inline request: a response or an error, as JSON values."""

    response: dict[str, Any] | None = None
    error: JobError | None = None
    metadata: dict[str, Any] | None = None


class OutputInfo(Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """
    Where Vertex AI wrote the answers; None until it did.

    The directory can't be derived from the destination: its time is not the job's.
    """

    gcs_output_directory: str | None = None  #: gs://.., no slash at the end
    bigquery_output_dataset: str | None = None  #: bq://project.dataset
    bigquery_output_table: str | None = None  #: the bare table name
    vertex_multimodal_dataset_name: str | None = None


class JobConfig(Struct, frozen=True, kw_only=True):
    """A job's configuration, in the shape that the documentation shows."""

    destination: str | None = None  #: gs:// or bq://
    display_name: str | None = None
    #: As given to `create`; None for a job that was read, as the APIs don't keep it.
    generation_config: Mapping[str, Any] | None = None


class BatchJob(Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """
    A batch job, as the API last described it.

    Times are aware datetimes in UTC, to the microsecond. Jobs are equal if all named
    members are; `raw` isn't compared.

        >>> job = BatchJob(name="batches/1", state=JobState.SUCCEEDED)
        >>> job.done
        True
    """

    name: str
    display_name: str | None = None
    model: str | None = None
    state: str = JobState.UNSPECIFIED  #: a JobState, or the name of an unknown state
    create_time: datetime | None = None
    start_time: datetime | None = None  #: of its first run (Vertex AI only)
    end_time: datetime | None = None
    update_time: datetime | None = None
    error: JobError | None = None
    completion_stats: CompletionStats | None = None
    src: BatchJobSource | None = None
    dest: BatchJobDestination | None = None
    output_info: OutputInfo | None = None
    labels: dict[str, str] | None = None
    partial_failures: tuple[JobError, ...] = ()
    priority: int | None = None  #: Developer API only
    #: As given to `create`; the APIs don't keep it.
    generation_config: Mapping[str, Any] | None = None
    #: Developer API: the gs:// destination given to `create`, which `wait` or `collect`
    #: fills; the API doesn't keep it.
    collect_to: str | None = None
    wire: bytes = b""  #: the JSON object this was read from

    @property
    def done(self) -> bool:
        """True in all terminal states, PARTIALLY_SUCCEEDED included."""
        return self.state in TERMINAL_STATES

    @property
    def has_output(self) -> bool:
        """True if the job names its output, or holds the answers."""
        info = self.output_info
        named = info is not None and any(
            getattr(info, field) for field in info.__struct_fields__
        )
        return named or (self.dest is not None and self.dest.has_answers)

    @property
    def awaits_output(self) -> bool:
        """
        True if the job has succeeded, at least in part, but doesn't name its output
        yet. A job that ended otherwise may have none.
        """
        succeeded = (JobState.SUCCEEDED, JobState.PARTIALLY_SUCCEEDED)
        return self.state in succeeded and not self.has_output

    @property
    def raw(self) -> dict[str, Any]:
        """The whole JSON object from the API; {} for a job that you made."""
        return msgspec.json.decode(self.wire, type=dict[str, Any]) if self.wire else {}

    @property
    def config(self) -> JobConfig:
        """Destination, display name and generation config together."""
        return JobConfig(
            destination=(self.dest.uri if self.dest else None) or self.collect_to,
            display_name=self.display_name,
            generation_config=self.generation_config,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BatchJob):
            return NotImplemented
        return all(
            getattr(self, field) == getattr(other, field)
            for field in self.__struct_fields__
            if field != "wire"
        )

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        members = (
            f"{field}={value!r}"
            for field in self.__struct_fields__
            if field != "wire" and (value := getattr(self, field)) not in (None, ())
        )
        return f"BatchJob({', '.join(members)})"


class DeleteResourceJob(Struct, frozen=True, kw_only=True):
    """
    The operation of a delete: its name, whether it is done, its error (Vertex AI).
    """

    name: str | None = None
    done: bool | None = None
    error: JobError | None = None


class HttpRetryOptions(Struct, frozen=True, kw_only=True):
    """
    When and how often a request is sent again.

    The n-th wait is initial_delay * exp_base ** (n - 1) seconds, plus up to `jitter`
    seconds, at most max_delay. A Retry-After of the API is waited in full. The defaults
    apply to reading, cancelling and deleting. A create without an idempotency_token is
    repeated only if you pass these options, and only after an answer or a failure that
    proves that no job was created (429, or no connection).
    """

    attempts: int = 5  #: including the first; 0 and 1: never repeated
    initial_delay: float = 1.0
    max_delay: float = 60.0
    exp_base: float = 2.0
    jitter: float = 1.0
    http_status_codes: tuple[int, ...] = (408, 429, 500, 502, 503, 504)


class HttpOptions(Struct, frozen=True, kw_only=True):
    """
    How requests are sent: by a whole client, or (in a `config`) by one call.

    Args:
        base_url: in place of the API's own; may have a path.
        api_version: "v1", "v1beta1", ...; in place of the default.
        timeout: **seconds** (a number or a timedelta) to wait for the connection and
            for each read; also sent as X-Server-Timeout. None: 30 s for the connection
            and 300 s for each read, and no X-Server-Timeout. The official SDK counts
            milliseconds, so a number above 3600 is refused as a likely mistake. In the
            official SDK's own HttpOptions it is milliseconds here, too.
        headers: added to every request; they override the client's own.
        extra_body: merged into the body of a request that has one.
        retry_options: see HttpRetryOptions.
        httpx_client, httpx_async_client: used in place of our own, with their event
            hooks, and never closed.
        client_args, async_client_args: arguments of the httpx.Client or
            httpx.AsyncClient of a whole client, such as {"proxy": .., "verify": ..,
            "event_hooks": ..}.
        base_url_resource_scope: "COLLECTION" if base_url already includes version,
            project and location.
    """

    base_url: str | None = None
    api_version: str | None = None
    timeout: float | timedelta | None = None
    headers: Mapping[str, str] | None = None
    extra_body: Mapping[str, Any] | None = None
    retry_options: HttpRetryOptions | None = None
    httpx_client: Any = None
    httpx_async_client: Any = None
    client_args: Mapping[str, Any] | None = None
    async_client_args: Mapping[str, Any] | None = None
    base_url_resource_scope: str | None = None

    def __post_init__(self) -> None:
        seconds = self.seconds
        if seconds is None:
            return
        # A timedelta has its unit.
        if seconds <= 0 or (seconds > 3600 and not isinstance(self.timeout, timedelta)):
            raise ValueError(
                f"http_options.timeout is in seconds, above 0 and up to 3600: "
                f"{self.timeout} won't do (30 s is 30.0, not 30000); longer ones are a "
                "timedelta"
            )

    def __repr__(self) -> str:
        # A header or an address may hold a key.
        headers = sorted(self.headers) if self.headers else None
        return (
            f"HttpOptions(api_version={self.api_version!r}, timeout={self.timeout!r}, "
            f"headers={headers}, retry_options={self.retry_options!r})"
        )

    @property
    def seconds(self) -> float | None:
        """The timeout as a number of seconds, or None."""
        if isinstance(self.timeout, timedelta):
            return self.timeout.total_seconds()
        return self.timeout
