"""
The tokens of an answer, under the same names for all publishers.

              Gemini                     Claude                   OpenAI-style
    prompt    promptTokenCount +         input_tokens + both      prompt_tokens
              toolUsePromptTokenCount    kinds of cache tokens
    cached    cachedContentTokenCount    cache_read_input_tokens  cached_tokens
    output    candidatesTokenCount       output_tokens without    completion_tokens
                                         thinking_tokens          without reasoning
    thoughts  thoughtsTokenCount         thinking_tokens          reasoning_tokens
    total     totalTokenCount            the sum                  total_tokens

The prompt tokens of Gemini and OpenAI include the cached ones, Claude's do not.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

Json = Mapping[str, Any]


class RowUsage(Struct, frozen=True, gc=False):
    """Tokens of one row; 0 for what its answer doesn't count."""

    prompt: int = 0  #: includes cached tokens and those of tools' results
    cached: int = 0  #: of the prompt
    output: int = 0  #: without thoughts
    thoughts: int = 0
    total: int = 0


NOTHING = RowUsage()
#: The APIs count in 32 bits (discovery). A sum of larger counts would not fit into the
#: 64 bits of a document's number, so one bad answer would keep all results back.
MOST_TOKENS = 2**31 - 1


def usage_of(body: Json) -> RowUsage:
    """The tokens that an answer of any shape counts; never raises."""
    counts = body.get("usageMetadata")
    if isinstance(counts, dict):
        return _gemini(counts)
    counts = body.get("usage")
    if isinstance(counts, dict):
        return _claude(counts) if "input_tokens" in counts else _openai(counts)
    if "tokenCount" in body:  # embeddings, until 2026
        return _prompt_alone(_count(body, "tokenCount"))
    if "predictions" in body or "prediction" in body:
        return _predicted(body)
    return NOTHING


def _gemini(counts: Json) -> RowUsage:
    tools = _count(counts, "toolUsePromptTokenCount")
    prompt = _count(counts, "promptTokenCount") + tools
    output = _count(counts, "candidatesTokenCount")
    thoughts = _count(counts, "thoughtsTokenCount")
    total = _count(counts, "totalTokenCount")
    if thoughts and total and prompt + output == total:
        # Some models have counted the thoughts among the candidates' tokens too.
        output = max(0, output - thoughts)
    return RowUsage(
        prompt,
        _count(counts, "cachedContentTokenCount"),
        output,
        thoughts,
        total or prompt + output + thoughts,
    )


def _claude(counts: Json) -> RowUsage:
    cached = _count(counts, "cache_read_input_tokens")
    made = _count(counts, "cache_creation_input_tokens")
    prompt = _count(counts, "input_tokens") + cached + made
    output = _count(counts, "output_tokens")
    thoughts = _count(_details(counts, "output_tokens_details"), "thinking_tokens")
    return RowUsage(
        prompt, cached, max(0, output - thoughts), thoughts, prompt + output
    )


def _openai(counts: Json) -> RowUsage:
    """OpenAI's; the Developer API writes the same in camelCase."""
    prompt = _count(counts, "prompt_tokens") or _count(counts, "promptTokens")
    output = _count(counts, "completion_tokens") or _count(counts, "completionTokens")
    total = _count(counts, "total_tokens") or _count(counts, "totalTokens")
    details = _details(counts, "prompt_tokens_details", "promptTokensDetails")
    cached = _count(details, "cached_tokens") or _count(details, "cachedTokens")
    details = _details(counts, "completion_tokens_details", "completionTokensDetails")
    thoughts = _count(details, "reasoning_tokens") or _count(details, "reasoningTokens")
    if (apart := total - prompt - output) > 0:
        # The Developer API leaves thoughts out of the completion.
        return RowUsage(prompt, cached, output, apart, total)
    return RowUsage(
        prompt, cached, max(0, output - thoughts), thoughts, total or prompt + output
    )


def _predicted(body: Json) -> RowUsage:
    """The statistics of text-embedding-005 and older, or a custom model's own usage."""
    given = body.get("predictions") or body.get("prediction")
    prompt = 0
    for prediction in given if isinstance(given, list) else (given,):
        if not isinstance(prediction, dict):
            continue
        if "embeddings" not in prediction:
            return usage_of({**prediction, "predictions": None})
        statistics = _details(_details(prediction, "embeddings"), "statistics")
        prompt += _count(statistics, "token_count")
    return _prompt_alone(prompt)


def _prompt_alone(prompt: int) -> RowUsage:
    return RowUsage(prompt, 0, 0, 0, prompt)


def _count(holder: Json, name: str) -> int:
    """A count, which may be written as 4, 4.0 or "4"; 0 for what can't be one."""
    value = holder.get(name)
    if isinstance(value, str) and value.isdecimal() and len(value) < 19:
        value = int(value)
    if isinstance(value, int | float) and value is not True:
        return int(value) if 0 < value <= MOST_TOKENS else 0
    return 0


def _details(holder: Json, *names: str) -> Json:
    for name in names:
        value = holder.get(name)
        if isinstance(value, dict):
            return value
    return {}
