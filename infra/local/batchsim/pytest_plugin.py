"""
The pytest fixture `batchsim`. A project opts into it in its conftest.py:

    pytest_plugins = ["batchsim.pytest_plugin"]
"""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from batchsim.sim import BatchSim


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "batchsim(**options): options of the fixture's BatchSim, such as speed=3600 or "
        "queue_seconds=0",
    )


@pytest.fixture
def batchsim(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator["BatchSim"]:
    """
    A fresh simulator of both batch APIs. The test moves its clock.

        def test_it(batchsim):
            client = MyClient(base_url=batchsim.url)
            batchsim.clock.advance(hours=1)

    A marker sets options of `BatchSim`: `@pytest.mark.batchsim(speed=1)`.

    `batchsim.storage` is a bucket for jobs on Vertex. Google's storage clients find it
    if they are created after its first use. Clients created earlier, without a
    STORAGE_EMULATOR_HOST, get a 404 at once and never reach Google.
    """
    # A run without a test that uses the fixture need not import the server.
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
