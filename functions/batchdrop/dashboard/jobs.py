"""`/`: the jobs that are unhealthy, open or ended; or those that match filters."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import flask
from werkzeug.wrappers import Response

from batchdrop.dashboard.asked import Asked, asked
from batchdrop.dashboard.filters import STATES, Asking, BadFilter
from batchdrop.jobs.codes import WaitCode
from batchdrop.jobs.shown import ENDED
from batchdrop.jobs.values import brief
from batchdrop.views.cures import cure
from batchdrop.views.listing import Filters, Page, with_places
from batchdrop.views.status import RECENT_DAYS
from batchdrop.views.words import amount_of, awaited, rows_of, state_of
from batchdrop.worker.stages import few_at_once

if TYPE_CHECKING:
    from batchdrop.jobs.listed import ListedJob

pages = flask.Blueprint("jobs", __name__)

#: Jobs of a page, and of the groups on the first page.
PAGE, OPEN_ROWS, UNHEALTHY_ROWS = 25, 15, 5
#: Most documents of jobs that a page reads with filters that have no index; and of how
#: many waiting jobs the places are read, in addition to the job of the cursor.
MOST_READ, PLACES = 48, 10
#: Seconds between two looks, while a job of the page is open and when none is.
SOON, LATE = 5, 30
#: Characters of an error that a list shows.
MAX_NOTE = 90
#: What parts of a bar are called, besides outcomes.
_WORDS = {"running": "answered"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A job, and what a list says of it."""

    job: "ListedJob"
    state: str
    rows: str  #: how many rows are ok, or answered, of how many
    #: How many rows are ok, and so on, with what they are called; from the left.
    parts: Sequence[tuple[int, str]]
    total: int  #: rows that the bar is long; 0: it has none
    words: str  #: what the bar says
    cost: str
    note: str
    note_kind: str  #: "ill", "failed" or ""

    @classmethod
    def of(cls, job: "ListedJob") -> "Row":
        parts, total = _bar(job)
        note, kind = _note(job)
        return cls(
            job=job,
            state=state_of(job),
            rows=rows_of(job),
            parts=parts,
            total=total,
            words=", ".join(
                f"{count:,} {_WORDS.get(kind, kind)}" for count, kind in parts
            ),
            cost=amount_of(job),
            note=note,
            note_kind=kind,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Jobs under a heading."""

    id: str
    title: str
    rows: Sequence[Row]
    more: str = ""  #: the address of those that are left out
    more_words: str = ""


@pages.get("/")
def jobs() -> str | Response | tuple[str, int]:
    """The newest jobs, or those that the filters in the address let pass."""
    here = asked()
    asking = Asking.of(flask.request.args)
    try:
        filters = asking.filters(here.now)
    except BadFilter as exc:
        return _page(here, asking, wrong=exc), 400
    if not all(flask.request.args.values()):
        return flask.redirect(asking.address, 303)  # empty fields of the form
    if asking == Asking():
        return _overview(here, asking)
    return _filtered(here, asking, filters)


def _overview(here: Asked, asking: Asking) -> str:
    """The jobs that are unhealthy, those that are open, and those that ended last."""

    def read(group: tuple[str, int]) -> Page:
        state, limit = group
        return Filters(state=state).page(here.ledger, limit)

    groups = (("unhealthy", UNHEALTHY_ROWS), ("open", OPEN_ROWS), ("ended", PAGE))
    found = {state: page.result() for (state, _), page in few_at_once(read, groups)}
    open, ended = found["open"], found["ended"]
    waiting = with_places(here.ledger, open.jobs, PLACES)
    return _page(
        here,
        asking,
        ill=_ill(here, found["unhealthy"].jobs),
        groups=[
            Group(
                id="open",
                title="Open",
                rows=[*map(Row.of, waiting)],
                more=replace(asking, state="open").behind(open.last.id)
                if open.last
                else "",
                more_words="More open jobs",
            ),
            Group(
                id="ended",
                title="Ended",
                rows=[*map(Row.of, ended.jobs)],
                more=replace(asking, state="ended").behind(ended.last.id)
                if ended.last
                else "",
                more_words="Older jobs",
            ),
        ],
    )


def _filtered(here: Asked, asking: Asking, filters: Filters) -> str:
    """A page of the jobs that pass filters."""
    after = None
    if asking.after:
        after = next(iter(here.ledger.listed_jobs_of([asking.after])), None)
        if after is None or after.listed_at is None:
            raise LookupError("The last job of the page before is gone.")
    page = filters.page(here.ledger, PAGE, after, MOST_READ)
    rows = [*map(Row.of, with_places(here.ledger, page.jobs, PLACES))]
    stopped = page.last if page.last and len(rows) < PAGE else None
    more = asking.behind(page.last.id) if page.last else ""
    return _page(
        here,
        asking,
        groups=[
            Group(
                id="found",
                title="",
                rows=rows,
                more=more,
                more_words="Look further" if stopped else "Older jobs",
            )
        ],
        read=page.read,
        stopped=stopped,
    )


def _page(
    here: Asked,
    asking: Asking,
    groups: Sequence[Group] = (),
    ill: Sequence["ListedJob"] = (),
    wrong: BadFilter | None = None,
    read: int = 0,
    stopped: "ListedJob | None" = None,
) -> str:
    """
    The page.

    Args:
        read: how many documents were read of the filters' jobs.
        stopped: the last job that was looked at, where the page is not full and there
            are others.
    """
    rows = [row for group in groups for row in group.rows]
    is_open = any(ENDED not in row.job.listed_as for row in rows)
    return flask.render_template(
        "jobs.html",
        asked=here,
        asking=asking,
        states=STATES,
        groups=groups,
        ill=ill,
        cure=cure,
        wrong=wrong,
        read=read,
        stopped=stopped,
        every=SOON if is_open else LATE,
    )


def _ill(here: Asked, jobs: Sequence["ListedJob"]) -> list["ListedJob"]:
    """Those that someone should look at: open ones first, and no old ones."""
    since = here.now - timedelta(days=RECENT_DAYS)

    def has_ended(job: "ListedJob") -> bool:
        return ENDED in job.listed_as

    recent = [job for job in jobs if not has_ended(job) or job.created_at >= since]
    return sorted(recent, key=has_ended)


def _bar(job: "ListedJob") -> tuple[list[tuple[int, str]], int]:
    """The parts of a job's bar, and how many rows it is long."""
    if job.rows.outcomes:
        if job.rows.ok == job.rows.total:
            return [], 0  # the word says it all
        counts = job.rows.all_outcomes.items()
        return [(count, str(each)) for each, count in counts if count], job.rows.total
    waits = job.waiting_for
    has_not_begun = waits is not None and waits.code is WaitCode.API
    if job.progress is None or has_not_begun or ENDED in job.listed_as:
        return [], 0
    progress = job.progress
    well = progress.answered - progress.failed
    return [(well, "running"), (progress.failed, "failed")], progress.rows


def _note(job: "ListedJob") -> tuple[str, str]:
    """What is wrong with a job, or what it waits for, and of which kind that is."""
    if job.health:
        return job.health.code.replace("_", " "), "ill"
    if job.error:
        return brief(job.error.message, MAX_NOTE), "failed"
    return (f"waits for {awaited(job.waiting_for)}" if job.waiting_for else ""), ""
