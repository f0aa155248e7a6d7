"""The programs of the how-to page on results run as they stand."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from google.auth.credentials import AnonymousCredentials
from msgspec.structs import replace

from batchdrop import Client
from batchdrop.subscribe import Results, parse
from tests.announcements import push
from tests.client.buckets import Bucket
from tests.rules.test_announcements import collected, ended, of

PAGE = Path(__file__).parents[2] / "docs/how-to/read-results.md"
RESULTS = [
    {"id": f"r{n:07}", "line": n, "outcome": "ok", "text": f"answer {n}"}
    for n in range(1, 2501)
]


def program(with_: str) -> str:
    """The page's program that has this in it."""
    programs = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    (found,) = [each for each in programs if with_ in each]
    return str(found)


def jsonl(lines: Iterable[object]) -> bytes:
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


@pytest.fixture
def results(bucket: Bucket, project: str, monkeypatch: pytest.MonkeyPatch) -> Results:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", project)
    offsets = [(n, len(jsonl(RESULTS[:n]))) for n in (0, 1000, 2000)]
    index = {"lines": len(RESULTS), "offsets": offsets}
    return Results(
        uri=bucket.put("a.jsonl/job/results.jsonl", jsonl(RESULTS)),
        index=bucket.put("results.index.json", json.dumps(index).encode()),
        generation=1,
        crc32c="",
        bytes=1,
    )


def test_a_handler_reads_each_result_once(
    results: Results, firestore_emulator: str, capsys: Any
) -> None:
    scope: dict[str, Any] = {}
    exec(program("@once"), scope)
    event = replace(
        parse(push(of(collected(ended("SUCCEEDED"), ok=2500)))), results=results
    )

    for _ in range(2):
        scope["read"](event)
    scope["read"](replace(event, id="another", results=None))

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2500
    assert (lines[0], lines[-1]) == ("1 ok answer 1", "2500 ok answer 2500")


@pytest.mark.parametrize("first", [0, 999, 1000, 1970, 2490, 2600])
def test_a_page_of_the_results_is_read_by_the_index(
    results: Results, first: int
) -> None:
    scope: dict[str, Any] = {}
    exec(program("def page"), scope)

    assert scope["page"](results, first, 20) == RESULTS[first : first + 20]


def test_answers_of_a_directory_are_read_and_joined_with_their_lines(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    candidate = {"content": {"parts": [{"text": "It is."}]}, "finishReason": "STOP"}
    lines = [{"key": key, "response": {"candidates": [candidate]}} for key in "bx"]
    folder = "results/prediction-model-2026-11-28T20:05:10Z"
    bucket.put(f"{folder}/predictions.jsonl", jsonl(lines))
    monkeypatch.chdir(tmp_path)
    asked = [{"key": key, "request": {"contents": [key]}} for key in "ab"]
    Path("requests.jsonl").write_bytes(jsonl(asked))
    made = 'Client(vertexai=True, project="my-project", location="us-central1")'
    reading = program("row.outcome").replace("gs://b/", bucket.uri(""))
    assert made in reading

    with Client(
        vertexai=True, project="p", location="l", credentials=AnonymousCredentials()
    ) as client:
        exec(program("join("), {"client": client, "job": bucket.uri("results")})
        exec(reading.replace(made, "client"), {"client": client})

    assert capsys.readouterr().out.splitlines() == [
        "1 missing",
        "2 ok",
        "None no_such_row",
        "b ok It is.",
        "x ok It is.",
    ]
