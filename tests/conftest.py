"""Fixtures that more than one ring of tests uses."""

import uuid
from collections.abc import Iterator

import pytest

from batchdrop_local.emulators import FIRESTORE, PUBSUB
from tests import services


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
