"""A file of requests such as people run in batches, the same one every time."""

import json
import random
from collections.abc import Iterator

_GOODS = (
    ("espresso machine", "kitchen"),
    ("trail running shoes", "sports"),
    ("noise-cancelling headphones", "audio"),
    ("standing desk", "office"),
    ("bicycle pump", "sports"),
    ("linen duvet cover", "bedroom"),
    ("cordless drill", "tools"),
    ("children's raincoat", "clothing"),
    ("e-book reader", "electronics"),
    ("cast-iron pan", "kitchen"),
    ("hiking backpack", "outdoor"),
    ("smart thermostat", "home"),
)
_PRAISE = (
    "works exactly as described",
    "feels far more solid than the price suggests",
    "was set up in ten minutes without the manual",
    "has been in use every day since it came",
    "replaced one that cost twice as much",
)
_COMPLAINTS = (
    "stopped working after the second week",
    "arrived with a deep scratch on the front",
    "is much louder than I expected",
    "came in the wrong colour and nobody answered my e-mail",
    "smells of glue even after a month",
)
_ENDINGS = (
    "I would buy it again.",
    "My sister ordered one too.",
    "I have sent it back.",
    "Three stars, because delivery was quick.",
    "Für den Preis völlig in Ordnung.",
    "正直、値段のわりに良いと思います。",
    "No complaints so far 🙂",
)
_SYMPTOMS = (
    "the export to CSV ends after exactly 10,000 rows",
    "two-factor codes by text message arrive after they have expired",
    "the invoice for last month shows the old company address",
    "the mobile app signs me out whenever I switch networks",
    "uploads above 200 MB stop at 99 % and start again",
    "the dashboard shows yesterday's numbers until noon",
)
_TRIED = (
    "restarted the browser and cleared its cache",
    "tried it on another machine",
    "asked a colleague, who sees the same",
    "waited a day in case it was an outage",
    "gone back to the previous version",
)
_STREETS = ("Mill Lane", "Hauptstraße", "Rue des Lilas", "Elm Avenue", "Via Roma")
_TOWNS = ("Leeds", "Kassel", "Nantes", "Portland", "Bergamo")
_NAMES = ("A. Okafor", "J. Lindqvist", "M. Haddad", "S. Kowalska", "R. Tanaka")
_LANGUAGES = ("German", "Japanese", "Spanish", "Polish", "Dutch")


def requests(count: int, seed: int = 7) -> Iterator[bytes]:
    """Lines of JSON, each with its line end, each with another text."""
    chance = random.Random(seed)
    kinds = (_review, _ticket, _order, _description)
    for number in range(1, count + 1):
        text = chance.choice(kinds)(chance, number)
        row = {"contents": [{"role": "user", "parts": [{"text": text}]}]}
        yield json.dumps(row, ensure_ascii=False).encode() + b"\n"


def _review(chance: random.Random, number: int) -> str:
    thing, _ = chance.choice(_GOODS)
    good, bad = chance.choice(_PRAISE), chance.choice(_COMPLAINTS)
    story = chance.choice((good, bad, f"{good}, but {bad}"))
    return (
        "Classify the sentiment of this product review as positive, negative or mixed. "
        "Answer with one word.\n\n"
        f"Review {number}: The {thing} {story}. {chance.choice(_ENDINGS)}"
    )


def _ticket(chance: random.Random, number: int) -> str:
    tried = chance.sample(_TRIED, 2)
    return (
        "Summarise this support ticket in one sentence for the engineer on duty.\n\n"
        f"Ticket #{40_000 + number}\nHello, since {chance.randint(2, 28)} October "
        f"{chance.choice(_SYMPTOMS)}. I have {tried[0]} and {tried[1]}. We are "
        f"{chance.randint(3, 400)} people and need this by Friday.\n"
        f"Regards, {chance.choice(_NAMES)}"
    )


def _order(chance: random.Random, number: int) -> str:
    goods = chance.sample(_GOODS, 2)
    return (
        "Extract the items, quantities and delivery address from this message as JSON "
        'with the keys "items" and "address".\n\n'
        f"Order {number}: please send {chance.randint(1, 9)} x {goods[0][0]} and "
        f"{chance.randint(1, 9)} x {goods[1][0]} to {chance.choice(_NAMES)}, "
        f"{chance.choice(_STREETS)} {chance.randint(1, 120)}, {chance.choice(_TOWNS)}. "
        "Ring twice."
    )


def _description(chance: random.Random, number: int) -> str:
    thing, section = chance.choice(_GOODS)
    return (
        f"Translate this catalogue entry into {chance.choice(_LANGUAGES)}, and keep "
        f"the article number as it is.\n\nNo. {number:05d} ({section}): {thing}, "
        f"{chance.randint(2, 30) / 10:.1f} kg, {chance.randint(1, 5)} years of warranty"
    )
