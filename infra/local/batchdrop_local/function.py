"""
A function's server, which has imported what its functions import at their first call.

gunicorn forks its workers from it, so a worker that follows a dead one is ready in a
tenth of a second. The server itself is forked from a nursery, where that can be. No
client is made here: gRPC's channels do not survive a fork.
"""

import os
import sys
from importlib import import_module

from functions_framework._cli import _cli

from batchdrop_local import nursery

USED = (
    "batchdrop.wiring",
    "functions_framework._http.gunicorn",
    "google.cloud.firestore",
    "google.cloud.pubsub_v1",
    "google.cloud.storage",
    "gunicorn.arbiter",
    "gunicorn.workers.gthread",
)
#: For tests: answers of more bytes than this are collected in steps of as many.
STEP_BYTES = "LOCAL_STEP_BYTES"


def lower_steps(size: int) -> None:
    """Has `collect` take the steps of large results with small ones."""
    from batchdrop.results import ranges, runs, slices
    from batchdrop.worker import collect_freeze

    collect_freeze.MOST = slices.SLICE = ranges.RANGE = size
    runs.EVERY = 1


def leave_out_control_socket() -> None:
    """Has gunicorn open none: each server would take the place of another's at home."""
    setting = import_module("gunicorn.config").ControlSocketDisable
    setting.default = True


if __name__ == "__main__":
    for name in USED:
        import_module(name)
    arguments = sys.argv[1:]
    if arguments[:1] == [nursery.OPTION]:
        arguments = nursery.forked(int(arguments[1]))
    leave_out_control_socket()
    if STEP_BYTES in os.environ:
        lower_steps(int(os.environ[STEP_BYTES]))
    _cli(arguments)
