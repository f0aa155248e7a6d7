"""
What answers cost, in millionths of a dollar.

Each example shows its arithmetic. Prices are those of the built-in list; where the
tokens of an example come from elsewhere, it says so. A token costs as many millionths
as a million tokens cost dollars.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.batches.usage import RowUsage, usage_of
from batchdrop.jobs.values import Cost
from batchdrop.pricing import Bill, Item, Prices, Unpriced
from batchdrop.pricing.bill import MAX_METERS, micros
from batchdrop.pricing.tokens import split

NOVEMBER, DECEMBER = date(2026, 11, 28), date(2026, 12, 1)
BUILT_IN = Prices.load()

Body = Mapping[str, Any]


def bill(
    model: str = "gemini-3.8-flash",
    *bodies: Body,
    backend: str = "vertex",
    location: str = "global",
    day: date = NOVEMBER,
    prices: Prices = BUILT_IN,
) -> Bill:
    """A bill of these answers."""
    made = Bill(prices, model=model, backend=backend, location=location, day=day)
    for body in bodies:
        made.add(body, usage_of(body))
    return made


def spent(*args: Any, **choices: Any) -> dict[str, int]:
    """The cost of each kind of tokens."""
    items = bill(*args, **choices).items()
    assert not isinstance(items, Unpriced), items.why
    return {item.kind: item.micros for item in items}


def cost(*args: Any, **choices: Any) -> int:
    found = bill(*args, **choices).cost()
    assert isinstance(found, Cost), found
    return found.micros


def why(found: Bill) -> str:
    cost = found.cost()
    assert isinstance(cost, Unpriced)
    return cost.why


def gemini(
    prompt: int,
    output: int = 0,
    /,
    *,
    thoughts: int = 0,
    cached: int = 0,
    tools: int = 0,
    model: str = "",
    searched: bool = False,
    **details: Mapping[str, int],
) -> Body:
    """A GenerateContentResponse; details such as `prompt={"AUDIO": 900}`."""
    counts: dict[str, Any] = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": output,
        "totalTokenCount": prompt + output + thoughts + tools,
    }
    if thoughts:
        counts["thoughtsTokenCount"] = thoughts
    if cached:
        counts["cachedContentTokenCount"] = cached
    if tools:
        counts["toolUsePromptTokenCount"] = tools
    for name, by_modality in details.items():
        counts[f"{name}TokensDetails"] = [
            {"modality": modality, "tokenCount": n}
            for modality, n in by_modality.items()
        ]
    body: dict[str, Any] = {"usageMetadata": counts}
    if model:
        body["modelVersion"] = model
    if searched:
        body["candidates"] = [{"groundingMetadata": {"webSearchQueries": ["x"]}}]
    return body


def claude(*, model: str = "", **counts: Any) -> Body:
    """A Message of Anthropic's SDK."""
    return {"type": "message", "model": model, "usage": counts}


# -- worked examples: Gemini ---------------------------------------------------------


def test_thoughts_cost_what_the_answer_costs() -> None:
    # Tokens of a row in Google's documentation of batch answers.
    answer = gemini(8, 11, thoughts=829)

    assert spent("gemini-3.8-flash", answer) == {
        "input": 3,  # 8 * 0.375 = 3
        "output": 1575,  # (11 + 829) * 1.875 = 1,575
    }


def test_what_tools_add_to_the_prompt_costs_what_the_prompt_costs() -> None:
    # Tokens of a row in litellm's tests, with Google Search: 19 + 59 + 406 + 73 = 557.
    row = gemini(19, 59, thoughts=406, tools=73)
    searched = gemini(19, 59, thoughts=406, tools=73, searched=True)

    assert spent("gemini-3.8-flash", row) == {
        "input": 34,  # (19 + 73) * 0.375 = 34.5, and half to even
        "output": 872,  # (59 + 406) * 1.875 = 871.875
    }
    # What a search found is charged by the search, as litellm has it.
    assert spent("gemini-3.8-flash", searched) == {
        "input": 7,  # 19 * 0.375 = 7.125
        "output": 872,
    }


def test_geminis_cached_tokens_are_a_part_of_the_prompt() -> None:
    # Google's API reference: promptTokenCount includes the cached tokens.
    answer = gemini(10_000, 100, cached=4_000)

    assert spent("gemini-3.8-flash", answer, backend="developer") == {
        "input": 2_250,  # 6,000 * 0.375
        "cached": 150,  # 4,000 * 0.0375
        "output": 188,  # 100 * 1.875 = 187.5, and half to even
    }
    # Discounts don't stack on Vertex AI: a tenth of the standard price of 0.75.
    assert spent("gemini-3.8-flash", answer)["cached"] == 300  # 4,000 * 0.075


def test_another_location_costs_a_tenth_more_of_each_kind() -> None:
    answer = gemini(10_000, 1_000, cached=4_000)

    assert spent("gemini-3.8-flash", answer, location="europe-west4") == {
        "input": 2_475,  # 6,000 * 0.375 * 1.1
        "cached": 330,  # 4,000 * 0.075 * 1.1
        "output": 2_062,  # 1,000 * 1.875 * 1.1 = 2,062.5, and half to even
    }


def test_a_request_with_a_long_prompt_costs_more_as_a_whole() -> None:
    short = gemini(200_000, 1_000)
    long = gemini(200_001, 1_000, cached=100_001)

    found = bill("gemini-3.1-pro-preview", short, long).items()

    assert not isinstance(found, Unpriced)
    assert [(each.long, each.kind, each.micros) for each in found] == [
        (False, "input", 200_000),  # 200,000 * 1
        (False, "output", 6_000),  # 1,000 * 6
        (True, "cached", 40_000),  # 100,001 * 0.4 = 40,000.4
        (True, "input", 200_000),  # 100,000 * 2
        (True, "output", 9_000),  # 1,000 * 9
    ]


def test_the_tier_is_that_of_each_request_and_of_its_prompt_alone() -> None:
    many = [gemini(150_000, 1)] * 10
    with_tools = gemini(200_000, 1, tools=50_000)

    found = bill("gemini-3.1-pro-preview", *many, with_tools).items()

    assert not isinstance(found, Unpriced)
    assert not any(item.long for item in found)


def test_audio_has_a_price_of_its_own() -> None:
    answer = gemini(
        1_000,
        10,
        cached=200,
        prompt={"TEXT": 100, "AUDIO": 900},
        cache={"AUDIO": 150, "TEXT": 50},
    )

    assert spent("gemini-3.1-flash-lite", answer) == {
        "input": 6,  # (100 - 50) * 0.125 = 6.25
        "input_audio": 188,  # (900 - 150) * 0.25 = 187.5, and half to even
        "cached": 1,  # 50 * 0.025 = 1.25
        "cached_audio": 8,  # 150 * 0.05 = 7.5, and half to even
        "output": 8,  # 10 * 0.75 = 7.5, and half to even
    }


def test_pictures_cost_what_the_list_of_pictures_says() -> None:
    # genai-prices and litellm: 0.0168 for a picture of 1,120 tokens in a batch.
    drawn = gemini(
        0, 1_120, candidates={"IMAGE": 1_120}, model="gemini-nano-banana-2.1"
    )

    assert spent("x", drawn) == {"output_image": 16_800}  # 1,120 * 15


def test_text_and_thoughts_beside_a_picture_are_the_rest_of_the_answer() -> None:
    # As genai-prices reads it: candidatesTokensDetails may list the picture alone.
    answer = gemini(100, 1_150, thoughts=70, candidates={"IMAGE": 1_120})

    assert spent("gemini-3-pro-image", answer) == {
        "input": 100,  # 100 * 1
        "output_image": 67_200,  # 1,120 * 60: 0.067 a picture, as litellm has it
        "output": 600,  # (1,150 - 1,120 + 70) * 6
    }


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        ("developer", 75),  # 1,000 * 0.075
        ("vertex", 120),  # 1,000 * 0.12
    ],
)
@pytest.mark.parametrize(
    "answer",
    [
        {"embedding": {"values": [1.0]}, "tokenCount": "1000"},
        {"embedding": {"values": [1.0]}, "usageMetadata": {"promptTokenCount": 1000}},
    ],
    ids=["until 2026", "since 2026"],
)
def test_an_embedding_costs_its_prompt(
    answer: Body, backend: str, expected: int
) -> None:
    assert cost("gemini-embedding-001", answer, backend=backend) == expected


def test_each_medium_of_an_embedding_has_its_price() -> None:
    answer = {
        "embedding": {"values": [1.0]},
        "usageMetadata": {
            "promptTokenCount": 1_000,
            "promptTokenDetails": [  # the Developer API's name
                {"modality": "IMAGE", "tokenCount": 300},
                {"modality": "VIDEO", "tokenCount": 200},
                {"modality": "AUDIO", "tokenCount": 100},
            ],
        },
    }

    assert spent("gemini-embedding-2", answer, backend="developer") == {
        "input": 40,  # 400 * 0.1
        "input_image": 68,  # 300 * 0.225 = 67.5, and half to even
        "input_video": 1_200,  # 200 * 6
        "input_audio": 325,  # 100 * 3.25
    }


# -- worked examples: others ---------------------------------------------------------


def test_claudes_cached_tokens_stand_beside_its_input() -> None:
    # Anthropic's SDK: input_tokens has neither what was read nor what was written.
    answer = claude(
        model="claude-sonnet-5-5",
        input_tokens=1_000,
        cache_read_input_tokens=10_000,
        cache_creation_input_tokens=3_000,
        cache_creation={
            "ephemeral_5m_input_tokens": 2_000,
            "ephemeral_1h_input_tokens": 1_000,
        },
        output_tokens=500,
        output_tokens_details={"thinking_tokens": 200},
    )

    assert spent("claude-sonnet-5-5", answer) == {
        "input": 1_000,  # 1,000 * 1
        "cached": 500,  # 10,000 * 0.05
        "write": 2_500,  # 2,000 * 1.25
        "write_1h": 2_000,  # 1,000 * 2
        "output": 2_500,  # 500 * 5
    }


def test_claudes_tier_counts_cached_tokens_too() -> None:
    answer = claude(
        model="claude-haiku-5-5",
        input_tokens=60_000,
        cache_read_input_tokens=30_000,
        cache_creation_input_tokens=20_000,
        output_tokens=1_000,
    )

    found = bill("claude-haiku-5-5", answer, location="us-east5").cost()

    # 60,000 * 0.25 + 30,000 * 0.025 + 20,000 * 0.3125 + 1,000 * 1.25
    # = 15,000 + 750 + 6,250 + 1,250 = 23,250, and * 1.1 outside global
    assert found == Cost(micros=25_575, currency="USD", prices_as_of="2026-11-28")


def test_an_open_model_costs_its_prompt_and_its_completion() -> None:
    answer = {
        "model": "meta/llama-4-maverick-17b-128e-instruct-maas",
        "usage": {
            "prompt_tokens": 1_000,
            "completion_tokens": 2_000,
            "total_tokens": 3_000,
        },
    }

    # 1,000 * 0.175 + 2,000 * 0.575
    model = "publishers/meta/models/llama-4-maverick-17b-128e-instruct-maas"
    assert cost(model, answer, location="us-east5") == 1_325


@pytest.mark.parametrize(
    ("prompt", "completion", "details", "audio", "image"),
    [
        (
            *("prompt_tokens", "completion_tokens", "_tokens_details"),
            *("audio_tokens", "image_tokens"),
        ),
        (
            *("promptTokens", "completionTokens", "TokensDetails"),
            *("audioTokens", "imageTokens"),
        ),
    ],
    ids=["OpenAI", "the Developer API"],
)
def test_media_of_an_openai_style_answer_are_told_apart(
    prompt: str, completion: str, details: str, audio: str, image: str
) -> None:
    answer = {
        "usage": {
            prompt: 100,
            completion: 50,
            f"prompt{details}": {audio: 30, image: 20},
            f"completion{details}": {audio: 10},
        }
    }

    assert split(answer, usage_of(answer)) == (
        100,
        {
            "input": 50,
            "input_audio": 30,
            "input_image": 20,
            "output": 40,
            "output_audio": 10,
        },
    )


# -- models and days -----------------------------------------------------------------


def test_the_price_is_that_of_the_model_that_answered() -> None:
    answer = gemini(1_000, model="gemini-3.8-flash")

    # 1,000 * 0.375, and not 1,000 * 0.625 as gemini-2.5-pro
    found = cost("gemini-2.5-pro", answer, backend="developer", day=DECEMBER)
    assert found == 375


def test_each_answer_costs_what_its_day_says() -> None:
    job = bill("gemini-4-argon", day=DECEMBER)
    answer = gemini(1_000, 100)
    for day in (date(2026, 11, 30), DECEMBER, None):
        job.add(answer, usage_of(answer), day)

    items = job.items()

    assert not isinstance(items, Unpriced)
    assert [(each.kind, str(each.rate), each.tokens) for each in items] == [
        ("input", "1", 1_000),
        ("input", "2", 2_000),
        ("output", "5", 100),
        ("output", "10", 200),
    ]
    # 1,000 * 1 + 100 * 5 on the last day of November, 2 * (1,000 * 2 + 100 * 10) then
    assert sum(each.micros for each in items) == 1_500 + 6_000


def test_tokens_of_one_price_are_multiplied_once() -> None:
    # 3 answers of 1 token: 3 * 0.125 = 0.375 -> 0; 5 of them: 0.625 -> 1
    one = gemini(1, model="gemini-3.1-flash-lite")
    other = gemini(1, model="gemini-3.1-flash-lite-001")

    assert cost("x", *[one] * 3) == 0
    assert cost("x", *[one] * 2, *[other] * 3) == 1


# -- what can't be known is never 0 --------------------------------------------------


def test_one_answer_of_an_unknown_model_makes_the_cost_unknown() -> None:
    good, bad = gemini(1), gemini(1, model="gemini-of-tomorrow")

    assert why(bill("gemini-3.8-flash", good, bad, good)) == (
        "the prices of 2026-11-28 have none for gemini-of-tomorrow"
    )


def test_tokens_of_a_kind_without_a_price_make_the_cost_unknown() -> None:
    heard = gemini(10, prompt={"AUDIO": 10}, model="gemini-4-carbon")
    felt = gemini(10, prompt={"SMELL": 10})
    cached = gemini(10, cached=5, model="gemini-4-neon")

    assert why(bill("x", heard)) == (
        "gemini-4-carbon: no price of input audio tokens is known"
    )
    assert why(bill("gemini-3.8-flash", felt)) == (
        "gemini-3.8-flash: no price of other tokens is known"
    )
    assert why(bill("x", cached, backend="developer")) == (
        "gemini-4-neon: no price of cached tokens is known"
    )


def test_an_answer_that_counts_no_tokens_makes_the_cost_unknown() -> None:
    assert why(bill("gemini-3.8-flash", gemini(1), {"candidates": []})) == (
        "answers that count no tokens: 1"
    )


def test_answers_that_name_too_many_models_take_no_memory() -> None:
    job = bill("gemini-3.8-flash")
    for n in range(MAX_METERS + 100):
        answer = gemini(1, model=f"gemini-{n}")
        job.add(answer, usage_of(answer))

    assert len(job._meters) <= MAX_METERS + 1
    assert isinstance(job.cost(), Unpriced)


def test_no_answers_cost_nothing() -> None:
    assert cost("gemini-3.8-flash") == 0


# -- whatever the answers count ------------------------------------------------------

TOKENS = st.integers(0, 300_000)
MODALITIES = st.sampled_from(["TEXT", "AUDIO", "IMAGE", "VIDEO", "DOCUMENT"])
DETAILS = st.lists(
    st.fixed_dictionaries({"modality": MODALITIES, "tokenCount": TOKENS}), max_size=3
)
ANSWERS = st.one_of(
    st.builds(
        lambda model, counts: {"modelVersion": model, "usageMetadata": counts},
        st.sampled_from(["gemini-embedding-2", "gemini-3.1-flash-lite"]),
        st.fixed_dictionaries(
            {"promptTokenCount": st.integers(1, 300_000)},
            optional={
                "candidatesTokenCount": st.just(0),
                "toolUsePromptTokenCount": TOKENS,
                "promptTokensDetails": DETAILS,
                "toolUsePromptTokensDetails": DETAILS,
                "cacheTokensDetails": DETAILS,
            },
        ),
    ),
    st.builds(
        gemini,
        st.integers(1, 300_000),
        TOKENS,
        thoughts=TOKENS,
        cached=TOKENS,
        tools=TOKENS,
        model=st.just("gemini-3.1-pro-preview"),
    ),
    st.builds(
        claude,
        model=st.just("claude-haiku-5-5"),
        input_tokens=st.integers(1, 300_000),
        cache_read_input_tokens=TOKENS,
        cache_creation_input_tokens=TOKENS,
        output_tokens=TOKENS,
    ),
)


@given(ANSWERS)
def test_each_token_is_of_one_kind(answer: Body) -> None:
    usage = usage_of(answer)

    _, tokens = split(answer, usage)

    assert sum(tokens.values()) == usage.prompt + usage.output + usage.thoughts
    assert min(tokens.values()) >= 0


@given(st.lists(st.tuples(ANSWERS, st.integers(0, 3)), min_size=1, max_size=30))
def test_the_parts_of_a_job_have_the_tokens_of_the_whole(
    answers: list[tuple[Body, int]],
) -> None:
    whole = bill("x", *(answer for answer, _ in answers), location="us-east5")
    parts = [
        bill("x", *(answer for answer, at in answers if at == n), location="us-east5")
        for n in range(4)
    ]

    def items(one: Bill) -> tuple[Item, ...]:
        found = one.items()
        assert not isinstance(found, Unpriced), found
        return found

    tokens: dict[tuple[Any, ...], int] = {}
    for item in (item for part in parts for item in items(part)):
        key = (item.model, item.kind, item.long, item.rate)
        tokens[key] = tokens.get(key, 0) + item.tokens
    assert tokens == {
        (item.model, item.kind, item.long, item.rate): item.tokens
        for item in items(whole)
    }
    # Each product is rounded once, by half a millionth at most.
    assert sum(micros(n, key[-1]) for key, n in tokens.items()) == sum(
        item.micros for item in items(whole)
    )
    apart = sum(item.micros for part in parts for item in items(part))
    products = sum(len(items(part)) for part in parts) + len(items(whole))
    assert abs(apart - sum(each.micros for each in items(whole))) * 2 <= products


@given(st.lists(ANSWERS, max_size=20), st.randoms(use_true_random=False))
def test_the_order_of_answers_changes_nothing(answers: list[Body], random: Any) -> None:
    shuffled = list(answers)
    random.shuffle(shuffled)

    assert bill("x", *shuffled).items() == bill("x", *answers).items()


def test_usage_that_says_more_than_it_can_hold_costs_its_own_tokens() -> None:
    usage = RowUsage(prompt=10, cached=99, output=5, thoughts=0, total=15)
    body = gemini(10, 5, prompt={"AUDIO": 99}, cache={"AUDIO": 99})

    assert split(body, usage) == (10, {"cached_audio": 10, "output": 5})


def test_a_cost_that_no_document_can_hold_is_not_known() -> None:
    entry = '{"models": ["m"], "input": 1000000, "sources": ["x"]}'
    prices = Prices.load(
        b'{"as_of": "2026-11-28", "currency": "USD", "prices": [%b],'
        b' "sources": {"x": {"what": "x", "read": "x"}}}' % entry.encode()
    )
    job = bill("m", prices=prices)
    most = (2**63 - 1) // 10**6

    job.add({}, RowUsage(prompt=most))
    assert job.cost() == Cost(
        micros=most * 10**6, currency="USD", prices_as_of="2026-11-28"
    )
    job.add({}, RowUsage(prompt=1))
    assert why(job) == "the cost is too large to be written"
