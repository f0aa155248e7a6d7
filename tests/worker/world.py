"""A worker with emulators of Firestore and Cloud Storage, and batchsim on a clock."""

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import httpx
from google.auth.credentials import AnonymousCredentials
from google.cloud import firestore, storage

from batchdrop import wiring
from batchdrop.announcements.message import Announcement
from batchdrop.backends import Backends
from batchdrop.batches import Client, HttpOptions, HttpRetryOptions
from batchdrop.errors import Unavailable
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Drop, Location, Timing
from batchdrop.ledger import Ledger
from batchdrop.ledger.documents import encode
from batchdrop.ledger.state import ReconcileRecord
from batchdrop.options.routes import Routes
from batchdrop.options.settings import Settings
from batchdrop.pricing import Prices
from batchdrop.storage import Storage
from batchdrop.stored import split_uri
from batchdrop.worker import Worker
from batchdrop.worker.tick import TickReport
from batchdrop.worker.traces import Traces
from batchsim.sim import BatchSim
from tests import announcements

GOOD = '{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}\n'

#: The ends of the paths of both APIs.
CREATES = ("PredictionJobs", ":batchGenerateContent")
LISTS = ("PredictionJobs", "/batches")

#: What a fault does to one request; None lets it through.
Fault = Callable[[httpx.Request], httpx.Response | None]


def storage_at(address: str, project: str) -> storage.Client:
    """A client of an emulator of Cloud Storage."""
    client = storage.Client(
        project=project,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": address},
    )
    # Else `requests` looks for proxies and a .netrc before each request.
    client._http.trust_env = False
    return client


class Wire(httpx.BaseTransport):
    """The transport to batchsim. Tests add faults; each is used once."""

    def __init__(self) -> None:
        self._below = httpx.HTTPTransport()
        self.down = False
        self.creates: list[Fault] = []
        self.lists: list[Fault] = []
        self.gets: list[Fault] = []
        self.cancels: list[Fault] = []
        self.deletes: list[Fault] = []
        self.before_create: Callable[[], None] | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            raise httpx.ConnectError("connection refused", request=request)
        faults: list[Fault] = []
        if request.method == "POST" and request.url.path.endswith(CREATES):
            faults = self.creates
            if self.before_create:
                self.before_create()
        elif request.method == "GET" and request.url.path.endswith(LISTS):
            faults = self.lists
        elif request.method == "GET" and request.url.path.rpartition("/")[0].endswith(
            LISTS
        ):
            faults = self.gets
        elif request.method == "POST" and request.url.path.endswith(":cancel"):
            faults = self.cancels
        elif request.method == "DELETE":
            faults = self.deletes
        if faults and (answer := faults.pop(0)(request)) is not None:
            return answer
        return self._below.handle_request(request)

    def close(self) -> None:
        self._below.close()

    def forward(self, request: httpx.Request) -> None:
        """The API does it; its answer is dropped."""
        self._below.handle_request(request).read()

    def reply_lost(self, request: httpx.Request) -> httpx.Response:
        """The API does it; the client gets no reply."""
        self.forward(request)
        raise httpx.ReadTimeout("timed out", request=request)

    @staticmethod
    def says(code: int, **headers: str) -> Fault:
        """The API answers with an error and does nothing."""
        error = {"error": {"code": code, "message": f"words for {code}"}}
        return lambda _: httpx.Response(code, json=error, headers=headers)

    @staticmethod
    def shows_nothing(_: httpx.Request) -> httpx.Response:
        """A list that lags: it is empty, as if no batch had been created."""
        return httpx.Response(200, json={})


@dataclass
class World:
    """A whole deployment, with a clock that the test sets."""

    sim: BatchSim
    gcs: storage.Client
    database: firestore.Client
    settings: Settings
    routes: Routes = field(default_factory=Routes.none)
    prices: Prices = field(default_factory=Prices.load)
    wire: Wire = field(default_factory=Wire)
    announced: list[Announcement] = field(default_factory=list)
    woken: list[str] = field(default_factory=list)  #: ids of jobs, as published
    pubsub_down: bool = False
    ahead: timedelta = timedelta(0)  #: how far the worker's clock is fast
    _clients: list[Client] = field(default_factory=list)
    _names: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self._http = httpx.Client(transport=self.wire)
        options = HttpOptions(
            base_url=self.sim.url,
            httpx_client=self._http,
            retry_options=HttpRetryOptions(attempts=1),
        )
        self._options = options
        self.storage = Storage(lambda: self.gcs)
        #: For those who make batches on their own.
        self.client = self._client(self.settings.backend, self.settings.location)
        self.timing = Timing(
            lease=timedelta(seconds=self.settings.lease),
            create_timeout=timedelta(seconds=self.settings.create_timeout),
            list_lag=timedelta(seconds=self.settings.list_lag),
        )
        self.traces = Traces(self.storage, self.settings)
        self.now = lambda: self.sim.clock.now() + self.ahead
        self.ledger = Ledger(lambda: self.database, "//batchdrop/tests")
        self.worker = self._worker(self.publish)

    def _worker(self, publish: Callable[[Announcement], None]) -> Worker:
        worker = wiring.build(
            self.settings,
            self.routes,
            ledger=self.ledger,
            storage=self.storage,
            prices=lambda: self.prices,
            connect=self._client,
            publish=publish,
            wake=self.wake,
            now=self.now,
            holder=self.holder,
        )
        # Most ticks of a deployment don't search for documents of an earlier release,
        # and so don't run all stages.
        worker.poll.none_outdated_at = self.now()
        worker.poll.outdated_every = timedelta(days=1)
        return worker

    @property
    def backends(self) -> Backends:
        return self.worker.backends

    def publish_by(self, publish: Callable[[Announcement], None]) -> None:
        """Replaces the function that the worker publishes with."""
        self.worker = self._worker(publish)

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self._http.close()

    @property
    def wired(self) -> dict[str, Callable[[], Any]]:
        """What the functions of `batchdrop.wiring` give in this deployment, by name."""
        return {
            "settings": lambda: self.settings,
            "routes": lambda: self.routes,
            "prices": lambda: self.prices,
            "storage": lambda: self.storage,
            "ledger": lambda: self.ledger,
            "costs": lambda: self.ledger,
            "worker": lambda: self.worker,
            "now": lambda: self.now,
        }

    def choose(self, routes: str | None = None, **settings: Any) -> None:
        """Deploys again with other settings. The emulators keep their data."""
        self.settings = replace(self.settings, **settings)
        if routes is not None:
            self.routes = Routes.parse(routes.encode(), "routes.toml")
            self.routes.check(self.settings)
        self.__post_init__()

    def _client(self, backend: str, location: str) -> Client:
        if backend == "vertex":
            made = Client(
                vertexai=True,
                project=self.settings.project,
                location=location,
                credentials=AnonymousCredentials(),
                http_options=self._options,
            )
        else:
            made = Client(
                vertexai=False, api_key="key-of-tests", http_options=self._options
            )
        self._clients.append(made)
        return made

    def holder(self) -> str:
        return f"worker-{next(self._names)}"

    def publish(self, announcement: Announcement) -> None:
        if self.pubsub_down:
            raise Unavailable("Pub/Sub is down")
        announcements.check(announcement)
        self.announced.append(announcement)

    def wake(self, job_id: str) -> None:
        if self.pubsub_down:
            raise Unavailable("Pub/Sub is down")
        self.woken.append(job_id)

    # -- what a test does -------------------------------------------------------

    def delete(self, uri: str) -> None:
        """Somebody deletes an object."""
        bucket, name = split_uri(uri)
        self.gcs.bucket(bucket).blob(name).delete()

    def upload(
        self,
        text: str | bytes = GOOD,
        name: str = "reviews.jsonl",
        metadata: dict[str, str] | None = None,
        bucket: str | None = None,
        encoding: str | None = None,
    ) -> Drop:
        """Uploads an object to the inbox. Returns the drop that its event has."""
        blob = self.gcs.bucket(bucket or self.settings.inbox).blob(name)
        blob.metadata = metadata
        blob.content_encoding = encoding
        blob.upload_from_string(text)
        return Drop(
            bucket=blob.bucket.name,
            name=name,
            generation=int(blob.generation),
            size=int(blob.size),
        )

    def tick(self) -> TickReport:
        """Runs a tick, then collects the jobs that it wakes."""
        report = self.worker.tick()
        self.collect()
        return report

    def collect(self) -> None:
        """Delivers the messages that name jobs to collect, each once."""
        while self.woken:
            self.worker.collect(self.woken.pop(0))

    def advance(self, duration: timedelta) -> None:
        self.sim.clock.advance(duration.total_seconds())

    def ticks(self, n: int, every: timedelta = timedelta(minutes=1)) -> None:
        """Runs `n` ticks of the schedule, `every` apart."""
        for _ in range(n):
            self.advance(every)
            self.tick()

    def ticks_until(
        self,
        true: Callable[[], bool],
        most: int = 40,
        every: timedelta = timedelta(minutes=8),
    ) -> None:
        """Runs ticks, `every` apart, until something is true; fails after `most`."""
        for _ in range(most):
            self.ticks(1, every)
            if true():
                return
        raise AssertionError(f"it isn't so after {most} ticks")

    def is_over(self, drop: Drop) -> bool:
        """Whether the job of a drop is over, and all that was to be said is said."""
        job = self.ledger.get(drop.job_id)
        said = not [*self.ledger.unpublished_announcements()]
        return job is not None and job.is_over and said

    def until_over(self, drop: Drop) -> Job:
        """
        Runs ticks until the job is over and announced, at intervals in which a batch
        that is sent ends; and one more tick, which has nothing left to say.
        """
        self.ticks_until(lambda: self.is_over(drop), every=timedelta(minutes=16))
        self.ticks(1)
        return self.job(drop)

    def until_ended(self) -> None:
        """
        Batches that are there now end. One tick sees that as well as one a minute does,
        in a twentieth of the time.
        """
        self.ticks(1, every=timedelta(minutes=20))

    # -- what is true afterwards ------------------------------------------------

    def job(self, drop: Drop) -> Job:
        job = self.ledger.get(drop.job_id)
        assert job is not None
        return job

    def batches(self) -> list[dict[str, Any]]:
        """Every batch that the API ever made."""
        found = httpx.get(f"{self.sim.url}/_sim/jobs").raise_for_status().json()
        return list(found["jobs"])

    def jobs(self) -> int:
        return len(list(self.database.collection("jobs").stream()))

    def staged(self, drop: Drop) -> dict[str, str]:
        """The objects in a job's folder of WORK, by their path in the folder."""
        prefix = f"{self.settings.work.prefix}{drop.job_id}/"
        found = self.gcs.list_blobs(self.settings.work.bucket, prefix=prefix)
        return {
            blob.name.removeprefix(prefix): blob.download_as_text() for blob in found
        }

    def results(self, job: Job) -> list[dict[str, Any]]:
        """The lines of the results that the job names."""
        assert job.results is not None
        bucket, name = split_uri(job.results.uri)
        blob = self.gcs.bucket(bucket).blob(name, generation=job.results.generation)
        return [json.loads(line) for line in blob.download_as_text().splitlines()]

    def answers(self, job: Job) -> list[dict[str, Any]]:
        """The lines in the output directory that the job names."""
        assert job.batch is not None
        assert job.batch.output_directory is not None
        place = Location.parse(job.batch.output_directory)
        found = self.gcs.list_blobs(place.bucket, prefix=place.prefix)
        return [
            json.loads(line)
            for blob in found
            for line in blob.download_as_text().splitlines()
        ]


@contextmanager
def a_world(
    gcs: str, database: firestore.Client, backend: str = "vertex", **options: Any
) -> Iterator[World]:
    """
    A deployment whose clock stands still, in the database's project.

    Args:
        gcs: the address of Cloud Storage, which the environment has, too.
        options: of its batchsim.
    """
    project = database.project
    client = storage_at(gcs, project)
    settings = Settings(
        project=project,
        location="us-central1",
        model="gemini-3.8-flash",
        inbox=f"{project}-inbox",
        work=Location(bucket=f"{project}-work", prefix="staging/"),
        output=Location(bucket=f"{project}-output", prefix=""),
        topic="announcements",
        work_topic="work",
        deployment="tests",
        # Tests about results, and about rows that go again, choose them by themselves.
        results="off",
        retry=0,
        backend=backend,
    )
    for bucket in (settings.inbox, settings.work.bucket, settings.output.bucket):
        client.create_bucket(bucket)
    seconds = {"queue_seconds": 300, "run_seconds": 600}
    with BatchSim(speed=0, storage=gcs, **seconds | options) as sim:
        world = World(sim=sim, gcs=client, database=database, settings=settings)
        # The slower comparison is due in an hour, as on most ticks.
        now = world.now()
        database.document("locks/reconcile").set(
            encode(ReconcileRecord(first_start=now, finished=now))
            | {"first_start": firestore.SERVER_TIMESTAMP}
        )
        yield world
        world.close()
    client.close()


def slow(world: World, duration: timedelta) -> Fault:
    """A fault: the answer takes this long."""

    def wait(_: httpx.Request) -> None:
        world.advance(duration)

    return wait
