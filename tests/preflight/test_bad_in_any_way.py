"""Lines that are each bad in another way are found as an inspection finds them."""

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.errors import NotReadable
from batchdrop.jobs.values import Location
from batchdrop.preflight import Block, Checker, Rules
from batchdrop.preflight.shapes import TELLING, Shape, shape_of
from tests.preflight.reading import GOOD, file, good, many
from tests.preflight.spoiling import FINE, spoilt

PLACES = (Location(bucket="inbox", prefix=""),)
CHOICES_OF_ALL: list[dict[str, Any]] = [
    {"key_numbers": False},
    {"unknown": "allow", "on_invalid": "skip"},
    {"fix": True},
]
#: Those of Gemini, for which alone there is a configuration.
CHOICES: list[dict[str, Any]] = [
    *CHOICES_OF_ALL,
    {"generation_config": b'{"topP": 1}'},
    {"generation_config": b'{"labels": {"a": "b"}, "temperature": 0}'},
]


def outcome(text: bytes, rules: Rules, fast: bool) -> list[Block] | str:
    """The blocks of a file whose bad lines are not explained, or why it is refused."""
    checker = Checker(rules, 0, fast=fast, own=True)
    if checker._good:
        checker._good.due = lambda: True  # type: ignore[method-assign]
    try:
        return list(checker.blocks([text]))
    except NotReadable as exc:
        return str(exc)


@pytest.mark.parametrize(("backend", "model"), FINE)
@given(st.data(), st.integers(0, 2**40))
def test_lines_bad_in_any_way_have_the_outcome_of_an_inspection(
    backend: str, model: str, data: st.DataObject, seed: int
) -> None:
    choices = CHOICES if model == "gemini-3.8-flash" else CHOICES_OF_ALL
    chosen = data.draw(st.sampled_from(choices))
    rules = Rules(backend=backend, model=model, sources=PLACES, **chosen)
    dice = random.Random(seed)
    fine = dice.choices(FINE[backend, model], k=2)
    text = b"\n".join(spoilt(dice.choice(fine), rules, dice) for _ in range(12))

    assert outcome(text, rules, fast=True) == outcome(text, rules, fast=False)


def inspected(lines: list[object], before: list[object], **chosen: Any) -> int:
    """How many of these lines, which are all bad, needed an inspection."""
    checker = Checker(Rules(sources=PLACES, **chosen), 0)
    looked: list[object] = []
    list(checker.blocks([file(*before, b"")]))
    rows = checker.rows
    inspect = checker._inspect
    checker._inspect = lambda *of: looked.append(of) or inspect(*of)  # type: ignore

    list(checker.blocks([file(*lines)]))

    assert checker.rows.refused == rows.refused + len(lines)
    return len(looked)


def config(**members: Any) -> dict[str, Any]:
    return good(generationConfig=members)


ANSWER = {"candidates": [{"content": {"parts": [{"text": "x"}]}}]}
EMPTY: dict[str, Any] = {}
NULL = {"timeRangeFilter": None}
DEEP: dict[str, Any] = {"x": 1}
for _ in range(14):
    DEEP = {"x": DEEP}


@pytest.mark.parametrize("before", [[], many(GOOD), many(config(topP=1))])
@pytest.mark.parametrize(
    "bad",
    [
        lambda n: good(**{f"other{n}": 1}),
        lambda n: config(**{f"other{n}": 1}),
        lambda n: config(mediaResolution=f"other{n}"),
        lambda n: config(temperature=f"other{n}"),
        lambda n: config(seed=n + 0.5, responseSchema={"title": f"{n}"}),
        lambda n: {"labels": {f"n{n}": "x"}},
        lambda n: {"contents": [{"role": f"other{n}"}]},
        lambda n: good(labels={f"n{n}": "x"}, generationConfig=[n]),
        lambda n: good(labels={f"n{n}": None}),
        lambda n: good(labels={f"n{n}": 1}),
        lambda n: good(labels={f"n {n}": "x"}),
        lambda n: good(labels={f"n{n}": "x"}, generationConfig=EMPTY),
        lambda n: good(labels={f"n{n}": "x", f"N{n}": "x"}),
        lambda n: config(topP=1, top_p=1, responseJsonSchema={f"n{n}": 1}),
        lambda n: config(responseJsonSchema={f"n{n}": [[1]]}),
        lambda n: config(responseJsonSchema={f"n{n}": DEEP}),
        lambda n: good(labels={f"n{n}": "x"}, model="another"),
        lambda n: good(labels={f"n{n}": "x"}, cachedContent="x"),
        lambda n: {"key": n, **GOOD},
        lambda n: {"key": EMPTY, f"n{n}": 1, "request": GOOD},
        lambda n: {"body": GOOD, f"n{n}": 1},
        lambda n: {f"n{n}": 1},
        lambda n: n,
    ],
)
def test_lines_each_bad_in_another_way_are_seldom_inspected(
    bad: Any, before: list[object]
) -> None:
    assert inspected([bad(n) for n in range(300)], before) < 60


@pytest.mark.parametrize(
    "bad",
    [
        lambda n: {"key": "k", f"n{n}": 1, "request": GOOD},
        lambda n: {"key": f"a{n}", f"n{n}": 1, "request": GOOD, "model": "another"},
        lambda n: {"key": f"a{n}", "request": GOOD, "systemInstruction": f"{n}"},
        lambda n: {"key": f"a{n}", f"n{n}": 1, "request": GOOD, "response": ANSWER},
        lambda n: {"key": f"a{n}", "request": good(labels={"team": [f"{n}"]})},
        lambda n: {"key": f"a{n}", "request": good(generation_config={"topK": n})},
        lambda n: {"key": f"a{n}", "request": config(top_p=1, title=f"{n}")},
        lambda n: {"key": f"a{n}", "request": good(labels={"Team": f"{n}"})},
        lambda n: {"custom_id": f"a{n}", "request": GOOD},
        lambda n: {"request": GOOD, f"n{n}": 1},
        lambda n: good(labels={f"n{n}": "x"}),
    ],
)
def test_lines_that_contradict_earlier_ones_are_seldom_inspected(bad: Any) -> None:
    request = good(labels={"team": "x"}, generationConfig={"topP": 1})
    before: list[object] = [{"key": "k", "request": request}]

    assert inspected([bad(n) for n in range(300)], before) < 60


@pytest.mark.parametrize(
    "members",
    [
        {"tools": [{"googleSearch": {"timeRangeFilter": None}}]},
        {"tools": [{"functionDeclarations": [{"parameters": {"properties": NULL}}]}]},
        {"generationConfig": {"responseSchema": {"properties": NULL}}},
        {"generationConfig": {"temperature": 10**400}},
        {"generationConfig": {"topK": 10**400}},
    ],
    ids=["null", "null of a tool", "null of a schema", "long", "long and whole"],
)
def test_what_the_import_takes_stays_good_where_others_are_bad(
    members: dict[str, Any],
) -> None:
    lines = [good(labels={f"n{n}": "x"}, **members) for n in range(30)]
    checker = Checker(Rules(), 0)

    list(checker.blocks([file({}, *lines)]))

    assert (checker.rows.accepted, checker.rows.refused) == (30, 1)


def test_numbers_that_look_like_an_answer_stay_good_where_others_are_bad() -> None:
    column = {"instance": 1, "predictions": 7}
    lines = [{**column, f"n{n}": 1, "request": GOOD} for n in range(30)]
    checker = Checker(Rules(), 0)

    list(checker.blocks([file({}, *lines)]))

    assert (checker.rows.accepted, checker.rows.refused) == (30, 1)


@pytest.mark.parametrize(("backend", "model"), FINE)
@given(st.sets(st.sampled_from(sorted(TELLING)) | st.text("abc", max_size=3)))
def test_no_other_name_tells_the_shape_of_a_line(
    backend: str, model: str, names: set[str]
) -> None:
    def shape(names: set[str]) -> Shape | str:
        try:
            return shape_of(names, Rules(backend=backend, model=model).family)
        except msgspec.ValidationError as exc:
            return type(exc).__name__

    assert shape(names) == shape(names & TELLING)
