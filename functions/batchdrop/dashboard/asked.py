"""What the pages share during one request."""

from dataclasses import dataclass
from datetime import datetime
from types import ModuleType
from typing import TYPE_CHECKING, cast

import flask

from batchdrop.dashboard.access import Person
from batchdrop.jobs.values import is_job_id

if TYPE_CHECKING:
    from batchdrop.jobs.job import Job
    from batchdrop.ledger import Ledger
    from batchdrop.options.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request: the deployment, who asks, and when."""

    wiring: ModuleType
    person: Person
    now: datetime

    @property
    def settings(self) -> "Settings":
        return cast("Settings", self.wiring.settings())

    @property
    def ledger(self) -> "Ledger":
        return cast("Ledger", self.wiring.ledger())

    def job(self, id: str) -> "Job":
        """
        The job that the address names.

        Raises:
            LookupError: there is none.
        """
        found = self.ledger.get(id) if is_job_id(id) else None
        if found is None:
            raise LookupError("There is no such job.")
        return found


def asked() -> Asked:
    """The request that is being answered."""
    return cast(Asked, flask.g.asked)
