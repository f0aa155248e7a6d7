"""Estimates the job of a file: tokens and parts."""

import math
from dataclasses import dataclass
from typing import Any

import msgspec

from batchdrop.preflight.checker import Block
from batchdrop.preflight.rules import Rules

#: The estimate comes from this many rows; the rest is assumed to be like them.
SAMPLE = 1000
#: About this many bytes of text make a token; a medium counts as at least this many.
BYTES_PER_TOKEN = 4
MEDIUM_TOKENS = 258


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The job of the good rows, as estimated."""

    rows: int
    bytes: int  #: as staged
    tokens: int  #: of the prompts
    answer_tokens: int  #: of the answers, as assumed
    parts: int  #: how many jobs it has to be split into


class Estimator:
    """Estimates from the first rows of a file."""

    def __init__(self, rules: Rules, answer_tokens: int) -> None:
        self.rules = rules
        self.answer_tokens = answer_tokens
        self._rows = self._bytes = self._tokens = self._answers = 0
        self._all_rows = self._all_bytes = 0

    def add(self, block: Block) -> None:
        self._all_rows += block.rows
        self._all_bytes += len(block.staged)
        if self._rows >= SAMPLE:
            return
        for line in block.staged.split(b"\n")[: SAMPLE - self._rows]:
            if line:
                row = msgspec.json.decode(line)
                self._rows += 1
                self._bytes += len(line) + 1
                self._tokens += _tokens(row)
                limit = _limit(row)
                self._answers += min(self.answer_tokens, limit or self.answer_tokens)

    def result(self) -> Estimate:
        family = self.rules.family
        scale = self._all_bytes / self._bytes if self._bytes else 0
        tokens = round(self._tokens * scale)
        per_row = self._answers / self._rows if self._rows else 0
        answers = 0 if family.embeds else round(per_row * self._all_rows)
        parts = max(
            math.ceil(self._all_bytes / family.bytes),
            math.ceil(self._all_rows / family.rows) if family.rows else 0,
        )
        return Estimate(
            rows=self._all_rows,
            bytes=self._all_bytes,
            tokens=tokens,
            answer_tokens=answers,
            parts=parts,
        )


def _tokens(value: Any) -> int:
    """The tokens of all texts and media in a row."""
    if isinstance(value, list):
        return sum(map(_tokens, value))
    if not isinstance(value, dict):
        return 0
    count = 0
    for name, inner in value.items():
        if name in ("inlineData", "inline_data", "fileData", "file_data"):
            if inner is None:
                continue
            count += MEDIUM_TOKENS
        elif isinstance(inner, str):
            if name in ("text", "content", "input", "system"):
                count += math.ceil(len(inner.encode()) / BYTES_PER_TOKEN)
        else:
            count += _tokens(inner)
    return count


def _limit(row: dict[str, Any]) -> int | None:
    """The most tokens that a row allows for its answer."""
    request = row.get("request") or row.get("body") or row
    if not isinstance(request, dict):
        return None
    config = request.get("generationConfig") or request.get("generation_config") or {}
    for place, name in (
        (config, "maxOutputTokens"),
        (config, "max_output_tokens"),
        (request, "max_tokens"),
    ):
        limit = place.get(name) if isinstance(place, dict) else None
        if isinstance(limit, int) and limit > 0:
            return limit
    return None
