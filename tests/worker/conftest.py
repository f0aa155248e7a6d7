import uuid
from collections.abc import Iterator
from contextlib import closing

import pytest
from google.cloud import firestore

from tests.cloud_storage import CloudStorage, cloud_storage
from tests.database import Database
from tests.worker.office import Office
from tests.worker.world import World, a_world, storage_at


@pytest.fixture(scope="session", autouse=True)
def no_channel_is_left_open() -> Iterator[None]:
    yield
    assert Database.left_open == set()


@pytest.fixture
def database(firestore_emulator: str, project: str) -> Iterator[firestore.Client]:
    """The project's own Firestore."""
    with closing(Database(project=project)) as client:
        yield client


@pytest.fixture
def world(
    gcs: str,
    database: firestore.Client,
    project: str,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[World]:
    """
    A deployment of this test alone, whose clock stands still; over Vertex AI, or over
    the backend that the test names as the fixture's parameter.
    """
    # The client opens a storage client of its own where answers are collected.
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", project)
    with a_world(gcs, database, getattr(request, "param", "vertex")) as world:
        yield world


@pytest.fixture(scope="module")
def lasting(gcs: str, firestore_emulator: str) -> Iterator[World]:
    """
    A deployment for all tests of a file that look at what became of one drop, each from
    a side of its own. A fixture of the file makes that; the tests change nothing.
    """
    project = f"test-{uuid.uuid4().hex[:12]}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", gcs)
        patch.setenv("GOOGLE_CLOUD_PROJECT", project)
        with (
            closing(Database(project=project)) as database,
            a_world(gcs, database) as world,
        ):
            yield world


@pytest.fixture
def cloud(world: World, gcs: str) -> Iterator[CloudStorage]:
    """A Cloud Storage that does what Google documents, before the world's objects."""
    with cloud_storage(gcs) as server:
        direct = world.gcs
        world.gcs = storage_at(server.url, world.settings.project)
        yield server
        world.gcs.close()
        world.gcs = direct


@pytest.fixture
def office(database: firestore.Client) -> Office:
    """An outbox and a topic, at a standing clock."""
    return Office(database)
