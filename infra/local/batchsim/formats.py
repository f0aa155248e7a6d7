"""The line formats: how a row asks, and how its answer is written."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from batchsim.models import Model, Prompt, RowFailed, fingerprint, tokens
from batchsim.wire import STATUS_NAMES, row_timestamp, timestamp

Json = dict[str, Any]

_REASONS = {
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


@dataclass(frozen=True, slots=True)
class Answering:
    """All that an answer may depend on besides its row."""

    model: str
    ask: Model
    at: datetime


#: Takes a parsed input line; gives the output line, or raises RowFailed.
Format = Callable[[Json, Answering], Json]


def member(value: Mapping[str, Any], name: str) -> Any:
    """A member that may be spelled in camelCase (as `name`) or in snake_case."""
    if name in value:
        return value[name]
    snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
    return value.get(snake)


def answer_gemini(request: Json, answering: Answering) -> Json:
    """A GenerateContentResponse. RowFailed 400 for what the model would refuse."""
    contents = member(request, "contents")
    if isinstance(contents, dict):
        contents = [contents]
    if not contents or not isinstance(contents, list):
        raise RowFailed(400, "Please provide at least one content.")
    for content in contents:
        if not isinstance(content, dict) or not member(content, "parts"):
            raise RowFailed(400, "Unable to submit request because it has no parts.")
    config = member(request, "generationConfig") or {}
    prompt = Prompt(
        model=answering.model,
        text=text_of(contents[-1:]),
        request=request,
        max_tokens=member(config, "maxOutputTokens"),
    )
    answer = answering.ask(prompt)
    if not isinstance(answer, str):
        return dict(answer)
    system = member(request, "systemInstruction")
    asked = text_of([*([system] if system else []), *contents])
    return gemini_response(prompt, answer, tokens(asked), answering)


def gemini_response(
    prompt: Prompt, answer: str, asked: int, answering: Answering
) -> Json:
    """The response around a text, cut at the row's own limit of tokens."""
    finish = "STOP"
    if prompt.max_tokens is not None and tokens(answer) > prompt.max_tokens:
        answer = answer.encode()[: prompt.max_tokens * 4].decode(errors="ignore")
        finish = "MAX_TOKENS"
    said = tokens(answer)
    short = answering.model.rpartition("/")[2]
    return {
        "candidates": [
            {
                "content": {"parts": [{"text": answer}], "role": "model"},
                "finishReason": finish,
            }
        ],
        "createTime": timestamp(answering.at),
        "modelVersion": short,
        "responseId": fingerprint(short, prompt.text)[:22],
        "usageMetadata": {
            "promptTokenCount": asked,
            "candidatesTokenCount": said,
            "totalTokenCount": asked + said,
        },
    }


def vertex_gemini(line: Json, answering: Answering) -> Json:
    """
    A Vertex line: the input's members, `status`, `processed_time`, `response`.

    A row that fails has a `status` that ends in the error as JSON, and no `response`;
    members beside `request` are echoed (seen live; not documented).
    """
    processed = row_timestamp(answering.at)
    request = line["request"]
    for content in member(request, "contents") or []:
        role = content.get("role") if isinstance(content, dict) else None
        if role not in ("user", "model", "function"):
            raise RowFailed(400, "Please use a valid role: user, model.")
    response = answer_gemini(request, answering)
    return {"status": "", "processed_time": processed, **line, "response": response}


def vertex_failure(line: Json, failed: RowFailed, answering: Answering) -> Json:
    """A Vertex line that failed."""
    return {
        "status": row_status(failed.code, failed.message),
        "processed_time": row_timestamp(answering.at),
        **line,
    }


def row_status(code: int, message: str) -> str:
    """`Bad Request: {"error": {...}}`, as a failed Vertex row has it."""
    name = STATUS_NAMES.get(code, "UNKNOWN")
    escaped = message.replace("\\", "\\\\").replace('"', '\\"')
    reason = _REASONS.get(code, "Error")
    return (
        f'{reason}: {{"error": {{"code": {code}, "message": "{escaped}", '
        f'"status": "{name}"}}}}'
    )


def text_of(contents: Iterable[Any]) -> str:
    """All text of Gemini contents, joined by newlines."""
    found = []
    for content in contents:
        parts = content.get("parts") if isinstance(content, dict) else None
        for part in [parts] if isinstance(parts, dict) else parts or []:
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                found.append(part["text"])
    return "\n".join(found)
