"""The filters of the list of jobs: from the address, to the address, and as chips."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self
from urllib.parse import urlencode

from werkzeug.datastructures import MultiDict

from batchdrop.jobs.values import is_job_id
from batchdrop.views.listing import Filters
from batchdrop.views.words import moment

#: The states that can be asked for, and what they are called.
STATES = {"open": "Open", "ended": "Ended", "unhealthy": "Unhealthy"}
#: Characters of a filter, and wildcards of a name. Whoever uploads chooses the names:
#: with more of them a page could take many seconds.
MAX_LENGTH, MAX_WILDCARDS = 200, 10
MAX_LABELS = 5


class BadFilter(ValueError):
    """A filter can't be read; the text says what to write."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """A filter that is in force, and the address without it."""

    text: str
    without: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What the address asks for, as it was written; empty for anything."""

    state: str = ""
    name: str = ""
    labels: tuple[str, ...] = ()  #: KEY=TEXT each
    route: str = ""
    since: str = ""
    after: str = ""  #: the last job of the page before

    @classmethod
    def of(cls, members: MultiDict[str, str]) -> Self:
        """What the members of an address ask for, whether it can be read or not."""

        def first(name: str) -> str:
            return members.get(name, "").strip()

        state = first("state")
        labels = (label.strip() for label in members.getlist("label"))
        return cls(
            state="" if state == "all" else state,
            name=first("name"),
            labels=tuple(dict.fromkeys(label for label in labels if label)),
            route=first("route"),
            since=first("since"),
            after=first("after"),
        )

    @property
    def filters_nothing(self) -> bool:
        return replace(self, after="") == Asking()

    @property
    def address(self) -> str:
        """The page that answers this."""
        members = [*self._members()]
        return f"/?{urlencode(members)}" if members else "/"

    def _members(self) -> Iterator[tuple[str, str]]:
        for name in ("state", "name", "route", "since", "after"):
            if text := getattr(self, name):
                yield name, text
        for label in self.labels:
            yield "label", label

    def behind(self, job_id: str) -> str:
        """The address of the next page, behind a job."""
        return replace(self, after=job_id).address

    @property
    def first_page(self) -> str:
        """The address of the newest jobs."""
        return replace(self, after="").address

    @property
    def chips(self) -> list[Chip]:
        """The filters that are in force."""
        first = replace(self, after="")
        found = [
            (STATES.get(self.state, self.state), self.state, replace(first, state="")),
            (f"name {self.name}", self.name, replace(first, name="")),
            (f"route {self.route}", self.route, replace(first, route="")),
            (f"since {self.since}", self.since, replace(first, since="")),
        ]
        for label in self.labels:
            others = tuple(other for other in self.labels if other != label)
            found.append((f"label {label}", label, replace(first, labels=others)))
        return [
            Chip(text=text, without=without.address)
            for text, given, without in found
            if given
        ]

    def filters(self, now: datetime) -> Filters:
        """
        The filters themselves.

        Raises:
            BadFilter: one of them can't be read.
        """
        self._check()
        since = None
        if self.since:
            try:
                since = moment(self.since, now)
            except ValueError as exc:
                raise BadFilter("since", str(exc)) from None
        labels = dict(label.split("=", 1) for label in self.labels)
        try:
            return Filters(
                state=self.state,
                since=since,
                name=self.name,
                labels=labels,
                route=self.route,
            )
        except ValueError as exc:
            raise BadFilter("name", str(exc)) from None

    def _check(self) -> None:
        for name, text in self._members():
            if len(text) > MAX_LENGTH:
                raise BadFilter(
                    name, f"{len(text):,} characters; write at most {MAX_LENGTH}"
                )
        if sum(map(self.name.count, "*?[")) > MAX_WILDCARDS:
            raise BadFilter("name", f"write at most {MAX_WILDCARDS} wildcards")
        if self.state and self.state not in STATES:
            raise BadFilter("state", f"write all, {', '.join(STATES)}")
        for label in self.labels:
            if not label.partition("=")[0] or "=" not in label:
                raise BadFilter("label", f"{label!r}: write KEY=TEXT")
        if len({label.partition("=")[0] for label in self.labels}) < len(self.labels):
            raise BadFilter("label", "no job has one label twice: remove one of them")
        if len(self.labels) > MAX_LABELS:
            raise BadFilter("label", f"write at most {MAX_LABELS} labels")
        if self.after and not is_job_id(self.after):
            raise BadFilter("after", "write the id of a job")
