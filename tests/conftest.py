"""Fixtures that more than one ring of tests uses."""

import uuid
from collections.abc import Iterator

import pytest

from batchdrop_local.emulators import FIRESTORE, PUBSUB
from tests.services import running


@pytest.fixture(scope="session")
def firestore_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Firestore emulator, which Google's client finds as well."""
    with (
        running(FIRESTORE, tmp_path_factory.mktemp("firestore")) as address,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv(FIRESTORE.variable, address)
        yield address


@pytest.fixture(scope="session")
def pubsub_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Pub/Sub emulator, which Google's client finds as well."""
    with (
        running(PUBSUB, tmp_path_factory.mktemp("pubsub")) as address,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv(PUBSUB.variable, address)
        yield address


@pytest.fixture
def project() -> str:
    """A project that no other test uses: its database and its topics are empty."""
    return f"test-{uuid.uuid4().hex[:12]}"
