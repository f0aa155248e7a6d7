"""What the rounds of all jobs have cost: written once, and added up by Firestore."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from batchdrop.jobs.costs import RoundCost
from batchdrop.ledger.documents import Documents, answered, compare, decode, encode
from batchdrop.ready import ready

#: Seconds that one read may take: a person waits for it.
TIMEOUT = 20.0
#: The fields that are added up. Firestore takes five aggregations in one query.
SUMMED = ("micros", "estimated", "prompt_tokens", "answer_tokens")

ready(RoundCost)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """The sums over some rounds that have one currency."""

    rounds: int = 0
    micros: int = 0
    estimated: int = 0  #: in millionths; 0 unless all of them are compared
    prompt_tokens: int = 0
    answer_tokens: int = 0  #: with thoughts

    def __add__(self, other: Self) -> Self:
        return type(self)(
            rounds=self.rounds + other.rounds,
            micros=self.micros + other.micros,
            estimated=self.estimated + other.estimated,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            answer_tokens=self.answer_tokens + other.answer_tokens,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """
    Some of the documents: days from `since` to `until`, such as 2026-03-01, with one
    currency, and with or without an estimate to compare.
    """

    since: str
    until: str
    currency: str = ""  #: "": those whose cost isn't known
    compared: bool | None = False  #: None: with an estimate, and without


class Costs(Documents):
    """
    The documents `costs/{job}-{round}`. A `label` such as `team=search` selects those
    that have it; without one, all are added up.
    """

    def sums_of_days(self, kept: Kept, label: str | None = None) -> Sums:
        """The sums over all models and routes."""
        return self._sums(kept, label)

    def sums_of_model(self, kept: Kept, model: str, label: str | None = None) -> Sums:
        return self._sums(kept, label, model=model)

    def sums_of_route(self, kept: Kept, route: str, label: str | None = None) -> Sums:
        """The sums over a route; "" is for objects that no route matches."""
        return self._sums(kept, label, route=route)

    def values_in_costs(self, field: str, after: str | None = None) -> Iterator[str]:
        """
        The different values of a field, in order. Reads one document for each.

        Args:
            field: as `field_of_label` gives it, or a name.
            after: leaves out this value and those before it.
        """
        query = ordered = self._costs().order_by(field).limit(1)
        if after is not None:
            query = ordered.where(filter=compare(field, ">", after))
        while True:
            with answered(f"the values of {field}"):
                found = query.get(retry=None, timeout=TIMEOUT)
            if not found:
                return
            yield (last := str(found[0].get(field)))
            query = ordered.where(filter=compare(field, ">", last))

    def compared_costs(self, backend: str, model: str, most: int) -> list[RoundCost]:
        """
        The latest rounds of a model whose cost and estimate are both known, at most
        `most`, the latest first.
        """
        with answered(f"the costs of {model}"):
            query = (
                self._costs()
                .where(filter=compare("backend", "==", backend))
                .where(filter=compare("model", "==", model))
                .where(filter=compare("compared", "==", True))
                .order_by("day", direction="DESCENDING")
                .limit(most)
            )
            found = query.get(retry=None, timeout=TIMEOUT)
        return [decode(each.to_dict(), RoundCost) for each in found]

    def _sums(self, kept: Kept, label: str | None, **equal: str) -> Sums:
        query = self._costs()
        if label:
            query = query.where(filter=compare("label_pairs", "array_contains", label))
        equals: dict[str, Any] = {"currency": kept.currency, **equal}
        for name, value in equals.items():
            query = query.where(filter=compare(name, "==", value))
        # `in` needs no index of its own: it takes the one of the equal field.
        either = [True, False] if kept.compared is None else [kept.compared]
        query = query.where(filter=compare("compared", "in", either))
        query = query.where(filter=compare("day", ">=", kept.since))
        query = query.where(filter=compare("day", "<=", kept.until))
        asked = query.count(alias="rounds")
        for name in SUMMED:
            asked = asked.sum(name, alias=name)
        with answered("the sums of costs"):
            (results,) = asked.get(retry=None, timeout=TIMEOUT)
        # A sum of 0 comes as a float.
        return Sums(**{one.alias: int(one.value) for one in results})

    def _write_cost(self, batch: Any, cost: RoundCost) -> None:
        """
        Adds the write to a commit. A ledger that was emptied makes a job anew, and
        writes what the same answers have cost once more: over the same document.
        """
        data = encode(cost) | {"expire_at": cost.collected_at + self._costs_ttl}
        batch.set(self._costs().document(f"{cost.job}-{cost.round}"), data)

    def _costs(self) -> Any:
        return self._connect().collection("costs")


def field_of_label(key: str) -> str:
    """The field with a label's text, as queries name it."""
    return f"labels.`{key}`"
