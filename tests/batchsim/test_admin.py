"""batchsim's own paths, under /_sim."""

import pytest

from batchsim import BatchSim
from tests.batchsim.drive import JOBS, Developer, Vertex, http, rows


def test_every_job_is_shown_even_if_it_was_deleted(
    vertex: Vertex, developer: Developer
) -> None:
    job = vertex.run(rows(3), displayName="one", labels={"team": "a"})
    vertex.delete(job["name"])
    developer.inline(2)

    jobs = http.get(f"{vertex.sim.url}/_sim/jobs").json()["jobs"]

    assert [one["api"] for one in jobs] == ["vertex", "developer"]
    assert jobs[0]["name"] == job["name"]
    assert jobs[0]["displayName"] == "one"
    assert jobs[0]["labels"] == {"team": "a"}
    assert jobs[0]["state"] == "JOB_STATE_SUCCEEDED"
    assert jobs[0]["source"] == [f"gs://{vertex.bucket.name}/in.jsonl"]
    assert jobs[0]["rows"] == {"total": 3, "done": 3, "ok": 3, "failed": 0}
    assert jobs[0]["deleteTime"] is not None
    assert jobs[1]["deleteTime"] is None


def test_every_request_is_logged_with_its_time_and_faults(vertex: Vertex) -> None:
    vertex.sim.faults.add("drop_reply", op="create", count=1)
    with pytest.raises(Exception, match="disconnected"):
        http.post(vertex.sim.url + JOBS, json=vertex.body())
    vertex.sim.clock.advance(60)
    vertex.page(pageSize=5)
    http.get(f"{vertex.sim.url}/nonsense")

    log = http.get(f"{vertex.sim.url}/_sim/log").json()["requests"]

    shown = [(one["n"], one["method"], one["path"], one["status"]) for one in log]
    assert shown == [
        (1, "POST", JOBS, None),
        (2, "GET", JOBS, 200),
        (3, "GET", "/nonsense", 404),
    ]
    assert [one["faults"] for one in log] == [["drop_reply"], [], []]
    assert log[1]["query"] == "pageSize=5"
    assert log[0]["time"] < log[1]["time"]


def test_reset_forgets_jobs_files_faults_and_the_log(
    vertex: Vertex, developer: Developer
) -> None:
    vertex.create(rows(1))
    developer.inline()
    developer.upload(rows(1))
    vertex.sim.faults.add("internal", op="list")
    before = vertex.sim.clock.now()

    http.post(f"{vertex.sim.url}/_sim/reset")

    assert http.get(f"{vertex.sim.url}/_sim/log").json() == {"requests": []}
    assert http.get(f"{vertex.sim.url}/_sim/jobs").json() == {"jobs": []}
    assert vertex.page() == {}
    assert developer.request("GET", "files").json() == {}
    assert vertex.sim.clock.now() == before
    vertex.sim.clock.advance(60)
    assert vertex.run(rows(1))["state"] == "JOB_STATE_SUCCEEDED"


def test_durations_can_be_changed_while_it_runs(vertex: Vertex) -> None:
    url = f"{vertex.sim.url}/_sim/settings"

    answer = http.post(url, json={"queue_seconds": 0, "run_seconds": 0})

    assert answer.json() == {
        "queue_seconds": 0,
        "run_seconds": 0,
        "retired_models": [],
    }
    name = vertex.create(rows(1))["name"]
    assert vertex.get(name)["state"] == "JOB_STATE_SUCCEEDED"
    assert http.post(url, json={"run_seconds": -1}).status_code == 400


def test_a_model_can_be_retired_while_it_runs(
    vertex: Vertex, developer: Developer
) -> None:
    url = f"{vertex.sim.url}/_sim/settings"
    before = vertex.create(rows(1))["name"]

    http.post(url, json={"retired_models": ["gemini-3.8-*"]}).raise_for_status()

    gone = http.post(vertex.sim.url + JOBS, json=vertex.body())
    assert gone.status_code == 404
    assert gone.json()["error"]["message"] == (
        "The PublisherModel gemini-3.8-flash does not exist."
    )
    path = "models/gemini-3.8-flash:batchGenerateContent"
    gone = developer.request("POST", path, json={"batch": {}})
    assert gone.status_code == 404
    assert "models/gemini-3.8-flash is not found" in gone.json()["error"]["message"]
    assert vertex.get(before)["state"] == "JOB_STATE_PENDING"
    assert http.post(url, json={"retired_models": "x"}).status_code == 400
    http.post(url, json={"retired_models": []})
    assert vertex.create(rows(1))["state"] == "JOB_STATE_PENDING"


def test_health_has_the_time_of_the_clock(batchsim: BatchSim) -> None:
    health = http.get(f"{batchsim.url}/_sim/health").json()

    assert health["status"] == "ok"
    assert health["time"] == batchsim.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_the_admin_paths_can_be_turned_off() -> None:
    with BatchSim(speed=0, admin=False) as sim:
        codes = [
            http.get(f"{sim.url}/_sim/{path}").status_code
            for path in ("health", "jobs", "log", "faults", "clock", "settings")
        ]

        assert codes == [404] * 6
        assert http.post(f"{sim.url}/_sim/reset").status_code == 404
        assert http.get(sim.url + JOBS).status_code == 200
