"""Waiting for a job's end, on a clock that the test moves."""

import asyncio
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

import pytest
from msgspec.structs import replace

from batchdrop import Client, JobState
from batchdrop.batches import (
    BatchJob,
    BatchJobDestination,
    ClientError,
    NoResults,
    OutputInfo,
    ServerError,
    WaitTimeout,
)
from batchdrop.batches.call import Call, Notify, Pause
from batchdrop.batches.wait import waiting
from tests.client.official import VERTEX, ours
from tests.client.recorder import Answer, Recorder

RUNNING = BatchJob(name="batches/a", state=JobState.RUNNING)
DONE = BatchJob(
    name="batches/a",
    state=JobState.SUCCEEDED,
    dest=BatchJobDestination(file_name="files/batch-a"),
)
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
LATE = replace(DONE, dest=None, end_time=NOON)


@dataclass
class World:
    """A clock that each pause moves, and an API with a list of answers."""

    answers: Sequence[BatchJob | Exception]
    time: float = 100.0
    wall: float = NOON.timestamp()
    #: Seconds by which the API's clock is ahead of ours; None: it shows none.
    ahead: float | None = 0.0
    pauses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._left = list(self.answers)

    def wait(self, given: BatchJob | None = None, **options: Any) -> BatchJob:
        settings = {"timeout": None, "on_progress": None, "interval": 4.0}
        flow: Generator[Any, Any, BatchJob] = waiting(
            lambda: Call("GET", "http://h/a", lambda _: RUNNING),
            given,
            now=lambda: self.time,
            wall=lambda: self.wall,
            **{**settings, "max_interval": 10.0, **options},
        )
        result: Any = None
        error: Exception | None = None
        try:
            while True:
                step = flow.throw(error) if error else flow.send(result)
                result, error = None, None
                match step:
                    case Pause(seconds=seconds):
                        self.pauses.append(seconds)
                        self.time += seconds
                        self.wall += seconds
                    case Notify(run=run):
                        run()
                    case Call():
                        answer = self._left.pop(0)
                        if isinstance(answer, Exception):
                            error = answer
                        else:
                            result = answer, self.date
        except StopIteration as end:
            ended: BatchJob = end.value
            return ended

    @property
    def date(self) -> str | None:
        if self.ahead is None:
            return None
        return formatdate(self.wall + self.ahead, usegmt=True)


def test_a_wait_polls_with_growing_pauses() -> None:
    world = World([RUNNING] * 5 + [DONE])

    assert world.wait() == DONE
    assert world.pauses == [4.0, 6.0, 9.0, 10.0, 10.0]


@pytest.mark.parametrize(
    "state",
    [
        "JOB_STATE_SUCCEEDED",
        "JOB_STATE_PARTIALLY_SUCCEEDED",
        "JOB_STATE_FAILED",
        "JOB_STATE_CANCELLED",
        "JOB_STATE_EXPIRED",
    ],
)
def test_a_wait_ends_in_every_terminal_state(state: str) -> None:
    ended = replace(DONE, state=state)

    assert World([RUNNING, ended]).wait() == ended


@pytest.mark.parametrize(
    "state", ["JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_EXPIRED"]
)
def test_a_job_that_did_not_succeed_needs_no_output(state: str) -> None:
    ended = replace(LATE, state=state)

    assert World([ended]).wait() == ended


@pytest.mark.parametrize(
    "state", ["JOB_STATE_SUCCEEDED", "JOB_STATE_PARTIALLY_SUCCEEDED"]
)
def test_a_successful_job_is_polled_for_its_output_with_growing_pauses(
    state: str,
) -> None:
    late, done = replace(LATE, state=state), replace(DONE, state=state)
    world = World([RUNNING] * 3 + [late] * 5 + [done])

    assert world.wait() == done
    assert world.pauses == [4.0, 6.0, 9.0, 4.0, 6.0, 9.0, 10.0, 10.0]


@pytest.mark.parametrize(
    "named",
    [
        OutputInfo(gcs_output_directory="gs://b/o"),
        OutputInfo(bigquery_output_table="t"),
        OutputInfo(vertex_multimodal_dataset_name="projects/p/datasets/1"),
    ],
)
def test_each_kind_of_output_of_vertex_counts_as_output(named: OutputInfo) -> None:
    done = replace(LATE, output_info=named)

    assert World([replace(LATE, output_info=OutputInfo()), done]).wait() == done


def test_a_successful_job_without_an_output_ends_a_wait_after_ten_minutes() -> None:
    world = World([LATE] * 99)

    with pytest.raises(NoResults, match="600 s after its end it doesn't say") as caught:
        world.wait()

    assert sum(world.pauses) == 600
    assert caught.value.job == LATE


@pytest.mark.parametrize(
    ("ahead", "wall", "job", "seconds"),
    [
        (3000.0, 0.0, LATE, 0),  # the end was long ago by the API's clock
        (-540.0, 600.0, LATE, 540),  # ours is ten minutes ahead of it
        (-1e6, 0.0, LATE, 600),  # an API's clock that is far behind
        (None, 540.0, LATE, 60),  # no Date: by our clock
        (None, 0.0, replace(LATE, end_time=None, update_time=NOON), 600),
        (0.0, 1e6, replace(LATE, end_time=None), 600),  # no time: since we know
    ],
)
def test_the_ten_minutes_begin_with_the_jobs_end_at_the_apis_clock(
    ahead: float | None, wall: float, job: BatchJob, seconds: int
) -> None:
    world = World([job] * 99, ahead=ahead, wall=NOON.timestamp() + wall)

    with pytest.raises(NoResults):
        world.wait()

    assert sum(world.pauses) == pytest.approx(seconds, abs=1)


def test_a_wait_may_be_shorter_than_the_output_timeout() -> None:
    with pytest.raises(WaitTimeout, match="doesn't name its output yet"):
        World([RUNNING] + [LATE] * 9).wait(timeout=12)


def test_the_output_timeout_can_be_chosen() -> None:
    world = World([LATE] * 9)

    with pytest.raises(NoResults):
        world.wait(output_timeout=0)

    assert world.pauses == []


@pytest.mark.parametrize("state", ["JOB_STATE_PAUSED", "JOB_STATE_DREAMING"])
def test_a_wait_continues_in_any_other_state(state: str) -> None:
    going = BatchJob(name="batches/a", state=state)

    assert World([going, DONE]).wait() == DONE


def test_a_wait_that_takes_too_long_ends_with_the_job_as_last_read() -> None:
    world = World([RUNNING] * 9)

    with pytest.raises(WaitTimeout, match="JOB_STATE_RUNNING after 12") as caught:
        world.wait(timeout=12)

    assert caught.value.job == RUNNING
    assert sum(world.pauses) == 12
    assert isinstance(caught.value, TimeoutError)


def test_every_poll_calls_on_progress() -> None:
    seen: list[str] = []

    World([RUNNING, DONE]).wait(on_progress=lambda job: seen.append(job.state))

    assert seen == [JobState.RUNNING, JobState.SUCCEEDED]


def test_a_short_outage_does_not_end_a_wait() -> None:
    away = ServerError(503, "UNAVAILABLE", "away")

    assert World([away] * 9 + [RUNNING] + [away] * 9 + [DONE]).wait() == DONE


def test_a_long_outage_ends_a_wait() -> None:
    with pytest.raises(ServerError):
        World([ServerError(503)] * 10).wait()


def test_a_refusal_ends_a_wait_at_once() -> None:
    with pytest.raises(ClientError):
        World([ClientError(404, "NOT_FOUND", "gone"), DONE]).wait()


def test_members_that_the_api_does_not_keep_survive_a_wait() -> None:
    given = BatchJob(
        name="batches/a", generation_config={"seed": 1}, collect_to="gs://b"
    )

    ended = World([DONE]).wait(given)

    assert ended.config.generation_config == {"seed": 1}
    assert ended.config.destination == "gs://b"


VERTEX_JOB = {"name": "projects/1/locations/l/batchPredictionJobs/7"}
PAGES = [
    Answer(body={**VERTEX_JOB, "state": "JOB_STATE_RUNNING"}),
    Answer(body={**VERTEX_JOB, "state": "JOB_STATE_FAILED"}),
]


LATE_PAGES = [
    Answer(body={**VERTEX_JOB, "state": "JOB_STATE_SUCCEEDED", "outputInfo": {}}),
    Answer(
        body={
            **VERTEX_JOB,
            "state": "JOB_STATE_SUCCEEDED",
            "outputInfo": {"gcsOutputDirectory": "gs://b/o"},
        }
    ),
]


def test_both_faces_wait_for_the_output_on_the_wire() -> None:
    async def run(client: Client) -> BatchJob:
        async with client.aio as aio:
            return await aio.batches.wait("7", interval=0.001)

    with Recorder(*LATE_PAGES) as server, ours(server.url, VERTEX) as client:
        assert client.batches.wait("7", interval=0.001).has_output
    with Recorder(*LATE_PAGES) as server, ours(server.url, VERTEX) as client:
        assert asyncio.run(run(client)).has_output


def test_both_faces_wait_on_the_wire() -> None:
    seen: list[str] = []

    async def tell(job: BatchJob) -> None:
        seen.append(job.state)

    async def run(client: Client) -> BatchJob:
        async with client.aio as aio:
            return await aio.batches.wait("7", on_progress=tell, interval=0.001)

    with Recorder(*PAGES) as server, ours(server.url, VERTEX) as client:
        assert client.batches.wait("7", interval=0.001).state is JobState.FAILED
    with Recorder(*PAGES) as server, ours(server.url, VERTEX) as client:
        assert asyncio.run(run(client)).state is JobState.FAILED

    assert seen == [JobState.RUNNING, JobState.FAILED]
