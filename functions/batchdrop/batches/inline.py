"""
Turns a request as a caller writes it (strings, snake_case, one flat config) into the
JSON of a GenerateContentRequest.

The APIs read camelCase and snake_case at every level. The official SDK writes
camelCase at the levels it knows, and snake_case below. Here the same levels are
rewritten, and what is below stays as the caller wrote it, so that a schema's property
names and a function's arguments are never changed.
"""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from datetime import date, time
from enum import Enum
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import asdict

from batchdrop.batches.official import is_model, opened, without_sdk_only
from batchdrop.batches.schema import of_type, schema

#: Members whose values are the caller's own data; their names and nulls are kept.
_DATA = frozenset(
    {
        "args",
        "response",
        "default",
        "example",
        "part_metadata",
        "partMetadata",
        "parameters_json_schema",
        "parametersJsonSchema",
        "response_json_schema",
        "responseJsonSchema",
    }
)

# The members of an uploaded file's description; a file as a part has no others.
_FILE = frozenset(
    {
        "name",
        "displayName",
        "mimeType",
        "sizeBytes",
        "createTime",
        "updateTime",
        "expirationTime",
        "sha256Hash",
        "uri",
        "downloadUri",
        "state",
        "source",
        "error",
        "videoMetadata",
    }
)

# The levels that are rewritten: a mapping of the members that are levels, too.
_Levels = Mapping[str, Any]
_PART: _Levels = {"functionCall": {}}
_TOOL: _Levels = {"googleSearch": {}, "googleMaps": {"authConfig": {}}}
_TOOL_CONFIG: _Levels = {"functionCallingConfig": {}}
_GENERATION: _Levels = {"imageConfig": {}}

#: The types of most values, looked up before what takes longer to find out.
_AS_IT_IS = frozenset({str, int, float, bool, type(None)})

_UNDERSCORE = re.compile(r"_([a-z0-9])")


def camel(name: str) -> str:
    """display_name -> displayName; camelCase stays as it is."""
    return _UNDERSCORE.sub(lambda match: match[1].upper(), name)


def plain(value: Any) -> Any:
    """
    A value as JSON has it: bytes as base64, times by RFC 3339, Structs and objects of a
    pydantic model (such as the official SDK's types) as dicts. Members that are None
    are omitted, except inside the caller's own data.

    Raises:
        ValueError: a value that JSON can't hold.
    """
    if type(value) in _AS_IT_IS:
        return value
    if is_model(value):
        return _data(value.model_dump(exclude_none=True))
    if isinstance(value, Struct):
        value = opened(value)
    if isinstance(value, Mapping):
        return {
            k: _data(v) if k in _DATA else plain(v)
            for k, v in value.items()
            if v is not None
        }
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray)):
        return [plain(item) for item in value]
    return _scalar(value)


def _data(value: Any) -> Any:
    """The caller's own data as JSON has it, nulls included."""
    if type(value) in _AS_IT_IS:
        return value
    if is_model(value):
        value = value.model_dump()
    elif isinstance(value, Struct):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {k: _data(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray)):
        return [_data(item) for item in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, Enum):
        return _scalar(value.value)
    if value is None or isinstance(value, (str, int, float, Raw)):
        return value
    if isinstance(value, (bytes, bytearray)):
        return base64.urlsafe_b64encode(value).decode()
    if isinstance(value, (date, time)):
        return value.isoformat()
    if type(value).__module__.startswith("PIL."):
        return _image(value)
    raise ValueError(f"a {type(value).__name__} can't be sent as JSON")


def _image(image: Any) -> dict[str, Any]:
    """An image of Pillow's as a part; a JPEG file keeps its quality."""
    kept = (
        image.format == "JPEG"
        and getattr(image, "filename", "")
        and image.mode in ("1", "L", "RGB", "RGBX", "CMYK")
    )
    form, options = ("JPEG", {"quality": "keep"}) if kept else ("PNG", {})
    file = io.BytesIO()
    image.save(file, form, **options)
    data = base64.urlsafe_b64encode(file.getvalue()).decode()
    return {"inline_data": {"mime_type": f"image/{form.lower()}", "data": data}}


def _level(value: Mapping[str, Any], levels: _Levels) -> dict[str, Any]:
    made = {}
    for key, member in value.items():
        name = camel(key)
        if name in levels and isinstance(member, Mapping):
            member = _level(member, levels[name])
        made[name] = member
    return made


def part(given: Any) -> dict[str, Any]:
    """
    A part. A string becomes its text; a file's address, or an uploaded file, goes into
    fileData.
    """
    if isinstance(given, str):
        return {"text": given}
    if not isinstance(given, Mapping):
        raise ValueError(f"a part is a string or a dict, not {type(given).__name__}")
    made = _level(given, _PART)
    if "fileUri" in made:
        return {"fileData": dict(given)}
    if made and made.keys() <= _FILE and made.keys() != {"videoMetadata"}:
        if not made.get("uri") or not made.get("mimeType"):
            raise ValueError("a file that is a part needs a uri and a mime_type")
        return {"fileData": {"file_uri": made["uri"], "mime_type": made["mimeType"]}}
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
    One content. A content stays as it is, even without a role; a string, a part or a
    list of these becomes a content of the user.
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
        ValueError: there is nothing, or an item is neither a content nor a part.
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
        # Parts of the model and of the user can't share a content.
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
        ValueError: not a config; a member that can't be sent, such as a Python function
            as a tool or a schema that the APIs lack; a member in two spellings.
    """
    # Imported here: the client starts faster without preflight.
    from batchdrop.preflight.names import placed

    config = opened(given) or {}
    if not isinstance(config, Mapping):
        raise ValueError(f"a config is a dict, not {type(config).__name__}")
    present = {name: value for name, value in config.items() if value is not None}
    beside, inside = placed(without_sdk_only(present))
    generation: dict[str, Any] = {}
    for name, value in inside.items():
        if name == "responseSchema":
            if value or not isinstance(value, Mapping):
                found = plain(of_type(value, "response_schema"))
                generation[name] = schema(found, "response_schema")
        elif name == "responseJsonSchema":
            generation[name] = _data(of_type(value, "response_json_schema"))
        elif name == "speechConfig" and isinstance(value, str):
            generation[name] = {
                "voice_config": {"prebuilt_voice_config": {"voice_name": value}}
            }
        else:
            value = plain(value)
            if name in _GENERATION and isinstance(value, Mapping):
                value = _level(value, _GENERATION[name])
            generation[name] = value
    return {name: _beside(name, value) for name, value in beside.items()}, generation


def flat(given: Any) -> dict[str, Any]:
    """
    A flat config, each member as it is sent.

    Raises:
        ValueError: as `split_config`.
    """
    beside, generation = split_config(given)
    return beside | generation


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
        case "cachedContent":
            if not isinstance(value, str):
                raise ValueError(
                    f"cached_content is a name, not {type(value).__name__}"
                )
            return value if "/" in value else f"cachedContents/{value}"
        case _:
            return plain(value)


def _tools(given: Any) -> list[dict[str, Any]]:
    """The tools, with all function declarations in the last."""
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise ValueError(f"tools is a list, not {type(given).__name__}")
    made: list[dict[str, Any]] = []
    functions: list[Any] = []
    for tool in filter(None, given):
        if callable(tool):
            raise ValueError(
                f"tools: the Python function {getattr(tool, '__name__', tool)!r} can't "
                "be part of a batch job; write its declaration as "
                "{'function_declarations': [...]}"
            )
        if type(tool).__module__.partition(".")[0] == "mcp":
            raise ValueError(
                "tools: a batch job can't ask an MCP session; write its tools as "
                "{'function_declarations': [...]}"
            )
        one = plain(tool)
        if not isinstance(one, Mapping):
            raise ValueError(f"a tool is a dict, not {type(tool).__name__}")
        one = _level(one, _TOOL)
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
            what = f"the {name} of the function {made.get('name')!r}"
            made[name] = schema(made[name], what, ordered=False)
    return made


def request(given: Any) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """
    An inline request as (its GenerateContentRequest, its metadata).

    Takes an InlinedRequest, a dict of its members in either case, or a dict with a
    ready `request`, as in a line of a JSONL file; its `key` becomes metadata. The model
    stays under "model", unchanged.

    Raises:
        ValueError: an unknown member, or no contents.
    """
    given = _members(given)
    metadata = given.get("metadata")
    if isinstance(given.get("request"), Mapping):
        _only(given, ("request", "key", "metadata"))
        if metadata is None and "key" in given:
            metadata = {"key": given["key"]}
        made = _ready(plain(given["request"]))
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


def _ready(request: Mapping[str, Any]) -> dict[str, Any]:
    """A request in the APIs' own form, without members that only the SDK reads."""
    made = without_sdk_only(request)
    for name in ("generationConfig", "generation_config", "config"):
        if isinstance(made.get(name), Mapping):
            made[name] = without_sdk_only(made[name])
    return made


def line(
    request: Mapping[str, Any], metadata: Mapping[str, Any] | None, number: int
) -> bytes:
    """A request as a line of a file; its key is the metadata's, or made of `number`."""
    made: dict[str, Any] = {
        "key": str((metadata or {}).get("key", f"request-{number}"))
    }
    if metadata:
        made["metadata"] = metadata
    return msgspec.json.encode(made | {"request": request}) + b"\n"


def _only(given: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise ValueError(
                f"an inline request has no member {name!r}; "
                f"it can have: {', '.join(known)}"
            )


def _members(given: Any) -> dict[str, Any]:
    members = opened(given)
    if not isinstance(members, Mapping):
        raise ValueError(
            f"an inline request is a dict such as {{'contents': 'hi'}}, "
            f"not {type(given).__name__}"
        )
    return {key: value for key, value in members.items() if value is not None}
