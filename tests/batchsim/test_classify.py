"""The model that tells praise from complaints."""

import pytest

from batchsim import Prompt, classify


@pytest.mark.parametrize(
    ("review", "answer"),
    [
        ("The pan is great.", "positive"),
        ("It broke on day two.", "negative"),
        ("Arrived late, works well.", "mixed"),
        ("It is a pan.", "mixed"),
    ],
)
def test_a_review_is_classified_by_its_words(review: str, answer: str) -> None:
    text = f"Is this review positive, negative or mixed? {review}"

    assert classify(prompt(text)) == answer


def test_only_a_word_that_the_prompt_offers_is_an_answer() -> None:
    text = "Positive or negative? It is great and lovely, but late."

    assert classify(prompt(text)) == "positive"


@pytest.mark.parametrize("text", ["Red or green? The pan is great.", "Tell me a story"])
def test_any_other_prompt_is_echoed(text: str) -> None:
    assert classify(prompt(text)) == text


def prompt(text: str) -> Prompt:
    return Prompt(model="gemini-3.8-flash", text=text, request={})
