"""What other processes do: asking until it is so."""

import time
from collections.abc import Callable
from typing import TypeVar

import psutil

T = TypeVar("T")


def until(ask: Callable[[], T | None], seconds: float = 60, every: float = 0.02) -> T:
    """The first answer of `ask` that counts as true. Fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"not so after {seconds:g} s: {ask}"
        time.sleep(every)
    return answer


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs yet; one that has ended may wait for its parent to notice."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
