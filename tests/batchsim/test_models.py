"""Embeddings and JSON answers, made up but well-behaved."""

import math

import pytest

from batchsim.models import RowFailed, embedding, fitting


def cosine(one: str, other: str) -> float:
    a, b = embedding(one, 256), embedding(other, 256)
    return sum(x * y for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("dimension", [1, 2, 3, 768, 3072])
@pytest.mark.parametrize("text", ["a text", "", "x", "ab cd", "日本語"])
def test_an_embedding_is_a_unit_vector_of_the_asked_dimension(
    text: str, dimension: int
) -> None:
    vector = embedding(text, dimension)

    assert len(vector) == dimension
    assert math.isclose(math.hypot(*vector), 1, abs_tol=1e-6)


def test_an_embedding_is_the_same_every_time() -> None:
    assert embedding("a text", 16) == embedding("a text", 16)


def test_close_texts_have_close_embeddings_and_others_do_not() -> None:
    text = "The quick brown fox jumps over the lazy dog"

    assert cosine(text, text) > 0.999
    assert cosine(text, "The quick brown fox jumped over a lazy dog") > 0.7
    assert abs(cosine(text, "Quarterly revenue exceeded all forecasts")) < 0.3


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "string"}, str),
        ({"type": "NUMBER"}, float),
        ({"type": "integer"}, int),
        ({"type": ["null", "boolean"]}, bool),
        ({"type": "null"}, type(None)),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, int),
        ({"properties": {"a": {"type": "string"}}}, dict),
        ({"type": "array", "items": {"type": "integer"}}, list),
    ],
)
def test_a_value_has_the_type_its_schema_names(
    schema: dict[str, object], kind: type
) -> None:
    assert isinstance(fitting(schema, "text"), kind)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "OBJECT", "properties": ["a"]},
        {"type": "ARRAY", "items": None, "minItems": "many"},
        {"anyOf": [None]},
        {"enum": 5},
    ],
)
def test_an_invalid_schema_fails_the_row(schema: dict[str, object]) -> None:
    with pytest.raises(RowFailed, match="response schema is invalid") as caught:
        fitting(schema, "text")

    assert caught.value.code == 400


def test_a_value_keeps_to_bounds_of_length_and_size() -> None:
    assert fitting({"type": "STRING", "minLength": 9}, "ab") == "ab......."
    assert fitting({"type": "STRING", "maxLength": 3}, "abcdef") == "abc"
    assert (
        2.5 <= fitting({"type": "NUMBER", "minimum": 2.5, "maximum": 2.9}, "x") <= 2.9
    )
    assert len(fitting({"type": "ARRAY", "minItems": 4}, "x")) == 4
    assert fitting({"const": 7}, "x") == 7
    assert fitting({"type": "STRING", "format": "date-time"}, "x").endswith("Z")
