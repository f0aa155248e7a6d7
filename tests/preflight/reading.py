"""What tests of a file's reading have in common."""

import json
from collections.abc import Sequence
from typing import Any

from batchdrop.preflight import Checker, Rules
from batchdrop.rows import Fault

GOOD: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}


def good(**members: Any) -> dict[str, Any]:
    """A request with more members."""
    return {**GOOD, **members}


def file(*lines: object) -> bytes:
    """Lines as a file: bytes as they are, all else as JSON."""
    return b"\n".join(
        line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines
    )


def read_all(text: bytes, rules: Rules) -> tuple[Checker, list[bytes], list[Fault]]:
    checker = Checker(rules)
    staged: list[bytes] = []
    faults: list[Fault] = []
    for block in checker.blocks([text]):
        staged += block.staged.split(b"\n")[:-1]
        faults += [fault for refused in block.refused for fault in refused.faults]
    return checker, staged, faults


def staged(*lines: object, **chosen: Any) -> list[dict[str, Any]]:
    """The lines to send, of a file in which nothing is wrong."""
    _, sent, faults = read_all(file(*lines), Rules(**chosen))
    assert faults == []
    return [json.loads(line) for line in sent]


def faults(*lines: object, **chosen: Any) -> list[Fault]:
    return read_all(file(*lines), Rules(**chosen))[2]


def told(*lines: object, **chosen: Any) -> list[tuple[int, str, str]]:
    """Line, path and code of all that is wrong."""
    return [(one.line, one.path, one.code) for one in faults(*lines, **chosen)]


def many(line: object, times: int = 30) -> Sequence[object]:
    """So many equal lines that a decoder is made of them, and takes over."""
    return [line] * times
