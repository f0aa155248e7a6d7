"""The price list: what it has for a model, a backend, a location and a day."""

import json
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from batchdrop.preflight import MODEL
from batchdrop.pricing import Price, Prices, Unpriced, estimated
from batchdrop.rows import Tokens

NOVEMBER, DECEMBER, JANUARY = (
    date(2026, 11, 28),
    date(2026, 12, 1),
    date(2027, 1, 1),
)
DAY = timedelta(days=1)
BUILT_IN = Prices.load()


def price(
    model: str,
    backend: str = "vertex",
    day: date = NOVEMBER,
    *,
    location: str = "global",
    prices: Prices = BUILT_IN,
) -> Price:
    found = prices.find(model, backend=backend, location=location, day=day)
    assert isinstance(found, Price), found
    return found


def why(
    model: str,
    backend: str = "vertex",
    day: date = NOVEMBER,
    *,
    location: str = "global",
) -> str:
    found = BUILT_IN.find(model, backend=backend, location=location, day=day)
    assert isinstance(found, Unpriced)
    return found.why


def listed(*entries: Mapping[str, Any], **members: Any) -> bytes:
    """A price list with these entries."""
    entry: dict[str, Any] = {"models": ["m"], "input": 1, "output": 2, "sources": ["s"]}
    return json.dumps(
        {
            "as_of": "2030-01-01",
            "currency": "EUR",
            "sources": {"s": {"what": "a page", "read": "2030-01-01"}},
            "prices": [{**entry, **one} for one in entries or ({},)],
        }
        | members
    ).encode()


# -- which price it is ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("publishers/google/models/gemini-3.8-flash", "gemini-3.8-flash"),
        ("gemini-3.8-flash-001", "gemini-3.8-flash"),
        ("gemini-3.8-flash@001", "gemini-3.8-flash"),
        ("models/gemini-2.5-flash-preview-09-2025", "gemini-2.5-flash"),
        ("gemini-2.5-flash-lite-preview-09-2025", "gemini-2.5-flash-lite"),
        ("gemini-3-flash-preview-12-2025", "gemini-3-flash-preview"),
        ("gemini-embedding-001", "gemini-embedding-001"),
        ("gemini-flash-lite-latest", "gemini-3.5-flash-lite"),
    ],
)
def test_a_version_has_the_price_of_its_family(name: str, model: str) -> None:
    assert price(name, "developer").model == model


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("claude-haiku-4-5@20251001", "claude-haiku-4-5"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("publishers/anthropic/models/claude-opus-4-8", "claude-opus-4-8"),
        ("openai/gpt-oss-120b-maas", "gpt-oss-120b"),
        ("meta/llama-4-scout-17b-16e-instruct-maas", "llama-4-scout"),
    ],
)
def test_a_version_of_another_publisher_has_the_price_of_its_family(
    name: str, model: str
) -> None:
    assert price(name).model == model


@pytest.mark.parametrize(
    "name",
    [
        "gemini-3.8-flash-image",
        "gemini-3.8-flash-lite",
        "gemini-3.8-flash-preview",
        "gemini-2.5-flash-preview-05-20",
        "claude-opus-4-1-20250805",
        "projects/p/locations/us-central1/models/1234",
        "",
    ],
)
def test_a_neighbour_of_a_model_has_no_price(name: str) -> None:
    assert why(name).startswith("the prices of 2026-11-28 have none for ")


def test_an_unknown_price_has_a_reason() -> None:
    none = "the prices of 2026-11-28 have none for"

    assert why("gemini-of-tomorrow") == f"{none} gemini-of-tomorrow"
    assert why("gemini-2.5-pro") == f"{none} gemini-2.5-pro on Vertex AI"
    assert (
        why("claude-opus-5", "developer")
        == f"{none} claude-opus-5 on the Gemini Developer API"
    )
    assert why("gemini-4-neon", "developer", date(2026, 11, 17)) == (
        f"{none} gemini-4-neon on 2026-11-17"
    )
    assert why("gemini-4-carbon", location="us-central1") == (
        f"{none} gemini-4-carbon outside the location global"
    )
    assert "by the character or by the token" in why("text-embedding-005")


@pytest.mark.parametrize(
    ("model", "backend", "day", "before", "after"),
    [
        ("gemini-4-argon", "vertex", DECEMBER, ("1", "5"), ("2", "10")),
        ("gemini-4-carbon", "developer", DECEMBER, ("1", "5"), ("2", "10")),
        ("gemini-3.8-flash", "vertex", JANUARY, ("0.375", "1.875"), ("0.75", "3.75")),
        ("gemini-3.6-flash", "vertex", JANUARY, ("0.375", "1.875"), ("0.75", "3.75")),
        ("gemini-3.8-flash-tts", "developer", JANUARY, ("0.25", "4.5"), ("0.5", "9")),
    ],
)
def test_a_price_doubles_on_its_day(
    model: str,
    backend: str,
    day: date,
    before: tuple[str, str],
    after: tuple[str, str],
) -> None:
    for when, (prompt, answer) in ((day - DAY, before), (day, after)):
        found = price(model, backend, when)
        assert found.rate("input") == Decimal(prompt)
        assert found.rate("output") == Decimal(answer)


def test_a_rerouted_model_costs_what_the_answering_model_costs() -> None:
    def model(name: str, backend: str, day: date) -> str:
        return price(name, backend, day).model

    assert model("gemini-2.5-pro", "developer", DECEMBER - DAY) == "gemini-2.5-pro"
    assert model("gemini-2.5-pro", "developer", DECEMBER) == "gemini-3.8-flash"
    assert model("gemini-2.5-flash-001", "developer", DECEMBER) == (
        "gemini-3.5-flash-lite"
    )
    assert model("gemini-3.5-flash", "developer", NOVEMBER) == "gemini-3.6-flash"
    assert model("gemini-3.5-flash", "vertex", NOVEMBER) == "gemini-3.5-flash"


def test_newer_models_cost_a_tenth_more_outside_global() -> None:
    def rate(model: str, backend: str = "vertex") -> Decimal | None:
        return price(model, backend, location="europe-west4").rate("input")

    assert rate("gemini-3.8-flash") == Decimal("0.4125")  # 0.375 * 1.1
    assert rate("claude-sonnet-5-5") == Decimal("1.1")
    assert rate("gemini-3-flash-preview") == Decimal("0.25")
    assert rate("gemini-3.8-flash", "developer") == Decimal("0.375")


def test_an_embedding_is_not_always_half_price() -> None:
    assert price("gemini-embedding-001").rate("input") == Decimal("0.12")
    assert price("gemini-embedding-001", "developer").rate("input") == Decimal("0.075")


def test_media_cost_what_text_costs_unless_they_have_a_price_or_none_is_known() -> None:
    flash, lite = price("gemini-3.8-flash"), price("gemini-3.1-flash-lite")
    carbon, embedding = price("gemini-4-carbon"), price("gemini-embedding-2")

    assert flash.rate("input_audio") == flash.rate("input")
    assert flash.rate("cached_audio") == flash.rate("cached")
    assert lite.rate("input_audio") == Decimal("0.25")
    assert lite.rate("input_video") == Decimal("0.125")
    assert carbon.rate("input_audio") is None
    assert carbon.rate("cached_audio") is None
    assert embedding.rate("input_video") == 6
    assert flash.rate("output_image") is None
    assert flash.rate("write") is None


@pytest.mark.parametrize("day", [NOVEMBER, JANUARY])
@pytest.mark.parametrize("location", ["global", "us-central1"])
@pytest.mark.parametrize("model", [MODEL, "gemini-embedding-2"])
def test_the_models_that_examples_name_have_a_price(
    model: str, location: str, day: date
) -> None:
    for backend in ("vertex", "developer"):
        assert price(model, backend, day, location=location).rate("input")


def test_each_source_of_the_built_in_list_is_used_and_has_a_date() -> None:
    used = {name for entry in BUILT_IN.prices for name in entry.sources}

    assert used == set(BUILT_IN.sources)
    assert all(source.read and source.what for source in BUILT_IN.sources.values())


def test_only_the_long_tier_of_a_model_has_its_limit() -> None:
    long = {
        name: entry.long.above
        for entry in BUILT_IN.prices
        if entry.long
        for name in entry.models
    }

    assert long == {
        "gemini-2.5-pro": 200_000,
        "gemini-3.1-pro-preview": 200_000,
        "gemini-3-pro-image": 200_000,
        "claude-sonnet-4-5": 200_000,
        "claude-haiku-5-5": 100_000,
    }


# -- a list of one's own -------------------------------------------------------------


def test_a_list_is_the_same_after_it_was_printed() -> None:
    assert Prices.load(msgspec.json.encode(BUILT_IN)) == BUILT_IN


def test_prices_are_read_as_they_are_written() -> None:
    found = Prices.load(listed({"input": 0.1, "output": 0.123456789}))

    assert price("m", prices=found).rate("input") == Decimal("0.1")
    assert price("m", prices=found).rate("output") == Decimal("0.123456789")


def test_entries_may_follow_each_other_and_stand_beside_each_other() -> None:
    found = Prices.load(
        listed(
            {"until": "2029-12-31", "input": 1},
            {"from": "2030-01-01", "backend": "vertex", "input": 3},
            {"from": "2030-01-01", "backend": "developer", "input": 4},
        )
    )

    def rate(backend: str, day: date) -> Decimal | None:
        return price("m", backend, day, prices=found).rate("input")

    assert rate("vertex", date(2029, 12, 31)) == 1
    assert rate("vertex", date(2030, 1, 1)) == 3
    assert rate("developer", date(2030, 1, 1)) == 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", "Input data was truncated"),
        (b"\xff", "not a price list"),
        (b"[" * 10_000, "not a price list"),
        (b" " * 500_001, "more than 500,000 bytes"),
        (b'{"models": 7}', "unknown field `models`"),
        (listed(currency="$"), "no code of three letters"),
        (listed(as_of="today"), "`$.as_of`"),
        (listed({"input": -1}), "input is no price"),
        (listed({"input": "NaN"}), "input is no price"),
        (listed({"output": 1e-10}), "9 digits behind the point"),
        (listed({"cached": 1e300}), "at most 1,000,000"),
        (listed({"cache": 1}), "unknown field `cache`"),
        (listed({"elsewhere": "Infinity"}), "elsewhere is no price"),
        (listed({"long": {"above": 5}}), "missing required field `input`"),
        (listed({"backend": "azure"}), "'azure'"),
        (listed({"sources": ["t"]}), "sources has no t (m)"),
        (listed({"sources": []}), "needs models and sources"),
        (listed({"from": "2030-01-02", "until": "2030-01-01"}), "is after until"),
        (listed({}, {"from": "2030-01-02"}), "m has two prices for the same day"),
        (listed({}, {"backend": "vertex"}), "m has two prices for the same day"),
        (listed(aliases={"a": "b"}), "the alias a is of b"),
    ],
)
def test_what_is_no_price_list_is_refused_with_what_is_wrong(
    text: bytes, expected: str
) -> None:
    with pytest.raises(ValueError, match="not a price list") as caught:
        Prices.load(text)

    assert expected in str(caught.value)


# -- an estimate ---------------------------------------------------------------------


def estimate(
    rows: int, tokens: Tokens, *, model: str, location: str = "global"
) -> int | str | None:
    found = estimated(
        tokens,
        rows,
        BUILT_IN,
        model=model,
        backend="vertex",
        location=location,
        day=NOVEMBER,
    )
    assert found.tokens == tokens
    return found.no_cost if found.cost is None else found.cost.micros


def test_an_estimate_costs_its_tokens_in_and_out() -> None:
    # 120,000 * 0.375 + 250,000 * 1.875 = 45,000 + 468,750
    def of(location: str) -> int | str | None:
        return estimate(
            1000,
            Tokens(prompt=120_000, output=250_000),
            model="gemini-3.8-flash",
            location=location,
        )

    assert of("global") == 513_750
    assert of("us-east5") == 565_125  # 513,750 * 1.1


def test_thoughts_are_estimated_to_cost_what_answers_cost() -> None:
    tokens = Tokens(prompt=120_000, output=200_000, thoughts=50_000)

    assert estimate(1000, tokens, model="gemini-3.8-flash") == 513_750


def test_an_estimate_has_the_price_of_each_medium() -> None:
    # 100 * 0.1 + 200 * 0.225 + 300 * 3.25 + 400 * 6 = 10 + 45 + 975 + 2,400
    tokens = Tokens(prompt=1000, image=200, audio=300, video=400)

    assert estimate(1, tokens, model="gemini-embedding-2") == 3430


def test_an_estimate_takes_each_prompt_for_as_long_as_the_average() -> None:
    model = "gemini-3.1-pro-preview"

    assert estimate(2, Tokens(prompt=400_000), model=model) == 400_000
    assert estimate(2, Tokens(prompt=400_002), model=model) == 800_004


def test_an_estimate_without_a_price_says_why() -> None:
    found = estimate(1, Tokens(prompt=1, output=1), model="gemini-of-tomorrow")

    assert found == "the prices of 2026-11-28 have none for gemini-of-tomorrow"
