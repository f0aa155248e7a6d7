"""Named points between two steps, where tests kill or freeze the process."""

import os
import signal
from pathlib import Path

#: The variable that names the points.
FAILPOINTS = "BATCHDROP_FAILPOINTS"


def failpoint(point: str) -> None:
    """
    Does nothing, unless BATCHDROP_FAILPOINTS names this point. Its value is a list of
    files, separated as in PATH, that are named after points: the first process that
    passes `after_intent` dies there with `/tmp/x/after_intent`, and with
    `/tmp/x/after_intent.freeze` stops until it gets a SIGCONT. The process creates the
    file at that; while the file exists the point does nothing.
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
            os._exit(137)  # as after a SIGKILL: nothing is flushed or logged
