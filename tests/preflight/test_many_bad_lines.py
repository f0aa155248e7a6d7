"""Files with many bad lines: all are counted, and the first ones are explained."""

import json
import random
import time
from typing import Any

import pytest

from batchdrop.jobs.values import Location
from batchdrop.preflight import SKIP, Checker, Rules
from tests.often import mostly
from tests.preflight.reading import GOOD, file, good
from tests.preflight.test_bad_lines import MODELS, NOT_JSON, REQUESTS, SHAPES

PLACES = (Location(bucket="inbox", prefix=""),)


def refused(
    text: bytes, rules: Rules, most_explained: int | None
) -> tuple[set[int], int]:
    """The numbers of the bad lines, and how many of them were explained."""
    checker = Checker(rules, most_explained)
    ids: set[int] = set()
    explained = 0
    for block in checker.blocks([text]):
        explained += len(block.refused)
        ids.update(one.line for one in block.refused)
        for first, last in block.unexplained:
            numbered = enumerate(block.lines, block.first)
            ids.update(n for n, line in numbered if first <= n <= last and line.strip())
    assert checker.rows.refused == len(ids)
    return ids, explained


def image(uri: str) -> dict[str, Any]:
    part = {"fileData": {"fileUri": uri, "mimeType": "image/png"}}
    return {"contents": [{"role": "user", "parts": [part]}]}


def turn(role: str, text: str) -> dict[str, Any]:
    return {"contents": [{"role": role, "parts": [{"text": text}]}]}


def nested(levels: int) -> object:
    value: object = 0
    for _ in range(levels):
        value = [value]
    return value


def lines(dice: random.Random) -> list[object]:
    """Good ones, and all kinds of bad ones in any order, most of them often."""
    some: list[object] = [line for line, _, _ in NOT_JSON if len(line) < 1000]
    some += [each for first, bad, _, _ in REQUESTS for each in (first, bad)]
    some += [line for line, _ in SHAPES.values()]
    some += [b"", b"  "]
    for n in range(12):
        bad, fine = f"gs://other/{n}.png", f"gs://inbox/{n}.png"
        some += [image(bad), image(fine), turn("system", str(n)), turn("model", str(n))]
        config = {"temperature": n, "maxOutputTokens": n / 2}
        some += [good(generationConfig=config), good(labels={f"a{n}": "x"})]
        some += [good(generationConfig={"topK": "x" * (n % 3)}), {"key": n, **GOOD}]
        some += [{"key": "same", "request": GOOD}, {"key": f"k{n}", "request": GOOD}]
        some += [{"request": GOOD, "model": f"m{n}"}, good(**{f"other{n}": n})]
        some += [good(model="gemini-3.8-flash"), good(model=f"gemini-{n}")]
    many = some * 2
    dice.shuffle(many)
    return many


BEGINNINGS = [GOOD, {"key": "a", "request": GOOD}, b"x"]
CHOICES: list[dict[str, Any]] = [{}, {"unknown": "allow"}, {"fix": True}]


@pytest.mark.parametrize(
    ("backend", "model", "more", "begin"),
    mostly(
        # Each model with each choice and each beginning, and each of these with each.
        *(
            (backend, model, more, BEGINNINGS[(number + choice) % 3])
            for number, (backend, model, _) in enumerate(MODELS)
            for choice, more in enumerate(CHOICES)
        ),
        also=[
            (backend, model, more, begin)
            for backend, model, _ in MODELS
            for more in CHOICES
            for begin in BEGINNINGS
        ],
    ),
)
def test_lines_that_are_not_explained_are_still_found_bad(
    backend: str, model: str, more: dict[str, Any], begin: object
) -> None:
    # With "reject", three lines that look like Latin-1 would end the reading.
    chosen: dict[str, Any] = {"sources": PLACES, "on_invalid": SKIP, **more}
    rules = Rules(backend=backend, model=model, **chosen)
    text = file(*[begin] * 3, *lines(random.Random(f"{model}{more}")))

    ids, explained = refused(text, rules, None)
    found, few = refused(text, rules, 7)

    assert found == ids
    assert explained == len(ids) > 7
    assert few == 7


def test_the_configuration_of_a_job_counts_for_lines_that_are_not_explained() -> None:
    rules = Rules(generation_config=b'{"temperature": 1}')
    configs = [{"topP": 1}, {"temperature": "x"}, {"top_p": 1, "topP": 1}, {"a": 1}]
    some = [good(generationConfig=config) for config in configs] * 5
    text = file(*some, *(GOOD, good(generation_config={"topP": "x"})) * 5)

    assert refused(text, rules, 0)[0] == refused(text, rules, None)[0]


def test_runs_of_bad_lines_end_at_a_good_one_and_not_at_a_blank_one() -> None:
    text = file(GOOD, b"x", b"", b"y", GOOD, b"z", b"")

    (block,) = Checker(Rules(), 0).blocks([text])

    assert block.unexplained == ((2, 4), (6, 6))
    assert json.loads(block.staged.splitlines()[1])["key"] == "r0000005"


def seconds(text: bytes, most_explained: int | None) -> float:
    """
    The least of three times, of this process alone: where it has run many tests, to
    collect its garbage takes longer than what is timed.
    """
    times = []
    for _ in range(3):
        begin = time.process_time()
        refused(text, Rules(), most_explained)
        times.append(time.process_time() - begin)
    return min(times)


@pytest.mark.parametrize(
    "column",
    [[0] * 400, {str(n): 0 for n in range(400)}, {"a\\": 0}, nested(400)],
    ids=["many items", "many names", "a name that no decoder takes", "deep"],
)
def test_bad_lines_without_a_decoder_take_about_as_long_as_explained_ones(
    column: object,
) -> None:
    parts = [{"nothing": n} for n in range(20)]
    bad = {"contents": [{"role": "user", "parts": parts}], "x": column}
    text = file(*[bad, {"contents": 7}] * 300)

    assert seconds(text, 0) < 5 * seconds(text, None)
