"""Fixtures of the client's tests."""

from collections.abc import Iterator

import pytest

from tests.client.buckets import Bucket


@pytest.fixture
def bucket(storage_emulator: str) -> Iterator[Bucket]:
    bucket = Bucket()
    yield bucket
    bucket.close()
