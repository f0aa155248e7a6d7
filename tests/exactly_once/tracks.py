"""Cases run side by side: each track takes the next one as soon as it is free."""

import math
import queue
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from batchdrop_local.nursery import Nursery
from tests.exactly_once.promise import Outcome
from tests.exactly_once.track import Case, Track

#: How many at most for each backend and settings, else one. A case mostly waits: for a
#: lease to end, for a list to settle.
TRACKS = {("vertex", ""): 6, ("developer", ""): 5}
#: Fewer cases than this are not worth another track, which takes seconds to start.
CASES = 6
#: Seconds between ticks. Most find nothing to do, and all tracks together make many.
EVERY = 0.8

Runs = dict[Case, "Future[Outcome]"]


@contextmanager
def running(
    cases: Iterable[Case], directory: Path, firestore_address: str, nursery: Nursery
) -> Iterator[Runs]:
    """
    Begins all cases, in their order, and yields what will become of each.

    A track ends with the last case for its settings. One in which a job came to no end
    is given up, and another takes its place.
    """
    runs: Runs = {case: Future() for case in cases}
    numbers = count(1)
    threads = []
    stopping = threading.Event()

    def drive(waiting: "queue.Queue[Case]", deployment: tuple[str, str]) -> None:
        while not stopping.is_set() and not waiting.empty():
            folder = directory / f"{deployment[0]}-{next(numbers)}"
            case: Case | None = None
            try:
                with Track(
                    folder,
                    deployment,
                    firestore_address,
                    every=EVERY,
                    nursery=nursery,
                ) as track:
                    while track.is_clean and not stopping.is_set():
                        case = waiting.get_nowait()
                        runs[case].set_result(track.run(case))
                        case = None
            except queue.Empty:
                return
            except BaseException as exc:
                if case is None:
                    with suppress(queue.Empty):
                        case = waiting.get_nowait()
                if case is not None:
                    exc.add_note(f"the logs lie in {folder}")
                    runs[case].set_exception(exc)

    for deployment in dict.fromkeys(case.deployment for case in runs):
        waiting: queue.Queue[Case] = queue.Queue()
        for case in runs:
            if case.deployment == deployment:
                waiting.put(case)
        wanted = math.ceil(waiting.qsize() / CASES)
        for _ in range(min(TRACKS.get(deployment, 1), wanted)):
            thread = threading.Thread(target=drive, args=(waiting, deployment))
            thread.start()
            threads.append(thread)
    try:
        yield runs
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
