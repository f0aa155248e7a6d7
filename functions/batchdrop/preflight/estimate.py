"""Estimates the tokens of rows from the first ones, before anything is sent."""

import math
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import msgspec

from batchdrop.preflight.lines import LONG, one_long_line
from batchdrop.preflight.rules import Family
from batchdrop.rows import Tokens

#: The estimate comes from this many rows; the rest is assumed to be like them.
SAMPLE = 1000
#: About this many bytes of text make a token; a medium counts as at least this many.
BYTES_PER_TOKEN = 4
MEDIUM_TOKENS = 258
#: No count is larger, whatever a row asks for: a document holds the sum over all parts.
MOST = 10**15

#: Members of a request whose text the model reads.
_TEXTS = frozenset({"text", "content", "input", "system"})
#: Members that are a medium, Gemini's and OpenAI's.
_MEDIA = frozenset(
    {
        *("inlineData", "inline_data", "fileData", "file_data"),
        *("image_url", "input_audio"),
    }
)
#: A `source` of one of these types is a medium of Claude's.
_SOURCES = ("base64", "url", "file")
#: The media that have prices of their own; documents cost what text costs.
_MODALITIES = ("image", "video", "audio")


class Estimator:
    """
    Counts the tokens of the first rows of a file, and concludes from them.

        estimator = Estimator(family, answer_tokens=250, thinking_tokens=0)
        for each piece of the file:
            estimator.add(staged)
        estimator.tokens(rows, size)

    Text and media are taken to grow with the bytes, answers with the rows.
    """

    def __init__(
        self, family: Family, *, answer_tokens: int, thinking_tokens: int
    ) -> None:
        """
        Args:
            answer_tokens: the assumed length of an answer. A lower `maxOutputTokens`
                of a row counts in its place.
            thinking_tokens: the assumed length of the thoughts before it. A budget
                that a row sets counts in its place; `maxOutputTokens` holds for both.
        """
        self._family = family
        self._answer, self._thinking = answer_tokens, thinking_tokens
        self._rows = self._bytes = 0
        self._counts: dict[str, int] = {}

    def add(self, staged: bytes) -> None:
        """Takes the next lines, as they are sent, each with its line feed."""
        left = SAMPLE - self._rows
        if left <= 0:
            return
        for line in staged.split(b"\n", left)[:left]:
            if line:
                self._rows += 1
                self._bytes += len(line) + 1
                with one_long_line if len(line) > LONG else nullcontext():
                    self._count(msgspec.json.decode(line))

    def tokens(self, rows: int, size: int) -> Tokens:
        """
        The tokens of some rows of the file.

        Args:
            size: their bytes, as they are sent.
        """
        by_size = size / self._bytes if self._bytes else 0
        by_row = rows / self._rows if self._rows else 0
        scales = {"output": by_row, "thoughts": by_row}
        return Tokens(
            **{
                name: min(MOST, round(count * scales.get(name, by_size)))
                for name, count in self._counts.items()
            }
        )

    def _count(self, row: dict[str, Any]) -> None:
        for kind, count in _prompt(row):
            self._add("prompt", count)
            if kind in _MODALITIES:
                self._add(kind, count)
        if not self._family.embeds:
            output, thoughts = self._answers(_request(row))
            self._add("output", output)
            self._add("thoughts", thoughts)

    def _answers(self, request: dict[str, Any]) -> tuple[int, int]:
        """The tokens of a row's answers, and of the thoughts before them."""
        config = _object(request, "generationConfig", "generation_config")
        most = _whole(config, "maxOutputTokens", "max_output_tokens")
        if most is None:
            most = _whole(request, "max_tokens", "max_completion_tokens")
        thinking = _object(config, "thinkingConfig", "thinking_config")
        budget = _whole(thinking, "thinkingBudget", "thinking_budget")
        if budget is None:
            budget = _whole(_object(request, "thinking"), "budget_tokens")
        if budget is None:  # or -1: the model decides
            budget = self._thinking
        answer = self._answer
        if most:
            answer = min(answer, most)
            budget = min(budget, most - answer)
        several = max(1, _whole(config, "candidateCount", "candidate_count") or 1)
        return answer * several, budget

    def _add(self, name: str, count: int) -> None:
        self._counts[name] = self._counts.get(name, 0) + count


def batches_of(family: Family, rows: int, size: int) -> int:
    """How many batches these numbers of rows and bytes need."""
    return max(
        math.ceil(size / family.bytes),
        math.ceil(rows / family.rows) if family.rows else 0,
    )


def _prompt(value: Any, name: str = "") -> Iterator[tuple[str, int]]:
    """Yields the kind and the tokens of each text and medium in a row."""
    if isinstance(value, str):
        if name in _TEXTS:
            yield "text", math.ceil(len(value.encode()) / BYTES_PER_TOKEN)
    elif isinstance(value, list):
        for item in value:
            yield from _prompt(item, name if isinstance(item, str) else "")
    elif isinstance(value, dict):
        for inner, its in value.items():
            if isinstance(its, dict) and _is_medium(inner, its):
                yield _modality(inner, its), MEDIUM_TOKENS
            else:
                yield from _prompt(its, inner)


def _is_medium(name: str, value: Mapping[str, Any]) -> bool:
    return name in _MEDIA or (name == "source" and value.get("type") in _SOURCES)


def _modality(name: str, medium: Mapping[str, Any]) -> str:
    """What a medium is: image, video, audio or another word."""
    for member in ("mimeType", "mime_type", "media_type"):
        if isinstance(mime := medium.get(member), str):
            return mime.partition("/")[0].lower()
    return "audio" if name == "input_audio" else "image"


def _request(row: dict[str, Any]) -> dict[str, Any]:
    """The request of a line as it is sent."""
    return _object(row, "request", "body") or row


def _object(holder: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        if isinstance(value := holder.get(name), dict):
            return value
    return {}


def _whole(holder: dict[str, Any], *names: str) -> int | None:
    for name in names:
        # A negative one would make the file, and so its day, cheaper than it is.
        if type(value := holder.get(name)) is int and value >= 0:
            return value
    return None
