"""
A request as a caller writes it - strings, snake_case, one flat config - made into the
JSON of a GenerateContentRequest.

The official SDK writes camelCase on the levels it knows and leaves what is deeper in
snake_case; the services read both at every level. Here the same levels are rewritten,
and what is deeper is left as the caller wrote it, so that a schema's property names or
a function's arguments are never touched.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

#: Members of a flat config that stand beside the contents, not in generationConfig
#: (google-genai 3.4.0, and the REST reference of GenerateContentRequest).
REQUEST_LEVEL = frozenset(
    {
        "systemInstruction",
        "safetySettings",
        "tools",
        "toolConfig",
        "cachedContent",
        "labels",
        "serviceTier",
        "continuationToken",
        "store",
    }
)

#: Options of the official SDK itself, never sent.
_NEVER_SENT = frozenset(
    {"httpOptions", "automaticFunctionCalling", "shouldReturnHttpResponse"}
)

#: What only Vertex has (google-genai refuses it for the Developer API).
VERTEX_ONLY = frozenset(
    {
        "routingConfig",
        "modelSelectionConfig",
        "audioTimestamp",
        "modelArmorConfig",
        "generationOutputConfig",
    }
)

# Which levels are rewritten: a mapping names members that are levels of their own.
_Levels = Mapping[str, Any]
_PART: _Levels = {"functionCall": {}}
_TOOL: _Levels = {"googleSearch": {}, "googleMaps": {}}
_TOOL_CONFIG: _Levels = {"functionCallingConfig": {}}
_GENERATION: _Levels = {"imageConfig": {}}

_UNDERSCORE = re.compile(r"_([a-z0-9])")


def camel(name: str) -> str:
    """display_name -> displayName; what is camelCase already is left alone."""
    return _UNDERSCORE.sub(lambda match: match[1].upper(), name)


def plain(value: Any) -> Any:
    """
    A value as JSON has it: bytes as base64, objects of a pydantic model (such as the
    official SDK's types) and Structs as dicts, members that are None left out.
    """
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(exclude_none=True))
    if isinstance(value, Struct):
        value = {name: getattr(value, name) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, (bytes, bytearray)):
        return base64.urlsafe_b64encode(value).decode()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value


def _level(value: Mapping[str, Any], levels: _Levels) -> dict[str, Any]:
    made = {}
    for key, member in value.items():
        name = camel(key)
        if name in levels and isinstance(member, Mapping):
            member = _level(member, levels[name])
        made[name] = member
    return made


def part(given: Any) -> dict[str, Any]:
    """A part: a string is its text, a file's address stands in fileData."""
    if isinstance(given, str):
        return {"text": given}
    if not isinstance(given, Mapping):
        raise ValueError(f"a part is a string or a dict, not {type(given).__name__}")
    made = _level(given, _PART)
    if "fileUri" in made:
        return {"fileData": dict(given)}
    return made


def _content_of(parts: list[dict[str, Any]]) -> dict[str, Any]:
    model = any("functionCall" in p for p in parts)
    return {"parts": parts, "role": "model" if model else "user"}


def _is_content(given: Any) -> bool:
    return isinstance(given, Mapping) and (
        not given or "parts" in given or "role" in given
    )


def _as_list(given: Any) -> list[Any]:
    return list(given) if isinstance(given, list) else [given]


def content(given: Any) -> dict[str, Any]:
    """
    One content. A content is taken as it is, without a role if it has none; a string, a
    part or a list of these becomes the user's.
    """
    if _is_content(given):
        made = _level(given, {})
        if made.get("parts") is not None:
            made["parts"] = [part(p) for p in _as_list(made["parts"])]
        return made
    return _content_of([part(p) for p in _as_list(given)])


def contents(given: Any) -> list[dict[str, Any]]:
    """
    The contents of a request.

        "hi"                            one content of the user
        ["a", "b"]                      one content of two parts
        [{"parts": [...]}, "c"]         two contents, in this order
        [["a", "b"], "c"]               two contents

    Raises:
        ValueError: nothing there, or no content and no part.
    """
    given = plain(given)
    if given is None or given == []:
        raise ValueError("a request needs contents: a string, a content, or a list")
    if not isinstance(given, list):
        return [content(given)]
    made: list[dict[str, Any]] = []
    loose: list[dict[str, Any]] = []  # parts that follow each other
    for item in given:
        if isinstance(item, list) or _is_content(item):
            if loose:
                made.append(_content_of(loose))
                loose = []
            made.append(content(item))
            continue
        one = part(item)
        # What the model said and what the user says can't be one content.
        if loose and ("functionCall" in one) != ("functionCall" in loose[0]):
            made.append(_content_of(loose))
            loose = []
        loose.append(one)
    if loose:
        made.append(_content_of(loose))
    return made


def split_config(given: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """
    A flat config as (members beside the contents, members of generationConfig).

    Raises:
        ValueError: a Python function as a tool, which can't be sent.
    """
    beside: dict[str, Any] = {}
    generation: dict[str, Any] = {}
    raw = given.model_dump(exclude_none=True) if hasattr(given, "model_dump") else given
    for key, value in (raw or {}).items():
        name = camel(key)
        if value is None or name in _NEVER_SENT:
            continue
        if name in REQUEST_LEVEL:
            beside[name] = _beside(name, value)
        elif name == "responseSchema":
            generation[name] = schema(value)
        elif name == "speechConfig" and isinstance(value, str):
            generation[name] = {
                "voice_config": {"prebuilt_voice_config": {"voice_name": value}}
            }
        else:
            value = plain(value)
            if name in _GENERATION and isinstance(value, Mapping):
                value = _level(value, _GENERATION[name])
            generation[name] = value
    return beside, generation


def _beside(name: str, value: Any) -> Any:
    match name:
        case "systemInstruction":
            return content(plain(value))
        case "safetySettings":
            return [_level(setting, {}) for setting in plain(value)]
        case "tools":
            return _tools(value)
        case "toolConfig":
            return _level(plain(value), _TOOL_CONFIG)
        case "cachedContent" if "/" not in value:
            return f"cachedContents/{value}"
        case _:
            return plain(value)


def _tools(given: Sequence[Any]) -> list[dict[str, Any]]:
    """The tools; all function declarations are put into one of them, the last."""
    made: list[dict[str, Any]] = []
    functions: list[Any] = []
    for tool in given:
        if callable(tool):
            raise ValueError(
                f"tools: the Python function {tool.__name__!r} can't be part of a "
                "batch job; write its declaration as {'function_declarations': [...]}"
            )
        one = _level(plain(tool), _TOOL)
        declared = one.pop("functionDeclarations", None)
        functions.extend(_declaration(function) for function in declared or ())
        if one or not declared:
            made.append(one)
    if functions:
        made.append({"functionDeclarations": functions})
    return made


def _declaration(function: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(function)
    for name in ("parameters", "response"):
        if isinstance(made.get(name), Mapping):
            made[name] = schema(made[name], ordered=False)
    return made


#: Members of a schema that are schemas, lists of schemas, or maps to schemas.
_SCHEMAS = frozenset({"items", "additional_properties"})
_SCHEMA_LISTS = frozenset({"any_of", "prefix_items"})
_SCHEMA_MAPS = frozenset({"properties", "defs"})

_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")


def schema(given: Any, *, ordered: bool = True) -> dict[str, Any]:
    """
    A schema as the service's Schema has it: types in capitals, a nullable type for a
    union with null, references put in place, the order of properties kept.

    Args:
        given: a dict, or a class with `model_json_schema` (a pydantic model).
        ordered: whether the order of an object's properties is sent along.
    """
    if hasattr(given, "model_json_schema"):
        given = given.model_json_schema()
    value = plain(given)
    if not isinstance(value, Mapping):
        raise ValueError(
            f"response_schema is a dict or a pydantic model, not {type(given).__name__}"
        )
    return _schema(value, value.get("$defs") or {}, ordered, ())


def _schema(
    given: Mapping[str, Any],
    defs: Mapping[str, Any],
    ordered: bool,
    seen: tuple[str, ...],
) -> dict[str, Any]:
    reference = given.get("$ref")
    if reference is not None:
        name = str(reference).rpartition("/")[2]
        if name in seen or name not in defs:
            why = "refers to itself" if name in seen else "is defined nowhere"
            raise ValueError(f"response_schema: {reference!r} {why}")
        given = {**defs[name], **{k: v for k, v in given.items() if k != "$ref"}}
        seen = (*seen, name)
    made: dict[str, Any] = {}
    for key, value in given.items():
        name = _HUMP.sub(lambda hump: "_" + hump[0].lower(), key)
        if key == "$defs":
            continue
        if name == "type" and isinstance(value, str):
            made["type"] = value.upper()
        elif name in _SCHEMAS and isinstance(value, Mapping):
            made[name] = _schema(value, defs, ordered, seen)
        elif name in _SCHEMA_LISTS:
            made[name] = [_schema(v, defs, ordered, seen) for v in value]
        elif name in _SCHEMA_MAPS:
            made[name] = {k: _schema(v, defs, ordered, seen) for k, v in value.items()}
        elif name == "const":
            made["enum"] = [value]
        else:
            made[name] = value
    _take_null_out(made)
    properties = made.get("properties") or {}
    if ordered and len(properties) > 1:
        made.setdefault("property_ordering", list(properties))
    return made


def _take_null_out(made: dict[str, Any]) -> None:
    """A union with null is a nullable type to the service."""
    branches = made.get("any_of")
    if branches is None:
        return
    others = [b for b in branches if b.get("type") != "NULL"]
    if len(others) < len(branches):
        made["nullable"] = True
        made["any_of"] = others
    if len(others) == 1 and len(branches) > 1:
        del made["any_of"]
        made.update(others[0])


def request(given: Any) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """
    An inline request as (its GenerateContentRequest, its metadata).

    Takes an InlinedRequest, a dict of its members in either case, or a dict that holds
    a ready `request` (as a line of a JSONL file does, its `key` becoming metadata). The
    model stays under "model" as it was given.

    Raises:
        ValueError: a member that isn't known, or no contents.
    """
    given = _members(given)
    metadata = given.get("metadata")
    if isinstance(given.get("request"), Mapping):
        _only(given, ("request", "key", "metadata"))
        if metadata is None and "key" in given:
            metadata = {"key": given["key"]}
        made = dict(plain(given["request"]))
    else:
        _only(given, ("contents", "config", "metadata", "model"))
        made = {}
        if "model" in given:
            made["model"] = given["model"]
        made["contents"] = contents(given.get("contents"))
        if "config" in given:
            beside, generation = split_config(given["config"])
            made |= beside
            made["generationConfig"] = generation
    return made, None if metadata is None else plain(metadata)


def _only(given: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise ValueError(
                f"an inline request has no member {name!r}; "
                f"it can have: {', '.join(known)}"
            )


def _members(given: Any) -> dict[str, Any]:
    if hasattr(given, "model_dump"):
        given = given.model_dump(exclude_none=True)
    elif isinstance(given, Struct):
        given = {name: getattr(given, name) for name in given.__struct_fields__}
    if not isinstance(given, Mapping):
        raise ValueError(
            f"an inline request is a dict such as {{'contents': 'hi'}}, "
            f"not {type(given).__name__}"
        )
    return {key: value for key, value in given.items() if value is not None}
