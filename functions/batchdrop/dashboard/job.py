"""`/jobs/{id}`: one job."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import flask
import msgspec

from batchdrop.dashboard import charts
from batchdrop.dashboard.asked import Asked, asked
from batchdrop.dashboard.cells import Cell, parts_of
from batchdrop.dashboard.timeline import Kind, Stretch, time_line
from batchdrop.jobs.codes import WaitCode
from batchdrop.jobs.values import OWN_LABELS, Spec
from batchdrop.rows import RowOutcome
from batchdrop.views import job as views
from batchdrop.views.cures import cure, cure_of_error
from batchdrop.views.words import awaited, share_of, state_of

if TYPE_CHECKING:
    from batchdrop.announcements.message import Announcement
    from batchdrop.jobs.job import Job
    from batchdrop.jobs.values import Health, Moment
    from batchdrop.jobs.waiting import WaitingFor

pages = flask.Blueprint("job", __name__)

#: Seconds between two refreshes. That of a split job reads more documents.
REFRESH, REFRESH_SPLIT = 5, 15
#: A page reads this many announcements.
MAX_ANNOUNCEMENTS = 20
#: Characters of an option's value; the raw document has all.
MAX_VALUE = 400

#: Rows that the API has not answered yet.
NOT_YET = "not answered"
#: Where an option comes from that nobody has chosen.
_NOBODY = ("default", "no route", "the object")
#: Options that follow from others where they are empty.
_FOLLOWING = ("ceiling",)
#: What a stretch of the time line is called.
STRETCHES = {
    Kind.CHECKING: "Checked",
    Kind.WAITING: "Waited to be sent",
    Kind.QUEUED: "Queued at the API",
    Kind.RUNNING: "Ran",
    Kind.PARTS: "Parts ran",
    Kind.COLLECTING: "Answers collected",
    Kind.ROUND: "Round",
}


@pages.get("/jobs/<id>")
def job(id: str) -> str:
    """How far a job is, and what became of its rows."""
    here = asked()
    found = here.job(id)
    return flask.render_template(
        "job.html", asked=here, job=found, page=_Page.of(here, found)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bar:
    """A part of a bar, and what the list below it says of the same."""

    name: str
    kind: str  #: whose colour it has
    x: float  #: in hundredths of the bar, as `width`
    width: float
    count: int = 0
    stretch: Stretch | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Option:
    """An option of the job, and where it was chosen."""

    name: str
    value: str
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """What is shown of a job besides its own fields."""

    refresh: int  #: seconds; 0 once it is done
    state: str
    sentence: str
    share: float | None  #: of its rows that are answered, while it runs
    waits: "WaitingFor | None"
    awaited: str
    said: set[str]  #: the messages of the troubles
    mend: str  #: what to do about its error
    troubles: "list[tuple[Health, str]]"  #: with what to do
    times: list[_Bar]
    took: timedelta  #: all of these
    moments: "list[Moment]"  #: the latest first
    rows: list[_Bar]
    counted: int  #: rows that the bar is about
    is_api_count: bool  #: the bar has the API's counts, of a job without results
    always: list[str]  #: rows that failed in every round
    compared: str  #: its cost with its estimate
    currency: str
    parts: list[Cell]
    part_states: list[_Bar]
    ill_parts: list[Cell]
    chosen: list[_Option]
    defaults: list[_Option]
    labels: list[tuple[str, str]]
    announced: "list[Announcement]"
    announced_before: int  #: how many older ones are not read
    commands: list[tuple[str, str]]
    document: str
    shows_rows: bool  #: the deployment has pages of rows

    @classmethod
    def of(cls, here: Asked, job: "Job") -> "_Page":
        waits = views.waits_now(here.ledger, job)
        parts = parts_of(here.ledger, job)
        rows = _rows(job)
        chosen = [*_options(job)]
        times = time_line(job, here.now)
        guess = job.estimate.cost if job.estimate else None
        cost = job.cost or guess
        refresh = REFRESH_SPLIT if job.parts else REFRESH
        document = msgspec.json.encode(views.document(job, waits))
        return cls(
            refresh=0 if job.is_done else refresh,
            state=state_of(job),
            sentence=views.sentence(job),
            share=None if job.is_over else share_of(job),
            # What waits for a person is among the troubles.
            waits=waits if waits and waits.code is not WaitCode.PERSON else None,
            awaited=awaited(waits) if waits else "",
            said={each.message for each in job.troubles},
            mend=cure_of_error(job),
            troubles=[(each, cure(each.code, job.id)) for each in job.troubles],
            times=_times(times),
            took=sum((each.took for each in times), timedelta(0)),
            moments=[*reversed(job.history)],
            rows=_bars(rows),
            counted=sum(rows.values()),
            is_api_count=not job.rows.outcomes,
            always=views.always_failed(job),
            compared=views.compared(job.cost, job.estimate) if job.cost else "",
            currency=cost.currency if cost else "",
            parts=parts,
            part_states=_bars(
                _counts(parts), {each.state: each.kind for each in parts}
            ),
            ill_parts=[each for each in parts if each.health],
            chosen=[each for each in chosen if each.origin != "default"],
            defaults=[each for each in chosen if each.origin == "default"],
            labels=sorted(
                (job.spec.labels if job.spec else {}).items(),
                key=lambda label: (label[0].startswith(OWN_LABELS), label),
            ),
            announced=here.ledger.latest_announcements_of(job, MAX_ANNOUNCEMENTS),
            announced_before=max(0, job.seq - MAX_ANNOUNCEMENTS),
            commands=[*views.commands(job)],
            document=msgspec.json.format(document, indent=2).decode(),
            shows_rows=here.settings.dashboard_rows,
        )

    state_of_round = staticmethod(views.state_of_round)


def _times(stretches: list[Stretch]) -> list[_Bar]:
    """The time line, to scale; what took no time is narrow."""
    values = [
        (str(n), max(1, int(one.took.total_seconds() * 1000)))
        for n, one in enumerate(stretches)
    ]
    return [
        _Bar(
            name=STRETCHES[one.kind] + (f" {one.round}" if one.round else ""),
            kind=one.kind,
            x=place.x,
            width=place.width,
            stretch=one,
        )
        for one, place in zip(stretches, charts.stacked(values), strict=True)
    ]


def _rows(job: "Job") -> dict[str, int]:
    """
    How many rows had which outcome, with those that were refused; until that is known,
    the API's counts. Empty before there are any.
    """
    if job.rows.outcomes:
        return {str(each): count for each, count in job.rows.all_outcomes.items()}
    refused = {str(RowOutcome.REFUSED): job.rows.refused}
    progress = job.progress
    if progress is None or not (progress.rows or progress.answered):
        return {}
    answered = progress.answered - progress.failed
    left = max(0, progress.rows - progress.answered)
    return {"answered": answered, "failed": progress.failed, NOT_YET: left} | refused


def _bars(counts: Mapping[str, int], kinds: Mapping[str, str] = {}) -> list[_Bar]:
    return [
        _Bar(
            name=each.name,
            kind=kinds.get(each.name, each.name.replace(" ", "_")),
            count=each.value,
            x=each.x,
            width=each.width,
        )
        for each in charts.stacked([*counts.items()])
    ]


def _counts(parts: list[Cell]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for each in parts:
        counts[each.state] = counts.get(each.state, 0) + 1
    return counts


def _options(job: "Job") -> Iterator[_Option]:
    """Each option but the labels, in the order in which they are defined."""
    if job.spec is None:
        return
    for name in (each.name for each in fields(Spec) if each.name != "labels"):
        value = _value(getattr(job.spec, name))
        origin = job.spec_from.get(name, "default")
        if value or (origin not in _NOBODY and name not in _FOLLOWING):
            yield _Option(name=name, value=value, origin=origin)


def _value(value: Any) -> str:
    """An option's value for people; empty if there is none."""
    if value is None or value in ({}, ()):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:,g}" if value < 1e6 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_value(each)}" for name, each in value.items())
    if isinstance(value, tuple):
        return ", ".join(value)
    text = str(value)
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}…"
