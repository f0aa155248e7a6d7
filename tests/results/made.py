"""Makes what staging records of a file, and answers to its rows; collects them."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from batchdrop.jobs.values import Input, Problem, Staging
from batchdrop.results import Answers, OpenAt, Questions, Summary, collected
from batchdrop.results.lines import Kind, Runs

Json = dict[str, Any]
#: What the model answers to every question, unless a test says otherwise.
TEXT = "It is 42."


def row_id(line: int) -> str:
    return f"r{line:07d}"


def request(text: str) -> Json:
    return {"contents": [{"role": "user", "parts": [{"text": text}]}]}


def response(text: str = TEXT, **candidate: Any) -> Json:
    """An answer of Gemini, as Vertex AI writes it."""
    return {
        "candidates": [
            {
                "avgLogprobs": -0.2,
                "content": {"role": "model", "parts": [{"text": text}]},
                "finishReason": "STOP",
                **candidate,
            }
        ],
        "createTime": "2026-11-28T21:00:00.000000Z",
        "modelVersion": "gemini-3.8-flash",
        "responseId": "abc",
        "usageMetadata": {
            "promptTokenCount": 8,
            "candidatesTokenCount": 4,
            "totalTokenCount": 12,
        },
    }


def answer(line: int | None, text: str = TEXT, **members: Any) -> bytes:
    """A line that Vertex AI writes; without an id if `line` is None."""
    made: Json = {
        "status": "",
        "processed_time": "2026-11-28T21:00:00.000+00:00",
        "request": request(f"question {line}"),
        "response": response(text),
        **({} if line is None else {"key": row_id(line)}),
        **members,
    }
    return json.dumps({n: v for n, v in made.items() if v is not ...}).encode()


def failed(line: int, code: int = 400, message: str = "Please use a role") -> bytes:
    """A line of a row that failed, as Vertex AI writes it."""
    error = {"error": {"code": code, "message": message, "status": "INVALID_ARGUMENT"}}
    status = f"Bad Request: {json.dumps(error)}"
    return answer(line, status=status, response=...)


def opened(data: bytes, chunk: int = 64) -> OpenAt:
    """What opens an object of these bytes; it is read in small pieces."""

    def read(start: int = 0, end: int | None = None) -> Iterator[bytes]:
        asked = data[start:end]
        return (asked[i : i + chunk] for i in range(0, len(asked), chunk))

    return read


def jsonl(lines: Iterable[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def shard(
    *lines: bytes, name: str = "predictions.jsonl", final: bool = True
) -> Answers:
    data = jsonl(lines)
    return Answers(name, final, opened(data), len(data))


def part(*lines: bytes, n: int = 0) -> Answers:
    """An object that the batch wrote while it ran."""
    return shard(*lines, name=f"prediction-{n:05d}.jsonl", final=False)


@dataclass(kw_only=True)
class File:
    """What staging records of a dropped file."""

    kinds: list[Kind]
    first: int = 1
    json: str = "none"
    columns: dict[int, bytes] = field(default_factory=dict)  #: members, by line
    refused: dict[int, list[Json]] = field(default_factory=dict)  #: errors, by line
    report: list[Json] = field(default_factory=list)
    requests: dict[int, Json] = field(default_factory=dict)
    inputs: tuple[Input, ...] = ()
    error: Problem | None = None

    @classmethod
    def of(cls, rows: int, **more: Any) -> "File":
        """A file of good lines."""
        return cls(kinds=[Kind.STAGED] * rows, **more)

    @property
    def staged(self) -> list[int]:
        """The lines that were sent."""
        kinds = (Kind.STAGED, Kind.STAGED_JSON)
        return [n for n, kind in enumerate(self.kinds, self.first) if kind in kinds]

    @property
    def lines(self) -> list[int]:
        """The lines that have a result."""
        every = enumerate(self.kinds, self.first)
        return [n for n, kind in every if kind is not Kind.BLANK]

    def questions(self) -> Questions:
        staged = self.staged
        runs = Runs()
        for kind in self.kinds:
            runs.add(kind)
        plain = set(self.kinds) == {Kind.STAGED}
        own = (b'{"id":%d,%b}' % pair for pair in sorted(self.columns.items()))
        rows = (
            {
                "key": row_id(n),
                "request": self.requests.get(n, request(f"question {n}")),
            }
            for n in staged
        )
        report = [{"line": n, "errors": e} for n, e in self.refused.items()]
        return Questions(
            staging=Staging(
                epoch=1,
                uri="gs://work/rows.jsonl",
                rows=len(staged),
                first=self.first,
                refused=self.kinds.count(Kind.REFUSED),
                json=self.json,
            ),
            open_lines=None if plain else opened(runs.encoded(), 1),
            open_sidecar=opened(jsonl(own)) if self.columns else None,
            open_report=opened(
                jsonl(json.dumps(each).encode() for each in report + self.report)
            ),
            open_staged=opened(jsonl(json.dumps(row).encode() for row in rows)),
            inputs=self.inputs,
            error=self.error,
        )


@dataclass(frozen=True)
class Collected:
    """What was written, and the summary of it."""

    data: bytes
    strangers: list[Json]
    summary: Summary

    @property
    def results(self) -> list[Json]:
        return [json.loads(line) for line in self.data.splitlines()]

    @property
    def outcomes(self) -> dict[int, str]:
        return {each["line"]: each["outcome"] for each in self.results}


def collect(file: File, *answers: Answers, **options: Any) -> Collected:
    return collect_from(file.questions(), *answers, **options)


def collect_from(questions: Questions, *answers: Answers, **options: Any) -> Collected:
    data, strangers = bytearray(), bytearray()
    summary = collected(
        questions,
        answers,
        write=data.extend,
        write_stranger=strangers.extend,
        **options,
    )
    return Collected(
        bytes(data), [json.loads(line) for line in strangers.splitlines()], summary
    )


@contextmanager
def memory_of(size: int) -> Iterator[None]:
    """Lets the answers have so many bytes of memory."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("reading", "joining", "arriving"):
            patch.setattr(f"batchdrop.results.{module}.HELD", size)
        yield
