"""Everything happens by the simulator's clock."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

from batchsim import BatchSim, Clock
from tests.batchsim.drive import JOBS, Bucket, Developer, Vertex, http, rows
from tests.there import there
from tests.waiting import until


def test_a_manual_clock_stands_still_until_it_is_advanced() -> None:
    clock = Clock(speed=0, start=datetime(2026, 1, 1, tzinfo=UTC))

    before = clock.now()
    clock.advance(seconds=1, minutes=1, hours=24)

    assert before == datetime(2026, 1, 1, tzinfo=UTC)
    assert clock.now() == datetime(2026, 1, 2, 0, 1, 1, tzinfo=UTC)


def test_a_scaled_clock_runs_ahead_and_can_be_advanced_too() -> None:
    clock = Clock(speed=1_000_000)
    start = clock.now()

    clock.advance(hours=24)

    assert clock.now() - start > timedelta(hours=24)
    wait = clock.wall_seconds_until(clock.now() + timedelta(seconds=1_000_000))
    assert there(wait) < 1.01


def test_no_clock_goes_back() -> None:
    with pytest.raises(ValueError, match="can't go back"):
        Clock().advance(-1)
    with pytest.raises(ValueError, match="can't go back"):
        Clock(speed=-1)


def test_a_job_moves_through_its_states_at_the_set_times(vertex: Vertex) -> None:
    vertex.sim.settings.queue_seconds = 60
    vertex.sim.settings.run_seconds = 600
    made = vertex.create(rows(1))

    def state() -> str:
        return str(vertex.get(made["name"])["state"])

    vertex.sim.clock.advance(seconds=59)
    assert state() == "JOB_STATE_PENDING"
    vertex.sim.clock.advance(seconds=1)
    assert state() == "JOB_STATE_RUNNING"
    vertex.sim.clock.advance(seconds=599)
    assert state() == "JOB_STATE_RUNNING"
    vertex.sim.clock.advance(seconds=1)
    assert state() == "JOB_STATE_SUCCEEDED"


def test_one_jump_over_start_and_end_gives_each_its_own_time(vertex: Vertex) -> None:
    vertex.sim.settings.queue_seconds = 60
    vertex.sim.settings.run_seconds = 600

    job = vertex.run(rows(1))

    times = [
        datetime.fromisoformat(job[name])
        for name in ("createTime", "startTime", "endTime")
    ]
    assert times[1] - times[0] == timedelta(seconds=60)
    assert times[2] - times[1] == timedelta(seconds=600)


def test_a_vertex_job_that_is_queued_for_72_hours_expires(vertex: Vertex) -> None:
    vertex.sim.settings.queue_seconds = 100 * 3600
    name = vertex.create(rows(1))["name"]

    vertex.sim.clock.advance(hours=71.9)
    before = vertex.get(name)["state"]
    vertex.sim.clock.advance(hours=0.1)

    assert before == "JOB_STATE_PENDING"
    job = vertex.get(name)
    assert job["state"] == "JOB_STATE_EXPIRED"
    assert "outputInfo" not in job


def test_a_vertex_job_is_cut_off_after_24_hours_and_keeps_what_it_has(
    vertex: Vertex,
) -> None:
    vertex.sim.settings.run_seconds = 48 * 3600
    name = vertex.create(rows(10))["name"]

    vertex.sim.clock.advance(hours=23.9)
    before = vertex.get(name)["state"]
    vertex.sim.clock.advance(hours=1)

    assert before == "JOB_STATE_RUNNING"
    job = vertex.get(name)
    assert job["state"] == "JOB_STATE_FAILED"
    assert job["completionStats"] == {"successfulCount": "5", "incompleteCount": "5"}
    assert len(vertex.bucket.answers(job)) == 5


@pytest.mark.parametrize(("queue", "run"), [(100, 0), (1, 100)])
def test_a_developer_job_expires_after_48_hours_with_no_results(
    developer: Developer, queue: int, run: int
) -> None:
    developer.sim.settings.queue_seconds = queue * 3600
    developer.sim.settings.run_seconds = run * 3600
    name = developer.inline(2)["name"]

    developer.sim.clock.advance(hours=47.9)
    before = developer.get(name)
    developer.sim.clock.advance(hours=0.1)
    after = developer.get(name)

    assert "done" not in before
    assert after["done"] is True
    assert after["metadata"]["state"] == "BATCH_STATE_EXPIRED"
    assert "output" not in after["metadata"]
    assert "response" not in after


def test_the_clock_can_be_moved_over_http(vertex: Vertex) -> None:
    name = vertex.create(rows(1))["name"]
    before = vertex.sim.clock.now()

    answer = http.post(f"{vertex.sim.url}/_sim/clock", json={"advance_s": 86400})

    assert answer.status_code == 200
    assert vertex.sim.clock.now() - before == timedelta(days=1)
    assert vertex.get(name)["state"] == "JOB_STATE_SUCCEEDED"


@pytest.mark.parametrize("step", [-1, "1", None])
def test_a_bad_step_of_the_clock_is_refused(batchsim: BatchSim, step: object) -> None:
    answer = http.post(f"{batchsim.url}/_sim/clock", json={"advance_s": step})

    assert answer.status_code == 400
    assert "advance_s" in answer.json()["error"]["message"]


@pytest.mark.batchsim(speed=3600, queue_seconds=60, run_seconds=60)
def test_on_a_scaled_clock_jobs_end_by_themselves(vertex: Vertex) -> None:
    name = vertex.create(rows(1))["name"]

    until(lambda: vertex.get(name)["state"] == "JOB_STATE_SUCCEEDED", seconds=10)

    job = vertex.get(name)
    start, end = map(datetime.fromisoformat, (job["createTime"], job["endTime"]))
    assert end - start == timedelta(seconds=120)


def test_progress_shows_on_the_admin_path(vertex: Vertex, bucket: Bucket) -> None:
    vertex.sim.settings.run_seconds = 100
    vertex.create(rows(10))
    vertex.sim.clock.advance(2 + 50)

    (job,) = http.get(f"{vertex.sim.url}/_sim/jobs").json()["jobs"]

    assert job["state"] == "JOB_STATE_RUNNING"
    assert job["rows"] == {"total": 10, "done": 5, "ok": 0, "failed": 0}


def test_answers_are_dated_by_the_simulators_clock(vertex: Vertex) -> None:
    vertex.sim.clock.advance(hours=30)

    answer = http.get(vertex.sim.url + JOBS)

    date = parsedate_to_datetime(answer.headers["date"])
    assert abs(date - vertex.sim.clock.now()) < timedelta(seconds=1)
