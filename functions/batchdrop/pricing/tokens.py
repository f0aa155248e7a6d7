"""
Splits the tokens of an answer into the kinds that have prices of their own.

            Gemini                       Claude                    OpenAI-style
    input   promptTokenCount without     input_tokens              prompt_tokens without
            cached and other media,                                cached and media
            and toolUsePromptTokenCount
    cached  cachedContentTokenCount      cache_read_input_tokens   cached_tokens
    write   none                         cache_creation...         none
    output  candidates without media,    output_tokens             completion_tokens
            and thoughts                                           without audio

Sources: the API references of both Gemini APIs and the SDKs of Anthropic and OpenAI.
Statements about charges follow litellm and genai-prices.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from batchdrop.pricing.prices import Kind

#: Tokens of media of which nothing is known.
OTHER = "other"

#: By modality; those of text, and of documents, are the rest of a prompt.
_INPUT: dict[str, Kind] = {
    "AUDIO": "input_audio",
    "VIDEO": "input_video",
    "IMAGE": "input_image",
}
_OUTPUT: dict[str, Kind] = {"AUDIO": "output_audio", "IMAGE": "output_image"}
_TEXT = frozenset({"TEXT", "DOCUMENT", "MODALITY_UNSPECIFIED"})


class Usage(Protocol):
    """The tokens of an answer, in the same words for all publishers."""

    @property
    def prompt(self) -> int: ...  # with cached tokens, cache writes and tools' results

    @property
    def cached(self) -> int: ...

    @property
    def output(self) -> int: ...  # without thoughts

    @property
    def thoughts(self) -> int: ...


def split(body: Mapping[str, Any], usage: Usage) -> tuple[int, dict[str, int]]:
    """
    The size of the prompt, by which a request is long or not, and the tokens by kind.

    Each token is of one kind: their sum is prompt + output + thoughts of the usage. But
    what a search found for the model isn't charged, and is left out.

    Args:
        body: the answer: a GenerateContentResponse, a Message, a ChatCompletion.
    """
    counts = body.get("usageMetadata")
    if isinstance(counts, dict):
        return _gemini(counts, usage, body)
    counts = body.get("usage")
    if isinstance(counts, dict):
        return _others(counts, usage)
    return usage.prompt, {
        "input": usage.prompt - usage.cached,
        "cached": usage.cached,
        "output": usage.output + usage.thoughts,
    }


def _gemini(
    counts: Mapping[str, Any], usage: Usage, body: Mapping[str, Any]
) -> tuple[int, dict[str, int]]:
    tools = min(_count(counts, "toolUsePromptTokenCount"), usage.prompt)
    prompt = usage.prompt - tools
    cached = min(usage.cached, prompt)
    found = {"output": usage.thoughts}
    media = _media(
        # An embedding on the Developer API writes `promptTokenDetails`.
        counts.get("promptTokensDetails") or counts.get("promptTokenDetails")
    )
    if media:
        media_cached = _media(counts.get("cacheTokensDetails"))
        audio = min(media_cached.get("AUDIO", 0), cached)
        _add(found, "cached_audio", audio)
        _add(found, "cached", cached - audio)
        for modality, n in media_cached.items():
            media[modality] = media.get(modality, 0) - n
        _spread(found, media, prompt - cached, _INPUT, "input")
    else:
        _add(found, "cached", cached)
        _add(found, "input", prompt - cached)
    if tools and not _has_searched(body):
        media = _media(counts.get("toolUsePromptTokensDetails"))
        _spread(found, media, tools, _INPUT, "input")
    media = _media(counts.get("candidatesTokensDetails"))
    _spread(found, media, usage.output, _OUTPUT, "output")
    return prompt, found


def _others(counts: Mapping[str, Any], usage: Usage) -> tuple[int, dict[str, int]]:
    cached = min(usage.cached, usage.prompt)
    found = {"output": usage.thoughts}
    _add(found, "cached", cached)
    rest = usage.prompt - cached
    if "input_tokens" in counts:
        written = min(_count(counts, "cache_creation_input_tokens"), rest)
        hour = _count(_details(counts, "cache_creation"), "ephemeral_1h_input_tokens")
        _add(found, "write_1h", min(hour, written))
        _add(found, "write", written - min(hour, written))
        _add(found, "input", rest - written)
        _add(found, "output", usage.output)
    else:
        # OpenAI's; the Developer API writes the same in camelCase.
        asked = _details(counts, "prompt_tokens_details", "promptTokensDetails")
        given = _details(counts, "completion_tokens_details", "completionTokensDetails")
        media = {
            "AUDIO": _count(asked, "audio_tokens", "audioTokens"),
            "IMAGE": _count(asked, "image_tokens", "imageTokens"),
        }
        _spread(found, media, rest, _INPUT, "input")
        spoken = {"AUDIO": _count(given, "audio_tokens", "audioTokens")}
        _spread(found, spoken, usage.output, _OUTPUT, "output")
    return usage.prompt, found


def _has_searched(body: Mapping[str, Any]) -> bool:
    """Whether Google searched for an answer: charged by the search."""
    candidates = body.get("candidates")
    for candidate in candidates if isinstance(candidates, list) else ():
        grounding = isinstance(candidate, dict) and candidate.get("groundingMetadata")
        if isinstance(grounding, dict) and grounding.get("webSearchQueries"):
            return True
    return False


def _spread(
    found: dict[str, int],
    media: Mapping[str, int],
    tokens: int,
    kinds: Mapping[str, Kind],
    text: Kind,
) -> None:
    """Adds tokens to the kinds of their media; what is left is text."""
    for modality, n in media.items():
        taken = min(n, tokens)
        if taken > 0:
            _add(found, kinds.get(modality, OTHER), taken)
            tokens -= taken
    _add(found, text, tokens)


def _add(found: dict[str, int], kind: str, n: int) -> None:
    if n:
        found[kind] = found.get(kind, 0) + n


def _media(details: Any) -> dict[str, int]:
    """The tokens that aren't text, by their modality."""
    if not isinstance(details, list):
        return {}
    found: dict[str, int] = {}
    for each in details:
        if isinstance(each, dict):
            modality = str(each.get("modality", "TEXT"))
            if modality not in _TEXT:
                _add(found, modality, _count(each, "tokenCount"))
    return found


def _count(holder: Mapping[str, Any], *names: str) -> int:
    for name in names:
        value = holder.get(name)
        if type(value) is int and value > 0:
            return value
    return 0


def _details(counts: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        value = counts.get(name)
        if isinstance(value, dict):
            return value
    return {}
