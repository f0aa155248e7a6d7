"""Estimates what a job will cost, from its estimated tokens."""

from datetime import date

from batchdrop.jobs.values import Cost, Estimate
from batchdrop.pricing.bill import MOST_MICROS, micros
from batchdrop.pricing.prices import Kind, Prices, Unpriced
from batchdrop.rows import Tokens


def estimated(
    tokens: Tokens,
    rows: int,
    prices: Prices,
    *,
    model: str,
    backend: str,
    location: str,
    day: date,
) -> Estimate:
    """
    What these tokens cost in a batch, or why it can't be known.

    Every prompt is taken for as long as the average. None is taken to be cached.

    Args:
        rows: how many have these tokens.
        location: of Vertex AI; the Developer API has none.
        day: on which they are paid (UTC).
    """

    def unknown(why: str) -> Estimate:
        return Estimate(tokens=tokens, no_cost=why)

    price = prices.find(model, backend=backend, location=location, day=day)
    if isinstance(price, Unpriced):
        return unknown(price.why)
    long = price.above is not None and tokens.prompt > price.above * rows
    media: dict[Kind, int] = {
        "input_image": tokens.image,
        "input_video": tokens.video,
        "input_audio": tokens.audio,
    }
    spent: dict[Kind, int] = {
        # Each count was rounded by itself.
        "input": max(0, tokens.prompt - sum(media.values())),
        **media,
        "output": tokens.output + tokens.thoughts,
    }
    total = 0
    for kind, count in spent.items():
        if not count:
            continue
        rate = price.rate(kind, long=long)
        if rate is None:
            what = kind.replace("_", " ")
            return unknown(f"{price.model}: no price of {what} tokens is known")
        total += micros(count, rate)
    if total > MOST_MICROS:
        return unknown("the cost is too large to be written")
    return Estimate(
        tokens=tokens,
        cost=Cost(
            micros=total,
            currency=prices.currency,
            prices_as_of=prices.as_of.isoformat(),
        ),
    )
