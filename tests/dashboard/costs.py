"""Costs of jobs, as collect leaves them, and what a page shows of them."""

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from html import unescape

from batchdrop.jobs.costs import RoundCost
from batchdrop.ledger.documents import encode
from tests.worker.test_cost_report import COST
from tests.worker.world import World


def cost(n: int, day: date, team: str = "search", **changes: object) -> RoundCost:
    """What the job `n` has cost; unless it says so, 1.5 USD of estimated 2."""
    given: dict[str, object] = {
        "micros": 1_500_000,
        "estimated": 2_000_000,
        "labels": {"team": team},
        "label_pairs": (f"team={team}",),
        **changes,
    }
    return replace(COST, job=f"{n}", day=f"{day}", **given)  # type: ignore[arg-type]


def keep(world: World, costs: Iterable[RoundCost]) -> None:
    """Writes them into the ledger."""
    batch = world.database.batch()
    for each in costs:
        batch.set(
            world.database.collection("costs").document(f"{each.job}-0"), encode(each)
        )
    batch.commit()


def days(world: World, n: int) -> list[date]:
    """The last `n` days, until the world's today."""
    today = world.now().date()
    return [today - timedelta(days=back) for back in range(n)]


def rows(html: str, caption: str) -> list[list[str]]:
    """The texts of a table's rows below its head, the total at last."""
    (table,) = re.findall(
        rf"<caption[^>]*>{re.escape(caption)}.*?</table>", html, re.DOTALL
    )
    body = table.split("</thead>")[1]
    return [
        [
            unescape(re.sub(r"<[^>]+>", "", cell)).strip()
            for cell in re.findall(r"<t[hd][ >].*?</t[hd]>", row, re.DOTALL)
        ]
        for row in re.findall(r"<tr.*?</tr>", body, re.DOTALL)
    ]
