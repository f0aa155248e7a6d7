"""Sums the tokens of a job's answers, and multiplies them by their prices once."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, cast

from msgspec import Struct

from batchdrop.jobs.values import Cost
from batchdrop.pricing.prices import Kind, Price, Prices, Unpriced
from batchdrop.pricing.tokens import OTHER, Usage, split

#: Models and days that a bill distinguishes; a job has a few.
MAX_METERS = 500

#: A document's numbers have 64 bits. Only a list's own prices can cost more.
MOST_MICROS = 2**63 - 1

#: A job has under 10**15 tokens, and a price at most 24 digits.
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """All tokens of a job that have one price."""

    model: str  #: as the price list names it
    kind: Kind
    long: bool  #: of requests with a long prompt
    rate: Decimal  #: of a token, in millionths of the currency
    tokens: int

    @property
    def micros(self) -> int:
        """The cost in millionths of the currency, rounded half to even."""
        return micros(self.tokens, self.rate)


def micros(tokens: int, rate: Decimal) -> int:
    """Multiplies tokens by the price of a million; rounds half to even."""
    return int(_EXACT.to_integral_value(_EXACT.multiply(Decimal(tokens), rate)))


class Metered(Struct, frozen=True, kw_only=True):
    """The tokens of one model on one day, by kind."""

    model: str | None  #: None for all models and days that are too many
    day: date
    short: dict[str, int]
    long: dict[str, int]  #: of requests with a long prompt


class Tokens(Struct, frozen=True, kw_only=True):
    """The tokens of some answers, to be multiplied later. It can be written as JSON."""

    metered: list[Metered]
    uncounted: int  #: answers that count no tokens


class Bill:
    """
    What the answers of one job, or of one part, cost.

        bill = Bill(prices, model=..., backend=..., location=..., day=...)
        for each answer that is no error:
            bill.add(body, usage)
        bill.cost()

    A row that failed costs nothing and is not added. Memory does not grow with the
    number of rows.
    """

    def __init__(
        self, prices: Prices, *, model: str, backend: str, location: str, day: date
    ) -> None:
        """
        Args:
            model: the job's, for answers that name none, as of embeddings.
            day: on which the batch ended (UTC), for answers without a day of their own.
        """
        self._prices = prices
        self._model, self._backend, self._location = model, backend, location
        self._day = day
        self._meters: dict[tuple[str | None, date], _Meter] = {}
        self._uncounted = 0

    def add(
        self, body: Mapping[str, Any], usage: Usage, day: date | None = None
    ) -> None:
        """
        Adds the tokens of one answer.

        Args:
            body: the answer itself; see `tokens.split`.
            usage: its tokens, in the words for all publishers.
            day: on which it was made (UTC), if the row says so.
        """
        if not usage.prompt and not usage.output:
            self._uncounted += 1
            return
        model = body.get("modelVersion") or body.get("model")
        key = (model if isinstance(model, str) else self._model, day or self._day)
        meter = self._meters.get(key) or self._meter(*key)
        prompt, tokens = split(body, usage)
        counts = meter.long if prompt > meter.above else meter.short
        for kind, n in tokens.items():
            counts[kind] = counts.get(kind, 0) + n

    def tokens(self) -> Tokens:
        """What was added so far."""
        return Tokens(
            metered=[
                Metered(model=model, day=day, short=meter.short, long=meter.long)
                for (model, day), meter in self._meters.items()
            ],
            uncounted=self._uncounted,
        )

    def include(self, tokens: Tokens) -> None:
        """
        Adds what another bill of the same job has. The cost is the same as if its
        answers had been added here.
        """
        self._uncounted += tokens.uncounted
        for one in tokens.metered:
            meter = self._meters.get((one.model, one.day))
            meter = meter or self._meter(one.model, one.day)
            for counts, more in ((meter.short, one.short), (meter.long, one.long)):
                for kind, n in more.items():
                    counts[kind] = counts.get(kind, 0) + n

    def _meter(self, model: str | None, day: date) -> "_Meter":
        price: Price | Unpriced
        if model is None or len(self._meters) >= MAX_METERS:
            model, day = None, self._day
            price = Unpriced("the answers name too many models and days")
        else:
            price = self._prices.find(
                model, backend=self._backend, location=self._location, day=day
            )
        return self._meters.setdefault((model, day), _Meter(price))

    def items(self) -> tuple[Item, ...] | Unpriced:
        """The tokens by price, in a fixed order; no token is in two items."""
        if self._uncounted:
            return Unpriced(f"answers that count no tokens: {self._uncounted:,}")
        sums: dict[tuple[str, bool, str, Decimal], int] = {}
        for meter in self._meters.values():
            if isinstance(meter.price, Unpriced):
                return meter.price
            model = meter.price.model
            for long, counts in ((False, meter.short), (True, meter.long)):
                for kind, n in counts.items():
                    if not n:
                        continue
                    rate = None
                    if kind != OTHER:
                        rate = meter.price.rate(cast(Kind, kind), long=long)
                    if rate is None:
                        what = kind.replace("_", " ")
                        return Unpriced(f"{model}: no price of {what} tokens is known")
                    key = (model, long, kind, rate)
                    sums[key] = sums.get(key, 0) + n
        return tuple(
            Item(model=model, kind=cast(Kind, kind), long=long, rate=rate, tokens=n)
            for (model, long, kind, rate), n in sorted(sums.items())
        )

    def cost(self) -> Cost | Unpriced:
        """The sum of all items, or why it can't be known: it is never a part."""
        items = self.items()
        if isinstance(items, Unpriced):
            return items
        micros = sum(item.micros for item in items)
        if micros > MOST_MICROS:
            return Unpriced("the cost is too large to be written")
        return Cost(
            micros=micros,
            currency=self._prices.currency,
            prices_as_of=self._prices.as_of.isoformat(),
        )


class _Meter:
    """The tokens of one model on one day, by kind, of short and of long prompts."""

    __slots__ = ("above", "long", "price", "short")

    def __init__(self, price: Price | Unpriced) -> None:
        self.price = price
        above = None if isinstance(price, Unpriced) else price.above
        self.above = 2**63 if above is None else above
        self.short: dict[str, int] = {}
        self.long: dict[str, int] = {}
