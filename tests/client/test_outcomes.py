"""
The outcome of one row: each finish reason, block, error and usage counter, in lines as
both APIs write them.
"""

import json
from typing import Any

import msgspec
import pytest

from batchdrop.batches.answer_lines import row_of, row_of_line
from batchdrop.batches.outcomes import Judged, judged
from batchdrop.batches.usage import RowUsage
from batchdrop.preflight import Checker, Rules
from tests.there import there

HELLO = {"text": "Hello"}
THOUGHT = {"text": "Let me see.", "thought": True}
CALL = {"functionCall": {"name": "weather", "args": {"city": "Oslo"}}}
REQUEST = {"contents": [{"role": "user", "parts": [{"text": "Say hello"}]}]}


def vertex(response: Any = None, status: Any = "") -> dict[str, Any]:
    """A line of Gemini on Vertex AI."""
    line = {
        "status": status,
        "processed_time": "2026-11-28T10:00:00.000+00:00",
        "key": "r0000001",
        "request": REQUEST,
    }
    return line if response is None else {**line, "response": response}


def developer(response: Any) -> dict[str, Any]:
    """A line of a responses file of the Developer API."""
    return {"key": "r0000001", "response": response}


def gemini(
    *parts: dict[str, Any], reason: str | None = "STOP", **more: Any
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}}
    if reason is not None:
        candidate["finishReason"] = reason
    return {
        "candidates": [{**candidate, **more}],
        "modelVersion": "gemini-3.8-flash",
        "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3},
    }


def claude(reason: str | None, *blocks: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A line of Claude on Vertex AI."""
    message = {
        "id": "msg_vrtx_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-5-5",
        "content": list(blocks),
        "stop_reason": reason,
        "stop_sequence": None,
        **more,
    }
    return {"custom_id": "r0000001", "response": message, "status": ""}


def chat(reason: str | None, **message: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [{**choice, "finish_reason": reason}],
    }


def open_model(body: Any, status_code: int = 200) -> dict[str, Any]:
    """A line of an open model on Vertex AI; OpenAI rows on the Developer API too."""
    return {
        "id": "batch_req_1",
        "custom_id": "r0000001",
        "response": {"status_code": status_code, "request_id": "1", "body": body},
    }


def judge(line: dict[str, Any], json: bool = False) -> Judged:
    return judged(row_of(line), json=json)


# Gemini: finish reasons.


@pytest.mark.parametrize(
    ("reason", "with_text", "without"),
    [
        ("STOP", "ok", "empty"),
        ("MAX_TOKENS", "truncated", "truncated"),
        ("CONTINUATION", "truncated", "truncated"),
        ("SAFETY", "blocked", "blocked"),
        ("RECITATION", "blocked", "blocked"),
        ("BLOCKLIST", "blocked", "blocked"),
        ("PROHIBITED_CONTENT", "blocked", "blocked"),
        ("SPII", "blocked", "blocked"),
        ("MODEL_ARMOR", "blocked", "blocked"),
        ("IMAGE_SAFETY", "blocked", "blocked"),
        ("IMAGE_PROHIBITED_CONTENT", "blocked", "blocked"),
        ("IMAGE_RECITATION", "blocked", "blocked"),
        ("ESCALATION", "blocked", "blocked"),
        ("PUP_LIMITED_DISABLED", "blocked", "blocked"),
        ("MALFORMED_FUNCTION_CALL", "malformed", "malformed"),
        ("MALFORMED_RESPONSE", "malformed", "malformed"),
        ("UNEXPECTED_TOOL_CALL", "malformed", "malformed"),
        ("TOO_MANY_TOOL_CALLS", "malformed", "malformed"),
        ("MISSING_THOUGHT_SIGNATURE", "malformed", "malformed"),
        ("LANGUAGE", "unclear", "empty"),
        ("OTHER", "unclear", "empty"),
        ("NO_IMAGE", "unclear", "empty"),
        ("IMAGE_OTHER", "unclear", "empty"),
        ("INVENTED_IN_2027", "unclear", "empty"),
        ("FINISH_REASON_UNSPECIFIED", "truncated", "empty"),
        (None, "truncated", "empty"),
    ],
)
@pytest.mark.parametrize("line", [vertex, developer])
def test_a_finish_reason_of_gemini_gives_an_outcome(
    line: Any, reason: str | None, with_text: str, without: str
) -> None:
    full = judge(line(gemini(HELLO, reason=reason)))
    bare = judge(line(gemini(THOUGHT, reason=reason)))

    assert (full.outcome, bare.outcome) == (with_text, without)
    assert full.finish_reason == bare.finish_reason == reason
    assert full.text == (None if with_text == "blocked" else "Hello")
    assert bare.text is None


@pytest.mark.parametrize(
    "reason",
    [
        "SAFETY",
        "OTHER",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "IMAGE_SAFETY",
        "MODEL_ARMOR",
        "JAILBREAK",
        "INVENTED_IN_2027",
    ],
)
@pytest.mark.parametrize("beside", [{}, {"candidates": []}], ids=["absent", "empty"])
def test_a_blocked_prompt_of_gemini_is_blocked(
    reason: str, beside: dict[str, Any]
) -> None:
    row = judge(
        vertex(
            {
                **beside,
                "promptFeedback": {"blockReason": reason},
                "usageMetadata": {"promptTokenCount": 9311, "totalTokenCount": 9311},
            }
        )
    )

    assert (row.outcome, row.blocked) == ("blocked", reason)
    assert row.needs_response  # its feedback says why
    assert row.usage == RowUsage(prompt=9311, total=9311)


@pytest.mark.parametrize(
    "feedback",
    [
        {"blockReason": "BLOCKED_REASON_UNSPECIFIED"},
        {"blockReason": "BLOCK_REASON_UNSPECIFIED"},
        {"safetyRatings": [{"category": "HARM_CATEGORY_HARASSMENT"}]},
    ],
)
def test_feedback_without_a_reason_is_no_block(feedback: dict[str, Any]) -> None:
    answered = judge(vertex({**gemini(HELLO), "promptFeedback": feedback}))
    empty = judge(vertex({"promptFeedback": feedback}))

    assert (answered.outcome, empty.outcome) == ("ok", "empty")


def test_what_a_filter_left_of_a_text_is_in_the_response_alone() -> None:
    row = judge(vertex(gemini(HELLO, reason="SAFETY")))

    assert row.text is None
    assert row.needs_response


# Gemini: content.


@pytest.mark.parametrize(
    ("part", "outcome", "text", "needs_response"),
    [
        (HELLO, "ok", "Hello", False),
        ({"text": "Hi", "thoughtSignature": "x"}, "ok", "Hi", False),
        (CALL, "ok", None, True),
        ({"functionCall": {"name": "now"}}, "ok", None, True),
        ({**CALL, "thoughtSignature": "x"}, "ok", None, True),
        ({"inlineData": {"mimeType": "image/png", "data": "aGk="}}, "ok", None, True),
        ({"inlineData": {"mimeType": "audio/pcm", "data": "aGk="}}, "ok", None, True),
        ({"fileData": {"fileUri": "gs://b/a.png"}}, "ok", None, True),
        ({"executableCode": {"code": "1 + 1"}}, "ok", None, True),
        ({"codeExecutionResult": {"outcome": "OUTCOME_OK"}}, "ok", None, True),
        ({"inventedIn2027": {"a": 1}}, "ok", None, True),
        (THOUGHT, "empty", None, False),
        (
            {"inlineData": {"mimeType": "image/png", "data": "aGk="}, "thought": True},
            "empty",
            None,
            False,
        ),
        ({"thoughtSignature": "x"}, "empty", None, False),
        ({"text": "", "thoughtSignature": "x"}, "empty", None, False),
        ({"text": " \n"}, "empty", " \n", False),
        ({"inlineData": {"mimeType": "image/png"}}, "empty", None, False),
        ({"functionCall": {}}, "empty", None, False),
        ({"functionCall": None, "text": "Hi"}, "ok", "Hi", False),
    ],
)
def test_a_part_is_content_or_is_none(
    part: dict[str, Any], outcome: str, text: str | None, needs_response: bool
) -> None:
    row = judge(vertex(gemini(THOUGHT, part)))

    assert (row.outcome, row.text) == (outcome, text)
    assert row.needs_response is needs_response


@pytest.mark.parametrize(
    "response",
    [
        {"candidates": []},
        {"candidates": [{"finishReason": "STOP"}]},
        {"candidates": [{"content": {}, "finishReason": "STOP"}]},
        {"candidates": [{"content": {"role": "model"}, "finishReason": "STOP"}]},
        {"candidates": [{"content": {"parts": []}, "finishReason": "STOP"}]},
        {
            "candidates": [
                {"finishReason": "STOP", "citationMetadata": {"citations": [{}]}}
            ]
        },
        {"usageMetadata": {"promptTokenCount": 3}},
        {"modelVersion": "gemini-3.8-flash", "responseId": "x"},
        {},
    ],
)
def test_an_answer_without_content_is_empty(response: dict[str, Any]) -> None:
    assert judge(vertex(response)).outcome == "empty"


def test_a_line_without_an_answer_is_empty() -> None:
    assert judge(vertex()).outcome == "empty"
    assert judge({"key": "r0000001"}).outcome == "empty"


def test_the_first_candidate_decides_and_the_others_are_counted() -> None:
    one, other = gemini(HELLO), gemini(reason="SAFETY")
    both = {**one, "candidates": one["candidates"] + other["candidates"]}

    row = judge(vertex(both))

    assert (row.outcome, row.text, row.candidates) == ("ok", "Hello", 2)
    assert row.needs_response


@pytest.mark.parametrize(
    ("more", "needs_response"),
    [
        ({"groundingMetadata": {"webSearchQueries": ["oslo"]}}, True),
        ({"groundingMetadata": {}}, False),
        ({"citationMetadata": {"citations": [{"uri": "https://a.example"}]}}, True),
        ({"logprobsResult": {"chosenCandidates": [{"token": "a"}]}}, True),
        ({"urlContextMetadata": {"urlMetadata": [{}]}}, True),
        ({"avgLogprobs": -0.1, "index": 0, "safetyRatings": [{}]}, False),
    ],
)
def test_grounding_beside_a_text_needs_the_response(
    more: dict[str, Any], needs_response: bool
) -> None:
    row = judge(vertex(gemini(HELLO, **more)))

    assert (row.outcome, row.text) == ("ok", "Hello")
    assert row.needs_response is needs_response


# JSON.


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1}', b'{"a":1}'),
        ('{\n  "a": [1, 2.50, "b c"]\n}\n', b'{"a":[1,2.50,"b c"]}'),
        ("123456789012345678901234567890", b"123456789012345678901234567890"),
        ('"\\u00e9 é"', '"\\u00e9 é"'.encode()),
        ("null", b"null"),
        ("1e400", b"1e400"),
    ],
)
def test_json_that_was_asked_for_replaces_the_text_and_keeps_its_bytes(
    text: str, found: bytes
) -> None:
    row = judge(vertex(gemini({"text": text})), json=True)

    assert (row.outcome, row.text, row.json_bytes) == ("ok", None, found)
    assert row.json == json.loads(text)
    assert not row.needs_response


@pytest.mark.parametrize(
    "text",
    ['{"a": ', '```json\n{"a": 1}\n```', "Sure!", '{"a": 1} and', "{'a': 1}", "NaN"],
)
@pytest.mark.parametrize(
    "line",
    [
        lambda text: vertex(gemini({"text": text})),
        lambda text: claude("end_turn", {"type": "text", "text": text}),
        lambda text: open_model(chat("stop", content=text)),
    ],
    ids=["gemini", "claude", "open"],
)
def test_a_text_that_is_not_the_json_asked_for_is_malformed(
    line: Any, text: str
) -> None:
    row = judge(line(text), json=True)

    assert (row.outcome, row.text, row.json) == ("malformed", text, msgspec.UNSET)
    assert judge(line(text)).outcome == "ok"


def test_json_that_was_cut_off_is_truncated() -> None:
    row = judge(vertex(gemini({"text": "12"}, reason="MAX_TOKENS")), json=True)

    assert (row.outcome, row.text, row.json) == ("truncated", "12", msgspec.UNSET)


def test_a_call_in_place_of_json_is_no_text_that_could_be_malformed() -> None:
    row = judge(vertex(gemini(CALL, {"text": "\n"})), json=True)

    assert row.outcome == "ok"


def test_json_asked_for_and_no_text_is_empty() -> None:
    assert judge(vertex(gemini(THOUGHT)), json=True).outcome == "empty"
    assert judge(vertex(gemini({"text": " "})), json=True).outcome == "empty"


# Claude.

TEXT = {"type": "text", "text": "Hello"}
THINKING = {"type": "thinking", "thinking": "Let me see.", "signature": "x"}


@pytest.mark.parametrize(
    ("reason", "with_text", "without"),
    [
        ("end_turn", "ok", "empty"),
        ("stop_sequence", "ok", "empty"),
        ("tool_use", "ok", "empty"),
        ("pause_turn", "ok", "empty"),
        ("max_tokens", "truncated", "truncated"),
        ("model_context_window_exceeded", "truncated", "truncated"),
        ("compaction", "truncated", "truncated"),
        ("refusal", "blocked", "blocked"),
        ("invented_in_2027", "unclear", "empty"),
        (None, "unclear", "empty"),
    ],
)
def test_a_stop_reason_of_claude_gives_an_outcome(
    reason: str | None, with_text: str, without: str
) -> None:
    full = judge(claude(reason, THINKING, TEXT))
    bare = judge(claude(reason, THINKING, {"type": "redacted_thinking", "data": "x"}))

    assert (full.outcome, bare.outcome) == (with_text, without)
    assert (full.finish_reason, full.candidates) == (reason, 1)
    assert full.text == (None if with_text == "blocked" else "Hello")
    assert bare.text is None


def test_a_tool_use_of_claude_is_content() -> None:
    use = {"type": "tool_use", "id": "1", "name": "weather", "input": {}}

    row = judge(claude("tool_use", use))

    assert (row.outcome, row.text, row.needs_response) == ("ok", None, True)


def test_a_refusal_of_claude_has_its_category() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "no"}

    row = judge(claude("refusal", stop_details=details))

    assert (row.outcome, row.blocked) == ("blocked", "cyber")
    assert row.needs_response


def test_citations_of_claude_need_the_response() -> None:
    cited = {**TEXT, "citations": [{"type": "web_search_result_location"}]}

    assert judge(claude("end_turn", cited)).needs_response
    assert not judge(claude("end_turn", TEXT)).needs_response


# OpenAI-style.


@pytest.mark.parametrize(
    ("reason", "with_text", "without"),
    [
        ("stop", "ok", "empty"),
        ("tool_calls", "ok", "empty"),
        ("function_call", "ok", "empty"),
        ("length", "truncated", "truncated"),
        ("content_filter", "blocked", "blocked"),
        ("eos", "unclear", "empty"),
        ("abort", "unclear", "empty"),
        (None, "unclear", "empty"),
    ],
)
@pytest.mark.parametrize(
    "line",
    [
        open_model,
        vertex,
        lambda body: {"custom_id": "r0000001", "response": {"body": body}},
        lambda body: {"instance": {}, "prediction": body},
        lambda body: {"instance": {}, "predictions": [body]},
    ],
    ids=["body", "response", "bare body", "prediction", "predictions"],
)
def test_a_finish_reason_of_an_open_model_gives_an_outcome(
    line: Any, reason: str | None, with_text: str, without: str
) -> None:
    full = judge(line(chat(reason, content="Hello")))
    bare = judge(line(chat(reason, content=None, reasoning_content="Let me see.")))

    assert (full.outcome, bare.outcome) == (with_text, without)
    assert (full.finish_reason, full.candidates) == (reason, 1)
    assert full.text == (None if with_text == "blocked" else "Hello")
    assert bare.text is None


@pytest.mark.parametrize(
    "message",
    [
        {"tool_calls": [{"id": "1", "function": {"name": "weather"}}]},
        {"toolCalls": [{"id": "1", "function": {"name": "weather"}}]},
        {"function_call": {"name": "weather", "arguments": "{}"}},
        {"audio": {"id": "1", "data": "aGk="}},
    ],
)
def test_a_call_of_an_open_model_is_content(message: dict[str, Any]) -> None:
    row = judge(open_model(chat("tool_calls", content=None, **message)))

    assert (row.outcome, row.text, row.needs_response) == ("ok", None, True)


def test_a_refusal_text_of_an_open_model_is_a_block() -> None:
    row = judge(open_model(chat("stop", content=None, refusal="I can't help.")))

    assert (row.outcome, row.blocked) == ("blocked", "refusal")
    assert row.needs_response


def test_annotations_and_logprobs_of_an_open_model_need_the_response() -> None:
    annotated = chat("stop", content="Hello", annotations=[{"type": "url_citation"}])
    plain = chat("stop", content="Hello", annotations=[])
    probable = chat("stop", content="Hello")
    probable["choices"][0]["logprobs"] = {"content": [{"token": "Hello"}]}

    assert judge(open_model(annotated)).needs_response
    assert judge(open_model(probable)).needs_response
    assert not judge(open_model(plain)).needs_response


@pytest.mark.parametrize("choices", [[], None, [None]])
def test_an_answer_without_choices_is_empty(choices: Any) -> None:
    assert judge(open_model({"choices": choices})).outcome == "empty"


def test_several_choices_are_counted() -> None:
    body = chat("stop", content="Hello")

    row = judge(open_model({**body, "choices": body["choices"] * 3}))

    assert (row.outcome, row.candidates, row.needs_response) == ("ok", 3, True)


# Embeddings, and custom models.

STATISTICS = {"token_count": 4.0, "truncated": False}


def text_embedding(values: Any, **statistics: Any) -> dict[str, Any]:
    embeddings = {"values": values, "statistics": {**STATISTICS, **statistics}}
    return {
        "instance": {"content": "Hello", "key": "r0000001"},
        "predictions": [{"embeddings": embeddings}],
        "status": "",
    }


@pytest.mark.parametrize(
    ("line", "outcome", "prompt"),
    [
        (text_embedding([0.5, -0.5]), "ok", 4),
        (text_embedding([0.5], truncated=True), "truncated", 4),
        (text_embedding([]), "empty", 4),
        ({"instance": {"content": "x"}, "predictions": [], "status": ""}, "empty", 0),
        (
            vertex(
                {
                    "embedding": {"values": [0.5]},
                    "usageMetadata": {"promptTokenCount": 2},
                }
            ),
            "ok",
            2,
        ),
        (
            vertex({"embedding": {"values": [0.5]}, "truncated": True}),
            "truncated",
            0,
        ),
        (vertex({"embedding": {}}), "empty", 0),
        (
            developer({"embedding": {"values": [0.5]}, "tokenCount": "1"}),
            "ok",
            1,
        ),
        (
            developer(
                {
                    "embedding": {"values": [0.5]},
                    "usageMetadata": {
                        "promptTokenCount": 6,
                        "promptTokenDetails": [{"modality": "TEXT", "tokenCount": 6}],
                    },
                }
            ),
            "ok",
            6,
        ),
        (developer({"embeddings": [{"values": [0.5]}]}), "ok", 0),
        (
            open_model(
                {
                    "object": "list",
                    "data": [{"object": "embedding", "embedding": [0.5]}],
                    "usage": {"prompt_tokens": 7, "total_tokens": 7},
                }
            ),
            "ok",
            7,
        ),
        (open_model({"data": [{"embedding": "AAAAPw=="}]}), "ok", 0),
    ],
)
def test_an_embedding_is_judged_by_its_values(
    line: dict[str, Any], outcome: str, prompt: int
) -> None:
    row = judge(line)

    assert row.outcome == outcome
    assert row.usage == RowUsage(prompt=prompt, total=prompt)
    assert (row.text, row.finish_reason) == (None, None)
    assert row.needs_response is (outcome != "empty")


@pytest.mark.parametrize(
    ("line", "outcome", "text"),
    [
        ({"instance": [1], "prediction": [0.9, 0.1]}, "ok", None),
        ({"instance": [1], "prediction": 0}, "ok", None),
        ({"instance": [1], "predictions": [{"label": "cat"}]}, "ok", None),
        ({"instance": {"x": 1}, "prediction": "cat"}, "ok", "cat"),
        ({"instance": {"x": 1}, "predictions": ["cat"]}, "ok", "cat"),
        ({"instance": {"x": 1}, "prediction": ""}, "empty", None),
        ({"instance": {"x": 1}, "prediction": None}, "empty", None),
        ({"instance": {"x": 1}, "predictions": [{}]}, "empty", None),
        ({"instance": {"x": 1}, "prediction": gemini(HELLO)}, "ok", "Hello"),
    ],
)
def test_a_prediction_of_a_custom_model_is_content(
    line: dict[str, Any], outcome: str, text: str | None
) -> None:
    row = judge(line)

    assert (row.outcome, row.text) == (outcome, text)


def test_an_answer_of_a_shape_that_is_not_known_is_unclear_and_kept() -> None:
    row = judge(vertex({"generatedSamples": [{"uri": "gs://b/v.mp4"}]}))

    assert (row.outcome, row.needs_response) == ("unclear", True)


# Errors.

ROLE = "Please use a valid role: user, model."


@pytest.mark.parametrize(
    ("line", "code", "status", "message"),
    [
        (
            vertex(
                status='Bad Request: {"error": {"code": 400, '
                f'"message": "{ROLE}", "status": "INVALID_ARGUMENT"}}}}'
            ),
            400,
            "INVALID_ARGUMENT",
            ROLE,
        ),
        (
            vertex(
                status="Internal error occurred. Failed to get "
                'generateContentResponse: {"error": {"code": 404, "message": '
                '"Not found: cached content", "status": "NOT_FOUND"}}'
            ),
            404,
            "NOT_FOUND",
            "Not found: cached content",
        ),
        (
            vertex(
                status="RESOURCE_EXHAUSTED error occurred: "
                '{"error": {"code": 429, "message": "Quota exceeded"}}'
            ),
            429,
            None,
            "Quota exceeded",
        ),
        (vertex(status={"code": 3, "message": ROLE}), 3, "INVALID_ARGUMENT", ROLE),
        (vertex(status={"message": ROLE}), None, None, ROLE),
        (vertex(status={"reason": ROLE}), None, None, f'{{"reason":"{ROLE}"}}'),
        (vertex(status={"code": "9" * 5000, "message": ROLE}), None, "9" * 5000, ROLE),
        (vertex(status=3), 3, "INVALID_ARGUMENT", "3"),
        (
            vertex(status={"status": "NOT_FOUND", "message": "gone"}),
            5,
            "NOT_FOUND",
            "gone",
        ),
        (
            vertex(status='Bad Request: {"error": {"code": 400, "message": ""}}'),
            400,
            None,
            'Bad Request: {"error": {"code": 400, "message": ""}}',
        ),
        (vertex(status="INVALID_ARGUMENT"), 3, "INVALID_ARGUMENT", "INVALID_ARGUMENT"),
        (vertex(status="Error: 503 overloaded"), 503, None, "Error: 503 overloaded"),
        (vertex(status="It broke."), None, None, "It broke."),
        (vertex(status="of 500 rows: {x}"), None, None, "of 500 rows: {x}"),
        (
            vertex(
                status={
                    "code": 13,
                    "message": 'Failed: {"error": {"code": 404, "message": "gone"}}',
                }
            ),
            404,
            None,
            "gone",
        ),
        (
            {"key": "a", "error": {"code": 8, "message": "later"}},
            8,
            "RESOURCE_EXHAUSTED",
            "later",
        ),
        (
            {"error": {"code": 14, "message": "later"}, "metadata": {"key": "a"}},
            14,
            "UNAVAILABLE",
            "later",
        ),
        ({"key": "a", "error": "no"}, None, None, "no"),
        (
            {
                "custom_id": "a",
                "response": {},
                "status": '{"type": "error", "error": '
                '{"type": "overloaded_error", "message": "Overloaded"}}',
            },
            None,
            "overloaded_error",
            "Overloaded",
        ),
        (
            open_model({"error": {"message": "long", "code": "too_long"}}, 400),
            400,
            "too_long",
            "long",
        ),
        (
            open_model({"error": {"code": 404, "message": "gone"}}, 404),
            404,
            None,
            "gone",
        ),
        (open_model({}, 500), 500, None, "HTTP status 500"),
        (
            {"instance": {"x": 1}, "error": {"code": 3, "message": "no"}},
            3,
            "INVALID_ARGUMENT",
            "no",
        ),
        (
            {"instance": {"content": "x"}, "predictions": [], "status": "It broke."},
            None,
            None,
            "It broke.",
        ),
    ],
)
def test_an_error_of_any_form_is_read_and_the_inner_code_decides(
    line: dict[str, Any], code: int | None, status: str | None, message: str
) -> None:
    row = judge(line)

    assert row.outcome == "failed"
    error = there(row.error)
    assert (error.code, error.status, error.message) == (code, status, message)
    assert (row.text, row.needs_response) == (None, False)


@pytest.mark.parametrize("status", ["", None, {}, {"code": 0, "message": ""}, 0])
def test_a_status_that_says_nothing_is_no_error(status: Any) -> None:
    assert judge(vertex(gemini(HELLO), status)).outcome == "ok"


def test_an_error_beside_an_answer_fails_the_row_and_the_answer_is_kept() -> None:
    row = judge({**developer(gemini(HELLO)), "error": {"code": 13, "message": "no"}})

    assert (row.outcome, row.text) == ("failed", None)
    assert row.needs_response
    assert row.usage.prompt == 3


def test_a_line_that_cannot_be_read_has_an_error() -> None:
    row = there(row_of_line(b'{"key": "a", "resp', "gs://b/o", 7))

    assert judged(row).outcome == "failed"
    assert there(row.error).message == "gs://b/o, line 7: not a JSON object"


def test_errors_within_errors_are_read_to_a_depth_and_no_further() -> None:
    deep: Any = {"code": 3, "message": "the innermost"}
    for _ in range(500):
        deep = {"error": deep}

    assert judge(vertex(status=deep)).outcome == "failed"
    assert judge(vertex(status=json.dumps(deep))).outcome == "failed"


# Usage.


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        (
            {"promptTokenCount": 5, "candidatesTokenCount": 7, "totalTokenCount": 12},
            RowUsage(prompt=5, output=7, total=12),
        ),
        (
            {
                "promptTokenCount": 812,
                "cachedContentTokenCount": 800,
                "candidatesTokenCount": 40,
                "thoughtsTokenCount": 100,
                "totalTokenCount": 952,
                "trafficType": "ON_DEMAND",
            },
            RowUsage(prompt=812, cached=800, output=40, thoughts=100, total=952),
        ),
        (  # seen with search: the results of the tool are in the total
            {
                "promptTokenCount": 19,
                "candidatesTokenCount": 59,
                "thoughtsTokenCount": 406,
                "toolUsePromptTokenCount": 73,
                "totalTokenCount": 557,
            },
            RowUsage(prompt=92, output=59, thoughts=406, total=557),
        ),
        (  # thoughts among the candidates' tokens
            {
                "promptTokenCount": 10,
                "candidatesTokenCount": 50,
                "thoughtsTokenCount": 30,
                "totalTokenCount": 60,
            },
            RowUsage(prompt=10, output=20, thoughts=30, total=60),
        ),
        (
            {"promptTokenCount": 5, "thoughtsTokenCount": 9},
            RowUsage(prompt=5, thoughts=9, total=14),
        ),
        ({"promptTokenCount": "5"}, RowUsage(prompt=5, total=5)),
        ({"promptTokenCount": None, "totalTokenCount": True}, RowUsage()),
        ({"promptTokenCount": -5}, RowUsage()),
        ({}, RowUsage()),
    ],
)
def test_the_usage_of_gemini(counts: dict[str, Any], usage: RowUsage) -> None:
    assert judge(vertex({**gemini(HELLO), "usageMetadata": counts})).usage == usage
    assert judge(developer({**gemini(HELLO), "usageMetadata": counts})).usage == usage


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        (
            {"input_tokens": 5, "output_tokens": 7},
            RowUsage(prompt=5, output=7, total=12),
        ),
        (
            {
                "input_tokens": 10,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 20,
                "cache_creation": {"ephemeral_5m_input_tokens": 20},
                "output_tokens": 50,
                "output_tokens_details": {"thinking_tokens": 30},
                "service_tier": "batch",
            },
            RowUsage(prompt=130, cached=100, output=20, thoughts=30, total=180),
        ),
        (
            {
                "input_tokens": 5,
                "cache_read_input_tokens": None,
                "output_tokens": 1,
                "output_tokens_details": None,
            },
            RowUsage(prompt=5, output=1, total=6),
        ),
    ],
)
def test_the_usage_of_claude(counts: dict[str, Any], usage: RowUsage) -> None:
    assert judge(claude("end_turn", TEXT, usage=counts)).usage == usage


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        (
            {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
            RowUsage(prompt=5, output=7, total=12),
        ),
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 50,
                "total_tokens": 150,
                "prompt_tokens_details": {"cached_tokens": 64},
                "completion_tokens_details": {"reasoning_tokens": 30},
            },
            RowUsage(prompt=100, cached=64, output=20, thoughts=30, total=150),
        ),
        (  # as the Developer API writes OpenAI's rows
            {"promptTokens": 10, "completionTokens": 5, "totalTokens": 40},
            RowUsage(prompt=10, output=5, thoughts=25, total=40),
        ),
        (
            {"prompt_tokens": 5, "prompt_tokens_details": None},
            RowUsage(prompt=5, total=5),
        ),
    ],
)
def test_the_usage_of_an_open_model(counts: dict[str, Any], usage: RowUsage) -> None:
    body = {**chat("stop", content="Hello"), "usage": counts}

    assert judge(open_model(body)).usage == usage
    assert judge({"instance": {}, "predictions": [body]}).usage == usage


# The row itself, as the client gives it.


def test_a_row_of_the_client_has_all_that_is_judged() -> None:
    counts = {"promptTokenCount": 5, "totalTokenCount": 5}
    answer = gemini(THOUGHT, {"text": '{"a": 1}'})

    row = row_of(vertex({**answer, "usageMetadata": counts}))

    assert (row.outcome, row.finish_reason, row.blocked) == ("ok", "STOP", None)
    assert (row.text, row.thoughts, row.json) == ('{"a": 1}', "Let me see.", {"a": 1})
    assert row.usage == RowUsage(prompt=5, total=5)
    assert row.embedding is None


def test_a_row_without_json_has_none() -> None:
    assert row_of(vertex(gemini(HELLO))).json is None
    assert row_of(vertex(status="It broke.")).json is None


@pytest.mark.parametrize(
    ("line", "vector"),
    [
        (text_embedding([0.5, -0.5]), [0.5, -0.5]),
        (vertex({"embedding": {"values": [0.5]}}), [0.5]),
        (open_model({"data": [{"embedding": [1, 0]}]}), [1, 0]),
        (open_model({"data": [{"embedding": "AAAAPw=="}]}), None),
        (vertex({"embedding": {"values": []}}), None),
        (vertex(status="It broke."), None),
    ],
)
def test_a_row_has_its_embedding(
    line: dict[str, Any], vector: list[float] | None
) -> None:
    assert row_of(line).embedding == vector


HELLO_CHAT = {"messages": [{"role": "user", "content": "Say hello"}], "max_tokens": 1}
HELLO_CLAUDE = {"anthropic_version": "vertex-2023-10-16", **HELLO_CHAT}


def gemini_line(**config: Any) -> dict[str, Any]:
    return {"request": {**REQUEST, "generationConfig": config}}


def claude_line(**more: Any) -> dict[str, Any]:
    return {"request": {**HELLO_CLAUDE, **more}}


def open_line(**more: Any) -> dict[str, Any]:
    path = {"method": "POST", "url": "/v1/chat/completions"}
    return {**path, "body": {**HELLO_CHAT, **more}}


def staged_as_json(line: dict[str, Any]) -> bool:
    """Whether the worker's check says that a line asks for JSON."""
    model = "gemini-3.8-flash"
    if "body" in line:
        model = "publishers/meta/models/llama-4-maverick-17b-128e-instruct-maas"
    elif "messages" in line["request"]:
        model = "publishers/anthropic/models/claude-sonnet-5-5"
    checker = Checker(Rules(model=model))
    (block,) = checker.blocks([msgspec.json.encode(line)])
    assert block.rows == 1
    return any(checker.asking_for_json(block.staged) or b"")


@pytest.mark.parametrize(
    ("line", "asks"),
    [
        (gemini_line(responseMimeType="application/json"), True),
        (gemini_line(response_mime_type="application/json"), True),
        (gemini_line(responseMimeType="Application/JSON; charset=utf-8"), True),
        (gemini_line(responseMimeType="text/plain"), False),
        (gemini_line(responseSchema={"type": "OBJECT"}), True),
        (gemini_line(responseJsonSchema={"type": "object"}), True),
        (
            gemini_line(
                responseMimeType="text/x.enum", responseSchema={"type": "STRING"}
            ),
            False,
        ),
        (gemini_line(temperature=1), False),
        (claude_line(output_config={"format": {"type": "json_schema"}}), True),
        (claude_line(output_format={"type": "json_schema"}), True),
        (claude_line(output_config={"effort": "low"}), False),
        (open_line(response_format={"type": "json_object"}), True),
        (open_line(response_format={"type": "json_schema"}), True),
        (open_line(response_format={"type": "text"}), False),
    ],
)
def test_a_row_that_echoes_a_request_for_json_may_be_malformed(
    line: dict[str, Any], asks: bool
) -> None:
    row = row_of({**line, "response": gemini(HELLO)})

    assert row.outcome == ("malformed" if asks else "ok")
    assert staged_as_json(line) is asks


def test_a_row_that_echoes_no_request_is_not_held_to_json() -> None:
    assert row_of(developer(gemini(HELLO))).outcome == "ok"


@pytest.mark.parametrize(
    "response",
    [
        {"candidates": "x"},
        {"candidates": [None]},
        {"candidates": [{"content": [], "finishReason": 7}]},
        {"candidates": [{"content": {"parts": [1, None, {"text": 5}]}}]},
        {"choices": "x", "usage": [1]},
        {"choices": [{"message": [], "finish_reason": {}}]},
        {"content": "x", "stop_reason": []},
        {"content": [None, {"type": 1}], "usage": {"input_tokens": "x"}},
        {"embedding": "x"},
        {"embeddings": "x"},
        {"data": [1]},
        {"predictions": {"embeddings": 1}},
        {"body": "x"},
        {"usageMetadata": "x", "promptFeedback": 1},
    ],
)
def test_an_answer_of_the_wrong_types_is_judged_too(response: dict[str, Any]) -> None:
    row = row_of({"key": "a", "response": response})

    assert judged(row, json=True).outcome in ("empty", "unclear", "ok")
    assert (row.text, row.thoughts, row.json, row.embedding) == (None,) * 4
    assert row.usage == RowUsage()
