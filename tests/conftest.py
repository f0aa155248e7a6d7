"""Fixtures that more than one ring of tests uses."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchdrop_local.emulators import FIRESTORE, PUBSUB
from tests import services


@pytest.hookimpl(tryfirst=True)  # before the names of groups are looked for
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """
    Says what stays together where tests run in several processes, as `make test` has
    them; each process has its own services. What takes longest begins first.
    """
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: FIRST.get(group(item), len(FIRST)))


#: The cases run side by side in lanes that are started once. What asks Firestore is
#: together with the test that looks for the index of every query that was asked.
FIRST = {"lanes": 0, "ledger": 1}


def group(item: pytest.Item) -> str:
    """The name of the group that a test is in; else its file's."""
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    names = getattr(item, "fixturenames", ())
    if folder == "exactly_once":
        return "lanes" if "runs" in names else item.path.stem
    if folder == "infra" or "firestore_emulator" in names:
        return "ledger"
    return item.path.stem


@pytest.fixture(scope="session")
def firestore_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Firestore emulator, which Google's client finds as well."""
    with (
        services.running(FIRESTORE, tmp_path_factory.mktemp("firestore")) as address,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv(FIRESTORE.variable, address)
        yield address


@pytest.fixture(scope="session")
def pubsub_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Pub/Sub emulator, which Google's client finds as well."""
    with (
        services.running(PUBSUB, tmp_path_factory.mktemp("pubsub")) as address,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv(PUBSUB.variable, address)
        yield address


@pytest.fixture
def project() -> str:
    """A project that no other test uses: its database and its topics are empty."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Cloud Storage emulator that all tests share."""
    with services.fake_gcs(tmp_path_factory.mktemp("gcs")) as url:
        yield url


@pytest.fixture
def storage_emulator(gcs: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same, with Google's storage clients pointed at it."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs)
    return gcs


@pytest.fixture(scope="session")
def bigquery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a BigQuery emulator that all tests share."""
    with services.bigquery_emulator(tmp_path_factory.mktemp("bigquery")) as url:
        yield url
