"""Fixtures of the client's tests."""

from collections.abc import Iterator

import pytest

from tests.client.buckets import Bucket


@pytest.fixture
def bucket(storage_emulator: str) -> Iterator[Bucket]:
    bucket = Bucket()
    yield bucket
    bucket.close()


@pytest.fixture(autouse=True)
def no_other_storage(storage_emulator: str) -> None:
    """Reads of a gs:// source never leave this machine."""
