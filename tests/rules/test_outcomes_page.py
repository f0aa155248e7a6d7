"""The reference page of outcomes says what the code says."""

from batchdrop.batches.answers import CLAUDE, FINISH_REASONS, GEMINI, OPENAI
from batchdrop.rows import RowOutcome
from tests.outcomes import PAGE, page


def test_the_page_of_outcomes_is_that_of_the_code() -> None:
    assert PAGE.read_text() == page(), "run `make codes` and commit what it writes"


def test_the_page_explains_each_outcome_and_finish_reason() -> None:
    text = PAGE.read_text()

    for word in (*RowOutcome, *FINISH_REASONS):
        assert f"\n| `{word}` | " in text


def test_no_finish_reason_is_a_word_of_two_publishers() -> None:
    assert len(FINISH_REASONS) == len(GEMINI) + len(CLAUDE) + len(OPENAI)
