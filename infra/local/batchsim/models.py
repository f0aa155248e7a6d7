"""What answers a row: a stand-in for the model."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Prompt:
    """
    What one row asks.

    `text` is the text of the last turn; `request` the whole request as the row has it;
    `max_tokens` the most that may be answered, None if the row sets no limit.
    """

    model: str
    text: str
    request: Mapping[str, Any]
    max_tokens: int | None = None


class RowFailed(Exception):
    """A model raises it to fail this row alone; `code` is an HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


#: A text becomes a whole answer with token counts; a mapping is sent as it is.
Model = Callable[[Prompt], str | Mapping[str, Any]]


def echo(prompt: Prompt) -> str:
    """Answer with what was asked."""
    return prompt.text


def tokens(text: str) -> int:
    """How many tokens batchsim counts a text as: one for four bytes of UTF-8."""
    return -(-len(text.encode()) // 4)


def fingerprint(*parts: str | bytes) -> str:
    """The same hexadecimal digits for the same parts, in any process."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
        digest.update(b"\0")
    return digest.hexdigest()
