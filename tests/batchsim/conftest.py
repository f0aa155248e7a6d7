"""Fixtures for tests of batchsim. The fixture `batchsim` is the one for users."""

import pytest

from batchsim import BatchSim
from tests.batchsim.drive import Bucket, Developer, Vertex


@pytest.fixture
def bucket(storage_emulator: str) -> Bucket:
    return Bucket(storage_emulator)


@pytest.fixture
def vertex(batchsim: BatchSim, bucket: Bucket) -> Vertex:
    return Vertex(batchsim, bucket)


@pytest.fixture
def developer(batchsim: BatchSim) -> Developer:
    return Developer(batchsim)
