"""
The error of one row, from any form in which an API or a model's server writes it:

    {"code": 3, "message": ".."}                 google.rpc.Status (Developer API)
    "Bad Request: {\\"error\\": {..}}"             Vertex: words, then the error as JSON
    {"type": "error", "error": {"type": ..}}     Claude's
    {"message", "type", "code"}                  OpenAI's, and of servers like it
    "no such model", 3                           words or a gRPC code alone

Where an error holds another, the inner one counts: Vertex has written "Internal error
occurred" around a 404 (googleapis/python-genai issue 509).
"""

import re
from typing import Any

import msgspec

from batchdrop.batches.types import JobError

#: google.rpc.Code. Codes below 17 are these; codes from 100 on are HTTP's.
STATUS_NAMES = {
    1: "CANCELLED",
    2: "UNKNOWN",
    3: "INVALID_ARGUMENT",
    4: "DEADLINE_EXCEEDED",
    5: "NOT_FOUND",
    6: "ALREADY_EXISTS",
    7: "PERMISSION_DENIED",
    8: "RESOURCE_EXHAUSTED",
    9: "FAILED_PRECONDITION",
    10: "ABORTED",
    11: "OUT_OF_RANGE",
    12: "UNIMPLEMENTED",
    13: "INTERNAL",
    14: "UNAVAILABLE",
    15: "DATA_LOSS",
    16: "UNAUTHENTICATED",
}
_CODES = {name: code for code, name in STATUS_NAMES.items()}

_OBJECT = re.compile(r"\{.*\}", re.DOTALL)
_NAME = re.compile(rf"\b(?:{'|'.join(_CODES)})\b")
_HTTP = re.compile(r"(?:^|\b(?:code|error|http|status)\b\W{0,4})([45]\d\d)\b", re.I)

#: How many errors within errors are read.
_DEEPEST = 8


def row_error(value: Any) -> JobError | None:
    """The error that a row's `error` or `status` holds; None if it holds none."""
    return _error(value, _DEEPEST) if value else None


def _error(value: Any, deep: int) -> JobError | None:
    if isinstance(value, dict):
        return _of_object(value, deep)
    if isinstance(value, int):
        return JobError(code=value, status=STATUS_NAMES.get(value), message=str(value))
    return _of_text(str(value), deep)


def _of_object(value: dict[str, Any], deep: int) -> JobError | None:
    inner = value.get("error")
    if inner and deep:
        return _error(inner, deep - 1)
    if not any(value.values()):
        return None  # such as {"code": 0}
    code, status = value.get("code"), value.get("status")
    message = value.get("message")
    message = "" if message is None else str(message)
    if "{" in message and deep:
        held = _held(message, deep)
        if held is not None:
            return held
    if isinstance(code, str):
        if code.isdecimal() and len(code) < 19:
            code = int(code)
        else:
            status = status or code
    if not isinstance(code, int):
        code = None
    kind = value.get("type")
    if not isinstance(status, str):
        status = STATUS_NAMES.get(code or 0) or (kind if isinstance(kind, str) else "")
    if code is None:
        code = _CODES.get(status)
    if code is None and not status and not message:
        message = msgspec.json.encode(value).decode()  # of a form that nobody knows
    return JobError(
        code=code,
        status=status or None,
        message=message,
        details=value.get("details"),
    )


def _of_text(text: str, deep: int) -> JobError:
    held = _held(text, deep) if deep else None
    if held is not None:
        return held
    if name := _NAME.search(text):
        return JobError(code=_CODES[name[0]], status=name[0], message=text)
    code = _HTTP.search(text)
    return JobError(code=int(code[1]) if code else None, message=text)


def _held(text: str, deep: int) -> JobError | None:
    """The error that a text holds as JSON, if its message says anything."""
    found = _OBJECT.search(text)
    if found is None:
        return None
    try:
        value = msgspec.json.decode(found[0])
    except (msgspec.DecodeError, RecursionError):
        return None
    error = _error(value, deep - 1) if isinstance(value, dict) else None
    return error if error and error.message else None
