"""What a deployment chooses: read once, from the environment."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from batchdrop.errors import BadSetting
from batchdrop.failpoints import FAILPOINTS
from batchdrop.jobs.codes import Backend
from batchdrop.jobs.values import Location
from batchdrop.options import readers
from batchdrop.options.table import (
    ENVIRONMENT,
    PREFIX,
    REQUIRED,
    Option,
    options,
)
from batchdrop.preflight.names import nearest

#: The options that have a variable, by their fields.
_OPTIONS = {option.setting: option for option in options(ENVIRONMENT)}
#: Seconds. A job needs what is staged of it for half of `work_ttl`, after which it is
#: copied anew: a batch may queue for 72 hours and run for 24, and its results may have
#: to wait for a grant.
SHORTEST_WORK_TTL = 30 * 86400

#: Addresses from which nobody else's keys can come: the second is for tests.
_KEYS = re.compile(r"https://|http://(127\.0\.0\.1|localhost)(:\d+)?/")


def _default(name: str) -> Any:
    return _OPTIONS[name].default


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    One field a variable: `model` is BATCHDROP_MODEL. What each means, and how it is
    read, is in `table.OPTIONS`. Durations are in seconds.
    """

    project: str
    location: str
    model: str
    inbox: str
    work: Location
    output: Location  #: results go under OUTPUT/<name>/<job_id>/
    topic: str
    work_topic: str
    deployment: str = _default("deployment")
    backend: str = _default("backend")
    database: str = _default("database")
    api_url: str | None = None
    lease: float = _default("lease")
    create_timeout: float = _default("create_timeout")
    list_lag: float = _default("list_lag")
    tick: float = _default("tick")
    reconcile_every: float = _default("reconcile_every")
    missed_window: float = _default("missed_window")
    ledger_ttl: float = _default("ledger_ttl")
    costs_ttl: float = _default("costs_ttl")
    work_ttl: float = _default("work_ttl")
    cancel_after: float | None = None
    delete_after: float | None = None
    #: By a state's name such as JOB_STATE_PENDING, or "other".
    stalled_after: dict[str, float] = field(default_factory=dict)
    paused: bool = False
    max_active_jobs: int | None = None
    on_invalid: str = _default("on_invalid")
    max_invalid: int | None = None
    fix: bool = False
    unknown: str = _default("unknown")
    generation_config: str | None = None  #: JSON
    results: str = _default("results")
    failed_share: float = _default("failed_share")
    retry: int = _default("retry")
    retry_on: tuple[str, ...] = ()
    retry_share: float = _default("retry_share")
    answer_tokens: int = _default("answer_tokens")
    thinking_tokens: int = _default("thinking_tokens")
    max_rows: int | None = None
    max_bytes: int | None = None
    part_rows: int | None = None
    part_bytes: int | None = None
    max_rows_per_day: int | None = None
    max_bytes_per_day: int | None = None
    max_cost: float | None = None
    max_cost_per_day: float | None = None
    labels: dict[str, str] = field(default_factory=dict)
    routes: str | None = None
    prices: str | None = None
    models: tuple[str, ...] = ()
    sources: tuple[Location, ...] = ()
    destinations: tuple[Location, ...] = ()
    datasets: tuple[str, ...] = ()
    dashboard_access: str = _default("dashboard_access")
    dashboard_audience: str | None = None
    dashboard_keys: str = _default("dashboard_keys")
    dashboard_readers: tuple[str, ...] = ()
    dashboard_operators: tuple[str, ...] = ()
    dashboard_rows: bool = False
    api_key: str | None = field(default=None, repr=False)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """
        Reads BATCHDROP_*, and GEMINI_API_KEY.

        Raises:
            BadSetting: names all variables that are missing, or unknown; or one that
                is wrong.
        """
        check_names(env)
        values: dict[str, Any] = {}
        missing = []
        for name, option in _OPTIONS.items():
            text = env.get(option.variable, "").strip()
            if text:
                values[name] = _read(option, text)
            elif option.default is REQUIRED:
                missing.append(option)
        if missing:
            raise BadSetting(_not_set(missing))
        settings = cls(**values)
        settings._check()
        settings._check_entry_point(env)
        return settings

    @property
    def has_queue(self) -> bool:
        """Whether every job waits, and only the tick admits it."""
        limits = (
            self.max_rows_per_day,
            self.max_bytes_per_day,
            self.max_cost_per_day,
        )
        return self.paused or any(limit is not None for limit in limits)

    def _check_entry_point(self, env: Mapping[str, str]) -> None:
        """
        Args:
            env: has FUNCTION_TARGET, the entry point, and on Cloud Run K_SERVICE. See
                https://cloud.google.com/run/docs/container-contract#env-vars
        """
        # The pages make no request of the API, so they are given no key.
        has_use = env.get("FUNCTION_TARGET") != "dashboard"
        if self.backend == Backend.DEVELOPER and not self.api_key and has_use:
            raise BadSetting(
                f"GEMINI_API_KEY is not set; {PREFIX}BACKEND=developer needs one, "
                "from a secret"
            )
        if self.dashboard_access == "local" and env.get("K_SERVICE"):
            raise BadSetting(
                f"{PREFIX}DASHBOARD_ACCESS: local is for one machine, and this is "
                "Cloud Run, where it would let everybody act; write iam or iap"
            )

    def _check(self) -> None:
        if self.dashboard_access == "iap" and not self.dashboard_audience:
            raise BadSetting(
                f"{PREFIX}DASHBOARD_AUDIENCE is not set; {PREFIX}DASHBOARD_ACCESS=iap "
                "needs it, to refuse what the Identity-Aware Proxy asserts to others"
            )
        if not _KEYS.match(self.dashboard_keys):
            raise BadSetting(
                f"{PREFIX}DASHBOARD_KEYS must be an address with https://: whoever "
                "changes the keys on their way can be anybody"
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
        if self.work_ttl < SHORTEST_WORK_TTL:
            raise BadSetting(
                f"{PREFIX}WORK_TTL ({self.work_ttl:.15g} s) must be at least "
                f"{SHORTEST_WORK_TTL} s, which is 30 days: a batch reads its staged "
                "copy days after the copy was made, and its results need it later"
            )
        for name, place in (("WORK", self.work), ("OUTPUT", self.output)):
            if place.bucket == self.inbox:
                # Storage events can't be filtered by prefix: what is written there
                # would come back as an upload.
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


def _read(option: Option, text: str) -> Any:
    if option.longest and len(text) > option.longest:
        raise BadSetting(
            f"{option.variable} has {len(text):,} characters; write at most "
            f"{option.longest}"
        )
    try:
        return option.environment.of_text(text)
    except ValueError as exc:
        raise BadSetting(f"{option.variable}: {readers.quoted(exc)}") from exc


def _not_set(missing: Sequence[Option]) -> str:
    """The error of required options that have no value, all at once."""
    meanings = [option.help.replace("`", "") for option in missing]
    if len(missing) == 1:
        return f"{missing[0].variable} is not set; set it to {meanings[0]}"
    pairs = zip(missing, meanings, strict=True)
    each = "; ".join(f"{option.variable} to {meaning}" for option, meaning in pairs)
    return f"{len(missing)} settings are not set; set {each}"


def variables() -> frozenset[str]:
    """The names of all variables that begin with BATCHDROP_."""
    every = (option.variable for option in _OPTIONS.values())
    return frozenset(name for name in every if name.startswith(PREFIX))


def check_names(env: Mapping[str, str]) -> None:
    """
    Refuses variables that begin with BATCHDROP_ and are no setting: a misspelled one
    would silently leave its setting at the default.

    Raises:
        BadSetting: names each of them, with the nearest that is a setting.
    """
    known = variables()
    ours = {name for name in env if name.startswith(PREFIX)}
    if unknown := sorted(ours - known - {FAILPOINTS}):
        raise BadSetting("; ".join(_instead(name, known) for name in unknown))


def _instead(name: str, known: frozenset[str]) -> str:
    # Without the prefix that all of them have, and in their case.
    near = {each.removeprefix(PREFIX): each for each in known}
    near["API_KEY"] = "GEMINI_API_KEY"
    found = nearest(name.removeprefix(PREFIX).upper(), near)
    if found:
        return f"there is no setting {name}; write {near[found]}, or remove it"
    return (
        f"there is no setting {name}; remove it (docs/reference/settings.md lists all "
        "settings)"
    )
