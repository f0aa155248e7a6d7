"""
Takes four drops at once, as a function with a concurrency of four does, in a process
of its own: `python -m tests.worker.at_once`, with the environment of a deployment. It
reads groups of drops from its input. For each group it prints the peak memory of the
process in MiB, and the phase or the error code of each job.
"""

import json
import logging
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def most_memory() -> int:
    """The peak of resident memory since the last reset, which Cloud Run limits."""
    match = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert match is not None
    return int(match[1]) // 1024


def main() -> None:
    from batchdrop import wiring
    from batchdrop.jobs.values import Drop

    logging.disable()
    worker = wiring.worker()
    for line in sys.stdin:
        name, *drops = json.loads(line)
        taken = [Drop(**drop) for drop in drops]
        Path("/proc/self/clear_refs").write_text("5")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(worker.take, taken))
        jobs = [wiring.ledger().get(drop.job_id) for drop in taken]
        ends = [job and (job.error.code if job.error else job.phase) for job in jobs]
        print(json.dumps([name, most_memory(), *ends]), flush=True)


if __name__ == "__main__":
    main()
