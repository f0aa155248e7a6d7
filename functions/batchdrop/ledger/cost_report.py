"""What jobs have cost, in groups, by few queries."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Self

from batchdrop.ledger.costs import Costs, Kept, Sums, field_of_label

#: A report has at most this many groups.
MAX_GROUPS = 500


@dataclass(slots=True, kw_only=True)
class Amount:
    """A cost in one currency, in millionths."""

    micros: int = 0
    #: Of this, what has an estimate to compare; and the sum of those estimates.
    compared: int = 0
    estimated: int = 0

    @property
    def ratio(self) -> float | None:
        """The cost by its estimate; None if nothing was estimated."""
        return self.compared / self.estimated if self.estimated else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Costs that one question can add up."""

    currency: str  #: "": those that aren't known
    compared: bool | None  #: with an estimate, or without; None: both


@dataclass(slots=True, kw_only=True)
class Group:
    """What some batches have cost: one for each round of a job, or of a part."""

    name: str
    batches: int = 0
    unknown: int = 0  #: batches whose cost isn't known: it is in no amount
    prompt_tokens: int = 0
    answer_tokens: int = 0  #: with thoughts
    amounts: dict[str, Amount] = field(default_factory=dict)  #: by currency

    @classmethod
    def of(cls, name: str, sums: Mapping[Part, Sums]) -> Self:
        """The group whose parts have these sums."""
        found = cls(name=name)
        for part, sum in sums.items():
            found._add(part, sum)
        return found

    def _add(self, part: Part, sums: Sums) -> None:
        self.batches += sums.rounds
        self.prompt_tokens += sums.prompt_tokens
        self.answer_tokens += sums.answer_tokens
        if not part.currency:
            self.unknown += sums.rounds
        elif sums.rounds:
            amount = self.amounts.setdefault(part.currency, Amount())
            amount.micros += sums.micros
            if part.compared:
                amount.compared += sums.micros
                amount.estimated += sums.estimated


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Costs of batches that ended from `since` to `until`."""

    costs: Costs
    since: date
    until: date
    label: str | None = None  #: such as team=search: of jobs with this label alone

    def check(self, by: str) -> None:
        """
        Raises:
            ValueError: groups of labels can't be of one label.
        """
        if key_of(by) and self.label:
            raise ValueError("give either a label or groups by label")

    def currencies(self) -> Iterator[str]:
        """Those of any day, "" for costs that aren't known. Reads a document each."""
        return self.costs.values_in_costs("currency")

    def names(self, by: str, after: str | None = None) -> Iterator[str]:
        """
        The names of groups, in order, behind the name `after`. Reads a document for
        each; some may have no batch of these days.
        """
        if by != "day":
            key = key_of(by)
            field = field_of_label(key) if key else by
            yield from self.costs.values_in_costs(field, after)
            return
        first = self.since == date.min
        before = None if first else f"{self.since - timedelta(days=1)}"
        for name in self.costs.values_in_costs("day", after or before):
            if name > f"{self.until}":
                return
            yield name

    def total(self, currencies: Iterable[str]) -> tuple[Group, list[Part]]:
        """
        The sum of all, and the parts that it has: two questions for a currency, and one
        for costs that aren't known.
        """
        parts = [
            Part(currency=currency, compared=compared)
            for currency in currencies
            for compared in ((True, False) if currency else (False,))
        ]
        sums = {part: self._sums("day", "", part) for part in parts}
        return Group.of("total", sums), [part for part in parts if sums[part].rounds]

    def group(self, by: str, name: str, parts: Sequence[Part]) -> Group:
        """One group: a question for each part."""
        return Group.of(name, {part: self._sums(by, name, part) for part in parts})

    def days(self, since: date, until: date) -> Self:
        """Those of some of the days."""
        return replace(self, since=since, until=until)

    def _sums(self, by: str, name: str, part: Part) -> Sums:
        since, until = self.since, self.until
        if by == "day" and name:
            since = until = date.fromisoformat(name)
        kept = Kept(
            since=f"{since}",
            until=f"{until}",
            currency=part.currency,
            compared=part.compared,
        )
        if by == "model":
            return self.costs.sums_of_model(kept, name, self.label)
        if by == "route":
            return self.costs.sums_of_route(kept, name, self.label)
        if key := key_of(by):
            return self.costs.sums_of_days(kept, f"{key}={name}")
        return self.costs.sums_of_days(kept, self.label)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReport:
    """What the jobs of some days have cost."""

    since: date
    until: date
    by: str
    label: str | None
    groups: list[Group]  #: those with a batch, in the order of their names
    more: bool  #: whether there are groups behind these
    total: Group  #: of all batches, in a group or not


def cost_report(
    costs: Costs, *, by: str, since: date, until: date, label: str | None = None
) -> CostReport:
    """
    Adds up what jobs have cost whose batches ended from `since` to `until`.

    Args:
        by: "day", "model", "route", or "label:" and a label's key, for a group of each
            text that the label has.
        label: such as team=search: of jobs with this label alone.

    Raises:
        ValueError: groups of labels can't be of one label.
        Unavailable: Firestore gave no answer.
    """
    asked = Selection(costs=costs, since=since, until=until, label=label)
    asked.check(by)
    total, parts = asked.total(asked.currencies())
    found: list[Group] = []
    more = False
    for name in asked.names(by) if parts else ():
        group = asked.group(by, name, parts)
        if group.batches and (more := len(found) == MAX_GROUPS):
            break
        found += [group] if group.batches else []
    return CostReport(
        since=since,
        until=until,
        by=by,
        label=label,
        groups=found,
        more=more,
        total=total,
    )


def key_of(by: str) -> str:
    """The key of a label whose texts are groups; "" for other groups."""
    return by.removeprefix("label:") if by.startswith("label:") else ""
