"""
Schemas of answers and of functions' parameters, as the APIs' Schema has them. They are
converted as the official SDK does; `tests/client/test_differences.py` lists the
exceptions, with reasons.
"""

import re
import types
import typing
from collections.abc import Mapping, Sequence
from enum import Enum, EnumType
from typing import Any

from batchdrop.batches.official import is_model

#: The words of the APIs' Schema, without those that are put in place here.
WORDS = frozenset(
    {
        "additional_properties",
        "any_of",
        "default",
        "defs",
        "description",
        "enum",
        "example",
        "format",
        "items",
        "max_items",
        "max_length",
        "max_properties",
        "maximum",
        "min_items",
        "min_length",
        "min_properties",
        "minimum",
        "nullable",
        "pattern",
        "properties",
        "property_ordering",
        "ref",
        "required",
        "title",
        "type",
    }
)

_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")


def of_type(given: Any, what: str) -> dict[str, Any]:
    """
    The JSON schema of a Python type: a pydantic model, an Enum, `int`, `list[Model]`,
    a union, ...; a dict is taken as it is.

    Raises:
        ValueError: no type, or one that has no JSON schema.
    """
    if isinstance(given, Mapping):
        return dict(given)
    if is_model(given):
        if not hasattr(given, "property_ordering"):
            raise ValueError(
                f"{what} is an object of {type(given).__name__}: give the class"
            )
        made = given.model_dump(exclude_unset=True)
        if not made:
            raise ValueError(f"{what} is an empty Schema")
        return dict(made)
    if hasattr(given, "model_json_schema"):
        return dict(given.model_json_schema())
    if isinstance(given, EnumType):
        return _of_enum(given, what)
    if not _is_type(given):
        raise ValueError(
            f"{what} is a dict, a pydantic model or another type, "
            f"not {type(given).__name__}"
        )
    made = _of_other_type(given, what)
    if typing.get_origin(given) is typing.Literal:
        made.pop("title", None)
    return made


def _is_type(given: Any) -> bool:
    return (
        isinstance(given, (type, types.GenericAlias, types.UnionType))
        or typing.get_origin(given) is not None
    )


def _of_enum(given: EnumType, what: str) -> dict[str, Any]:
    values = [getattr(given, name).value for name in given.__members__]
    if any(isinstance(value, int) for value in values):
        # The API's enums are strings.
        strings = {str(value): str(value) for value in values}
        return _of_other_type(Enum(given.__name__, strings, type=str), what)
    if not all(isinstance(value, str) for value in values):
        raise ValueError(f"{what}: the values of {given.__name__} are no strings")
    made = _of_other_type(given, what)
    if given.__name__ == "PlaceholderLiteralEnum":  # the official SDK's of a Literal
        del made["$defs"][given.__name__]["title"]
    return made


def _of_other_type(given: Any, what: str) -> dict[str, Any]:
    try:
        from pydantic import create_model
        from pydantic.errors import PydanticUserError
    except ImportError as exc:
        raise ValueError(
            f"{what} as a Python type needs pydantic (pip install pydantic); or write "
            "it as a dict"
        ) from exc
    try:
        # The name is the official SDK's; it stays in the title.
        model = create_model("Placeholder", placeholder=(given, ...))
        made = model.model_json_schema()
    except (PydanticUserError, TypeError) as exc:
        raise ValueError(f"{what}: {given!r} has no JSON schema: {exc}") from exc
    return {**made["properties"]["placeholder"], "$defs": made.get("$defs", {})}


def schema(
    given: Mapping[str, Any], what: str, *, ordered: bool = True
) -> dict[str, Any]:
    """
    A JSON schema as the API's Schema: types in capitals, a nullable type for a
    union with null, references put in place, the order of properties kept.

    Args:
        what: what to call it in an error, such as "response_schema".
        ordered: whether the order of an object's properties is sent along.

    Raises:
        ValueError: a word or a value that the API's Schema doesn't have.
    """
    return _Maker(given.get("$defs") or {}, what, ordered).make(given, ())


class _Maker:
    def __init__(self, defs: Mapping[str, Any], what: str, ordered: bool) -> None:
        self._defs = defs
        self._what = what
        self._ordered = ordered

    def make(self, given: Any, seen: tuple[str, ...]) -> dict[str, Any]:
        if not isinstance(given, Mapping):
            raise self._error(f"a schema is a dict, not {type(given).__name__}")
        given = self._without_null(given)
        if "$ref" in given:
            given, seen = self._resolved(given, seen)
            given = self._without_null(given)
        made: dict[str, Any] = {}
        for word, value in given.items():
            name = _HUMP.sub(lambda hump: "_" + hump[0].lower(), word)
            if value is None or word == "$defs":
                continue
            if name == "const":
                if not isinstance(value, str):
                    raise self._error("a const is no string, as enums are")
                made["enum"] = [value]
            elif name not in WORDS:
                raise self._error(
                    f"the API's Schema has no word {word!r}; a schema with any "
                    "words goes into response_json_schema or parameters_json_schema"
                )
            else:
                made[name] = self._value(name, value, seen)
        properties = made.get("properties") or ()
        if self._ordered and made.get("type") == "OBJECT" and len(properties) > 1:
            made.setdefault("property_ordering", list(properties))
        return made

    def _value(self, name: str, value: Any, seen: tuple[str, ...]) -> Any:
        match name:
            case "type":
                kind = value.value if isinstance(value, Enum) else value
                if not isinstance(kind, str):
                    raise self._error("type is one word; write nullable or any_of")
                return kind.upper()
            case "enum":
                if not all(isinstance(each, str) for each in value):
                    raise self._error("the values of an enum are strings")
                return value
            case "items":
                return self.make(value, seen)
            case "additional_properties" if isinstance(value, Mapping):
                return self.make(value, seen)
            case "any_of":
                return [self.make(each, seen) for each in value]
            case "properties" | "defs":
                return {key: self.make(each, seen) for key, each in value.items()}
            case _:
                return value

    def _resolved(
        self, given: Mapping[str, Any], seen: tuple[str, ...]
    ) -> tuple[Mapping[str, Any], tuple[str, ...]]:
        """What a reference refers to, under what stands beside it."""
        name = str(given["$ref"]).rpartition("/")[2]
        if name in seen:
            raise self._error(
                f"{given['$ref']!r} refers to itself; only response_json_schema can"
            )
        if name not in self._defs:
            raise self._error(f"{given['$ref']!r} is defined nowhere")
        beside = {k: v for k, v in given.items() if k != "$ref"}
        return {**self._defs[name], **beside}, (*seen, name)

    def _without_null(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """A union with null is a nullable type to the API."""
        if given.get("type") == "null":
            return {k: v for k, v in given.items() if k != "type"} | {"nullable": True}
        branches = given.get("anyOf", given.get("any_of"))
        if not isinstance(branches, Sequence):
            return given
        others = [b for b in branches if not self._is_null(b)]
        if len(others) == len(branches):
            return given
        rest = {k: v for k, v in given.items() if k not in ("anyOf", "any_of")}
        if len(others) == 1 and isinstance(others[0], Mapping):
            return {**rest, "nullable": True, **others[0]}
        return rest | {"nullable": True, "any_of": others}

    @staticmethod
    def _is_null(branch: Any) -> bool:
        return isinstance(branch, Mapping) and branch.get("type") == "null"

    def _error(self, text: str) -> ValueError:
        return ValueError(f"{self._what}: {text}")
