"""Corrects an estimate by what earlier jobs cost, compared with their estimates."""

import os
from dataclasses import dataclass

from batchdrop.cli.failures import in_one_line
from batchdrop.jobs.values import Cost

#: How many of a model's latest jobs are compared.
LATEST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What a model's latest jobs have cost, and what was estimated of them."""

    jobs: int
    micros: int
    estimated: int  #: in the same millionths; not 0

    @property
    def ratio(self) -> float:
        return self.micros / self.estimated

    def corrected(self, cost: Cost) -> Cost:
        """An estimate, as the past lets expect it."""
        micros = (2 * cost.micros * self.micros + self.estimated) // (
            2 * self.estimated
        )
        return Cost(
            micros=micros, currency=cost.currency, prices_as_of=cost.prices_as_of
        )


def past(backend: str, model: str, currency: str) -> Past | str:
    """
    The past of the deployment that the environment's BATCHDROP_* variables describe, in
    one query.

    Returns:
        The past; or why it can't be read, which is empty if there is no deployment, or
        it has none.
    """
    from batchdrop.errors import BadSetting, BatchdropError
    from batchdrop.options.settings import Settings

    try:
        Settings.from_env(os.environ)
    except BadSetting:
        return ""  # `check` needs none
    try:
        from batchdrop import wiring

        found = wiring.costs().compared_costs(backend, model, LATEST)
    except ImportError:
        return "install 'batchdrop[cli]'"
    except BatchdropError as exc:
        return in_one_line(exc)
    known = [one for one in found if one.currency == currency]
    estimated = sum(one.estimated for one in known)
    if not estimated:
        return ""
    return Past(
        jobs=len(known),
        micros=sum(one.micros or 0 for one in known),
        estimated=estimated,
    )
