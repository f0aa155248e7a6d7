"""What a day has used of its limits and ceilings."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What a day has used of a limit: rows, bytes, or millionths of the currency."""

    what: str  #: rows, bytes, cost, or `cost of ROUTE`
    used: int
    limit: int | None

    @property
    def is_cost(self) -> bool:
        return self.what.startswith("cost")

    @property
    def words(self) -> str:
        """How much is used, such as `4.20 of 10.00`; without a limit, `4.20`."""
        used = self._amount(self.used)
        return used if self.limit is None else f"{used} of {self._amount(self.limit)}"

    def _amount(self, value: int) -> str:
        return f"{value / 1_000_000:,.2f}" if self.is_cost else f"{value:,}"


def limits(wiring: ModuleType, day: str) -> Iterator[Limit]:
    """
    What a day has used of each limit that there is, or that something counts. Reads two
    documents.
    """
    settings = wiring.settings()
    spent = wiring.ledger().spending_on(day)
    for what, used, limit in (
        ("rows", spent.rows, settings.max_rows_per_day),
        ("bytes", spent.bytes, settings.max_bytes_per_day),
    ):
        if used or limit is not None:
            yield Limit(what=what, used=used, limit=limit)
    yield from ceilings(wiring, day)


def ceilings(wiring: ModuleType, day: str) -> Iterator[Limit]:
    """As `limits`, of what jobs may cost. Reads one document."""
    from batchdrop.jobs.values import micros_of

    reserved = wiring.ledger().reserved_on(day)
    most = {
        route.key: micros_of(route.choices["max_cost_per_day"])
        for route in wiring.routes().routes
        if route.choices.get("max_cost_per_day") is not None
    }
    of_all = wiring.settings().max_cost_per_day
    if of_all is not None:
        most[""] = micros_of(of_all)
    for name in ["", *sorted(({*most} - {""}) | {*reserved.routes})]:
        what = f"cost of {name}" if name else "cost"
        used, limit = reserved.of(name), most.get(name)
        if used or limit is not None:
            yield Limit(what=what, used=used, limit=limit)
