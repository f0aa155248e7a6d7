"""Named points between two steps, at which a test can have the process die."""

import os
import signal
from pathlib import Path

#: The variable that names the points.
FAILPOINTS = "BATCHDROP_FAILPOINTS"


def failpoint(point: str) -> None:
    """
    Does nothing, unless BATCHDROP_FAILPOINTS names this point. Its value is a list of
    files, separated as in PATH, that are named after points: `/tmp/x/after_intent`
    has the first process that passes `after_intent` die there, and
    `/tmp/x/after_intent.freeze` has it stop until it gets a SIGCONT. The file is made
    at that, and while it is there the point does nothing more.
    """
    chosen = os.environ.get(FAILPOINTS)
    if not chosen:
        return
    for path in map(Path, chosen.split(os.pathsep)):
        if path.stem != point:
            continue
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            continue
        if path.suffix == ".freeze":
            os.kill(os.getpid(), signal.SIGSTOP)
        else:
            os._exit(137)  # as after a SIGKILL: nothing is flushed, nothing is said
