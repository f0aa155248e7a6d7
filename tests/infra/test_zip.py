"""The deployed zip runs with only the packages of requirements.txt."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uv
from google.cloud import firestore

from batchdrop.jobs import wakeup
from batchdrop_local import eventarc
from batchdrop_local.processes import Logs, Processes, free_port
from batchsim.clock import Clock
from batchsim.sim import BatchSim
from tests.infra import agreement, code
from tests.infra.plan import Plan
from tests.infra.terraform import ROOT, Workspace

EVENT = json.loads((ROOT / "tests/events/finalized.json").read_text())
MESSAGE = json.loads((ROOT / "tests/events/published.json").read_text())
GOOD = b'{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}\n'


def pack(root: Path) -> Path:
    """Runs pack.py of a copy of the repository."""
    done = subprocess.run(
        [sys.executable, "-I", root / "infra/pack.py"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    return root / done.stdout.strip()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip, made in a copy of the repository, which stays unchanged."""
    root = tmp_path_factory.mktemp("pack")
    shutil.copytree(ROOT / "functions", root / "functions")
    (root / "infra").mkdir()
    shutil.copy(ROOT / "infra/pack.py", root / "infra")
    return pack(root)


@pytest.fixture(scope="module")
def unpacked(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with what the zip holds, as a function finds it."""
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
    return folder


def test_it_is_exactly_functions(archive: Path) -> None:
    files = {
        path.relative_to(code.FUNCTIONS).as_posix(): path.read_bytes()
        for path in code.FUNCTIONS.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    with zipfile.ZipFile(archive) as opened:
        packed = {name: opened.read(name) for name in opened.namelist()}

    assert packed == files
    assert {"main.py", "requirements.txt", "batchdrop/py.typed"} <= set(packed)


def test_it_has_no_pages_for_readers(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        names = opened.namelist()

    assert [name for name in names if name.endswith(".md") or "docs/" in name] == []


def test_its_name_is_its_hash(archive: Path) -> None:
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()

    assert archive.name == f"functions-{digest}.zip"


def test_the_same_files_make_the_same_zip(archive: Path) -> None:
    for path in (archive.parents[1] / "functions").rglob("*"):
        os.utime(path, (1, 1))
    (archive.parents[1] / "functions/batchdrop/__pycache__").mkdir(exist_ok=True)
    (archive.parents[1] / "functions/batchdrop/__pycache__/x.pyc").write_bytes(b"x")

    assert pack(archive.parents[1]) == archive


def test_other_files_make_another_zip(archive: Path, tmp_path: Path) -> None:
    shutil.copytree(archive.parents[1], tmp_path, dirs_exist_ok=True)
    with (tmp_path / "functions/main.py").open("a") as main:
        main.write("\n")

    assert pack(tmp_path).name != archive.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """The functions, started from the zip, with the environment of the plan."""

    addresses: dict[str, str]
    env: dict[str, str]
    gcs: str
    sim: BatchSim

    def drop(self, name: str, content: bytes) -> httpx.Response:
        """Uploads an object to the inbox, and delivers its event."""
        inbox = self.env["BATCHDROP_INBOX"]
        made = httpx.post(
            f"{self.gcs}/upload/storage/v1/b/{inbox}/o",
            params={"uploadType": "media", "name": name},
            content=content,
            trust_env=False,
        ).json()
        object = {"bucket": inbox, "name": name, "size": made["size"]}
        event = EVENT["data"] | object | {"generation": made["generation"]}
        return self.post("on_upload", headers=EVENT["headers"], json=event)

    def wake(self, job_id: str) -> httpx.Response:
        """Delivers the message that names a job to collect."""
        body = base64.b64encode(wakeup.body(job_id)).decode()
        message = MESSAGE["data"] | {"message": {"data": body}}
        return self.post("collect", headers=MESSAGE["headers"], json=message)

    def post(self, name: str, **request: Any) -> httpx.Response:
        """Posts to the function of that name. Errors are returned, not raised."""
        address = self.addresses[name]
        return httpx.post(address, trust_env=False, timeout=60, **request)

    def get(self, name: str, path: str, **request: Any) -> httpx.Response:
        """Gets a path of the function of that name. Errors are returned, not raised."""
        address = f"{self.addresses[name]}{path}"
        return httpx.get(address, trust_env=False, timeout=60, **request)

    def documents(self, collection: str) -> list[dict[str, Any]]:
        """The documents of a collection in the ledger."""
        project, database = (
            self.env[f"BATCHDROP_{n}"] for n in ("PROJECT", "DATABASE")
        )
        with closing(firestore.Client(project=project, database=database)) as client:
            found = client.collection(collection).stream()
            return [each.to_dict() or {} for each in found]

    def job(self, name: str) -> dict[str, Any]:
        """The job of a file."""
        jobs = {each["source"]["name"]: each for each in self.documents("jobs")}
        return jobs[name]


@pytest.fixture(scope="module")
def python(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with only the packages of requirements.txt."""
    folder = tmp_path_factory.mktemp("empty")
    command = [uv.find_uv_bin(), "--quiet"]
    subprocess.run([*command, "venv", "--python", sys.executable, folder], check=True)
    python = folder / "bin/python"
    into = ["--python", str(python)]
    wanted = ["--requirement", str(unpacked / "requirements.txt")]
    subprocess.run([*command, "pip", "install", *into, *wanted], check=True)
    # A build on Google Cloud ends with this too.
    subprocess.run([*command, "pip", "check", *into], check=True)
    return python


@pytest.fixture(scope="module")
def plan(workspaces: Callable[[], Workspace]) -> Plan:
    """A plan for a project that no other test uses."""
    return Plan(workspaces().plan(project_id=f"test-{uuid.uuid4().hex[:12]}"))


@pytest.fixture(scope="module")
def deployed(
    plan: Plan,
    unpacked: Path,
    python: Path,
    gcs: str,
    firestore_emulator: str,
    pubsub_emulator: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployed]:
    """All functions of the plan, each in a process of its own, ready for calls."""
    # The clock stands still: a batch can be found as soon as it is created.
    with (
        BatchSim(clock=Clock(speed=0), storage=gcs) as sim,
        Processes(Logs(tmp_path_factory.mktemp("logs"))) as processes,
    ):
        services = {
            "PATH": os.environ["PATH"],
            "FIRESTORE_EMULATOR_HOST": firestore_emulator,
            "PUBSUB_EMULATOR_HOST": pubsub_emulator,
            "STORAGE_EMULATOR_HOST": gcs,
            "NO_PROXY": "127.0.0.1",
            "BATCHDROP_API_URL": sim.url,
        }
        addresses, started = {}, []
        env: dict[str, str] = {}
        for function in plan.of("google_cloudfunctions2_function"):
            port = free_port()
            target = function.block("build_config")["entry_point"]
            env = {**agreement.environment(function), **services}
            command = [
                *(str(python), "-P", "-m", "functions_framework"),
                *("--source", str(unpacked / "main.py"), "--target", target),
                *("--host", "127.0.0.1", "--port", str(port)),
            ]
            url = f"http://127.0.0.1:{port}"
            started.append(
                processes.start(target, command, env, url=f"{url}/robots.txt")
            )
            addresses[target] = url
        make_buckets_and_topic(plan, gcs, pubsub_emulator)
        for process in started:
            process.wait_until_ready()
        yield Deployed(addresses=addresses, env=env, gcs=gcs, sim=sim)


def make_buckets_and_topic(plan: Plan, gcs: str, pubsub: str) -> None:
    """Creates every bucket and topic of the plan in the emulators."""
    for bucket in plan.of("google_storage_bucket"):
        name = {"name": bucket.values["name"]}
        httpx.post(f"{gcs}/storage/v1/b", json=name, trust_env=False).raise_for_status()
    with eventarc.publisher(pubsub) as publisher:
        for topic in plan.of("google_pubsub_topic"):
            name = topic.values["name"]
            publisher.create_topic(name=f"projects/{plan.project}/topics/{name}")


@pytest.mark.proof
def test_every_entry_point_is_started(deployed: Deployed) -> None:
    assert set(deployed.addresses) == set(code.entry_points())


@pytest.mark.proof
def test_an_event_becomes_a_batch(deployed: Deployed) -> None:
    answer = deployed.drop("good.jsonl", GOOD)

    assert answer.status_code == 200
    job = deployed.job("good.jsonl")
    assert job["phase"] == "submitted"
    assert job["staging"]["uri"].startswith(f"{deployed.env['BATCHDROP_WORK']}/")
    assert job["spec"]["labels"]["batchdrop_deployment"] == "batchdrop"


@pytest.mark.proof
def test_a_tick_announces_what_was_rejected(deployed: Deployed) -> None:
    deployed.drop("bad.jsonl", b"not a row\n")

    answer = deployed.post("poll")

    assert answer.status_code == 200
    assert deployed.job("bad.jsonl")["phase"] == "rejected"
    outbox = deployed.documents("announcements")
    assert [bool(each["published_at"]) for each in outbox] == [True]


@pytest.mark.proof
def test_a_message_makes_results_of_a_batch_that_has_ended(deployed: Deployed) -> None:
    deployed.drop("ends.jsonl", GOOD)
    deployed.sim.clock.advance(hours=24)
    ticked = deployed.post("poll")

    answer = deployed.wake(deployed.job("ends.jsonl")["id"])

    assert (ticked.status_code, answer.status_code) == (200, 200)
    job = deployed.job("ends.jsonl")
    assert "collecting" not in job
    assert job["rows"]["ok"] == 1
    assert job["results"]["uri"].startswith(f"{deployed.env['BATCHDROP_OUTPUT']}/")


@pytest.mark.proof
def test_the_pages_are_shown_to_whom_cloud_run_has_checked(deployed: Deployed) -> None:
    claims = {
        "iss": "https://accounts.google.com",
        "exp": 4102444800,
        "email": "ada@example.com",
        "email_verified": True,
    }
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode()
    token = {"Authorization": f"Bearer e30.{payload.rstrip('=')}."}

    stranger = deployed.get("dashboard", "/")
    page = deployed.get("dashboard", "/", headers=token)
    sheet = re.search(r'href="(/assets/base\.css[^"]*)"', page.text)

    assert (stranger.status_code, page.status_code) == (403, 200)
    assert "gcloud run services proxy" in stranger.text
    assert "ada@example.com" in page.text
    assert sheet
    assert (
        deployed.get("dashboard", sheet[1])
        .headers["Content-Type"]
        .startswith("text/css")
    )


@pytest.mark.proof
def test_the_environment_can_read_a_table_of_answers(python: Path) -> None:
    command = [str(python), "-P", "-c", "import google.cloud.bigquery"]

    assert subprocess.run(command, check=False).returncode == 0


@pytest.mark.proof
def test_the_environment_has_nothing_that_only_tests_need(python: Path) -> None:
    has = subprocess.run(
        [python, "-P", "-c", "import pytest"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "No module named 'pytest'" in has.stderr
