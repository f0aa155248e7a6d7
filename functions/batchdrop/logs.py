"""Writes log lines for Cloud Logging: one JSON object a line, on standard output."""

import json
import logging
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

_context: ContextVar[dict[str, Any] | None] = ContextVar("log_context", default=None)

#: The attributes that every LogRecord has; all others came as `extra`.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Headers(Protocol):
    """A request's headers; `get` ignores the case of a name."""

    def get(self, key: str, default: str) -> str: ...


class JsonFormatter(logging.Formatter):
    """
    Writes `severity`, `message`, the record's extra fields and the request's trace
    (https://cloud.google.com/logging/docs/structured-logging).
    """

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "severity": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
            **(_context.get() or {}),
            **{k: v for k, v in vars(record).items() if k not in _OWN},
        }
        if record.exc_info:
            # Error Reporting reads the trace from this field.
            line["stack_trace"] = self.formatException(record.exc_info)
        text = json.dumps(line, default=str, ensure_ascii=False)
        # Text from JSON may have a lone surrogate, which can't be printed.
        return text.encode(errors="backslashreplace").decode()

    def formatException(self, ei: Any) -> str:
        """
        Formats the trace without the errors' messages, which may quote their input.
        Callers log the messages of our own errors and of the client's errors.
        """
        trace, lines = ei[1], []
        while trace is not None:
            kind = type(trace)
            frames = "".join(traceback.format_tb(trace.__traceback__))
            lines.append(
                f"Traceback (most recent call last):\n{frames}"
                f"{kind.__module__}.{kind.__qualname__}"
            )
            trace = trace.__cause__ or trace.__context__
        # Error Reporting reads a trace like Python's own: the cause comes first.
        return "\n\n".join(reversed(lines))


class StandardOutput(logging.Handler):
    """Looks up `sys.stdout` for each line, because the framework replaces it."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), flush=True)


def set_up() -> None:
    """Formats the lines of all loggers as JSON, at INFO and above."""
    handler = StandardOutput()
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    # These log the full address of each request at INFO.
    for noisy in ("httpx", "httpcore", "google", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


@contextmanager
def request(headers: Headers, project: str) -> Iterator[None]:
    """Adds the trace of this request to each line that is logged in the context."""
    token = _context.set(_trace(headers, project))
    try:
        yield
    finally:
        _context.reset(token)


def _trace(headers: Headers, project: str) -> dict[str, Any]:
    """Reads `traceparent` (W3C), or else Google's older X-Cloud-Trace-Context."""
    if match := re.fullmatch(
        r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2}).*",
        headers.get("traceparent", ""),
    ):
        trace, span, sampled = match[1], match[2], int(match[3], 16) & 1 == 1
    elif match := re.fullmatch(
        r"([0-9a-fA-F]{32})(?:/(\d{1,20}))?(?:;o=(\d))?",
        headers.get("X-Cloud-Trace-Context", ""),
    ):
        trace, span, sampled = match[1], f"{int(match[2] or 0):016x}", match[3] == "1"
    else:
        return {}
    return {
        "logging.googleapis.com/trace": f"projects/{project}/traces/{trace}",
        "logging.googleapis.com/spanId": span,
        "logging.googleapis.com/trace_sampled": sampled,
    }
