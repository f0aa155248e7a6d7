"""What jobs have cost, in groups: a question for a person, and few queries."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta

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


@dataclass(slots=True, kw_only=True)
class Group:
    """What some jobs have cost. A part of a split file counts as a job."""

    name: str
    jobs: int = 0
    unknown: int = 0  #: jobs whose cost isn't known: it is in no amount
    prompt_tokens: int = 0
    answer_tokens: int = 0  #: with thoughts
    amounts: dict[str, Amount] = field(default_factory=dict)  #: by currency

    def add(self, kept: Kept, sums: Sums) -> None:
        self.jobs += sums.rounds
        self.prompt_tokens += sums.prompt_tokens
        self.answer_tokens += sums.answer_tokens
        if not kept.currency:
            self.unknown += sums.rounds
        elif sums.rounds:
            amount = self.amounts.setdefault(kept.currency, Amount())
            amount.micros += sums.micros
            amount.estimated += sums.estimated
            amount.compared += sums.micros if kept.compared else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReport:
    """What the jobs of some days have cost."""

    since: date
    until: date
    by: str
    label: str | None
    groups: list[Group]  #: those with a job, in the order of their names
    total: Group  #: of all jobs, in a group or not


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
    key = by.removeprefix("label:") if by.startswith("label:") else ""
    if key and label:
        raise ValueError("give either a label or groups by label")
    parts = [
        (currency, compared)
        for currency in costs.values_in_costs("currency")
        for compared in ((True, False) if currency else (False,))
    ]

    def kept(first: date, last: date) -> Iterator[Kept]:
        for currency, compared in parts:
            yield Kept(
                since=f"{first}",
                until=f"{last}",
                currency=currency,
                compared=compared,
            )

    def group(
        name: str, chosen: Iterable[Kept], asked: Callable[[Kept], Sums]
    ) -> Group:
        found = Group(name=name)
        for each in chosen:
            found.add(each, asked(each))
        return found

    def groups() -> Iterator[Group]:
        if by == "day":
            first = since == date.min
            before = None if first else f"{since - timedelta(days=1)}"
            for name in costs.values_in_costs("day", before):
                if name > f"{until}":
                    return
                day = date.fromisoformat(name)
                yield group(
                    name, kept(day, day), lambda k: costs.sums_of_days(k, label)
                )
            return
        names = costs.values_in_costs(field_of_label(key) if key else by)
        for name in names:
            yield group(name, kept(since, until), _question(costs, by, name, label))

    found: list[Group] = []
    for one in groups():
        found += [one] if one.jobs else []
        if len(found) >= MAX_GROUPS:
            break
    total = group(
        "total", kept(since, until), lambda each: costs.sums_of_days(each, label)
    )
    return CostReport(
        since=since, until=until, by=by, label=label, groups=found, total=total
    )


def _question(
    costs: Costs, by: str, name: str, label: str | None
) -> Callable[[Kept], Sums]:
    """What to ask for one group."""
    if by == "model":
        return lambda kept: costs.sums_of_model(kept, name, label)
    if by == "route":
        return lambda kept: costs.sums_of_route(kept, name, label)
    pair = f"{by.removeprefix('label:')}={name}"
    return lambda kept: costs.sums_of_days(kept, pair)
