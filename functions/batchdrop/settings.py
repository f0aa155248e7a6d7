"""What a deployment can choose: read once, from the environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from batchdrop.errors import BadSetting

PREFIX = "BATCHDROP_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A `gs://bucket/prefix/`; the prefix is empty or ends in a slash."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, uri: str) -> Self:
        match = re.fullmatch(
            r"gs://([a-z0-9][a-z0-9._-]{1,220}[a-z0-9])(?:/(.*))?", uri
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
    settle: float = 120.0
    #: A tick stops taking up new work after this long. Below poll's own time-out.
    tick: float = 240.0

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """
        Reads BATCHDROP_*.

        Raises:
            BadSetting: names the setting that is missing or wrong.
        """

        def text(name: str, default: str | None = None) -> str:
            value = env.get(PREFIX + name, "").strip() or default
            if value is None:
                raise BadSetting(f"{PREFIX}{name} is not set; {MEANING[name]}")
            return value

        def location(name: str) -> Location:
            try:
                return Location.parse(text(name))
            except ValueError as exc:
                raise BadSetting(f"{PREFIX}{name}: {exc}; {MEANING[name]}") from exc

        def seconds(name: str, default: float) -> float:
            value = text(name, str(default))
            try:
                duration = float(value)
            except ValueError:
                duration = -1.0
            if not 0 < duration < 1e6:
                raise BadSetting(
                    f"{PREFIX}{name} is {value!r}; it must be a number of seconds, "
                    f"above 0 (default {default:g})"
                )
            return duration

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
            api_url=env.get(PREFIX + "API_URL") or None,
            lease=seconds("LEASE", 600),
            create_timeout=seconds("CREATE_TIMEOUT", 60),
            settle=seconds("SETTLE", 120),
            tick=seconds("TICK", 240),
        )
        settings._check()
        return settings

    def _check(self) -> None:
        if self.backend != "vertex":
            raise BadSetting(
                f"{PREFIX}BACKEND is {self.backend!r}; it must be 'vertex'"
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
        for name, place in (("WORK", self.work), ("OUTPUT", self.output)):
            if place.bucket == self.inbox:
                # Storage events can't be filtered by prefix: what we write there
                # would come back as uploads.
                raise BadSetting(
                    f"{PREFIX}{name} is {place}, in the inbox bucket; use another one"
                )


MEANING = {
    "PROJECT": "set it to the Google Cloud project's id",
    "LOCATION": "set it to a region, or 'global'",
    "MODEL": "set it to the model of the jobs, such as gemini-2.5-flash",
    "INBOX": "set it to the name of the bucket that files are dropped into",
    "WORK": "set it to a gs:// prefix for staged files",
    "OUTPUT": "set it to a gs:// prefix for results",
    "TOPIC": "set it to the Pub/Sub topic of the announcements",
}
