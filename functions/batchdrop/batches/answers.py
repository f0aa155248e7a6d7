"""
The text, the thoughts and the finish reason of an answer, for each publisher's shape.

              Gemini                      Claude            OpenAI-style
    text      candidates[0] parts         content text      choices[0].message.content
    thoughts  parts marked `thought`      content thinking  message.reasoning_content
    finish    candidates[0].finishReason  stop_reason       choices[0].finish_reason

Shapes and values are those of aiplatform v1 and generativelanguage v1beta (discovery
documents), google-genai, anthropic and openai (their types), and of answers seen live.
For an answer of any other shape these functions return None; they never raise.
"""

from collections.abc import Iterator, Mapping
from typing import Any

#: Gemini's finish reasons for an answer that was withheld. An answer that was cut
#: (MAX_TOKENS), broken (MALFORMED_..) or never made (OTHER, NO_IMAGE) isn't blocked.
BLOCKED = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "MODEL_ARMOR",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "ESCALATION",
        "PUP_LIMITED_DISABLED",
    }
)

Answer = Mapping[str, Any] | None


def text_of(answer: Answer) -> str | None:
    """The text, its pieces joined, without thoughts; None if there is no text."""
    return "".join(text for thought, text in _texts(answer) if not thought) or None


def thoughts_of(answer: Answer) -> str | None:
    """The text of the thoughts, joined; None if there are none."""
    return "".join(text for thought, text in _texts(answer) if thought) or None


def finish_reason_of(answer: Answer) -> str | None:
    """
    Why the model stopped, in the publisher's word; None if the answer has no word.
    """
    body = _body(answer)
    for reason in (
        _first(body, "candidates").get("finishReason"),
        _first(body, "choices").get("finish_reason"),
        body.get("stop_reason"),
    ):
        if isinstance(reason, str) and reason:
            return reason
    return None


def blocked_of(answer: Answer) -> str | None:
    """
    Why the prompt or the answer was withheld, in the publisher's word; None if it
    wasn't, or if there is no text for another reason.
    """
    body = _body(answer)
    reason = _object(body, "promptFeedback").get("blockReason")
    # Vertex AI and the Developer API spell "none" differently.
    if isinstance(reason, str) and reason and not reason.endswith("_UNSPECIFIED"):
        return reason
    reason = finish_reason_of(answer)
    if reason in BLOCKED or reason == "content_filter":
        return reason
    if reason == "refusal":
        category = _object(body, "stop_details").get("category")
        return category if isinstance(category, str) and category else reason
    refused = _object(_first(body, "choices"), "message").get("refusal")
    return "refusal" if refused else None


def _texts(answer: Answer) -> Iterator[tuple[bool, str]]:
    """For each piece: whether it is a thought, and its text."""
    body = _body(answer)
    if "candidates" in body:
        for part in _list(_object(_first(body, "candidates"), "content"), "parts"):
            if isinstance(text := part.get("text"), str):
                yield bool(part.get("thought")), text
    elif "choices" in body:
        message = _object(_first(body, "choices"), "message")
        for thought, name in ((True, "reasoning_content"), (False, "content")):
            if isinstance(text := message.get(name), str):
                yield thought, text
        for part in _list(message, "content"):
            if isinstance(text := part.get("text"), str):
                yield False, text
    else:
        for block in _list(body, "content"):
            kind = block.get("type")
            name = "thinking" if kind == "thinking" else "text"
            if isinstance(text := block.get(name), str):
                yield kind == "thinking", text


def _body(answer: Answer) -> Mapping[str, Any]:
    """The answer itself: OpenAI's batch lines hold it beside an HTTP status."""
    answer = answer or {}
    return _object(answer, "body") if "status_code" in answer else answer


def _object(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = holder.get(name)
    return value if isinstance(value, dict) else {}


def _list(holder: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The objects in a list."""
    value = holder.get(name)
    if not isinstance(value, list):
        return []
    return [item for item in value if isinstance(item, dict)]


def _first(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = holder.get(name)
    first = value[0] if isinstance(value, list) and value else None
    return first if isinstance(first, dict) else {}
