"""What is shown of a row: whatever it has, as text that says what it is."""

import json
import time
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.dashboard.contents import (
    Error,
    Piece,
    listed,
    question,
    raw,
    refused,
    shown,
)
from batchdrop.dashboard.legible import content, legible, pretty, value_of, without_data

PICTURE = "iVBORw0KGgoAAAANSUhEUgAB" * 100


def code(label: str, text: str) -> Piece:
    return Piece(label, text, "json")


def line(**members: Any) -> bytes:
    return json.dumps({"id": "r0000017", "line": 17, **members}).encode()


def test_what_is_not_seen_is_written_as_an_escape() -> None:
    hidden = [
        chr(n)
        for n in range(0x110000)
        if unicodedata.category(chr(n)) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    ]

    kept = {each for each in hidden if legible(each) == each}

    assert kept == {"\n", "\t", "\u200c", "\u200d"}
    assert content("<b>\u202e&\n") == "&lt;b&gt;\\u202e&amp;\n"
    assert legible("a\r\nb\u202ec\ud800") == "a\nb\\u202ec\\ud800"
    assert legible("é\u00a0日本 👩‍🔬") == "é\u00a0日本 👩‍🔬"


def test_numbers_keep_their_digits() -> None:
    text = '{"a":[1.0,1e3,123456789012345678901234567890,-0],"b":0.1000}'

    shown = pretty(value_of(text.encode()))

    assert shown == (
        '{\n  "a": [1.0, 1e3, 123456789012345678901234567890, -0],\n  "b": 0.1000\n}'
    )


def test_data_is_shown_as_its_size_and_repeated_characters_as_they_are() -> None:
    assert (
        without_data(f"see data:{PICTURE}==") == "see data:[1.8 kB of data, not shown]"
    )
    assert PICTURE not in raw(line(response={"x": PICTURE}))
    assert PICTURE not in pretty({"x": [PICTURE]})
    assert without_data("0" * 5000) == "0" * 5000
    assert without_data("word " * 500) == "word " * 500


@pytest.mark.parametrize("run", ["Aa0" * 333, "\\/" * 499, "\\" * 999])
def test_a_text_is_looked_through_once_however_long_its_words_are(run: str) -> None:
    text = f"{run} " * 60
    began = time.process_time()

    assert without_data(text) == text
    assert time.process_time() - began < 0.5


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.text(), _JSON, min_size=1), st.data(), st.booleans())
def test_a_line_that_is_cut_anywhere_has_what_was_read_of_it(
    members: dict[str, Any], data: st.DataObject, ascii: bool
) -> None:
    text = json.dumps(members, ensure_ascii=ascii).encode("utf-8", "surrogatepass")
    at = data.draw(st.integers(1, len(text)))

    found = value_of(text[:at])

    assert isinstance(found, dict)
    whole = [*members][: max(0, len(found) - 1)]
    assert [*found][: len(whole)] == whole
    for name in whole:
        assert pretty(found[name]) == pretty(
            value_of(json.dumps(members[name]).encode())
        )


@pytest.mark.parametrize(
    "text", [b"[" * 100_000, b'{"a":' * 100_000, b"not json", b"\xff\xfe", b"", b"]}"]
)
def test_what_can_not_be_read_is_no_error(text: bytes) -> None:
    value_of(text)

    assert listed(text, len(text) + 1).start == ""
    assert question(text)
    assert shown(text).outcome == "unclear"


def test_of_a_line_with_thousands_of_pieces_some_are_shown() -> None:
    parts = [{"f": {"x": [[[n]]]}} for n in range(2000)]
    content = {"role": "model", "parts": parts}
    columns = {f"c{n}": n for n in range(2000)}
    result = line(
        outcome="ok", columns=columns, response={"candidates": [{"content": content}]}
    )

    asks, found = question(line(contents=[content])), shown(result)

    more = "Only the first 500 are shown."
    for pieces in (asks[:501], found.answer):
        assert (len(pieces), pieces[-1].text) == (501, more)
    assert (len(found.columns), found.columns[-1]) == (501, ("more", more))


def test_a_table_has_the_beginning_of_the_answer_or_of_the_error() -> None:
    ok = listed(line(key="007", outcome="ok", text="It is\n 42.\u202e"), 9)
    assert (ok.line, ok.id, ok.key, ok.outcome) == (17, "r0000017", "007", "ok")
    assert (ok.start, ok.is_error, ok.is_cut) == ("It is 42.\u202e", False, False)

    error = {"code": 400, "status": "INVALID_ARGUMENT", "message": "Use a valid role."}
    failed = listed(line(key=7, outcome="failed", error=error), 9)
    assert (failed.key, failed.start, failed.is_error) == (
        "7",
        "Use a valid role.",
        True,
    )

    long = listed(line(outcome="ok", text="x" * 70_000)[:65_536], 70_100)
    assert long.is_cut
    assert long.start == "x" * 179 + "…"
    assert listed(line(outcome="ok", json={"a": 1}), 9).start == ('{ "a": 1 }')


def test_a_row_has_its_columns_usage_and_error() -> None:
    one = shown(
        line(
            place="gs://inbox/a.jsonl line 3",
            columns={"<b>": [1, {"x": None}], "region": "eu"},
            outcome="failed",
            error={"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "later\n"},
            finish_reason="STOP",
            usage={
                "prompt": 812,
                "cached": 0,
                "output": 40,
                "thoughts": 0,
                "total": 852,
            },
            round=2,
        )
    )

    assert one.columns == [("<b>", '[1, {"x": null}]'), ("region", "eu")]
    assert one.error == Error("429 RESOURCE_EXHAUSTED", "later\n")
    assert one.facts == [
        ("Tokens", "812 prompt, 40 output, 852 total"),
        ("Finish reason", "STOP"),
        ("Round", "2"),
    ]
    assert one.answer == []


@pytest.mark.parametrize(
    ("sent", "asked"),
    [
        (
            {
                "systemInstruction": {"parts": [{"text": "Be brief."}]},
                "contents": [
                    {
                        "role": "user",
                        "parts": [
                            {"inlineData": {"mimeType": "image/png", "data": PICTURE}},
                            {"fileData": {"fileUri": "gs://b/a.pdf"}},
                            {"text": "What?"},
                        ],
                    },
                ],
                "generationConfig": {"topP": 0.50},
            },
            [
                Piece("instructions", "Be brief."),
                Piece("user, image/png", "1.8 kB, not shown", "data"),
                code(
                    "user, file data",
                    '{\n  "fileData": {\n    "fileUri": "gs://b/a.pdf"\n  }\n}',
                ),
                Piece("user", "What?"),
                code("options", '{\n  "generationConfig": {\n    "topP": 0.5\n  }\n}'),
            ],
        ),
        (
            {
                "system": "Be brief.",
                "messages": [
                    {"role": "user", "content": "Hi"},
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "See"},
                            {
                                "type": "image",
                                "source": {
                                    "type": "base64",
                                    "media_type": "image/jpeg",
                                    "data": PICTURE,
                                },
                            },
                        ],
                    },
                ],
            },
            [
                Piece("instructions", "Be brief."),
                Piece("user", "Hi"),
                Piece("user", "See"),
                Piece("user, image/jpeg", "1.8 kB, not shown", "data"),
            ],
        ),
        ({"contents": "Hi"}, [Piece("", "Hi")]),
        ({"content": {"parts": [{"text": "Hi"}]}}, [Piece("", "Hi")]),
    ],
)
def test_a_question_is_shown_as_who_says_what(
    sent: dict[str, Any], asked: list[Piece]
) -> None:
    body = json.dumps({"custom_id": "r0000017", "method": "POST", "body": sent})

    assert question(json.dumps({"key": "r0000017", "request": sent}).encode()) == asked
    assert question(body.encode()) == asked
    if "content" in sent:  # a row to embed has no envelope
        assert question(json.dumps({"key": "r0000017", **sent}).encode()) == asked


@pytest.mark.parametrize(
    ("members", "answer"),
    [
        ({"text": "42"}, [Piece("", "42")]),
        ({"json": {"a": 1.50}}, [code("JSON", '{\n  "a": 1.5\n}')]),
        (
            {
                "text": "ab",
                "response": {"candidates": [{"content": {"parts": [{"text": "ab"}]}}]},
            },
            [Piece("", "ab")],
        ),
        (
            {
                "text": "Here.",
                "response": {
                    "candidates": [
                        {
                            "content": {
                                "role": "model",
                                "parts": [
                                    {"text": "hm", "thought": True},
                                    {"text": "Here.", "thoughtSignature": "x"},
                                    {"functionCall": {"name": "f", "args": {}}},
                                    {
                                        "inlineData": {
                                            "mimeType": "image/png",
                                            "data": "QUJD",
                                        }
                                    },
                                ],
                            }
                        }
                    ]
                },
            },
            [
                Piece("thoughts", "hm"),
                Piece("", "Here."),
                code(
                    "function call",
                    '{\n  "functionCall": {\n    "name": "f",\n    "args": {}\n  }\n}',
                ),
                Piece("image/png", "3 B, not shown", "data"),
            ],
        ),
        (
            {
                "response": {
                    "candidates": [
                        {"content": {"parts": [{"text": text}], "role": "model"}}
                        for text in "ab"
                    ]
                }
            },
            [Piece("candidate 1", "a"), Piece("candidate 2", "b")],
        ),
        (
            {
                "response": {
                    "choices": [
                        {
                            "message": {
                                "role": "assistant",
                                "content": None,
                                "tool_calls": [{"id": "1"}],
                            }
                        }
                    ]
                }
            },
            [
                code(
                    "tool calls",
                    '{\n  "tool_calls": [\n    {\n      "id": "1"\n    }\n  ]\n}',
                )
            ],
        ),
        (
            {"response": {"promptFeedback": {"blockReason": "SPII"}, "x": 1}},
            [Piece("prompt blocked", "SPII")],
        ),
        (
            {"response": {"predictions": [{"values": [0.125, 1e-7]}]}},
            [
                code(
                    "response",
                    '{\n  "predictions": [\n    {\n'
                    '      "values": [0.125, 1e-07]\n    }\n  ]\n}',
                )
            ],
        ),
    ],
)
def test_an_answer_is_shown_as_its_parts(
    members: dict[str, Any], answer: list[Piece]
) -> None:
    assert shown(line(outcome="ok", **members)).answer == answer


def test_a_refused_line_is_the_text_of_the_report() -> None:
    told = json.dumps({"line": 3, "text": '{"a":\x00', "errors": []}).encode()

    assert refused(told) == [code("line", '{"a":\x00')]
    assert refused(b'{"lines":[10001,20000]}') == []
