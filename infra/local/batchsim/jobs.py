"""A batch job of either API, and its states."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from batchsim.faults import Rule
from batchsim.rows import Rows


class Api(StrEnum):
    """The API that a job was created with."""

    VERTEX = "vertex"
    DEVELOPER = "developer"


class Kind(StrEnum):
    """What a job's rows ask for."""

    GENERATE = "generate"
    EMBED = "embed"


PENDING = "PENDING"
RUNNING = "RUNNING"
SUCCEEDED = "SUCCEEDED"
FAILED = "FAILED"
CANCELLING = "CANCELLING"
CANCELLED = "CANCELLED"
PAUSED = "PAUSED"
EXPIRED = "EXPIRED"
UPDATING = "UPDATING"
PARTIALLY_SUCCEEDED = "PARTIALLY_SUCCEEDED"

#: The states a job never leaves.
ENDS = frozenset({SUCCEEDED, FAILED, CANCELLED, EXPIRED, PARTIALLY_SUCCEEDED})

#: Numbers of the enum `JobState` (aiplatform v1 job_state.proto).
NUMBERS = {
    "QUEUED": 1,
    PENDING: 2,
    RUNNING: 3,
    SUCCEEDED: 4,
    FAILED: 5,
    CANCELLING: 6,
    CANCELLED: 7,
    PAUSED: 8,
    EXPIRED: 9,
    UPDATING: 10,
    PARTIALLY_SUCCEEDED: 11,
}


@dataclass(frozen=True, slots=True)
class Status:
    """A google.rpc.Status: `code` is a gRPC code, not an HTTP one."""

    code: int
    message: str

    def json(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message}


class JobFailed(Exception):
    """The job fails with `status` as its error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.status = Status(code, message)


@dataclass(frozen=True, slots=True)
class RowCounts:
    """What became of a job's rows. `total` is 0 until the input has been read."""

    total: int = 0
    ok: int = 0
    failed: int = 0

    @property
    def done(self) -> int:
        return self.ok + self.failed

    @property
    def incomplete(self) -> int:
        return self.total - self.done


@dataclass(slots=True, eq=False)
class Job:
    """
    One batch job. Only the thread that moves it writes to it.

    `name` is the full resource name; `parent` what it is listed under
    (`projects/NUMBER/locations/L`, or "" on the Developer API); `body` the create
    request in camelCase; `history` every state it had, with since-when.
    """

    seq: int
    api: Api
    kind: Kind
    parent: str
    name: str
    version: str
    display_name: str
    model: str
    labels: dict[str, str]
    body: dict[str, Any]
    created: datetime
    history: list[tuple[datetime, str]] = field(default_factory=list)
    started: datetime | None = None
    ended: datetime | None = None
    #: When RUNNING ends, unless something ends it earlier.
    due: datetime | None = None
    error: Status | None = None
    partial_failures: list[Status] = field(default_factory=list)
    row_counts: RowCounts = RowCounts()
    #: Where the answers are: `outputInfo` on Vertex, `output` on the Developer API.
    output: dict[str, Any] | None = None
    #: Whatever takes the job over adds one; planned steps of older turns are skipped.
    turn: int = 0
    #: True once the last step has begun: too late to cancel.
    ending: bool = False
    #: The fault that decides how the job ends after some of its rows.
    doom: Rule | None = None
    #: Rows of the create request, until the job runs.
    inline: Rows | None = None
    #: Whether the resource itself holds the rows and the answers.
    inlined: bool = False
    #: Tokens that the job takes of the queue's limit.
    tokens: int = 0
    deleted: datetime | None = None

    @property
    def id(self) -> str:
        return self.name.rpartition("/")[2]

    @property
    def phase(self) -> str:
        """The state without a prefix, as of now."""
        return self.history[-1][1]

    @property
    def state(self) -> str:
        """The state as Vertex spells it."""
        return f"JOB_STATE_{self.phase}"

    @property
    def updated(self) -> datetime:
        return self.history[-1][0]

    @property
    def over(self) -> bool:
        return self.phase in ENDS

    def move(self, at: datetime, phase: str) -> None:
        """Enter `phase`; entering an end sets `ended`."""
        if phase == RUNNING and self.started is None:
            self.started = at
        if phase in ENDS:
            self.ended = at
        self.history.append((at, phase))

    def phase_at(self, at: datetime) -> tuple[datetime, str]:
        """When the phase just before `at` began, and the phase; at first, PENDING."""
        past = [change for change in self.history if change[0] < at]
        return past[-1] if past else self.history[0]

    def rows_done(self, now: datetime) -> int:
        """Rows finished by `now`; in proportion to the time while the job runs."""
        if self.over or not self.started or not self.due or self.due <= self.started:
            return self.row_counts.done
        return int(self.row_counts.total * self.progress(now))

    def progress(self, now: datetime) -> float:
        """The share of the running time that is over, from 0 to 1."""
        if not self.started or not self.due:
            return 0.0
        whole = (self.due - self.started).total_seconds()
        if whole <= 0:
            return 1.0
        return min(1.0, max(0.0, (now - self.started).total_seconds() / whole))

    @property
    def source(self) -> list[str]:
        """The URIs (or the file) that the rows are read from; empty if inline."""
        config = self.body.get("inputConfig") or {}
        if uris := (config.get("gcsSource") or {}).get("uris"):
            return list(uris)
        table = (config.get("bigquerySource") or {}).get("inputUri")
        return [uri for uri in (table, config.get("fileName")) if uri]
