"""What is reserved of a day's ceilings on cost: one document a day."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from batchdrop.jobs.values import Reserved
from batchdrop.ledger.documents import Documents, plain


class NoRoom(Exception):
    """A job would cost more than a day's ceiling leaves: nothing is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """
    What the jobs of a day have reserved, in millionths of the currency: estimates, and
    for jobs that are done, what they have cost.
    """

    day: str  #: such as 2026-03-01, in UTC
    micros: int = 0  #: of all jobs
    routes: Mapping[str, int] = field(default_factory=dict)  #: with a ceiling of theirs
    #: The document's update time; None if there is none.
    version: datetime | None = None

    def of(self, route: str) -> int:
        """What the jobs of a route have reserved; of all jobs for ""."""
        return self.routes.get(route, 0) if route else self.micros

    def moved(self, before: Reserved | None, after: Reserved | None) -> Self:
        """The day after one job's reservation has changed."""
        held = after or before
        assert held is not None
        change = (after.micros if after else 0) - (before.micros if before else 0)
        routes = dict(self.routes)
        if held.route:
            # A ledger that was emptied has forgotten what was reserved.
            routes[held.route] = max(0, self.of(held.route) + change)
        return type(self)(
            day=self.day,
            micros=max(0, self.micros + change),
            routes=routes,
            version=self.version,
        )

    def has_room(self, asked: Reserved, ceilings: Mapping[str, int]) -> bool:
        """
        Whether a job can have this much of the day.

        Args:
            ceilings: in millionths of the currency, of a route, or of all jobs for "".
        """
        return all(
            self.of(route) + asked.micros <= most for route, most in ceilings.items()
        )


class Days(Documents):
    """The documents `ceilings/{day}`."""

    def reserved_on(self, day: str) -> Day:
        """What is reserved of a day, such as 2026-03-01."""
        snapshot = self._ceiling(day).get(**self._in_time)
        data = snapshot.to_dict() or {}
        return Day(
            day=day,
            micros=data.get("micros", 0),
            routes=plain(data.get("routes", {})),
            version=snapshot.update_time if snapshot.exists else None,
        )

    def _write_day(self, batch: Any, day: Day) -> None:
        """Adds the write to a commit, which is refused if the day has changed."""
        ends = datetime.fromisoformat(day.day).replace(tzinfo=UTC) + timedelta(days=1)
        data = {
            "micros": day.micros,
            "routes": dict(day.routes),
            "expire_at": ends + self._ttl,
        }
        if day.version is None:
            batch.create(self._ceiling(day.day), data)
            return
        option = self._connect().write_option(last_update_time=day.version)
        batch.update(self._ceiling(day.day), data, option=option)

    def _ceiling(self, day: str) -> Any:
        return self._connect().collection("ceilings").document(day)
