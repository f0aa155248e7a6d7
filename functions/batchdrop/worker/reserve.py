"""Ceilings on what a day may cost: each job reserves its estimate with its intent."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from batchdrop.jobs.codes import ErrorCode
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Estimate, Problem, Reserved, micros_of
from batchdrop.ledger import Ledger
from batchdrop.ledger.ceilings import Day, NoRoom
from batchdrop.options.routes import Routes
from batchdrop.options.settings import Settings
from batchdrop.worker.estimating import Pricing
from batchdrop.worker.stages import Tick

log = logging.getLogger(__name__)

#: How many jobs one tick settles.
MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserving:
    """
    Only the tick admits jobs below a ceiling. So a ceiling costs one read a job, and
    two ticks that overlap race for the day's document:

        reserve  the intent's commit: the job, and the day if it has room
        settle   a tick after the job is done: the day has what it has cost, or
                 nothing where nothing was paid
    """

    ledger: Ledger
    pricing: Pricing
    settings: Settings
    routes: Routes
    now: Callable[[], datetime]

    def ceilings_of(self, job: Job) -> dict[str, int]:
        """The day's ceilings that hold for a job, as `Day.has_room` takes them."""
        found = {}
        if self.settings.max_cost_per_day is not None:
            found[""] = micros_of(self.settings.max_cost_per_day)
        if job.spec and job.spec.ceiling and job.spec.max_cost_per_day is not None:
            found[job.spec.ceiling] = micros_of(job.spec.max_cost_per_day)
        return found

    def asked(self, job: Job, on: datetime | None = None) -> Reserved | None:
        """
        What a job is to reserve, at the prices of that day. None if no ceiling holds
        for it, it has reserved already, or its cost can't be estimated. What it has
        reserved on an earlier day, on which it wasn't sent after all, is no help.

        Args:
            on: when its batch was created; None: it is about to be.
        """
        day = f"{on or self.now():%Y-%m-%d}"
        has_reserved = job.reserved and (on or job.reserved.day == day)
        if has_reserved or not self.ceilings_of(job):
            return None
        cost = self._estimate(job).cost
        if cost is None or job.spec is None:
            return None
        return Reserved(day=day, micros=cost.micros, route=job.spec.ceiling)

    def problem(self, job: Job) -> Problem | None:
        """Why a job can't be sent below its ceilings on any day."""
        if not self.ceilings_of(job):
            return None
        estimate = self._estimate(job)
        if estimate.cost:
            return None
        return Problem(
            code=ErrorCode.NO_ESTIMATE,
            message=f"there is a ceiling on cost, and {estimate.no_cost}",
        )

    def hold(self, job: Job) -> Callable[[Day, Reserved], None]:
        """The check that the intent's commit makes of the day; it raises `NoRoom`."""
        ceilings = self.ceilings_of(job)

        def check(day: Day, asked: Reserved) -> None:
            if not day.has_room(asked, ceilings):
                raise NoRoom(self._words(day, asked, ceilings))

        return check

    def full(self, job: Job) -> tuple[str, str] | None:
        """
        The ceiling that keeps a job waiting today, the deployment's first: its route,
        or "", and words for a person that stay the same all day. None if it has room.
        """
        if (asked := self.asked(job)) is None:
            return None
        day = self.ledger.reserved_on(asked.day)
        for route, most in self.ceilings_of(job).items():
            if not day.has_room(asked, one := {route: most}):
                return route, self._words(day, asked, one)
        return None

    def never_fits(self, job: Job) -> bool:
        """Whether a job alone is over a ceiling, as one that was lowered."""
        asked = self.asked(job)
        return asked is not None and any(
            asked.micros > most for most in self.ceilings_of(job).values()
        )

    def _words(self, day: Day, asked: Reserved, ceilings: Mapping[str, int]) -> str:
        over = next(
            r for r, most in ceilings.items() if not day.has_room(asked, {r: most})
        )
        name = (
            f"max_cost_per_day of route {over}"
            if over
            else "BATCHDROP_MAX_COST_PER_DAY"
        )
        most = f"{name}={ceilings[over] / 1_000_000:.15g}"
        if asked.micros > ceilings[over]:
            return (
                f"it alone would exceed {most} on any day, and waits until that is "
                "raised; or cancel it"
            )
        return f"it would exceed {most} on {day.day}, and waits for a day with room"

    def _estimate(self, job: Job) -> Estimate:
        """A job's tokens at today's prices: it may have waited for long."""
        if job.spec is None or job.spec.source:
            return Estimate.none("the rows of a table or dataset can't be counted")
        if job.estimate is None or job.staging is None:
            return Estimate.none(
                "the file was staged by a release that made no estimate; repeat the "
                "job, which reads the dropped object again"
            )
        return self.pricing.of(job.spec, job.estimate.tokens, job.staging.rows)

    # -- jobs that are done -----------------------------------------------------

    def settle(self, tick: Tick) -> int:
        """
        Has each job that is done give back what it has not cost.

        Returns:
            How many did.
        """
        chosen = [self.settings.max_cost_per_day]
        chosen += (one.choices.get("max_cost_per_day") for one in self.routes.routes)
        if all(most is None for most in chosen):
            return 0  # nothing was reserved, or nobody asks for it
        settled = 0
        for job in tick.each(self.ledger.unsettled_jobs(MOST)):
            with tick.job(job.id):
                self._settle(job)
                settled += 1
        return settled

    def _settle(self, job: Job) -> None:
        now = self.now()
        self.ledger.advance(job, lambda j: j.settled(now))
