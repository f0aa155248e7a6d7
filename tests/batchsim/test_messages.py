"""JSON is read as protobuf's parser does; errors are worded as the API's."""

from typing import Any

import pytest

from batchsim.messages import DEEPEST, Reader
from batchsim.wire import ApiError

MESSAGES = {
    "Request": {
        "contents": "@Content | list @Content",
        "systemInstruction": "@Content",
        "maxTokens": "integer",
        "temperature": "number",
        "store": "boolean",
        "labels": "map string",
        "stopSequences": "string | list string",
        "answer": "one of NO_ANSWER SHORT",
        "wait": "string | map any",
        "properties": "map @Request",
        "own": "map any",
        "raw": "as it is @Content",
        "more": "any",
    },
    "Content": {"role": "string", "parts": "@Part | list @Part"},
    "Part": {"text": "string"},
}


def read(value: Any, path: str = "") -> tuple[Any, list[str]]:
    """The value that is read, and the texts of its faults."""
    reader = Reader(MESSAGES, "google.example.v1")
    return reader.read("Request", value, path), [one.text for one in reader.faults]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (
            {"max_tokens": 5, "stop_sequences": []},
            {"maxTokens": 5, "stopSequences": []},
        ),
        ({"maxTokens": "5", "temperature": "1e-1"}, None),
        ({"temperature": 1, "maxTokens": 5.0, "store": "true"}, None),
        ({"stopSequences": "one"}, {"stopSequences": ["one"]}),
        (
            {"contents": {"parts": {"text": "t"}}},
            {"contents": [{"parts": [{"text": "t"}]}]},
        ),
        ({"maxTokens": None, "contents": None}, {}),
        ({"answer": "short"}, None),
        ({"answer": 1}, None),
        ({"wait": "1.5s"}, None),
        ({"wait": {"seconds": 1}}, None),
        ({"labels": {"snake_key": "v"}}, None),
        ({"own": {"snake_key": {"a": None}}, "more": [None]}, None),
        ({"raw": {"parts": {"text": "t"}}}, None),
    ],
)
def test_a_value_that_protobuf_accepts_is_read(value: Any, wanted: Any) -> None:
    assert read(value) == (value if wanted is None else wanted, [])


PAYLOAD = "Invalid JSON payload received. "
NONE = "Cannot find field."


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ({"foo": 1}, [f'{PAYLOAD}Unknown name "foo": {NONE}']),
        (
            {"system_instruction": {"foo_bar": 1}},
            [f"{PAYLOAD}Unknown name \"foo_bar\" at 'system_instruction': {NONE}"],
        ),
        (
            {"contents": [{}, {"parts": [{"txt": "t"}], "fooBar": 1}]},
            [
                f"{PAYLOAD}Unknown name \"txt\" at 'contents[1].parts[0]': {NONE}",
                f"{PAYLOAD}Unknown name \"fooBar\" at 'contents[1]': {NONE}",
            ],
        ),
        (
            {"contents": {"parts": {"role": "user"}}},
            [f"{PAYLOAD}Unknown name \"role\" at 'contents.parts': {NONE}"],
        ),
        (
            {"properties": {"a": {}, "b": {"const": 1}}},
            [f"{PAYLOAD}Unknown name \"const\" at 'properties[1].value': {NONE}"],
        ),
        ({"raw": {"foo": 1}}, [f"{PAYLOAD}Unknown name \"foo\" at 'raw': {NONE}"]),
        (
            {"systemInstruction": []},
            [
                f'{PAYLOAD}Unknown name "systemInstruction": Proto field is not '
                "repeating, cannot start list."
            ],
        ),
        ({"max_tokens": 0.5}, ["Invalid value at 'max_tokens' (TYPE_INT32), 0.5"]),
        ({"maxTokens": "x"}, ["Invalid value at 'max_tokens' (TYPE_INT32), \"x\""]),
        ({"maxTokens": True}, ["Invalid value at 'max_tokens' (TYPE_INT32), true"]),
        ({"store": 1}, ["Invalid value at 'store' (TYPE_BOOL), 1"]),
        ({"answer": "LONG"}, ["Invalid value at 'answer' (TYPE_ENUM), \"LONG\""]),
        ({"answer": "of"}, ["Invalid value at 'answer' (TYPE_ENUM), \"of\""]),
        ({"labels": {"a": 1}}, ["Invalid value at 'labels[0].value' (TYPE_STRING), 1"]),
        ({"labels": "a"}, ["Invalid value at 'labels' (Map), \"a\""]),
        (
            {"stopSequences": ["a", None]},
            ["Invalid value at 'stop_sequences[1]' (TYPE_STRING), null"],
        ),
        (
            {"contents": ["hi"]},
            [
                "Invalid value at 'contents[0]' "
                '(type.googleapis.com/google.example.v1.Content), "hi"'
            ],
        ),
        (
            {"contents": [{"role": {"a": 1}}]},
            [
                "Invalid value at 'contents[0].role' (TYPE_STRING), Starting an "
                "object on a scalar field"
            ],
        ),
    ],
)
def test_a_value_that_protobuf_refuses_is_reported_as_it_does(
    value: Any, wanted: list[str]
) -> None:
    assert read(value)[1] == wanted


def test_nan_is_a_number_but_not_an_integer() -> None:
    assert read({"temperature": "NaN"})[1] == []
    assert read({"maxTokens": "NaN"})[1] != []


def test_messages_that_nest_too_deep_are_refused() -> None:
    value: dict[str, Any] = {}
    for _ in range(DEEPEST + 1):
        value = {"properties": {"a": value}}

    assert "Message too deep" in read(value)[1][0]


def test_a_refusal_names_each_place_in_its_details() -> None:
    reader = Reader(MESSAGES, "google.example.v1")
    reader.read("Request", {"foo": 1, "contents": {"bar": 1}}, "batch")

    with pytest.raises(ApiError) as refused:
        reader.refuse()

    error = refused.value.envelope["error"]
    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    (detail,) = error["details"]
    assert detail["@type"] == "type.googleapis.com/google.rpc.BadRequest"
    violations = detail["fieldViolations"]
    assert [one["field"] for one in violations] == ["batch", "batch.contents"]
    assert error["message"] == "\n".join(one["description"] for one in violations)
