"""An idle tick reads and writes as often as the page about costs states."""

import re
from collections import Counter
from typing import Any

import pytest
from google.cloud.firestore_v1.services.firestore import FirestoreClient

from tests.infra.terraform import ROOT
from tests.worker.conftest import database, world  # noqa: F401 - fixtures
from tests.worker.world import World

PAGE = (ROOT / "docs/explanation/costs.md").read_text()


def stated(what: str) -> int:
    """How many of them a tick has, as the page's table states."""
    found = re.search(rf"Firestore\]?[^|]*: {what} \| (\d+) a tick", PAGE)
    assert found is not None
    return int(found[1])


def test_an_idle_tick_reads_and_writes_as_often_as_the_page_states(
    world: World,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world.tick()
    calls: Counter[str] = Counter()

    def count(name: str) -> None:
        sent = getattr(FirestoreClient, name)

        def counting(self: Any, **request: Any) -> Any:
            calls[name] += 1
            return sent(self, **request)

        monkeypatch.setattr(FirestoreClient, name, counting)

    reading = ("batch_get_documents", "run_query", "run_aggregation_query")
    for name in (*reading, "commit"):
        count(name)
    world.tick()

    # A query that finds nothing is billed as one read, and so is a count.
    assert sum(calls[name] for name in reading) == stated("reads")
    assert calls["commit"] == stated("writes")
