"""What other processes do: asking until it is so."""

import time
from collections.abc import Callable
from typing import TypeVar

import psutil

T = TypeVar("T")


def until(ask: Callable[[], T | None], seconds: float = 60, every: float = 0.02) -> T:
    """
    The first answer of `ask` that counts as true. Fails after so many seconds.

    Args:
        every: how many seconds after an answer it asks again, at first; what takes long
            is asked for less often.
    """
    begun = time.monotonic()
    while not (answer := ask()):
        passed = time.monotonic() - begun
        assert passed < seconds, f"not so after {seconds:g} s: {ask}"
        time.sleep(max(every, min(passed / 20, 0.25)))
    return answer


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs yet; one that has ended may wait for its parent to notice."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
