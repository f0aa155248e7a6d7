"""
Reads an answer in each publisher's shape, in one pass.

              Gemini                      Claude            OpenAI-style
    text      candidates[0] parts         content text      choices[0].message.content
    thoughts  parts marked `thought`      content thinking  message.reasoning_content
    finish    candidates[0].finishReason  stop_reason       choices[0].finish_reason

Embeddings and the predictions of custom models have no finish reason.

Shapes and values are those of aiplatform v1 and generativelanguage v1beta (discovery
documents), google-genai, anthropic and openai (their types), and of answers seen live.
An answer of any other shape has content that is not read; nothing here raises.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from batchdrop.rows import RowOutcome

_OK, _BLOCKED = RowOutcome.OK, RowOutcome.BLOCKED
_TRUNCATED, _MALFORMED = RowOutcome.TRUNCATED, RowOutcome.MALFORMED
_EMPTY = RowOutcome.EMPTY

# Which outcome each finish reason gives; `make codes` writes them to the docs. `ok`
# holds if there is content, else the row is `empty`. `empty` holds if there is none,
# else the row is `unclear`: it is not known whether such content is whole.
GEMINI = {
    "STOP": _OK,  #: The model came to an end, or calls a function.
    "MAX_TOKENS": _TRUNCATED,  #: `maxOutputTokens`; thoughts alone may use them up.
    "CONTINUATION": _TRUNCATED,  #: The limit of one request; another can go on.
    "SAFETY": _BLOCKED,  #: A safety filter.
    "RECITATION": _BLOCKED,  #: It recites a source.
    "BLOCKLIST": _BLOCKED,  #: It has a term of a blocklist.
    "PROHIBITED_CONTENT": _BLOCKED,  #: It has prohibited content.
    "SPII": _BLOCKED,  #: It has sensitive personal data.
    "MODEL_ARMOR": _BLOCKED,  #: Model Armor stopped it.
    "IMAGE_SAFETY": _BLOCKED,  #: A safety filter of pictures.
    "IMAGE_PROHIBITED_CONTENT": _BLOCKED,  #: The picture has prohibited content.
    "IMAGE_RECITATION": _BLOCKED,  #: The picture recites a source.
    "ESCALATION": _BLOCKED,  #: A rule of escalation.
    "PUP_LIMITED_DISABLED": _BLOCKED,  #: The account is limited or disabled.
    "MALFORMED_FUNCTION_CALL": _MALFORMED,  #: The function call can't be parsed.
    "MALFORMED_RESPONSE": _MALFORMED,  #: The answer can't be parsed.
    "UNEXPECTED_TOOL_CALL": _MALFORMED,  #: It calls a tool that isn't enabled.
    "TOO_MANY_TOOL_CALLS": _MALFORMED,  #: It ends after too many calls of tools.
    "MISSING_THOUGHT_SIGNATURE": _MALFORMED,  #: The request lacks a signature.
    "LANGUAGE": _EMPTY,  #: The language isn't supported.
    "OTHER": _EMPTY,  #: No reason is given.
    "NO_IMAGE": _EMPTY,  #: A picture was expected, and none was made.
    "IMAGE_OTHER": _EMPTY,  #: No picture, and no reason is given.
}
CLAUDE = {
    "end_turn": _OK,  #: The model came to an end.
    "stop_sequence": _OK,  #: It came to one of your stop sequences.
    "tool_use": _OK,  #: It calls tools.
    "pause_turn": _OK,  #: It paused a long turn; send the answer back to go on.
    "max_tokens": _TRUNCATED,  #: `max_tokens`; thinking alone may use them up.
    "model_context_window_exceeded": _TRUNCATED,  #: The model's context is full.
    "compaction": _TRUNCATED,  #: The context was made shorter; send it back to go on.
    "refusal": _BLOCKED,  #: A classifier withheld it; `stop_details` says which.
}
OPENAI = {
    "stop": _OK,  #: The model came to an end, or to one of your stop sequences.
    "tool_calls": _OK,  #: It calls tools.
    "function_call": _OK,  #: It calls a function, in the older form.
    "length": _TRUNCATED,  #: The limit of tokens.
    "content_filter": _BLOCKED,  #: A content filter.
}
#: No word is in two of them.
FINISH_REASONS: Mapping[str, RowOutcome] = {**GEMINI, **CLAUDE, **OPENAI}

#: Members of Gemini's parts that are no content by themselves.
_MARKS = frozenset(
    {
        "text",
        "thought",
        "thoughtSignature",
        "videoMetadata",
        "mediaResolution",
        "mediaProcessing",
        "partMetadata",
        "speechMetadata",
    }
)
#: Members of Gemini's candidates that say more than its parts.
_MORE = frozenset(
    {
        "groundingMetadata",
        "groundingAttributions",
        "citationMetadata",
        "urlContextMetadata",
        "logprobsResult",
        "finishMessage",
        "continuationToken",
    }
)
#: Members that an answer of Gemini may have without a candidate.
_GEMINI_ALONE = frozenset(
    {"promptFeedback", "usageMetadata", "modelVersion", "responseId", "createTime"}
)
#: Members of an OpenAI message that are content besides its text, in either spelling.
_CALLS = ("tool_calls", "toolCalls", "function_call", "functionCall", "audio", "images")

Json = Mapping[str, Any]
_NOTHING: Json = {}


class Answer(Struct, frozen=True, gc=False):
    """What an answer says, in the same words for all publishers."""

    text: str | None = None  #: its pieces joined, without thoughts
    thoughts: str | None = None  #: their pieces joined
    finish_reason: str | None = None  #: in the publisher's word
    blocked: str | None = None  #: why it was withheld, in the publisher's word
    content: bool = False  #: whether it has a part that is no thought and no blank text
    candidates: int = 0
    more: bool = False  #: whether it says more than `text`
    cut: bool = False  #: whether it ends at a limit that no finish reason names
    reasonless: bool = False  #: whether it is of a kind that has no finish reason


def read(response: Json | None) -> Answer:
    """What an answer says; an empty one says nothing."""
    body = body_of(response)
    if "candidates" in body:
        return _gemini(body)
    if "choices" in body:
        return _openai(body)
    if (vector := _vector(body)) is not None:
        return vector
    if "content" in body or "stop_reason" in body:
        return _claude(body)
    for name in ("prediction", "predictions"):
        if name in body:
            return _predicted(body[name])
    if not body or not _GEMINI_ALONE.isdisjoint(body):
        return _gemini(body)
    return Answer(content=True, candidates=1, more=True)


def body_of(response: Json | None) -> Json:
    """The answer itself: OpenAI's batch lines hold it beside an HTTP status."""
    if not response:
        return _NOTHING
    if "body" in response and "candidates" not in response:
        return _object(response, "body")
    return response


def embedding_of(response: Json | None) -> list[float] | None:
    """The first vector of an answer; None if it has none."""
    values = _values(body_of(response))
    return values if isinstance(values, list) and values else None


def _gemini(body: Json) -> Answer:
    candidates = body.get("candidates")
    candidate = _first(candidates)
    texts: list[str] = []
    thoughts: list[str] = []
    content = more = False
    parts = _object(candidate, "content").get("parts")
    for part in parts if isinstance(parts, list) else ():
        if not isinstance(part, dict):
            continue
        text = part.get("text")
        thought = bool(part.get("thought"))
        if isinstance(text, str):
            (thoughts if thought else texts).append(text)
        if len(part) > 1 or text is None:
            for name, value in part.items():
                if name in _MARKS or thought or not value:
                    continue
                if name != "inlineData" or _object(part, name).get("data"):
                    content = more = True
    joined = "".join(texts)
    content = content or bool(joined.strip())
    if not more and not _MORE.isdisjoint(candidate):
        more = any(candidate.get(name) for name in _MORE)
    count = len(candidates) if isinstance(candidates, list) else 0
    reason = _word(candidate, "finishReason")
    blocked = _word(_object(body, "promptFeedback"), "blockReason")
    if blocked:
        # Vertex AI and the Developer API spell "none" differently.
        if blocked.endswith("_UNSPECIFIED"):
            blocked = None
        else:
            more = True
    if blocked is None and GEMINI.get(reason or "") is _BLOCKED:
        blocked = reason
    return Answer(
        joined or None,
        "".join(thoughts) or None,
        reason,
        blocked,
        content,
        count,
        more or count > 1,
        # "If empty, the model has not stopped generating tokens" (discovery).
        content and reason in (None, "FINISH_REASON_UNSPECIFIED"),
    )


def _claude(body: Json) -> Answer:
    blocks = body.get("content")
    texts: list[str] = []
    thoughts: list[str] = []
    content = more = False
    for block in blocks if isinstance(blocks, list) else ():
        if not isinstance(block, dict):
            continue
        kind = block.get("type")
        if kind == "thinking":
            if isinstance(thinking := block.get("thinking"), str):
                thoughts.append(thinking)
        elif isinstance(text := block.get("text"), str):
            texts.append(text)
            more = more or bool(block.get("citations"))
        elif kind != "redacted_thinking":
            content = more = True
    joined = "".join(texts)
    reason, blocked = _word(body, "stop_reason"), None
    if reason == "refusal":
        blocked = _word(_object(body, "stop_details"), "category") or reason
        more = more or bool(body.get("stop_details"))
    return Answer(
        joined or None,
        "".join(thoughts) or None,
        reason,
        blocked,
        content or bool(joined.strip()),
        1,
        more,
    )


def _openai(body: Json) -> Answer:
    choices = body.get("choices")
    choice = _first(choices)
    message = _object(choice, "message")
    texts: list[str] = []
    content = more = False
    given = message.get("content", choice.get("text"))
    for part in given if isinstance(given, list) else ({"text": given},):
        if not isinstance(part, dict):
            continue
        if isinstance(text := part.get("text"), str):
            texts.append(text)
        elif part.get("type"):
            more = True
    for name in _CALLS:
        if message.get(name):
            content = more = True
    reason = _word(choice, "finish_reason") or _word(choice, "finishReason")
    blocked = reason if reason and FINISH_REASONS.get(reason) is _BLOCKED else None
    if message.get("refusal"):
        blocked, more = blocked or "refusal", True
    joined = "".join(texts)
    count = len(choices) if isinstance(choices, list) else 0
    return Answer(
        joined or None,
        _word(message, "reasoning_content") or _word(message, "reasoning"),
        reason,
        blocked,
        content or bool(joined.strip()),
        count,
        more
        or count > 1
        or bool(message.get("annotations"))
        or bool(choice.get("logprobs")),
    )


def _vector(body: Json) -> Answer | None:
    """An embedding; None if the answer is of another kind."""
    values = _values(body)
    if values is None:
        return None
    cut = bool(body.get("truncated"))
    count = 1
    if isinstance(predictions := body.get("predictions"), list):
        count = len(predictions)
        first = _object(_first(predictions), "embeddings")
        cut = bool(_object(first, "statistics").get("truncated"))
    there = bool(values)
    return Answer(None, None, None, None, there, count, there, cut, True)


def _values(body: Json) -> Any:
    """The numbers of the first vector, or base64 of them; None: there is no vector."""
    if "embedding" in body:  # gemini-embedding, of either API
        return _object(body, "embedding").get("values") or ()
    if isinstance(several := body.get("embeddings"), list):
        return _first(several).get("values") or ()
    if "predictions" in body:  # text-embedding-005 and older
        prediction = _first(body["predictions"])
        if "embeddings" in prediction:
            return _object(prediction, "embeddings").get("values") or ()
    elif isinstance(data := body.get("data"), list):  # OpenAI's
        return _first(data).get("embedding") or ()
    return None


def _predicted(prediction: Any) -> Answer:
    """A custom model's prediction, which may be an answer of another shape."""
    count = 1
    if isinstance(prediction, list):
        count = len(prediction)
        if count == 1:
            prediction = prediction[0]
    if isinstance(prediction, dict):
        for name, shape in (("candidates", _gemini), ("choices", _openai)):
            if name in prediction:
                return shape(prediction)
    if isinstance(prediction, str):
        text = prediction or None
        there = bool(prediction.strip())
        return Answer(text, None, None, None, there, count, False, False, True)
    there = prediction not in (None, [], {})
    return Answer(None, None, None, None, there, count, there, False, True)


def _word(holder: Json, name: str) -> str | None:
    value = holder.get(name)
    return value if isinstance(value, str) and value else None


def _object(holder: Json, name: str) -> Json:
    value = holder.get(name)
    return value if isinstance(value, dict) else _NOTHING


def _first(items: Any) -> Json:
    first = items[0] if isinstance(items, list) and items else None
    return first if isinstance(first, dict) else _NOTHING
