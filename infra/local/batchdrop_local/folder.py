"""The folder of a stack: who holds it, and the ports that it had before."""

import fcntl
import json
import os
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from batchdrop_local.processes import StackError, free_port, is_free

#: Locked (`flock`) while a stack holds the folder; has the number of its process.
LOCK = "lock"
#: Seconds to try for the lock: whoever asks whether it is held has it for an instant.
_PATIENCE = 0.5


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """
    Hold the folder: a second stack in it would write over the first's files.

    Raises:
        StackError: another stack holds it; the text says which one. Or nothing can be
            written there.
    """
    deadline = time.monotonic() + _PATIENCE
    with _opened(folder) as lock:
        while not _taken(lock.fileno()):
            if time.monotonic() > deadline:
                lock.seek(0)
                raise StackError(f"use {folder}", _held_by(lock.read().strip()))
            time.sleep(0.02)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def is_held(folder: Path) -> bool:
    """Whether a stack holds the folder."""
    try:
        with (folder / LOCK).open() as lock:
            return not _taken(lock.fileno())
    except FileNotFoundError:
        return False


def choose_ports(
    folder: Path, parts: Collection[str], fixed: Mapping[str, int]
) -> dict[str, int]:
    """
    A port for each part: the fixed one, else the one that it had the last time if that
    is free, else another one.

    Raises:
        StackError: a fixed one is taken, or there is no free one.
    """
    for part, port in fixed.items():
        if not is_free(port):
            raise StackError(f"give {part} port {port}", "somebody listens there")
    ports = dict(fixed)
    before = _ports_before(folder)
    for part, port in before.items():
        again = part in parts and part not in ports and port not in ports.values()
        if again and is_free(port):
            ports[part] = port
    for part in parts:
        if part not in ports:
            ports[part] = free_port(ports.values())
    return ports


def keep_ports(folder: Path, ports: Mapping[str, int]) -> None:
    """So that the next stack in the folder has the same."""
    _ports_file(folder).write_text(json.dumps(ports) + "\n")


def _ports_before(folder: Path) -> dict[str, int]:
    try:
        found = json.loads(_ports_file(folder).read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {part: port for part, port in found.items() if type(port) is int}


def _ports_file(folder: Path) -> Path:
    return folder / "ports.json"


def _opened(folder: Path) -> TextIO:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / LOCK).open("a+")
    except OSError as exc:
        raise StackError(
            f"use {folder}", f"{exc.strerror}; start it in a directory of yours"
        ) from exc


def _taken(file: int) -> bool:
    """Whether the lock of an open file could be taken."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _held_by(number: str) -> str:
    who = f"another stack is up there, process {number}" if number else "it is in use"
    stop = f"`kill {number}`" if number else "kill its process"
    return (
        f"{who}. Use that one from any terminal, such as with `batchdrop status`; or "
        f"stop it, with Ctrl-C in its terminal or {stop}; or start this one in another "
        "directory"
    )
