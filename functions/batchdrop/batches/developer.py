"""
The Gemini Developer API's dialect: `batchGenerateContent`, `asyncBatchEmbedContent` and
the operations under `batches`, of v1 and v1beta.

Pure functions, in the same form as Vertex's. Shapes are those of the generativelanguage
discovery document and of answers seen live: a job is a long-running operation whose
metadata is the batch; int64 counts are strings; `done` is absent until the end.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Raw, Struct

from batchdrop.batches import backend_only, inline
from batchdrop.batches.call import Call
from batchdrop.batches.config import CreateBatchJobConfig, ListBatchJobsConfig
from batchdrop.batches.row_errors import row_error
from batchdrop.batches.types import (
    BatchJob,
    BatchJobDestination,
    BatchJobSource,
    CompletionStats,
    DeleteResourceJob,
    HttpOptions,
    InlinedResponse,
    Int64,
    JobError,
    JobState,
    Time,
    is_terminal,
    job_state,
)
from batchdrop.batches.vertex import check_model, read_nothing
from batchdrop.batches.wire import page_of, read, unclear

HOST = "https://generativelanguage.googleapis.com"

_NAME = re.compile(r"(?:batches/)?([A-Za-z0-9_-]+)")


def model_name(model: str) -> str:
    """models/.. and tunedModels/.. unchanged; any other name gets models/ in front."""
    check_model(model)
    if model.startswith(("models/", "tunedModels/")):
        return model
    return f"models/{model}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Developer:
    """
    Requests to the Gemini Developer API.

    Attributes:
        base_url: in place of the API's own host.
        api_version: "v1" by default.
        whole_base: True if `base_url` ends where the resource begins.
    """

    base_url: str | None = None
    api_version: str = "v1"
    whole_base: bool = False

    def create(
        self, model: str, src: BatchJobSource, config: CreateBatchJobConfig, stamp: str
    ) -> Call[BatchJob]:
        """
        Args:
            stamp: unused; Vertex AI's dialect needs it.

        Raises:
            ValueError: a source or an option that this API doesn't have.
        """
        _check(config)
        return self._creating(
            f"{model_name(model)}:batchGenerateContent", input_config(src), config
        )

    def create_embeddings(
        self, model: str, src: BatchJobSource, config: CreateBatchJobConfig
    ) -> Call[BatchJob]:
        """Like `create`; the inline requests are ready EmbedContentRequests."""
        _check(config)
        if src.file_name is not None:
            # The official SDK writes this one member in snake_case; both are read.
            wire: dict[str, Any] = {"file_name": src.file_name}
        else:
            _one_source(src)
            wire = _requests(src.inlined_requests or ())
        return self._creating(
            f"{model_name(model)}:asyncBatchEmbedContent", wire, config
        )

    def _creating(
        self, path: str, source: dict[str, Any], config: CreateBatchJobConfig
    ) -> Call[BatchJob]:
        batch: dict[str, Any] = {"inputConfig": source}
        if config.display_name is not None:
            batch["displayName"] = config.display_name
        if config.webhook_config is not None:
            batch["webhookConfig"] = webhook_config(config.webhook_config)
        if config.priority is not None:
            batch["priority"] = str(config.priority)
        return Call(
            "POST",
            self.url(path, config.http_options),
            read_job,
            body={"batch": batch},
            repeatable=False,
            options=config.http_options,
        )

    def get(self, name: str, options: HttpOptions | None = None) -> Call[BatchJob]:
        """Raises ValueError for an invalid name; so do `cancel` and `delete`."""
        return Call("GET", self._job_url(name, options), read_job, options=options)

    def cancel(self, name: str, options: HttpOptions | None = None) -> Call[None]:
        """Stops the job, which ends at once."""
        url = self._job_url(name, options) + ":cancel"
        return Call("POST", url, read_nothing, options=options)

    def delete(
        self, name: str, options: HttpOptions | None = None
    ) -> Call[DeleteResourceJob]:
        """Removes a job; the answer is empty."""
        url = self._job_url(name, options)
        return Call("DELETE", url, read_delete, options=options)

    def list(
        self, config: ListBatchJobsConfig
    ) -> Call[tuple[Sequence[BatchJob], str | None]]:
        """
        One page: its jobs and the token of the next, or None at the end. Listed
        jobs have no inline answers, and old counts: `get` a job before you read it.

        Raises:
            ValueError: a filter; this API documents none.
        """
        if config.filter is not None:
            raise ValueError(
                "config.filter is Vertex AI's; the Gemini Developer API documents "
                "none: list all and choose"
            )
        query = {"pageSize": config.page_size, "pageToken": config.page_token}
        given = urlencode({k: v for k, v in query.items() if v is not None})
        url = self.url("batches", config.http_options)
        return Call(
            "GET",
            f"{url}?{given}" if given else url,
            read_page,
            options=config.http_options,
        )

    def url(self, path: str, options: HttpOptions | None = None) -> str:
        """The address of a path under the API's version."""
        return f"{self.root(options)}/{self.version(options)}{path}"

    def version(self, options: HttpOptions | None = None) -> str:
        """The API's version and a slash, or "" where the base address has it."""
        if self.whole_base or (options and options.base_url_resource_scope):
            return ""
        return f"{(options and options.api_version) or self.api_version}/"

    def root(self, options: HttpOptions | None = None) -> str:
        """The address of the API, no slash at the end."""
        base = (options and options.base_url) or self.base_url or HOST
        return base.rstrip("/")

    def _job_url(self, name: str, options: HttpOptions | None) -> str:
        job = _NAME.fullmatch(name)
        if not job:
            raise ValueError(
                f"Invalid batch job name: {name!r}; write batches/ID or the ID alone"
            )
        return self.url(f"batches/{quote(job[1])}", options)


def _check(config: CreateBatchJobConfig) -> None:
    for name in ("labels", "encryption_spec"):
        if getattr(config, name) is not None:
            raise ValueError(
                f"config.{name} is Vertex AI's; the Gemini Developer API has no such "
                "member: leave it out"
            )
    if config.dest is not None:
        raise ValueError(
            f"config.dest {str(config.dest)!r}: the Gemini Developer API keeps the "
            "answers itself; only a gs:// destination can be filled from there"
        )


def _one_source(src: BatchJobSource) -> None:
    ours = [src.inlined_requests, src.file_name]
    others = [src.gcs_uri, src.bigquery_uri, src.vertex_dataset_name]
    if sum(s is not None for s in ours) != 1 or any(s is not None for s in others):
        raise ValueError(
            f"src {str(src)!r}: the Gemini Developer API takes exactly one of "
            "inlined_requests or file_name"
        )


# Values to JSON.


def input_config(src: BatchJobSource) -> dict[str, Any]:
    """`inputConfig`; ValueError unless it is one source that this API takes."""
    _one_source(src)
    if src.file_name is not None:
        return {"fileName": src.file_name}
    return _requests(map(inlined_request, src.inlined_requests or ()))


def _requests(given: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """
    `requests`, each with a key of its own or with none.

    Raises:
        ValueError: two have the same key. The API accepts that, but their answers
            can't be told apart.
    """
    requests = list(given)
    seen: dict[str, int] = {}
    for number, request in enumerate(requests, 1):
        key = (request.get("metadata") or {}).get("key")
        if key is not None and (first := seen.setdefault(str(key), number)) != number:
            raise ValueError(
                f"inline request {number}: metadata.key is the same as in inline "
                f"request {first}; give each request a key of its own"
            )
    return {"requests": {"requests": requests}}


def inlined_request(given: Any) -> dict[str, Any]:
    """One item of `requests`: the request, its model in full, and its metadata."""
    made, metadata = inline.request(given)
    if "model" in made:
        made["model"] = model_name(made["model"])
    backend_only.check(made, vertex=False)
    return {"request": made} | ({} if metadata is None else {"metadata": metadata})


def webhook_config(given: Mapping[str, Any]) -> dict[str, Any]:
    """`webhookConfig`, its inner names as the official SDK writes them."""
    uris = given.get("uris")
    data = given.get("user_metadata", given.get("userMetadata"))
    made = {
        "uris": [uris] if isinstance(uris, str) else uris and list(uris),
        "user_metadata": data,
    }
    return {name: value for name, value in made.items() if value is not None}


# JSON to values.


class _Stats(Struct, rename="camel", gc=False):
    request_count: Int64 | None = None
    successful_request_count: Int64 | None = None
    failed_request_count: Int64 | None = None
    pending_request_count: Int64 | None = None


class _Source(Struct, rename="camel", gc=False):
    file_name: str | None = None


class _Responses(Struct, rename="camel", gc=False):
    inlined_responses: list[Any] | None = None


class _Output(Struct, rename="camel", gc=False):
    responses_file: str | None = None
    inlined_responses: _Responses | None = None
    inlined_embed_content_responses: _Responses | None = None
    output: "_Output | None" = None  #: a `response` that is the whole batch has it so


class _Batch(Struct, rename="camel", gc=False):
    name: str | None = None
    model: str | None = None
    display_name: str | None = None
    state: str | None = None
    create_time: Time | None = None
    end_time: Time | None = None
    update_time: Time | None = None
    batch_stats: _Stats | None = None
    input_config: _Source | None = None
    output: _Output | None = None
    priority: Int64 | None = None


class _Operation(Struct, rename="camel", gc=False):
    name: str | None = None
    metadata: _Batch | None = None
    done: bool | None = None
    error: JobError | None = None
    response: _Output | None = None


class _Page(Struct, rename="camel", gc=False):
    operations: list[Raw] | None = None
    next_page_token: str | None = None
    error: Any = None  #: pages have no such member: the answer is an error


_operation_decoder = msgspec.json.Decoder(_Operation, strict=False)
_page_decoder = msgspec.json.Decoder(_Page, strict=False)

_NO_BATCH = _Batch()
_CANCELLED = 1  # gRPC's code


def read_job(body: bytes) -> BatchJob:
    """A job from its operation; UnclearAnswer without a name."""
    operation = read(_operation_decoder, body)
    batch = operation.metadata or _NO_BATCH
    name = operation.name or batch.name
    if not name:
        raise unclear(body, "is no batch")
    stats = batch.batch_stats
    source = batch.input_config
    return BatchJob(
        name=name,
        display_name=batch.display_name,
        model=batch.model,
        state=_state(operation, batch),
        create_time=batch.create_time,
        end_time=batch.end_time,
        update_time=batch.update_time,
        error=operation.error,
        completion_stats=_stats(stats) if stats else None,
        src=BatchJobSource(file_name=source.file_name) if source else None,
        dest=_first_destination(batch.output, operation.response),
        priority=batch.priority,
        wire=body,
    )


def read_page(body: bytes) -> tuple[Sequence[BatchJob], str | None]:
    """The jobs of a page and the next page's token, None at the end."""
    return page_of(_page_decoder, body, lambda page: page.operations, read_job)


def read_delete(body: bytes) -> DeleteResourceJob:
    """The answer to a delete, which is empty here."""
    read_nothing(body)
    return DeleteResourceJob()


def _state(operation: _Operation, batch: _Batch) -> str:
    """
    The batch's state. If the operation is done but its metadata has no terminal state,
    its error or response decides.
    """
    state = job_state(batch.state) if batch.state else JobState.UNSPECIFIED
    if not operation.done or is_terminal(state):
        return state
    if operation.error is None:
        return JobState.SUCCEEDED
    cancelled = operation.error.code == _CANCELLED
    return JobState.CANCELLED if cancelled else JobState.FAILED


def _stats(stats: _Stats) -> CompletionStats:
    return CompletionStats(
        successful_count=stats.successful_request_count,
        failed_count=stats.failed_request_count,
        incomplete_count=stats.pending_request_count,
        request_count=stats.request_count,
    )


def _first_destination(*outputs: _Output | None) -> BatchJobDestination | None:
    """The first that has answers: `response` may have them if `output` is empty."""
    for output in outputs:
        for one in (output, output and output.output):
            made = _destination(one) if one else None
            if made is not None and made.has_answers:
                return made
    return None


def _destination(output: _Output) -> BatchJobDestination | None:
    answers = _answers(output.inlined_responses)
    embeddings = _answers(output.inlined_embed_content_responses)
    if answers and any("embedding" in (a.response or ()) for a in answers):
        answers, embeddings = None, answers  # the API has one name for both
    if output.responses_file is None and answers is None and embeddings is None:
        return None
    return BatchJobDestination(
        file_name=output.responses_file,
        inlined_responses=answers,
        inlined_embed_content_responses=embeddings,
    )


def _answers(given: _Responses | None) -> tuple[InlinedResponse, ...] | None:
    if given is None or given.inlined_responses is None:
        return None
    return tuple(inlined_response(item) for item in given.inlined_responses)


def inlined_response(item: Any) -> InlinedResponse:
    """One answer of an inline job; anything but an object becomes an error."""
    if not isinstance(item, dict):
        return InlinedResponse(error=JobError(message=f"no answer but {item!r}"))
    response, error, metadata = (
        item.get("response"),
        item.get("error"),
        item.get("metadata"),
    )
    return InlinedResponse(
        response=response if isinstance(response, dict) else None,
        error=row_error(error),
        metadata=metadata if isinstance(metadata, dict) else None,
    )
