"""Helpers for tests that read a file."""

import json
from collections.abc import Sequence
from typing import Any

from batchdrop.preflight import Checker, Rules
from batchdrop.rows import RowError

GOOD: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}


def good(**members: Any) -> dict[str, Any]:
    """A request with more members."""
    return {**GOOD, **members}


def file(*lines: object) -> bytes:
    """Lines as a file: bytes as they are, all else as JSON."""
    return b"\n".join(
        line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines
    )


def read_all(text: bytes, rules: Rules) -> tuple[Checker, list[bytes], list[RowError]]:
    checker = Checker(rules)
    staged: list[bytes] = []
    row_errors: list[RowError] = []
    for block in checker.blocks([text]):
        staged += block.staged.split(b"\n")[:-1]
        row_errors += [
            row_error for refused in block.refused for row_error in refused.row_errors
        ]
    return checker, staged, row_errors


def staged(*lines: object, **chosen: Any) -> list[dict[str, Any]]:
    """The lines to send, of a file in which nothing is wrong."""
    _, sent, row_errors = read_all(file(*lines), Rules(**chosen))
    assert row_errors == []
    return [json.loads(line) for line in sent]


def row_errors(*lines: object, **chosen: Any) -> list[RowError]:
    return read_all(file(*lines), Rules(**chosen))[2]


def problems(*lines: object, **chosen: Any) -> list[tuple[int, str, str]]:
    """Line, path and code of each row error."""
    return [(one.line, one.path, one.code) for one in row_errors(*lines, **chosen)]


def many(line: object, times: int = 30) -> Sequence[object]:
    """Enough equal lines for a fast path to be made of them."""
    return [line] * times
