"""What the pages share during one request."""

from dataclasses import dataclass
from datetime import datetime
from types import ModuleType
from typing import TYPE_CHECKING, cast

import flask

from batchdrop.dashboard.access import Person

if TYPE_CHECKING:
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


def asked() -> Asked:
    """The request that is being answered."""
    return cast(Asked, flask.g.asked)
