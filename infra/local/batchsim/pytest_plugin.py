"""The pytest fixture `batchsim`, for any project that has this one installed."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from batchsim.sim import BatchSim


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "batchsim(**options): how the fixture `batchsim` makes its BatchSim, such as "
        "speed=3600 or queue_seconds=0",
    )


@pytest.fixture
def batchsim(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator["BatchSim"]:
    """
    A fresh simulator of both batch APIs, whose clock the test moves.

        def test_it(batchsim):
            client = MyClient(base_url=batchsim.url)
            batchsim.clock.advance(hours=1)

    Options of `BatchSim` are given by a marker: `@pytest.mark.batchsim(speed=1)`.

    `batchsim.storage` is a bucket for jobs on Vertex. Google's storage clients that are
    made after it was asked for find it; until then, and where STORAGE_EMULATOR_HOST
    names no emulator, they find no bucket, at once, and never Google's own.
    """
    # This module is imported by every pytest run; the server only by tests that use it.
    from batchsim.sim import BatchSim

    options: dict[str, Any] = {"speed": 0}
    marker = request.node.get_closest_marker("batchsim")
    if marker:
        options |= marker.kwargs
    with BatchSim(**options) as sim:
        variable = "STORAGE_EMULATOR_HOST"
        if not os.environ.get(variable):
            monkeypatch.setenv(variable, options.get("storage") or sim.url)
            sim.on_storage(lambda address: monkeypatch.setenv(variable, address))
        yield sim
