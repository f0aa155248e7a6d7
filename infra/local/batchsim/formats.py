"""The line formats: what a row looks like, and its answer."""

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from batchsim import members
from batchsim.jobs import Api, Kind
from batchsim.models import Model, Prompt, RowFailed, embedding, fingerprint, tokens
from batchsim.wire import STATUS_NAMES, row_timestamp, timestamp

Json = dict[str, Any]

#: Tokens that an image, a sound or a document in a prompt counts as.
MEDIA_TOKENS = 258

LARGEST_EMBEDDING = 3072

#: HTTP status of a failed row -> its reason phrase and gRPC code.
_FAILURES = {
    400: ("Bad Request", 3),
    401: ("Unauthorized", 16),
    403: ("Forbidden", 7),
    404: ("Not Found", 5),
    408: ("Request Timeout", 4),
    429: ("Too Many Requests", 8),
    499: ("Client Closed Request", 1),
    500: ("Internal Server Error", 13),
    503: ("Service Unavailable", 14),
    504: ("Gateway Timeout", 4),
}


@dataclass(frozen=True, slots=True)
class Answering:
    """
    Everything that an answer depends on besides its row.

    `blocked` is the reason why the prompt is blocked, if it is. `cut` ends the answer
    in the middle, as if the row's limit of tokens were reached. `empty` leaves out the
    text. `thoughts` adds thoughts even if the row asks for none. `malformed` makes the
    text invalid JSON. `reason` replaces the finish reason.
    """

    model: str
    ask: Model
    at: datetime
    blocked: str | None = None
    cut: bool = False
    empty: bool = False
    thoughts: bool = False
    malformed: bool = False
    reason: str | None = None

    @property
    def model_version(self) -> str:
        return self.model.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Format:
    """
    One line format.

    `payload` is the member that each line must have. `answer` returns the output line
    or raises RowFailed; `failure` makes the output line of a RowFailed.
    """

    payload: str
    answer: Callable[[Json, Answering], Json]
    failure: Callable[[Json, RowFailed, Answering], Json]


#: The first embedding models. Only their lines hold a bare text.
_TEXT_EMBEDDINGS = ("text-embedding-", "text-multilingual-embedding-")


def of_vertex_model(model: str) -> Format:
    """The line format of a Vertex job: its model decides."""
    publisher = model.partition("publishers/")[2].partition("/")[0]
    name = model.rpartition("/")[2]
    if publisher == "anthropic":
        return CLAUDE
    if publisher not in ("", "google"):
        return OPEN_MODEL
    if name.startswith(_TEXT_EMBEDDINGS):
        return TEXT_EMBEDDING
    return GEMINI_EMBEDDING if "embedding" in name else GEMINI


@functools.cache
def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)


def member(value: Mapping[str, Any], name: str) -> Any:
    """A member that may be spelled in camelCase (as `name`) or in snake_case."""
    if name in value:
        return value[name]
    return value.get(_snake(name))


def part_of(value: Mapping[str, Any], name: str) -> Json:
    """A member that must be an object; {} if absent. RowFailed 400 for others."""
    found = member(value, name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise RowFailed(400, f"Invalid value at '{name}': it must be an object.")
    return found


def _limit(value: Any) -> int | None:
    """A limit of tokens. RowFailed 400 unless it is a whole number over 0."""
    if value is None or (type(value) is int and value > 0):
        return value
    raise RowFailed(
        400, f"The limit of tokens is {value!r}; give a whole number over 0."
    )


# Gemini ---------------------------------------------------------------------------


def generate(request: Json, answering: Answering) -> Json:
    """A GenerateContentResponse. RowFailed 400 for what the model would refuse."""
    contents = member(request, "contents")
    if isinstance(contents, dict):
        contents = [contents]
    if not contents or not isinstance(contents, list):
        raise RowFailed(400, "Please provide at least one content.")
    for content in contents:
        if not isinstance(content, dict) or not content.get("parts"):
            raise RowFailed(400, "Please provide at least one part for each content.")
    asked = [part_of(request, "systemInstruction"), *contents]
    usage = _usage(asked)
    if answering.blocked:
        return {
            "promptFeedback": {"blockReason": answering.blocked},
            "modelVersion": answering.model_version,
            "usageMetadata": {**usage, "totalTokenCount": usage["promptTokenCount"]},
        }
    config = part_of(request, "generationConfig")
    schema = part_of(config, "responseSchema") or part_of(config, "responseJsonSchema")
    prompt = Prompt(
        model=answering.model_version,
        text=text_of(contents[-1:]),
        request=request,
        schema=schema or None,
        max_tokens=_limit(member(config, "maxOutputTokens")),
    )
    answer = answering.ask(prompt)
    if not isinstance(answer, str):
        return dict(answer)
    answer, whole = _cut(answer, prompt.max_tokens, answering)
    parts: list[Json] = []
    if not answering.empty:
        parts.append({"text": answer})
        usage["candidatesTokenCount"] = tokens(answer)
    asked_for = member(part_of(config, "thinkingConfig"), "includeThoughts") is True
    if asked_for or answering.thoughts:
        thought = _thought(prompt)
        parts.insert(0, {"text": thought, "thought": True})
        usage["thoughtsTokenCount"] = tokens(thought)
    content = {"role": "model", "parts": parts} if parts else {"role": "model"}
    reason = answering.reason or ("STOP" if whole else "MAX_TOKENS")
    return {
        "candidates": [{"content": content, "finishReason": reason}],
        "modelVersion": answering.model_version,
        "responseId": _response_id(prompt),
        "usageMetadata": {**usage, "totalTokenCount": _total(usage)},
    }


def _gemini(line: Json, answering: Answering) -> Json:
    request = line["request"]
    if not isinstance(request, dict):
        raise RowFailed(400, "The request must be an object.")
    # Only Vertex requires a role; the Developer API accepts contents without one.
    contents = member(request, "contents")
    for content in contents if isinstance(contents, list) else [contents]:
        role = content.get("role") if isinstance(content, dict) else None
        if role not in ("user", "model", "function"):
            raise RowFailed(400, "Please use a valid role: user, model.")
    _check(Kind.GENERATE, request)
    if member(request, "cachedContent"):
        raise RowFailed(400, "Explicit context caching isn't supported in batch.")
    response = generate(request, answering)
    response["createTime"] = timestamp(answering.at)
    processed = row_timestamp(answering.at)
    return {"status": "", "processed_time": processed, **line, "response": response}


def _check(kind: Kind, request: Json) -> None:
    """RowFailed 400 for members that Vertex does not know (users' reports)."""
    reader = members.reader(Api.VERTEX, "v1")
    reader.read(members.REQUESTS[kind], request)
    if reader.faults:
        raise RowFailed(400, "\n".join(fault.text for fault in reader.faults))


def _gemini_failure(line: Json, failed: RowFailed, answering: Answering) -> Json:
    return {
        "status": row_status(failed),
        "processed_time": row_timestamp(answering.at),
        **line,
    }


#: `status` is "" for a success, else a text that ends in the error as JSON. Members
#: beside `request` are echoed (seen live; not documented).
GEMINI = Format("request", _gemini, _gemini_failure)


def _total(usage: Json) -> int:
    kinds = ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount")
    return sum(usage.get(kind, 0) for kind in kinds)


def _thought(prompt: Prompt) -> str:
    """The thoughts of a model that shows them."""
    return f"I was asked: {prompt.text}"


def _usage(contents: list[Any]) -> Json:
    """`promptTokenCount` and its details, which add up to it."""
    text = tokens(text_of(contents))
    media = sum(
        MEDIA_TOKENS
        for content in contents
        for part in _parts(content)
        if member(part, "fileData") or member(part, "inlineData")
    )
    details = [("TEXT", text), ("IMAGE", media)]
    return {
        "promptTokenCount": text + media,
        "promptTokensDetails": [
            {"modality": name, "tokenCount": count} for name, count in details if count
        ],
    }


# Claude and open models on Vertex ---------------------------------------------------


def _claude(line: Json, answering: Answering) -> Json:
    request = line["request"]
    messages = request.get("messages") if isinstance(request, dict) else None
    if not isinstance(messages, list) or not messages:
        raise RowFailed(400, "messages: Field required")
    limit = request.get("max_tokens")
    if limit is None:
        raise RowFailed(400, "max_tokens: Field required")
    prompt = Prompt(
        model=answering.model_version,
        text=_chat_text(messages[-1:]),
        request=request,
        max_tokens=_limit(limit),
    )
    response: Json = {
        "id": f"msg_vrtx_{_response_id(prompt)}",
        "type": "message",
        "role": "assistant",
        "model": answering.model_version,
    }
    asked = tokens(_chat_text([{"content": request.get("system")}, *messages]))
    if answering.blocked:
        answer, reason = "", "refusal"
    else:
        answered = answering.ask(prompt)
        if not isinstance(answered, str):
            return {**line, "response": dict(answered), "status": ""}
        answer, whole = _cut(answered, limit, answering)
        reason = answering.reason or ("end_turn" if whole else "max_tokens")
    content = [{"type": "text", "text": answer}] if answer else []
    spent = tokens(answer)
    thinks = part_of(request, "thinking").get("type") in ("enabled", "adaptive")
    if (answer and thinks) or answering.thoughts:
        thought = _thought(prompt)
        signature = fingerprint(thought)
        block = {"type": "thinking", "thinking": thought, "signature": signature}
        content.insert(0, block)
        spent += tokens(thought)
    response |= {
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {"input_tokens": asked, "output_tokens": spent},
    }
    return {**line, "response": response, "status": ""}


def _claude_failure(line: Json, failed: RowFailed, answering: Answering) -> Json:
    return {**line, "status": row_status(failed)}


#: In: `custom_id` and `request`. Out: both, `response` and `status`.
CLAUDE = Format("request", _claude, _claude_failure)


def _open(line: Json, answering: Answering) -> Json:
    body = line["body"]
    if not isinstance(body, dict):
        raise RowFailed(400, "body must be an object.")
    if "input" in body:
        answered = _open_embeddings(body, answering)
    else:
        answered = _open_chat(body, answering)
    return _open_line(line, 200, answered, answering)


def _open_usage(asked: int, spent: int, thought: int) -> Json:
    total = asked + spent
    return {"prompt_tokens": asked, "completion_tokens": spent, "total_tokens": total}


def _open_chat(
    body: Json,
    answering: Answering,
    usage: Callable[[int, int, int], Json] = _open_usage,
) -> Json:
    """
    Args:
        usage: takes the tokens of the prompt, of the answer, and of its thoughts.
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RowFailed(400, "messages must hold at least one message.")
    wanted = part_of(part_of(body, "response_format"), "json_schema")
    limit = body.get("max_tokens", body.get("max_completion_tokens"))
    prompt = Prompt(
        model=answering.model_version,
        text=_chat_text(messages[-1:]),
        request=body,
        schema=part_of(wanted, "schema") or None,
        max_tokens=_limit(limit),
    )
    asked = tokens(_chat_text(messages))
    if answering.blocked:
        answer, reason = "", "content_filter"
    else:
        answered = answering.ask(prompt)
        if not isinstance(answered, str):
            return dict(answered)
        answer, whole = _cut(answered, prompt.max_tokens, answering)
        reason = answering.reason or ("stop" if whole else "length")
    message = {"role": "assistant", "content": None if answering.empty else answer}
    thought = _thought(prompt) if answering.thoughts else ""
    if thought:
        message["reasoning_content"] = thought
    return {
        "id": f"chatcmpl-{_response_id(prompt)}",
        "object": "chat.completion",
        "created": int(answering.at.timestamp()),
        "model": body.get("model") or answering.model_version,
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": usage(asked, tokens(answer), tokens(thought)),
    }


def _open_embeddings(body: Json, answering: Answering) -> Json:
    given = body["input"]
    texts = given if isinstance(given, list) else [given]
    dimension = _dimension(body.get("dimensions"), 1024)
    asked = sum(tokens(str(text)) for text in texts)
    return {
        "object": "list",
        "model": body.get("model") or answering.model_version,
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": embedding(str(text), dimension),
            }
            for index, text in enumerate(texts)
        ],
        "usage": {"prompt_tokens": asked, "total_tokens": asked},
    }


def _open_failure(line: Json, failed: RowFailed, answering: Answering) -> Json:
    error = {"code": failed.code, "message": failed.message}
    return _open_line(line, failed.code, {"error": error}, answering)


def _open_line(line: Json, code: int, answered: Json, answering: Answering) -> Json:
    id = fingerprint(answering.model, str(line.get("custom_id")), str(line["body"]))
    kept = {name: line[name] for name in line if name not in ("method", "url")}
    response = {"status_code": code, "request_id": id[:32], "body": answered}
    return {"id": f"batch_req_{id[:24]}", **kept, "response": response}


#: OpenAI's batch lines. In: `custom_id` and `body`. Out: both, `id` and `response`;
#: `method` and `url` are dropped.
OPEN_MODEL = Format("body", _open, _open_failure)


# Embeddings -------------------------------------------------------------------------


def _text_embedding(line: Json, answering: Answering) -> Json:
    text = line["content"]
    if not isinstance(text, str) or not text:
        raise RowFailed(400, "The text content is empty.")
    dimension = _dimension(member(line, "outputDimensionality"), 768)
    statistics = {"token_count": tokens(text), "truncated": answering.cut}
    values = [] if answering.empty else embedding(text, dimension)
    return {
        "instance": line,
        "predictions": [{"embeddings": {"statistics": statistics, "values": values}}],
        "status": "",
    }


def _text_embedding_failure(line: Json, failed: RowFailed, at: Answering) -> Json:
    return {"instance": line, "predictions": [], "status": row_status(failed)}


#: text-embedding-005 and older.
TEXT_EMBEDDING = Format("content", _text_embedding, _text_embedding_failure)


def embed(request: Json, answering: Answering) -> tuple[Json, int]:
    """The answer to an EmbedContentRequest, and the number of tokens embedded."""
    content = member(request, "content")
    if isinstance(content, str):
        content = {"parts": [{"text": content}]}
    text = text_of([content])
    if not text:
        raise RowFailed(400, "The content has no text to embed.")
    config = part_of(request, "embedContentConfig") or request
    asked = member(config, "outputDimensionality")
    values = embedding(text, _dimension(asked, LARGEST_EMBEDDING))
    response: Json = {"embedding": {} if answering.empty else {"values": values}}
    if answering.cut:
        response["truncated"] = True
    return response, tokens(text)


def _gemini_embedding(line: Json, answering: Answering) -> Json:
    request = line["request"]
    request = request if isinstance(request, dict) else {}
    _check(Kind.EMBED, request)
    vector, count = embed(request, answering)
    response = {**vector, "usageMetadata": {"promptTokenCount": count}}
    return {"status": "", **line, "response": response}


def _gemini_embedding_failure(line: Json, failed: RowFailed, at: Answering) -> Json:
    return {"status": row_status(failed), **line}


#: gemini-embedding-001, -2 and later models on Vertex. They echo the key and the
#: request (lines that users showed).
GEMINI_EMBEDDING = Format("request", _gemini_embedding, _gemini_embedding_failure)


# The Developer API ------------------------------------------------------------------


def _developer(line: Json, answering: Answering) -> Json:
    request = line["request"]
    response = generate(request if isinstance(request, dict) else {}, answering)
    for candidate in response.get("candidates", ()):
        # Only this API writes it (seen live), though proto3 JSON leaves zeros out.
        candidate.setdefault("index", 0)
    return {"response": response, **_beside(line)}


def _developer_embedding(line: Json, answering: Answering) -> Json:
    request = line["request"]
    response, count = embed(request if isinstance(request, dict) else {}, answering)
    if "metadata" in line or "key" not in line:
        response["usageMetadata"] = {"promptTokenCount": count}
    else:
        response["tokenCount"] = str(count)
    return {"response": response, **_beside(line)}


def _developer_failure(line: Json, failed: RowFailed, answering: Answering) -> Json:
    code = _FAILURES.get(failed.code, ("", 2))[1]
    return {"error": {"code": code, "message": failed.message}, **_beside(line)}


def _beside(line: Json) -> Json:
    """The members that are echoed: `key` in a file, `metadata` inline."""
    return {name: line[name] for name in line if name != "request"}


def _developer_openai(line: Json, answering: Answering) -> Json:
    body = line["body"]
    if not isinstance(body, dict):
        raise RowFailed(400, "body must be an object.")
    answered = _open_chat(body, answering, _developer_usage)
    return _developer_openai_line(line, 200, answered)


def _developer_usage(asked: int, spent: int, thought: int) -> Json:
    # Thoughts are in the total alone.
    total = asked + spent + thought
    return {"promptTokens": asked, "completionTokens": spent, "totalTokens": total}


def _developer_openai_failure(line: Json, failed: RowFailed, at: Answering) -> Json:
    error = {"code": failed.code, "message": failed.message}
    return _developer_openai_line(line, failed.code, {"error": error})


def _developer_openai_line(line: Json, code: int, answered: Json) -> Json:
    kept = {"custom_id": line["custom_id"]} if "custom_id" in line else {}
    return {**kept, "response": {"status_code": code, "body": answered}}


DEVELOPER = Format("request", _developer, _developer_failure)
#: OpenAI's lines in a file. In: `custom_id`, `method`, `url` and `body`. Out:
#: `custom_id` and `response`, with the usage in camelCase (clients of others).
DEVELOPER_OPENAI = Format("body", _developer_openai, _developer_openai_failure)
DEVELOPER_EMBEDDING = Format("request", _developer_embedding, _developer_failure)


# Shared by all formats ------------------------------------------------------------


def row_status(failed: RowFailed) -> str:
    """`Bad Request: {"error": {...}}`: the `status` of a failed Vertex row."""
    phrase = _FAILURES.get(failed.code, ("Error", 2))[0]
    name = STATUS_NAMES.get(failed.code, "UNKNOWN")
    message = failed.message.replace("\\", "\\\\").replace('"', '\\"')
    return (
        f'{phrase}: {{"error": {{"code": {failed.code}, "message": "{message}", '
        f'"status": "{name}"}}}}'
    )


def text_of(contents: Iterable[Any]) -> str:
    """All text of Gemini contents, joined by newlines."""
    return "\n".join(
        part["text"]
        for content in contents
        for part in _parts(content)
        if isinstance(part.get("text"), str)
    )


def _parts(content: Any) -> list[Json]:
    parts = content.get("parts") if isinstance(content, dict) else None
    if isinstance(parts, dict):
        return [parts]
    if not isinstance(parts, list):
        return []
    return [part for part in parts if isinstance(part, dict)]


def _chat_text(messages: Iterable[Any]) -> str:
    """All text of chat messages; content is a text or a list of blocks."""
    found = []
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        blocks = content if isinstance(content, list) else [{"text": content}]
        found += [
            block["text"]
            for block in blocks
            if isinstance(block, dict) and isinstance(block.get("text"), str)
        ]
    return "\n".join(found)


def _cut(answer: str, limit: int | None, answering: Answering) -> tuple[str, bool]:
    """The answer cut to `limit` tokens, and whether it is complete."""
    if answering.empty:
        return "", True
    if answering.malformed:
        answer = f"Here is your JSON: {answer}"
    if answering.cut:
        limit = tokens(answer) // 2
    if limit is None or tokens(answer) <= limit:
        return answer, True
    return answer.encode()[: max(0, limit) * 4].decode(errors="ignore"), False


def _dimension(asked: object, default: int) -> int:
    if asked is None:
        return default
    if not isinstance(asked, int) or not 1 <= asked <= LARGEST_EMBEDDING:
        raise RowFailed(
            400, f"outputDimensionality is {asked}; give 1 to {LARGEST_EMBEDDING}."
        )
    return asked


def _response_id(prompt: Prompt) -> str:
    return fingerprint(prompt.model, prompt.text)[:22]
