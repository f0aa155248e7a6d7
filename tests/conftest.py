"""Fixtures for every ring."""

from collections.abc import Iterator

import pytest

from tests import services


@pytest.fixture(scope="session")
def gcs() -> Iterator[str]:
    """The address of a Cloud Storage emulator that all tests share."""
    with services.fake_gcs() as url:
        yield url


@pytest.fixture
def storage_emulator(gcs: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same, with Google's storage clients pointed at it."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs)
    return gcs
