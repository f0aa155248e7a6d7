"""Good lines of each family, and ways to spoil any of them."""

import json
import random
from typing import Any

from batchdrop.preflight.members import of_request, strays
from batchdrop.preflight.names import camel, snake
from batchdrop.preflight.rules import Rules
from tests.preflight.reading import GOOD, good

_SCHEMA = {
    "type": "OBJECT",
    "properties": {"a": {"type": "string", "enum": ["x"]}, "b": {"type": "ARRAY"}},
    "required": ["a"],
}
_CALL = {"functionCall": {"name": "f", "args": {"n": [{"a": 1}], "uri": "x"}}}
_MEDIUM = {"fileData": {"fileUri": "gs://inbox/a.png", "mimeType": "image/png"}}
_FULL = good(
    systemInstruction={"parts": [{"text": "Be brief"}]},
    generationConfig={
        "temperature": 0.5,
        "maxOutputTokens": 7,
        "mediaResolution": "MEDIA_RESOLUTION_LOW",
        "responseSchema": _SCHEMA,
        "stopSequences": ["a"],
    },
    labels={"team": "a"},
    tools=[{"functionDeclarations": [{"name": "f", "parameters": _SCHEMA}]}],
    model="models/gemini-3.8-flash",
)
_TURNS = {
    "contents": [
        {"role": "user", "parts": [{"text": "hi"}, _MEDIUM]},
        {"role": "model", "parts": [_CALL]},
    ],
    "tools": [{"googleSearch": {"timeRangeFilter": None}}],
    "generation_config": {"top_p": "0.5", "seed": 1.0},
}
_CHAT = {
    "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
    "max_tokens": 9,
    "temperature": 1,
    "response_format": {"type": "json_object"},
}
_CLAUDE = {
    "anthropic_version": "vertex-2023-10-16",
    "messages": [{"role": "user", "content": "hi"}],
    "max_tokens": 9,
    "system": [{"type": "text", "text": "Be brief"}],
}
_EMBED = {"content": {"parts": [{"text": "hi"}]}}


def _around(requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Requests as they are, and in the ways to write something beside them."""
    lines = list(requests)
    for number, request in enumerate(requests):
        lines.append({"request": request})
        lines.append({"key": f"k{number}", "request": request, "mine": [None, {}]})
        lines.append({"custom_id": number, "request": request, "model": 7})
        lines.append({"key": "a", "request": request, "response": {"mine": 1}})
    return lines


def _asked(bodies: list[dict[str, Any]], url: str) -> list[dict[str, Any]]:
    beside = {"method": "POST", "url": url}
    return [
        {**key, **beside, "body": body}
        for body in bodies
        for key in ({}, {"custom_id": "a"}, {"key": 7, "mine": None})
    ]


_EMBEDDED: list[dict[str, Any]] = [
    {"content": "hi"},
    {"text": "hi", "taskType": "CLUSTERING", "key": "a", "mine": {"a": None}},
    {"contents": ["hi"], "output_dimensionality": 3},
    {"contents": [{"parts": [{"text": "hi"}]}], "title": "x"},
    {"content": "hi", "embedContentConfig": {"taskType": "CLUSTERING"}},
]
CLAUDE = "publishers/anthropic/models/claude-sonnet-5-5"
LLAMA = "publishers/meta/models/llama-4-maverick-17b-128e-instruct-maas"
#: Good lines, by backend and model.
FINE: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("vertex", "gemini-3.8-flash"): _around([GOOD, _FULL, _TURNS]),
    ("developer", "gemini-3.8-flash"): [
        *_around([GOOD, _FULL, _TURNS]),
        *_asked([_CHAT], "/v1/chat/completions"),
    ],
    ("vertex", CLAUDE): _around([_CLAUDE]),
    ("vertex", LLAMA): [
        *_asked([_CHAT], "/v1/chat/completions"),
        *_asked([{"input": ["hi"]}], "/v1/embeddings"),
    ],
    ("vertex", "gemini-embedding-2"): [*_EMBEDDED, *_around([_EMBED])],
    ("developer", "gemini-embedding-2"): [*_EMBEDDED, *_around([_EMBED])],
    ("vertex", "text-embedding-005"): [*_EMBEDDED, *_around([_EMBED])],
}

_WORDS = [
    *("", "x", "7", "0.5", "true", "user", "assistant", "text", "object", "LOW"),
    *("media-resolution-low", "gs://inbox/b.png", "gs://other/b", "gs://inbox/../b"),
    *("https://youtu.be/a", "ä", "STRİNG", "{}", "gemini-9", "a\\b", "POST", "\ud83d"),
]
_NAMES = [
    *("x", "a b", "$ref", "ä", "", "_table_x", "uri", "fileUri", "file_uri", "a.uri"),
    *("key", "custom_id", "request", "body", "method", "url", "model", "response"),
    *("contents", "content", "text", "messages", "input", "predictions", "instance"),
    *("timeRangeFilter", "time_range_filter", "parameters", "config", "metadata"),
]


def _deep(levels: int, dice: random.Random) -> Any:
    value: Any = dice.choice([1, {}, None])
    for _ in range(levels):
        value = {"x": value} if dice.random() < 0.8 else [value]
    return value


def _value(dice: random.Random) -> Any:
    return dice.choice(
        [
            *(
                None,
                {},
                [],
                [[]],
                [None],
                [{}],
                [["x"]],
                True,
                0,
                7,
                0.5,
                1e300,
                10**30,
            ),
            *(["x", 1], [1, 2], {"x": 1}, {"x": None}, {"a b": "x"}, {"X": 1, "x": 1}),
            {"candidates": [1]},
            {"parts": [{"text": "x"}]},
            _deep(dice.randrange(20), dice),
            *(dice.choice(_WORDS) for _ in range(10)),
        ]
    )


def _places(value: Any) -> list[Any]:
    """All objects and arrays in a value."""
    inner = value.values() if isinstance(value, dict) else value
    found = [value] if isinstance(value, dict | list) else []
    for each in inner if found else ():
        found += _places(each)
    return found


def _spoil(line: dict[str, Any], names: list[str], dice: random.Random) -> None:
    place = dice.choice(_places(line))
    if isinstance(place, list):
        _spoil_array(place, dice)
    else:
        _spoil_object(place, names, dice)


def _spoil_array(place: list[Any], dice: random.Random) -> None:
    at = dice.randrange(len(place) or 1)
    match dice.randrange(4) if place else 0:
        case 0:
            place.insert(at, _value(dice))
        case 1:
            place.insert(at, place[at])
        case 2:
            del place[at]
        case _:
            place[at] = _value(dice)


def _spoil_object(place: dict[str, Any], names: list[str], dice: random.Random) -> None:
    name = dice.choice([*place] or ["x"])
    match dice.randrange(6):
        case 0:
            place.pop(name, None)
        case 1 | 2:
            place[name] = _value(dice)
        case 3 if name in place:
            ways = [
                camel(name),
                snake(name),
                name.upper(),
                name.capitalize(),
                f"{name}s",
            ]
            place[dice.choice(ways)] = place.pop(name)
        case _:
            place[dice.choice(names)] = _value(dice)


def spoilt(line: dict[str, Any], rules: Rules, dice: random.Random) -> bytes:
    """
    A line in which anything was changed; it may still be good.

    Some have a member twice, are in another encoding, or are no JSON.
    """
    root = of_request(rules.family.members)
    names = [*_NAMES, *map(dice.choice, [sorted(strays(root)) or ["x"]] * 20)]
    names += map(dice.choice, [sorted(root.names) or ["x"]] * 20)
    line = json.loads(json.dumps(line))
    for _ in range(dice.choice([0, 1, 1, 1, 2, 3, 12])):
        _spoil(line, names, dice)
    ascii = dice.random() < 0.7
    text = json.dumps(line, ensure_ascii=ascii).encode(errors="surrogatepass")
    parts = text.split(b'{"')
    if dice.random() < 0.2:
        # A member twice: the last one counts, or it is an error.
        at = dice.randrange(1, len(parts)) if len(parts) > 1 else 0
        name, colon, _ = parts[at].partition(b'":')
        if at and colon:
            value = json.dumps(_value(dice)).encode()
            parts[at] = name + b'": ' + value + b', "' + parts[at]
            text = b'{"'.join(parts)
    match dice.randrange(60):
        case 0:
            text = text.replace(b"i", b"\xe9", 1)
        case 1:
            text = text[:-1]
        case 2:
            text = text.replace(b"e", b"\\u0065", dice.randrange(9))
        case 3:
            text = b"\xef\xbb\xbf" + text
    return text
