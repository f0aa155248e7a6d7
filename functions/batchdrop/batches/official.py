"""
Values of the official SDK (google-genai), told by what they have: neither it nor
pydantic is imported here, as importing them takes ten times as long as this client.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

#: Options that the official SDK reads itself and never sends. `http_options` may hold
#: headers with keys in them.
SDK_ONLY = frozenset(
    {
        "http_options",
        "httpOptions",
        "automatic_continuation",
        "automaticContinuation",
        "automatic_function_calling",
        "automaticFunctionCalling",
        "should_return_http_response",
        "shouldReturnHttpResponse",
    }
)


def is_model(value: Any) -> bool:
    """True for an object of a pydantic model; the official SDK's types are such."""
    return hasattr(value, "model_dump") and hasattr(type(value), "model_fields")


def opened(value: Any) -> Any:
    """
    The members of a model's object, or of a Struct, that are not None, as a dict; what
    is inside them stays as it is. Anything else is returned unchanged.
    """
    if is_model(value):
        names = type(value).model_fields
    elif isinstance(value, Struct):
        names = value.__struct_fields__
    else:
        return value
    members = ((name, getattr(value, name)) for name in names)
    return {name: member for name, member in members if member is not None}


def without_sdk_only(config: Mapping[str, Any]) -> dict[str, Any]:
    """The members that a service could take."""
    return {name: value for name, value in config.items() if name not in SDK_ONLY}


def is_file(value: Any) -> bool:
    """True for an uploaded file: what `files.upload` returns, here or there."""
    return type(value).__name__ == "File" and hasattr(value, "sha256_hash")
