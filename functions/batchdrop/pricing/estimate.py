"""What a job will cost, as its tokens are estimated."""

from datetime import date

from batchdrop.jobs.values import Cost
from batchdrop.preflight.estimate import Estimate
from batchdrop.preflight.rules import Rules
from batchdrop.pricing.bill import micros
from batchdrop.pricing.prices import Kind, Prices, Unpriced


def estimated_cost(
    estimate: Estimate, rules: Rules, prices: Prices, *, location: str, day: date
) -> Cost | Unpriced:
    """
    The cost of an estimated job, or why it can't be known.

    Every prompt is taken for text, and for as long as the average.

    Args:
        location: of Vertex AI; the Developer API has none.
        day: on which the job is paid.
    """
    price = prices.find(rules.model, backend=rules.backend, location=location, day=day)
    if isinstance(price, Unpriced):
        return price
    long = price.above is not None and estimate.tokens > price.above * estimate.rows
    spent: dict[Kind, int] = {
        "input": estimate.tokens,
        "output": estimate.answer_tokens,
    }
    total = 0
    for kind, tokens in spent.items():
        rate = price.rate(kind, long=long)
        if tokens and rate is None:
            return Unpriced(f"{price.model}: no price of {kind} tokens is known")
        total += micros(tokens, rate) if rate is not None else 0
    return Cost(
        micros=total,
        currency=prices.currency,
        prices_as_of=prices.as_of.isoformat(),
    )
