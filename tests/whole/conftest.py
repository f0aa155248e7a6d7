"""One stack for all tests that need everything; it starts once a run."""

from collections.abc import Iterator

import pytest

from batchdrop_local.nursery import Nursery
from batchdrop_local.stack import Stack


@pytest.fixture(scope="session")
def shared_stack(
    tmp_path_factory: pytest.TempPathFactory,
    firestore_emulator: str,
    pubsub_emulator: str,
    nursery: Nursery,
) -> Iterator[Stack]:
    """The stack that most tests use; batches end within a second."""
    with Stack(
        tmp_path_factory.mktemp("stack"),
        poll_every=0.25,
        queue_seconds=0.3,
        run_seconds=0.3,
        nursery=nursery,
    ) as stack:
        yield stack


@pytest.fixture
def stack(shared_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """The whole of batchdrop, up; Google's clients find it by their environment."""
    for name, value in shared_stack.env.items():
        monkeypatch.setenv(name, value)
    return shared_stack
