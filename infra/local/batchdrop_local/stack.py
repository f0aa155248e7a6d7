"""The local stack: everything batchdrop needs, on one machine, started together."""

import json
import os
import sys
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from google.cloud.pubsub_v1 import SubscriberClient

import batchdrop
from batchdrop.failpoints import FAILPOINTS
from batchdrop_local import emulators, eventarc, fake_gcs
from batchdrop_local.cloud_run import Function
from batchdrop_local.environment import BUCKETS, LOCATION, environment
from batchdrop_local.eventarc import Eventarc, message_published, object_finalized
from batchdrop_local.folder import LOCK, alone_in, choose_ports, keep_ports
from batchdrop_local.nursery import Nursery
from batchdrop_local.processes import (
    Logs,
    Process,
    Processes,
    Show,
    StackError,
)
from batchdrop_local.scheduler import Scheduler
from batchdrop_local.topics import Topics

FUNCTIONS = ("on_upload", "poll", "collect", "dashboard")
#: How many calls a function's process handles at a time, where infra/ bounds that too.
#: On Google Cloud, more instances would run beside it.
THREADS = {"collect": 1}
#: What listens on a port, and may be given a fixed one.
PARTS = ("firestore", "pubsub", "gcs", "batchsim", *FUNCTIONS)


class Stack:
    """
    The emulators, Cloud Storage, batchsim and the functions, events and a schedule.

        with Stack() as stack:
            stack.addresses["gcs"]

    `DIRECTORY/.batchdrop` holds everything: the logs, and `stack.json`, which exists
    while all parts are ready. It has what `description` has, and is rewritten when a
    function's process was replaced.

    Args:
        directory: where; default: the current directory.
        poll_every: seconds from one call of `poll` to the next; None: no schedule.
        queue_seconds: how long a batch stays JOB_STATE_PENDING.
        run_seconds: how long a batch stays JOB_STATE_RUNNING.
        ports: ports for some of PARTS; the others get those that they had here the
            last time, or free ones.
        env: more environment for the functions, stronger than the stack's own.
        source: the functions' main.py; default: the one that belongs to batchdrop.
        show: takes each log line as it is written.
        pages: whether `dashboard` runs, too; without it the stack is up sooner.
        nursery: starts the functions, for several stacks; default: one of its own.

    Raises:
        StackError: names the step that failed, why, and the log. At once, when a port
            is taken; from entering; from `wait`.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        poll_every: float | None = 1,
        queue_seconds: float = 1,
        run_seconds: float = 2,
        ports: Mapping[str, int] | None = None,
        env: Mapping[str, str] | None = None,
        source: Path | None = None,
        show: Show | None = None,
        pages: bool = True,
        nursery: Nursery | None = None,
    ) -> None:
        self.directory = (directory or Path.cwd()).resolve() / ".batchdrop"
        self.file = self.directory / "stack.json"
        #: Locked (`flock`) by this process while the stack is up.
        self.lock = self.directory / LOCK
        # On an emulator that others use too, a project of its own keeps them apart.
        shared = any(emulators.address(each) for each in emulators.ALL)
        self.project = f"local-{uuid.uuid4().hex[:8]}" if shared else "batchdrop-local"
        self.location = LOCATION
        self.buckets = BUCKETS
        self._topics = Topics(self.project)
        self.topic = self._topics.announcements
        #: Gets every announcement, for whoever wants to look.
        self.subscription = self._topics.listener
        #: Holds what was delivered there too often and never acknowledged.
        self.dead_letters = self._topics.turned_down
        left_out = () if pages else ("dashboard",)
        self._targets = tuple(name for name in FUNCTIONS if name not in left_out)
        parts = tuple(name for name in PARTS if name not in left_out)
        self._ports = choose_ports(self.directory, parts, ports or {})
        self.addresses = self._addresses()
        #: What was chosen is for whoever uses the stack, too: the command line, say.
        self.env = environment(self._topics, self.addresses) | {
            name: value
            for name, value in (env or {}).items()
            if name.startswith("BATCHDROP_") and name != FAILPOINTS
        }
        self._poll_every = poll_every
        self._durations = (queue_seconds, run_seconds)
        self._function_env = {**_inherited(), **self.env, **(env or {})}
        self._source = source or main_py()
        self._show = show
        self._nursery = nursery
        self._functions: dict[str, Function] = {}
        self._services: dict[str, Process] = {}
        self._writing = threading.Lock()
        self._ended = threading.Event()
        self._failure: StackError | None = None

    @property
    def description(self) -> dict[str, Any]:
        """What other programs need to know, as plain JSON values."""
        return {
            "project": self.project,
            "location": self.location,
            "addresses": self.addresses,
            "buckets": self.buckets,
            "topic": self.topic,
            "subscription": self.subscription,
            "dead_letters": self.dead_letters,
            "pids": self.pids,
            "env": self.env,
        }

    @property
    def pids(self) -> dict[str, list[int]]:
        """For each function its processes: the server, then its workers."""
        return {name: function.pids for name, function in self._functions.items()}

    def log(self, part: str) -> Path:
        """The file that holds what a part wrote."""
        return self._logs.path(part)

    def wait(self) -> None:
        """Wait until a part ends that must not, and raise that."""
        self._ended.wait()
        self.check()

    def check(self) -> None:
        """Raise what `wait` would raise, if there is something."""
        if self._failure is not None:
            raise self._failure

    def stop(self, service: str) -> None:
        """End a service, to see what the others do without it: "batchsim", "gcs"."""
        self._processes.stop(self._services.pop(service))

    def start(self, service: str) -> None:
        """Start a service that was stopped, empty, at the address that it had."""
        process = self._starters()[service]()
        process.wait_until_ready()
        self._services[service] = process

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            self._start(undo)
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._undo.__exit__(kind, error, traceback)

    def _start(self, undo: ExitStack) -> None:
        """Start everything; what it takes to end it goes into `undo`, in order."""
        emulators.check()
        undo.enter_context(alone_in(self.directory))
        keep_ports(self.directory, self._ports)
        undo.callback(self.file.unlink, missing_ok=True)
        self._logs = Logs(self.directory / "logs", self._show)
        # Left last: a call under way ends no sooner than the function it calls.
        callers = undo.enter_context(ExitStack())
        self._processes = undo.enter_context(Processes(self._logs))

        starters = self._starters()
        start_gcs = starters.pop("gcs")
        self._services = {name: run() for name, run in starters.items()}
        nursery = self._nursery
        if nursery is None:
            nursery = Nursery(self._processes, self._function_env)
            undo.callback(nursery.close)
        # It connects to Pub/Sub when it starts, and if that isn't ready, again only a
        # second later: the first event would be late.
        if "pubsub" in self._services:
            self._services["pubsub"].wait_until_ready()
        self._services["gcs"] = start_gcs()
        # Not before, as this waits for the nursery.
        for name in self._targets:
            self._functions[name] = Function(
                name,
                source=self._source,
                port=self._ports[name],
                env=self._function_env
                | ({"THREADS": str(THREADS[name])} if name in THREADS else {}),
                processes=self._processes,
                nursery=nursery,
                replaced=self._write_again,
                log=partial(self._logs.add, "stack"),
            )
        undo.callback(self._end_functions)
        for service in self._services.values():
            service.wait_until_ready()
        for bucket in self.buckets.values():
            self._make_bucket(bucket)
        subscriber = callers.enter_context(
            eventarc.subscriber(self.addresses["pubsub"])
        )
        for events in self._make_topics(subscriber):
            callers.enter_context(events)
            undo.callback(events.stop)
        for function in self._functions.values():
            function.wait_until_ready()
        if self._poll_every is not None:
            schedule = Scheduler(
                self.addresses["poll"],
                every=self._poll_every,
                log=partial(self._logs.add, "scheduler"),
            )
            callers.enter_context(schedule)
            undo.callback(schedule.stop)
        undo.callback(self._ended.set)
        threading.Thread(target=self._watch, name="watch", daemon=True).start()
        self._write()

    def _addresses(self) -> dict[str, str]:
        addresses = {part: f"http://127.0.0.1:{n}" for part, n in self._ports.items()}
        for emulator in emulators.ALL:
            addresses[emulator.name] = (
                emulators.address(emulator) or f"127.0.0.1:{self._ports[emulator.name]}"
            )
        return addresses

    def _starters(self) -> dict[str, Callable[[], Process]]:
        """How to start each service, without waiting for it."""
        env = {**_inherited(), **self.env}
        queue, run = self._durations
        batchsim = [
            *(sys.executable, "-m", "batchsim"),
            *("--host", "127.0.0.1", "--port", str(self._ports["batchsim"])),
            *("--queue-seconds", str(queue), "--run-seconds", str(run)),
            *("--answers", "classify"),
        ]
        starters: dict[str, Callable[[], Process]] = {
            "gcs": partial(
                fake_gcs.start,
                self._processes,
                self._ports["gcs"],
                env,
                notify=(self.project, "batchdrop-notices", self.buckets["inbox"]),
            ),
            "batchsim": partial(
                self._processes.start,
                "batchsim",
                batchsim,
                env,
                f"{self.addresses['batchsim']}/_sim/health",
            ),
        }
        for emulator in emulators.ALL:
            if emulators.named(emulator) is None:
                starters[emulator.name] = partial(
                    emulators.start,
                    emulator,
                    self._processes,
                    self._ports[emulator.name],
                    env,
                )
        return starters

    def _make_bucket(self, name: str) -> None:
        # The storage client would take half a second of importing for this.
        response = httpx.post(
            f"{self.addresses['gcs']}/storage/v1/b",
            params={"project": self.project},
            json={"name": name},
            trust_env=False,
        )
        if response.is_error:
            reason = f"answer {response.status_code}: {response.text[:200]}"
            raise StackError(f"make the bucket {name}", reason, self.log("gcs"))

    def _make_topics(self, subscriber: SubscriberClient) -> tuple[Eventarc, ...]:
        """Make the topics; the events of each begin when it is entered."""
        notices = f"projects/{self.project}/topics/batchdrop-notices"
        with eventarc.publisher(self.addresses["pubsub"]) as publisher:
            publisher.create_topic(name=notices)
            self._topics.make(publisher, subscriber)
        subscriptions = f"projects/{self.project}/subscriptions"
        work = f"{subscriptions}/eventarc-collect"
        log = partial(self._logs.add, "eventarc")
        return (
            Eventarc(
                subscriber,
                topic=notices,
                subscription=f"{subscriptions}/eventarc",
                as_event=object_finalized,
                target=self.addresses["on_upload"],
                log=log,
            ),
            Eventarc(
                subscriber,
                topic=self._topics.work,
                subscription=work,
                as_event=message_published(self._topics.work, work),
                target=self.addresses["collect"],
                # A job that is still due is named in another message.
                retries=False,
                parallel=THREADS["collect"] * int(self._function_env.get("WORKERS", 1)),
                log=log,
            ),
        )

    def _end_functions(self) -> None:
        # Before the services, without which a call under way would try for long.
        self._processes.stop(*[f.leave() for f in self._functions.values()])

    def _watch(self) -> None:
        """Functions are replaced when they die. The state of a service dies with it."""
        while not self._ended.wait(0.2):
            for service in list(self._services.values()):
                if service.status is not None and service in self._services.values():
                    self._failure = StackError(
                        f"keep {service.name} running",
                        service.how_it_ended(),
                        service.log,
                    )
                    self._ended.set()

    def _write_again(self) -> None:
        # Nothing is to be read of a stack that is not all up yet.
        if self.file.exists():
            self._write()

    def _write(self) -> None:
        with self._writing:
            # Whoever reads it finds all of the old or all of the new.
            new = self.file.with_suffix(".new")
            new.write_text(json.dumps(self.description, indent=2) + "\n")
            new.replace(self.file)


def main_py() -> Path:
    """The file of the entry points: beside the package, or in here in a wheel."""
    places = [Path(__file__).parent, Path(batchdrop.__file__).parent.parent]
    for place in places:
        if (place / "main.py").is_file():
            return place / "main.py"
    raise StackError("find the functions", f"no main.py in {places[0]} or {places[1]}")


def _inherited() -> dict[str, str]:
    """Our own environment, less what would make this stack unlike another's."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("BATCHDROP_")}
    env["PYTHONUNBUFFERED"] = "1"
    return env
