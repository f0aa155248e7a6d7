"""The text, finish reason and block of an answer, for each publisher's shape."""

from typing import Any

import pytest

from batchdrop.batches.answer_lines import row_of


def gemini(*parts: dict[str, Any], **candidate: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": list(parts)}, **candidate}]}


def claude(*blocks: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": list(blocks), **more}


def chat(finish_reason: str | None = "stop", **message: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return {"object": "chat.completion", "choices": [choice]}


THOUGHT = {"text": "let me see", "thought": True}


@pytest.mark.parametrize(
    ("response", "text", "thoughts"),
    [
        (gemini({"text": "a"}, {"inlineData": {}}, {"text": "b"}), "ab", None),
        (gemini(THOUGHT, {"text": "yes"}), "yes", "let me see"),
        (gemini(THOUGHT, {"text": "", "thoughtSignature": "x"}), None, "let me see"),
        (gemini({"functionCall": {"name": "f"}}), None, None),
        (
            claude(
                {"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}
            ),
            "a",
            "hm",
        ),
        (
            claude({"type": "text", "text": "a"}, {"type": "tool_use", "input": {}}),
            "a",
            None,
        ),
        (chat(content="a", reasoning_content="hm"), "a", "hm"),
        (chat(content=None, reasoning_content="hm"), None, "hm"),
        (chat(content=[{"type": "text", "text": "a"}, {"type": "x"}]), "a", None),
        ({"status_code": 200, "body": chat(content="a")}, "a", None),
        ({"embedding": {"values": [0.5]}}, None, None),
        ({"candidates": [{"content": {"parts": None}}]}, None, None),
        ({"candidates": [{}]}, None, None),
        ({"candidates": "x", "choices": [None], "content": "x"}, None, None),
    ],
)
def test_a_row_separates_the_text_of_its_answer_from_the_thoughts(
    response: dict[str, Any], text: str | None, thoughts: str | None
) -> None:
    row = row_of({"key": "k", "response": response})

    assert (row.text, row.thoughts) == (text, thoughts)


@pytest.mark.parametrize(
    ("response", "finish_reason", "blocked"),
    [
        (gemini({"text": "a"}, finishReason="STOP"), "STOP", None),
        (gemini(THOUGHT, finishReason="MAX_TOKENS"), "MAX_TOKENS", None),
        (gemini(finishReason="OTHER"), "OTHER", None),
        (gemini(finishReason="NO_IMAGE"), "NO_IMAGE", None),
        (gemini(finishReason="MALFORMED_RESPONSE"), "MALFORMED_RESPONSE", None),
        (gemini(finishReason="SAFETY"), "SAFETY", "SAFETY"),
        (gemini(finishReason="RECITATION"), "RECITATION", "RECITATION"),
        (gemini(finishReason="SPII"), "SPII", "SPII"),
        (gemini(finishReason="MODEL_ARMOR"), "MODEL_ARMOR", "MODEL_ARMOR"),
        (gemini(finishReason="IMAGE_SAFETY"), "IMAGE_SAFETY", "IMAGE_SAFETY"),
        (gemini(finishReason="ESCALATION"), "ESCALATION", "ESCALATION"),
        ({"promptFeedback": {"blockReason": "JAILBREAK"}}, None, "JAILBREAK"),
        (
            {"candidates": [], "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}},
            None,
            "PROHIBITED_CONTENT",
        ),
        ({"promptFeedback": {"safetyRatings": []}}, None, None),
        (
            {"promptFeedback": {"blockReason": "BLOCKED_REASON_UNSPECIFIED"}},
            None,
            None,
        ),
        ({"promptFeedback": {"blockReason": "BLOCK_REASON_UNSPECIFIED"}}, None, None),
        (claude(stop_reason="end_turn"), "end_turn", None),
        (claude(stop_reason="max_tokens"), "max_tokens", None),
        (claude(stop_reason="refusal"), "refusal", "refusal"),
        (
            claude(
                stop_reason="refusal",
                stop_details={"type": "refusal", "category": "bio"},
            ),
            "refusal",
            "bio",
        ),
        (chat("length", content="a"), "length", None),
        (chat("content_filter", content=""), "content_filter", "content_filter"),
        (chat("stop", content=None, refusal="I can't."), "stop", "refusal"),
        (chat(None, content="a"), None, None),
    ],
)
def test_a_row_has_the_finish_reason_and_the_reason_for_a_block(
    response: dict[str, Any], finish_reason: str | None, blocked: str | None
) -> None:
    row = row_of({"key": "k", "response": response})

    assert (row.finish_reason, row.blocked) == (finish_reason, blocked)


@pytest.mark.parametrize(
    ("response", "code", "message"),
    [
        (
            {"status_code": 429, "body": {"error": {"code": "x", "message": "later"}}},
            429,
            "later",
        ),
        ({"status_code": 500, "body": {}}, 500, "HTTP status 500"),
        ({"status_code": 503, "body": "<html>"}, 503, "HTTP status 503"),
        (
            {"type": "error", "error": {"type": "api_error", "message": "no"}},
            None,
            "no",
        ),
    ],
)
def test_an_error_in_place_of_an_answer_is_the_rows_error(
    response: dict[str, Any], code: int | None, message: str
) -> None:
    row = row_of({"custom_id": "k", "response": response})

    assert row.error is not None
    assert (row.error.code, row.error.message) == (code, message)
    assert row.response is None


def test_an_error_without_a_code_is_an_error() -> None:
    row = row_of({"key": "k", "status": {"message": "it broke"}})

    assert row.error is not None
    assert row.error.message == "it broke"
