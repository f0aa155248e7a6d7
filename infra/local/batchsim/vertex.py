"""The Vertex dialect: batchPredictionJobs (aiplatform v1 and v1beta1 discovery)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from batchsim import filters, jobs, listing
from batchsim.clock import Clock
from batchsim.faults import Faults
from batchsim.jobs import Api, Job, Kind
from batchsim.messages import Reader
from batchsim.running import Runner
from batchsim.settings import Settings
from batchsim.store import Store, project_number, vertex_id
from batchsim.wire import (
    ApiError,
    camel,
    counts,
    invalid,
    timestamp,
)

Json = dict[str, Any]

#: The default page size and the largest. Not documented; 100 in practice.
PAGE = 100

#: Members that only the server writes: accepted in a request, and ignored.
_OUTPUT_ONLY = frozenset(
    {
        "name",
        "modelVersionId",
        "state",
        "error",
        "createTime",
        "startTime",
        "endTime",
        "updateTime",
        "outputInfo",
        "completionStats",
        "partialFailures",
        "resourcesConsumed",
        "satisfiesPzs",
        "satisfiesPzi",
        "modelMonitoringStatus",
        "modelMonitoringStatsAnomalies",
    }
)
#: What a create request may hold (aiplatform v1 and v1beta1 discovery). Members for
#: custom models alone, which aren't emulated, may be any object.
_MESSAGES: dict[str, dict[str, str]] = {
    "BatchPredictionJob": {
        **dict.fromkeys(_OUTPUT_ONLY, "any"),
        "displayName": "string",
        "model": "string",
        "inputConfig": "@BatchPredictionJob.InputConfig",
        "outputConfig": "@BatchPredictionJob.OutputConfig",
        "instanceConfig": "@BatchPredictionJob.InstanceConfig",
        "modelParameters": "any",
        "labels": "map string",
        "encryptionSpec": "@EncryptionSpec",
        "serviceAccount": "string",
        "dedicatedResources": "map any",
        "manualBatchTuningParameters": "map any",
        "generateExplanation": "boolean",
        "explanationSpec": "map any",
        "unmanagedContainerModel": "map any",
        "disableContainerLogging": "boolean",
    },
    "BatchPredictionJob.InputConfig": {
        "instancesFormat": "string",
        "gcsSource": "@GcsSource",
        "bigquerySource": "@BigQuerySource",
        "vertexMultimodalDatasetSource": "@VertexMultimodalDatasetSource",
    },
    "BatchPredictionJob.OutputConfig": {
        "predictionsFormat": "string",
        "gcsDestination": "@GcsDestination",
        "bigqueryDestination": "@BigQueryDestination",
        "vertexMultimodalDatasetDestination": "@VertexMultimodalDatasetDestination",
    },
    "BatchPredictionJob.InstanceConfig": {
        "instanceType": "string",
        "keyField": "string",
        "includedFields": "string | list string",
        "excludedFields": "string | list string",
    },
    "GcsSource": {"uris": "string | list string"},
    "BigQuerySource": {"inputUri": "string"},
    "VertexMultimodalDatasetSource": {"datasetName": "string"},
    "GcsDestination": {"outputUriPrefix": "string"},
    "BigQueryDestination": {"outputUri": "string"},
    "VertexMultimodalDatasetDestination": {
        "bigqueryDestination": "@BigQueryDestination",
        "displayName": "string",
    },
    "EncryptionSpec": {"kmsKeyName": "string"},
}
#: Members that only v1beta1 has.
_BETA = {"endpoint": "string", "modelMonitoringConfig": "map any"}

_LABEL = re.compile(r"[\w-]{0,64}")

#: Publisher -> the prefixes of its models' names. Other names answer 404.
_PUBLISHED = {
    "google": ("gemini-", "text-embedding-", "text-multilingual-embedding-"),
    "anthropic": ("claude-",),
    "meta": ("llama",),
    "openai": ("gpt-oss",),
    "qwen": ("qwen",),
    "deepseek-ai": ("deepseek",),
    "mistralai": ("mistral", "codestral"),
    "intfloat": ("multilingual-e5",),
}


@dataclass(slots=True)
class Vertex:
    """The five methods of `projects.locations.batchPredictionJobs`."""

    clock: Clock
    store: Store
    runner: Runner
    faults: Faults
    settings: Settings

    def create(self, version: str, project: str, location: str, body: Json) -> Job:
        """Creates a job. ApiError 400 for a bad request, 404 for an unknown model."""
        job = _read(version, body)
        job = {name: value for name, value in job.items() if name not in _OUTPUT_ONLY}
        model = _model(job.get("model"), location, self.settings)
        _check_request(job)
        parent = parent_of(project, location)
        with self.store.lock:
            self._check_quota(project, model)
            made = Job(
                seq=self.store.next_seq(),
                api=Api.VERTEX,
                kind=Kind.EMBED if "embedding" in model else Kind.GENERATE,
                parent=parent,
                name=f"{parent}/batchPredictionJobs/{vertex_id()}",
                version=version,
                display_name=job["displayName"],
                model=model,
                labels=job.get("labels") or {},
                body=job,
                created=self.store.creation_time(self.clock.now()),
            )
            self.runner.submit(made)
        return made

    def get(self, project: str, location: str, id: str) -> Job:
        """ApiError 404 if the project and location have no such job."""
        name = f"{parent_of(project, location)}/batchPredictionJobs/{id}"
        job = self.store.get(name)
        if job and not self.faults.strike(listing.subject_of(job), "vanished"):
            return job
        raise ApiError(404, f"The BatchPredictionJob {name} does not exist.")

    def list(self, project: str, location: str, query: Mapping[str, str]) -> Json:
        """One page, newest first. ApiError 400 for a bad filter, size or token."""
        text = query.get("filter", "")
        asked = query.get("pageSize") or query.get("page_size")
        found = listing.page(
            partial(self.store.newest_first, parent_of(project, location)),
            filters.parse(text),
            size=listing.page_size(asked, PAGE, PAGE),
            token=query.get("pageToken") or query.get("page_token"),
            query=text,
            clock=self.clock,
            faults=self.faults,
        )
        mask = query.get("readMask") or query.get("read_mask")
        numbers = enums_as_numbers(query)
        answer: Json = {}
        if found.views:
            values = [resource(one.job, one.at, numbers) for one in found.views]
            answer["batchPredictionJobs"] = [
                masked(value, mask) if mask else value for value in values
            ]
        if found.token:
            answer["nextPageToken"] = found.token
        return answer

    def cancel(self, project: str, location: str, id: str) -> Json:
        """Starts to cancel. ApiError 400 FAILED_PRECONDITION if the job has ended."""
        self.runner.cancel(self.get(project, location, id))
        return {}

    def delete(self, version: str, project: str, location: str, id: str) -> Json:
        """Deletes the job; returns a done operation. ApiError 400 before its end."""
        job = self.get(project, location, id)
        if not job.over:
            raise ApiError(
                400,
                f"The BatchPredictionJob {job.name} is in state {job.state}; only a "
                "finished job can be deleted. Cancel it first.",
                status="FAILED_PRECONDITION",
            )
        now = self.clock.now()
        job.deleted = now
        prefix = f"type.googleapis.com/google.cloud.aiplatform.{version}"
        operation: Json = {
            "name": f"{job.parent}/operations/{vertex_id()}",
            "metadata": {
                "@type": f"{prefix}.DeleteOperationMetadata",
                "genericMetadata": {
                    "createTime": timestamp(now),
                    "updateTime": timestamp(now),
                },
            },
            "done": True,
            "response": {"@type": "type.googleapis.com/google.protobuf.Empty"},
        }
        self.store.operations[operation["name"]] = operation
        return operation

    def operation(self, project: str, location: str, id: str) -> Json:
        """An operation that `delete` returned. ApiError 404 for an unknown one."""
        name = f"{parent_of(project, location)}/operations/{id}"
        if operation := self.store.operations.get(name):
            return operation
        raise ApiError(404, f"Operation {name} not found.")

    def _check_quota(self, project: str, model: str) -> None:
        """Few Claude jobs may be active in a project (docs, Claude batch quotas)."""
        if "publishers/anthropic/" not in model:
            return
        under = f"projects/{project_number(project)}/"
        active = sum(
            1
            for job in self.store.ever()
            if not job.over
            and job.parent.startswith(under)
            and "publishers/anthropic/" in job.model
        )
        if active >= self.runner.settings.limits.claude_jobs:
            raise ApiError(
                429,
                f"Quota exceeded: active Claude batch jobs in this project: {active}. "
                "Wait for one to end.",
            )


def enums_as_numbers(query: Mapping[str, str]) -> bool:
    """Whether the caller asks for enums as numbers, as Google's clients do."""
    return "enum-encoding=int" in query.get("$alt", "")


def resource(job: Job, at: datetime | None = None, numbers: bool = False) -> Json:
    """
    A BatchPredictionJob as answered (aiplatform v1 discovery; live captures).

    With `at`, it is shown as it was at that time. With `numbers`, the state is the
    number of the enum, 99 for an unknown state.
    """
    updated, phase = job.phase_at(at) if at else job.history[-1]
    over = phase in jobs.ENDS
    state = jobs.NUMBERS.get(phase, 99) if numbers else f"JOB_STATE_{phase}"
    answer: Json = {"name": job.name, **job.body, "state": state}
    if over and job.error:
        answer["error"] = job.error.json()
    if over and job.partial_failures:
        answer["partialFailures"] = [one.json() for one in job.partial_failures]
    if over and job.output:
        answer["outputInfo"] = job.output
    if over and job.output and job.row_counts.done:
        answer["completionStats"] = counts(
            successfulCount=job.row_counts.ok,
            failedCount=job.row_counts.failed,
            incompleteCount=job.row_counts.incomplete,
        )
    answer["createTime"] = timestamp(job.created)
    if phase != jobs.PENDING and job.started and job.started <= updated:
        answer["startTime"] = timestamp(job.started)
    if over and job.ended:
        answer["endTime"] = timestamp(job.ended)
    answer["updateTime"] = timestamp(updated)
    answer["modelVersionId"] = "1"
    answer.setdefault("encryptionSpec", {})
    return answer


def masked(value: Json, mask: str) -> Json:
    """Only the members that a FieldMask (`a,b.c`, either spelling) names."""
    kept: Json = {}
    for path in mask.split(","):
        names = camel(path.strip()).split(".")
        if names == ["*"]:
            return value
        source: Any = value
        target = kept
        for name in names[:-1]:
            source = source.get(name) if isinstance(source, dict) else None
            if isinstance(source, dict):
                target = target.setdefault(name, {})
        if isinstance(source, dict) and names[-1] in source:
            target[names[-1]] = source[names[-1]]
    return kept


def parent_of(project: str, location: str) -> str:
    return f"projects/{project_number(project)}/locations/{location}"


def _model(model: object, location: str, settings: Settings) -> str:
    if not isinstance(model, str) or not model:
        raise invalid("model: set it, such as publishers/google/models/gemini-4-argon.")
    publisher, name = _publisher(model)
    if publisher is None:
        return model
    begins = _PUBLISHED.get(publisher)
    published = begins is not None and name.startswith(begins)
    if not published or settings.is_retired(name):
        raise ApiError(404, f"The PublisherModel {name} does not exist.")
    if location == "global" and publisher != "google":
        raise invalid(f"model: {name} has no batch inference in global; name a region.")
    return model


def _publisher(model: str) -> tuple[str | None, str]:
    found = re.fullmatch(
        r"(?:projects/[^/]+/locations/[^/]+/)?publishers/([^/]+)/models/([^/]+)", model
    )
    if found:
        return found[1], found[2]
    if re.fullmatch(r"projects/[^/]+/locations/[^/]+/models/[^/]+", model):
        return None, model
    raise invalid(
        f"model: {model!r} isn't a model name; write publishers/PUBLISHER/models/MODEL "
        "or projects/PROJECT/locations/LOCATION/models/ID."
    )


def _read(version: str, body: Json) -> Json:
    messages = _MESSAGES
    if version == "v1beta1":
        job = {**messages["BatchPredictionJob"], **_BETA}
        messages = {**messages, "BatchPredictionJob": job}
    reader = Reader(messages, f"google.cloud.aiplatform.{version}")
    read: Json = reader.read("BatchPredictionJob", body, "batch_prediction_job")
    reader.refuse()
    return read


def _check_request(job: Json) -> None:
    if not job.get("displayName"):
        raise invalid("display_name is required.")
    _check_labels(job.get("labels") or {})
    config = _config(job, "inputConfig")
    _check_format(config.get("instancesFormat"), "input_config.instances_format")
    uris = config.get("gcsSource", {}).get("uris")
    table = config.get("bigquerySource", {}).get("inputUri")
    if bool(uris) == bool(table):
        raise invalid("input_config: name one source, such as gcs_source.uris.")
    for uri in uris or ():
        if not re.fullmatch(r"gs://[^/]+/.+", uri):
            raise invalid(f"input_config.gcs_source: {uri!r} is not a gs:// object.")
    if table and not re.fullmatch(r"bq://[^.]+\.[^.]+\.[^.]+", table):
        raise invalid(
            f"input_config.bigquery_source: {table!r} is not a "
            "bq://PROJECT.DATASET.TABLE."
        )
    config = _config(job, "outputConfig")
    _check_format(config.get("predictionsFormat"), "output_config.predictions_format")
    prefix = config.get("gcsDestination", {}).get("outputUriPrefix")
    table = config.get("bigqueryDestination", {}).get("outputUri")
    if bool(prefix) == bool(table):
        raise invalid("output_config: name one destination, such as gcs_destination.")
    if prefix and not re.match(r"gs://[^/]+", prefix):
        raise invalid(
            f"output_config.gcs_destination: {prefix!r} is not a gs:// prefix."
        )
    if table and not re.match(r"bq://[^.]+", table):
        raise invalid(
            f"output_config.bigquery_destination: {table!r} is not a bq:// URI."
        )


def _config(job: Json, name: str) -> Json:
    value: Json = job.get(name) or {}
    if not value:
        snake = {"inputConfig": "input_config", "outputConfig": "output_config"}[name]
        raise invalid(f"{snake} is required.")
    return value


def _check_format(name: object, where: str) -> None:
    if name == "vertex-dataset":
        raise ApiError(501, f"{where}: batchsim doesn't emulate multimodal datasets.")
    if name not in ("jsonl", "bigquery"):
        raise invalid(f"{where}: {name!r} isn't supported; write jsonl or bigquery.")


def _check_labels(labels: Json) -> None:
    for key, value in labels.items():
        for text in (key, value):
            if not _LABEL.fullmatch(text) or text != text.lower():
                raise invalid(
                    f"labels: {key!r}: {value!r} breaks the rules: at most 64 of "
                    "lower-case letters, digits, _ and -."
                )
