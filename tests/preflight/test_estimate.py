"""How many tokens rows are estimated to have, before they are sent."""

import json
from typing import Any

import pytest

from batchdrop.preflight import Rules
from batchdrop.preflight.estimate import MEDIUM_TOKENS, SAMPLE, Estimator
from batchdrop.rows import Tokens

MODELS = {
    "gemini": "gemini-3.8-flash",
    "claude": "claude-sonnet-5-5",
    "open": "publishers/meta/models/llama-4-scout",
    "embedding": "gemini-embedding-2",
}


def tokens(
    *rows: Any, model: str = "gemini", answer_tokens: int = 250, thinking: int = 0
) -> Tokens:
    estimator = Estimator(
        Rules(model=MODELS[model]).family,
        answer_tokens=answer_tokens,
        thinking_tokens=thinking,
    )
    staged = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    estimator.add(staged)
    return estimator.tokens(len(rows), len(staged))


def ask(*parts: dict[str, Any], **members: Any) -> dict[str, Any]:
    contents = [{"role": "user", "parts": [{"text": "x" * 400}, *parts]}]
    return {"key": "r1", "request": {"contents": contents, **members}}


def test_four_bytes_of_text_are_a_token() -> None:
    assert tokens(ask()) == Tokens(prompt=100, output=250)
    assert tokens(ask({"text": "\N{SNOWMAN}" * 4})).prompt == 103


@pytest.mark.parametrize(
    ("medium", "kind"),
    [
        ({"inlineData": {"mimeType": "image/png", "data": "eA=="}}, "image"),
        ({"inline_data": {"mime_type": "audio/mp3", "data": "eA=="}}, "audio"),
        ({"fileData": {"mimeType": "video/mp4", "fileUri": "gs://b/v"}}, "video"),
    ],
)
def test_media_are_counted_apart_as_a_part_of_the_prompt(
    medium: dict[str, Any], kind: str
) -> None:
    found = tokens(ask(medium))

    assert found.prompt == 100 + MEDIUM_TOKENS
    assert {
        name: count
        for name in ("image", "audio", "video")
        if (count := getattr(found, name))
    } == {kind: MEDIUM_TOKENS}


def test_a_document_counts_as_text() -> None:
    pdf = {"fileData": {"mimeType": "application/pdf", "fileUri": "gs://b/d"}}

    assert tokens(ask(pdf)) == Tokens(prompt=100 + MEDIUM_TOKENS, output=250)


def test_media_of_other_publishers_are_counted() -> None:
    picture = {"type": "base64", "media_type": "image/png", "data": "eA=="}
    claude = {
        "custom_id": "r1",
        "request": {
            "messages": [
                {"role": "user", "content": [{"type": "image", "source": picture}]}
            ],
            "max_tokens": 9,
        },
    }
    address = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
    openai = {
        "custom_id": "r1",
        "body": {"messages": [{"role": "user", "content": [address]}]},
    }

    assert tokens(claude, model="claude") == Tokens(prompt=258, image=258, output=9)
    assert tokens(openai, model="open") == Tokens(prompt=258, image=258, output=250)


@pytest.mark.parametrize(
    ("config", "thinking", "output", "thoughts"),
    [
        ({}, 0, 250, 0),
        ({}, 500, 250, 500),
        ({"maxOutputTokens": 100}, 500, 100, 0),
        ({"maxOutputTokens": 400}, 500, 250, 150),
        ({"thinkingConfig": {"thinkingBudget": 64}}, 500, 250, 64),
        ({"thinkingConfig": {"thinkingBudget": 0}}, 500, 250, 0),
        ({"thinkingConfig": {"thinkingBudget": -1}}, 500, 250, 500),
        ({"thinking_config": {"thinking_budget": 64}}, 0, 250, 64),
        ({"candidateCount": 3}, 0, 750, 0),
    ],
)
def test_answers_and_thoughts_are_those_of_the_settings_unless_a_row_limits_them(
    config: dict[str, Any], thinking: int, output: int, thoughts: int
) -> None:
    found = tokens(ask(generationConfig=config), thinking=thinking)

    assert (found.output, found.thoughts) == (output, thoughts)


def test_claudes_thoughts_are_those_of_its_budget() -> None:
    request = {
        "messages": [{"role": "user", "content": "x" * 40}],
        "max_tokens": 4000,
        "thinking": {"type": "enabled", "budget_tokens": 2048},
    }

    found = tokens({"custom_id": "r1", "request": request}, model="claude")

    assert found == Tokens(prompt=10, output=250, thoughts=2048)


@pytest.mark.parametrize(
    "config",
    [
        {"maxOutputTokens": -5_000_000},
        {"thinkingConfig": {"thinkingBudget": -1}},
        {"candidateCount": -2},
    ],
)
def test_a_negative_number_makes_no_file_cheaper(config: dict[str, Any]) -> None:
    found = tokens(ask(generationConfig=config), thinking=9)

    assert (found.output, found.thoughts) == (250, 9)


def test_an_absurd_number_is_no_more_than_a_document_can_hold() -> None:
    config = {"candidateCount": 10**17, "thinkingConfig": {"thinkingBudget": 10**25}}

    found = tokens(*[ask(generationConfig=config)] * 3)

    assert (found.output, found.thoughts) == (10**15, 10**15)


def test_embeddings_have_no_answers() -> None:
    row = {"key": "r1", "request": {"content": {"parts": [{"text": "x" * 40}]}}}

    assert tokens(row, model="embedding", thinking=500) == Tokens(prompt=10)


def test_the_rest_is_taken_to_be_like_the_first_rows() -> None:
    row = json.dumps(ask()).encode() + b"\n"
    estimator = Estimator(Rules().family, answer_tokens=10, thinking_tokens=1)
    for _ in range(SAMPLE // 100):
        estimator.add(row * 100)
    estimator.add(b"not looked at")

    rows = 3 * SAMPLE
    found = estimator.tokens(rows, 2 * rows * len(row))  # lines of twice the length

    assert found == Tokens(prompt=200 * rows, output=10 * rows, thoughts=rows)
