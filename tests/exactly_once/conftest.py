"""The cases of all tests here, run in tracks over one pair of emulators."""

import gc
from collections.abc import Iterator

import pytest

from batchdrop_local.nursery import Nursery
from tests.exactly_once.track import Case
from tests.exactly_once.tracks import Runs, running


@pytest.fixture(scope="session")
def runs(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    firestore_emulator: str,
    pubsub_emulator: str,
    nursery: Nursery,
) -> Iterator[Runs]:
    """What becomes of the cases that the selected tests are about."""
    cases = [
        case
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and "runs" in item.fixturenames
        and isinstance(case := item.callspec.params.get("case"), Case)
    ]
    directory = tmp_path_factory.mktemp("tracks")
    with running(cases, directory, firestore_emulator, nursery) as runs:
        yield runs


@pytest.fixture
def no_collection() -> Iterator[None]:
    """For walks of a model: they make no cycles, and looking for them doubles their
    time."""
    gc.disable()
    yield
    gc.enable()
