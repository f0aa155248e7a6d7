"""The local stack: it comes up, says where everything is, and keeps it there."""

import json
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from google.cloud import firestore, pubsub_v1, storage

from batchdrop_local import eventarc
from batchdrop_local.cloud_run import Function
from batchdrop_local.nursery import FORKS, Nursery
from batchdrop_local.processes import Logs, Processes, StackError, free_port
from batchdrop_local.stack import Stack
from tests import services
from tests.waiting import is_alive, until

# What a stack needs of main.py, and no more.
ENTRY_POINTS = """
import base64
import os

import functions_framework

@functions_framework.cloud_event
def on_upload(event):
    print("event", event["subject"], flush=True)

@functions_framework.cloud_event
def collect(event):
    message = event.data["message"]
    print("woken by", base64.b64decode(message["data"]).decode(), flush=True)

@functions_framework.http
def poll(request):
    print("called by", request.headers.get("user-agent"), flush=True)
    return dict(os.environ)
"""


def test_stack_json_has_the_addresses_of_all_parts(stack: Stack) -> None:
    told = json.loads(stack.file.read_text())

    assert stack.file.parts[-2:] == (".batchdrop", "stack.json")
    assert told == stack.description
    assert set(told) == {
        "project",
        "env",
        "addresses",
        "buckets",
        "location",
        "topic",
        "subscription",
        "dead_letters",
        "pids",
    }
    assert set(told["addresses"]) == {
        "gcs",
        "pubsub",
        "firestore",
        "batchsim",
        "on_upload",
        "poll",
        "collect",
        "dashboard",
    }
    assert set(told["buckets"]) == {"inbox", "work", "output"}


def test_googles_clients_find_everything_by_what_stack_json_exports(
    stack: Stack,
) -> None:
    buckets = {bucket.name for bucket in storage.Client().list_buckets()}
    jobs = list(firestore.Client().collection("nothing").stream())
    with pubsub_v1.SubscriberClient() as client:
        looking = client.get_subscription(subscription=stack.subscription)

    assert buckets == set(stack.buckets.values())
    assert jobs == []
    assert looking.topic == stack.topic
    assert looking.enable_message_ordering


def test_pids_are_those_of_each_functions_server_and_worker(stack: Stack) -> None:
    for function, pids in stack.pids.items():
        server, worker = map(psutil.Process, pids)

        assert worker.ppid() == server.pid
        assert os.getpgid(worker.pid) == server.pid
        port = int(stack.addresses[function].rpartition(":")[2])
        assert [each.laddr.port for each in listeners(server)] == [port]


def test_a_killed_worker_is_replaced_and_stack_json_written_again(
    small_stack: Stack,
) -> None:
    server, worker = small_stack.pids["poll"]

    os.kill(worker, signal.SIGKILL)

    told = until(lambda: new_pids(small_stack, "poll", worker))
    assert told["pids"]["poll"][0] == server
    assert httpx.get(told["addresses"]["poll"]).is_success


def test_a_killed_server_is_replaced_at_its_address_and_its_workers_are_gone(
    small_stack: Stack,
) -> None:
    server, worker = map(psutil.Process, small_stack.pids["on_upload"])

    server.kill()

    told = until(lambda: new_pids(small_stack, "on_upload", server.pid))
    assert not is_alive(worker)
    assert "on_upload ended with status -9" in small_stack.log("stack").read_text()
    assert httpx.get(told["addresses"]["on_upload"] + "/robots.txt").status_code == 405


def test_of_several_workers_each_successor_is_known(
    tmp_path: Path, nursery: Nursery
) -> None:
    with a_function(tmp_path, nursery, {"WORKERS": "2"}) as function:
        server, *workers = function.pids

        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        until(lambda: not {*workers} & {*function.pids})

        successors = psutil.Process(server).children()
        assert len(successors) == 2
        assert function.pids == [server, *(one.pid for one in successors)]


@pytest.mark.skipif(not FORKS, reason="here servers are not forked")
def test_a_killed_servers_successor_is_forked_from_the_same_process(
    tmp_path: Path, nursery: Nursery
) -> None:
    with a_function(tmp_path, nursery) as function:
        server = psutil.Process(function.pids[0])
        parent = server.parent()

        server.kill()
        successor = server_after(server, function)

        assert parent in psutil.Process().children()
        assert successor.parent() == parent


@pytest.mark.skipif(not FORKS, reason="here servers are not forked")
def test_a_killed_nursery_and_its_servers_are_replaced(tmp_path: Path) -> None:
    with (
        services.a_nursery(tmp_path / "nursery") as nursery,
        a_function(tmp_path / "one", nursery) as function,
        a_function(tmp_path / "other", nursery) as other,
    ):
        server = psutil.Process(function.pids[0])
        first = server.parent()
        assert first is not None
        family = first.children(recursive=True)

        first.kill()
        until(lambda: other.pids[0] not in [each.pid for each in family])
        second = server_after(server, function)
        second.kill()
        third = server_after(second, function)

        assert not any(is_alive(each) for each in family)
        assert httpx.get(function.address).is_success
        assert httpx.get(other.address).is_success
        assert third.parent() in psutil.Process().children()
        assert third.parent() != first


def test_a_function_runs_where_its_nursery_cannot(tmp_path: Path) -> None:
    broken = {"PYTHONHOME": str(tmp_path)}

    with (
        services.a_nursery(tmp_path / "nursery", broken) as nursery,
        a_function(tmp_path, nursery) as function,
    ):
        assert httpx.get(function.address).is_success
        assert psutil.Process(function.pids[0]) in psutil.Process().children()


@pytest.mark.skipif(not FORKS, reason="servers are not forked here")
def test_a_function_runs_where_its_nursery_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchdrop_local.nursery.PATIENCE", 0.5)
    before = {*psutil.Process().children()}

    with services.a_nursery(tmp_path / "nursery") as nursery:
        # The tether, and what forks.
        for process in {*psutil.Process().children()} - before:
            process.suspend()
        with a_function(tmp_path, nursery) as function:
            assert httpx.get(function.address).is_success
            assert psutil.Process(function.pids[0]) in psutil.Process().children()
        for process in {*psutil.Process().children()} - before:
            process.resume()


def test_a_function_opens_no_control_socket_in_the_users_home(
    tmp_path: Path, nursery: Nursery
) -> None:
    home = {"HOME": str(tmp_path / "home"), "XDG_RUNTIME_DIR": ""}

    with a_function(tmp_path, nursery, home) as function:
        server, worker = function.pids
        # gunicorn would have opened it by the time that a worker is replaced.
        os.kill(worker, signal.SIGKILL)
        until(lambda: worker not in function.pids)

        assert psutil.Process(server).num_threads() == 1
    assert not (tmp_path / "home").exists()


def test_an_event_for_a_dead_function_is_delivered_later(
    small_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", small_stack.addresses["gcs"])
    inbox = storage.Client(project=small_stack.project).bucket("inbox.localhost")

    os.kill(small_stack.pids["on_upload"][0], signal.SIGKILL)
    inbox.blob("while-dead.jsonl").upload_from_string("{}\n")

    log = small_stack.log("on_upload")
    until(lambda: "event objects/while-dead.jsonl" in log.read_text())


def test_a_message_on_the_work_topic_calls_collect(small_stack: Stack) -> None:
    topic = small_stack.env["BATCHDROP_WORK_TOPIC"]
    with eventarc.publisher(small_stack.addresses["pubsub"]) as publisher:
        name = f"projects/{small_stack.project}/topics/{topic}"
        publisher.publish(name, b"a message").result(10)

    log = small_stack.log("collect")
    until(lambda: "woken by a message" in log.read_text())


def test_the_functions_get_the_stacks_settings_and_those_set_by_hand(
    small_stack: Stack,
) -> None:
    env = httpx.get(small_stack.addresses["poll"]).json()

    assert env["BATCHDROP_API_URL"] == small_stack.addresses["batchsim"]
    assert env["BATCHDROP_INBOX"] == "inbox.localhost"
    assert env["BATCHDROP_LEASE"] == "123"
    assert "BATCHDROP_ROUTES" not in env


def test_without_a_schedule_poll_is_called_by_hand_alone(small_stack: Stack) -> None:
    httpx.get(small_stack.addresses["poll"], headers={"user-agent": "somebody"})

    log = small_stack.log("poll")
    until(lambda: "called by somebody" in log.read_text())
    assert "called by Google-Cloud-Scheduler" not in log.read_text()


def test_a_service_can_be_stopped_and_is_back_at_its_address(
    small_stack: Stack,
) -> None:
    health = small_stack.addresses["batchsim"] + "/_sim/health"

    small_stack.stop("batchsim")
    with pytest.raises(httpx.ConnectError):
        httpx.get(health)
    small_stack.start("batchsim")

    assert httpx.get(health).is_success


def test_a_second_stack_in_the_same_directory_is_refused(small_stack: Stack) -> None:
    second = Stack(small_stack.directory.parent)

    with pytest.raises(StackError, match="another stack is up there, process"), second:
        pass

    assert small_stack.file.exists()


def test_a_port_can_be_fixed_and_one_that_is_taken_is_named(
    tmp_path: Path, small_stack: Stack
) -> None:
    free, taken = free_port(), int(small_stack.addresses["gcs"].rpartition(":")[2])

    assert Stack(tmp_path, ports={"gcs": free}).addresses["gcs"].endswith(f":{free}")
    with pytest.raises(StackError, match=f"give poll port {taken}"):
        Stack(tmp_path, ports={"poll": taken})


def test_functions_that_cannot_start_are_an_error_that_shows_why(
    tmp_path: Path, firestore_emulator: str, pubsub_emulator: str, nursery: Nursery
) -> None:
    broken = a_stack(tmp_path, nursery, "import nothing_such")

    with pytest.raises(StackError) as caught, broken:
        pass

    error = str(caught.value)
    assert error.startswith("start on_upload: it ended with status 1")
    assert "No module named 'nothing_such'" in error
    assert str(tmp_path / ".batchdrop/logs/on_upload.log") in error


def test_a_service_that_dies_ends_the_stack_with_its_name_and_log(
    tmp_path: Path, firestore_emulator: str, pubsub_emulator: str, nursery: Nursery
) -> None:
    with a_stack(tmp_path, nursery) as stack:
        gcs = until(lambda: listening_at(stack.addresses["gcs"]))
        gcs.kill()

        with pytest.raises(StackError) as caught:
            stack.wait()

    error = str(caught.value)
    assert error.startswith("keep gcs running: it ended with status -9")
    assert str(tmp_path / ".batchdrop/logs/gcs.log") in error
    assert not stack.file.exists()


@pytest.fixture(scope="module")
def small_stack(
    tmp_path_factory: pytest.TempPathFactory,
    firestore_emulator: str,
    pubsub_emulator: str,
    nursery: Nursery,
) -> Iterator[Stack]:
    """A stack with other entry points and no schedule; tests kill its functions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BATCHDROP_ROUTES", "/somebody/elses.toml")
        with a_stack(
            tmp_path_factory.mktemp("small"), nursery, env={"BATCHDROP_LEASE": "123"}
        ) as stack:
            yield stack


@contextmanager
def a_stack(
    directory: Path,
    nursery: Nursery,
    entry_points: str = ENTRY_POINTS,
    env: dict[str, str] | None = None,
) -> Iterator[Stack]:
    """A stack with other entry points, without a scheduler or pages."""
    source = directory / "main.py"
    source.write_text(entry_points)
    with Stack(
        directory,
        poll_every=None,
        source=source,
        env=env,
        pages=False,
        nursery=nursery,
    ) as stack:
        yield stack


@contextmanager
def a_function(
    directory: Path, nursery: Nursery, env: Mapping[str, str] | None = None
) -> Iterator[Function]:
    """`poll` of ENTRY_POINTS, without the rest of a stack."""
    directory.mkdir(exist_ok=True)
    source = directory / "main.py"
    source.write_text(ENTRY_POINTS)
    with Processes(Logs(directory)) as processes:
        function = Function(
            "poll",
            source=source,
            port=free_port(),
            env={**os.environ, **(env or {})},
            processes=processes,
            nursery=nursery,
            replaced=lambda: None,
            log=lambda line: None,
        )
        function.wait_until_ready()
        try:
            yield function
        finally:
            processes.stop(function.leave())


def server_after(dead: psutil.Process, function: Function) -> psutil.Process:
    """The server that follows a dead one."""
    until(lambda: function.pids[0] != dead.pid)
    return psutil.Process(function.pids[0])


def listeners(process: psutil.Process) -> list[Any]:
    """The ports that it listens on."""
    return [each for each in process.net_connections() if each.status == "LISTEN"]


def new_pids(stack: Stack, function: str, dead: int) -> dict[str, Any] | None:
    """What stack.json says, once it does not name the dead one any more."""
    told: dict[str, Any] = json.loads(stack.file.read_text())
    return told if dead not in told["pids"][function] else None


def listening_at(address: str) -> psutil.Process | None:
    """This process's descendant that listens at an address; None if none does."""
    port = int(address.rpartition(":")[2])
    for child in psutil.Process().children(recursive=True):
        if any(each.laddr.port == port for each in listeners(child)):
            return child
    return None
