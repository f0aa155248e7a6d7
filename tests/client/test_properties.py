"""Properties of any value and any answer."""

import contextlib
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchdrop.batches import (
    BatchJob,
    BatchJobDestination,
    BatchJobSource,
    CreateBatchJobConfig,
    UnclearAnswer,
    VertexMultimodalDatasetDestination,
    is_terminal,
)
from batchdrop.batches import developer as d
from batchdrop.batches import vertex as v
from batchdrop.batches.answer_lines import row_of, rows_of
from batchdrop.batches.files import read_file, read_made
from batchdrop.batches.lines import Splitter
from batchdrop.batches.staging import merged
from tests.there import there

#: What is drawn is large, and often thrown away.
unwatched = settings(suppress_health_check=list(HealthCheck))

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
word = st.text("abcxyz0189-_/. é", min_size=1, max_size=12)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | text
json_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4)
    ),
    max_leaves=15,
)

VERTEX = v.Vertex(project="p", location="l")
DEVELOPER = d.Developer()

#: The members that a parser reads, with any values.
_NAMES = (
    *("name", "displayName", "model", "state", "createTime", "endTime", "labels"),
    *("error", "code", "message", "details", "partialFailures", "priority"),
    *("completionStats", "successfulCount", "batchStats", "requestCount"),
    *("inputConfig", "instancesFormat", "gcsSource", "uris", "bigquerySource"),
    *("outputConfig", "gcsDestination", "outputUriPrefix", "bigqueryDestination"),
    *("outputInfo", "gcsOutputDirectory", "vertexMultimodalDatasetDestination"),
    *("batchPredictionJobs", "nextPageToken", "operations", "metadata", "done"),
    *("response", "output", "responsesFile", "inlinedResponses", "embedding"),
    *("fileName", "file", "sizeBytes"),
    *("key", "custom_id", "status", "predictions", "candidates", "instance"),
    *("content", "parts", "text", "thought", "choices", "body", "status_code"),
    *("promptFeedback", "blockReason", "stop_reason", "stop_details", "refusal"),
    *("finishReason", "finish_reason", "functionCall", "inlineData", "message"),
    *("embeddings", "values", "statistics", "truncated", "data", "prediction"),
    *("usage", "usageMetadata", "promptTokenCount", "prompt_tokens", "token_count"),
    *("request", "generationConfig", "responseSchema", "response_format", "type"),
)
likely_objects = st.recursive(
    scalars | st.sampled_from(["JOB_STATE_RUNNING", "BATCH_STATE_X", "7", "-1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=6)
    ),
    max_leaves=25,
).flatmap(
    lambda inner: st.dictionaries(st.sampled_from(_NAMES), st.just(inner), max_size=6)
)

PARSERS: list[Callable[[bytes], object]] = [
    v.read_job,
    v.read_page,
    v.read_operation,
    v.read_nothing,
    d.read_job,
    d.read_page,
    d.read_delete,
    read_file,
    read_made,
]


@unwatched
@given(answer=likely_objects | st.dictionaries(text, json_values, max_size=5))
def test_any_object_with_a_name_as_an_answer_is_read(answer: dict[str, Any]) -> None:
    answer.pop("error", None)
    answer |= {"name": "batches/1", "file": {**answer, "name": "files/1"}}

    for parse in PARSERS:
        try:
            result = parse(msgspec.json.encode(answer))
        except UnclearAnswer:
            # Only of a list: what is no list, or has no readable token, ends none.
            assert parse in (v.read_page, d.read_page)
            continue

        if isinstance(result, BatchJob):
            assert result.raw == msgspec.json.decode(msgspec.json.encode(answer))
            assert result.done == is_terminal(result.state)
            assert hash(result) == hash(result.name)


@unwatched
@given(body=st.binary(max_size=60) | json_values.map(msgspec.json.encode))
def test_any_bytes_as_an_answer_are_read_or_unclear(body: bytes) -> None:
    for parse in PARSERS:
        with contextlib.suppress(UnclearAnswer):
            parse(body)


@unwatched
@given(row=likely_objects)
def test_any_object_as_a_row_is_read(row: dict[str, Any]) -> None:
    read = row_of(row)

    assert read.raw == row
    texts = (read.text, read.thoughts, read.finish_reason, read.blocked)
    assert all(text is None or isinstance(text, str) for text in texts)
    assert read.response is None or read.error is None
    assert (read.outcome == "failed") is (read.error is not None)
    assert min(msgspec.structs.astuple(read.usage)) >= 0
    assert read.embedding is None or isinstance(read.embedding, list)
    assert msgspec.json.encode(read.json)


@unwatched
@given(content=st.binary(max_size=80))
def test_any_bytes_are_read_as_rows_without_losing_a_line(content: bytes) -> None:
    lines = content.split(b"\n")

    assert len(list(rows_of(lines, "x"))) == sum(bool(line.strip()) for line in lines)


@unwatched
@given(content=st.binary(max_size=80), cuts=st.lists(st.integers(0, 80), max_size=5))
def test_lines_do_not_depend_on_how_the_bytes_arrive(
    content: bytes, cuts: list[int]
) -> None:
    splitter, at, lines = Splitter(), 0, []
    for cut in [*sorted(cuts), len(content)]:
        lines += splitter.feed(content[at:cut])
        at = max(at, cut)
    lines += splitter.end()

    assert b"\n".join(lines) == content.removesuffix(b"\n")


# Values through a dialect and back.

gs = word.map("gs://b/{}".format)
bq = word.map("bq://p.d.{}".format)
vertex_sources = st.one_of(
    st.lists(gs, min_size=1, max_size=3).map(
        lambda uris: BatchJobSource(format="jsonl", gcs_uri=tuple(uris))
    ),
    bq.map(lambda uri: BatchJobSource(format="bigquery", bigquery_uri=uri)),
    word.map(
        lambda name: BatchJobSource(format="vertex-dataset", vertex_dataset_name=name)
    ),
)
destinations = st.one_of(
    gs.map(lambda uri: BatchJobDestination(format="jsonl", gcs_uri=uri)),
    bq.map(lambda uri: BatchJobDestination(format="bigquery", bigquery_uri=uri)),
    st.builds(
        lambda uri, name: BatchJobDestination(
            format="vertex-dataset",
            vertex_dataset=VertexMultimodalDatasetDestination(
                bigquery_destination=uri, display_name=name
            ),
        ),
        st.none() | bq,
        st.none() | word,
    ),
)


@unwatched
@given(
    src=vertex_sources,
    dest=destinations,
    name=word,
    labels=st.dictionaries(word, word, min_size=1, max_size=3),
)
def test_values_sent_to_vertex_are_read_back_equal(
    src: BatchJobSource, dest: BatchJobDestination, name: str, labels: dict[str, str]
) -> None:
    config = CreateBatchJobConfig(display_name=name, dest=dest, labels=labels)

    body = there(VERTEX.create("m", src, config, "stamp").body)
    job = v.read_job(msgspec.json.encode({**body, "name": "n"}))

    assert (job.src, job.dest) == (src, dest)
    assert (job.display_name, job.labels) == (name, labels)
    assert job.model == "publishers/google/models/m"
    assert job.config.destination == dest.uri


@unwatched
@given(file=word, name=word, priority=st.integers(-(2**63), 2**63 - 1))
def test_values_sent_to_the_developer_api_are_read_back_equal(
    file: str, name: str, priority: int
) -> None:
    src = BatchJobSource(file_name=f"files/{file}")
    config = CreateBatchJobConfig(display_name=name, priority=priority)

    batch = there(DEVELOPER.create("m", src, config, "stamp").body)["batch"]
    job = d.read_job(msgspec.json.encode({"name": "batches/1", "metadata": batch}))

    assert (job.src, job.display_name, job.priority) == (src, name, priority)


@unwatched
@given(
    contents=st.lists(
        st.fixed_dictionaries(
            {
                "role": st.sampled_from(["user", "model"]),
                "parts": st.lists(
                    st.fixed_dictionaries({"text": text}), min_size=1, max_size=3
                ),
            }
        ),
        min_size=1,
        max_size=3,
    ),
    metadata=st.none() | st.dictionaries(text, text, max_size=3),
)
def test_a_ready_request_is_sent_unchanged(
    contents: list[dict[str, Any]], metadata: dict[str, str] | None
) -> None:
    sent = d.inlined_request({"contents": contents, "metadata": metadata})

    assert sent["request"] == {"contents": contents}
    assert sent.get("metadata") == metadata


@unwatched
@given(
    own=st.dictionaries(
        st.sampled_from(["temperature", "topP", "seed"]), st.integers()
    ),
    job=st.dictionaries(
        st.sampled_from(["temperature", "top_p", "seed"]), st.integers()
    ),
)
def test_a_merge_has_every_value_once_and_prefers_the_requests_own(
    own: dict[str, int], job: dict[str, int]
) -> None:
    made = merged({"generationConfig": own}, job, vertex=False)["generationConfig"]

    expected = {{"top_p": "topP"}.get(name, name): value for name, value in job.items()}
    assert made == {**expected, **own}
