"""What people see of a job: what it waits for, and which lists have it."""

from dataclasses import dataclass, replace
from datetime import datetime

from batchdrop.jobs.codes import Phase, WaitCode
from batchdrop.jobs.derived import Derived
from batchdrop.jobs.values import OWN_LABELS, Stats
from batchdrop.jobs.waiting import WaitingFor
from batchdrop.rows import some_are

#: The lists that a job can be in: see `Shown.listed_as`.
OPEN, ENDED, UNHEALTHY = "open", "ended", "unhealthy"


def list_of_label(key: str, text: str) -> str:
    """The list of the jobs that have a label."""
    return f"label:{key}={text}"


def list_of_route(name: str) -> str:
    """The list of the jobs whose files matched a route."""
    return f"route:{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a batch is, by the API's count, or the batches of a split job's parts."""

    rows: int  #: that were sent; 0 if nobody has counted them
    answered: int  #: with an error or without
    failed: int  #: of the answered ones
    parts: int = 0  #: of a split job
    parts_over: int = 0  #: whose rows alone are counted as answered


class Shown(Derived):
    """The questions about a job that lists of jobs ask."""

    __slots__ = ()

    @property
    def waiting_for(self) -> WaitingFor | None:
        """
        Why a job does not move on; None while a worker or the API works on it. The
        first that holds:

            parked, or parts of it are         a person
            a step was put off                 what that step needs
            the API has not started the batch  the API
            its parts are not over             they
        """
        if held := self.parked or self.parts_held:
            return WaitingFor(
                code=WaitCode.PERSON, message=held.message, since=held.since
            )
        if self.put_off:
            # Whoever takes the job up writes a lease that is still to come.
            is_taken = self.lease.until > self.updated_at
            due = self.collecting.due if self.collecting else self.due
            return None if is_taken else replace(self.put_off, next_try=due)
        if self.phase is Phase.SUBMITTED and self.batch and not self.batch.has_begun:
            return WaitingFor(
                code=WaitCode.API,
                message=f"the API has the batch in {self.batch.state}",
                since=self.state_since or self.updated_at,
            )
        if self.phase is Phase.SPLIT:
            open = sum(not part.outcome for part in self.parts.values())
            times = [one.at for one in self.history if one.phase is Phase.SPLIT]
            return WaitingFor(
                code=WaitCode.PARTS,
                message=f"{some_are(open, len(self.parts), 'part')} not over",
                since=min(times, default=self.updated_at),
            )
        return None

    @property
    def progress(self) -> Progress | None:
        """How far its batch is; None before there is one, and once it has results."""
        if self.results or not (self.batch or self.parts):
            return None
        stats = self.stats or Stats()
        failed = max(stats.failed or 0, 0)
        return Progress(
            rows=self.rows.accepted,
            answered=max(stats.successful or 0, 0) + failed,
            failed=failed,
            parts=len(self.parts),
            parts_over=sum(bool(part.outcome) for part in self.parts.values()),
        )

    @property
    def listed_at(self) -> datetime | None:
        """
        When the drop was first seen; None for a part or a round, which no list shows.
        """
        return None if self.belongs_to else self.created_at

    @property
    def listed_as(self) -> tuple[str, ...]:
        """The lists that show the job, besides that of all jobs."""
        if self.listed_at is None:
            return ()
        lists = [ENDED if self.is_done else OPEN]
        if self.health:
            lists.append(UNHEALTHY)
        if self.spec and self.spec.route:
            lists.append(list_of_route(self.spec.route))
        labels = self.spec.labels if self.spec else {}
        lists += [
            list_of_label(key, text)
            for key, text in labels.items()
            if not key.startswith(OWN_LABELS)
        ]
        return tuple(lists)
