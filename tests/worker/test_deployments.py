"""Two deployments, and one database: the second is refused before it does anything."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from google.cloud import firestore

from batchdrop import wiring
from batchdrop.errors import BadSetting
from batchdrop.jobs.values import Location
from batchdrop.ledger import Ledger
from batchdrop.options.settings import Settings

CACHED = (wiring.ledger, wiring.now, wiring.worker, wiring.routes)


@pytest.fixture
def settings(
    database: firestore.Client, project: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    """Of a deployment at its first call: nothing is made yet."""
    settings = Settings(
        project=project,
        location="us-central1",
        model="gemini-3.8-flash",
        inbox="inbox",
        work=Location(bucket="work", prefix=""),
        output=Location(bucket="output", prefix=""),
        topic="announcements",
        work_topic="work",
        results="off",
        deployment="first",
    )
    monkeypatch.setattr(wiring, "_firestore_client", lambda: database)
    start(monkeypatch, settings)
    yield settings
    forget()


def start(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """What a new instance begins with."""
    forget()
    monkeypatch.setattr(wiring, "settings", lambda: settings)


def forget() -> None:
    for made in CACHED:
        made.cache_clear()


def documents(database: firestore.Client) -> list[str]:
    return [
        one.reference.path
        for collection in database.collections()
        for one in collection.stream()
    ]


@pytest.mark.parametrize("entry_point", [wiring.worker, wiring.ledger])
def test_a_second_deployment_on_a_database_is_refused_in_words(
    settings: Settings,
    database: firestore.Client,
    monkeypatch: pytest.MonkeyPatch,
    entry_point: Callable[[], object],
) -> None:
    wiring.worker()
    before = documents(database)
    start(monkeypatch, replace(settings, deployment="second"))

    for _ in range(2):  # it stays so
        with pytest.raises(BadSetting, match=r"DATABASE.*'first'.*'second'.*its own"):
            entry_point()

    assert documents(database) == before


def test_a_deployment_finds_its_own_database_again(
    settings: Settings, database: firestore.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    wiring.ledger()
    start(monkeypatch, settings)

    assert wiring.ledger().owner("first") == "first"
    assert documents(database) == ["locks/deployment"]


def test_of_deployments_that_come_at_once_one_has_the_database(
    database: firestore.Client,
) -> None:
    ledger = Ledger(lambda: database, "//batchdrop/tests")

    with ThreadPoolExecutor(8) as pool:
        owners = set(pool.map(ledger.owner, [f"deployment-{n}" for n in range(8)]))

    assert len(owners) == 1
