"""A ledger on the Firestore emulator, and a topic that refuses what a test names."""

from collections.abc import Callable
from datetime import datetime, timedelta

from google.cloud import firestore

from batchdrop.announcements.message import Announcement
from batchdrop.errors import Refused, Unavailable
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Drop, Health, Problem
from batchdrop.ledger import Ledger
from batchdrop.worker.outbox import Outbox
from batchdrop.worker.stages import Tick
from tests import announcements
from tests.clock import Clock
from tests.jobs import TIMING
from tests.there import there


class Topic:
    """Accepts announcements, except those that a test makes it refuse."""

    def __init__(self) -> None:
        self.taken: list[Announcement] = []
        self.refuses: set[str] = set()
        self.down = False
        self.asked = 0
        self.each: Callable[[], None] = lambda: None

    def __call__(self, announcement: Announcement) -> None:
        self.asked += 1
        announcements.check(announcement)
        self.each()
        if self.down:
            raise Unavailable("no answer")
        if announcement.id in self.refuses:
            raise Refused("not what the schema says")
        self.taken.append(announcement)

    @property
    def ids(self) -> list[str]:
        return [announcement.id for announcement in self.taken]


class Office:
    """A ledger, a topic, and the outbox between them."""

    def __init__(self, database: firestore.Client) -> None:
        self.database = database
        self.ledger = Ledger(lambda: database, "//batchdrop/tests")
        self.topic = Topic()
        self.clock = Clock()
        self.pace = timedelta(seconds=1)
        self.failures: list[Exception] = []

    def job(self, n: int) -> Job:
        drop = Drop(bucket="inbox", name=f"{n}.jsonl", generation=n, size=10)
        job = self.ledger.claim(Job.claimed(drop, "first", self.clock(), TIMING))
        assert job is not None
        return job

    def rejected(self, n: int) -> Job:
        """A job with one announcement."""
        return self.announced(self.job(n))

    def announced(self, job: Job) -> Job:
        """The job with one more announcement, some time later."""
        self.clock.time += self.pace
        now = self.clock()
        error = Problem(code="bad", message="bad rows")
        return self.ledger.advance(job, lambda j: j.rejected(error, now))

    def drain(self, deadline: datetime | None = None) -> int:
        outbox = Outbox(ledger=self.ledger, publish=self.topic, now=self.clock)
        until = deadline or self.clock() + timedelta(minutes=4)
        tick = Tick(now=self.clock, deadline=until)
        sent = outbox.drain(tick)
        self.failures = tick.errors
        return sent

    def health(self, job: Job) -> Health | None:
        held = self.ledger.get(job.id)
        assert held is not None
        return held.health

    def held(self, id: str) -> dict[str, object]:
        found = self.database.collection("announcements").document(id).get()
        return dict(there(found.to_dict()))

    def ids(self, job: Job) -> list[str]:
        """The ids of all announcements of a job, in the order of their creation."""
        found = self.database.collection("announcements").stream()
        mine = [there(one.to_dict()) for one in found if one.get("job_id") == job.id]
        return [one["id"] for one in sorted(mine, key=lambda one: one["seq"])]
