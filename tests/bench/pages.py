"""
How long the pages take to their first byte, on the local stack.

    python -m tests.bench.pages [--json]

Starts a stack with the sample's files, waits until most are done, and asks for each
page 20 times; the first answers, which open connections, don't count. With --json the
last line is one object.
"""

import argparse
import json
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import httpx

from batchdrop_local import sample
from batchdrop_local.looker import Looker, exported
from batchdrop_local.stack import Stack

#: Answers of a page that count.
TIMES = 20


def measure() -> dict[str, float]:
    """The median, in milliseconds, of each page."""
    with ExitStack() as undo:
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory()))
        stack = undo.enter_context(
            Stack(folder, run_seconds=1, env=sample.settings(folder / "sample"))
        )
        undo.enter_context(exported(stack.env))
        looker = Looker(stack)
        undo.callback(looker.close)
        looker.inject(sample.FAULTS)
        drops = {f.name: looker.upload(f.content(), f.name) for f in sample.FILES}
        done = drops["support/tickets.jsonl"].job_id
        split = drops["archive/reviews-2026.jsonl"].job_id
        for id in (done, split):
            looker.wait_for(id, lambda job: job.is_done)
        url = stack.addresses["dashboard"]
        http = undo.enter_context(httpx.Client(base_url=url, trust_env=False))
        paths = {
            "jobs": "/",
            "a job": f"/jobs/{done}",
            "a split job": f"/jobs/{split}",
            "rows": f"/jobs/{done}/rows",
            "a row": f"/jobs/{done}/rows?id=1",
            "costs": "/costs",
            "status": "/status",
        }
        return {name: _median(http, path) for name, path in paths.items()}


def _median(http: httpx.Client, path: str) -> float:
    took = []
    for _ in range(TIMES + 3):
        began = time.perf_counter()
        with http.stream("GET", path) as answer:
            took.append(time.perf_counter() - began)
            answer.read()
        answer.raise_for_status()
    return round(statistics.median(took[3:]) * 1000, 1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pages")
    parser.add_argument("--json", action="store_true", help="print one object last")
    chosen = parser.parse_args()
    medians = measure()
    for name, milliseconds in medians.items():
        print(f"{name}: first byte after {milliseconds:g} ms")
    if chosen.json:
        print(json.dumps({"milliseconds": medians}))


if __name__ == "__main__":
    main()
