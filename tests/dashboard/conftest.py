from collections.abc import Iterator

import flask
import jinja2
import pytest
from flask.testing import FlaskClient

from batchdrop import wiring
from batchdrop.dashboard.site import site
from tests.worker.conftest import database as database  # fixtures of the worker
from tests.worker.conftest import world as world
from tests.worker.world import World


@pytest.fixture(scope="session", autouse=True)
def templates_are_compiled_once(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[None]:
    """Each test has a site of its own, which would compile the templates again."""
    compiled = jinja2.FileSystemBytecodeCache(str(tmp_path_factory.mktemp("jinja")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flask.Flask, "jinja_options", {"bytecode_cache": compiled})
        yield


@pytest.fixture
def deployed(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """
    A deployment that the pages show, on one machine: everybody operates it, and sees
    what rows ask and answer.
    """
    world.choose(dashboard_access="local", dashboard_rows=True)
    for name, made in world.wired.items():
        monkeypatch.setattr(wiring, name, made)
    return world


@pytest.fixture
def pages(deployed: World) -> FlaskClient:
    """A browser without script. `get(...).text` is a page."""
    return site(wiring).test_client()
