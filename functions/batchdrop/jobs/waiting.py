"""What a job waits for, as its document and the command line show it."""

from dataclasses import dataclass
from datetime import datetime

from batchdrop.jobs.codes import WaitCode
from batchdrop.jobs.values import MAX_NOTE, brief


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingFor:
    """Why a job waits, and since when."""

    code: WaitCode
    message: str
    since: datetime  #: when it began to wait for what the code says
    #: When it is tried again; None if that depends on a person, the API or its parts.
    next_try: datetime | None = None
    #: How many jobs came first in its line when it began to wait there.
    ahead: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", brief(self.message, MAX_NOTE))

    @classmethod
    def still(
        cls,
        known: "WaitingFor | None",
        code: WaitCode,
        message: str,
        now: datetime,
        ahead: int | None = None,
    ) -> "WaitingFor":
        """What it waits for, since it first waited for the same."""
        since = known.since if known and known.code == code else now
        return cls(code=code, message=message, since=since, ahead=ahead)
