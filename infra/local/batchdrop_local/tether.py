"""
Ends the stack's processes when the stack has died without doing so itself.

Runs as a script, in a session of its own, and reads a pipe whose other end only the
stack holds. Each started process writes its number into the pipe before it becomes
the program it is to be; the stack writes `-NUMBER` when it has seen one end. The end
of the pipe means that the stack is gone, however it went (SIGKILL included, on Linux
and on macOS), and every process group that is left is killed.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterable


def remaining(lines: Iterable[str]) -> set[int]:
    """The process groups that were announced and not taken back, at the pipe's end."""
    groups: set[int] = set()
    for line in lines:
        number = int(line)
        if number > 0:
            groups.add(number)
        else:
            groups.discard(-number)
    return groups


def main() -> None:
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        # A signal to the whole group must not end the process that stops the rest.
        signal.signal(number, signal.SIG_IGN)
    for group in remaining(sys.stdin):
        # macOS answers EPERM for a group with nothing left but a zombie.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
