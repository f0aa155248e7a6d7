"""How numbers stand in sentences that people read."""

import pytest

from batchdrop.batches.types import BatchJobSource
from batchdrop.jobs.retries import not_again
from batchdrop.jobs.values import Usage
from batchdrop.rows import Rows, Tokens, agreed, counted, some_are


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (2000, "2,000 rows")],
)
def test_a_noun_agrees_with_its_number(number: int, words: str) -> None:
    assert counted(number, "row") == words


def test_a_noun_may_take_more_than_an_s() -> None:
    assert [counted(n, "batch", "batches") for n in (1, 2)] == ["1 batch", "2 batches"]


def test_a_part_of_some_agrees_with_its_own_number() -> None:
    assert [some_are(*each, "row") for each in ((1, 1), (1, 3), (2, 3))] == [
        "1 of 1 row is",
        "1 of 3 rows is",
        "2 of 3 rows are",
    ]


def test_a_verb_agrees_with_its_number() -> None:
    assert [agreed(n, "is", "are") for n in (0, 1, 2)] == ["are", "is", "are"]
    assert [not_again(n) for n in (1, 2)] == [
        "1 row doesn't go again",
        "2 rows don't go again",
    ]


def test_the_counts_of_one_row_are_those_of_a_row() -> None:
    assert str(Rows(total=1, accepted=1, ok=1)) == "1 row: 1 ok"


def test_tokens_agree_with_their_number() -> None:
    assert str(Tokens(prompt=1)) == "1 token: 1 prompt, 0 output"
    assert str(Tokens(prompt=1, output=1)) == "2 tokens: 1 prompt, 1 output"
    assert str(Usage(prompt=1, total=1)) == "1 token: 1 prompt, 0 output"
    assert str(Usage(prompt=2, total=2)) == "2 tokens: 2 prompt, 0 output"


@pytest.mark.parametrize(
    ("number", "words"), [(1, "1 inline request"), (2, "2 inline requests")]
)
def test_inline_requests_agree_with_their_number(number: int, words: str) -> None:
    assert str(BatchJobSource(inlined_requests=({},) * number)) == words
