"""What the steps of collecting share: how each ends, and where its objects are."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from batchdrop.jobs.codes import Step, WaitCode
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Location
from batchdrop.options.settings import Settings
from batchdrop.stored import split_uri

#: A step that can't be done is tried again after this long at the earliest.
PAUSE = timedelta(seconds=10)
#: How the folder begins, within a job's, that collectors write to.
COLLECTING = "collect-"
#: The folder in it for results that are not published.
GATHERED = "gathered"
#: The type of results and strangers.
NDJSON = "application/x-ndjson"
#: The roles with which results are written, and compared with what is there.
CREATE = "roles/storage.objectCreator and roles/storage.objectViewer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The step is done, and another one follows; none if no results are made."""

    step: Step | None
    n: int = 0  #: which slice or range the next step is about
    goes_on: bool = True  #: the next step may follow at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """The step can't be done yet."""

    why: str
    pause: timedelta = PAUSE
    latest: datetime | None = None  #: try again then, if not before
    code: WaitCode = WaitCode.ANOTHER_TRY


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """The results are written; `changes` are the arguments of `Job.collected`."""

    changes: dict[str, Any]
    #: Folders of the work bucket that are of no use once they are recorded.
    leftovers: tuple[Location, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Turned:
    """
    A round begins, or comes to nothing, or what was gathered is made again; `move` says
    so, given the job and the time. If a round begins, its job is made in the same
    commit.
    """

    move: Callable[[Job, datetime], Job]
    leftovers: tuple[Location, ...] = ()  #: as those of `Collected`


#: What a step says at its end.
Learnt = Done | Waits | Collected | Turned


@dataclass(frozen=True, slots=True)
class Places:
    """Where the steps of a job write."""

    settings: Settings

    def work(self, job: Job) -> str:
        """The folder for what lies between the answers and the results."""
        assert job.collecting is not None
        return self.round(job.id, job.collecting.round)

    def round(self, id: str, n: int) -> str:
        """The same folder of a job and a round by their id and number."""
        return f"{self.settings.work}{id}/{COLLECTING}{n}/"

    def gathered(self, job: Job) -> Location:
        """
        The folder for results that are not published: those of a round, and those of a
        job whose rows may go again.
        """
        return folder(f"{self.work(job)}{GATHERED}")

    def copy(self, job: Job) -> str:
        """The copy of answers that lie in no bucket."""
        return f"{self.work(job)}answers.jsonl"

    def frozen(self, job: Job) -> str:
        """The list of the objects with answers."""
        return f"{self.work(job)}answers.json"

    def results(self, job: Job) -> Location:
        """The folder of a job's results; under OUTPUT if a table has the answers."""
        assert job.spec is not None
        if job.spec.destination.startswith("gs://"):
            return folder(job.spec.destination)
        output, part = self.settings.output, ""
        id = job.id
        if job.part_of and job.part:
            id, part = job.part_of, f"part-{job.part.n:04}/"
        prefix = f"{output.prefix}{job.source.name}/{id}/{part}"
        return Location(bucket=output.bucket, prefix=prefix)


def folder(uri: str) -> Location:
    """A directory's address as a prefix. An object's name may begin with a slash."""
    bucket, name = split_uri(uri)
    return Location(bucket=bucket, prefix=f"{name.rstrip('/')}/")


def granted(bucket: str, roles: str) -> str:
    """What a person has to grant, as a sentence."""
    return f"Grant the service account of collect {roles} on the bucket {bucket}"
