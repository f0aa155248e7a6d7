"""
Examples of the official SDK's types, made from their definitions: for each member, at
every depth, the smallest value that holds it.
"""

import datetime
import enum
import types as builtin
import typing
from collections.abc import Iterator
from typing import Any

from google.genai import types
from pydantic import BaseModel

#: What is a value of its own for the API; nulls and names in it are the caller's.
DATA = {"aB": None, "c_d": [{"e": None}], "type": "string"}

_PLAIN: dict[Any, Any] = {
    str: "text",
    int: 3,
    float: 0.5,
    bool: True,
    bytes: b"\xff\xfe\xfa",
    datetime.datetime: datetime.datetime(2026, 5, 4, 3, 2, 1, tzinfo=datetime.UTC),
}


def members(kind: type[BaseModel]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each member at every depth as ("a.b.c", {"a": {"b": {"c": value}}})."""
    yield from _members(kind, (kind,))


def _members(
    kind: type[BaseModel], above: tuple[Any, ...]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, field in kind.model_fields.items():
        for path, value in _values(field.annotation, above):
            yield (f"{name}.{path}" if path else name), {name: value}


def _values(annotation: Any, above: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        yield from _values(arguments[0], above)
    elif origin in (typing.Union, builtin.UnionType):
        seen = False
        for one in arguments:
            is_model = isinstance(one, type) and issubclass(one, BaseModel)
            if one is type(None) or (seen and not is_model):
                continue
            for path, value in _values(one, above):
                seen = True
                yield path, value
    elif origin is list:
        for path, value in _values(arguments[0], above):
            yield path, [value]
    elif origin is dict and arguments[1] is not Any:
        for path, value in _values(arguments[1], above):
            yield path, {"some_name": value}
    elif origin is dict or annotation is Any:
        yield "", DATA
    elif origin is typing.Literal:
        yield "", arguments[0]
    elif annotation in _PLAIN:
        yield "", _PLAIN[annotation]
    elif isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        yield "", list(annotation)[-1].value
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation in above or annotation is types.HttpOptions:
            return
        yield from _members(annotation, (*above, annotation))


def camel(kind: type[BaseModel], value: dict[str, Any]) -> dict[str, Any]:
    """The same value with its members, but no names of the caller's, in camelCase."""
    made = {}
    for name, member in value.items():
        field = kind.model_fields[name]
        made[field.alias or name] = _camel(field.annotation, member)
    return made


def _camel(annotation: Any, value: Any) -> Any:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _camel(arguments[0], value)
    if origin in (typing.Union, builtin.UnionType):
        for one in arguments:
            if isinstance(one, type) and issubclass(one, BaseModel):
                if isinstance(value, dict) and value.keys() <= one.model_fields.keys():
                    return camel(one, value)
            elif typing.get_origin(one) in (list, dict, typing.Union):
                made = _camel(one, value)
                if made != value:
                    return made
        return value
    if origin is list and isinstance(value, list):
        return [_camel(arguments[0], item) for item in value]
    if origin is dict and isinstance(value, dict) and arguments[1] is not Any:
        return {name: _camel(arguments[1], item) for name, item in value.items()}
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return camel(annotation, value) if isinstance(value, dict) else value
    return value
