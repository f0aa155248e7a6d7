"""Named points between steps, where tests kill or freeze the process."""

import os
import signal
from pathlib import Path

#: The environment variable that names the points.
FAILPOINTS = "BATCHDROP_FAILPOINTS"


def failpoint(point: str) -> None:
    """
    Does nothing unless BATCHDROP_FAILPOINTS names this point. The variable lists files,
    separated as in PATH, each named after a point. With `/tmp/x/after_intent`, the
    first process that passes `after_intent` dies there; with
    `/tmp/x/after_intent.freeze`, it stops until it gets a SIGCONT. That process creates
    the file first, and while the file exists the point does nothing.
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
            os._exit(137)  # like a SIGKILL: nothing is flushed or logged
