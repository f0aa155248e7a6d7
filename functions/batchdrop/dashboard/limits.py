"""What a day has used of its limits and ceilings, as bars and words."""

from collections.abc import Iterable
from dataclasses import dataclass

from batchdrop.views.limits import Limit

#: From this share on, little is left.
NEAR = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitShown:
    """One limit."""

    name: str  #: of what is counted
    words: str  #: how much of it is used
    used: int
    limit: int | None
    kind: str  #: how near it is: used, near or full
    width: float  #: of the bar, in hundredths of the limit


def shown_limits(limits: Iterable[Limit], currency: str) -> list[LimitShown]:
    """
    The limits in words.

    Args:
        currency: of the deployment's prices, and so of its ceilings.
    """
    return [_shown(each, currency) for each in limits]


def _shown(limit: Limit, currency: str) -> LimitShown:
    route = limit.what.removeprefix("cost of ") if limit.is_cost else ""
    unit = currency if limit.is_cost else limit.what
    if limit.what == "cost":
        name = "Cost of all jobs"
    else:
        name = f"Cost of route {route}" if limit.is_cost else limit.what.capitalize()
    verb = "reserved" if limit.is_cost else "used"
    kind, share = "used", 0.0
    words = f"{limit.words} {unit} {verb}"
    if limit.limit is None:
        words += ", without a limit"
    else:
        share = limit.used / limit.limit if limit.limit else 1
        if share >= NEAR:
            kind = "full" if share >= 1 else "near"
            words += "; nothing is left" if share >= 1 else "; little is left"
    return LimitShown(
        name=name,
        words=words,
        used=limit.used,
        limit=limit.limit,
        kind=kind,
        width=round(100 * min(share, 1), 3),
    )
