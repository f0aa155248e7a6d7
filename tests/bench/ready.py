"""
How long after a batch's end its results are announced, on the local stack.

    python -m tests.bench.ready [--rows N] [--drops N] [--json]

Starts a stack whose `poll` runs every second, drops N files, one after the other, and
measures from the end of each batch, as the API reports it, to the arrival of the
announcement `results.ready` at a subscriber. With --json the last line is one object.
"""

import argparse
import json
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from batchdrop_local import samples
from batchdrop_local.looker import RESULTS_READY, Looker, exported
from batchdrop_local.stack import Stack


def measure(rows: int, drops: int) -> list[float]:
    """Seconds from the end to the results, for each of some drops of as many rows."""
    took = []
    with ExitStack() as undo:
        directory = Path(undo.enter_context(tempfile.TemporaryDirectory()))
        stack = undo.enter_context(
            Stack(directory, queue_seconds=0.5, run_seconds=0.5, pages=False)
        )
        undo.enter_context(exported(stack.env))
        looker = Looker(stack)
        undo.callback(looker.close)
        for seed in range(drops):
            content = b"".join(samples.reviews(rows, seed))
            drop = looker.upload(content, f"drop-{seed}.jsonl")
            looker.announcement(drop.job_id, RESULTS_READY)
            at = time.time()
            job = looker.wait_for(drop.job_id, lambda job: True)
            assert job.rows.ok == rows, job.rows
            assert job.batch is not None
            assert job.batch.end_time is not None
            took.append(round(at - job.batch.end_time.timestamp(), 3))
    return took


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.ready")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--drops", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one object last")
    chosen = parser.parse_args()
    took = measure(chosen.rows, chosen.drops)
    median = statistics.median(took)
    for seconds in took:
        print(f"{chosen.rows:,} rows: results announced {seconds:.2f} s after the end")
    print(f"median: {median:.2f} s")
    if chosen.json:
        print(json.dumps({"rows": chosen.rows, "seconds": took, "median": median}))


if __name__ == "__main__":
    main()
