"""
Vertex AI's dialect: `batchPredictionJobs` of aiplatform v1 and v1beta1.

Pure functions: from values to a `Call`, and from the bytes of an answer to values.
Shapes are those of the aiplatform v1 discovery document and of answers seen live.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Raw, Struct

from batchdrop.batches.call import Call
from batchdrop.batches.config import CreateBatchJobConfig, ListBatchJobsConfig
from batchdrop.batches.types import (
    BatchJob,
    BatchJobDestination,
    BatchJobSource,
    CompletionStats,
    DeleteResourceJob,
    HttpOptions,
    JobError,
    JobState,
    OutputInfo,
    Time,
    VertexMultimodalDatasetDestination,
    job_state,
)
from batchdrop.batches.wire import page_of, read, read_object, unclear

#: The hosts of multi-regions have another form.
MULTI_REGIONS = ("us", "eu")

_NAME = re.compile(
    r"projects/(?P<project>[^/?#]+)/locations/(?P<location>[a-z0-9-]+)"
    r"/(?:batchPredictionJobs|batchJobs)/(?P<id>[^/?#]+)"
)
_LOCATION = re.compile(r"[a-z0-9-]+")
_BARE_ID = re.compile(r"[0-9]+")


def host(location: str) -> str:
    """
    The API's own address for a location, without a slash at the end.

    Raises:
        ValueError: an invalid location. Names may come from anybody, and credentials
            are sent to this host.
    """
    if not _LOCATION.fullmatch(location):
        raise ValueError(f"invalid location: {location!r}, such as 'us-central1'")
    if location == "global":
        return "https://aiplatform.googleapis.com"
    if location in MULTI_REGIONS:
        return f"https://aiplatform.{location}.rep.googleapis.com"
    return f"https://{location}-aiplatform.googleapis.com"


def model_name(model: str) -> str:
    """
    The resource name of a model.

        gemini-3.8-flash                 publishers/google/models/gemini-3.8-flash
        anthropic/claude-x               publishers/anthropic/models/claude-x
        publishers/.. projects/.. models/..      unchanged
    """
    check_model(model)
    if model.startswith(("publishers/", "projects/", "models/")):
        return model
    if "/" in model:
        publisher, _, name = model.partition("/")
        return f"publishers/{publisher}/models/{name}"
    return f"publishers/google/models/{model}"


def check_model(model: str) -> None:
    """Raises ValueError for a name that would change the address around it."""
    if not model:
        raise ValueError("model is required, such as 'gemini-3.8-flash'")
    if ".." in model or "?" in model or "&" in model:
        raise ValueError(f"invalid model: {model!r} (no '..', '?' or '&')")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vertex:
    """
    Calls of one project and location of Vertex AI; a full name has its own.

    Attributes:
        project, location: both None in express mode (an API key alone).
        base_url: in place of the API's own host, whatever the location.
        api_version: "v1beta1" by default.
        whole_base: True if `base_url` ends where the resource begins.
    """

    project: str | None
    location: str | None
    base_url: str | None = None
    api_version: str = "v1beta1"
    whole_base: bool = False

    def create(
        self, model: str, src: BatchJobSource, config: CreateBatchJobConfig, stamp: str
    ) -> Call[BatchJob]:
        """
        Args:
            stamp: the end of generated names; different at each call.

        Raises:
            ValueError: a source or an option that Vertex doesn't have.
        """
        if config.webhook_config is not None or config.priority is not None:
            raise ValueError(
                "config.webhook_config and config.priority are of the Gemini Developer "
                "API; Vertex AI has neither: leave them out"
            )
        body: dict[str, Any] = {
            "displayName": config.display_name or f"genai_batch_job_{stamp}",
            "model": model_name(model),
            "inputConfig": input_config(src),
        }
        dest = config.dest or default_destination(src, stamp)
        if dest is not None:
            body["outputConfig"] = output_config(dest)
        if config.labels:
            body["labels"] = dict(config.labels)
        if config.encryption_spec:
            spec = config.encryption_spec
            key = spec.get("kms_key_name", spec.get("kmsKeyName"))
            body["encryptionSpec"] = {"kmsKeyName": key}
        return Call(
            "POST",
            self._url("batchPredictionJobs", config.http_options),
            read_job,
            body=body,
            repeatable=False,
            options=config.http_options,
        )

    def get(self, name: str, options: HttpOptions | None = None) -> Call[BatchJob]:
        """Raises ValueError for an invalid name; so do `cancel` and `delete`."""
        return Call("GET", self._job_url(name, options), read_job, options=options)

    def cancel(self, name: str, options: HttpOptions | None = None) -> Call[None]:
        """Asks the API to stop the job; the answer is empty."""
        url = self._job_url(name, options) + ":cancel"
        return Call("POST", url, read_nothing, options=options)

    def delete(
        self, name: str, options: HttpOptions | None = None
    ) -> Call[DeleteResourceJob]:
        """Removes a job that has ended; its output stays."""
        url = self._job_url(name, options)
        return Call("DELETE", url, read_operation, options=options)

    def list(
        self, config: ListBatchJobsConfig
    ) -> Call[tuple[Sequence[BatchJob], str | None]]:
        """One page: its jobs and the token of the next, or None at the end."""
        query = {
            "filter": config.filter,
            "pageSize": config.page_size,
            "pageToken": config.page_token,
        }
        given = urlencode({k: v for k, v in query.items() if v is not None})
        url = self._url("batchPredictionJobs", config.http_options)
        return Call(
            "GET",
            f"{url}?{given}" if given else url,
            read_page,
            options=config.http_options,
        )

    def _job_url(self, name: str, options: HttpOptions | None) -> str:
        full = _NAME.fullmatch(name)
        if full:
            # A job can be read only in its own project and location.
            return self._url(
                f"batchPredictionJobs/{quote(full['id'])}",
                options,
                full["project"],
                full["location"],
            )
        if _BARE_ID.fullmatch(name):
            return self._url(f"batchPredictionJobs/{name}", options)
        raise ValueError(
            f"Invalid batch job name: {name!r}; write "
            "projects/P/locations/L/batchPredictionJobs/ID, or the ID, which is a "
            "number, alone"
        )

    def _url(
        self,
        path: str,
        options: HttpOptions | None,
        project: str | None = None,
        location: str | None = None,
    ) -> str:
        project, location = project or self.project, location or self.location
        base = (
            (options and options.base_url)
            or self.base_url
            or host(location if location and project else "global")
        )
        if self.whole_base or (options and options.base_url_resource_scope):
            return f"{base.rstrip('/')}/{path}"
        version = (options and options.api_version) or self.api_version
        scope = ""
        if project:
            scope = f"projects/{quote(project, safe=':')}/locations/{location}/"
        return f"{base.rstrip('/')}/{version}/{scope}{path}"


# Values to JSON.


def input_config(src: BatchJobSource) -> dict[str, Any]:
    """
    `inputConfig`; its format is filled in, as the API requires one.

    Raises:
        ValueError: not exactly one source, or a source of the Developer API's.
    """
    given = [src.gcs_uri, src.bigquery_uri, src.vertex_dataset_name]
    others = [src.inlined_requests, src.file_name]
    if sum(s is not None for s in given) != 1 or any(s is not None for s in others):
        raise ValueError(
            f"src {str(src)!r}: Vertex AI takes exactly one of gcs_uri, bigquery_uri "
            "or vertex_dataset_name"
        )
    if src.gcs_uri is not None:
        return {
            "instancesFormat": src.format or "jsonl",
            "gcsSource": {"uris": list(src.gcs_uri)},
        }
    if src.bigquery_uri is not None:
        return {
            "instancesFormat": src.format or "bigquery",
            "bigquerySource": {"inputUri": src.bigquery_uri},
        }
    return {
        "instancesFormat": src.format or "vertex-dataset",
        "vertexMultimodalDatasetSource": {"datasetName": src.vertex_dataset_name},
    }


def output_config(dest: BatchJobDestination) -> dict[str, Any]:
    """`outputConfig`; ValueError unless `dest` names exactly one place."""
    given = [dest.gcs_uri, dest.bigquery_uri, dest.vertex_dataset]
    if sum(d is not None for d in given) != 1:
        raise ValueError(
            "config.dest: Vertex AI takes exactly one of gcs_uri, bigquery_uri or "
            "vertex_dataset"
        )
    if dest.gcs_uri is not None:
        return {
            "predictionsFormat": dest.format or "jsonl",
            "gcsDestination": {"outputUriPrefix": dest.gcs_uri},
        }
    if dest.bigquery_uri is not None:
        return {
            "predictionsFormat": dest.format or "bigquery",
            "bigqueryDestination": {"outputUri": dest.bigquery_uri},
        }
    dataset: dict[str, Any] = {}
    assert dest.vertex_dataset is not None
    if dest.vertex_dataset.bigquery_destination is not None:
        dataset["bigqueryDestination"] = {
            "outputUri": dest.vertex_dataset.bigquery_destination
        }
    if dest.vertex_dataset.display_name is not None:
        dataset["displayName"] = dest.vertex_dataset.display_name
    return {
        "predictionsFormat": dest.format or "vertex-dataset",
        "vertexMultimodalDatasetDestination": dataset,
    }


def default_destination(src: BatchJobSource, stamp: str) -> BatchJobDestination | None:
    """
    The default destination, by the official SDK's rule.

        gs://b/in.jsonl        gs://b/in/dest
        bq://p.d.t             bq://p.d.t_dest_{stamp}
        anything else          None: the API decides, or refuses
    """
    if src.gcs_uri and src.gcs_uri[0].endswith(".jsonl"):
        return BatchJobDestination(
            format="jsonl", gcs_uri=src.gcs_uri[0].removesuffix(".jsonl") + "/dest"
        )
    if src.bigquery_uri:
        return BatchJobDestination(
            format="bigquery", bigquery_uri=f"{src.bigquery_uri}_dest_{stamp}"
        )
    return None


# JSON to values.


class _Gcs(Struct, rename="camel", gc=False):
    uris: tuple[str, ...] | None = None
    output_uri_prefix: str | None = None


class _BigQuery(Struct, rename="camel", gc=False):
    input_uri: str | None = None
    output_uri: str | None = None


class _Dataset(Struct, rename="camel", gc=False):
    dataset_name: str | None = None
    display_name: str | None = None
    bigquery_destination: _BigQuery | None = None


class _Input(Struct, rename="camel", gc=False):
    instances_format: str | None = None
    gcs_source: _Gcs | None = None
    bigquery_source: _BigQuery | None = None
    vertex_multimodal_dataset_source: _Dataset | None = None


class _Output(Struct, rename="camel", gc=False):
    predictions_format: str | None = None
    gcs_destination: _Gcs | None = None
    bigquery_destination: _BigQuery | None = None
    vertex_multimodal_dataset_destination: _Dataset | None = None


class _Job(Struct, rename="camel", gc=False):
    name: str = ""
    display_name: str | None = None
    model: str | None = None
    state: str | None = None
    create_time: Time | None = None
    start_time: Time | None = None
    end_time: Time | None = None
    update_time: Time | None = None
    error: JobError | None = None
    completion_stats: CompletionStats | None = None
    input_config: _Input | None = None
    output_config: _Output | None = None
    output_info: OutputInfo | None = None
    labels: dict[str, str] | None = None
    partial_failures: tuple[JobError, ...] | None = None


class _Page(Struct, rename="camel", gc=False):
    batch_prediction_jobs: list[Raw] | None = None
    next_page_token: str | None = None
    error: Any = None  #: pages have no such member: the answer is an error


class _Operation(Struct, gc=False):
    name: str | None = None
    done: bool | None = None
    error: JobError | None = None


# int64 is a string in JSON, hence strict=False.
_job_decoder = msgspec.json.Decoder(_Job, strict=False)
_page_decoder = msgspec.json.Decoder(_Page, strict=False)
_operation_decoder = msgspec.json.Decoder(_Operation, strict=False)


def read_job(body: bytes) -> BatchJob:
    """A job from its JSON object; UnclearAnswer without a name."""
    job = read(_job_decoder, body)
    if not job.name:
        raise unclear(body, "is no job")
    return BatchJob(
        name=job.name,
        display_name=job.display_name,
        model=job.model,
        state=job_state(job.state) if job.state else JobState.UNSPECIFIED,
        create_time=job.create_time,
        start_time=job.start_time,
        end_time=job.end_time,
        update_time=job.update_time,
        error=job.error,
        completion_stats=job.completion_stats,
        src=_source(job.input_config) if job.input_config else None,
        dest=_destination(job.output_config) if job.output_config else None,
        output_info=job.output_info,
        labels=job.labels,
        partial_failures=job.partial_failures or (),
        wire=body,
    )


def read_page(body: bytes) -> tuple[Sequence[BatchJob], str | None]:
    """The jobs of a page and the next page's token, None at the end."""
    return page_of(
        _page_decoder, body, lambda page: page.batch_prediction_jobs, read_job
    )


def read_operation(body: bytes) -> DeleteResourceJob:
    """The operation of a delete; UnclearAnswer without a name."""
    operation = read(_operation_decoder, body)
    if not operation.name:
        raise unclear(body, "is no operation")
    return DeleteResourceJob(
        name=operation.name, done=operation.done, error=operation.error
    )


def read_nothing(body: bytes) -> None:
    """
    Checks an answer without content; UnclearAnswer for an error or for no JSON object,
    as the request may have been carried out.
    """
    if body.strip() and read_object(body).get("error") is not None:
        raise unclear(body, "is not empty")


def _source(given: _Input) -> BatchJobSource:
    gcs, table, dataset = (
        given.gcs_source,
        given.bigquery_source,
        given.vertex_multimodal_dataset_source,
    )
    return BatchJobSource(
        format=given.instances_format,
        gcs_uri=gcs.uris if gcs else None,
        bigquery_uri=table.input_uri if table else None,
        vertex_dataset_name=dataset.dataset_name if dataset else None,
    )


def _destination(given: _Output) -> BatchJobDestination:
    gcs, table, dataset = (
        given.gcs_destination,
        given.bigquery_destination,
        given.vertex_multimodal_dataset_destination,
    )
    made = None
    if dataset:
        inner = dataset.bigquery_destination
        made = VertexMultimodalDatasetDestination(
            bigquery_destination=inner.output_uri if inner else None,
            display_name=dataset.display_name,
        )
    return BatchJobDestination(
        format=given.predictions_format,
        gcs_uri=gcs.output_uri_prefix if gcs else None,
        bigquery_uri=table.output_uri if table else None,
        vertex_dataset=made,
    )
