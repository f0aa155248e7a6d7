"""The pytest fixture `batchsim`, for any project that has this one installed."""

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
def batchsim(request: pytest.FixtureRequest) -> Iterator["BatchSim"]:
    """
    A fresh simulator of both batch APIs, whose clock the test moves.

        def test_it(batchsim):
            client = MyClient(base_url=batchsim.url)
            batchsim.clock.advance(hours=1)

    Options of `BatchSim` are given by a marker: `@pytest.mark.batchsim(speed=1)`.
    """
    # This module is imported by every pytest run; the server only by tests that use it.
    from batchsim.sim import BatchSim

    options: dict[str, Any] = {"speed": 0}
    marker = request.node.get_closest_marker("batchsim")
    if marker:
        options |= marker.kwargs
    with BatchSim(**options) as sim:
        yield sim
