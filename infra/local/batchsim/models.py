"""Answers rows in place of a model: texts, embeddings and token counts."""

import hashlib
import math
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Prompt:
    """
    What one row asks.

    `text` is the text of the last turn; `request` the whole request as the row has it;
    `schema` the JSON schema that the answer must fit, if the row gives one;
    `max_tokens` the row's limit of tokens, if it sets one.
    """

    model: str
    text: str
    request: Mapping[str, Any]
    schema: Mapping[str, Any] | None = None
    max_tokens: int | None = None


class RowFailed(Exception):
    """Raised by a model to fail this row alone; `code` is an HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


#: A text becomes a whole answer with token counts; a mapping is sent as it is.
Model = Callable[[Prompt], str | Mapping[str, Any]]


def echo(prompt: Prompt) -> str:
    """Answers with the prompt's text, or with JSON that fits the row's schema."""
    if prompt.schema is not None:
        return msgspec.json.encode(fitting(prompt.schema, prompt.text)).decode()
    return prompt.text


def template(text: str) -> Model:
    """
    A model that fills in `text`: `$text` is the prompt's text, `$model` the model.

    ValueError for any other placeholder. A row with a schema gets JSON that fits it.
    """
    form = string.Template(text)
    unknown = set(form.get_identifiers()) - {"text", "model"}
    if unknown or not form.is_valid():
        raise ValueError(f"{text!r}: only $text and $model can be filled in; $$ is $")

    def answer(prompt: Prompt) -> str:
        if prompt.schema is not None:
            return echo(prompt)
        return form.substitute(text=prompt.text, model=prompt.model)

    return answer


def fitting(schema: Mapping[str, Any], text: str) -> Any:
    """
    A value that fits a schema, the same for the same text.

    Reads Gemini's `Schema` (types in capitals) and JSON Schema: type, enum, const,
    properties, items, minItems, minimum, maximum, minLength, maxLength, format, anyOf
    and oneOf. Optional members are filled in too. RowFailed 400 for an invalid schema.
    """
    try:
        return _fitting(schema, text)
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        # Any part of a schema may be invalid: using it is the check.
        raise RowFailed(400, f"The response schema is invalid: {exc}.") from None


def _fitting(schema: Mapping[str, Any], text: str) -> Any:
    if "const" in schema:
        return schema["const"]
    if choices := schema.get("enum"):
        return choices[_number(text, "enum") % len(choices)]
    for one in schema.get("anyOf") or schema.get("oneOf") or []:
        return _fitting(one, text)
    kind = schema.get("type") or ("object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    match str(kind).lower():
        case "object":
            members = schema.get("properties") or {}
            return {
                name: _fitting(member, f"{text}/{name}")
                for name, member in members.items()
            }
        case "array":
            least = int(schema.get("minItems") or schema.get("min_items") or 1)
            item = schema.get("items") or {"type": "string"}
            return [_fitting(item, f"{text}/{n}") for n in range(least)]
        case "integer":
            return int(_between(schema, text))
        case "number":
            return float(_between(schema, text))
        case "boolean":
            return _number(text, "boolean") % 2 == 0
        case "null":
            return None
    return _text(schema, text)


def embedding(text: str, dimension: int) -> list[float]:
    """
    A vector of length 1 and of `dimension` numbers; close for texts that are close.

    Words and runs of three letters each push it into a direction of their own, so that
    the cosine of two vectors grows with what their texts share.
    """
    vector = [0.0] * dimension
    lowered = text.lower()
    padded = f" {lowered} "
    pieces = [*lowered.split(), *(padded[i : i + 3] for i in range(len(padded) - 2))]
    for piece in pieces or [""]:
        digest = hashlib.blake2b(piece.encode(), digest_size=16).digest()
        for part in range(0, 16, 8):
            number = int.from_bytes(digest[part : part + 8])
            vector[(number >> 1) % dimension] += 1.0 if number & 1 else -1.0
    length = math.sqrt(sum(value * value for value in vector))
    if not length:
        # Two pieces that cancel out, in a space of few dimensions.
        return [1.0] + [0.0] * (dimension - 1)
    return [round(value / length, 9) for value in vector]


def tokens(text: str) -> int:
    """The tokens of a text: one for every four bytes of UTF-8."""
    return -(-len(text.encode()) // 4)


def fingerprint(*parts: str | bytes) -> str:
    """The same hexadecimal digits for the same parts, in any process."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
        digest.update(b"\0")
    return digest.hexdigest()


def _number(*parts: str) -> int:
    return int(fingerprint(*parts)[:12], 16)


def _between(schema: Mapping[str, Any], text: str) -> float:
    least = float(schema.get("minimum", 0))
    most = float(schema.get("maximum", max(least, 0) + 100))
    whole = math.ceil(least)
    if whole > most:
        return least
    return whole + _number(text, "number") % (math.floor(most) - whole + 1)


def _text(schema: Mapping[str, Any], text: str) -> str:
    match schema.get("format"):
        case "date-time":
            return "2026-01-01T00:00:00Z"
        case "date":
            return "2026-01-01"
        case "time":
            return "00:00:00Z"
    least = int(schema.get("minLength") or schema.get("min_length") or 0)
    most = schema.get("maxLength") or schema.get("max_length")
    return text.ljust(least, ".")[: int(most) if most else None]
