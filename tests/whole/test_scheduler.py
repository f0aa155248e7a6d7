"""Cloud Scheduler's stand-in."""

import threading
from datetime import datetime

from batchdrop_local.scheduler import Scheduler
from tests.waiting import until
from tests.whole.listener import Request, listening


def test_each_call_has_the_name_of_its_job_and_its_due_time() -> None:
    with (
        listening(lambda request: 200) as listener,
        Scheduler(listener.url, every=0.01, log=print),
    ):
        until(lambda: len(listener.requests) >= 2)

    first, second = (request.headers for request in listener.requests[:2])
    assert first["x-cloudscheduler-jobname"] == "poll"
    assert first["user-agent"] == "Google-Cloud-Scheduler"
    times = [
        datetime.fromisoformat(headers["x-cloudscheduler-scheduletime"])
        for headers in (first, second)
    ]
    assert times[0] < times[1]


def test_a_call_begins_when_the_one_before_has_ended() -> None:
    running = threading.Semaphore(1)
    overlaps = []

    def answer(request: Request) -> int:
        if not running.acquire(blocking=False):
            overlaps.append(request)
        threading.Event().wait(0.03)
        running.release()
        return 200

    with (
        listening(answer) as listener,
        Scheduler(listener.url, every=0.01, log=print),
    ):
        until(lambda: len(listener.requests) >= 4)

    assert overlaps == []


def test_a_failed_call_is_reported_and_the_next_one_follows() -> None:
    told: list[str] = []

    with (
        listening(lambda request: 500) as listener,
        Scheduler(listener.url, every=0.01, log=told.append),
    ):
        until(lambda: len(listener.requests) >= 2)

    assert told[0] == f"answer 500 from {listener.url}"
