"""A job in a list: the few fields of its document that a list reads."""

from dataclasses import dataclass, field
from datetime import datetime

from batchdrop.jobs.codes import Outcome, Phase
from batchdrop.jobs.shown import ENDED, Progress
from batchdrop.jobs.values import Cost, Drop, Estimate, Health, Problem
from batchdrop.jobs.waiting import WaitingFor
from batchdrop.rows import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSpec:
    """What was chosen for the batch."""

    backend: str
    location: str
    model: str
    route: str = ""
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedBatch:
    """The batch as the API last described it."""

    name: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedResults:
    """The object with the results."""

    uri: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedJob:
    """The fields of a job's document that a list shows: see `Job`."""

    id: str
    phase: Phase
    source: Drop
    created_at: datetime
    updated_at: datetime
    listed_at: datetime | None = None
    listed_as: tuple[str, ...] = ()
    outcome: Outcome | None = None
    health: Health | None = None
    waiting_for: WaitingFor | None = None
    waiting_in: str = ""  #: the line, while it waits in one
    progress: Progress | None = None
    rows: Rows = field(default_factory=Rows)
    spec: ListedSpec | None = None
    batch: ListedBatch | None = None
    estimate: Estimate | None = None
    cost: Cost | None = None
    results: ListedResults | None = None
    error: Problem | None = None

    @property
    def is_done(self) -> bool:
        """Whether no work remains. Not for parts and rounds, which are in no list."""
        return ENDED in self.listed_as
