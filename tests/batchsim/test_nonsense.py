"""batchsim refuses any nonsense as the API does, and never breaks."""

import contextlib
import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchsim import BatchSim, RowFailed, filters, formats
from batchsim.formats import Answering
from batchsim.models import echo
from batchsim.wire import ApiError
from tests.batchsim.drive import JOBS, http

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.floats(0, 1), st.text(max_size=5)
)
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=5), inner, max_size=3),
    ),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """A place in a JSON value."""
    if path:
        yield path
    members: Any = ()
    if isinstance(value, dict):
        members = value.items()
    elif isinstance(value, list):
        members = enumerate(value)
    for key, member in members:
        yield from places(member, (*path, key))


@st.composite
def broken(draw: st.DrawFn, *examples: Any) -> Any:
    """One of the examples, with one to three of its places replaced."""
    value = copy.deepcopy(draw(st.sampled_from(examples)))
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(value))
        if not found:
            return draw(anything)
        *path, last = draw(st.sampled_from(found))
        target = value
        for key in path:
            target = target[key]
        target[last] = draw(anything)
    return value


VERTEX = {
    "displayName": "d",
    "model": "publishers/google/models/gemini-3.8-flash",
    "labels": {"a": "b"},
    "inputConfig": {
        "instancesFormat": "jsonl",
        "gcsSource": {"uris": ["gs://b/o"]},
    },
    "outputConfig": {
        "predictionsFormat": "jsonl",
        "gcsDestination": {"outputUriPrefix": "gs://b/o"},
    },
}
TABLE = {
    **VERTEX,
    "inputConfig": {
        "instancesFormat": "bigquery",
        "bigquerySource": {"inputUri": "bq://p.d.t"},
    },
    "outputConfig": {
        "predictionsFormat": "bigquery",
        "bigqueryDestination": {"outputUri": "bq://p"},
    },
}
BATCH = {
    "batch": {
        "displayName": "d",
        "priority": 1,
        "webhookConfig": {"uris": ["u"], "userMetadata": {"a": "b"}},
        "inputConfig": {
            "requests": {"requests": [{"request": {}, "metadata": {"key": "k"}}]},
        },
    }
}
FILE = {"batch": {"inputConfig": {"fileName": "files/a"}}}
RULES = (
    {"fault": "failed", "count": 1, "match": {"label": "a"}, "code": 1, "message": "x"},
    {"fault": "reset", "op": "get", "probability": 0.5, "match": {"label": {"a": "b"}}},
    {"fault": "stuck_pending", "for_ever": True, "match": {"model": "x"}},
    {"fault": "rate_limited", "retry_after": 3, "match": {"display_name": "x"}},
    {"fault": "row_failed", "match": {"row_text": "x"}},
)
CHAT = {
    "messages": [{"role": "user", "content": [{"text": "t"}]}],
    "system": "s",
    "max_tokens": 3,
    "response_format": {"json_schema": {"schema": {"type": "string"}}},
}
EMBED = {
    "content": {"parts": [{"text": "t"}]},
    "embedContentConfig": {"outputDimensionality": 3},
}
GENERATE = {
    "contents": [{"role": "user", "parts": [{"text": "t", "fileData": {"a": "b"}}]}],
    "systemInstruction": {"parts": [{"text": "t"}]},
    "generationConfig": {
        "maxOutputTokens": 1,
        "responseSchema": {
            "type": "OBJECT",
            "properties": {
                "a": {"type": "ARRAY", "minItems": 2, "items": {"enum": ["x"]}},
                "b": {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 2}]},
                "c": {"type": ["string", "null"], "minLength": 1, "maxLength": 3},
                "d": {"type": "NUMBER", "format": "float"},
            },
        },
    },
}


@pytest.fixture(scope="module")
def sim() -> Iterator[BatchSim]:
    with BatchSim(speed=0) as sim:
        yield sim


fuzz = settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@fuzz
@given(body=broken(VERTEX, TABLE))
def test_any_body_of_a_vertex_create_is_taken_or_refused(
    sim: BatchSim, body: Any
) -> None:
    answer = http.post(sim.url + JOBS, content=json.dumps(body))

    assert answer.status_code in (200, 400, 404, 501), answer.text


@fuzz
@given(body=broken(BATCH, FILE), embeds=st.booleans())
def test_any_body_of_a_developer_create_is_taken_or_refused(
    sim: BatchSim, body: Any, embeds: bool
) -> None:
    method = "gemini-embedding-2:asyncBatchEmbedContent"
    if not embeds:
        method = "gemini-4-argon:batchGenerateContent"
    url = f"{sim.url}/v1beta/models/{method}?key=k"

    answer = http.post(url, content=json.dumps(body))

    assert answer.status_code in (200, 400, 404, 429), answer.text


@fuzz
@given(body=broken({"file": {"displayName": "d", "name": "files/a"}}))
def test_any_body_of_an_upload_is_taken_or_refused(sim: BatchSim, body: Any) -> None:
    headers = {"x-goog-upload-protocol": "resumable", "x-goog-upload-command": "start"}

    url = f"{sim.url}/upload/v1/files?key=k"
    answer = http.post(url, content=json.dumps(body), headers=headers)

    assert answer.status_code in (200, 400, 409), answer.text


@fuzz
@given(rule=broken(*RULES))
def test_any_rule_is_taken_or_refused(sim: BatchSim, rule: Any) -> None:
    answer = http.post(f"{sim.url}/_sim/faults", content=json.dumps(rule))
    http.delete(f"{sim.url}/_sim/faults")

    assert answer.status_code in (200, 400), answer.text


@pytest.mark.parametrize(
    "format",
    [
        formats.GEMINI,
        formats.CLAUDE,
        formats.OPEN_MODEL,
        formats.TEXT_EMBEDDING,
        formats.GEMINI_EMBEDDING,
        formats.DEVELOPER,
        formats.DEVELOPER_EMBEDDING,
        formats.DEVELOPER_OPENAI,
    ],
    ids=lambda format: format.answer.__name__.strip("_"),
)
@given(request=broken(GENERATE, CHAT, EMBED, {"input": ["t"], "dimensions": 3}))
def test_any_row_is_answered_or_fails_alone(
    format: formats.Format, request: Any
) -> None:
    line = {"key": "k", format.payload: request}
    answering = Answering(
        "publishers/x/models/m", echo, datetime(2026, 1, 1, tzinfo=UTC)
    )

    try:
        answer = format.answer(line, answering)
    except RowFailed as failed:
        answer = format.failure(line, failed, answering)

    assert json.dumps(answer)


WORDS = (
    """AND OR NOT ( ) = : * - "a" a state labels.a create_time display_name < " \\ '"""
)


@given(st.lists(st.sampled_from(WORDS.split()), max_size=8))
def test_any_filter_is_understood_or_refused(words: list[str]) -> None:
    with contextlib.suppress(ApiError):
        assert callable(filters.parse(" ".join(words)))
