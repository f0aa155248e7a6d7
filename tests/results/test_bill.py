"""
What the answers of a file cost: the engine gives a bill those that rows keep.

Prices are those of the built-in list on Vertex AI's location `global`, in dollars for a
million tokens, so a token costs as many millionths.
"""

from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.batches.usage import RowUsage
from batchdrop.jobs.values import Cost
from batchdrop.pricing import Bill, Prices, Tokens, Unpriced
from batchdrop.pricing.bill import MAX_METERS
from batchdrop.results.lines import Kind
from tests.results.made import File, answer, collect, failed, part, response, shard

END = date(2026, 12, 31)  #: of the batch
#: Members of an answer: when it was made, as the Developer API says it.
MADE = {"response": {"createTime": "2027-01-01T00:00:00Z"}}
NONSENSE = {"response": {"createTime": "2027-13-01T00:00:00Z"}}


def made_bill() -> Bill:
    return Bill(
        Prices.load(),
        model="gemini-3.8-flash",
        backend="vertex",
        location="global",
        day=END,
    )


def billed(file: File, *answers: Any) -> Cost | Unpriced:
    bill = made_bill()
    collect(file, *answers, bill=bill)
    return bill.cost()


def micros(file: File, *answers: Any) -> int:
    cost = billed(file, *answers)
    assert isinstance(cost, Cost), cost
    return cost.micros


def counted(line: int, prompt: int, output: int, **members: Any) -> bytes:
    """An answer with these tokens; the other members are those of its line."""
    more = members.pop("response", {})
    counts = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": output,
        "totalTokenCount": prompt + output,
    }
    counts |= more.pop("counts", {})
    said = {**response(), "usageMetadata": counts, **more}
    return answer(line, response=said, **members)


def test_the_tokens_of_all_rows_are_summed() -> None:
    lines = [counted(n, 1000, 200) for n in range(1, 4)]

    # gemini-3.8-flash until 2026-12-31: 3,000 x 0.375 + 600 x 1.875
    assert micros(File.of(3), shard(*lines)) == 1125 + 1125


def test_models_and_days_have_prices_of_their_own() -> None:
    lite = {"modelVersion": "gemini-3.5-flash-lite"}
    lines = [
        counted(1, 1000, 200),
        counted(2, 1000, 200, response=lite),
        counted(3, 1000, 200, processed_time="2027-01-01T00:00:00.000+00:00"),
    ]

    # gemini-3.8-flash in 2026     1,000 x 0.375 + 200 x 1.875
    # gemini-3.5-flash-lite        1,000 x 0.15  + 200 x 1.25
    # gemini-3.8-flash from 2027   1,000 x 0.75  + 200 x 3.75
    expected = (375 + 375) + (150 + 250) + (750 + 750)
    assert micros(File.of(3), shard(*lines)) == expected


@pytest.mark.parametrize(
    ("members", "rate"),
    [
        ({"processed_time": "2026-12-31T23:59:59.999+00:00"}, 375),
        ({"processed_time": "2027-01-01T01:59:59+02:00"}, 375),
        ({"processed_time": "2027-01-01T00:00:00Z"}, 750),
        # The Developer API has no `processed_time`.
        ({"processed_time": ...} | MADE, 750),
        ({"processed_time": "soon"} | MADE, 750),
        ({"processed_time": ...} | NONSENSE, 375),
    ],
    ids=range(6),
)
@pytest.mark.parametrize("reason", ["STOP", "MAX_TOKENS"], ids=["usual", "any"])
def test_the_day_is_the_answers_own_or_that_of_the_end(
    members: dict[str, Any], rate: int, reason: str
) -> None:
    candidates = response(finishReason=reason)["candidates"]
    own = {"candidates": candidates} | members.get("response", {})

    line = counted(1, 1000, 0, **members | {"response": own})

    assert micros(File.of(1), shard(line)) == rate


def test_audio_cached_tokens_and_thoughts_have_their_prices() -> None:
    counts = {
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": 600},
            {"modality": "AUDIO", "tokenCount": 400},
        ],
        "cacheTokensDetails": [
            {"modality": "TEXT", "tokenCount": 150},
            {"modality": "AUDIO", "tokenCount": 50},
        ],
        "cachedContentTokenCount": 200,
        "thoughtsTokenCount": 100,
        "totalTokenCount": 1400,
    }
    said = {"counts": counts, "modelVersion": "gemini-3.1-flash-lite"}

    line = counted(1, 1000, 300, response=said)

    # text                (600 - 150) x 0.125
    # audio               (400 - 50)  x 0.25
    # cached text          150        x 0.025
    # cached audio          50        x 0.05
    # answer and thoughts (300 + 100) x 0.75
    # Each is rounded half to even: 56.25, 87.5, 3.75, 2.5, 300
    assert micros(File.of(1), shard(line)) == 56 + 88 + 4 + 2 + 300


def test_rows_that_failed_were_refused_or_have_no_answer_cost_nothing() -> None:
    file = File(kinds=[Kind.STAGED] * 3 + [Kind.REFUSED])
    beside = counted(2, 1000, 200, status="Bad Request: no")

    assert micros(file, shard(failed(1), beside)) == 0


def test_a_blocked_prompt_without_counts_costs_nothing() -> None:
    blocked = answer(
        2,
        response={
            "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
            "modelVersion": "gemini-9-unheard-of",
        },
    )

    assert micros(File.of(2), shard(counted(1, 1000, 0), blocked)) == 375


def test_a_blocked_prompt_with_counts_is_paid() -> None:
    said = {"promptFeedback": {"blockReason": "OTHER"}, "candidates": []}

    assert micros(File.of(1), shard(counted(1, 1000, 0, response=said))) == 375


def test_answers_that_no_row_keeps_are_not_billed() -> None:
    kept, other = counted(1, 1000, 200), counted(1, 5000, 0)

    assert micros(File.of(1), shard(kept), part(kept)) == 750
    assert micros(File.of(1), shard(kept, other)) == 750


def test_a_model_without_a_price_has_the_whole_cost_unknown() -> None:
    unheard = counted(2, 1000, 0, response={"modelVersion": "gemini-9-unheard-of"})

    cost = billed(File.of(2), shard(counted(1, 1000, 0), unheard))

    assert cost == Unpriced(
        "the prices of 2026-11-28 have none for gemini-9-unheard-of"
    )


def test_answers_that_count_nothing_have_the_cost_unknown() -> None:
    silent = counted(2, 0, 0)

    cost = billed(File.of(2), shard(counted(1, 1000, 0), silent))

    assert cost == Unpriced("answers that count no tokens: 1")


#: Any JSON, where an answer has its model, its times and its tokens.
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(["TEXT", "AUDIO", "gemini-3.8-flash", "2026-12-01T00:00:00Z"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["modality", "tokenCount", "promptTokenCount", "input_tokens"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
COUNTS = (
    *("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount"),
    *("totalTokenCount", "cachedContentTokenCount", "toolUsePromptTokenCount"),
    *("promptTokensDetails", "cacheTokensDetails", "candidatesTokensDetails"),
    *("input_tokens", "cache_creation", "prompt_tokens", "prompt_tokens_details"),
)
counts = st.dictionaries(st.sampled_from(COUNTS), anything, max_size=6) | anything


@given(
    said=st.dictionaries(st.sampled_from(["usageMetadata", "usage"]), counts),
    more=st.dictionaries(
        st.sampled_from(["modelVersion", "model", "createTime", "body", "candidates"]),
        anything,
    ),
    at=anything,
)
def test_no_answer_stops_the_collecting(
    said: dict[str, Any], more: dict[str, Any], at: Any
) -> None:
    usual = answer(1, response={**response(), **said}, processed_time=at)
    odd = answer(2, response={**response(), **said, **more}, processed_time=at)

    cost = billed(File.of(2), shard(usual, odd))

    assert isinstance(cost, Unpriced) or 0 <= cost.micros < 2**63


def test_deep_values_in_place_of_words_stop_nothing() -> None:
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    details = [{"modality": deep, "tokenCount": 8}]

    cost = billed(
        File.of(1),
        shard(counted(1, 8, 0, response={"counts": {"promptTokensDetails": details}})),
    )

    assert cost == Unpriced("gemini-3.8-flash: no price of other tokens is known")


# -- bills of parts of a job ---------------------------------------------------------

#: Models with and without a price above 200,000 tokens of prompt, one without a price.
MODELS = st.sampled_from(["gemini-2.5-pro", "gemini-3.5-flash-lite", "no-such"])
ROWS = st.tuples(
    MODELS,
    st.integers(0, 400_000),
    st.integers(0, 5),
    st.sampled_from([END, date(2027, 1, 1), None]),
)


def summed(parts: list[Bill]) -> Bill:
    """The sum of bills, each of which was written down and read again."""
    whole = made_bill()
    for each in parts:
        text = msgspec.json.encode(each.tokens())
        whole.include(msgspec.json.decode(text, type=Tokens))
    return whole


def add(bill: Bill, model: str, prompt: int, output: int, day: date | None) -> None:
    bill.add({"modelVersion": model}, RowUsage(prompt=prompt, output=output), day)


@given(parts=st.lists(st.lists(ROWS, max_size=6), max_size=5))
def test_bills_of_parts_sum_up_to_the_bill_of_the_whole(parts: list[Any]) -> None:
    whole, bills = made_bill(), []
    for rows in parts:
        bills.append(made_bill())
        for row in rows:
            add(bills[-1], *row)
            add(whole, *row)

    assert summed(bills).cost() == whole.cost()
    assert summed(bills).items() == whole.items()


def test_what_is_summed_is_rounded_once() -> None:
    bills = [made_bill() for _ in range(8)]
    for each in bills:
        add(each, "gemini-3.8-flash", 1, 0, END)  # 0.375 millionths

    cost = summed(bills).cost()
    assert isinstance(cost, Cost)
    assert cost.micros == 3


def test_too_many_models_of_all_parts_are_not_priced() -> None:
    bills = [made_bill() for _ in range(2)]
    whole = made_bill()
    for n in range(MAX_METERS + 10):
        add(bills[n % 2], "gemini-3.8-flash", n + 1, 0, date.fromordinal(700_000 + n))
        add(whole, "gemini-3.8-flash", n + 1, 0, date.fromordinal(700_000 + n))

    found = summed(bills)

    assert len(found.tokens().metered) <= MAX_METERS + 1
    assert isinstance(found.cost(), Unpriced)
    assert isinstance(summed([found]).cost(), Unpriced)
