"""What a deployment can choose: read once, from the environment."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Self, TypeVar

from batchdrop.errors import BadSetting
from batchdrop.failpoints import FAILPOINTS
from batchdrop.jobs.values import Location
from batchdrop.options import readers

PREFIX = "BATCHDROP_"
#: Bytes of the prefix of WORK and OUTPUT. A name has 1,024 in all.
MAX_PREFIX = 512
#: Characters of what becomes a part of other names, of objects, documents and URLs. No
#: such name at Google Cloud is longer.
LONGEST = {
    "project": 100,
    "location": 63,
    "model": 512,
    "inbox": 222,
    "topic": 400,
    "database": 63,
}

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One field a setting: `model` is BATCHDROP_MODEL. Durations are in seconds."""

    project: str
    location: str
    model: str
    inbox: str  #: bucket that files are dropped into
    work: Location  #: staged files
    output: Location  #: results, under OUTPUT/<name>/<job_id>/
    topic: str  #: announcements: a topic's id, or its full name
    deployment: str = "default"  #: a label's value: which worker a batch belongs to
    backend: str = "vertex"
    database: str = "(default)"
    api_url: str | None = None  #: another base address of the batch API
    #: How long a worker has a job to itself after each thing it writes. At least as
    #: long as a function may run, so that a live worker keeps what it claimed.
    lease: float = 600.0
    create_timeout: float = 60.0  #: longest time one create request may take
    #: How far the service's list may lag behind what was created.
    list_lag: float = 120.0
    #: A tick stops taking up new work after this long. Below poll's own time-out.
    tick: float = 240.0
    #: How often a tick also compares the inbox and the service with the ledger.
    reconcile_every: float = 3600.0
    #: How old an object in the inbox may be whose event never came.
    missed_window: float = 3 * 86400.0
    #: How long the ledger keeps the document of a job that is over.
    ledger_ttl: float = 90 * 86400.0
    cancel_after: float | None = None  #: of running
    delete_after: float | None = None  #: of a job's end, at the service
    #: In one state, by its name such as JOB_STATE_PENDING, or "other".
    stalled_after: dict[str, float] = field(default_factory=dict)
    paused: bool = False  #: nothing is submitted; all waits
    #: Batches of the model that the service may work on at once, whoever made them.
    max_active_jobs: int | None = None
    #: What to do with a file with bad lines: "reject" it, or "skip" them.
    on_invalid: str = "reject"
    max_invalid: int | None = None  #: how many lines "skip" leaves out of a file
    fix: bool = False  #: mend nulls, empty objects and spellings in place of refusing
    #: What to do with a row that has a member which the API isn't known to have:
    #: "reject" it, or "allow" it.
    unknown: str = "reject"
    generation_config: str | None = None  #: JSON, merged into each request
    max_rows: int | None = None  #: sent of a dropped file
    max_bytes: int | None = None
    part_rows: int | None = None  #: of a part of a file; None: what the API takes
    part_bytes: int | None = None
    max_rows_per_day: int | None = None  #: of all jobs submitted on a day (UTC)
    max_bytes_per_day: int | None = None
    labels: dict[str, str] = field(default_factory=dict)  #: of each job
    routes: str | None = None  #: path or gs:// address of a TOML file
    models: tuple[str, ...] = ()  #: that a file may choose, besides `model`
    #: Where rows and media may come from, besides the inbox.
    sources: tuple[Location, ...] = ()
    destinations: tuple[Location, ...] = ()  #: where results may go, besides `output`
    datasets: tuple[str, ...] = ()  #: that may be read from or written to
    api_key: str | None = field(default=None, repr=False)  #: GEMINI_API_KEY

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """
        Reads BATCHDROP_*.

        Raises:
            BadSetting: names the setting that is missing, wrong or unknown.
        """
        check_names(env)

        def given(name: str) -> str:
            return env.get(PREFIX + name, "").strip()

        def text(name: str, default: str | None = None) -> str:
            value = given(name) or default
            if value is None:
                raise BadSetting(f"{PREFIX}{name} is not set; {MEANING[name]}")
            return value

        def location(name: str) -> Location:
            try:
                found = Location.parse(text(name))
            except ValueError as exc:
                raise BadSetting(f"{PREFIX}{name}: {exc}; {MEANING[name]}") from exc
            if (size := len(found.prefix.encode())) > MAX_PREFIX:
                raise BadSetting(
                    f"{PREFIX}{name}: its prefix has {size:,} bytes; write one of at "
                    f"most {MAX_PREFIX}, to leave room for names under it"
                )
            return found

        def seconds(name: str, default: float) -> float:
            value = text(name, str(default))
            try:
                duration = float(value)
            except ValueError:
                duration = -1.0
            if not 0 < duration < 1e9:
                raise BadSetting(
                    f"{PREFIX}{name} is {value!r}; it must be a number of seconds, "
                    f"above 0 (default {default:.15g})"
                )
            return duration

        def optional(name: str) -> float | None:
            try:
                return readers.seconds_or_never(given(name) or 0)
            except ValueError as exc:
                raise BadSetting(f"{PREFIX}{name}: {exc}") from exc

        def whole(name: str) -> int | None:
            try:
                return readers.limit_in_words(text(name, "0"))
            except ValueError as exc:
                raise BadSetting(f"{PREFIX}{name}: {exc}") from exc

        def switch(name: str) -> bool:
            value = text(name, "false").lower()
            if value not in ("true", "false", "1", "0"):
                raise BadSetting(f"{PREFIX}{name} is {value!r}; it is true or false")
            return value in ("true", "1")

        def several(name: str, read: Callable[[str], _T]) -> tuple[_T, ...]:
            items = (each.strip() for each in given(name).split(","))
            try:
                return tuple(read(each) for each in items if each)
            except ValueError as exc:
                raise BadSetting(f"{PREFIX}{name}: {exc}; {MEANING[name]}") from exc

        def read(name: str, reading: Callable[[str], dict[str, _T]]) -> dict[str, _T]:
            value = given(name)
            try:
                return reading(value) if value else {}
            except ValueError as exc:
                raise BadSetting(f"{PREFIX}{name}: {exc}; {MEANING[name]}") from exc

        def config(name: str) -> str | None:
            value = given(name)
            try:
                return readers.a_config(value) if value else None
            except ValueError as exc:
                raise BadSetting(f"{PREFIX}{name}: {exc}") from exc

        def prefix(uri: str) -> Location:
            return Location.parse(readers.gs_prefix(uri))

        settings = cls(
            project=text("PROJECT"),
            location=text("LOCATION"),
            model=text("MODEL"),
            inbox=text("INBOX"),
            work=location("WORK"),
            output=location("OUTPUT"),
            topic=text("TOPIC"),
            deployment=text("DEPLOYMENT", "default"),
            backend=text("BACKEND", "vertex"),
            database=text("DATABASE", "(default)"),
            api_url=given("API_URL") or None,
            lease=seconds("LEASE", 600),
            create_timeout=seconds("CREATE_TIMEOUT", 60),
            list_lag=seconds("LIST_LAG", 120),
            tick=seconds("TICK", 240),
            reconcile_every=seconds("RECONCILE_EVERY", 3600),
            missed_window=seconds("MISSED_WINDOW", 3 * 86400),
            ledger_ttl=seconds("LEDGER_TTL", 90 * 86400),
            cancel_after=optional("CANCEL_AFTER"),
            delete_after=optional("DELETE_AFTER"),
            stalled_after=read("STALLED_AFTER", _stalled_after),
            paused=switch("PAUSED"),
            max_active_jobs=whole("MAX_ACTIVE_JOBS"),
            on_invalid=text("ON_INVALID", "reject"),
            max_invalid=whole("MAX_INVALID"),
            fix=switch("FIX"),
            unknown=text("UNKNOWN", "reject"),
            generation_config=config("GENERATION_CONFIG"),
            max_rows=whole("MAX_ROWS"),
            max_bytes=whole("MAX_BYTES"),
            part_rows=whole("PART_ROWS"),
            part_bytes=whole("PART_BYTES"),
            max_rows_per_day=whole("MAX_ROWS_PER_DAY"),
            max_bytes_per_day=whole("MAX_BYTES_PER_DAY"),
            labels=read("LABELS", readers.labels),
            routes=given("ROUTES") or None,
            models=several("MODELS", _model),
            sources=several("SOURCES", prefix),
            destinations=several("DESTINATIONS", prefix),
            datasets=several("DATASETS", readers.dataset),
            api_key=env.get("GEMINI_API_KEY") or None,
        )
        settings._check()
        return settings

    @property
    def has_queue(self) -> bool:
        """Whether all jobs wait in a queue, from which only the tick admits them."""
        limits = (self.max_rows_per_day, self.max_bytes_per_day)
        return self.paused or any(limit is not None for limit in limits)

    def _check(self) -> None:
        for name, most in LONGEST.items():
            if (size := len(getattr(self, name))) > most:
                raise BadSetting(
                    f"{PREFIX}{name.upper()} has {size:,} characters; write at most "
                    f"{most}"
                )
        if self.backend not in ("vertex", "developer"):
            raise BadSetting(
                f"{PREFIX}BACKEND is {self.backend!r}; it must be 'vertex' or "
                "'developer'"
            )
        if self.backend == "developer" and not self.api_key:
            raise BadSetting(
                f"GEMINI_API_KEY is not set; {PREFIX}BACKEND=developer needs one, "
                "from a secret"
            )
        if self.on_invalid not in ("reject", "skip"):
            raise BadSetting(
                f"{PREFIX}ON_INVALID is {self.on_invalid!r}; it must be 'reject' or "
                "'skip'"
            )
        if self.unknown not in ("reject", "allow"):
            raise BadSetting(
                f"{PREFIX}UNKNOWN is {self.unknown!r}; it must be 'reject' or 'allow'"
            )
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", self.deployment):
            raise BadSetting(
                f"{PREFIX}DEPLOYMENT is {self.deployment!r}; it becomes a label, so it "
                "must be lowercase letters, digits, - and _, at most 63, a letter first"
            )
        if self.create_timeout >= self.lease:
            raise BadSetting(
                f"{PREFIX}CREATE_TIMEOUT ({self.create_timeout:g} s) must be below "
                f"{PREFIX}LEASE ({self.lease:g} s): a request may not outlive the lease"
            )
        if self.missed_window >= self.ledger_ttl:
            raise BadSetting(
                f"{PREFIX}MISSED_WINDOW ({self.missed_window:.15g} s) must be below "
                f"{PREFIX}LEDGER_TTL ({self.ledger_ttl:.15g} s): what the ledger has "
                "forgotten would be taken for new, and paid again"
            )
        if self.delete_after is not None and self.delete_after >= self.ledger_ttl:
            raise BadSetting(
                f"{PREFIX}DELETE_AFTER ({self.delete_after:.15g} s) must be below "
                f"{PREFIX}LEDGER_TTL ({self.ledger_ttl:.15g} s): what the ledger has "
                "forgotten would never be deleted"
            )
        for name, place in (("WORK", self.work), ("OUTPUT", self.output)):
            if place.bucket == self.inbox:
                # Storage events can't be filtered by prefix: what we write there
                # would come back as uploads.
                raise BadSetting(
                    f"{PREFIX}{name} is {place}, in the inbox bucket; use another one"
                )
        for place in self.destinations:
            for name, bucket in (("INBOX", self.inbox), ("WORK", self.work.bucket)):
                if place.bucket == bucket:
                    raise BadSetting(
                        f"{PREFIX}DESTINATIONS: {place} lies in the bucket of "
                        f"{PREFIX}{name}; use another one"
                    )


def variables() -> frozenset[str]:
    """The names of all settings that begin with BATCHDROP_."""
    own = {f"{PREFIX}{each.name.upper()}" for each in fields(Settings)}
    return frozenset(own - {f"{PREFIX}API_KEY"})  # that is GEMINI_API_KEY


def check_names(env: Mapping[str, str]) -> None:
    """
    Whether all that begins with BATCHDROP_ is a setting: a misspelled one would be
    taken for one that nobody has set.

    Raises:
        BadSetting: names those that aren't, each with the nearest that is.
    """
    known = variables()
    ours = {name for name in env if name.startswith(PREFIX)}
    if unknown := sorted(ours - known - {FAILPOINTS}):
        raise BadSetting("; ".join(_instead(name, known) for name in unknown))


def _instead(name: str, known: frozenset[str]) -> str:
    from difflib import get_close_matches

    # Compared without what they all begin with, in their case.
    near = {each.removeprefix(PREFIX): each for each in known}
    near["API_KEY"] = "GEMINI_API_KEY"
    found = get_close_matches(name.removeprefix(PREFIX).upper(), near, n=1)
    if found:
        return f"there is no setting {name}; write {near[found[0]]}, or remove it"
    return f"there is no setting {name}; remove it (the README lists those there are)"


def _model(text: str) -> str:
    # A route may have another backend, so that either's names will do.
    try:
        readers.model(text, "vertex")
    except ValueError:
        readers.model(text, "developer")
    return text


def _stalled_after(text: str) -> dict[str, float]:
    if "=" not in text:
        return readers.stalled_after(text)
    given: dict[str, str] = {}
    for pair in text.split(","):
        state, _, value = (each.strip() for each in pair.partition("="))
        if state in given:
            raise ValueError(f"{state} is there twice")
        given[state] = value
    return readers.stalled_after(given)


MEANING = {
    "PROJECT": "set it to the Google Cloud project's id",
    "LOCATION": "set it to a region, or 'global'",
    "MODEL": "set it to the model of the jobs, such as gemini-3.8-flash",
    "INBOX": "set it to the name of the bucket that files are dropped into",
    "WORK": "set it to a gs:// prefix for staged files",
    "OUTPUT": "set it to a gs:// prefix for results",
    "TOPIC": "set it to the Pub/Sub topic of the announcements",
    "STALLED_AFTER": "set it to a number of seconds for every state, or to some by "
    "state, as PENDING=259200,RUNNING=86400",
    "LABELS": "set it to the labels of each job, as team=search,env=prod",
    "MODELS": "set it to the models that a file may choose, with commas between",
    "SOURCES": "set it to gs:// prefixes that rows and media may come from, with "
    "commas between; the inbox is one anyway",
    "DESTINATIONS": "set it to gs:// prefixes that results may go to, with commas "
    "between; BATCHDROP_OUTPUT is one anyway",
    "DATASETS": "set it to datasets that jobs may read or write, with commas between: "
    "project.dataset, or projects/P/locations/L/datasets/D",
}
