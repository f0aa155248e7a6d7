"""Fixtures that more than one ring of tests uses."""

import functools
import os
import ssl
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from batchdrop_local import fake_gcs
from batchdrop_local.emulators import FIRESTORE, PUBSUB
from batchdrop_local.nursery import Nursery
from tests import services
from tests.clock import Clock

pytest_plugins = ["batchsim.pytest_plugin"]

# Wall-clock times depend on how busy the machine is, not on the code. Each run draws
# other examples, so that few a run are many a week; `make proofs` draws many at once.
settings.register_profile(
    "few",
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("many", settings.get_profile("few"), max_examples=300)
settings.load_profile("few")

#: What stays in one process where tests run in several, by folder or file; each process
#: has stacks of its own. Cases run in tracks, which are started once. The demo has to
#: see each state of its batch, and comes when the tracks are over. Those of a folder
#: share what takes long to make: plans, a whole stack, or a browser.
TOGETHER = {
    "exactly_once/test_crashes.py": "tracks",
    "exactly_once/test_faults.py": "tracks",
    "whole/test_demo.py": "tracks",
    "infra": "infra",
    "whole": "whole",
    "browser": "browser",
}
#: What begins first: it takes longest, and mostly waits. A file of the worker's tests
#: takes longer than one of the others.
FIRST = ("tracks", "whole", "browser", "infra")


def together(nodeid: str) -> str:
    """The name of what a test stays with: else its file's."""
    file = nodeid.partition("::")[0].removeprefix("tests/")
    return TOGETHER.get(file) or TOGETHER.get(file.partition("/")[0]) or file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """What `pytest -n 2` asks for; `make test` does."""
    from xdist.scheduler.loadscope import LoadScopeScheduling

    scheduling = LoadScopeScheduling(config, log)
    scheduling._split_scope = together
    return scheduling


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where there are several processes, what takes longest begins first."""

    def rank(item: pytest.Item) -> int:
        name = together(item.nodeid)
        if name in FIRST:
            return FIRST.index(name)
        return len(FIRST) + (not name.startswith("worker/"))

    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=rank)


@pytest.fixture(scope="session", autouse=True)
def no_deployment_of_yours(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[None]:
    """Tests, and the processes that they start, know no deployment that you do."""
    with pytest.MonkeyPatch.context() as patch:
        there = str(tmp_path_factory.mktemp("config"))
        patch.setattr("click.get_app_dir", lambda name: f"{there}/{name}")
        patch.setenv("XDG_CONFIG_HOME", there)
        yield


@pytest.fixture(scope="session", autouse=True)
def certificates_are_read_once() -> Iterator[None]:
    """
    All clients in a process share what they trust. To read it takes 30 ms, which each
    client would spend that a test makes, and hardly any needs it on this machine.
    """
    with pytest.MonkeyPatch.context() as patch:
        made = functools.cache(ssl.create_default_context)
        patch.setattr(ssl, "create_default_context", made)
        yield


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def shared(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> services.Shared:
    """Services that all processes of a run share: each has data of its own there."""
    shared = services.Shared(tmp_path_factory)
    # Not at the end of the last test: others may need them for long.
    pytestconfig.add_cleanup(shared.close)
    return shared


@pytest.fixture(scope="session")
def firestore_emulator(shared: services.Shared) -> Iterator[str]:
    """The address of a Firestore emulator, which Google's client finds as well."""
    with shared.emulator(FIRESTORE) as address:
        yield address


@pytest.fixture(scope="session")
def pubsub_emulator(shared: services.Shared) -> Iterator[str]:
    """The address of a Pub/Sub emulator, which Google's client finds as well."""
    with shared.emulator(PUBSUB) as address:
        yield address


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Starts the functions of all stacks, which spares each a second of imports."""
    with services.a_nursery(tmp_path_factory.mktemp("nursery")) as nursery:
        yield nursery


@pytest.fixture
def project() -> str:
    """A project that no other test uses: its database and its topics are empty."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Cloud Storage emulator that all tests share."""
    with fake_gcs.running(tmp_path_factory.mktemp("gcs")) as url:
        yield url


@pytest.fixture
def storage_emulator(gcs: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same, with Google's storage clients pointed at it."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs)
    return gcs


@pytest.fixture(scope="session")
def bigquery(shared: services.Shared) -> str:
    """The address of a BigQuery emulator that all tests share."""
    return shared.address("bigquery", services.bigquery_emulator)
