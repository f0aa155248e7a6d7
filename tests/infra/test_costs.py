"""Ticks read and write as often as the page about costs states."""

import re

from batchdrop.worker.tick import OUTDATED_EVERY
from tests.infra.terraform import ROOT
from tests.reads import counted
from tests.worker.conftest import database, world  # noqa: F401 - fixtures
from tests.worker.world import GOOD, World

PAGE = (ROOT / "docs/explanation/costs.md").read_text()


def stated(what: str, per: str) -> int:
    """How many of them the page's table states."""
    row = re.compile(rf"Firestore\]?[^|]*: {what} \| (?:[^|]* )?(\d+) {per}")
    found = row.search(PAGE)
    assert found is not None
    return int(found[1])


def test_an_idle_tick_reads_and_writes_as_often_as_the_page_states(
    world: World,  # noqa: F811
) -> None:
    world.worker.poll.outdated_every = OUTDATED_EVERY
    world.tick()

    # A query that finds nothing is billed as one read, and so is a count.
    with counted() as counts:
        world.tick()

    assert counts["reads"] == stated("reads", "a tick")
    assert counts["writes"] == stated("writes", "a tick")

    world.advance(OUTDATED_EVERY)
    with counted() as counts:
        world.tick()

    reads, more = stated("reads", "a tick"), stated("reads", "more each ten minutes")
    assert counts["reads"] == reads + more


def test_open_batches_cost_as_many_reads_as_the_page_states(
    world: World,  # noqa: F811
) -> None:
    world.tick()
    # A thousand files a month in batches of six hours: eight are open on average.
    for n in range(8):
        world.worker.take(world.upload(GOOD, f"{n}.jsonl"))

    found = []
    for _ in range(8):
        with counted() as counts:
            world.ticks(1)
        found.append(counts["reads"])

    more = max(found) - stated("reads", "a tick")
    assert more == stated("reads", "more a tick while batches are open")
