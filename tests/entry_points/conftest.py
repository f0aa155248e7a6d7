import logging
from collections.abc import Iterator

import pytest

from batchdrop import wiring
from batchdrop.options.settings import Settings
from tests.entry_points.app import Worker
from tests.rules.test_settings import ENOUGH


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    worker = Worker()
    monkeypatch.setattr(wiring, "settings", lambda: Settings.from_env(ENOUGH))
    monkeypatch.setattr(wiring, "worker", lambda: worker)
    return worker


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """Undoes what the entry points set up: other tests have their own log lines."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
