"""
Recognises values of the official SDK (google-genai) by their attributes. It isn't
imported here, nor is pydantic: that takes ten times as long as this client.
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
    """True for an object of a pydantic model, such as the official SDK's types."""
    return hasattr(value, "model_dump") and hasattr(type(value), "model_fields")


def opened(value: Any) -> Any:
    """
    A dict of the members of a model's object, or of a Struct, that are not None. The
    members themselves are not converted. Any other value is returned unchanged.
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
    """The config without members that only the official SDK reads."""
    return {name: value for name, value in config.items() if name not in SDK_ONLY}


def is_file(value: Any) -> bool:
    """True for an uploaded file: our File, or the official SDK's."""
    return type(value).__name__ == "File" and hasattr(value, "sha256_hash")
