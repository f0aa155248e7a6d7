"""
Reads a line of answers, of either API and from any place, into a row.

A line that can't be read becomes a row with an error, so that it is not lost.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from batchdrop.batches.lines import OWN
from batchdrop.batches.outcomes import ResultRow
from batchdrop.batches.row_errors import row_error
from batchdrop.batches.types import InlinedResponse, JobError

_KEYS = frozenset({"key", "custom_id"})


def row_of(raw: dict[str, Any]) -> ResultRow:
    """
    A row from its JSON value, of either API:

        response, error              the Developer API's
        response, status: ""         Vertex: answered
        status: "Bad Request: {..}"  Vertex: not answered; the text ends in a JSON error
        predictions, prediction      Vertex: a legacy embedding; a custom model
        response.status_code, .body  OpenAI's: answered below 400
        response.error               a model server's: not answered

    Keys and columns that `create` packed into one member are restored.
    """
    raw = _with_its_own(raw)
    metadata = raw.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else None
    response = raw.get("response")
    if isinstance(response, str):  # BigQuery gives JSON columns as text
        response = _decoded(response)
    for name in ("predictions", "prediction"):
        if response is None and name in raw:
            response = {name: raw[name]}
    error = (
        row_error(raw.get("error"))
        or row_error(raw.get("status"))
        or _inner_error(response)
    )
    answered = isinstance(response, dict) and bool(response)
    return ResultRow(
        key=_key(raw, metadata),
        response=response if answered and error is None else None,
        error=error,
        metadata=metadata,
        raw=raw,
    )


def _with_its_own(raw: dict[str, Any]) -> dict[str, Any]:
    """
    A row with the caller's own columns; a legacy embedding has them in `instance`.
    """
    for holder in (raw, raw.get("instance")):
        if isinstance(holder, dict) and isinstance(text := holder.get(OWN), str):
            own = _decoded(text)
            if isinstance(own, dict):
                # `create` replaced the caller's key; all else is the API's.
                theirs = raw.keys() - {OWN, *(own.keys() & _KEYS)}
                return own | {name: raw[name] for name in raw if name in theirs}
    return raw


def _key(raw: Mapping[str, Any], metadata: Mapping[str, Any] | None) -> str | None:
    holders: list[Mapping[str, Any]] = [raw]
    instance = raw.get("instance")
    if isinstance(instance, str):  # BigQuery gives JSON columns as text
        instance = _decoded(instance)
    if isinstance(instance, dict) and isinstance(instance.get("content"), str):
        # A legacy embedding returns the whole line in `instance`. In those of other
        # models, "key" may be a feature.
        holders.append(instance)
    for holder in holders:
        for name in ("key", "custom_id"):
            if holder.get(name) is not None:
                return str(holder[name])
    key = (metadata or {}).get("key")
    return None if key is None else str(key)


def _inner_error(response: Any) -> JobError | None:
    """The error that a model's server returned in place of an answer."""
    if not isinstance(response, dict):
        return None
    body, status = response, response.get("status_code")
    if status is not None:  # OpenAI's batch lines
        inner = response.get("body")
        body = inner if isinstance(inner, dict) else {}
    error = row_error(body.get("error"))
    if not isinstance(status, int) or status < 400:
        return error
    error = error or JobError()
    return replace(error, code=status, message=error.message or f"HTTP status {status}")


def _decoded(text: str | bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def inline_row(answer: InlinedResponse) -> ResultRow:
    """The row of an answer that its job holds."""
    raw: dict[str, Any] = {}
    if answer.response is not None:
        raw["response"] = answer.response
    if answer.error is not None:
        # As the API sends it: it has no name of the code.
        raw["error"] = {**msgspec.to_builtins(answer.error)}
        del raw["error"]["status"]
    if answer.metadata is not None:
        raw["metadata"] = answer.metadata
    return row_of(raw)


def rows_of(lines: Iterable[bytes], where: str) -> Iterator[ResultRow]:
    """
    The rows of JSONL. A line that can't be read becomes a row with an error, and its
    text is in raw["line"], so that one bad line neither stops the others nor is lost.
    """
    for number, line in enumerate(lines, 1):
        row = row_of_line(line, where, number)
        if row is not None:
            yield row


def row_of_line(line: bytes, where: str, number: int) -> ResultRow | None:
    """The row of one line; None for a blank one."""
    text = line.strip()
    if not text:
        return None
    value = _decoded(text)
    if isinstance(value, dict):
        return row_of(value)
    error = JobError(message=f"{where}, line {number}: not a JSON object")
    return ResultRow(error=error, raw={"line": text.decode(errors="replace")})
