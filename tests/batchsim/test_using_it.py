"""How batchsim is run and used: in Python, from the shell, in other people's pytest."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from google import genai
from google.api_core.exceptions import NotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.oauth2.credentials import Credentials

from batchsim import BatchSim, Prompt
from batchsim.cli import main
from tests.batchsim.drive import (
    JOBS,
    Bucket,
    Developer,
    Vertex,
    answer_text,
    http,
    row,
    rows,
)
from tests.often import mostly
from tests.there import there
from tests.waiting import until


@contextmanager
def shell(
    *options: str, program: tuple[str, ...] = ("-m", "batchsim")
) -> Iterator[str]:
    """Runs the command; yields its address. SIGTERM must end it at once, with 0."""
    process = subprocess.Popen(
        [sys.executable, *program, "--port", "0", *options],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        line = process.stdout.readline()
        found = re.fullmatch(r"batchsim is ready at (http://127\.0\.0\.1:\d+)\n", line)
        assert found, line
        yield found[1]
    finally:
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        status = process.wait(timeout=10)
        process.stdout.close()
    assert status == 0
    assert time.monotonic() - began < 5


def refused(*options: str) -> Result:
    """The command with options that it refuses before it serves, in this process."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = [signal.getsignal(number) for number in numbers]
    try:
        # Anything but a message and an exit is raised.
        return CliRunner().invoke(main, options, catch_exceptions=False)
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)


def test_it_starts_in_under_a_second_and_stops_at_once() -> None:
    began = time.monotonic()
    sim = BatchSim()
    sim.start()
    http.get(f"{sim.url}/_sim/health").raise_for_status()
    started = time.monotonic()
    sim.stop()

    assert started - began < 1
    assert time.monotonic() - started < 0.5
    with pytest.raises(Exception, match="refused"):
        http.get(f"{sim.url}/_sim/health")


@pytest.fixture(scope="module")
def fresh_process() -> tuple[str, str]:
    """What one says once it is ready: its processor time, and Google's clients."""
    code = (
        "import sys, time\n"
        "from batchsim import BatchSim\n"
        "with BatchSim():\n"
        "    print(time.process_time())\n"
        "    print({'google.auth', 'google.api_core'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    seconds, clients = ran.stdout.splitlines()
    return seconds, clients


def test_a_fresh_process_needs_less_than_a_second_to_be_ready(
    fresh_process: tuple[str, str],
) -> None:
    # With imports. Processor time, as other tests may keep the machine busy.
    assert float(fresh_process[0]) < 1


def test_starting_it_imports_no_google_client(fresh_process: tuple[str, str]) -> None:
    assert fresh_process[1] == "set()"


def test_stopping_it_drops_a_running_job_without_a_log_line(
    storage_emulator: str, bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    at_work, go_on = threading.Event(), threading.Event()

    def model(prompt: Prompt) -> str:
        at_work.set()
        go_on.wait(10)
        return "too late"

    with BatchSim(queue_seconds=0, run_seconds=0, model=model) as sim:
        Vertex(sim, bucket).create(rows(3))
        assert at_work.wait(10)
    go_on.set()
    working = [one for one in threading.enumerate() if one.name.startswith("batchsim-")]
    for thread in working:
        thread.join(10)

    assert caplog.records == []
    assert bucket.names("out/") == []


def test_a_port_that_is_taken_is_an_error_that_names_it(batchsim: BatchSim) -> None:
    port = batchsim.url.rpartition(":")[2]

    with pytest.raises(OSError, match="in use"):
        BatchSim(port=int(port)).start()
    ran = refused("--port", port)

    assert ran.exit_code == 1
    assert f"127.0.0.1:{port}" in ran.stderr


def test_two_simulators_share_nothing(developer: Developer) -> None:
    developer.inline()

    with BatchSim(speed=0) as other:
        listed = Developer(other).request("GET", "batches").json()

    assert listed == {}


def test_the_command_runs_a_job_on_a_scaled_clock(bucket: Bucket) -> None:
    options = ["--speed", "3600", "--queue-seconds", "60", "--run-seconds", "60"]
    with shell(*options, "--template", "You said $text.") as url:
        body = {
            "displayName": "from the shell",
            "model": "publishers/google/models/gemini-3.8-flash",
            "inputConfig": {
                "instancesFormat": "jsonl",
                "gcsSource": {"uris": [bucket.put([row("hi")])]},
            },
            "outputConfig": {
                "predictionsFormat": "jsonl",
                "gcsDestination": {"outputUriPrefix": f"gs://{bucket.name}/out"},
            },
        }
        name = http.post(url + JOBS, json=body).json()["name"]

        until(lambda: "endTime" in http.get(f"{url}/v1/{name}").json())

        job = http.get(f"{url}/v1/{name}").json()
        assert job["state"] == "JOB_STATE_SUCCEEDED", job
        assert answer_text(*bucket.answers(job)) == "You said hi."


def test_the_command_reads_faults_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "faults.toml"
    file.write_text(
        '[[fault]]\nfault = "rate_limited"\nop = "list"\ncount = 1\nretry_after = 3\n'
        '[[fault]]\nfault = "failed"\nmatch = { display_name = "nightly*" }\n'
    )

    with shell("--faults", str(file), "--speed", "0") as url:
        shown = http.get(f"{url}/_sim/faults").json()["rules"]
        answer = http.get(url + JOBS)

    assert [rule["fault"] for rule in shown] == ["rate_limited", "failed"]
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")


def test_the_command_can_leave_the_admin_paths_out() -> None:
    with shell("--no-admin") as url:
        assert http.get(f"{url}/_sim/health").status_code == 404
        assert http.get(url + JOBS).json() == {}


@pytest.mark.parametrize(
    ("text", "named"),
    mostly(
        ('[[fault]]\nfault = "nonesuch"\n', "'nonesuch' is not one of"),
        also=[("[[fault]\n", "faults.toml")],
    ),
)
def test_a_bad_file_of_faults_stops_the_start(
    tmp_path: Path, text: str, named: str
) -> None:
    file = tmp_path / "faults.toml"
    file.write_text(text)

    ran = refused("--faults", str(file))

    assert ran.exit_code == 2
    assert named in ran.stderr


OTHER_PROJECT = """
import httpx
import pytest

def test_the_fixture_is_a_simulator_on_a_manual_clock(batchsim):
    before = batchsim.clock.now()
    batchsim.clock.advance(hours=24)
    assert (batchsim.clock.now() - before).total_seconds() == 86400
    assert httpx.get(batchsim.url + "/_sim/jobs").json() == {"jobs": []}

@pytest.mark.batchsim(speed=3600, queue_seconds=7)
def test_the_marker_gives_options(batchsim):
    assert batchsim.clock.speed == 3600
    assert batchsim.settings.queue_seconds == 7
"""


def pytest_in(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-m", "pytest", "-q", *arguments]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True)


@pytest.mark.proof
def test_another_project_opts_into_the_fixture(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["batchsim.pytest_plugin"]')
    (tmp_path / "test_theirs.py").write_text(OTHER_PROJECT)

    ran = pytest_in(tmp_path, "--strict-markers", "-W", "error")

    assert ran.returncode == 0, ran.stdout
    assert "2 passed" in ran.stdout


@pytest.mark.proof
def test_another_project_that_does_not_opt_in_imports_nothing_of_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "test_theirs.py").write_text(
        "import sys\n"
        "def test_nothing(pytestconfig):\n"
        "    assert not pytestconfig.pluginmanager.has_plugin('batchsim')\n"
        "    assert 'batchsim' not in sys.modules\n"
    )

    ran = pytest_in(tmp_path)

    assert ran.returncode == 0, ran.stdout


def test_the_plugin_imports_no_server_until_a_test_asks_for_it() -> None:
    code = (
        "import sys, batchsim.pytest_plugin\n"
        "print({'starlette', 'uvicorn', 'google.auth'} & set(sys.modules))"
    )

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert ran.stdout == "set()\n"


def test_a_vertex_job_without_a_storage_emulator_fails_and_names_the_variable(
    batchsim: BatchSim, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")

    job = Vertex(batchsim, bucket).run()

    assert job["state"] == "JOB_STATE_FAILED"
    assert "STORAGE_EMULATOR_HOST" in job["error"]["message"]


def test_the_fixture_has_a_bucket_that_googles_client_finds_too(
    batchsim: BatchSim,
) -> None:
    source = batchsim.storage.put(rows(3))
    client = genai.Client(
        vertexai=True,
        project="p",
        location="us-central1",
        credentials=Credentials("a-token"),
        http_options={"base_url": batchsim.url},
    )
    made = client.batches.create(model="gemini-3.8-flash", src=source)
    batchsim.clock.advance(60)

    job = client.batches.get(name=there(made.name))

    directory = there(there(job.output_info).gcs_output_directory)
    lines = batchsim.storage.lines(directory)
    assert sorted(map(answer_text, lines)) == ["row 0", "row 1", "row 2"]
    outside = storage.Client(project="p", credentials=AnonymousCredentials())
    found = {blob.name for blob in outside.list_blobs(batchsim.storage.name)}
    assert found == set(batchsim.storage.names())
    assert len(found) == 2


def test_without_its_bucket_storage_fails_at_once_with_advice(
    batchsim: BatchSim,
) -> None:
    client = storage.Client(project="p", credentials=AnonymousCredentials())
    began = time.monotonic()

    with pytest.raises(NotFound, match=r"batchsim\.storage"):
        client.bucket("mine").blob("in.jsonl").upload_from_string(b"{}")
    with pytest.raises(NotFound, match=r"batchsim\.storage"):
        client.bucket("mine").blob("in.jsonl").download_as_bytes()

    assert time.monotonic() - began < 2


def test_a_bucket_is_in_the_named_emulator(
    storage_emulator: str, batchsim: BatchSim
) -> None:
    assert batchsim.storage.url == storage_emulator
    assert os.environ["STORAGE_EMULATOR_HOST"] == storage_emulator


def test_the_storage_emulator_can_be_named_without_the_environment(
    storage_emulator: str, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    address = storage_emulator.removeprefix("http://")

    with BatchSim(speed=0, storage=address) as sim:
        job = Vertex(sim, bucket).run(rows(1))

    assert job["state"] == "JOB_STATE_SUCCEEDED"


def test_emulators_are_reached_past_a_proxy_of_the_environment(
    vertex: Vertex, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = vertex.create([row("x")])["name"]
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)

    vertex.sim.clock.advance(60)

    assert vertex.get(name)["state"] == "JOB_STATE_SUCCEEDED"


def test_names_of_modules_are_offered_by_the_package() -> None:
    import batchsim

    assert all(getattr(batchsim, name) for name in batchsim.__all__)
    with pytest.raises(AttributeError, match="nonesuch"):
        _ = batchsim.nonesuch


def test_the_environment_is_left_alone(storage_emulator: str) -> None:
    before = dict(os.environ)

    with BatchSim(speed=0, storage=storage_emulator):
        assert dict(os.environ) == before
