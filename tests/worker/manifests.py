"""Drops that a manifest or a dataset describes."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.client.datasets import Dataset
from tests.worker.world import World


def manifest(**members: Any) -> str:
    return json.dumps(members)


@pytest.fixture
def dataset(bigquery: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dataset]:
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", bigquery)
    with Dataset(bigquery) as dataset:
        yield dataset


def answered(world: World) -> list[str]:
    """The keys of all answers in the output bucket."""
    return [
        json.loads(line)["key"]
        for blob in world.gcs.list_blobs(world.settings.output.bucket)
        for line in blob.download_as_text().splitlines()
    ]
