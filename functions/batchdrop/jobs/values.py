"""The records that a job is made of: values without moves."""

import base64
import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

from batchdrop.errors import NotADrop
from batchdrop.jobs.codes import Backend, Outcome
from batchdrop.jobs.codes import Phase as Phase
from batchdrop.stored import split_uri

#: The backends, until everything names them by their enum.
VERTEX, DEVELOPER = Backend.VERTEX, Backend.DEVELOPER
#: What a batch makes of its rows; else it generates.
EMBEDDING = "embedding"

#: In place of a state's name: any that isn't named. Firestore takes no empty key.
OTHER = "other"
#: Bytes of an object's name, in UTF-8
#: (https://cloud.google.com/storage/docs/objects#naming).
MAX_OBJECT_NAME = 1024
#: Characters of a display name.
MAX_NAME = 128
#: Labels that begin so are ours.
OWN_LABELS = "batchdrop_"

FINALIZED = "google.cloud.storage.object.v1.finalized"


def derived_id(*parts: str) -> str:
    """26 characters of lowercase base32 of a SHA-256: the same for the same parts."""
    digest = hashlib.sha256("#".join(parts).encode()).digest()
    return base64.b32encode(digest).decode().lower()[:26]


def is_job_id(text: str) -> bool:
    """Whether a text could be a job's id: it may come from anybody's label."""
    return re.fullmatch(r"[a-z2-7]{26}", text) is not None


#: Characters of a text in a job's document, and of a note in its history, of which
#: there are many. What others say is as long as they like.
MAX_TEXT, MAX_NOTE = 2000, 500


def brief(text: str, most: int) -> str:
    """The text, or as much of its beginning as there is room for."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long things may take. A lease outlives any call of the function it is for."""

    lease: timedelta
    create_timeout: timedelta
    list_lag: timedelta

    @classmethod
    def none(cls) -> Self:
        """No time at all: a lease that is over at once."""
        return cls(
            lease=timedelta(0), create_timeout=timedelta(0), list_lag=timedelta(0)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A `gs://bucket/prefix/`; the prefix is empty or ends in a slash."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, uri: str) -> Self:
        match = re.fullmatch(
            r"gs://([a-z0-9][a-z0-9._-]{1,220}[a-z0-9])(?:/(.*))?", uri, re.DOTALL
        )
        if match is None:
            raise ValueError(f"{uri!r} is not of the form gs://bucket/prefix")
        prefix = (match[2] or "").strip("/")
        return cls(bucket=match[1], prefix=f"{prefix}/" if prefix else "")

    def __str__(self) -> str:
        return f"gs://{self.bucket}/{self.prefix}"

    def holds(self, bucket: str, name: str) -> bool:
        """Whether an object lies under this prefix."""
        return bucket == self.bucket and name.startswith(self.prefix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """One generation of one object in the inbox bucket."""

    bucket: str
    name: str
    generation: int
    size: int  #: bytes

    @classmethod
    def from_event(cls, type: str, data: Any) -> Self:
        """
        Reads a storage event's type and data (google.events.cloud.storage.v1
        StorageObjectData: 64-bit integers come as strings, or as numbers).

        Raises:
            NotADrop: not a storage event, or its data can't be read.
        """
        if type != FINALIZED:
            raise NotADrop(f"an event of another type than {FINALIZED!r}")
        if not isinstance(data, Mapping):
            # What isn't valid JSON reaches us as bytes.
            raise NotADrop("a storage event whose data is not a JSON object")
        return cls(
            bucket=_text(data, "bucket"),
            name=_text(data, "name"),
            generation=_whole(data, "generation", least=1),
            size=_whole({"size": 0} | dict(data), "size", least=0),
        )

    @property
    def job_id(self) -> str:
        return derived_id(f"{self.bucket}/{self.name}", str(self.generation))

    def __str__(self) -> str:
        return f"gs://{self.bucket}/{self.name}#{self.generation}"


def _text(data: Mapping[str, Any], name: str) -> str:
    """A member that names a bucket or an object: 1 to 1,024 bytes of UTF-8."""
    value = data.get(name)
    if not isinstance(value, str):
        raise NotADrop(f"a storage event whose {name} is missing, or not a string")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise NotADrop(f"a storage event whose {name} is not Unicode") from None
    if not 0 < size <= MAX_OBJECT_NAME:
        raise NotADrop(f"a storage event whose {name} has {size:,} bytes")
    return value


def _whole(data: Mapping[str, Any], name: str, least: int) -> int:
    """A member that is a signed 64-bit integer, or the decimal text of one."""
    value = data.get(name)
    if isinstance(value, str) and re.fullmatch("[0-9]{1,19}", value):
        value = int(value)
    if type(value) is not int or not least <= value < 2**63:
        raise NotADrop(
            f"a storage event whose {name} is not a 64-bit integer, at least {least}"
        )
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """
    What the batch is to be: chosen once, frozen when the job is prepared. Who chose
    each of these is in `Job.spec_from`.
    """

    kind: str  #: "generation" or "embedding"
    backend: str
    location: str
    model: str
    destination: str  #: gs:// prefix of this job's results, or a bq:// address
    display_name: str
    labels: dict[str, str] = field(default_factory=dict)
    source: str | None = None  #: what the service reads itself: a table, a dataset
    generation_config: str | None = None  #: JSON, merged into each request
    on_invalid: str = "reject"  #: or "skip": what becomes of bad lines
    max_invalid: int | None = None  #: how many lines "skip" leaves out
    fix: bool = False
    unknown: str = "reject"  #: or "allow": members that the API isn't known to have
    manifest: str = "optional"  #: or "required": the file waits for one
    max_active: int | None = None  #: batches of the queue at the service at once
    max_rows: int | None = None  #: sent of a file; one with more is rejected
    max_bytes: int | None = None
    part_rows: int | None = None  #: of a part; a file with more is split
    part_bytes: int | None = None
    cancel_after: float | None = None  #: seconds of running
    delete_after: float | None = None  #: seconds after the end
    #: Seconds in a state, by its name such as JOB_STATE_PENDING, or OTHER.
    stalled_after: dict[str, float] = field(default_factory=dict)

    @property
    def endpoint(self) -> str:
        """What has a list of its own at the service; the Developer API is one place."""
        if self.backend == Backend.VERTEX:
            return f"{self.backend} {self.location}"
        return self.backend

    @property
    def queue(self) -> str:
        """What has room of its own at the service."""
        return f"{self.endpoint} {self.model}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Staging:
    """
    Where the rows lie as they are sent, and how many there are. One folder per epoch
    that staged them.
    """

    epoch: int
    uri: str
    rows: int = 0  #: that are sent; 0: a table's, which nobody has counted
    bytes: int = 0  #: of those, as they are sent: unpacked, with what was merged in


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why something did not work, in words for a person."""

    code: str | int
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", brief(self.message, MAX_TEXT))


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """An object elsewhere that a manifest names: its rows follow those before it."""

    uri: str
    generation: int
    size: int  #: bytes
    first: int = 0  #: the row id of its first line; 0: not known yet

    @property
    def drop(self) -> Drop:
        bucket, name = split_uri(self.uri)
        return Drop(
            bucket=bucket, name=name, generation=self.generation, size=self.size
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a file that is more than one batch takes: a job of its own."""

    n: int  #: counted from 0
    first: int  #: the row ids in it: the lines of the file, counted from 1
    last: int
    staging: Staging
    outcome: Outcome | None = None  #: how it ended; None: it is still open
    stats: "Stats | None" = None

    @property
    def has_rows(self) -> bool:
        """Whether there are answers of it."""
        done = (Outcome.SUCCEEDED, Outcome.PARTIALLY_SUCCEEDED)
        return self.outcome in done or bool(self.stats and self.stats.successful)


def outcome_of_parts(parts: Collection[Part]) -> Outcome | None:
    """
    How a split job ended, given how its parts did. A part that was lost or rejected
    counts as failed:

        some are still open                   None
        all succeeded                         succeeded
        there are answers of some             partially_succeeded
        no answers, and all were cancelled    cancelled
        no answers, and all expired           expired
        no answers                            failed
    """
    outcomes = {part.outcome and part.outcome.counted for part in parts}
    if None in outcomes:
        return None
    if outcomes == {Outcome.SUCCEEDED}:
        return Outcome.SUCCEEDED
    if any(part.has_rows for part in parts):
        return Outcome.PARTIALLY_SUCCEEDED
    if outcomes in ({Outcome.CANCELLED}, {Outcome.EXPIRED}):
        return outcomes.pop()
    return Outcome.FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """The service's own count of rows, as far as it tells."""

    successful: int | None = None
    failed: int | None = None
    incomplete: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What the service last said of the batch."""

    name: str  #: full resource name
    state: str  #: as the service wrote it, whether or not anybody knows it
    terminal: bool  #: whether the service is done with it
    known: bool = True  #: whether the state is one that the API is known to have
    source: str | None = None  #: the input it names
    epoch: int | None = None  #: which staging of ours that is; None: none of ours
    create_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    update_time: datetime | None = None
    error: Problem | None = None
    completion_stats: Stats | None = None
    has_answers: bool = False  #: the service keeps them, for us to collect
    output_directory: str | None = None
    output_table: str | None = None  #: bq://project.dataset.table, or a dataset

    @property
    def has_begun(self) -> bool:
        """Whether it has read its rows, which is when they begin to cost."""
        return self.state not in (
            "JOB_STATE_UNSPECIFIED",
            "JOB_STATE_QUEUED",
            "JOB_STATE_PENDING",
        )

    @property
    def awaits_output(self) -> bool:
        """
        Whether it has succeeded, at least in part, and the service doesn't say yet
        where the answers are. Of a batch that ended in another way that is no surprise.
        """
        succeeded = self.state in (
            "JOB_STATE_SUCCEEDED",
            "JOB_STATE_PARTIALLY_SUCCEEDED",
        )
        named = self.has_answers or self.output_directory or self.output_table
        return succeeded and not named

    @property
    def since(self) -> datetime | None:
        """When it came to its state, as the service tells."""
        if self.terminal:
            return self.end_time or self.update_time
        if self.state == "JOB_STATE_RUNNING":
            return self.start_time or self.update_time
        return self.update_time

    def is_older_than(self, other: "Batch") -> bool:
        """
        Whether the service's answer was overtaken by one that we already have. An end
        never is, whatever the clocks say: nothing comes after it.
        """
        if self.terminal or self.update_time is None or other.update_time is None:
            return False
        return self.update_time < other.update_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What is wrong on our side. A healthy job has none."""

    code: str  #: a `HealthCode`
    message: str
    since: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", brief(self.message, MAX_TEXT))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something that is wrong with a job, in words for a person, and since when."""

    since: datetime
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", brief(self.message, MAX_TEXT))

    @classmethod
    def still(cls, known: "Fact | None", message: str, now: datetime) -> "Fact":
        """The fact with its latest message, and since when it holds."""
        return cls(since=known.since if known else now, message=message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates(Fact):
    """Batches that the job has besides its own: to be cancelled, never adopted."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotFound(Fact):
    """The API answers 404 to the name of the batch."""

    count: int  #: how often in a row


@dataclass(frozen=True, slots=True, kw_only=True)
class Postponed(Fact):
    """Attempts at a job's next step that failed, one after another, through no fault of
    the job: something that it needs gave no answer, or is missing."""

    at: datetime  #: the last attempt; `since` is the first one
    announced: bool = False  #: whether `stalled` was announced for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who has the job to itself, and until when. Each taking over adds an epoch."""

    until: datetime
    epoch: int
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequest:
    """What a person wants of a job; looked at before every request."""

    cancel: bool
    by: str
    at: datetime
    sent_at: datetime | None = None  #: when the service was asked to


@dataclass(frozen=True, slots=True, kw_only=True)
class Collecting:
    """The work that remains with a job's answers once its batch has ended."""

    round: int  #: counted from 0
    step: str
    due: datetime  #: when to go on
    waiting_for: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One line of a job's history."""

    at: datetime
    phase: Phase
    state: str | None = None
    reported_at: datetime | None = (
        None  #: when the service says that it came to `state`
    )
    note: str | None = None
