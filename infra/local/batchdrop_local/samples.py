"""A file of reviews to classify, the same one every time."""

import json
import random
from collections.abc import Iterator

QUESTION = (
    "Is this product review positive, negative or mixed? Answer with one word.\n\n"
)
_GOODS = (
    *("espresso machine", "cast-iron pan", "linen duvet cover", "standing desk"),
    *("running jacket", "bicycle pump", "hiking backpack", "children's raincoat"),
    *("headset", "e-book reader", "smart thermostat", "garden chair"),
    *("cordless drill", "garden hose", "reading lamp", "rice cooker"),
)
_PRAISE = (
    "works exactly as described",
    "feels more solid than its price",
    "was set up without the manual",
    "has been in use every day since",
    "replaced one that cost twice as much",
)
_COMPLAINTS = (
    "stopped working after a week",
    "came with a deep scratch",
    "is much louder than I thought",
    "came in the wrong colour",
    "smells of glue after a month",
)
_ENDINGS = (
    "Three stars.",
    "My sister ordered one too.",
    "Delivery took two days.",
    "Für den Preis in Ordnung.",
    "二つ買いました。",
    "That is all 🙂",
)


def reviews(count: int, seed: int = 8) -> Iterator[bytes]:
    """Lines of JSON, each with its line end, a key and another text."""
    chance = random.Random(seed)
    for number in range(1, count + 1):
        product, review = _review(chance)
        text = f"{QUESTION}#{number}: {review}"
        row = {
            "key": f"review-{number:04d}",
            "product": product,
            "request": {"contents": [{"role": "user", "parts": [{"text": text}]}]},
        }
        yield json.dumps(row, ensure_ascii=False).encode() + b"\n"


def bad_line() -> bytes:
    """A line that no API takes: "assistant" is no role of Gemini's."""
    content = {"role": "assistant", "parts": [{"text": f"{QUESTION}It is fine."}]}
    return json.dumps({"key": "bad", "request": {"contents": [content]}}).encode()


def _review(chance: random.Random) -> tuple[str, str]:
    thing = chance.choice(_GOODS)
    good, bad = chance.choice(_PRAISE), chance.choice(_COMPLAINTS)
    story = chance.choice((good, bad, f"{good}, but {bad}"))
    return thing, f"The {thing} {story}. {chance.choice(_ENDINGS)}"
