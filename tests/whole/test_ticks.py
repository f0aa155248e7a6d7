"""Ticks that are lost, die, overlap or end before all is done, on the whole stack."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from batchdrop.jobs.values import Drop
from batchdrop.worker.stages import AT_ONCE
from batchdrop_local.nursery import Nursery
from batchdrop_local.stack import Stack
from tests.waiting import until
from tests.whole.deployment import Deployment, looking_at

#: How these tests pull; the streaming way has threads to wait for.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The return_immediately flag is deprecated"),
    pytest.mark.proof,  # tests/worker shows it on a clock
]

#: Seconds after which a tick takes up no more work, and another may begin.
TICK = 2.0


@dataclass
class Clockless:
    """A deployment that only the test calls."""

    deployment: Deployment
    trap: Path  #: taken away, the next tick dies when it has its lock
    pool: ThreadPoolExecutor

    def poll(self) -> dict[str, Any]:
        """One call, and its answer."""
        url = self.deployment.stack.addresses["poll"]
        answer = httpx.post(url, timeout=30, trust_env=False).raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def polled(self) -> "Future[dict[str, Any]]":
        """One call whose answer is not waited for."""
        return self.pool.submit(self.poll)

    def poll_until(self, drop: Drop, *phases: str) -> dict[str, Any]:
        """Calls until a job is that far."""

        def ask() -> dict[str, Any] | None:
            self.poll()
            return self.deployment.at(drop, *phases)

        job = until(ask)
        assert job is not None
        return job

    def fault(self, **rule: Any) -> None:
        """Adds a fault to batchsim; it strikes once, unless `count` says otherwise."""
        httpx.post(self._faults, json={"count": 1, **rule}).raise_for_status()

    def has_struck(self) -> bool:
        """Whether the latest fault has, once at least."""
        rules = httpx.get(self._faults).raise_for_status().json()["rules"]
        return bool(rules[-1]["struck"])

    @property
    def _faults(self) -> str:
        return f"{self.deployment.stack.addresses['batchsim']}/_sim/faults"

    def submitted(self) -> Drop:
        """A file whose batch is at the service, and has ended there."""
        drop = self.deployment.drop(2)
        until(lambda: self.deployment.at(drop, "waiting"))
        self.poll_until(drop, "submitted")
        until(lambda: self.service_says(drop) == "JOB_STATE_SUCCEEDED")
        return drop

    def service_says(self, drop: Drop) -> str:
        """The state of a drop's only batch at batchsim."""
        (batch,) = self.deployment.batches(drop)
        return str(batch["state"])


@pytest.fixture(scope="module")
def clockless(
    tmp_path_factory: pytest.TempPathFactory,
    firestore_emulator: str,
    pubsub_emulator: str,
    nursery: Nursery,
) -> Iterator[Clockless]:
    """A stack without a scheduler, whose functions can be killed at a failpoint."""
    directory = tmp_path_factory.mktemp("ticks")
    trap = directory / "after_lock"
    trap.touch()
    env = {
        "BATCHDROP_TICK": str(TICK),
        # A third of it is how long an answer is waited for: longer than those below.
        "BATCHDROP_CREATE_TIMEOUT": "15",
        "BATCHDROP_LEASE": "30",
        "BATCHDROP_RESULTS": "off",
        "BATCHDROP_FAILPOINTS": str(trap),
        # So that on_upload leaves it to the ticks to submit.
        "BATCHDROP_MAX_ACTIVE_JOBS": "100",
    }
    with (
        Stack(
            directory,
            poll_every=None,
            queue_seconds=0.1,
            run_seconds=0.1,
            env=env,
            pages=False,
            nursery=nursery,
        ) as stack,
        looking_at(stack, "ticks", Deployment) as deployment,
        ThreadPoolExecutor(4) as pool,
    ):
        yield Clockless(deployment, trap, pool)


def test_what_ended_between_ticks_is_announced_by_the_next_one(
    clockless: Clockless,
) -> None:
    drop = clockless.submitted()
    assert clockless.deployment.at(drop, "submitted")
    assert clockless.deployment.announced(drop) == []

    ticked = clockless.poll()

    assert ticked == {"locked_out": False, "ended": 1}
    assert clockless.deployment.at(drop, "ended")
    (message,) = until(lambda: clockless.deployment.announced(drop))
    assert message.attributes["ce-type"] == "dev.batchdrop.job.succeeded.v1"


def test_a_tick_that_dies_shuts_the_next_ones_out_for_its_own_time_only(
    clockless: Clockless,
) -> None:
    drop = clockless.submitted()
    clockless.trap.unlink()

    with pytest.raises(httpx.HTTPError):
        clockless.poll()
    died = time.monotonic()
    answers = until(lambda: answered(clockless))
    assert answers["locked_out"]
    clockless.poll_until(drop, "ended")

    assert time.monotonic() - died < TICK + 3
    until(lambda: clockless.deployment.announced(drop))
    assert len(clockless.deployment.announced(drop)) == 1


def answered(clockless: Clockless) -> dict[str, Any] | None:
    """The answer to a call, when there is a process again to give one."""
    try:
        return clockless.poll()
    except httpx.HTTPError:
        return None


def test_ticks_that_overlap_announce_an_end_once(clockless: Clockless) -> None:
    drop = clockless.submitted()
    clockless.fault(fault="slow", op="list", seconds=TICK + 1.5)

    first = clockless.polled()
    until(clockless.has_struck)
    locked_out = clockless.poll()
    second = until(lambda: one if not (one := clockless.poll())["locked_out"] else None)
    overlapped = not first.done()
    last = first.result()

    assert locked_out == {"locked_out": True, "ended": 0}
    assert overlapped
    assert (second["ended"], last["locked_out"]) == (1, False)
    job = clockless.deployment.job(drop)
    assert job is not None
    assert [one["phase"] for one in job["history"]].count("ended") == 1
    assert job["seq"] == 1
    clockless.poll()
    assert len(until(lambda: clockless.deployment.announced(drop))) == 1
    assert len(clockless.deployment.batches(drop)) == 1


def test_a_tick_whose_time_is_over_leaves_the_rest_to_the_next_one(
    clockless: Clockless,
) -> None:
    drops = [clockless.deployment.drop(2) for _ in range(AT_ONCE + 2)]

    def phases() -> list[str]:
        jobs = [clockless.deployment.job(drop) for drop in drops]
        return sorted(job["phase"] for job in jobs if job)

    until(lambda: phases() == ["waiting"] * len(drops))
    # Admission may take half of a tick, and takes up no job after that.
    clockless.fault(fault="slow", op="create", seconds=TICK * 0.6, count=AT_ONCE)

    clockless.poll()
    after_one = phases()
    clockless.poll()

    assert after_one == ["submitted"] * AT_ONCE + ["waiting"] * 2
    assert "waiting" not in phases()
    for drop in drops:
        clockless.poll_until(drop, "ended")
        assert len(clockless.deployment.batches(drop)) == 1
