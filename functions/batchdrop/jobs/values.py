"""The values that a job's record consists of; they have no moves."""

import base64
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

from batchdrop.errors import NotADrop
from batchdrop.jobs.codes import Backend, Outcome, Phase, SkipCode
from batchdrop.rows import Tokens, counted
from batchdrop.stored import split_uri

#: A kind of batch: it embeds its rows. The other kind is generation.
EMBEDDING = "embedding"

#: Stands for every state that isn't named. Firestore takes no empty key.
OTHER = "other"
#: The API's states of a batch that has not read its rows.
NOT_BEGUN = ("JOB_STATE_UNSPECIFIED", "JOB_STATE_QUEUED", "JOB_STATE_PENDING")
#: Bytes of an object's name, in UTF-8
#: (https://cloud.google.com/storage/docs/objects#naming).
MAX_OBJECT_NAME = 1024
#: Characters of a display name.
MAX_NAME = 128
#: Labels with this prefix are ours.
OWN_LABELS = "batchdrop_"

FINALIZED = "google.cloud.storage.object.v1.finalized"


def derived_id(*parts: str) -> str:
    """26 characters of lowercase base32 of a SHA-256: the same for the same parts."""
    digest = hashlib.sha256("#".join(parts).encode()).digest()
    return base64.b32encode(digest).decode().lower()[:26]


def is_job_id(text: str) -> bool:
    """Whether a text could be a job's id: labels may have any text."""
    return re.fullmatch(r"[a-z2-7]{26}", text) is not None


#: Most characters of a text in a job's document, and of each note in its history. Texts
#: of the API and of libraries may be of any length.
MAX_TEXT, MAX_NOTE = 2000, 500


def brief(text: str, most: int) -> str:
    """The text, cut to at most `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long things may take. A lease is longer than any call of its function."""

    lease: timedelta
    create_timeout: timedelta
    list_lag: timedelta

    @classmethod
    def none(cls) -> Self:
        """No time at all: the lease ends at once."""
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
            # Data that isn't valid JSON arrives as bytes.
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


def endpoint_name(backend: str, location: str) -> str:
    """The name of what has a job list of its own: the Developer API has one for all."""
    return f"{backend} {location}" if backend == Backend.VERTEX else backend


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """
    What the batch is to be: chosen once, and fixed when the job is prepared. Where
    each option was chosen is in `Job.spec_from`.
    """

    kind: str  #: "generation" or "embedding"
    backend: str
    location: str
    model: str
    destination: str  #: gs:// prefix of this job's results, or a bq:// address
    display_name: str
    labels: dict[str, str] = field(default_factory=dict)
    source: str | None = None  #: a table or dataset that the API reads itself
    generation_config: str | None = None  #: JSON, merged into each request
    on_invalid: str = "reject"  #: or "skip": how to treat bad lines
    max_invalid: int | None = None  #: most lines that "skip" leaves out
    fix: bool = False
    unknown: str = "reject"  #: or "allow": members that we don't know
    manifest: str = "optional"  #: or "required": the file waits for one
    max_active: int | None = None  #: most batches of the queue at the API at once
    max_rows: int | None = None  #: of a file; one with more is rejected
    max_bytes: int | None = None
    part_rows: int | None = None  #: of a part; a file with more is split
    part_bytes: int | None = None
    max_cost: float | None = None  #: of a file, as estimated, in the list's currency
    max_cost_per_day: float | None = None  #: of the jobs that `ceiling` says
    ceiling: str = ""  #: the route that it is of; "": all jobs of the deployment
    route: str = ""  #: that matched the object; "": none did
    cancel_after: float | None = None  #: seconds of running
    delete_after: float | None = None  #: seconds after the end
    #: Seconds in a state, by its name such as JOB_STATE_PENDING, or OTHER.
    stalled_after: dict[str, float] = field(default_factory=dict)
    results: str = "on"  #: or "full": with whole answers; or "off": none are made
    failed_share: float = 0.05  #: of the rows; when more fail, the health says so
    retry: int = 0  #: most rounds in which rows go again by themselves
    #: Outcomes of rows that go again, besides those that failed for a passing reason.
    retry_on: tuple[str, ...] = ()
    retry_share: float = 0.2  #: of the rows; when more would go again, none does
    answer_tokens: int = 250  #: assumed of an answer, for the estimate
    thinking_tokens: int = 0  #: assumed of the thoughts before it

    @property
    def endpoint(self) -> str:
        """What has a job list of its own; the Developer API has one for all."""
        return endpoint_name(self.backend, self.location)

    @property
    def queue(self) -> str:
        """What shares capacity at the API."""
        return f"{self.endpoint} {self.model}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Staging:
    """
    Where the rows are staged for the API, and how many there are. Each epoch that
    stages them has a folder of its own.
    """

    epoch: int
    uri: str
    rows: int = 0  #: to be sent; 0 for a table, which nobody has counted
    bytes: int = 0  #: of these rows as sent: uncompressed, with merged options
    first: int = 1  #: the line of the first row, or of the first refused line
    refused: int = 0  #: lines left out; those of a split file belong to one part each
    json: str = "none"  #: which rows asked for JSON: "all", "none" or "some"
    #: The object with what became of each line: see `batchdrop.results.lines`. None if
    #: the rows are `rows` lines in a row from `first` on, and `json` isn't "some".
    lines: str | None = None
    #: The object with the rows' own keys and columns; None if no row has any.
    sidecar: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why something failed, for a person to read."""

    code: str | int
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", brief(self.message, MAX_TEXT))


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """An object that a manifest names; its rows follow those of the one before."""

    uri: str
    generation: int
    size: int  #: bytes
    first: int = 0  #: the row id of its first line; 0 if not known yet

    @property
    def drop(self) -> Drop:
        bucket, name = split_uri(self.uri)
        return Drop(
            bucket=bucket, name=name, generation=self.generation, size=self.size
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a file that needs more than one batch; the part has its own job."""

    n: int  #: counted from 0
    first: int  #: the first row id: the line of the file, counted from 1
    last: int
    staging: Staging
    estimate: "Estimate | None" = None  #: of its tokens and cost
    outcome: Outcome | None = None  #: how it ended; None while it is open
    stats: "Stats | None" = None

    @property
    def has_rows(self) -> bool:
        """Whether the part has answers."""
        done = (Outcome.SUCCEEDED, Outcome.PARTIALLY_SUCCEEDED)
        return self.outcome in done or bool(self.stats and self.stats.successful)


def outcome_of_parts(parts: Collection[Part]) -> Outcome | None:
    """
    How a split job ended, given how its parts ended. A part that was lost or rejected
    counts as failed:

        some are still open                   None
        all succeeded                         succeeded
        some have answers                     partially_succeeded
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
    """The API's own count of rows; None where it gives none."""

    successful: int | None = None
    failed: int | None = None
    incomplete: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens that the answers count, of all publishers in the same words."""

    prompt: int = 0  #: includes cached tokens and those of tools' results
    cached: int = 0  #: of the prompt
    output: int = 0  #: without thoughts
    thoughts: int = 0
    total: int = 0

    def __str__(self) -> str:
        """Such as `1,200 tokens: 800 prompt (100 cached), 300 output, 100 thoughts`."""
        cached = f" ({self.cached:,} cached)" if self.cached else ""
        thoughts = f", {self.thoughts:,} thoughts" if self.thoughts else ""
        return (
            f"{counted(self.total, 'token')}: {self.prompt:,} prompt{cached}, "
            f"{self.output:,} output{thoughts}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What tokens cost, by a price list."""

    micros: int  #: millionths of the currency
    currency: str  #: such as USD
    prices_as_of: str  #: the list's day

    def __str__(self) -> str:
        """Such as `8.18 USD by the prices of 2026-11-28`."""
        amount = amount_in_words(self.micros, self.currency)
        return f"{amount} by the prices of {self.prices_as_of}"

    @property
    def is_small(self) -> bool:
        """See `is_small_amount`."""
        return is_small_amount(self.micros)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The tokens and the cost of a job, as expected when its rows were staged."""

    tokens: Tokens
    cost: Cost | None = None  #: None if it isn't known
    no_cost: str | None = None  #: why it isn't known

    @classmethod
    def none(cls, why: str) -> Self:
        """Of what can't be counted."""
        return cls(tokens=Tokens(), no_cost=why)

    @classmethod
    def total(cls, estimates: Iterable[Self]) -> Self:
        """The estimate of a split job: the sum over its parts."""
        every = list(estimates)
        tokens = sum((one.tokens for one in every), Tokens())
        costs = [one.cost for one in every if one.cost]
        if len(costs) < len(every):
            why = next(one.no_cost for one in every if not one.cost)
            return cls(tokens=tokens, no_cost=why)
        if len({cost.currency for cost in costs}) > 1:
            return cls(tokens=tokens, no_cost="the price list changed its currency")
        return cls(
            tokens=tokens,
            cost=Cost(
                micros=sum(cost.micros for cost in costs),
                currency=costs[0].currency,
                prices_as_of=max(cost.prices_as_of for cost in costs),
            )
            if costs
            else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """What a job counts for on a day with a ceiling on cost."""

    day: str  #: of its latest intent, such as 2026-03-01, in UTC
    micros: int  #: its estimate; once that is settled, what it has cost
    route: str = ""  #: with a ceiling of its own, which the job counts for too
    settled: bool = False


def is_small_amount(micros: int) -> bool:
    """Whether it is less than a hundredth of a currency, but not nothing."""
    return 0 < micros < 10_000


def amount_in_words(micros: int, currency: str) -> str:
    """Such as `8.18 USD`; what is less than a hundredth is `under 0.01 USD`."""
    # A few rows cost something: never write 0.00.
    small = is_small_amount(micros)
    return f"{'under 0.01' if small else f'{micros / 1_000_000:,.2f}'} {currency}"


def micros_of(amount: float) -> int:
    """An amount of money in millionths."""
    return round(amount * 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A kind of error that rows have in common."""

    code: str
    message: str  #: without what differs between rows; never a row's text
    count: int
    example: str  #: the id of one of the rows
    #: The ids of rows that have failed so in every round, at most ten; empty if there
    #: was one round.
    always: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """
    One round of requests: round 0 is the job's own batch; in each later one, rows go
    again as a job of their own.
    """

    n: int
    job: str  #: the id of the job that sent its rows; empty for a split job
    rows: int = 0  #: that it sends; 0 while that isn't known
    by: str = ""  #: who asked for it; empty: it follows from the options
    only: tuple[str, ...] = ()  #: the outcomes that this person asked for
    outcome: Outcome | None = None  #: how its job ended; None while it is under way
    healed: int = 0  #: rows whose outcome it has made better
    usage: "Usage | None" = None
    cost: "Cost | None" = None
    no_cost: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Why rows that failed for a passing reason did not go (once more)."""

    code: SkipCode
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", brief(self.message, MAX_TEXT))


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """The object with a result for each line of the file, in the file's order."""

    uri: str
    generation: int
    crc32c: str  #: base64, as Cloud Storage writes it
    bytes: int
    index: str | None = None  #: the object with the byte offset of each 1,000th line
    strangers: str | None = None  #: the object with answers that belong to no row
    round: int = 0  #: the last round of requests that it has answers of

    @property
    def drop(self) -> Drop:
        """The version of the object."""
        bucket, name = split_uri(self.uri)
        return Drop(
            bucket=bucket, name=name, generation=self.generation, size=self.bytes
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The batch as the API last described it."""

    name: str  #: full resource name
    state: str  #: as the API wrote it, even if we don't know it
    terminal: bool  #: whether this state is final
    known: bool = True  #: whether we know this state of the API
    source: str | None = None  #: the input that it names
    epoch: int | None = None  #: whose staging that is; None if it isn't ours
    create_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    update_time: datetime | None = None
    error: Problem | None = None
    completion_stats: Stats | None = None
    has_answers: bool = False  #: the API holds them for us to collect
    responses_file: str | None = None  #: the Developer API's file that has them
    output_directory: str | None = None
    output_table: str | None = None  #: bq://project.dataset.table, or a dataset

    @property
    def has_begun(self) -> bool:
        """Whether the batch has read its rows, and so begun to cost."""
        return self.state not in NOT_BEGUN

    @property
    def awaits_output(self) -> bool:
        """
        Whether the batch has succeeded, at least in part, but the API doesn't name its
        answers yet. A batch that ended in another way may have none.
        """
        succeeded = self.state in (
            "JOB_STATE_SUCCEEDED",
            "JOB_STATE_PARTIALLY_SUCCEEDED",
        )
        named = self.has_answers or self.output_directory or self.output_table
        return succeeded and not named

    @property
    def since(self) -> datetime | None:
        """When the batch came to its state, by the API's clock."""
        if self.terminal:
            return self.end_time or self.update_time
        if self.state == "JOB_STATE_RUNNING":
            return self.start_time or self.update_time
        return self.update_time

    def is_older_than(self, other: "Batch") -> bool:
        """
        Whether this answer of the API is older than one that we already have. A final
        state never is, whatever its time: no other state follows it.
        """
        if self.terminal or self.update_time is None or other.update_time is None:
            return False
        return self.update_time < other.update_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What is wrong on our side, as the document shows it."""

    code: str  #: a `HealthCode`
    message: str
    since: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", brief(self.message, MAX_TEXT))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something that is wrong with a job, for a person to read, and since when."""

    since: datetime
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", brief(self.message, MAX_TEXT))

    @classmethod
    def still(cls, known: "Fact | None", message: str, now: datetime) -> "Fact":
        """The fact with its latest message, since it first held."""
        return cls(since=known.since if known else now, message=message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates(Fact):
    """Batches besides the job's own: they are cancelled, and never adopted."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotFound(Fact):
    """The API answers 404 for the batch."""

    count: int  #: how often in a row


@dataclass(frozen=True, slots=True, kw_only=True)
class Postponed(Fact):
    """The job's next step keeps failing through no fault of the job: something that it
    needs gives no answer, or is missing."""

    at: datetime  #: the last attempt; `since` is the first one
    announced: bool = False  #: whether that was announced


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who may write to the job, and until when. Each takeover adds an epoch."""

    until: datetime
    epoch: int
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequest:
    """A person or a policy wants the job cancelled; read before each request."""

    cancel: bool
    by: str
    at: datetime
    sent_at: datetime | None = None  #: when the API was asked to cancel


@dataclass(frozen=True, slots=True, kw_only=True)
class Collecting:
    """The work that remains with a job's answers once its batch has ended."""

    #: Counted from 0: of the requests whose answers it is about.
    round: int
    step: str  #: a `Step`
    n: int = 0  #: of steps that repeat: the slice or range that is next, from 0
    #: When the next step may run. None: the job is parked, or waits for its parts, or
    #: for the job that sends its rows again.
    due: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One line of a job's history."""

    at: datetime
    phase: Phase
    state: str | None = None
    reported_at: datetime | None = None  #: when `state` began, by the API's clock
    note: str | None = None
