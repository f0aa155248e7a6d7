"""A deployment that jobs are sent through, one at a time, while harm is done to it."""

import contextlib
import itertools
import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import httpx
import psutil
from google.cloud import firestore
from google.cloud.firestore_v1.base_query import FieldFilter
from google.cloud.pubsub_v1.subscriber.message import Message as Received

from batchdrop.errors import Superseded
from batchdrop.failpoints import FAILPOINTS
from batchdrop.jobs.codes import Phase
from batchdrop.jobs.values import Drop
from batchdrop.ledger import Ledger
from batchdrop_local import eventarc
from batchdrop_local.cloud_run import new_trace
from batchdrop_local.emulators import PUBSUB
from batchdrop_local.function import STEP_BYTES
from batchdrop_local.nursery import Nursery
from batchdrop_local.stack import Stack
from tests.exactly_once import output
from tests.exactly_once.commits import Commits
from tests.exactly_once.outages import Line, State
from tests.exactly_once.points import all_points
from tests.exactly_once.promise import (
    Answer,
    Evidence,
    Message,
    Outcome,
    Published,
    gathered,
)
from tests.exactly_once.rounds import is_asked
from tests.exactly_once.scenarios import ELSEWHERE, TRAITS, Rule, Scenario, routes
from tests.there import there
from tests.waiting import is_alive, until
from tests.worker.world import storage_at

#: Short, so that a case takes seconds. LEASE leaves time for a worker's first call.
ENV = {
    "BATCHDROP_LEASE": "2.5",
    "BATCHDROP_CREATE_TIMEOUT": "1.5",
    "BATCHDROP_LIST_LAG": "0.5",
    "BATCHDROP_TICK": "2",
    "BATCHDROP_RECONCILE_EVERY": "1",
    "BATCHDROP_RESULTS": "off",
    # One freezes, and the other continues, like instances of a function.
    "WORKERS": "2",
    "THREADS": "4",
}
BACKENDS = {
    "vertex": {"BATCHDROP_BACKEND": "vertex"},
    "developer": {"BATCHDROP_BACKEND": "developer", "GEMINI_API_KEY": "a-key"},
}

#: A track of which Firestore's answers can be lost. The way through here costs time.
LOSSY = "lossy"
#: A track from which jobs go to either backend.
BOTH = "both"
#: The same, and Pub/Sub can fail; there is more to say of each job; two schedules call.
STORMY = "stormy"
#: A track on which few answers take the steps of many.
STEPS = "steps"
#: What some cases need besides.
DEPLOYMENTS = {
    "": {},
    LOSSY: {},
    BOTH: {"GEMINI_API_KEY": "a-key"},
    STORMY: {"BATCHDROP_STALLED_AFTER": "0.5"},
    # An answer has some 700 bytes.
    STEPS: {STEP_BYTES: "1000"},
}

#: Separates one call's log lines from another's.
TRACE = "logging.googleapis.com/trace"

#: The states of a batch that runs on unless it is cancelled.
UNDER_WAY = ("JOB_STATE_QUEUED", "JOB_STATE_PENDING", "JOB_STATE_RUNNING")

#: Seconds that a job may take to its end, whatever happens to it.
PATIENCE = 60.0
#: Seconds after its end in which more may happen to it. A death may leave nothing to do
#: at a point where another one is to come.
LINGER = 15.0


def patience() -> float:
    """Seconds to wait for an end: more where each process gets but a part of a core."""
    return PATIENCE * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """
    One job's way, and the harm that is done.

    ways     tried in turn, until one has met all the harm
    kills    points at which the process dies, each once; one named twice: twice
    freezes  points at which it stops; it is woken when the job has ended without it,
             or, with `at_once`, when all have struck, in the order they are named
    loses    the commit whose answer is lost, see `Commits.lose`, and how
    """

    name: str
    backend: str
    ways: tuple[Scenario, ...]
    kills: tuple[str, ...] = ()
    freezes: tuple[str, ...] = ()
    at_once: bool = False
    loses: tuple[str, grpc.StatusCode] | None = None

    @property
    def deployment(self) -> tuple[str, str]:
        """The backend and the settings of the tracks that it can run in."""
        return self.backend, LOSSY if self.loses else self.ways[0].track

    def __str__(self) -> str:
        return f"{self.backend}-{self.name}"


class Traps:
    """The files that `crash` looks at: one is set by being taken away."""

    def __init__(self, directory: Path) -> None:
        names = all_points()
        self._folders = [directory / name for name in ("first", "second", "freeze")]
        self._files = {
            folder: {
                name: folder / (f"{name}.freeze" if folder.name == "freeze" else name)
                for name in names
            }
            for folder in self._folders
        }
        self._set: list[Path] = []
        for folder in self._folders:
            folder.mkdir(parents=True)
        self.clear()
        every = [path for files in self._files.values() for path in files.values()]
        self.env = {FAILPOINTS: os.pathsep.join(map(str, every))}

    def clear(self) -> None:
        """Nothing happens at any point."""
        for files in self._files.values():
            for path in files.values():
                path.touch()
        self._set = []

    def kill(self, *names: str) -> None:
        """The next process at each of these dies; at one named twice, two do."""
        for name in names:
            files = [self._files[folder][name] for folder in self._folders[:2]]
            free = next(path for path in files if path not in self._set)
            self._spring(free)

    def freeze(self, *names: str) -> None:
        """The next process at each of these stops."""
        for name in names:
            self._spring(self._files[self._folders[2]][name])

    def waiting(self) -> list[str]:
        """Those that nothing has run into yet."""
        return [path.name for path in self._set if not path.exists()]

    def _spring(self, path: Path) -> None:
        self._set.append(path)
        path.unlink()


@dataclass
class Track:
    """The stack, a schedule of its own, and a hand on all that can go wrong."""

    directory: Path
    deployment: tuple[str, str]  #: backend, and further settings
    firestore_address: str
    env: Mapping[str, str] = field(default_factory=dict)  #: stronger than all else
    every: float = 0.4  #: seconds from one call of `poll` to the next
    nursery: Nursery | None = None  #: starts the functions; default: the stack's own
    is_clean: bool = True  #: nothing of an earlier job is going on any more
    #: When each announcement came first, by its id and the monotonic clock.
    heard_at: dict[str, float] = field(default_factory=dict)
    _messages: list[Message] = field(default_factory=list)

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            self._open(undo)
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._undo.__exit__(kind, error, traceback)

    def _open(self, undo: ExitStack) -> None:
        self.traps = Traps(self.directory / "traps")
        backend, more = self.deployment
        env = (
            ENV | BACKENDS[backend] | DEPLOYMENTS[more] | self.traps.env | {**self.env}
        )
        chosen = self.directory / "routes.toml"
        chosen.write_text(routes(TRAITS | (ELSEWHERE if more == BOTH else {})))
        env["BATCHDROP_ROUTES"] = str(chosen)
        self.commits = Commits(self.firestore_address)
        self.pubsub = Line(os.environ[PUBSUB.variable])
        if more in (LOSSY, STORMY):
            undo.enter_context(self.commits)
            env["FIRESTORE_EMULATOR_HOST"] = self.commits.address
        if more == STORMY:
            undo.enter_context(self.pubsub)
            env["PUBSUB_EMULATOR_HOST"] = self.pubsub.address
        self.stack = undo.enter_context(
            Stack(
                self.directory,
                poll_every=None,
                queue_seconds=0.2,
                run_seconds=0.2,
                env=env,
                pages=False,
                nursery=self.nursery,
            )
        )
        # It would look for proxies while pytest changes the environment.
        self._gcs = storage_at(self.stack.addresses["gcs"], self.stack.project)
        undo.callback(self._gcs.close)
        self._database = firestore.Client(project=self.stack.project)
        undo.callback(self._database.close)
        self._ledger = Ledger(lambda: self._database, "//batchdrop/tests")
        self._sim = undo.enter_context(
            httpx.Client(base_url=self.stack.addresses["batchsim"], trust_env=False)
        )
        subscriber = eventarc.subscriber(self.stack.addresses["pubsub"])
        undo.enter_context(subscriber)
        pull = subscriber.subscribe(self.stack.subscription, self._hear)
        undo.callback(pull.result)
        undo.callback(pull.cancel)
        poll = self.stack.addresses["poll"]
        undo.enter_context(schedule(poll, self.every))
        if more == STORMY:
            # Of one that is made anew the old one may be left, and a call may be sent
            # twice.
            undo.enter_context(schedule(poll, self.every, twice_in=5))

    # -- a case -----------------------------------------------------------------

    def run(self, case: Case) -> Outcome:
        """Sends jobs until one has met all the harm; returns the last one's outcome."""
        for way in case.ways:
            outcome = self._run(case, way)
            if not outcome.missed or not self.is_clean:
                break
        return outcome

    def _run(self, case: Case, way: Scenario) -> Outcome:
        word = uuid.uuid4().hex
        stem = f"{way.folder}{word}"
        with self._harm(case, way, word):
            drop = self.drop(way.text, f"{stem}{way.suffix}")
            if "required" in way.traits:
                until(lambda: self._is_waiting(drop), patience())
            beside = self.drop(way.beside, f"{stem}.job.json") if way.beside else None
            frozen: dict[str, psutil.Process] = {}
            asked: set[Drop] = set()
            over_at = 0.0

            def is_quiet() -> bool:
                nonlocal over_at
                self._show(drop, way)
                if way.end == "cancelled":
                    self._want_cancelled(drop)
                if way.asks and drop not in asked:
                    # Once: no row may be meant, and then nothing is left of it.
                    if is_asked(self._ledger, drop, way.asks, datetime.now(UTC)):
                        asked.add(drop)
                    return False
                self._find_frozen(case, frozen)
                if not self.evidence(drop, beside).is_over:
                    return False
                over_at = over_at or time.monotonic()
                lingers = way.lingers and self.traps.waiting()
                return not lingers or time.monotonic() - over_at > LINGER

            def has_struck() -> bool:
                return is_quiet() or len(frozen) == len(case.freezes)

            every = 0.05 if way.hidden else 0.3
            self._wait(has_struck if case.at_once else is_quiet, every)
            # All may be over at the moment at which one stops. One that nobody wakes
            # would leave the cases after this one a worker less.
            until(lambda: self._all_found(case, frozen))
            for point in case.freezes:
                if process := frozen.get(point):
                    wake(process)
            self._wait(is_quiet)
            return Outcome(
                way=way,
                evidence=replace(
                    self.evidence(drop, beside),
                    answers=self.answers(drop),
                    results=self.results(drop),
                ),
                missed=self.traps.waiting() + self.commits.waiting(),
            )

    @contextlib.contextmanager
    def _harm(self, case: Case, way: Scenario, word: str) -> Iterator[None]:
        self.pace(run_seconds=way.run_seconds)
        match = {"display_name": f"*{word}*"}
        rules = [
            {**rule, "match": match} if rule.get("op") == "create" else dict(rule)
            for rule in way.faults
        ]
        if way.hidden:
            rules.append({"fault": "list_lagging", "seconds": 1e6, "match": match})
        if way.has_extra:
            # None ends while there are more: on a slow machine a worker that follows
            # another comes late.
            rules.append({"fault": "stuck_running", "for_ever": True, "match": match})
        for rule in rules:
            self.fault(rule)
        if case.loses:
            self.commits.lose(*case.loses)
        self.traps.kill(*way.kills, *case.kills)
        self.traps.freeze(*case.freezes)
        try:
            yield
        finally:
            self.forgive()

    def pace(self, **seconds: float) -> None:
        """How long batches take from now on: `queue_seconds`, `run_seconds`."""
        self._sim.post("/_sim/settings", json=seconds).raise_for_status()

    def fault(self, rule: Rule) -> None:
        """Puts one of batchsim's rules in force."""
        self._sim.post("/_sim/faults", json=dict(rule)).raise_for_status()

    def forgive(self, rows: bool = True) -> None:
        """
        Nothing goes wrong any more.

        Args:
            rows: whether no row fails either that was to fail.
        """
        self.traps.clear()
        self.commits.forgive()
        self.pubsub.become(State.OPEN)
        for rule in self._sim.get("/_sim/faults").json()["rules"]:
            if rows or not rule["fault"].startswith("row_"):
                self._sim.delete(f"/_sim/faults/{rule['id']}")

    def _wait(self, ask: Callable[[], bool], every: float = 0.3) -> None:
        try:
            until(ask, patience(), every)
        except AssertionError:
            # The evidence shows what exists then.
            self.is_clean = False

    def _is_waiting(self, drop: Drop) -> bool:
        """Whether no worker holds a known job."""
        job = self._ledger.get(drop.job_id)
        return job is not None and not job.is_held(datetime.now(UTC))

    def _show(self, drop: Drop, way: Scenario) -> None:
        """
        Ends the lag of the list, once there is enough to see; and lets the batch end
        that is left, when those beside it are cancelled.
        """
        if not way.hidden or len(batches := self.batches(drop)) < way.hidden:
            return
        over = {"list_lagging"}
        if sum(batch["state"] in UNDER_WAY for batch in batches) <= 1:
            over.add("stuck_running")
        for rule in self._sim.get("/_sim/faults").json()["rules"]:
            if rule["fault"] in over:
                self._sim.delete(f"/_sim/faults/{rule['id']}")

    def _want_cancelled(self, drop: Drop) -> None:
        """Does what `batchdrop cancel` does, once a stall has been announced."""
        job = self._ledger.get(drop.job_id)
        if job is None or job.cancel_request:
            return
        told = job.seq or any(one.seq for one in self._ledger.get_all(job.parts))
        if job.phase in (Phase.SUBMITTED, Phase.SPLIT) and told:
            with contextlib.suppress(Superseded):
                now = datetime.now(UTC)
                self._ledger.advance(job, lambda j: j.request_cancel("a test", now))

    def _all_found(self, case: Case, frozen: dict[str, psutil.Process]) -> bool:
        """Whether each process is known that has stopped, or is about to."""
        self._find_frozen(case, frozen)
        waiting = self.traps.waiting()
        return all(
            point in frozen or f"{point}.freeze" in waiting for point in case.freezes
        )

    def _find_frozen(self, case: Case, frozen: dict[str, psutil.Process]) -> None:
        if len(frozen) == len(case.freezes):
            return
        waiting = self.traps.waiting()
        known = {process.pid for process in frozen.values()}
        for point in case.freezes:
            if point in frozen or f"{point}.freeze" in waiting:
                continue
            for pid in [pid for pids in self.stack.pids.values() for pid in pids]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process = psutil.Process(pid)
                    stopped = process.status() == psutil.STATUS_STOPPED
                    if stopped and pid not in known:
                        frozen[point] = process
                        known.add(pid)
                        break

    # -- what a user does, and what is true afterwards --------------------------

    def drop(
        self, data: str | bytes, name: str, metadata: Mapping[str, str] | None = None
    ) -> Drop:
        """Puts an object into the inbox."""
        blob = self._gcs.bucket(self.stack.buckets["inbox"]).blob(name)
        blob.metadata = metadata
        blob.upload_from_string(data)
        return Drop(
            bucket=blob.bucket.name,
            name=name,
            generation=int(blob.generation),
            size=int(blob.size),
        )

    def evidence(self, drop: Drop, beside: Drop | None = None) -> Evidence:
        drops = [one for one in (drop, beside) if one]
        jobs = self._jobs(one.job_id for one in drops)
        jobs |= self._jobs(part for job in jobs.values() for part in job["parts"])
        jobs |= self._jobs(
            one["job"]
            for job in jobs.values()
            for one in job["rounds"]
            if one["n"] and one["job"]
        )
        ids = {*jobs, *(one.job_id for one in drops)}
        everything = (jobs, self.all_batches(), self.outbox(ids), self._messages[:])
        found = gathered(drop, *everything)
        return replace(found, beside=gathered(beside, *everything) if beside else None)

    def is_over(self, drop: Drop) -> bool:
        """Whether nothing is left to do for anybody."""
        return self.evidence(drop).is_over

    def answers(self, drop: Drop) -> list[Answer]:
        """All that the API wrote of a drop's rows."""
        return output.answers(self._gcs, self.stack.buckets["output"], drop)

    def results(self, drop: Drop) -> list[Published]:
        """All objects with results of a drop, those of its parts too."""
        return output.results(self._gcs, self.stack.buckets["output"], drop)

    def _jobs(self, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        # With what a document doesn't say.
        return {
            job.id: asdict(job) | {"outcome": job.outcome}
            for job in self._ledger.get_all(ids)
        }

    def batches(self, drop: Drop) -> list[dict[str, Any]]:
        """All that were ever made of it, whole or in parts."""
        found = self.evidence(drop)
        return [batch for each in (found, *found.parts) for batch in each.batches]

    def outbox(self, ids: Collection[str]) -> list[dict[str, Any]]:
        query = self._database.collection("announcements").where(
            filter=FieldFilter("job_id", "in", sorted(ids))
        )
        return [there(snapshot.to_dict()) for snapshot in query.stream()]

    def all_batches(self) -> list[dict[str, Any]]:
        """Every batch that the API ever made."""
        made: list[dict[str, Any]] = self._sim.get("/_sim/jobs").json()["jobs"]
        return made

    def all_jobs(self) -> dict[str, dict[str, Any]]:
        """Every job, by its id."""
        found = self._database.collection("jobs").select([]).stream()
        return self._jobs(snapshot.id for snapshot in found)

    def all_costs(self) -> list[dict[str, Any]]:
        """What each round of a job has cost, as reports add it up."""
        found = self._database.collection("costs").stream()
        return [there(snapshot.to_dict()) for snapshot in found]

    def all_announcements(self) -> list[dict[str, Any]]:
        """The whole outbox."""
        found = self._database.collection("announcements").stream()
        return [there(snapshot.to_dict()) for snapshot in found]

    def deliver(self, drop: Drop) -> None:
        """An event about a drop, as Eventarc sends it; any answer is fine."""
        body = {
            "bucket": drop.bucket,
            "name": drop.name,
            "generation": str(drop.generation),
            "size": str(drop.size),
        }
        self.send(json.dumps(body).encode(), uuid.uuid4().hex, drop.name, timeout=1)

    def send(self, body: bytes, id: str, name: str, timeout: float = 10) -> int:
        """An event with this body and id; the status of the answer."""
        attributes = {
            "bucketId": self.stack.buckets["inbox"],
            "objectId": name,
            "eventTime": "2026-03-01T12:00:00Z",
        }
        headers = eventarc.cloud_event_headers(attributes, id)
        url = self.stack.addresses["on_upload"]
        answer = httpx.post(
            url, content=body, headers=headers, timeout=timeout, trust_env=False
        )
        return answer.status_code

    def replay(self, drop: Drop) -> None:
        """What `batchdrop announcements replay --job` does."""
        for one in self._ledger.announcements_of(drop.job_id):
            if not one.is_waiting:
                self._ledger.replay(one, datetime.now(UTC))

    def overlaps(self) -> int:
        """How many ticks wrote log lines while another one was at work."""
        at_work: dict[str, list[int]] = {}
        ticks = set()
        for n, line in enumerate(self.stack.log("poll").read_text().splitlines()):
            with contextlib.suppress(ValueError, KeyError):
                told = json.loads(line)
                at_work.setdefault(told[TRACE], []).append(n)
                if told.get("event") == "tick.finished":
                    ticks.add(told[TRACE])
        spans = sorted((at_work[tick][0], at_work[tick][-1]) for tick in ticks)
        found, end = 0, -1
        for first, last in spans:
            found += first < end
            end = max(end, last)
        return found

    def messages(self, drop: Drop) -> list[Message]:
        return [
            one for one in self._messages[:] if one.attributes["job_id"] == drop.job_id
        ]

    def all_messages(self) -> list[Message]:
        """Everything that came on the subscription, in its order."""
        return self._messages[:]

    def _hear(self, received: Received) -> None:
        self.heard_at.setdefault(received.attributes["ce-id"], time.monotonic())
        self._messages.append(Message(received.data, dict(received.attributes)))
        received.ack()


def wake(process: psutil.Process) -> None:
    """Wakes a frozen worker, and waits until its request is done."""
    process.send_signal(signal.SIGCONT)
    # gunicorn's workers end what they have begun, and then themselves.
    process.terminate()
    until(lambda: not is_alive(process))


@contextlib.contextmanager
def schedule(url: str, every: float, twice_in: int = 0) -> Iterator[None]:
    """
    Calls `poll`, and gives a call up whose answer doesn't come: as Cloud Scheduler
    does, but sooner, for a frozen worker not to hold up the next. Two schedules call
    at the same moments.

    Args:
        twice_in: one call in so many is sent twice; 0: none is.
    """
    stopping = threading.Event()

    def run() -> None:
        # A connection kept would go to the same worker again, frozen or not.
        limits = httpx.Limits(max_keepalive_connections=0)
        with (
            httpx.Client(timeout=3, limits=limits, trust_env=False) as http,
            ThreadPoolExecutor(2, "call") as pool,
        ):

            def call(_: int) -> None:
                with contextlib.suppress(httpx.TransportError):
                    http.post(url, headers=new_trace())

            for n in itertools.count(1):
                if stopping.wait(every - time.monotonic() % every):
                    return
                twice = twice_in and n % twice_in == 0
                list(pool.map(call, range(2 if twice else 1)))

    thread = threading.Thread(target=run, name="schedule")
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
