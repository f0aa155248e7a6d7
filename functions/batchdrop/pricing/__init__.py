"""
What jobs cost: a dated list of batch prices, and the arithmetic of tokens.

`prices` finds the price of a model on a backend, in a location, on a day. `tokens`
splits the tokens of an answer into the kinds that have prices of their own. `bill` sums
them over a job, and multiplies once. `estimate` does the same before a job is sent.
"""

from batchdrop.pricing.bill import Bill, Item, Tokens
from batchdrop.pricing.estimate import estimated
from batchdrop.pricing.prices import MAX_SIZE, Entry, Price, Prices, Unpriced

__all__ = [
    "MAX_SIZE",
    "Bill",
    "Entry",
    "Item",
    "Price",
    "Prices",
    "Tokens",
    "Unpriced",
    "estimated",
]
