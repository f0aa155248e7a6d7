"""Reads what a caller passes (strings, dicts, the official SDK's types) into values."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from batchdrop.batches.official import is_file, is_model, opened, without_sdk_only
from batchdrop.batches.types import (
    BatchJobDestination,
    BatchJobSource,
    HttpOptions,
    HttpRetryOptions,
    VertexMultimodalDatasetDestination,
)
from batchdrop.ready import ready

S = TypeVar("S", bound=Struct)

_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")
_TOKEN = re.compile(r"[a-z0-9_-]{1,63}")
_DATASET = re.compile(r"projects/[^/]+/locations/[^/]+/datasets/[^/]+")


class CreateBatchJobConfig(Struct, frozen=True, kw_only=True):
    """
    The options of `create`.

    Args:
        display_name: a name for people; on Vertex AI the default is a generated one.
        dest: where the answers go; in a dict also "destination".
        labels: Vertex only. At most 64 characters each, lowercase, digits, "_", "-".
        encryption_spec: Vertex only: {"kms_key_name": ...}.
        webhook_config: Developer API only: {"uris": [...], "user_metadata": {...}}.
        priority: Developer API only: a whole number, higher goes first, default 0.
        generation_config: defaults for every request: temperature, max_output_tokens,
            system_instruction, safety_settings, tools, ...; a request's own value
            wins.
        staging: a gs:// prefix for the copies that `create` makes. Default: "staging/"
            under a gs:// destination, else "batchdrop-staging/" in the source's
            bucket. The copies are not deleted.
        as_is: True sends gs:// objects as they are, and doesn't read their first line.
        idempotency_token: makes `create` safe to repeat: `create` first searches for a
            job with this token, and returns it if there is one. At most 63 of a-z,
            0-9, "_" and "-".
        http_options: how to send this one request.
    """

    display_name: str | None = None
    dest: BatchJobDestination | None = None
    labels: Mapping[str, str] | None = None
    encryption_spec: Mapping[str, Any] | None = None
    webhook_config: Mapping[str, Any] | None = None
    priority: int | None = None
    generation_config: Mapping[str, Any] | None = None
    staging: str | None = None
    as_is: bool = False
    idempotency_token: str | None = None
    http_options: HttpOptions | None = None


class ListBatchJobsConfig(Struct, frozen=True, kw_only=True):
    """
    The options of `list`.

    Args:
        page_size: jobs a page; the APIs document neither default nor maximum,
            100 is used in practice.
        page_token: of the page to begin with.
        filter: Vertex only, such as `state="JOB_STATE_RUNNING"`; put OR in parentheses.
        http_options: how to send these requests.
    """

    page_size: int | None = None
    page_token: str | None = None
    filter: str | None = None
    http_options: HttpOptions | None = None


class CallConfig(Struct, frozen=True, kw_only=True):
    """The options of a call that has no others, such as `get` and `delete`."""

    http_options: HttpOptions | None = None


ready(CreateBatchJobConfig, ListBatchJobsConfig)


def snake(name: str) -> str:
    """displayName -> display_name; snake_case stays as it is."""
    return _HUMP.sub(lambda hump: "_" + hump[0].lower(), name)


def fields(kind: type[Struct], given: Any, what: str, **also: str) -> dict[str, Any]:
    """
    The members of a dict, or of an object of the official SDK, by field of a Struct.

    Args:
        what: what to call the dict in an error, such as "config".
        also: other accepted names: `destination="dest"`.

    Raises:
        ValueError: an unknown name, or one given in two spellings.
    """
    given = opened(given)
    if not isinstance(given, Mapping):
        raise ValueError(
            f"{what} is a {kind.__name__} or a dict, not {type(given).__name__}"
        )
    known = kind.__struct_fields__
    found: dict[str, Any] = {}
    for key, value in given.items():
        name = snake(str(key))
        name = also.get(name, name)
        if name not in known:
            raise ValueError(
                f"{what} has no member {key!r}; it can have: {', '.join(known)}"
            )
        if name in found:
            raise ValueError(f"{what} has {name!r} twice, in different spellings")
        found[name] = value
    return found


def _built(kind: type[S], values: Mapping[str, Any], what: str) -> S:
    """A Struct whose plain members are checked against their types."""
    try:
        return msgspec.convert(kind(**values), kind, from_attributes=True)
    except msgspec.ValidationError as exc:
        raise ValueError(f"{what}: {exc}") from exc


def http_options(given: Any) -> HttpOptions | None:
    """
    HttpOptions from what a caller gave: one, a dict, the official SDK's, or None.

    A timeout is in milliseconds only in the official SDK's object. In a dict it is in
    seconds, as in ours.
    """
    if given is None:
        return None
    values = fields(HttpOptions, _without_aiohttp(given), "http_options")
    if values.get("retry_options") is not None:
        retry = fields(
            HttpRetryOptions, values["retry_options"], "http_options.retry_options"
        )
        if codes := retry.get("http_status_codes"):
            retry["http_status_codes"] = tuple(codes)
        given_ones = {k: v for k, v in retry.items() if v is not None}
        values["retry_options"] = HttpRetryOptions(**given_ones)
    if is_model(given) and values.get("timeout") is not None:
        # With 0 the official client has no timeout.
        values["timeout"] = timedelta(milliseconds=values["timeout"]) or None
    return HttpOptions(**values)


def _without_aiohttp(given: Any) -> Any:
    given = opened(given)
    if isinstance(given, Mapping) and "aiohttp_client" in given:
        if given["aiohttp_client"] is not None:
            raise ValueError(
                "http_options.aiohttp_client: requests are sent through httpx here; "
                "give httpx_async_client or async_client_args"
            )
        return {k: v for k, v in given.items() if k != "aiohttp_client"}
    return given


def destination(given: Any) -> BatchJobDestination:
    """
    A destination from a gs:// or bq:// string, a dict, our own type or the official
    SDK's.

    The format is filled in for a string alone, as in the official SDK.
    """
    if isinstance(given, str):
        if given.startswith("gs://"):
            return BatchJobDestination(format="jsonl", gcs_uri=given)
        if given.startswith("bq://"):
            return BatchJobDestination(format="bigquery", bigquery_uri=given)
        raise ValueError(
            f"Unsupported destination: {given!r}; write gs://.. or bq://.."
        )
    given = opened(given)
    if not isinstance(given, Mapping):
        raise ValueError(
            f"Unsupported destination: {type(given).__name__}; write gs://.. or bq://.."
        )
    values = fields(BatchJobDestination, given, "destination")
    dataset = values.get("vertex_dataset")
    if dataset is not None:
        values["vertex_dataset"] = VertexMultimodalDatasetDestination(
            **fields(
                VertexMultimodalDatasetDestination,
                dataset,
                "destination.vertex_dataset",
            )
        )
    return BatchJobDestination(**values)


def source(given: Any) -> BatchJobSource:
    """
    A source from what a caller gave.

        "gs://b/in.jsonl"                              a file, wildcards allowed
        ["gs://b/1.jsonl", "gs://b/2.jsonl"]           several
        "bq://project.dataset.table"                   a table
        "projects/P/locations/L/datasets/D"            a dataset
        "files/abc"                                    an uploaded file
        [{"contents": ...}, ...]                       inline requests
        File(...)                                      the same, as upload returned it
        {"gcs_uri": [...]}, BatchJobSource(...)        spelled out

    It takes the official SDK's BatchJobSource, File and InlinedRequests, too.

    Raises:
        ValueError: anything else.
    """
    if isinstance(given, str):
        return _string_source(given)
    if is_file(given):
        return _string_source(given.name or "")
    given = opened(given)
    if isinstance(given, Mapping):
        values = fields(BatchJobSource, given, "src")
        for name in ("gcs_uri", "inlined_requests"):
            if isinstance(values.get(name), str):
                values[name] = (values[name],)
            elif values.get(name) is not None:
                values[name] = tuple(values[name])
        return BatchJobSource(**values)
    if isinstance(given, Sequence):
        items = tuple(given)
        if not items:
            raise ValueError("src is an empty list: there is nothing to ask")
        if all(isinstance(i, str) and i.startswith("gs://") for i in items):
            return BatchJobSource(format="jsonl", gcs_uri=items)
        return BatchJobSource(inlined_requests=items)
    raise ValueError(_UNSUPPORTED.format(type(given).__name__))


def _string_source(given: str) -> BatchJobSource:
    if given.startswith("gs://"):
        return BatchJobSource(format="jsonl", gcs_uri=(given,))
    if given.startswith("bq://"):
        return BatchJobSource(format="bigquery", bigquery_uri=given)
    if _DATASET.fullmatch(given):
        return BatchJobSource(format="vertex-dataset", vertex_dataset_name=given)
    if given.startswith("files/"):
        return BatchJobSource(file_name=given)
    raise ValueError(_UNSUPPORTED.format(repr(given)))


_UNSUPPORTED = (
    "Unsupported source: {}; write gs://.., bq://.., files/.., "
    "projects/../locations/../datasets/.., or a list of requests"
)


def create_config(given: Any) -> CreateBatchJobConfig:
    """
    The options of `create` from a dict in snake_case or camelCase, our own type, the
    official SDK's, or None.
    """
    if given is None:
        return CreateBatchJobConfig()
    values = fields(CreateBatchJobConfig, given, "config", destination="dest")
    for name in ("webhook_config", "encryption_spec", "generation_config"):
        values[name] = opened(values.get(name))
    if isinstance(values["generation_config"], Mapping):
        # The job doesn't keep members that only the SDK reads.
        values["generation_config"] = without_sdk_only(values["generation_config"])
    values["generation_config"] = values["generation_config"] or None
    if values.get("dest") is not None:
        values["dest"] = destination(values["dest"])
    values["http_options"] = http_options(values.get("http_options"))
    config = _built(CreateBatchJobConfig, values, "config")
    token = config.idempotency_token
    if token is not None and not _TOKEN.fullmatch(token):
        raise ValueError(
            f"config.idempotency_token {token!r} must be 1 to 63 of a-z, 0-9, '_', '-'"
        )
    if config.as_is and config.generation_config is not None:
        raise ValueError(
            "config.as_is sends a file as it is; config.generation_config changes its "
            "lines: give one of them"
        )
    if config.staging is not None and not config.staging.startswith("gs://"):
        raise ValueError(f"config.staging {config.staging!r} must be a gs:// prefix")
    return config


def list_config(given: Any, **direct: Any) -> ListBatchJobsConfig:
    """The options of `list`; `direct` are the ones passed as arguments."""
    values = fields(ListBatchJobsConfig, given or {}, "config")
    for name, value in direct.items():
        if value is not None:
            values[name] = value
    values["http_options"] = http_options(values.get("http_options"))
    return _built(ListBatchJobsConfig, values, "config")


_AS_ANSWERED = ("should_return_http_response", "shouldReturnHttpResponse")


def call_config(given: Any) -> CallConfig:
    """The options of a call that has no others."""
    members = opened(given) or {}
    if isinstance(members, Mapping):
        # Of the official SDK's register_files; here it always returns the object.
        members = {k: v for k, v in members.items() if k not in _AS_ANSWERED}
    values = fields(CallConfig, members, "config")
    return CallConfig(http_options=http_options(values.get("http_options")))
