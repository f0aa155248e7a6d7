"""How Google's JSON APIs write names, times, numbers and errors."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

#: HTTP status -> the name of the canonical code that goes with it in an error.
STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ALREADY_EXISTS",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class ApiError(Exception):
    """
    A request that is refused, as the caller will see it.

    `code` is an HTTP status; `status` a canonical name, by default the usual one for
    `code`; `details` go into the error as they are; `retry_after` is in seconds.
    """

    def __init__(
        self,
        code: int,
        message: str,
        status: str | None = None,
        details: list[dict[str, Any]] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status or STATUS_NAMES.get(code, "UNKNOWN")
        self.message = message
        self.details = details
        self.retry_after = retry_after

    @property
    def envelope(self) -> dict[str, Any]:
        """`{"error": {code, message, status, details?}}`, as in every Google API."""
        error: dict[str, Any] = {
            "code": self.code,
            "message": self.message,
            "status": self.status,
        }
        if self.details:
            error["details"] = self.details
        return {"error": error}


def invalid(message: str) -> ApiError:
    """A 400 whose message names what is wrong with the request."""
    return ApiError(400, message)


def parse_object(body: bytes) -> dict[str, Any]:
    """A request's JSON body; empty means `{}`. ApiError 400 if it is anything else."""
    if not body.strip():
        return {}
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise invalid(f"Invalid JSON payload received. {exc}") from None
    if not isinstance(value, dict):
        raise invalid("Invalid JSON payload received. The body must be an object.")
    return value


_SNAKE = re.compile(r"_([a-z0-9])")


def camel(name: str) -> str:
    """`display_name` -> `displayName`; camelCase is left as it is."""
    return _SNAKE.sub(lambda found: found[1].upper(), name)


def known_members(value: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    """ApiError 400 for an unknown member, worded as Google does."""
    for name in value:
        if name not in known:
            at = f" at '{where}'" if where else ""
            raise invalid(
                f'Invalid JSON payload received. Unknown name "{name}"{at}: '
                "Cannot find field."
            )


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC with microseconds and `Z`, as in resources."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def row_timestamp(at: datetime) -> str:
    """Milliseconds and `+00:00`, as only in `processed_time` of a Vertex row."""
    return at.isoformat(timespec="milliseconds")


def counts(**numbers: int) -> dict[str, str]:
    """int64 members: written as strings, and zeros left out (proto3 JSON)."""
    return {name: str(number) for name, number in numbers.items() if number}
