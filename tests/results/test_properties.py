"""Whatever comes back: lines in order, each once, and counts that add up."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.batches.usage import RowUsage
from batchdrop.pricing.tokens import split
from batchdrop.results import Answers, TooLarge
from batchdrop.results.judging import any_answer, usual
from batchdrop.results.lines import Kind
from tests.results.made import (
    File,
    answer,
    collect,
    failed,
    jsonl,
    memory_of,
    opened,
    part,
    request,
    response,
    shard,
)

kinds = st.lists(st.sampled_from(Kind), min_size=1, max_size=12)
texts = st.sampled_from(["", " ", "a", "b", '{"a": 1}', "[1", "Ünde"])


@st.composite
def answers(draw: st.DrawFn, lines: list[int]) -> bytes:
    """An answer to one of these lines or to another one, or none at all."""
    line = draw(st.sampled_from(lines) | st.integers(0, 30))
    kind = draw(st.sampled_from(["ok", "failed", "cut", "nameless", "torn", "empty"]))
    match kind:
        case "failed":
            return failed(line)
        case "cut":
            return answer(line, response=response("a", finishReason="MAX_TOKENS"))
        case "nameless":
            return answer(None, draw(texts), request=request(f"question {line}"))
        case "torn":
            return answer(line)[: draw(st.integers(1, 80))]
        case "empty":
            return draw(st.sampled_from([b"", b"  ", answer(line, response={})]))
    return answer(line, draw(texts))


@given(data=st.data())
def test_lines_are_in_order_each_once_and_counts_add_up(data: st.DataObject) -> None:
    first = data.draw(st.sampled_from([1, 5]))
    file = File(
        kinds=data.draw(kinds),
        first=first,
        json=data.draw(st.sampled_from(["none", "all"])),
        requests=dict.fromkeys((6, 7, 8), request("question 6")),
    )
    lines = data.draw(st.lists(answers(file.lines or [1]), max_size=30))
    cut = data.draw(st.integers(0, len(lines)))
    shards = [shard(*lines[:cut]), part(*lines[cut:])]
    if data.draw(st.booleans()):
        shards.reverse()
    if data.draw(st.booleans()):
        shards = [part(*lines[:cut], n=0), part(*lines[cut:], n=1)]

    found = collect(file, *shards)
    try:
        with memory_of(data.draw(st.integers(1000, 9000))):
            streamed = collect(file, *shards)
    except TooLarge:
        pass
    else:
        assert streamed.data == found.data
        assert streamed.summary == found.summary

    assert [each["line"] for each in found.results] == file.lines
    summary = found.summary
    counts = Counter(found.outcomes.values())
    assert summary.rows.total == sum(counts.values()) == len(file.lines)
    for outcome, count in counts.items():
        assert getattr(summary.rows, outcome) == count
    read = sum(1 for line in lines if line.strip())
    answered = len(file.staged) - counts["missing"]
    assert read == answered + len(found.strangers) + summary.superseded
    assert summary.strangers == len(found.strangers)
    for result in found.results:
        refused = file.kinds[result["line"] - first] is Kind.REFUSED
        assert (result["outcome"] == "refused") == refused


parts = st.fixed_dictionaries(
    {"text": texts},
    optional={
        "thought": st.booleans(),
        "thoughtSignature": st.just("abc"),
        "functionCall": st.just({"name": "f"}),
    },
)
candidates: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "content": st.fixed_dictionaries(
            {},
            optional={"role": st.just("model"), "parts": st.lists(parts, max_size=2)},
        ),
        "finishReason": st.sampled_from(["STOP", "STOP", "MAX_TOKENS", "SAFETY", None]),
        "index": st.integers(0, 1),
        "avgLogprobs": st.floats(-2, 0) | st.just("NaN"),
        "safetyRatings": st.just([{"category": "A"}]),
        "groundingMetadata": st.just({"webSearchQueries": ["a"]}),
        "citationMetadata": st.just({"citations": [{}]}),
    },
)
counts = st.integers(-1, 9) | st.sampled_from([4.0, "4", None, True])
details = st.none() | st.lists(
    st.fixed_dictionaries(
        {
            "modality": st.sampled_from(["TEXT", "IMAGE", "AUDIO", "OTHER"]),
            "tokenCount": st.integers(0, 9),
        }
    ),
    max_size=2,
)
times = st.sampled_from(
    ["2026-11-28T23:59:59.9Z", "2026-12-01T00:30:00+02:00", "2026-13-01T00:00:00Z", ""]
)
usages = st.fixed_dictionaries(
    {"promptTokenCount": st.just(5), "totalTokenCount": st.just(5) | counts},
    optional={
        "candidatesTokenCount": counts,
        "thoughtsTokenCount": counts,
        "cachedContentTokenCount": counts,
        "toolUsePromptTokenCount": counts,
        "promptTokensDetails": details,
        "cacheTokensDetails": details,
        "candidatesTokensDetails": details,
    },
)
responses = st.fixed_dictionaries(
    {},
    optional={
        "candidates": st.lists(candidates, min_size=1, max_size=2),
        "usageMetadata": usages,
        "modelVersion": st.just("gemini"),
        "createTime": times,
        "promptFeedback": st.just({"blockReason": "OTHER"}),
        "error": st.just({"code": 3}),
    },
)
rows: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"response": responses},
    optional={
        "status": st.sampled_from(["", "Bad Request", {"code": 3}]),
        "error": st.just({"code": 3, "message": "a"}) | st.none(),
        "request": st.just({"error": {"code": 3}}),
        "predictions": st.just([1]) | st.none(),
        "processed_time": times | st.just(7),
    },
)


@given(row=rows, asked=st.booleans(), full=st.booleans())
def test_the_fast_path_says_the_same(
    row: dict[str, Any], asked: bool, full: bool
) -> None:
    line = json.dumps(row, ensure_ascii=False).encode()

    fast, slow = usual(line, asked, full), any_answer(line, asked, full)

    assert fast is None or same(fast) == same(slow)


def almost(**members: Any) -> bytes:
    """A usual answer, but for these members of its response."""
    return answer(1, response={**response(), **members})


def candidate(**members: Any) -> bytes:
    return answer(1, response=response(**members))


def counted(prompt: int, output: int, total: int, **more: Any) -> bytes:
    counts = {"promptTokenCount": prompt, "candidatesTokenCount": output}
    return almost(usageMetadata=counts | {"totalTokenCount": total} | more)


@pytest.mark.parametrize(
    "line",
    [
        almost(error={"code": 3}),
        almost(promptFeedback={"blockReason": "OTHER"}),
        almost(status_code=500, body={}),
        almost(candidates=[]),
        almost(candidates=response()["candidates"] * 2),
        almost(usageMetadata=None),
        candidate(index=1),
        candidate(finishReason="MAX_TOKENS"),
        candidate(finishReason=None),
        candidate(groundingMetadata={"webSearchQueries": ["a"]}),
        candidate(finishMessage="cut"),
        candidate(content={"parts": [{"text": "a", "thought": True}]}),
        candidate(content={"parts": [{"text": "a", "functionCall": {"name": "f"}}]}),
        candidate(content={"parts": [{"text": "a"}, {"text": "b"}]}),
        candidate(content={"parts": [{"text": 1}]}),
        candidate(content={"parts": [{"text": "\n \u2003"}]}),
        counted(0, 0, 0),
        counted(13, -1, 12),
        counted(-1, 13, 12),
        counted(8, 4, 0),
        counted(2**62, 0, 2**62),
        counted(8, 4, 12, thoughtsTokenCount=3),
        counted(8, 4, 14, toolUsePromptTokenCount=2),
        answer(1, status="Bad Request"),
        answer(1, status={"code": 3}),
        answer(1, status=3),
        answer(1, error="no such model"),
        answer(1, predictions=[1]),
        answer(1, response=...),
    ],
    ids=range(29),
)
def test_the_fast_path_leaves_what_differs_from_the_usual(line: bytes) -> None:
    fast = usual(line, False, False)

    assert fast is None or same(fast) == same(any_answer(line, False, False))


def same(said: Any) -> Any:
    """What has to be equal: bodies may differ in what has no price."""
    priced = said.body
    if priced is not None:
        prompt, tokens = split(priced, RowUsage(*said.usage))
        tokens = {kind: n for kind, n in tokens.items() if n}
        priced = (priced.get("modelVersion"), prompt, tokens)
    return said._replace(members=json.loads(b"{%b}" % said.members), body=priced)


@pytest.mark.parametrize("asked", [False, True])
def test_usual_answers_take_the_fast_path(asked: bool) -> None:
    text = '{"a": 1}' if asked else "Ünde"

    assert usual(answer(1, text), asked, False) is not None
    assert usual(answer(1, text, key="a"), asked, True) is not None


@given(order=st.permutations(range(1, 9)), size=st.integers(1, 5000))
def test_neither_order_nor_size_of_the_pieces_changes_the_results(
    order: list[int], size: int
) -> None:
    file = File.of(8)
    data = jsonl(answer_of(n) for n in order)

    found = collect(file, Answers("predictions.jsonl", True, opened(data, size)))

    assert found.data == collect(file, shard(*map(answer_of, range(1, 9)))).data


def answer_of(n: int) -> bytes:
    return answer(n, f"text {n}")
