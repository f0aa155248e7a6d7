"""Workers that die or sleep at a failpoint, in this process."""

import importlib
import pkgutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from batchdrop import worker


class Killed(BaseException):
    """Stands for a SIGKILL: no handler of `Exception` catches it."""


def die() -> None:
    raise Killed


@contextmanager
def failpoints(passed: Callable[[str], None]) -> Iterator[None]:
    """Calls a function with the name of each failpoint that a worker passes."""
    names = [one.name for one in pkgutil.iter_modules(worker.__path__)]
    modules = [importlib.import_module(f"{worker.__name__}.{name}") for name in names]
    with pytest.MonkeyPatch.context() as patch:
        for module in modules:
            if hasattr(module, "failpoint"):
                patch.setattr(module, "failpoint", passed)
        yield


@contextmanager
def at(points: Sequence[str], act: Callable[[], None]) -> Iterator[list[str]]:
    """
    Calls `act` once at each of these failpoints, when a worker first passes it.

    Yields:
        the failpoints that no worker has passed yet.
    """
    waiting = [*points]
    taking = threading.Lock()  # jobs are admitted in several threads

    def failpoint(name: str) -> None:
        with taking:
            if name not in waiting:
                return
            waiting.remove(name)
        act()

    with failpoints(failpoint):
        yield waiting
